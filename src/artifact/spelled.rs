//! Whether JSON is in canonical form (RFC 8785) already, from its bytes alone. Whoever reads a document that was written so
//! need not write it once more to compare, but where something in it is seldom: then the form is made, as ever.

use serde_json::Value;

use super::canonical::to_vec;

/// So many digits are an integer that every float of its size stands for, spelled as itself.
const DIGITS: usize = 15;

/// Whether bytes are the RFC 8785 form of what was read from them.
pub fn is_canonical(bytes: &[u8], read: &Value) -> bool {
    is_plain(bytes) || to_vec(read).is_ok_and(|written| written == bytes)
}

/// What is open: an array, or an object with its last key.
enum Open<'a> {
    Array,
    Object(Option<&'a [u8]>),
}

/// Whether bytes that are JSON are certainly in that form: no space between its parts, nothing escaped, whole numbers of few
/// digits, and keys in ASCII, in order and each once. What is not plain may be canonical all the same.
fn is_plain(bytes: &[u8]) -> bool {
    let (mut rest, mut open) = (bytes, Vec::new());
    while let [first, after @ ..] = rest {
        rest = match first {
            b'"' => {
                let Some(end) = after.iter().position(|byte| matches!(byte, b'"' | b'\\')) else { return false };
                let (Some(text), Some([b'"', after @ ..])) = (after.get(..end), after.get(end..)) else {
                    return false;
                };
                if after.first() == Some(&b':') {
                    let Some(Open::Object(last)) = open.last_mut() else { return false };
                    if !text.is_ascii() || last.is_some_and(|last| last >= text) {
                        return false;
                    }
                    *last = Some(text);
                }
                after
            }
            b'{' => {
                open.push(Open::Object(None));
                after
            }
            b'[' => {
                open.push(Open::Array);
                after
            }
            b'}' | b']' => {
                open.pop();
                after
            }
            b'-' | b'0'..=b'9' => {
                let unsigned = rest.strip_prefix(b"-").unwrap_or(rest);
                let digits = unsigned.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (number, after) = unsigned.split_at_checked(digits).unwrap_or_default();
                let negative_zero = *first == b'-' && number == b"0";
                if digits > DIGITS || negative_zero || matches!(after.first(), Some(b'.' | b'e' | b'E')) {
                    return false;
                }
                after
            }
            b',' | b':' | b'a'..=b'z' => after,
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::canonical::tests::value, *};

    fn differ(bytes: &[u8]) -> bool {
        let Ok(read) = serde_json::from_slice::<Value>(bytes) else { return false };
        is_canonical(bytes, &read) != to_vec(&read).is_ok_and(|written| written == bytes)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn what_is_said_of_bytes_is_what_writing_them_once_more_says(value in value(), at in any::<usize>(), byte in any::<u8>()) {
            let written = [
                to_vec(&value).unwrap(),
                serde_json::to_vec(&value).unwrap(),
                serde_json::to_vec_pretty(&value).unwrap(),
            ];
            for mut bytes in written {
                prop_assert!(!differ(&bytes));
                let at = at % bytes.len();
                bytes[at] = byte;
                prop_assert!(!differ(&bytes), "{}", String::from_utf8_lossy(&bytes));
                bytes[at] = b' ';
                prop_assert!(!differ(&bytes));
                bytes.swap(at, 0);
                prop_assert!(!differ(&bytes));
            }
        }
    }

    #[test]
    fn what_is_seldom_is_not_plain_and_what_is_common_is() {
        for common in [r#"{"a":[1,-20,true,null,"ü","x y"],"b":{"a":" "},"ba":0}"#, "[]", "\"\"", "123456789012345"] {
            assert!(is_plain(common.as_bytes()), "{common}");
            assert!(!differ(common.as_bytes()), "{common}");
        }
        for seldom in [
            r#"{"b":1,"a":1}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1},"a":1}"#,
            r#"{"a":[{"b":1},{"a":1}],"a":1}"#,
            r#"{"a" :1}"#,
            "[1, 2]",
            "[1,2]\n",
            r#""\u0041""#,
            r#""\/""#,
            r#""\"""#,
            r#"{"ä":1}"#,
            "1.0",
            "1e3",
            "1E3",
            "-0",
            "1234567890123456789",
            "9007199254740993",
        ] {
            assert!(!is_plain(seldom.as_bytes()), "{seldom}");
            assert!(!differ(seldom.as_bytes()), "{seldom}");
        }
    }
}

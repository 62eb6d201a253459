//! Policies of somebody else's, as they lie beside a chain that is verified: reading Cedar takes stack with every bracket and
//! every link of an expression, and who wrote them may want the program to end there. What is more than this is not read.

/// The longest text that is read, in bytes; the policies that ship have some ten thousand.
const LONGEST: usize = 256 << 10;
/// The deepest that brackets are nested in it.
const DEEPEST: u32 = 64;

/// Whether a text is more than is read.
pub fn is_too_much(text: &str) -> bool {
    text.len() > LONGEST || deepest(text) > DEEPEST
}

/// How deep brackets are nested outside of texts and comments.
fn deepest(text: &str) -> u32 {
    let (mut depth, mut deepest) = (0_u32, 0);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'(' | b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(within) = bytes.next().filter(|within| *within != b'"') {
                    if within == b'\\' {
                        bytes.next();
                    }
                }
            }
            b'/' if bytes.peek() == Some(&b'/') => {
                bytes.by_ref().find(|within| *within == b'\n');
            }
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_texts_and_comments_are_none() {
        assert_eq!(deepest("a([{}]) // (((\n\"((( \\\" (((\" ()"), 3);
        let nested = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
        assert!(!is_too_much(&nested(64)) && is_too_much(&nested(65)));
        assert!(is_too_much(&" ".repeat(LONGEST + 1)));
    }
}

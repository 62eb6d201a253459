//! How deep a text is nested, found without reading it: what reads it takes stack with every bracket.

/// How deep the brackets of JSON or Cedar are nested, outside of quoted texts and of comments from `//` to the end of a line.
pub fn deepest(text: &[u8]) -> u32 {
    let (mut depth, mut deepest) = (0_u32, 0);
    let mut bytes = text.iter().copied().peekable();
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
                bytes.by_ref().find(|within| matches!(within, b'\n' | b'\r'));
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
        assert_eq!(deepest(b"a([{}]) // (((\n\"((( \\\" (((\" ()"), 3);
        assert_eq!(deepest(br#"{"a":"\"[[[//","b":[{}]}"#), 3);
        assert_eq!(deepest(b"// a comment of Cedar ends here\r((("), 3);
        assert_eq!(deepest(b""), 0);
    }
}

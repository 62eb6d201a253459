//! How much of Cedar is read: reading it takes stack with every bracket and every link of an expression, so what is nested
//! without end would end the program. Policies of somebody else's, as they lie beside a chain that is verified, may want just
//! that; they are held to a length too.

use crate::artifact::deepest;

/// The longest text that is read, in bytes; the policies that ship have some ten thousand.
const LONGEST: usize = 256 << 10;
/// The deepest that brackets are nested in it.
const DEEPEST: u32 = 64;

/// Whether a text is more than is read.
pub fn is_too_much(text: &str) -> bool {
    text.len() > LONGEST || deepest(text.as_bytes()) > DEEPEST
}

/// The line, from 1, in which brackets come to be nested deeper than is read.
pub fn too_deep(text: &str) -> Option<u64> {
    let is = |text: &str| deepest(text.as_bytes()) > DEEPEST;
    let ends = text.match_indices('\n').map(|(at, _)| at).chain([text.len()]);
    is(text).then(|| ends.zip(1..).find(|(end, _)| text.get(..*end).is_some_and(is)).map_or(1, |(_, line)| line))
}

/// What is said of that.
pub fn says_too_deep() -> String {
    format!("brackets are nested deeper than {DEEPEST}, and no deeper is read; write it as several rules")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nested_too_deep_is_told_with_its_line() {
        let nested = |n: usize| format!("// ((\n\"((\"\n{}1{}\n((1))", "(".repeat(n), ")".repeat(n));
        assert_eq!((too_deep(&nested(64)), too_deep(&nested(65)), too_deep("")), (None, Some(3), None));
    }

    #[test]
    fn what_is_too_long_or_too_deep_is_not_read() {
        let nested = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
        assert!(!is_too_much(&nested(64)) && is_too_much(&nested(65)));
        assert!(is_too_much(&" ".repeat(LONGEST + 1)));
    }
}

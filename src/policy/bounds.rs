//! Policies of somebody else's, as they lie beside a chain that is verified: reading Cedar takes stack with every bracket and
//! every link of an expression, and who wrote them may want the program to end there. What is more than this is not read.

use crate::artifact::deepest;

/// The longest text that is read, in bytes; the policies that ship have some ten thousand.
const LONGEST: usize = 256 << 10;
/// The deepest that brackets are nested in it.
const DEEPEST: u32 = 64;

/// Whether a text is more than is read.
pub fn is_too_much(text: &str) -> bool {
    text.len() > LONGEST || deepest(text.as_bytes()) > DEEPEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_or_too_deep_is_not_read() {
        let nested = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
        assert!(!is_too_much(&nested(64)) && is_too_much(&nested(65)));
        assert!(is_too_much(&" ".repeat(LONGEST + 1)));
    }
}

//! Policies of somebody else's, as they lie beside a chain that is verified: reading Cedar, asking it and letting go of it
//! takes stack with every bracket and every link of an expression, and who wrote them may want the program to end there.

use std::{io, panic::resume_unwind, thread};

/// The longest text that is read, in bytes; the policies that ship have some ten thousand.
const LONGEST: usize = 256 << 10;
/// The deepest that brackets are nested in it.
const DEEPEST: u32 = 64;
/// The stack that a text within these bounds is read on, in bytes. Only what is used of it is ever memory.
const STACK: usize = 512 << 20;

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

/// Does something with policies that are not too much, where there is stack for the worst of them. They must not outlive it.
///
/// # Errors
///
/// The system has no room for another thread.
pub fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("policies".into()).stack_size(STACK).spawn_scoped(scope, work)?;
        worker.join().or_else(|panic| resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{gate_ruling, gates::ordinary};

    #[test]
    fn brackets_in_texts_and_comments_are_none() {
        assert_eq!(deepest("a([{}]) // (((\n\"((( \\\" (((\" ()"), 3);
        let nested = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
        assert!(!is_too_much(&nested(64)) && is_too_much(&nested(65)));
        assert!(is_too_much(&" ".repeat(LONGEST + 1)));
    }

    #[test]
    fn the_worst_that_is_read_ends_nothing() {
        let rule = |when: String| {
            format!("@id(\"a\")\n@reason(\"r\")\npermit (principal, action, resource) when {{ {when} }};")
        };
        let links = |link: &str| link.repeat((LONGEST - 200) / link.len());
        for when in [
            format!("{}true{}", "(".repeat(60), ")".repeat(60)),
            format!("context{}", links("[\"a\"]")),
            format!("{} true", links("if true then false else ")),
            format!("true{}", links(" && true")),
            format!("[{}true] == []", links("true, ")),
            format!("{}true", links("!")),
        ] {
            let text = rule(when);
            assert!(!is_too_much(&text), "{} bytes", text.len());
            // Whatever it answers: without the room the process would be gone.
            let _ = gate_ruling(&text, &ordinary());
        }
        let deep = rule(format!("{}true{}", "(".repeat(5_000), ")".repeat(5_000)));
        assert!(gate_ruling(&deep, &ordinary()).is_err());
    }
}

//! Questions to a person: the one place where a line that answers something is read from the terminal. What was typed
//! before a question is shown answers nothing, so it is dropped first. A pipe is no terminal: it has one answer a line.

use std::{
    fs::File,
    io::{ErrorKind, IsTerminal, Read, Write, stdin},
    os::fd::AsFd,
};

use nix::sys::termios::{FlushArg, tcflush};

use super::output::say;

/// The most bytes of an answer.
const LONGEST_ANSWER: usize = 64 << 10;

/// Drops what waits in the terminal: it was typed before what is asked next was shown.
pub fn drop_typed_ahead() {
    if stdin().is_terminal() {
        // Where it cannot be dropped there is no terminal to read from either.
        let _ = tcflush(stdin(), FlushArg::TCIFLUSH);
    }
}

/// Asks a question on the terminal and gives the answer; nothing at the end of the input.
pub fn prompt(question: &str) -> Option<String> {
    drop_typed_ahead();
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "{question} ");
    let _ = out.flush();
    drop(out);
    let typed = stdin().is_terminal();
    let line = if typed { typed_line() } else { piped_line() };
    // A terminal shows the line break that was typed; a pipe does not.
    if line.is_none() || !typed {
        say("");
    }
    line.map(|line| line.trim().to_owned())
}

/// Asks about one of several calls until it is answered: yes, no, or nothing, which is a no.
pub fn ticked(question: &str) -> bool {
    loop {
        match prompt(question).as_deref().map(str::to_lowercase).as_deref() {
            Some("y" | "yes") => return true,
            None | Some("" | "n" | "no") => return false,
            Some(_) => say("  y lets it run; n or Enter leaves it out, and it is asked about when it is reached."),
        }
    }
}

/// Asks whether to go on; everything but one of these words is a no.
pub fn agreed(question: &str, words: &[&str]) -> bool {
    prompt(question).is_some_and(|line| words.contains(&line.to_lowercase().as_str()))
}

/// A line from the terminal, and not a byte more: what is kept in this process could not be dropped before the next
/// question.
fn typed_line() -> Option<String> {
    let mut terminal = File::from(stdin().as_fd().try_clone_to_owned().ok()?);
    let (mut line, mut byte) = (Vec::new(), [0]);
    while line.len() < LONGEST_ANSWER && !line.ends_with(b"\n") {
        match terminal.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => line.extend(byte),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    if line.is_empty() { None } else { String::from_utf8(line).ok() }
}

fn piped_line() -> Option<String> {
    let mut line = String::new();
    stdin().read_line(&mut line).ok().filter(|read| *read > 0).map(|_| line)
}

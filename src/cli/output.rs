//! Where answers go: standard output for the answer, standard error for everything beside it.

use std::{
    borrow::Cow,
    io::{ErrorKind, IsTerminal, Write},
    sync::OnceLock,
};

use serde::Serialize;

use crate::{
    artifact::value::hides,
    gate::{Style, rows},
};

use super::{
    apart::{self, Apart, Stream},
    code::CliError,
};

/// Why something that was to be said is not written anywhere.
static UNSAID: OnceLock<String> = OnceLock::new();

/// Prints one line of the answer. A reader who stops reading is no error; a full disk is one, see [`unsaid`], and the answer
/// goes to standard error then.
pub fn say(text: impl AsRef<str>) {
    print(&typed(text.as_ref(), called()));
}

fn print(text: &str) {
    if apart::keep(Stream::Out, text) {
        return;
    }
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            drop(UNSAID.set(error.to_string()));
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
        _ => {}
    }
}

/// Why not all of the answer could be written, where that is so; `done` says whether the command did what it was to do.
pub fn unsaid(done: bool) -> Option<CliError> {
    let error = UNSAID.get()?;
    let why = format!("the answer could not be written to standard output ({error}), so it stands above");
    let stands = if done { "; what was done is done, and is not to be done again for this" } else { "" };
    Some(CliError::failed(why + stands))
}

/// Prints one line beside the answer.
pub fn aside(text: impl AsRef<str>) {
    beside(&typed(text.as_ref(), called()));
}

/// The same for what must be known now, also where what is said is told later; once for several that say it at the same
/// time.
pub fn warn(text: impl AsRef<str>) {
    if !apart::is_kept() {
        return aside_sentence(text);
    }
    if apart::warned_lately(text.as_ref()) {
        return;
    }
    // A line that shows progress stands there, and is drawn again below.
    let clear = if std::io::stderr().is_terminal() { "\r\x1b[2K" } else { "" };
    let _ = writeln!(std::io::stderr().lock(), "{clear}{}", text.as_ref());
}

fn beside(line: &str) {
    if !apart::keep(Stream::Err, line) {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}

/// Prints what was said of something while other things were under way.
pub fn tell(said: Apart) {
    for (stream, line) in said.lines() {
        match stream {
            Stream::Out => print(&line),
            Stream::Err => beside(&line),
        }
    }
}

/// How the program is called here, where that is not by its name alone.
static CALLED: OnceLock<String> = OnceLock::new();

/// Says how the program is called: what a person is told to type next is to work as it is.
pub fn called_as(program: String) {
    let _ = CALLED.set(program);
}

/// How a person calls the program here.
pub fn called() -> &'static str {
    CALLED.get().map_or("countersign", String::as_str)
}

/// A line that says what to type next, as it works here. What has several lines is a document or a screen, and stays.
fn typed<'a>(text: &'a str, called: &str) -> Cow<'a, str> {
    let next = text.find("Next: ").or_else(|| text.trim_start().starts_with("or: ").then_some(0));
    let next = next.filter(|_| called != "countersign" && !text.contains('\n'));
    let Some((before, next)) = next.and_then(|at| text.split_at_checked(at)) else {
        return text.into();
    };
    let whole = |part: &str| if part.starts_with("--") { "countersign ".to_owned() } else { format!("{called} ") };
    let mut parts = next.split("countersign ");
    let first = before.to_owned() + parts.next().unwrap_or_default();
    parts.fold(first, |text, part| text + &whole(part) + part).into()
}

/// Prints the answer for a program.
pub fn say_json<T: Serialize>(value: &T) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| CliError::failed(error.to_string()))?;
    print(&spelled(&text));
    Ok(())
}

/// The same JSON with nothing in it that a terminal would obey or not show: beside what JSON itself escapes, U+007F to
/// U+009F and what reorders or hides text.
fn spelled(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !(c.is_control() || hides(c)) {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

/// Prints an error.
pub fn complain(error: &CliError, json: bool) {
    if json {
        let error = serde_json::json!({"error": {"code": error.code.number(), "message": error.message}});
        beside(&spelled(&error.to_string()));
        return;
    }
    for (at, line) in error.message.lines().enumerate() {
        // A message may quote what was typed, what a file says or what a server answered.
        let line = plain(line);
        // A line that is a command is to be typed as it stands.
        let command = line.strip_prefix("countersign ").filter(|rest| at > 0 && !rest.starts_with("--"));
        let line = command.map_or_else(|| line.clone(), |rest| format!("{} {rest}", called()));
        beside(&format!("{}{line}", if at == 0 { "error: " } else { "       " }));
    }
}

/// Whether a person reads and types here.
pub fn interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// How screens are rendered here.
#[allow(clippy::disallowed_methods, reason = "the command line reads what its caller wants it to look like")]
pub fn style() -> Style {
    let width = given_columns().unwrap_or(100).clamp(60, 120);
    let plain = !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    if plain { Style::plain(width) } else { Style::colour(width) }
}

/// How wide the terminal is to which the answer goes: `COLUMNS`, else what the terminal says, 80 where neither does.
/// Nothing where it goes elsewhere: what another program reads is neither wrapped nor shortened.
pub fn columns() -> Option<usize> {
    std::io::stdout().is_terminal().then(terminal_columns)
}

fn terminal_columns() -> usize {
    given_columns().filter(|columns| *columns > 0).unwrap_or(80).max(40)
}

#[allow(clippy::disallowed_methods, reason = "the command line reads how wide its caller wants it")]
fn given_columns() -> Option<usize> {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    columns.or_else(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)))
}

/// Prints a line of the answer that is a sentence, wrapped where a terminal is too narrow for it.
pub fn say_sentence(text: impl AsRef<str>) {
    match columns() {
        Some(width) => say(wrapped(text.as_ref(), width)),
        None => say(text),
    }
}

/// Prints a sentence beside the answer, wrapped where a terminal is too narrow for it.
pub fn aside_sentence(text: impl AsRef<str>) {
    if std::io::stderr().is_terminal() { aside(wrapped(text.as_ref(), terminal_columns())) } else { aside(text) }
}

/// A sentence in lines of at most so many characters, those after the first further in. A word is never broken, and what
/// is to be typed next stays on one line.
fn wrapped(text: &str, width: usize) -> String {
    let body = text.trim_start_matches(' ');
    if text.chars().count() <= width || body.starts_with("Next") {
        return text.to_owned();
    }
    let indent = text.len() - body.len();
    let later = " ".repeat((indent + 2).min(width / 2));
    rows(body, (&" ".repeat(indent), &later), width, false).join("\n")
}

/// So many of something, in words.
pub fn count(number: impl Into<u64>, one: &str) -> String {
    match number.into() {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    }
}

/// An amount in millionths of a currency unit; chains from before the unit was kept do not name it.
pub fn money(micros: u64, currency: Option<&str>) -> String {
    let unit = currency.map_or_else(String::new, |unit| format!(" {}", plain(unit)));
    format!("{}.{:04}{unit}", micros / 1_000_000, micros % 1_000_000 / 100)
}

/// The word before a figure that may be an estimate.
pub fn about(estimated: bool) -> &'static str {
    if estimated { "about " } else { "" }
}

/// Text from a person or a device, fit for one line of a terminal: control characters are shown, not obeyed.
pub fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() || hides(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

/// The same for text of several lines, which stay lines.
pub fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "._-/:=@+,".contains(c);
    if !word.is_empty() && word.chars().all(bare) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Prints a piece of text that is under way: lines as they are, whatever else is no plain text shown as what it is.
pub fn say_piece(text: &str) {
    let mut out = std::io::stdout().lock();
    let lines: Vec<String> = text.split('\n').map(plain).collect();
    let _ = write!(out, "{}", lines.join("\n"));
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::{plain, quoted, spelled, typed, wrapped};

    #[test]
    fn what_is_typed_next_works_here_and_nothing_else_is_rewritten() {
        let here = "countersign --workspace net --as ada";
        for (text, says) in [
            ("Next: countersign run k7", "Next: countersign --workspace net --as ada run k7"),
            ("  or: countersign reject k7", "  or: countersign --workspace net --as ada reject k7"),
            ("Filed. Next: countersign run k7", "Filed. Next: countersign --workspace net --as ada run k7"),
            // It names the workspace already.
            ("Next: countersign --workspace x run k7", "Next: countersign --workspace x run k7"),
            ("see `countersign list`", "see `countersign list`"),
            // A document is what it is.
            ("title: |\n  Next: countersign run k7", "title: |\n  Next: countersign run k7"),
        ] {
            assert_eq!(typed(text, here), says);
            assert_eq!(typed(text, "countersign"), text);
        }
    }

    #[test]
    fn json_has_nothing_in_it_that_a_terminal_would_obey_and_says_the_same() {
        let text = "m\u{9b}31m\u{7f}\u{202e}\u{e0041}\n\u{1b}ü😀";
        let json = serde_json::json!({"name": text});
        let written = spelled(&serde_json::to_string_pretty(&json).unwrap());
        assert!(!written.chars().any(|c| c != '\n' && c.is_control() || super::hides(c)), "{written:?}");
        assert!(written.contains("ü😀") && written.contains("\\u009b"));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), json);
    }

    #[test]
    fn a_sentence_is_wrapped_between_its_words_and_never_what_is_to_be_typed() {
        for (text, lines) in [
            ("  note: it is short", &["  note: it is short"][..]),
            ("  note: three words here that go on", &["  note: three words here", "    that go on"]),
            ("no-blanks-in-what-is-longer-than-a-line", &["no-blanks-in-what-is-longer-than-a-line"]),
            ("Next: countersign run k7m, or something else", &["Next: countersign run k7m, or something else"]),
            ("met        R1 one two three four", &["met        R1 one two", "  three four"]),
        ] {
            assert_eq!(wrapped(text, 24), lines.join("\n"), "{text}");
        }
    }

    #[test]
    fn what_could_move_the_cursor_or_turn_the_text_is_shown() {
        assert_eq!(plain("sw01\u{1b}[2K\u{9b}31m\u{202e}x"), "sw01\\u{1b}[2K\\u{9b}31m\\u{202e}x");
    }

    #[test]
    fn a_word_stays_one_word_in_a_shell() {
        for (word, expected) in [
            ("name=web01", "name=web01"),
            ("switches=sw01,sw02", "switches=sw01,sw02"),
            ("ticket=$(reboot) it's", "'ticket=$(reboot) it'\\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}

//! Lines from a person at a terminal, with a line editor and a history, or from a script through a pipe, one by one.

use std::io::{BufRead, Read as _};

use rustyline::{Config, Editor, error::ReadlineError, history::MemHistory};

use super::{
    code::CliError,
    output::{interactive, plain, say},
    question::drop_typed_ahead,
};

/// The most bytes of one line.
const LONGEST_LINE: u64 = 64 << 10;
/// What begins and ends a text of several lines.
const FENCE: &str = "\"\"\"";

/// Where lines come from.
pub struct Reader {
    editor: Option<Editor<(), MemHistory>>,
    /// How many lines were read.
    lines: u64,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// A line, or several that belong together.
    Line(String),
    /// Ctrl-C: what was being typed counts for nothing.
    Interrupted,
    /// Nothing more will come.
    End,
}

impl Reader {
    /// The reader of this process's standard input. The history is forgotten with the process: what is typed is kept
    /// on the ledger, where it counts, and nowhere else.
    pub fn new() -> Result<Self, CliError> {
        let broken = |error: ReadlineError| CliError::failed(format!("the terminal cannot be read: {error}"));
        let editor = if interactive() {
            let config = Config::builder().auto_add_history(false).build();
            Some(Editor::with_history(config, MemHistory::new()).map_err(broken)?)
        } else {
            None
        };
        Ok(Self { editor, lines: 0 })
    }

    /// Whether a person types here.
    pub fn interactive(&self) -> bool {
        self.editor.is_some()
    }

    /// Where the last line of a script stood; the arguments, where none was read yet.
    pub fn place(&self) -> String {
        if self.lines == 0 { "--text".into() } else { format!("standard input:{}", self.lines) }
    }

    /// Shows a question and reads what is said to it.
    pub fn ask(&mut self, question: &str) -> Result<Read, CliError> {
        drop_typed_ahead();
        say(question);
        if self.editor.is_none() {
            return self.piped();
        }
        let mut text = Text::default();
        loop {
            match self.typed(if text.begun() { ". " } else { "> " })? {
                Read::Line(line) => {
                    if let Some(whole) = text.add(&line) {
                        return Ok(Read::Line(whole));
                    }
                }
                ended => return Ok(ended),
            }
        }
    }

    fn typed(&mut self, prompt: &str) -> Result<Read, CliError> {
        let Some(editor) = &mut self.editor else { return Ok(Read::End) };
        match editor.readline(prompt) {
            Ok(line) => {
                if !line.trim().is_empty() {
                    let _ = editor.add_history_entry(line.as_str());
                }
                Ok(Read::Line(line))
            }
            Err(ReadlineError::Interrupted) => Ok(Read::Interrupted),
            Err(ReadlineError::Eof) => Ok(Read::End),
            Err(error) => Err(CliError::failed(format!("the terminal cannot be read: {error}"))),
        }
    }

    fn piped(&mut self) -> Result<Read, CliError> {
        self.lines += 1;
        let wrong = |why: &str, reader: &Self| CliError::usage(format!("{}: {why}", reader.place()));
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(LONGEST_LINE).read_until(b'\n', &mut bytes);
        read.map_err(|error| wrong(&error.to_string(), self))?;
        if bytes.is_empty() {
            return Ok(Read::End);
        }
        if bytes.len() as u64 == LONGEST_LINE && !bytes.ends_with(b"\n") {
            return Err(wrong(&format!("the line is longer than {LONGEST_LINE} bytes"), self));
        }
        let line = String::from_utf8(bytes).map_err(|_| wrong("the line is not UTF-8 text", self))?;
        let line = line.trim_end_matches('\n').trim_end_matches('\r').to_owned();
        say(format!("> {}", plain(&line)));
        Ok(Read::Line(line))
    }
}

/// A text on its way: several lines where one ends with a backslash, or between two fences.
#[derive(Debug, Default)]
struct Text {
    lines: Vec<String>,
    fenced: bool,
}

impl Text {
    fn begun(&self) -> bool {
        self.fenced || !self.lines.is_empty()
    }

    /// Adds a line; the whole text, if that was its last.
    fn add(&mut self, line: &str) -> Option<String> {
        let mut line = line;
        if !self.begun()
            && let Some(rest) = line.trim_start().strip_prefix(FENCE)
        {
            self.fenced = true;
            line = rest;
            if line.is_empty() {
                return None;
            }
        }
        let (line, more) = if self.fenced {
            let ends = line.trim_end().strip_suffix(FENCE);
            (ends.unwrap_or(line), ends.is_none())
        } else {
            let on = line.strip_suffix('\\');
            (on.unwrap_or(line), on.is_some())
        };
        self.lines.push(line.to_owned());
        (!more).then(|| std::mem::take(self).lines.join("\n").trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_belong_together_are_one_text() {
        for (lines, expected) in [
            (&["one"] as &[&str], Some("one")),
            (&[""], Some("")),
            (&["one\\", "two"], Some("one\ntwo")),
            (&["one\\", "two\\"], None),
            (&["\"\"\"", "one\\", "two", "\"\"\""], Some("one\\\ntwo")),
            (&["\"\"\"one", "", "two\"\"\""], Some("one\n\ntwo")),
            (&["\"\"\"one\"\"\""], Some("one")),
            (&["\"\"\"", "one"], None),
            (&["say \"\"\" twice"], Some("say \"\"\" twice")),
        ] {
            let mut text = Text::default();
            let whole = lines.iter().fold(None, |before, line| {
                assert_eq!(before, None, "{lines:?} ends early");
                text.add(line)
            });
            assert_eq!(whole.as_deref(), expected, "{lines:?}");
        }
    }
}

//! Asks the questions of a form one by one, of a person at a terminal or of a script.

use crate::agent::{Form, Taken};

use super::{
    code::CliError,
    output::{plain, say},
    reader::{Read, Reader},
};

/// What begins a line that says something in words instead of answering.
const IN_WORDS: &str = "say ";

/// How asking ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// All questions are answered.
    Whole,
    /// Before the first of them.
    Back,
    /// With something said in words.
    InWords(String),
    /// Without an answer to this one.
    Over(String),
    /// A script's answer does not fit: to which question, and why.
    Unfit(String, String),
}

/// What else than answering is possible.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    /// There is something before the first question.
    pub back: bool,
    /// Something may be said in words.
    pub words: bool,
}

/// Asks what is open; `after` is told of each answer.
pub fn ask_all(
    reader: &mut Reader,
    form: &mut Form<'_>,
    beside: Beside,
    after: impl Fn(&Form<'_>),
) -> Result<Asked, CliError> {
    let mut interrupted = false;
    while let (Some(question), Some(input)) = (form.question(), form.open()) {
        let line = match reader.ask(&plain(&question))? {
            Read::Line(line) => line,
            Read::Interrupted if !interrupted => {
                interrupted = true;
                say("  Ctrl-C again leaves; you are told how to go on from here");
                continue;
            }
            Read::Interrupted | Read::End => return Ok(Asked::Over(input.name.clone())),
        };
        interrupted = false;
        if let Some(said) = line.strip_prefix(IN_WORDS).filter(|_| beside.words) {
            return Ok(Asked::InWords(said.trim().to_owned()));
        }
        match form.take(&line) {
            Taken::Answered => after(form),
            Taken::Back => {}
            Taken::First if beside.back => return Ok(Asked::Back),
            Taken::First => say("  this is the first question"),
            Taken::Help(lines) => lines.iter().for_each(|line| say(format!("  {}", plain(line)))),
            Taken::Invalid(why) if reader.interactive() => say(format!("  {}", plain(&why))),
            Taken::Invalid(why) => return Ok(Asked::Unfit(input.name.clone(), why)),
        }
    }
    Ok(Asked::Whole)
}

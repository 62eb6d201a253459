//! Asks the questions of a form one by one, of a person at a terminal or of a script.

use crate::agent::{Form, Taken};

use super::{
    output::{CliError, plain, say},
    reader::{Read, Reader},
};

/// How asking ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// All questions are answered.
    Whole,
    /// Before the first of them.
    Back,
    /// Without an answer to this one.
    Over(String),
    /// A script's answer does not fit: to which question, and why.
    Unfit(String, String),
}

/// Asks what is open. `back` says whether there is something before the first question; `after` is told of each
/// answer.
pub fn ask_all(
    reader: &mut Reader,
    form: &mut Form<'_>,
    back: bool,
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
        match form.take(&line) {
            Taken::Answered => after(form),
            Taken::Back => {}
            Taken::First if back => return Ok(Asked::Back),
            Taken::First => say("  this is the first question"),
            Taken::Help(lines) => lines.iter().for_each(|line| say(format!("  {}", plain(line)))),
            Taken::Invalid(why) if reader.interactive() => say(format!("  {}", plain(&why))),
            Taken::Invalid(why) => return Ok(Asked::Unfit(input.name.clone(), why)),
        }
    }
    Ok(Asked::Whole)
}

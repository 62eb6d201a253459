//! A screen as data: what a person is shown before answering, in the order in which it is read. Terminal, export and
//! chat render the same screen; a part of the approval request, it is digested with it. Nothing here is escaped or
//! wrapped; that is the renderer's, so that no screen can be built that shows a value as anything but a value.

use serde::{Deserialize, Serialize};

/// What a person sees before answering.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Screen {
    /// The question, such as `GATE 1: may this be worked on?`
    pub title: String,
    /// What stands beside the title, such as `SIMULATED environment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub banner: Option<String>,
    /// What it is about, in the requester's words.
    pub subject: String,
    /// The sections, the most important one first.
    pub sections: Vec<Section>,
    /// The last line.
    pub footer: String,
}

/// A part of a screen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Its heading; the first section has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heading: Option<String>,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// One line of a screen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// A sentence.
    Text(String),
    /// A sentence that belongs to the one above.
    Detail(String),
    /// A word and what it stands for.
    KeyValue {
        /// The word.
        key: String,
        /// What it stands for.
        value: String,
    },
    /// A line of a before-state that will not be there.
    Removed(String),
    /// A line of the state that will be there.
    Added(String),
    /// A line that stays.
    Kept(String),
    /// Something to look at twice.
    Warning(String),
    /// A call that the answer lets run.
    Call {
        /// The node that makes it; an answer names it where the call is ticked by itself.
        node: String,
        /// The call in plain words.
        sentence: String,
        /// The first digits of its digest.
        digest: String,
        /// Whether it is ticked by itself.
        tick: bool,
    },
}

impl Section {
    /// A section with a heading.
    pub fn new(heading: impl Into<String>) -> Self {
        Self { heading: Some(heading.into()), lines: Vec::new() }
    }

    /// Adds a line.
    pub fn push(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Adds a sentence.
    pub fn text(&mut self, text: impl Into<String>) {
        self.push(Line::Text(text.into()));
    }

    /// Adds a sentence that belongs to the one above.
    pub fn detail(&mut self, text: impl Into<String>) {
        self.push(Line::Detail(text.into()));
    }

    /// Adds a warning.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.push(Line::Warning(text.into()));
    }

    /// Adds a word and what it stands for.
    pub fn pair(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.push(Line::KeyValue { key: key.into(), value: value.into() });
    }
}

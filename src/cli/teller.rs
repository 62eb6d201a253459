//! What happens while an engagement is driven, told line by line.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    agent::{Shaped, Shaping},
    artifact::Phase,
    broker::Told,
    engagement::Purpose,
    flow::NodeOutcome,
    model::Delta,
    runtime::Progress,
};

use super::{
    apart::is_kept,
    log::{considered_words, filled_words},
    output::{about, aside, aside_sentence, plain, say, say_piece, warn},
};

/// The characters of an answer under way that are shown.
const WRITTEN: usize = 60;

/// Tells a person what happens, line by line, with a spinner while something takes long.
pub(super) struct Teller {
    quiet: bool,
    /// Whether what a model says is shown as it comes.
    streams: bool,
    /// Whether the last line is not ended yet.
    amid: bool,
    spinner: Option<ProgressBar>,
    /// What a model has written of its answer, as far as one line shows it.
    written: String,
    /// The draft that a model is writing.
    shaping: Shaping,
}

impl Teller {
    pub(super) fn new(quiet: bool, streams: bool) -> Self {
        Self { quiet, streams, amid: false, spinner: None, written: String::new(), shaping: Shaping::default() }
    }

    /// Shows this while what it is about goes on.
    fn spin(&mut self, message: String) {
        // One of several has no line of its own to show it on.
        if is_kept() {
            return;
        }
        let spinner = self.spinner.get_or_insert_with(|| {
            let spinner = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg}") {
                spinner.set_style(style);
            }
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        spinner.set_message(message);
    }

    /// Shows the end of what is being written.
    fn tail(&mut self, text: &str) {
        self.written.push_str(text);
        let from = self.written.char_indices().rev().nth(WRITTEN).map_or(0, |(at, _)| at);
        self.written.drain(..from);
        self.spin(plain(&self.written));
    }

    pub(super) fn rest(&mut self) {
        self.written.clear();
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
        if std::mem::take(&mut self.amid) {
            say("");
        }
    }

    /// A piece of what a model says.
    fn piece(&mut self, delta: Delta) {
        match delta {
            Delta::Text(text) => match self.shaping.add(&text) {
                Shaped::Words(words) => {
                    self.amid = !words.ends_with('\n');
                    say_piece(&words);
                }
                Shaped::Lines(lines) => {
                    if !lines.is_empty() {
                        self.rest();
                        lines.iter().for_each(|line| say(format!("    {}", plain(line))));
                    }
                    self.tail(&text);
                }
            },
            Delta::Calling(tool) => {
                self.rest();
                say(format!("  (asks for {})", plain(&tool)));
            }
            Delta::Restarted(why) => {
                self.rest();
                self.shaping = Shaping::default();
                say(format!("  (broken off and asked again: {})", plain(&why)));
            }
            Delta::Asked { .. } | Delta::Arguments(_) | Delta::Spent => {}
        }
    }

    pub(super) fn tell(&mut self, progress: Progress) {
        if let Progress::Unwritten(text) = &progress {
            self.rest();
            warn(format!("  note      {}", plain(text)));
        }
        if self.quiet {
            return;
        }
        match progress {
            Progress::Calling(proposal) => {
                self.spin(plain(&proposal.purpose.words()));
            }
            Progress::Called(proposal, told) => {
                self.rest();
                if let Some(line) = called(&proposal.purpose, &proposal.tool, &told) {
                    say(line);
                }
            }
            Progress::Entered(phase, reason) => {
                self.rest();
                let reason = reason.map_or_else(String::new, |reason| format!(" ({})", plain(&reason)));
                say(format!("{}{reason}", heading(phase)));
            }
            Progress::Filed(artifact, digest) => {
                self.rest();
                say(format!("  filed     {artifact}  {}", digest.short()));
            }
            Progress::Settled(node, outcome, reason) => {
                self.rest();
                let reason = reason.map_or_else(String::new, |reason| format!(": {}", plain(&reason)));
                say(format!("  {:<9} {node}{reason}", outcome_word(outcome)));
            }
            Progress::Deviated(node, what) => {
                self.rest();
                say(format!("  deviation {node}: {}", plain(&what)));
            }
            Progress::Turning(agent, artifact, turn) => {
                self.rest();
                self.shaping = Shaping::default();
                let again = if turn == 1 { String::new() } else { format!(", turn {turn}") };
                say(format!("  asks      a model for {artifact} ({agent} agent{again})"));
            }
            Progress::Delta(_, delta) if self.streams => self.piece(delta),
            Progress::Delta(_, Delta::Text(text)) => self.tail(&text),
            Progress::Delta(agent, Delta::Calling(tool)) => self.spin(format!("{agent} agent: {}", plain(&tool))),
            Progress::Delta(_, Delta::Restarted(why)) => {
                self.rest();
                aside(format!("  note      the answer broke off and is asked for again: {}", plain(&why)));
            }
            Progress::Delta(..) => {}
            Progress::Turned(turned) => {
                self.rest();
                match &turned.error {
                    Some(error) => say(format!("  no answer {}", plain(error.lines().next().unwrap_or_default()))),
                    None => say(format!(
                        "  answered  {} at {}, {}{} tokens",
                        plain(&turned.model),
                        plain(&turned.endpoint),
                        about(turned.usage.estimated),
                        turned.usage.tokens()
                    )),
                }
            }
            Progress::Asked(_) => self.rest(),
            Progress::Filling(filled) => {
                self.rest();
                for hole in &filled.filled {
                    say(format!("  fills     {}", plain(&filled_words(hole))));
                }
            }
            Progress::Considered(considered) => {
                self.rest();
                say(format!("  failed    {}", plain(&considered_words(&considered))));
            }
            Progress::Returned(artifact, problems) => {
                self.rest();
                say(format!("  returned  {artifact}: {}", plain(&problems.join("; "))));
            }
            Progress::Unwritten(_) => {}
            Progress::Note(text) => {
                self.rest();
                aside_sentence(format!("  note      {}", plain(&text)));
            }
        }
    }
}

fn heading(phase: Phase) -> String {
    format!("-- {phase} --")
}

/// The word of a node's outcome.
pub fn outcome_word(outcome: NodeOutcome) -> &'static str {
    match outcome {
        NodeOutcome::Done => "done",
        NodeOutcome::Unchanged => "unchanged",
        NodeOutcome::Skipped => "skipped",
        NodeOutcome::NotRun => "not run",
        NodeOutcome::Failed => "failed",
        NodeOutcome::Unknown => "unknown",
        NodeOutcome::Undone => "undone",
        NodeOutcome::UndoFailed => "not undone",
    }
}

/// One line for a call. Calls that only look, and do, are not told: their answer is in what follows from them.
fn called(purpose: &Purpose, tool: &str, told: &Told) -> Option<String> {
    let what = format!("{} ({})", plain(&purpose.words()), plain(tool));
    Some(match told {
        Told::Result(_) => match purpose {
            Purpose::Act { .. } | Purpose::Undo { .. } | Purpose::Discover { .. } | Purpose::Turn { .. } => {
                format!("  called    {what}")
            }
            _ => return None,
        },
        Told::ToolError(text) => format!("  error     {what}: {}", plain(text)),
        Told::NotSent(text) => format!("  not sent  {what}: {}", plain(text)),
        Told::Unknown(text) => format!("  unknown   {what}: {}", plain(text)),
        Told::Refused { .. } if told.needs().is_some() => {
            format!("  asks      {what}: a person must approve exactly this call")
        }
        Told::Refused { rule, .. } => format!("  refused   {what}: {} [{}]", plain(&rule.reason), rule.rule),
    })
}

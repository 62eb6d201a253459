//! Turns on a cassette: `record` writes each with its request, `replay` answers from them without a network. Keys are
//! not in them: they are in no request, and are taken out of answers before anything else sees those.
//!
//! A cassette is lines of JSON, one turn each. A request is answered by the recorded one that is the same; the same
//! request asked again gets the next answer to it, if there are several. So one cassette serves however many processes
//! an engagement runs in.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    future::Future,
    io::Write,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use similar::TextDiff;

use crate::artifact::{Digest, YamlError, digest_of};

use super::{
    Answer, Delta, Message, Model, ModelError, ModelRequest,
    health::Health,
    list::{Endpoint, Trouble, told},
    message::MOST_CALLS,
};

/// The most lines of a difference that are shown.
const MOST_LINES: usize = 30;
/// The longest line of a difference.
const LONGEST_LINE: usize = 300;

/// One turn.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    digest: Digest,
    request: ModelRequest,
    answer: Answer,
}

fn digest(request: &ModelRequest) -> Result<Digest, ModelError> {
    digest_of(request).map_err(|error| ModelError::Differs(format!("this request cannot be told from others: {error}")))
}

/// A model whose turns are added to a cassette.
pub(super) struct Recording {
    inner: Arc<dyn Model>,
    path: PathBuf,
    writing: Mutex<()>,
}

impl Recording {
    /// Records what `inner` answers.
    pub(super) fn new(inner: Arc<dyn Model>, path: PathBuf) -> Self {
        Self { inner, path, writing: Mutex::default() }
    }

    fn keep(&self, request: &ModelRequest, answer: &Answer) -> Result<(), String> {
        let digest = digest(request).map_err(|error| error.to_string())?;
        let entry = Entry { digest, request: request.clone(), answer: answer.clone() };
        let mut line = serde_json::to_string(&entry).map_err(|error| error.to_string())?;
        line.push('\n');
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let file = OpenOptions::new().append(true).create(true).open(&self.path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(|error| error.to_string())
    }
}

impl Model for Recording {
    fn answer<'a>(
        &'a self,
        request: &'a ModelRequest,
        watch: &'a mut (dyn FnMut(Delta) + Send),
    ) -> Pin<Box<dyn Future<Output = Result<Answer, ModelError>> + Send + 'a>> {
        Box::pin(async move {
            let answer = self.inner.answer(request, watch).await?;
            // A cassette that lacks a turn is of no use, so the turn is not given either.
            self.keep(request, &answer).map_err(|why| {
                ModelError::Unavailable(format!(
                    "the turn could not be recorded in {}: {why}; make room, or take `record` out of policies/models.yaml",
                    self.path.display()
                ))
            })?;
            Ok(answer)
        })
    }
}

/// A cassette that answers.
pub(super) struct Replay {
    name: String,
    file: String,
    entries: Vec<Entry>,
    /// How often each request was asked in this process.
    asked: Mutex<BTreeMap<Digest, usize>>,
    health: Health,
}

impl Replay {
    /// Reads a cassette.
    pub(super) fn read(name: &str, path: &Path) -> Result<Self, YamlError> {
        let file = path.display().to_string();
        let wrong =
            |line: usize, message: String| YamlError { name: file.clone(), line: line as u64, column: 1, message };
        let text = std::fs::read_to_string(path)
            .map_err(|error| wrong(1, format!("this cassette cannot be read: {error}; record one with `record`")))?;
        let mut entries = Vec::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let entry: Entry = serde_json::from_str(line)
                .map_err(|error| wrong(at + 1, format!("this is no recorded turn: {error}; record it anew")))?;
            if digest_of(&entry.request).ok() != Some(entry.digest) {
                return Err(wrong(at + 1, "the request is not the one that was recorded; record it anew".into()));
            }
            if entry.answer.calls.len() > MOST_CALLS {
                return Err(wrong(at + 1, format!("at most {MOST_CALLS} calls come in one turn; record it anew")));
            }
            entries.push(entry);
        }
        Ok(Self { name: name.into(), file, entries, asked: Mutex::default(), health: Health::new(None, None) })
    }

    fn turn(&self, request: &ModelRequest) -> Result<Answer, ModelError> {
        let digest = digest(request)?;
        let same: Vec<&Entry> = self.entries.iter().filter(|entry| entry.digest == digest).collect();
        let nth = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let nth = asked.entry(digest).or_default();
            *nth += 1;
            *nth - 1
        };
        let Some(entry) = same.get(nth).or(same.last()) else { return Err(self.unlike(request)) };
        let mut answer = entry.answer.clone();
        answer.usage.cost_micros = None;
        answer.notes = vec![format!("replayed from {}, where {} had answered", self.file, answer.endpoint)];
        answer.endpoint = format!("{} (replayed)", self.name);
        Ok(answer)
    }

    /// Why no recorded request is this one: the first thing in which the nearest differs.
    fn unlike(&self, request: &ModelRequest) -> ModelError {
        let agent = request.agent;
        let own = self.entries.iter().enumerate().filter(|(_, entry)| entry.request.agent == agent);
        let shared = |entry: &Entry| {
            entry.request.messages.iter().zip(&request.messages).take_while(|(then, now)| then == now).count()
        };
        let nearest = own.max_by_key(|(_, entry)| {
            let apart = entry.request.messages.len().abs_diff(request.messages.len());
            (shared(entry), std::cmp::Reverse(apart))
        });
        let Some((at, nearest)) = nearest else {
            return ModelError::Exhausted(self.file.clone(), agent.as_str().into());
        };
        let (then, now) = (&nearest.request, request);
        if shared(nearest) == then.messages.len() && now.messages.len() > then.messages.len() {
            return ModelError::Exhausted(self.file.clone(), agent.as_str().into());
        }
        ModelError::Differs(format!("{}:{}: {}", self.file, at + 1, difference(then, now)))
    }
}

/// The first thing in which two requests differ.
fn difference(then: &ModelRequest, now: &ModelRequest) -> String {
    let pairs = then.messages.iter().map(Some).chain(std::iter::repeat(None));
    let pairs = pairs.zip(now.messages.iter().map(Some).chain(std::iter::repeat(None)));
    let longest = then.messages.len().max(now.messages.len());
    for (at, (then, now)) in pairs.take(longest).enumerate() {
        if then != now {
            let kind = now.or(then).map_or("", role);
            let shown = diff(&then.map(written).unwrap_or_default(), &now.map(written).unwrap_or_default());
            return format!("message {} ({kind}) is another than the recorded one:\n{shown}", at + 1);
        }
    }
    if then.tools != now.tools {
        let shown = diff(&pretty(&then.tools), &pretty(&now.tools));
        return format!("the tools are others than the recorded ones:\n{shown}");
    }
    format!("the schema is another than the recorded one:\n{}", diff(&pretty(&then.output), &pretty(&now.output)))
}

/// A value as text that is read line by line.
fn pretty<T: Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

fn role(message: &Message) -> &'static str {
    match message {
        Message::System { .. } => "system",
        Message::User { .. } => "user",
        Message::Assistant { .. } => "assistant",
        Message::Tool { .. } => "tool",
    }
}

fn written(message: &Message) -> String {
    match message {
        Message::System { text } | Message::User { text } => format!("{text}\n"),
        Message::Assistant { text, calls } => {
            let calls = calls.iter().map(|call| format!("calls {} {} {}\n", call.id, call.name, call.arguments));
            std::iter::once(format!("{text}\n")).chain(calls).collect()
        }
        Message::Tool { call, text } => format!("answers {call}\n{text}\n"),
    }
}

/// A text whose long lines are broken where JSON has its next field or item, so that what differs in them shows.
fn unfolded(text: &str) -> String {
    let long = |line: &str| line.len() > LONGEST_LINE;
    let line =
        |line: &str| if long(line) { line.replace(",\"", ",\n\"").replace(",{", ",\n{") } else { line.to_owned() };
    text.split_inclusive('\n').map(line).collect()
}

/// The lines that differ, with what is near them.
fn diff(then: &str, now: &str) -> String {
    let (then, now) = (unfolded(then), unfolded(now));
    let diff = TextDiff::from_lines(&then, &now);
    let mut lines: Vec<String> = Vec::new();
    for hunk in diff.unified_diff().context_radius(2).iter_hunks() {
        for change in hunk.iter_changes() {
            let line: String = change.value().trim_end().chars().take(LONGEST_LINE).collect();
            lines.push(format!("  {}{}", change.tag(), line));
        }
    }
    let more = lines.len().saturating_sub(MOST_LINES);
    lines.truncate(MOST_LINES);
    if more > 0 {
        lines.push(format!("  … and {more} lines more"));
    }
    lines.join("\n")
}

impl Endpoint for Replay {
    fn name(&self) -> &str {
        &self.name
    }

    fn health(&self) -> &Health {
        &self.health
    }

    fn reserve(&self, _: &ModelRequest) -> u64 {
        0
    }

    fn ask<'a>(
        &'a self,
        request: &'a ModelRequest,
        watch: &'a mut (dyn FnMut(Delta) + Send),
    ) -> BoxFuture<'a, Result<Answer, Trouble>> {
        Box::pin(async move { Ok(told(self.turn(request).map_err(Trouble::Final)?, watch)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        artifact::Agent,
        engagement::{Finish, Usage},
    };

    struct Counting(Mutex<u32>);

    impl Model for Counting {
        fn answer<'a>(
            &'a self,
            _: &'a ModelRequest,
            _: &'a mut (dyn FnMut(Delta) + Send),
        ) -> Pin<Box<dyn Future<Output = Result<Answer, ModelError>> + Send + 'a>> {
            let mut n = self.0.lock().unwrap();
            *n += 1;
            let text = format!("answer {n}");
            let usage = Usage { input: 5, output: 2, estimated: false, cost_micros: Some(9) };
            let (endpoint, model) = ("main".into(), "m".into());
            let answer =
                Answer { text, calls: vec![], finish: Finish::Stop, usage, endpoint, model, notes: vec!["n".into()] };
            Box::pin(async move { Ok(answer) })
        }
    }

    fn request(texts: &[&str]) -> ModelRequest {
        let messages = texts.iter().map(|text| Message::User { text: (*text).into() }).collect();
        ModelRequest { agent: Agent::Design, messages, left_out: 0, tools: Vec::new(), output: None }
    }

    #[tokio::test]
    async fn what_was_recorded_is_answered_again_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cassette.jsonl");
        let recording = Recording::new(Arc::new(Counting(Mutex::new(0))), path.clone());
        for texts in [&["one"][..], &["one", "two"], &["same"], &["same"]] {
            recording.answer(&request(texts), &mut |_| {}).await.unwrap();
        }
        for _ in 0..2 {
            let replay = Replay::read("tape", &path).unwrap();
            // In whatever order they are asked for; the same request gets its answers in turn, and then the last.
            for (texts, text) in [
                (&["one", "two"][..], "answer 2"),
                (&["one"], "answer 1"),
                (&["same"], "answer 3"),
                (&["same"], "answer 4"),
                (&["same"], "answer 4"),
            ] {
                let answer = replay.turn(&request(texts)).unwrap();
                assert_eq!((answer.text.as_str(), answer.endpoint.as_str()), (text, "tape (replayed)"));
                assert_eq!((answer.usage.tokens(), answer.usage.cost_micros), (7, None), "nothing was paid");
                assert!(answer.notes[0].contains("where main had answered"), "{answer:?}");
            }
        }
        let replay = Replay::read("tape", &path).unwrap();
        let long: String = (0..99).map(|n| format!("line {n}\n")).collect();
        for (asked, says, not) in [
            (request(&["one", "two\nand three"]), "cassette.jsonl:2: message 2 (user)", "line 50"),
            (request(&["one", &long]), "… and", "line 50"),
            (request(&["one", "two", "three"]), "no further turn for the design agent", ""),
            (ModelRequest { agent: Agent::Build, ..request(&["one"]) }, "no further turn for the build agent", ""),
        ] {
            let error = replay.turn(&asked).unwrap_err().to_string();
            assert!(error.contains(says) && (not.is_empty() || !error.contains(not)), "{error}");
        }
        let mut offered = request(&["one"]);
        offered.output = Some(crate::model::OutputSchema { name: "spec".into(), schema: serde_json::json!({}) });
        let error = replay.turn(&offered).unwrap_err().to_string();
        assert!(error.contains("the schema is another") && error.contains("+"), "{error}");
        let error = replay.turn(&request(&["one", "two\nand three"])).unwrap_err().to_string();
        assert!(error.contains("+and three") && error.contains(" two"), "{error}");
    }

    #[test]
    fn what_differs_far_inside_a_long_line_is_shown() {
        let fields = |n: usize| (0..n).map(|n| format!("\"field{n}\":{{\"is\":\"value {n}\"}}")).collect::<Vec<_>>();
        let then = format!("{{{}}}\n", fields(200).join(","));
        let now = then.replace("value 150", "another");
        let shown = diff(&then, &now);
        assert!(shown.contains("-\"field150\":{\"is\":\"value 150\"}"), "{shown}");
        assert!(shown.contains("+\"field150\":{\"is\":\"another\"}") && shown.lines().count() < 10, "{shown}");
    }

    #[test]
    fn a_cassette_that_was_changed_is_not_played() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cassette.jsonl");
        let recording = Recording::new(Arc::new(Counting(Mutex::new(0))), path.clone());
        futures::executor::block_on(recording.answer(&request(&["one"]), &mut |_| {})).unwrap();
        let line = std::fs::read_to_string(&path).unwrap();
        for (text, says) in [
            (line.replace("\"one\"", "\"two\""), "cassette.jsonl:1:1: the request is not the one"),
            (format!("{line}\n{{\"turn\": 1}}\n"), "cassette.jsonl:3:1: this is no recorded turn"),
        ] {
            let mut file = OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let error = Replay::read("tape", &path).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let gone = Replay::read("tape", &folder.path().join("none")).map(|_| ()).unwrap_err().to_string();
        assert!(gone.contains("cannot be read"), "{gone}");
    }
}

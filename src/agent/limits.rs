//! When an agent's drafting ends without a draft: answers that are none, calls that are always the same, turns that
//! bring nothing, tokens. Each is counted from the chain, so a restart begins no count anew.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    artifact::{ArtifactKind, Limits, Spec},
    engagement::{About, Answer, DocumentError, Exchange, Gate, read_document},
};

use super::{call::Outcome, offer::ASK, turn::Desk};

/// How often an answer is given back with what is wrong with it.
pub(super) const RETURNS: usize = 3;
/// Answers in a row that are no document and no call.
const MALFORMED: usize = 3;
/// Turns of one draft that ask for exactly the same call.
const SAME_CALL: usize = 3;
/// Turns in a row that bring nothing: every call refused or failed, or an answer given back.
const NO_PROGRESS: usize = 6;
/// Turns about one draft.
const MOST_TURNS: usize = 40;
/// How often a failed step is asked about in vain.
const MOST_IN_VAIN: usize = 3;

/// Why an agent may not have another turn about a draft, if it may not.
pub(super) fn give_up(desk: &Desk<'_>, kind: ArtifactKind) -> Result<Option<String>, DocumentError> {
    let talk = &desk.view.state.talk;
    let (limits, by) = allowed(desk);
    let used = talk.total().tokens;
    if used >= limits.model_tokens {
        return Ok(Some(format!("{by} {} model tokens, and {used} are used", limits.model_tokens)));
    }
    if desk.view.state.worked >= i64::from(limits.minutes) * 60 {
        return Ok(Some(format!("{by} {} minutes of running, and they are over", limits.minutes)));
    }
    // What is failed waits for an answer, and the design says what comes without one.
    let unanswered = |piece: &&Exchange| matches!(piece, Exchange::Turn { turned, .. } if turned.error.is_some());
    let vain = talk.about(kind).iter().filter(unanswered).count();
    if desk.failed(kind) && vain >= MOST_IN_VAIN {
        return Ok(Some(format!("{vain} times no answer came")));
    }
    let mut malformed = 0;
    let mut barren = 0;
    let mut turns = 0;
    let mut same: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (at, piece) in talk.about(kind).iter().enumerate() {
        match piece {
            Exchange::Turn { number, turned } if turned.error.is_none() => {
                turns += 1;
                let calls = desk.calls_of(kind, *number, turned)?;
                if calls.is_empty() {
                    continue;
                }
                let mut of_turn: Vec<(String, String)> = calls.iter().map(|call| call.words()).collect();
                of_turn.sort();
                of_turn.dedup();
                of_turn.into_iter().for_each(|call| *same.entry(call).or_default() += 1);
                let rest = talk.about(kind).get(at + 1..).unwrap_or_default();
                let outcomes: Vec<Outcome> = calls.iter().map(|call| call.outcome(desk, rest)).collect();
                let none = outcomes.iter().all(|outcome| *outcome == Outcome::NoCall);
                malformed = if none { malformed + 1 } else { 0 };
                barren = if outcomes.contains(&Outcome::Something) { 0 } else { barren + 1 };
            }
            Exchange::Returned(returned) => {
                malformed = if returned.malformed { malformed + 1 } else { 0 };
                barren += 1;
            }
            // A person has said something, and what was tried in vain may make sense now; a question that was answered
            // does not.
            Exchange::Said(..) => {
                (malformed, barren) = (0, 0);
                same.retain(|(name, _), _| name == ASK);
            }
            Exchange::Turn { .. } | Exchange::Asked(_) => {}
        }
    }
    if malformed >= MALFORMED {
        return Ok(Some(format!("{malformed} answers in a row were neither a document nor a call")));
    }
    if let Some(((name, _), times)) = same.into_iter().find(|(_, times)| *times >= SAME_CALL) {
        return Ok(Some(format!("it asked {times} times for the same call of `{}`", clipped(&name))));
    }
    if barren >= NO_PROGRESS {
        return Ok(Some(format!("{barren} turns in a row brought nothing new")));
    }
    Ok((turns >= MOST_TURNS).then(|| format!("{turns} turns have led to no draft")))
}

/// What may be used now, and who says so. A spec that nobody has approved yet sets no limit above the usual one, or
/// above what was approved before.
fn allowed(desk: &Desk<'_>) -> (Limits, &'static str) {
    let spec = desk.view.documents.spec().map(|spec| spec.limits);
    if let (Some(limits), true) = (spec, desk.view.state.gate_open(Gate::One)) {
        return (limits, "the spec allows");
    }
    let usual = Limits::default();
    let approved = approved_before(desk).unwrap_or(usual);
    let model_tokens = usual.model_tokens.max(approved.model_tokens);
    let minutes = usual.minutes.max(approved.minutes);
    match spec {
        Some(draft) => {
            let least = Limits {
                model_tokens: draft.model_tokens.min(model_tokens),
                minutes: draft.minutes.min(minutes),
                ..draft
            };
            (least, "until gate 1 is open, an engagement has")
        }
        None => (Limits { model_tokens, minutes, ..usual }, "until gate 1 is open, an engagement has"),
    }
}

/// The limits of the version of the spec that was approved last.
fn approved_before(desk: &Desk<'_>) -> Option<Limits> {
    let mut answers = desk.view.state.answers.iter().rev().map(|(_, _, answered)| answered);
    let yes = answers.find(|answered| answered.about == About::Gate1 && answered.answer == Answer::Approve)?;
    let request: Value = read_document(yes.request, desk.view.blobs, "approval request").ok()?;
    let approved = request.get("artifact")?.as_str()?.parse().ok()?;
    let spec: Spec = read_document(approved, desk.view.blobs, "spec.yaml").ok()?;
    Some(spec.limits)
}

/// Why an answer is not given back once more, if it is not.
pub(super) fn returned_enough(desk: &Desk<'_>, kind: ArtifactKind, problems: &[String]) -> Option<String> {
    let about = desk.view.state.talk.about(kind);
    let since = about.iter().rposition(|piece| matches!(piece, Exchange::Said(..))).map_or(0, |at| at + 1);
    let returned = about.iter().skip(since).filter(|piece| matches!(piece, Exchange::Returned(_))).count();
    (returned >= RETURNS).then(|| {
        let first = problems.first().map(|problem| clipped(problem)).unwrap_or_default();
        format!("its draft was given back {returned} times and still cannot stand: {first}")
    })
}

pub(super) fn clipped(text: &str) -> String {
    let mut short: String = text.chars().take(200).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

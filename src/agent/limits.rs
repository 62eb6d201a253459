//! When an agent's drafting ends without a draft: answers that are none, calls that are always the same, turns that
//! bring nothing, tokens. Each is counted from the chain, so a restart begins no count anew.

use std::collections::BTreeMap;

use crate::{
    artifact::{ArtifactKind, Limits},
    engagement::{DocumentError, Exchange},
};

use super::{call::Outcome, turn::Desk};

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

/// Why an agent may not have another turn about a draft, if it may not.
pub(super) fn give_up(desk: &Desk<'_>, kind: ArtifactKind) -> Result<Option<String>, DocumentError> {
    let talk = &desk.view.state.talk;
    let spec = desk.view.documents.spec();
    let allowed = spec.map_or_else(Limits::default, |spec| spec.limits).model_tokens;
    let used = talk.total().tokens;
    if used >= allowed {
        let by = if spec.is_some() { "the spec allows" } else { "until there is a spec, an engagement has" };
        return Ok(Some(format!("{by} {allowed} model tokens, and {used} are used")));
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
            // A person has said something, and what was tried in vain may make sense now.
            Exchange::Said(..) => {
                (malformed, barren) = (0, 0);
                same.clear();
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

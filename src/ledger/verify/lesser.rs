//! What only versions before wrote so, or what is here with less beside it than is handed on. It is held to less, and so it can
//! be made up by somebody who wants less to be asked.

use crate::engagement::{Body, Event, State};

use super::Papers;

/// What of an event after `state` is written so, and what it lacks.
pub(super) fn lesser(state: Option<&State>, event: &Event, place: u64, papers: &Papers<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |what: String, lacks: &str| found.push(format!("{what} (event {place}), {lacks}"));
    match &event.body {
        Body::Requested(requested) if requested.seal.is_none() => {
            say("what calls are given".into(), "which is not sealed");
        }
        Body::Allowed(allowed) if !papers.is_here(&allowed.decided_on) => {
            say(allowed.call.to_string(), "of which it is not here what it was decided on");
        }
        Body::Redacted(redacted) => {
            if !redacted.people_kept {
                say("a redaction".into(), "of which the people were not kept");
            }
            let statement = redacted.signature.as_ref().and_then(|signature| papers.document(&signature.statement));
            if statement.is_some_and(|statement| statement.get("os_user").is_none()) {
                say("the signature of a redaction".into(), "which does not say whose account it was");
            }
        }
        Body::Answered(answered) => {
            let statement = answered.signature.as_ref().and_then(|signature| papers.document(&signature.statement));
            let lacks = |member: &str| statement.as_ref().is_some_and(|statement| statement.get(member).is_none());
            let what = || format!("the signature of {}", answered.about);
            if lacks("os_user") {
                say(what(), "which does not say whose account it was");
            }
            // With an earlier answer of its own the log was not empty.
            if lacks("log") && state.is_some_and(|state| !state.answers.is_empty()) {
                say(what(), "which does not say what was seen of the log");
            }
        }
        Body::Asked(asked) => {
            if asked.once.is_none() {
                say(asked.about.to_string(), "which does not say in which ledger it was asked");
            }
            // What is missing or cannot be read is said elsewhere.
            let request = papers.document(&asked.request);
            if request.is_some_and(|request| request.get("grounds_kept") != Some(&true.into())) {
                say(asked.about.to_string(), "of which nothing was kept that it was decided on");
            }
        }
        _ => {}
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::Story;

    #[test]
    fn a_signature_after_an_earlier_answer_says_what_was_seen_of_the_log() {
        let story = Story::whole("k7m2q").signed(1);
        let events: Vec<Event> = story.sealed().into_iter().map(|sealed| sealed.event).collect();
        let papers = Papers::new(&story.blobs);
        let of = |before: usize| lesser(Some(&State::replay(&events[..before]).unwrap()), &events[3], 4, &papers);
        assert_eq!(of(3), Vec::<String>::new());
        let lacks = "the signature of gate 1 (the spec) (event 4), which does not say what was seen of the log";
        assert_eq!(of(4), [lacks]);
    }
}

//! Verification of an engagement from nothing but its bytes: no store, no clock, no trust in who hands them over. Pure.
//!
//! Three questions, in this order for each event: are these the bytes that were hashed, in the place where they were
//! hashed; is what the event names there and unchanged; and was the event allowed to follow from those before it. The
//! third is asked only as long as the first has been answered with yes: what follows a broken link proves nothing.

mod again;
mod building;
mod designed;
mod discovered;
mod drafted;
mod drafting;
mod finds;
mod gone;
mod granted;
mod grounds;
mod legible;
mod lesser;
mod order;
mod papers;
mod persons;
mod policy;
mod recorded;
mod rules;
mod signed;
mod stages;
mod steps;
mod turns;
mod undone;
mod verification;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use crate::{
    artifact::{ArtifactKind, Digest, EngagementId},
    engagement::{Actor, Answer, ArtifactFiled, Body, Event, State},
    facts::{AllowedSigners, Identity},
    flow::NodeOutcome,
};

pub(super) use signed::breaches;
pub(super) use stages::{follows, person, raised, ran_at, unsigned_stages, untrusted, verify_stages};

pub(super) use verification::WITNESSED;
pub use verification::{Problem, Subject, Verification};

use gone::Gone;
use grounds::Grounds;
use lesser::lesser;
use papers::{Here, Of, Papers};
use persons::{acted, on_a_name, one_account, signer};
use verification::{NAMED, NOT_WITNESSED, drop_after_the_first};

use super::{
    chain::{self, ChainError},
    log::Freshness,
    mentions::{Mention, Need, beside, mentions},
};

/// Verifies the stored bytes of one engagement's events; `blobs` are the stored bytes of what they name.
pub fn verify(events: &[Vec<u8>], blobs: &BTreeMap<Digest, Vec<u8>>) -> Verification {
    verify_against(events, blobs, None)
}

/// The same, holding signatures against allowed signers of the verifier's own too: those that lie beside a chain say
/// what it was checked against when it was written, and not that they are the right ones.
pub fn verify_against(
    events: &[Vec<u8>],
    blobs: &BTreeMap<Digest, Vec<u8>>,
    signers: Option<&AllowedSigners>,
) -> Verification {
    let mut walk = Walk {
        papers: Papers::new(blobs),
        signers,
        problems: Vec::new(),
        notes: Vec::new(),
        names: Vec::new(),
        ruled: Vec::new(),
        less: Vec::new(),
        moved: Vec::new(),
        changed_since: Vec::new(),
        loosened: Vec::new(),
        once_barred: Vec::new(),
        one_account: Vec::new(),
        acted: Vec::new(),
        grounds: Vec::new(),
        barred: BTreeSet::new(),
        expanded: BTreeSet::new(),
        more: 0,
        gone: Gone::default(),
        link: Link::start(),
        broken: false,
        state: None,
    };
    for (bytes, place) in events.iter().zip(1..) {
        walk.event(bytes, place);
    }
    if events.is_empty() {
        walk.problem(1, "the chain is empty");
    }
    walk.settle_gone();
    walk.note_open_calls();
    walk.note_names();
    let held_to_less = walk.held_to_less();
    walk.notes.extend(held_to_less.as_ref().map(|problem| problem.what.clone()));
    walk.notes.push(NOT_WITNESSED.into());
    let mut verification = Verification {
        ok: walk.problems.is_empty(),
        of: walk.subject(),
        events: events.len() as u64,
        head: walk.link.last.map(|last| last.hash),
        freshness: Freshness::NotWitnessed,
        problems: walk.problems,
        notes: walk.notes,
        uncovered: Vec::new(),
        held_to_less,
        on_a_name: walk.names.len() as u64,
    };
    verification.keep_the_first(walk.more);
    verification
}

struct Walk<'a> {
    papers: Papers<'a>,
    signers: Option<&'a AllowedSigners>,
    problems: Vec<Problem>,
    notes: Vec<String>,
    /// The answers that people gave without a signature, each with its place.
    names: Vec<String>,
    /// The changes that ran on a rule alone.
    ruled: Vec<String>,
    /// What is written as versions before did, and held to less; the place of each.
    less: Vec<(u64, String)>,
    /// The calls that were decided on other tools or targets than were approved.
    moved: Vec<String>,
    /// The changes that were decided when files were not those of the question any more.
    changed_since: Vec<String>,
    /// The questions that need no signature, where gate 1 did.
    loosened: Vec<String>,
    /// The answers of people whom an earlier question let answer nothing.
    once_barred: Vec<String>,
    barred: BTreeSet<String>,
    /// The approvals from the operating-system user that asked, under another name, where duties are apart.
    one_account: Vec<String>,
    /// What people did that no question asks for, and who they are.
    acted: Vec<(String, Identity)>,
    /// What questions were decided on, where that is here.
    grounds: Vec<Arc<Grounds>>,
    /// The requests whose documents were looked at.
    expanded: BTreeSet<Digest>,
    /// How many problems there are beside those that are kept.
    more: usize,
    /// The sealed documents that are not there, and what was destroyed.
    gone: Gone,
    link: Link,
    /// Whether a link did not hold.
    broken: bool,
    /// What the events fold into, as long as every link has held.
    state: Option<State>,
}

/// What the next event must follow.
struct Link {
    engagement: Option<EngagementId>,
    /// The place of the event before.
    seq: u64,
    /// The event before, where it can be read.
    last: Option<Last>,
}

struct Last {
    at: Timestamp,
    hash: Digest,
}

impl Link {
    fn start() -> Self {
        Self { engagement: None, seq: 0, last: None }
    }

    /// Why an event does not follow.
    fn breaks(&self, event: &Event) -> Option<String> {
        if let Some(engagement) = &self.engagement
            && *engagement != event.engagement
        {
            return Some(format!("the event belongs to engagement {}, not to {engagement}", event.engagement));
        }
        let expected = self.seq + 1;
        if event.seq != expected {
            return Some(ChainError::Seq { expected, found: event.seq }.to_string());
        }
        match &self.last {
            None if self.seq == 0 && event.prev != Digest::ZERO => {
                Some(ChainError::Prev { seq: event.seq, expected: Digest::ZERO, found: event.prev }.to_string())
            }
            None if self.seq == 0 && !matches!(event.body, Body::Requested(_)) => {
                Some(format!("the chain begins with {}, not with engagement.requested", event.body.kind()))
            }
            None => None,
            Some(last) if event.prev != last.hash => {
                Some(ChainError::Prev { seq: event.seq, expected: last.hash, found: event.prev }.to_string())
            }
            Some(last) if event.at < last.at => {
                Some(format!("event {} is earlier ({}) than the event before it ({})", event.seq, event.at, last.at))
            }
            Some(_) => None,
        }
    }
}

impl Walk<'_> {
    /// Which engagement this is, in its own words.
    fn subject(&self) -> Option<Subject> {
        let state = self.state.as_ref()?;
        let spec = state.artifact(ArtifactKind::Spec).and_then(|digest| self.papers.document(&digest));
        let called = spec.as_ref().and_then(|spec| spec.get("title")?.as_str());
        Some(Subject {
            engagement: state.id.clone(),
            title: called.unwrap_or(&state.requested.title).to_owned(),
            outcome: state.closed.as_ref().map(|closed| closed.outcome),
        })
    }

    fn problem(&mut self, seq: u64, what: impl Into<String>) {
        // A problem begins with its place by itself.
        let what = what.into();
        let what = what.strip_prefix(&format!("event {seq} ")).map(str::to_owned).unwrap_or(what);
        self.problems.push(Problem::at(seq, what));
    }

    fn event(&mut self, bytes: &[u8], place: u64) {
        let event = match chain::read(bytes) {
            Ok(event) => event,
            Err(error) => {
                self.broken = true;
                self.problem(place, error.to_string());
                self.link.seq += 1;
                self.link.last = None;
                return;
            }
        };
        if let Some(what) = self.link.breaks(&event) {
            self.broken = true;
            self.problem(place, what);
        }
        self.documents(&event, place);
        self.more += drop_after_the_first(&mut self.problems);
        if let Some(digest) = self.gone.note(&event, self.state.as_ref(), &self.papers) {
            self.problem(place, format!("says that {digest} was destroyed, and it is here"));
        }
        if !self.broken {
            self.rules(&event, place);
        }
        self.link = Link {
            engagement: Some(event.engagement),
            seq: event.seq,
            last: Some(Last { at: event.at, hash: event.hash }),
        };
    }

    /// Whether what an event names is there and unchanged, and of a question what its request names.
    fn documents(&mut self, event: &Event, place: u64) {
        let read =
            matches!(&event.body, Body::Asked(_) | Body::Filed(ArtifactFiled { artifact: ArtifactKind::Record, .. }));
        self.named(mentions(event), place, if read { Of::Read } else { Of::Any });
        self.less.extend(lesser(self.state.as_ref(), event, place, &self.papers).into_iter().map(|what| (place, what)));
        let Body::Asked(asked) = &event.body else { return };
        // What is missing or cannot be read is said elsewhere.
        let Some(request) = self.papers.document(&asked.request) else { return };
        if request.get("grounds_kept") == Some(&true.into()) && self.expanded.insert(asked.request) {
            self.named(beside(&request), place, Of::Shared);
        }
    }

    fn named(&mut self, mentions: Vec<Mention>, place: u64, of: Of) {
        for mention in mentions {
            let Mention { digest, ref what, need, sealed } = mention;
            match (self.papers.here(&digest, if sealed { Of::Sealed } else { of }), need) {
                (Here::Unchanged, _) => {}
                (Here::NoDocument, _) => {
                    self.problem(place, format!("{what} ({digest}) is no JSON document in canonical form"));
                }
                (Here::Changed(is), _) => {
                    self.problem(place, format!("{what} ({digest}) was changed: its bytes hash to {is}"));
                }
                (Here::Missing, _) if sealed => self.gone.missing.push((place, mention)),
                (Here::Missing, Need::Extra | Need::Beside | Need::Own) => {}
                (Here::Missing, Need::Must) => self.problem(place, format!("{what} ({digest}) is missing")),
                (Here::Missing, Need::May) => self.notes.push(format!("left out: {what} ({digest})")),
            }
        }
    }

    /// Whether an event was allowed to follow from those before it; then it is folded.
    fn rules(&mut self, event: &Event, place: u64) {
        self.acted.extend(acted(event));
        if let Body::Asked(asked) = &event.body {
            self.grounds.extend(self.papers.grounds(&asked.request));
        }
        let Some(state) = &mut self.state else {
            let wrong = drafting::begun(event, &|digest| self.papers.document(digest));
            self.problems.extend(wrong.into_iter().map(|what| Problem::at(place, what)));
            self.state = State::begin(event);
            return;
        };
        let papers = &self.papers;
        let document = |digest: &Digest| papers.document(digest);
        let mut breaches = rules::breaches(state, event, papers);
        let mut otherwise = Vec::new();
        match &event.body {
            Body::Settled(settled) => otherwise.extend(again::came_to(state, event, settled, papers)),
            Body::Filed(filed) => breaches.extend(drafted::otherwise(state, &event.actor, filed, papers)),
            Body::Asked(asked) => {
                breaches.extend(drafted::flow(state, asked, papers));
                breaches.extend(drafted::shown(state, asked, papers));
            }
            _ => {}
        }
        breaches.extend(turns::breaches(state, event, papers));
        let mut recorded = recorded::filed(state, event, papers);
        if recorded.wrong.is_empty()
            && let Some(mut made) = recorded::made(state, event, papers)
        {
            otherwise.append(&mut made.wrong);
            recorded.and(made);
        }
        breaches.extend(recorded.wrong);
        let words = recorded.words.into_iter().map(|words| format!("the record of event {place}: {words}"));
        self.notes.extend(words);
        // Where calls went on with other tools than the approved ones, which read a state otherwise perhaps, it is no proof.
        if self.moved.is_empty() {
            breaches.extend(otherwise);
        } else {
            let said =
                |what| format!("OTHERWISE WITH THE APPROVED TOOLS, which were others later: event {place}: {what}");
            self.notes.extend(otherwise.into_iter().map(said));
        }
        let unsigned = signed::breaches(state, event, &document, self.signers);
        // Whose key it was is said only of a signature that holds.
        if unsigned.is_empty() {
            self.notes.extend(signer(event, self.signers.is_some(), papers));
        }
        breaches.extend(unsigned);
        self.names.extend(on_a_name(event));
        match &event.body {
            Body::Allowed(allowed) => {
                self.ruled.extend(granted::on_a_rule(allowed));
                self.moved.extend(grounds::moved(state, allowed, papers));
                self.changed_since.extend(grounds::changed_since(state, allowed, papers));
            }
            Body::Asked(asked) => {
                let loosened = grounds::loosened(state, asked, papers);
                self.loosened.extend(loosened.map(|about| format!("{about} (event {place})")));
                self.barred.extend(asked.barred.iter().cloned());
            }
            Body::Answered(answered) if answered.answer == Answer::Approve => {
                if let Actor::Person(Identity { name, .. }) = &event.actor
                    && self.barred.contains(name)
                {
                    self.once_barred.push(format!("{} by {name} (event {place})", answered.about));
                }
                self.one_account.extend(one_account(state, &event.actor).map(|who| format!("{who} (event {place})")));
            }
            _ => {}
        }
        state.apply(event);
        self.problems.extend(breaches.into_iter().map(|what| Problem::at(place, what)));
    }

    fn settle_gone(&mut self) {
        let (problems, notes) = std::mem::take(&mut self.gone).settle();
        self.notes.extend(notes);
        if !problems.is_empty() {
            self.problems.extend(problems);
            self.problems.sort_by_key(|problem| problem.seq);
        }
    }

    fn note_names(&mut self) {
        let (one, more) = ("on a name alone, which shows nothing about who it was", ["answer", "answers"]);
        self.notes.extend(list(one, more, &self.names));
        let one = "without anybody's approval of the call, on a rule that is not tried here";
        self.notes.extend(list(one, ["change", "changes"], &self.ruled));
        let one = "on other tools or targets than were approved, to look at what was done, take it back or clear up";
        self.notes.extend(list(one, ["call", "calls"], &self.moved));
        let one = "after files changed since its question, with the tools and targets that were approved";
        self.notes.extend(list(one, ["change", "changes"], &self.changed_since));
        // People change, and whoever did it may have been there before or after.
        let nobody = |who: &Identity| self.grounds.iter().all(|grounds| grounds.people.roles(who).is_empty());
        let acted = self.acted.iter().filter(|(_, who)| !self.grounds.is_empty() && nobody(who));
        let acted: Vec<String> = acted.map(|(what, _)| what.clone()).collect();
        self.notes.extend(list(
            "by SOMEBODY WITHOUT A ROLE in the people of its questions",
            ["thing done", "things done"],
            &acted,
        ));
        let one = "by somebody whom an earlier question barred from it";
        self.notes.extend(list(one, ["answer", "answers"], &self.once_barred));
        let one = "FROM THE ACCOUNT THAT ASKED, where nobody approves their own work";
        self.notes.extend(list(one, ["approval", "approvals"], &self.one_account));
        let one = "on a name alone, where gate 1 needed a signature";
        self.notes.extend(list(one, ["question", "questions"], &self.loosened));
    }

    /// What nobody but a version before writes so, or somebody who wants less to be asked of it.
    fn held_to_less(&self) -> Option<Problem> {
        let (first, _) = self.less.first()?;
        let all: Vec<String> = self.less.iter().map(|(_, what)| what.clone()).collect();
        let what = list("HELD TO LESS, as versions before wrote it", ["thing", "things"], &all)?;
        Some(Problem::at(*first, what))
    }

    fn note_open_calls(&mut self) {
        let Some(state) = self.state.as_ref().filter(|_| !self.broken) else { return };
        for (id, call) in state.calls.iter().filter(|(_, call)| call.in_doubt()) {
            let ending = if call.outcome.is_none() { "has no outcome" } else { "has the outcome `unknown`" };
            let purpose = call.purpose.words();
            let settled = call.purpose.node().and_then(|node| state.nodes.get(node));
            let node = call.purpose.node();
            let said = node.and_then(|node| state.applied.get(node));
            let said_of_undo = node.and_then(|node| state.taken_back.get(node));
            let came = match settled.map(|settled| settled.outcome) {
                Some(NodeOutcome::Done) if said.is_some() => "; its step is done, or a person said so",
                Some(NodeOutcome::Failed) if said == Some(&false) => "; a person said that it did not take effect",
                Some(NodeOutcome::Failed) if settled.is_some_and(|settled| settled.changed) => {
                    "; its step failed and left something"
                }
                None | Some(NodeOutcome::Unknown) => "",
                Some(NodeOutcome::Done) => "; its step was seen to be done",
                Some(NodeOutcome::Unchanged | NodeOutcome::Skipped) => "; its step had nothing to do in the end",
                Some(NodeOutcome::Undone) if said_of_undo.is_some() => "; its step is taken back, or a person said so",
                Some(NodeOutcome::UndoFailed) if said_of_undo == Some(&false) => {
                    "; its step is not taken back, or a person said so"
                }
                Some(NodeOutcome::Undone) => "; its step was seen to be taken back",
                Some(NodeOutcome::UndoFailed) => "; its step could not be taken back",
                Some(NodeOutcome::Failed | NodeOutcome::NotRun) => "; its step did not take effect in the end",
            };
            self.notes.push(format!("unknown: {id} ({purpose}) was allowed at {} and {ending}{came}", call.at));
        }
    }
}

/// What is said of several: how many there are, and the first of them.
fn list(what: &str, [one, more]: [&str; 2], all: &[String]) -> Option<String> {
    let listed: Vec<&str> = all.iter().map(String::as_str).take(NAMED).collect();
    let (listed, all) = (listed.join(", "), all.len());
    let rest = if all > NAMED { format!(", and {} more", all - NAMED) } else { String::new() };
    let name = if all == 1 { one } else { more };
    (all > 0).then(|| format!("{what}: {all} {name}: {listed}{rest}"))
}

#[cfg(test)]
mod gone_tests;
#[cfg(test)]
mod granted_tests;
#[cfg(test)]
mod grounds_tests;
#[cfg(test)]
mod named_tests;
#[cfg(test)]
mod recorded_tests;
#[cfg(test)]
mod signed_tests;
#[cfg(test)]
mod building_tests;
#[cfg(test)]
mod considered_tests;
#[cfg(test)]
mod designed_tests;
#[cfg(test)]
mod discovered_tests;
#[cfg(test)]
mod drafting_tests;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod steps_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod undone_tests;

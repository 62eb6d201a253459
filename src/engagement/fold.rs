//! How the events of an engagement fold into its state. Nothing is decided here: an event that was written is believed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    artifact::{Agent, ArtifactKind, CallId, Digest, NodeId, Phase},
    facts::Role,
    flow::{NodeOutcome, Settled},
    policy::Layer,
};

use super::{
    call::{CUT_OFF, Call},
    event::{Actor, Body, CallFinished, CallOutcome, Event, NodeSettled, RefusedAs, Retried},
    purpose::Purpose,
    question::{About, Answer, Answered},
    state::{Deviation, Filed, GateState, State},
};

/// A longer gap between two events is not work, in seconds.
const LONGEST_WORK: i64 = 600;

impl State {
    /// The state after the first event, if it is one that begins an engagement.
    pub fn begin(event: &Event) -> Option<Self> {
        let Body::Requested(requested) = &event.body else { return None };
        Some(Self {
            id: event.engagement.clone(),
            seq: event.seq,
            head: event.hash,
            opened_at: event.at,
            last_at: event.at,
            last_over: None,
            requested: requested.clone(),
            requester: event.actor.clone(),
            phase: Phase::Requirements,
            artifacts: BTreeMap::new(),
            versions: BTreeMap::new(),
            filed: BTreeMap::new(),
            authors: BTreeMap::new(),
            shown: BTreeMap::new(),
            proved: None,
            gate1: GateState::Closed,
            gate2: GateState::Closed,
            talk: Default::default(),
            asked: None,
            asked_at: None,
            barred: BTreeSet::new(),
            signed: false,
            asked_in: None,
            calls: BTreeMap::new(),
            under_way: BTreeSet::new(),
            acted: BTreeSet::new(),
            acting: BTreeSet::new(),
            served: BTreeMap::new(),
            effects: BTreeMap::new(),
            changed: BTreeSet::new(),
            approved_calls: BTreeMap::new(),
            approved_roles: BTreeMap::new(),
            approved_until: BTreeMap::new(),
            rejected_calls: BTreeMap::new(),
            nodes: BTreeMap::new(),
            reasons: BTreeMap::new(),
            attempts: BTreeMap::new(),
            filling: None,
            considered: Vec::new(),
            deviations: Vec::new(),
            answers: Vec::new(),
            applied: BTreeMap::new(),
            taken_back: BTreeMap::new(),
            ran: 0,
            refused: 0,
            outside: 0,
            outside_seen: 0,
            waited: 0,
            worked: 0,
            idle: true,
            refused_anew: false,
            cancelled: None,
            closed: None,
            sealed_answers: BTreeSet::new(),
            redacted: BTreeSet::new(),
        })
    }

    /// The state that a whole history folds into; nothing if it does not begin as an engagement does.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Option<Self> {
        let mut events = events.into_iter();
        let mut state = Self::begin(events.next()?)?;
        for event in events {
            state.apply(event);
        }
        Some(state)
    }

    /// The seconds of work between the last event and this time; `waited` where a call was waited for all the while.
    fn running(&self, now: Timestamp, waited: bool) -> i64 {
        let gap = now.as_second() - self.last_at.as_second();
        let works = self.asked.is_none() && !self.idle && gap >= 0 && (waited || gap <= LONGEST_WORK);
        if works { gap } else { 0 }
    }

    /// The seconds of work until this time.
    pub fn worked_by(&self, now: Timestamp) -> i64 {
        self.worked + self.running(now, false)
    }

    /// The state after one more event.
    pub fn apply(&mut self, event: &Event) {
        // A call that answered was waited for, however long that took; one whose process ended was not.
        let heard = |over: &CallFinished| !over.message.as_deref().is_some_and(|said| said.starts_with(CUT_OFF));
        let answered = matches!(&event.body, Body::Finished(over) if heard(over));
        self.worked += self.running(event.at, answered);
        self.idle = match &event.body {
            Body::Answered(_) | Body::Closed(_) | Body::Cancelled { .. } | Body::Retried(_) => true,
            Body::Filed(_) => matches!(event.actor, Actor::Person(_)),
            Body::Inquired(_) | Body::Said(_) | Body::Redacted(_) => true,
            _ => false,
        };
        self.seq = event.seq;
        self.head = event.hash;
        self.last_at = event.at;
        match &event.body {
            // Trust is kept in a chain of its own and says nothing here.
            Body::Requested(_) | Body::TrustSet(_) => {}
            Body::Entered { phase, .. } => {
                self.phase = *phase;
                self.close_question(event.at);
            }
            Body::Filed(filed) => {
                self.void_after(filed.artifact, event.at);
                let version =
                    Filed { version: filed.version, digest: filed.digest, author: event.actor.clone(), at: event.at };
                self.artifacts.insert(filed.artifact, version);
                // A new version of an earlier artifact goes back to its phase.
                match filed.artifact {
                    ArtifactKind::Spec => self.phase = Phase::Requirements,
                    ArtifactKind::Design => self.phase = Phase::Design,
                    ArtifactKind::Discovery | ArtifactKind::Flow | ArtifactKind::Record => {}
                }
                self.versions.insert(filed.artifact, filed.version);
                self.filed.entry(filed.artifact).or_default().push(filed.digest);
                self.authors.entry(filed.artifact).or_default().push(event.actor.clone());
                self.talk.filed(filed.artifact, &event.actor);
            }
            Body::Turned(turned) => {
                self.sealed_answers.extend(turned.response.filter(|_| turned.sealed));
                self.talk.turned(turned);
            }
            Body::Inquired(asked) => self.talk.asked(asked, event.at),
            Body::Said(said) => self.waited += self.talk.said(&event.actor, said, event.at),
            Body::Returned(returned) => self.talk.returned(returned),
            Body::HolesFilled(filled) => self.filling = Some(filled.clone()),
            Body::Considered(considered) => {
                self.talk.considered();
                self.considered.push(considered.clone());
            }
            Body::Proved(proved) => self.proved = Some(proved.clone()),
            Body::Asked(asked) => {
                if self.asked.is_none() {
                    self.asked_at = Some(event.at);
                }
                self.barred = asked.barred.clone();
                // What once needed a signature is not undone on a name by asking something that needs none.
                self.signed |= asked.needs_signature();
                if let (None, Some(once)) = (&self.asked_in, &asked.once) {
                    self.asked_in = Some(once.ledger.clone());
                }
                let kind = match asked.about {
                    About::Gate1 => Some(ArtifactKind::Spec),
                    About::Gate2 => Some(ArtifactKind::Design),
                    _ => None,
                };
                if let Some((kind, filed)) = kind.and_then(|kind| Some((kind, self.artifacts.get(&kind)?))) {
                    self.shown.entry(kind).or_default().insert(filed.version);
                }
                self.asked = Some(asked.clone());
            }
            Body::Answered(answered) => self.answered(&event.actor, event.at, answered),
            Body::Allowed(allowed) => {
                let call = Call {
                    purpose: allowed.purpose.clone(),
                    agent: allowed.agent,
                    tool: allowed.tool.to_string(),
                    target: Some(allowed.target.clone()),
                    args: allowed.args.clone(),
                    digest: Some(allowed.digest),
                    grant: Some(allowed.grant.clone()),
                    used_approval: allowed.approved,
                    at: event.at,
                    refused: None,
                    rule: None,
                    outcome: None,
                    result: None,
                    message: None,
                };
                self.calls.insert(allowed.call.clone(), call);
                self.under_way.insert(allowed.call.clone());
                if let Purpose::Act { node, attempt, .. } = &allowed.purpose {
                    self.acted.insert((node.clone(), *attempt));
                    self.acting.insert(node.clone());
                }
                self.served.insert(allowed.purpose.clone(), allowed.call.clone());
                self.ran += 1;
                if let Some(effect) = &allowed.counts {
                    self.effects.entry(allowed.grant.clone()).or_default().insert(effect.clone());
                    self.changed.insert(allowed.target.clone());
                }
                if allowed.approved
                    && let Some(left) = self.approved_calls.get_mut(&allowed.digest)
                {
                    *left = left.saturating_sub(1);
                }
            }
            Body::Refused(refused) => {
                let reason = refused.rules.last().map(|spoke| spoke.reason.clone()).unwrap_or_default();
                // The verifier is the platform's own reader: what it may not read is nobody's attempt. Nor is what a
                // person proposes by hand.
                let boundary = refused.rules.last().is_some_and(|spoke| spoke.layer == Layer::Boundary);
                let outside = refused.refused == RefusedAs::Denied && boundary && refused.agent != Agent::Verifier;
                let outside = outside && !matches!(event.actor, Actor::Person(_));
                let call = Call {
                    purpose: refused.purpose.clone(),
                    agent: refused.agent,
                    tool: refused.tool.clone(),
                    target: None,
                    args: refused.args.clone(),
                    digest: refused.digest,
                    grant: None,
                    used_approval: false,
                    at: event.at,
                    refused: Some((refused.refused, reason)),
                    rule: refused.rules.last().map(|spoke| spoke.rule.clone()),
                    outcome: None,
                    result: None,
                    message: None,
                };
                self.calls.insert(refused.call.clone(), call);
                // What was done stays what its purpose is known by, whatever is proposed after it.
                let effect = matches!(refused.purpose, Purpose::Act { .. } | Purpose::Undo { .. });
                let nothing = |known: &Call| known.refused.is_some() || known.outcome == Some(CallOutcome::NotSent);
                if !effect || self.call_for(&refused.purpose).is_none_or(|(_, known)| nothing(known)) {
                    self.served.insert(refused.purpose.clone(), refused.call.clone());
                }
                self.refused += u64::from(!matches!(refused.refused, RefusedAs::NeedsApproval(_)));
                self.outside += u64::from(outside);
            }
            Body::Finished(finished) => {
                self.under_way.remove(&finished.call);
                self.last_over = Some((finished.call.clone(), event.at));
                if let Some(call) = self.calls.get_mut(&finished.call) {
                    call.outcome = Some(finished.outcome);
                    call.result = finished.result;
                    call.message = finished.message.clone();
                }
                // What was never sent has used up nobody's yes.
                if finished.outcome == CallOutcome::NotSent {
                    self.give_back(&finished.call, event.at);
                }
            }
            Body::Void(void) if void.attempt == self.attempt(&void.node) => {
                let node = &void.node;
                self.served.remove(&Purpose::BeforeUndo { node: node.clone() });
                self.served.remove(&Purpose::Undo { node: node.clone() });
                self.served.remove(&Purpose::UndoCheck { node: node.clone() });
                self.taken_back.remove(node);
            }
            Body::Void(void) => {
                self.attempts.insert(void.node.clone(), void.attempt);
                self.applied.remove(&void.node);
                self.give_back(&void.call, event.at);
            }
            Body::Settled(settled) => {
                self.settled(settled);
                if self.asked.as_ref().is_some_and(|asked| asked.about.node() == Some(&settled.node)) {
                    self.close_question(event.at);
                }
            }
            Body::Deviated(found) => {
                self.deviations.push(Deviation {
                    found: found.clone(),
                    accepted_by: None,
                    accepted_on: None,
                    accepted_until: None,
                    rejected: None,
                });
            }
            Body::Retried(retried) => self.retried(retried, event.at),
            Body::Cancelled { reason } => {
                self.cancelled = Some(reason.clone());
                self.close_question(event.at);
            }
            Body::Redacted(redacted) => self.redacted.extend(&redacted.destroyed),
            Body::Closed(closed) => {
                self.closed = Some(closed.clone());
                self.close_question(event.at);
            }
        }
    }

    /// A new version of an artifact voids every later one, the gates that stood on them and what was read for them.
    fn void_after(&mut self, kind: ArtifactKind, at: Timestamp) {
        self.artifacts.retain(|other, _| *other < kind);
        if kind <= ArtifactKind::Design {
            self.filling = None;
            self.considered.clear();
        }
        match kind {
            ArtifactKind::Spec => {
                self.gate1 = GateState::Closed;
                self.gate2 = GateState::Closed;
                self.served.clear();
                self.nodes.clear();
                self.reasons.clear();
                self.approved_calls.clear();
                self.approved_roles.clear();
                self.approved_until.clear();
            }
            ArtifactKind::Design => {
                self.gate2 = GateState::Closed;
                self.served.retain(|purpose, _| {
                    matches!(
                        purpose,
                        Purpose::Find { .. }
                            | Purpose::Discover { .. }
                            | Purpose::CheckBefore { .. }
                            | Purpose::Baseline { .. }
                            | Purpose::Turn { .. }
                            | Purpose::Proposed { .. }
                    )
                });
                self.nodes.clear();
                self.reasons.clear();
                self.approved_calls.clear();
                self.approved_roles.clear();
                self.approved_until.clear();
            }
            ArtifactKind::Discovery | ArtifactKind::Flow | ArtifactKind::Record => {}
        }
        if kind <= ArtifactKind::Design {
            self.close_question(at);
        }
    }

    fn close_question(&mut self, at: Timestamp) {
        self.asked = None;
        if let Some(since) = self.asked_at.take() {
            self.waited += (at.as_second() - since.as_second()).max(0);
        }
    }

    fn answered(&mut self, actor: &Actor, at: Timestamp, answered: &Answered) {
        let anew = self.asked_anew().is_some();
        self.close_question(at);
        self.answers.push((actor.clone(), at, answered.clone()));
        let reason = || answered.reason.clone().unwrap_or_default();
        let approved = answered.answer == Answer::Approve;
        if anew && !approved {
            return self.refused_anew(actor, answered);
        }
        // What gate 2 approved before is approved with the new answer, or not at all.
        if anew && answered.about == About::Gate2 {
            self.approved_calls.clear();
            self.approved_roles.clear();
            self.approved_until.clear();
        }
        if approved {
            for call in &answered.calls {
                self.approve(*call, answered.role, answered.expires);
            }
        }
        match &answered.about {
            About::Gate1 | About::Gate2 => {
                let kind = if answered.about == About::Gate1 { ArtifactKind::Spec } else { ArtifactKind::Design };
                let gate = match self.artifact(kind) {
                    Some(artifact) if approved => {
                        GateState::Open { artifact, request: answered.request, by: actor.clone() }
                    }
                    _ => GateState::Rejected { by: actor.clone(), reason: reason() },
                };
                match answered.about {
                    About::Gate1 => self.gate1 = gate,
                    _ => self.gate2 = gate,
                }
            }
            About::Call { call, .. } if approved => {
                self.rejected_calls.remove(call);
                if answered.calls.is_empty() {
                    self.approve(*call, answered.role, answered.expires);
                }
            }
            About::Call { call, .. } => {
                self.rejected_calls.insert(*call, reason());
            }
            About::Deviation { node } => {
                let of_undo = self.deviation_at(node).is_some_and(|last| last.found.undo);
                let open = self.deviations.iter_mut().rev().find(|deviation| deviation.found.node == *node);
                if let Some(deviation) = open {
                    if approved {
                        deviation.accepted_by = Some(actor.clone());
                        deviation.accepted_on = Some(answered.request);
                        deviation.accepted_until = answered.expires;
                    } else {
                        deviation.rejected = Some(reason());
                    }
                }
                // Who accepts a call after a failure agrees to exactly that call, for one use; not who lets it be taken back.
                if let Some(call) = self.wanted_call(node).filter(|_| approved && !of_undo) {
                    self.approve(call, answered.role, answered.expires);
                }
            }
            About::Failure { node } => {
                if let (Answer::Choose(choice), Some(settled)) = (&answered.answer, self.nodes.get_mut(node)) {
                    settled.chosen = Some(*choice);
                }
            }
            About::Unknown { node, undo } => {
                if let Answer::Applied(applied) = answered.answer {
                    let told = if *undo { &mut self.taken_back } else { &mut self.applied };
                    told.insert(node.clone(), applied);
                }
            }
        }
    }

    /// A no to a gate that was asked anew: before the build it goes back to the spec or the design; in the build it ends
    /// what is left, and what was done is looked at and recorded.
    fn refused_anew(&mut self, actor: &Actor, answered: &Answered) {
        let reason = answered.reason.clone().unwrap_or_default();
        if self.phase == Phase::Build {
            self.refused_anew = true;
            let said = format!("{} was asked anew and rejected: {reason}", answered.about);
            self.cancelled.get_or_insert(said);
        } else if answered.about == About::Gate2 {
            self.gate2 = GateState::Rejected { by: actor.clone(), reason };
        } else {
            self.phase = Phase::Requirements;
            self.gate1 = GateState::Rejected { by: actor.clone(), reason };
            self.gate2 = GateState::Closed;
        }
    }

    fn approve(&mut self, call: Digest, role: Role, expires: Option<Timestamp>) {
        // The last yes says how long; an earlier one cannot make it longer.
        match expires {
            Some(until) => self.approved_until.insert(call, until),
            None => self.approved_until.remove(&call),
        };
        // The newest yes stands in place of older ones: what was left over of them is not added to it.
        self.approved_calls.insert(call, 1);
        self.approved_roles.insert(call, role);
    }

    /// The approval that a call used counts once more. Where gate 2 was answered since and does not name the call, or
    /// somebody said no to it, there is nothing to give back.
    fn give_back(&mut self, call: &CallId, now: Timestamp) {
        let used = self.calls.get(call).filter(|call| call.used_approval).and_then(|call| call.digest);
        if let Some(digest) = used.filter(|digest| self.agreed_to(digest, now)) {
            self.approved_calls.insert(digest, 1);
        }
    }

    /// The nodes begin again: what they came to and what was read of the whole is forgotten, what they did is not.
    fn retried(&mut self, retried: &Retried, at: Timestamp) {
        let again = |node: &NodeId| retried.nodes.contains_key(node.as_str());
        self.closed = None;
        // What was said about a failure is about none that comes.
        self.talk.considered();
        self.refused_anew = false;
        self.outside_seen = self.outside;
        self.phase = Phase::Build;
        self.artifacts.remove(&ArtifactKind::Record);
        self.close_question(at);
        self.served.retain(|purpose, _| match purpose {
            Purpose::CheckAfter { .. } | Purpose::Observe { .. } => false,
            Purpose::BeforeUndo { node } | Purpose::Undo { node } | Purpose::UndoCheck { node } => !again(node),
            _ => true,
        });
        self.acting.extend(self.nodes.keys().filter(|node| again(node)).cloned());
        self.nodes.retain(|node, _| !again(node));
        self.reasons.retain(|node, _| !again(node));
        self.applied.retain(|node, _| !again(node));
        self.taken_back.retain(|node, _| !again(node));
        for deviation in self.deviations.iter_mut().filter(|deviation| again(&deviation.found.node)) {
            deviation.rejected = None;
        }
        // Who tries again has what was refused asked about anew: nothing runs by that.
        let of_again = self.calls.values().filter(|call| call.purpose.node().is_some_and(&again));
        for call in of_again.filter_map(|call| call.digest) {
            self.rejected_calls.remove(&call);
        }
        for (node, attempt) in &retried.nodes {
            if let Ok(node) = serde_json::from_value(Value::String(node.clone())) {
                self.attempts.insert(node, *attempt);
            }
        }
        for call in &retried.calls {
            // Trying again makes an approval last no longer than it was given for.
            let until = self.approved_until.get(call).copied();
            self.approve(*call, Role::Approver, until);
        }
    }

    fn settled(&mut self, settled: &NodeSettled) {
        let failed = matches!(settled.outcome, NodeOutcome::Failed | NodeOutcome::Unknown);
        self.acting.remove(&settled.node);
        let entry = self.nodes.entry(settled.node.clone()).or_insert(Settled {
            outcome: settled.outcome,
            failed,
            changed: settled.changed,
            chosen: None,
        });
        // What was put right after it failed has not failed any more.
        let right = entry.outcome == NodeOutcome::Failed && settled.outcome == NodeOutcome::Done;
        entry.outcome = settled.outcome;
        entry.changed = settled.changed;
        entry.failed = (entry.failed || failed) && !right;
        if let Some(reason) = &settled.reason {
            self.reasons.insert(settled.node.clone(), reason.clone());
        }
    }
}

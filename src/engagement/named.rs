//! Whether the signed answers that the work goes on with still count: whether `policies/allowed_signers`, as it is now,
//! names the key for the time of the answer. What the chain keeps of the file says what it was when the answer was
//! checked, and whoever can write the chain can say that of a key of their own. It matters to what is begun, and to
//! nothing that is over: a key whose line ends with `valid-before` has signed what it signed.

use jiff::Timestamp;

use crate::{
    artifact::Digest,
    facts::{AllowedSigners, People, key_of},
};

use super::{
    event::Actor,
    question::{About, Answer, Answered},
    state::{Deviation, Gate, GateState, State},
};

impl State {
    /// Why the signature that a gate was opened with does not count now.
    pub fn gate_unnamed(&self, gate: Gate, signers: &AllowedSigners) -> Option<String> {
        let GateState::Open { request, by, .. } = self.gate(gate) else { return None };
        if *by == Actor::Policy {
            return None;
        }
        let opened = |(actor, _, answered): &&(Actor, Timestamp, Answered)| {
            answered.about == gate.about()
                && answered.answer == Answer::Approve
                && answered.request == *request
                && actor == by
        };
        match self.answers.iter().rev().find(opened) {
            Some(answer) => unnamed(answer, signers),
            None => Some(format!("no answer to {} is known that opened it", gate.name())),
        }
    }

    /// Why what a person agreed to about a call that rests on it, or about the deviation that it rests on, does not count
    /// now: the key is not named any more, whoever accepted the deviation has not that role any more, or a name alone is not
    /// enough in this environment.
    pub fn call_unnamed(
        &self,
        call: Option<&Digest>,
        deviation: Option<&Deviation>,
        now: Timestamp,
        (signers, people): (&AllowedSigners, &People),
        environment: Option<&str>,
    ) -> Option<String> {
        let agreed = call.and_then(|call| self.agreement(call, now));
        let accepted = deviation.and_then(|deviation| {
            let (request, about) = (deviation.accepted_on?, About::Deviation { node: deviation.found.node.clone() });
            let yes = |(.., answered): &&(Actor, Timestamp, Answered)| {
                answered.about == about && answered.request == request && answered.answer == Answer::Approve
            };
            self.answers.iter().rev().find(yes).filter(|_| deviation.accepted_by.is_some())
        });
        // A call is asked about anew where that is lost; a deviation that was found is not found again.
        if let Some(lost) = accepted.and_then(|(actor, _, answered)| lost_role(actor, answered, people)) {
            return Some(lost);
        }
        let signs = environment.is_some_and(|environment| people.signs_in(environment));
        [agreed, accepted].into_iter().flatten().find_map(|answer| {
            let (actor, _, answered) = answer;
            if signs && answered.signature.is_none() && matches!(actor, Actor::Person(_)) {
                return Some(format!(
                    "{} was approved on a name alone, and a signature is needed there",
                    answered.about
                ));
            }
            unnamed(answer, signers)
        })
    }

    /// Who agreed to a call in a role that they do not have any more, in words.
    pub fn agreed_by_nobody_now(&self, call: &Digest, now: Timestamp, people: &People) -> Option<String> {
        let (actor, _, answered) = self.agreement(call, now)?;
        lost_role(actor, answered, people)
    }
}

/// That whoever answered does not have the role any more that they answered in.
fn lost_role(actor: &Actor, answered: &Answered, people: &People) -> Option<String> {
    let Actor::Person(who) = actor else { return None };
    (!people.roles(who).contains(&answered.role)).then(|| format!("{} lost the role `{}`", who.name, answered.role))
}

/// Why the signature of an answer does not count by this file.
fn unnamed((actor, at, answered): &(Actor, Timestamp, Answered), signers: &AllowedSigners) -> Option<String> {
    let (Some(signature), Actor::Person(who)) = (&answered.signature, actor) else { return None };
    let named =
        key_of(&signature.armored).and_then(|key| signers.allows(&who.name, &key, answered.about.namespace(), *at));
    named.err().map(|why| format!("the signature of {} does not count as things are: {why}", who.name))
}

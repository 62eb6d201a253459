//! Whether an event may follow from the state before it. These are the promises that a reader of the chain relies on, each
//! with words of its own; what is left is held to what [`crate::engagement`] itself would have let be written there.

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    artifact::{Agent, ArtifactKind, CallId, Digest, Phase},
    engagement::{
        About, Actor, Answer, Answered, Arguments, ArtifactFiled, Asked, Body, CallAllowed, CallFinished, CallOutcome,
        Event, Gate, GateState, Purpose, State, call_digest, follows,
    },
    policy::ProofReport,
};

use super::{
    Papers, building, designed, discovered, drafting, gone, granted, grounds, legible, order, policy, recorded, steps,
};

/// What is wrong with an event after `state`.
pub(super) fn breaches(state: &State, event: &Event, papers: &Papers<'_>) -> Vec<String> {
    let document = &|digest: &Digest| papers.document(digest);
    let mut found = Vec::new();
    if state.closed.is_some() && !matches!(event.body, Body::Retried(_) | Body::Redacted(_)) {
        found.push(format!("{} after the engagement was closed", event.body.kind()));
    }
    let by_person = |what: &str| {
        let person = matches!(event.actor, Actor::Person(_));
        (!person).then(|| format!("{what} by {}, which is not a person", event.actor))
    };
    match &event.body {
        Body::Requested(_) => found.push("the engagement began before".into()),
        Body::Entered { phase, .. } => {
            found.extend(entered(state, *phase));
            found.extend(discovered::entered(state, *phase, papers));
        }
        Body::Filed(filed) => {
            found.extend(filed_on(state, filed));
            found.extend(drafting::filed(state, &event.actor, filed));
            found.extend(discovered::filed(state, filed, papers));
            found.extend(building::flow(state, filed, papers));
            found.extend(flow_of_design(state, filed, papers));
        }
        Body::Answered(answered) => {
            if answered.policy.is_none() {
                found.extend(by_person("answered"));
            }
            found.extend(may_answer(state, &event.actor, answered, papers));
            found.extend(grounds::answered(&event.actor, answered, papers));
            found.extend(grounds::lasts(state, event, answered, papers));
            answered_what_was_asked(state, answered, document, &mut found);
        }
        Body::Allowed(allowed) => {
            allowed_within(state, allowed, papers, &mut found);
            found.extend(granted::allowed(state, allowed, event.at, papers));
            found.extend(steps::allowed(state, allowed, papers));
            found.extend(designed::allowed(state, allowed, papers));
            found.extend(sealed_otherwise(state, &allowed.call, &allowed.args, papers));
        }
        Body::Refused(refused) => {
            found.extend(used(state, &refused.call));
            found.extend(sealed_otherwise(state, &refused.call, &refused.args, papers));
        }
        Body::Finished(finished) => {
            found.extend(finished_once(state, finished));
            let how =
                finished.result.and_then(|digest| sealed_as_something_else(state, &digest, finished.sealed, papers));
            found.extend(how.map(|how| format!("the result of {} {how}", finished.call)));
        }
        Body::Void(void) => found.extend(steps::void(state, void)),
        Body::Redacted(redacted) => {
            found.extend(by_person("redacted"));
            found.extend(gone::redacted(state, &event.actor, redacted, papers));
        }
        Body::Retried(retried) => {
            found.extend(by_person("tried again"));
            if state.closed.is_none() {
                found.push("tried again before it had ended".into());
            }
            if !state.redacted.is_empty() {
                found.push("tried again after it was redacted".into());
            }
            for call in retried.calls.iter().filter(|call| !state.agreed_to(call, event.at)) {
                found.push(format!("tried again with an approval of {call}, which nobody had given"));
            }
            for (node, attempt) in state.not_tried_again(retried) {
                found
                    .push(format!("step {node} tried again in attempt {attempt}, and nothing that it came to lets it"));
            }
            let signed = |call: &Digest| state.signed || state.agreed_signed(call, event.at);
            if retried.calls.iter().any(signed) {
                found.push("approvals renewed on a name alone, where they need a signature".into());
            }
            if let Actor::Person(identity) = &event.actor
                && !retried.calls.is_empty()
                && state.barred.contains(&identity.name)
            {
                found.push(format!("approvals renewed by {}, who asked for it or wrote it", identity.name));
            }
            found.extend(closed(state, Gate::Two, format_args!("steps tried again")));
        }
        Body::Cancelled { .. } => found.extend(by_person("cancelled")),
        Body::Closed(closed) => found.extend(recorded::closed(state, closed, papers)),
        Body::TrustSet(_) => found.push("a trust stage set in the chain of an engagement".into()),
        Body::Proved(proved) => {
            if event.actor != Actor::Program {
                found.push(format!("a proof by {}, which does not ask the solver", event.actor));
            }
            if state.artifact(ArtifactKind::Spec) != Some(proved.spec) {
                found.push("a proof about another spec than the current one".into());
            }
            let report = document(&proved.report);
            let says = |field: &str| report.as_ref().and_then(|report| report.get(field)).cloned();
            let named = [("spec", json!(proved.spec)), ("solver", json!(proved.solver))];
            let other = |report: &Value| {
                ProofReport::deserialize(report).is_ok_and(|report| report.verdict() != proved.verdict)
            };
            let otherwise = named.into_iter().any(|(field, value)| says(field) != Some(value));
            if report.as_ref().is_some_and(|report| otherwise || other(report)) {
                found.push("a proof that its report does not bear out".into());
            }
        }
        Body::Turned(turned) => {
            found.extend(drafting::turned(state, &event.actor, turned, document));
            let how =
                turned.response.and_then(|digest| sealed_as_something_else(state, &digest, turned.sealed, papers));
            found.extend(how.map(|how| format!("what turn {} about {} brought {how}", turned.turn, turned.drafting)));
        }
        Body::Inquired(asked) => found.extend(drafting::inquired(state, &event.actor, asked)),
        Body::Said(said) => {
            found.extend(by_person("said"));
            found.extend(drafting::said(state, said));
        }
        Body::Returned(returned) => found.extend(drafting::returned(state, &event.actor, returned)),
        Body::Asked(asked) => {
            found.extend(asked_otherwise(&event.actor, asked, document));
            found.extend(needs_less(state, asked, document));
            found.extend(asked_in_place(state, asked));
            found.extend(designed::asked(state, asked, papers));
            found.extend(grounds::asked(state, asked, papers));
        }
        Body::HolesFilled(filled) => found.extend(building::filled(state, &event.actor, filled)),
        Body::Deviated(deviation) => found.extend(building::deviated(state, &event.actor, deviation)),
        Body::Considered(considered) => found.extend(building::considered(state, &event.actor, considered)),
        Body::Settled(settled) => found.extend(steps::settled(state, settled, papers)),
    }
    found.extend(legible::breaches(state, event, papers));
    found.extend(order::breaches(state, event, papers));
    found.extend(by_another(event));
    // What is wrong by itself is said in words of its own.
    if found.is_empty()
        && let Err(why) = follows(state, event)
    {
        found.push(format!("{} that could not have been written here: {why}", event.body.kind()));
    }
    found
}

/// What the program alone writes by somebody else, and a call by another than it is for. A person may propose one by hand.
fn by_another(event: &Event) -> Option<String> {
    let (by, what) = match &event.body {
        Body::Allowed(allowed) => match (&allowed.purpose, &event.actor) {
            (Purpose::Proposed { .. }, Actor::Person(_)) => return None,
            _ => (Actor::Agent(allowed.agent), format!("{} allowed", allowed.call)),
        },
        Body::Refused(refused) => match (&refused.purpose, &event.actor) {
            (Purpose::Proposed { .. }, Actor::Person(_)) => return None,
            _ => (Actor::Agent(refused.agent), format!("{} refused", refused.call)),
        },
        // People write specs and designs, and nothing else.
        Body::Filed(filed) => match (filed.artifact, &event.actor) {
            (ArtifactKind::Spec | ArtifactKind::Design, Actor::Person(_)) => return None,
            (ArtifactKind::Spec, _) => (Actor::Agent(Agent::Requirements), "spec.yaml filed".to_owned()),
            (artifact @ (ArtifactKind::Discovery | ArtifactKind::Design), _) => {
                (Actor::Agent(Agent::Design), format!("{artifact} filed"))
            }
            (ArtifactKind::Flow, _) => (Actor::Agent(Agent::Build), "automation.flow filed".to_owned()),
            // What does not reconcile is said where records are looked at.
            (ArtifactKind::Record, _) => return None,
        },
        Body::Finished(finished) => (Actor::Program, format!("the outcome of {}", finished.call)),
        Body::Settled(settled) => (Actor::Program, format!("what step {} came to", settled.node)),
        Body::Void(void) => (Actor::Program, format!("{} called void", void.call)),
        Body::Entered { phase, .. } => (Actor::Program, format!("the {phase} phase entered")),
        Body::Closed(_) => (Actor::Program, "the end".to_owned()),
        _ => return None,
    };
    (event.actor != by).then(|| format!("{what} by {}, which is not {by}", event.actor))
}

/// A question says of role, stage and people what its stored request says.
fn asked_otherwise(actor: &Actor, asked: &Asked, document: &dyn Fn(&Digest) -> Option<Arc<Value>>) -> Vec<String> {
    let mut found = Vec::new();
    if *actor != Actor::Program {
        found.push(format!("a question about {} asked by {actor}", asked.about));
    }
    let Some(request) = document(&asked.request) else { return found };
    let (nothing, standing) = (json!([]), request.get("standing"));
    let standing = standing.and_then(|standing| standing.get("stage"));
    let why = request.get("signature_because").and_then(Value::as_array);
    let needs = why.map(|why| Value::Bool(!why.is_empty()));
    for (what, said, is) in [
        ("role", request.get("role"), serde_json::to_value(asked.role).ok()),
        ("trust stage", standing, serde_json::to_value(asked.stage).ok()),
        ("people who may not answer", request.get("barred"), serde_json::to_value(&asked.barred).ok()),
        ("reason to ask anew", request.get("void").or(Some(&nothing)), serde_json::to_value(&asked.void).ok()),
        ("need of a signature", needs.as_ref(), Some(Value::Bool(asked.needs_signature()))),
    ] {
        if said.is_some() && said != is.as_ref() {
            found.push(format!("a question about {} with another {what} than its request says", asked.about));
        }
    }
    found
}

/// A question that needs no signature, though gate 1 of the same engagement needed one: for the same people, at no lower
/// trust stage, and reaching the same environments.
fn needs_less(state: &State, asked: &Asked, document: &dyn Fn(&Digest) -> Option<Arc<Value>>) -> Option<String> {
    let GateState::Open { request, .. } = &state.gate1 else { return None };
    let (gate, now) = (document(request)?, document(&asked.request)?);
    let same = |path: &str| gate.pointer(path).is_some() && gate.pointer(path) == now.pointer(path);
    let needed = gate.get("signature_because").and_then(Value::as_array).is_some_and(|why| !why.is_empty());
    let stage =
        gate.pointer("/standing/stage").and_then(Value::as_u64).is_some_and(|stage| stage <= asked.stage.into());
    let reach = same("/facts/environments") && same("/facts/unlisted_targets");
    (needed && stage && !asked.needs_signature() && reach && same("/decided_on/people"))
        .then(|| format!("a question about {} on a name alone, where gate 1 needed a signature", asked.about))
}

/// A gate is asked in its own phase, or anew while it is open, with the reason.
fn asked_in_place(state: &State, asked: &Asked) -> Option<String> {
    let (gate, phase) = match asked.about {
        About::Gate1 => (Gate::One, Phase::Requirements),
        About::Gate2 => (Gate::Two, Phase::Design),
        _ if asked.void.is_empty() => return None,
        _ => return Some(format!("a question about {} that is asked anew, which only gates are", asked.about)),
    };
    let anew = !asked.void.is_empty();
    let fits = if anew { state.gate_open(gate) } else { state.phase == phase };
    (!fits).then(|| format!("a question about {} that was not to be asked", asked.about))
}

/// The policy answers gates and deviations, at stage 3; and nobody approves their own work where duties are apart.
fn may_answer(state: &State, actor: &Actor, answered: &Answered, papers: &Papers<'_>) -> Option<String> {
    let about = &answered.about;
    let asked = state.asked.as_ref();
    if answered.policy.is_some() != (*actor == Actor::Policy) {
        return Some(format!("an answer about {about} by {actor} that says otherwise who gave it"));
    }
    if let Some(policy) = &answered.policy
        && let Some(why) = policy::may_not(state, answered, policy, papers)
    {
        return Some(why);
    }
    let Actor::Person(identity) = actor else { return None };
    let barred = asked.is_some_and(|asked| asked.barred.contains(&identity.name));
    (barred && answered.answer == Answer::Approve)
        .then(|| format!("an answer about {about} by {}, who asked for it or wrote it", identity.name))
}

/// `what` is written only where it is wrong.
fn closed(state: &State, gate: Gate, what: fmt::Arguments<'_>) -> Option<String> {
    let (number, artifact) = match gate {
        Gate::One => (1, ArtifactKind::Spec),
        Gate::Two => (2, ArtifactKind::Design),
    };
    (!state.gate_open(gate)).then(|| format!("{what} while gate {number} was not open for the current {artifact}"))
}

fn entered(state: &State, phase: Phase) -> Option<String> {
    match phase {
        Phase::Requirements | Phase::AsBuilt => None,
        Phase::Feasibility | Phase::Design => closed(state, Gate::One, format_args!("the {phase} phase entered")),
        Phase::Build => closed(state, Gate::One, format_args!("the {phase} phase entered"))
            .or_else(|| closed(state, Gate::Two, format_args!("the {phase} phase entered"))),
    }
}

fn filed_on(state: &State, filed: &ArtifactFiled) -> Vec<String> {
    let mut found = Vec::new();
    let what = format!("{} filed", filed.artifact);
    let last = state.versions.get(&filed.artifact).copied().unwrap_or(0);
    if u64::from(filed.version) != u64::from(last) + 1 {
        found.push(format!("{what} as version {} after version {last}", filed.version));
    }
    let (gate, sources): (_, &[ArtifactKind]) = match filed.artifact {
        ArtifactKind::Spec => (None, &[]),
        ArtifactKind::Discovery => (Some(Gate::One), &[ArtifactKind::Spec]),
        ArtifactKind::Design => (Some(Gate::One), &[ArtifactKind::Spec, ArtifactKind::Discovery]),
        ArtifactKind::Flow => (Some(Gate::Two), &[ArtifactKind::Design]),
        ArtifactKind::Record => (None, &[ArtifactKind::Spec]),
    };
    found.extend(gate.and_then(|gate| closed(state, gate, format_args!("{what}"))));
    for source in sources {
        if !state.artifact(*source).is_some_and(|digest| filed.made_from.contains(&digest)) {
            found.push(format!("{what} without naming the current {source} as what it was made from"));
        }
    }
    if filed.artifact == ArtifactKind::Spec && !filed.made_from.contains(&state.requested.request) {
        found.push(format!("{what} without naming the request as what it was made from"));
    }
    found
}

/// The flow that is filed is the one of its design, but for what was accepted.
fn flow_of_design(state: &State, filed: &ArtifactFiled, papers: &Papers<'_>) -> Option<String> {
    let flow = papers.flow(&filed.digest).filter(|_| filed.artifact == ArtifactKind::Flow)?;
    let why = designed::unlike(state, &flow.as_approved(), papers);
    why.map(|why| format!("{} filed, and {why}", filed.artifact))
}

fn answered_what_was_asked(
    state: &State,
    answered: &Answered,
    document: &dyn Fn(&Digest) -> Option<Arc<Value>>,
    found: &mut Vec<String>,
) {
    let about = &answered.about;
    match &state.asked {
        None => found.push(format!("an answer about {about} to which no question was open")),
        Some(asked) if asked.about != *about || asked.request != answered.request => found.push(format!(
            "an answer about {about} ({}), but the open question was about {} ({})",
            answered.request, asked.about, asked.request
        )),
        Some(asked) if answered.role < asked.role => {
            found.push(format!("an answer about {about} in the role {}, which needs {}", answered.role, asked.role));
        }
        Some(_) => {}
    }
    if *about != About::Gate2 && !answered.calls.is_empty() {
        found.push(format!("an answer about {about} that approves other calls with it"));
    }
    if let Some(request) = document(&answered.request) {
        let says = |field: &str, value: &dyn Fn() -> Option<Value>| {
            request.get(field).is_none_or(|said| Some(said) == value().as_ref())
        };
        if !says("engagement", &|| serde_json::to_value(&state.id).ok()) {
            found.push(format!("an answer about {about} on a question of another engagement"));
        }
        if !says("about", &|| serde_json::to_value(about).ok()) {
            found.push(format!("an answer about {about} on a question about something else"));
        }
        let mut offered = BTreeSet::new();
        texts(request.get("calls").unwrap_or(&Value::Null), &mut offered);
        for call in answered.calls.iter().filter(|call| !offered.contains(call.to_string().as_str())) {
            found.push(format!("an answer about {about} that approves {call}, which was not offered"));
        }
    }
    let kind = match about {
        About::Gate1 => ArtifactKind::Spec,
        About::Gate2 => ArtifactKind::Design,
        About::Call { .. } | About::Deviation { .. } | About::Failure { .. } | About::Unknown { .. } => return,
    };
    if answered.answer != Answer::Approve {
        return;
    }
    match state.artifact(kind) {
        None => found.push(format!("{about} approved, but no {kind} was filed")),
        Some(artifact) => {
            // An approval request that is missing or was changed is reported where it was asked.
            let named = |request: Arc<Value>| request.get("artifact") == Some(&Value::String(artifact.to_string()));
            if document(&answered.request).is_some_and(|request| !named(request)) {
                found.push(format!(
                    "{about} approved on {}, which does not name the {kind} that was filed ({artifact})",
                    answered.request
                ));
            }
        }
    }
}

fn allowed_within(state: &State, allowed: &CallAllowed, papers: &Papers<'_>, found: &mut Vec<String>) {
    let call = &allowed.call;
    found.extend(used(state, call));
    let digest = call_digest(&state.id, allowed.purpose.node(), allowed.tool.as_str(), &allowed.args);
    if digest.ok() != Some(allowed.digest) {
        found.push(format!("{call} allowed under a digest that is not the digest of its step, tool and arguments"));
    }
    if state.phase == Phase::Requirements {
        found.push(format!("{call} allowed in the requirements phase"));
    }
    found.extend(closed(state, Gate::One, format_args!("{call} allowed")));
    found.extend(building::allowed(state, allowed, papers));
    if matches!(allowed.purpose, Purpose::Act { .. } | Purpose::Undo { .. }) && state.phase != Phase::Build {
        found.push(format!("{call} allowed ({}) in the {} phase", allowed.purpose.words(), state.phase));
    }
    if let Some(asked) = state.asked_anew().filter(|_| !allowed.purpose.recovers()) {
        found.push(format!("{call} allowed while {} was asked anew", asked.about));
    }
    match allowed.agent {
        Agent::Requirements => found.push(format!("{call} allowed for the requirements agent, which has no tools")),
        Agent::Build => found.extend(closed(state, Gate::Two, format_args!("{call} allowed for the build agent"))),
        Agent::Design | Agent::Verifier => {}
    }
    if let Purpose::Turn { turn, call: nth } = allowed.purpose
        && (!state.talk.proposes(turn, nth) || allowed.counts.is_some() || allowed.agent != Agent::Design)
    {
        found.push(format!("{call} allowed as {}, which no turn asked for as a read", allowed.purpose.words()));
    }
    if state.rejected_calls.contains_key(&allowed.digest) {
        found.push(format!("{call} allowed, which a person had rejected"));
    }
    let effect = matches!(allowed.purpose, Purpose::Act { .. } | Purpose::Undo { .. });
    if effect
        && let Some((earlier, ran)) = state.call_for(&allowed.purpose)
        && ran.refused.is_none()
        && ran.outcome != Some(CallOutcome::NotSent)
        && !state.reads_again(allowed, ran)
    {
        found.push(format!("{call} allowed for what {earlier} had done ({})", allowed.purpose.words()));
    }
}

/// An engagement that has a key seals every call's arguments, and a document that is there holds some.
fn sealed_otherwise(state: &State, call: &CallId, args: &Arguments, papers: &Papers<'_>) -> Option<String> {
    let sealed = args.sealed();
    if sealed.is_some() != state.requested.seal.is_some() {
        let how = if sealed.is_some() { "sealed" } else { "in plain" };
        return Some(format!("{call} with its arguments {how}, and the engagement began otherwise"));
    }
    let none = |digest: &Digest| papers.value(digest, true).is_none_or(|args| !args.is_object());
    let wrong = sealed.is_some_and(|digest| papers.is_document(&digest) && none(&digest));
    wrong.then(|| format!("the arguments of {call} are sealed as something else"))
}

/// What an event brought must be sealed where the engagement seals, and be what a sealed document is where it is here.
fn sealed_as_something_else(state: &State, digest: &Digest, sealed: bool, papers: &Papers<'_>) -> Option<&'static str> {
    match (sealed, state.requested.seal.is_some()) {
        (true, false) => Some("is sealed, and the engagement began otherwise"),
        (false, true) => Some("is in plain, and the engagement began otherwise"),
        (true, true) if papers.is_document(digest) && papers.value(digest, true).is_none() => {
            Some("is sealed as something else")
        }
        _ => None,
    }
}

fn used(state: &State, call: &CallId) -> Option<String> {
    state.calls.contains_key(call).then(|| format!("{call} is the id of an earlier call"))
}

fn finished_once(state: &State, finished: &CallFinished) -> Option<String> {
    let call = &finished.call;
    match state.calls.get(call) {
        None => Some(format!("an outcome of {call}, which was never allowed")),
        Some(earlier) if earlier.refused.is_some() => Some(format!("an outcome of {call}, which was refused")),
        // What was unknown may become known.
        Some(earlier) if earlier.in_doubt() => steps::known_later(earlier, finished),
        Some(_) => Some(format!("a second outcome of {call}")),
    }
}

/// The texts that stand anywhere in a document as values of their own.
fn texts<'a>(document: &'a Value, found: &mut BTreeSet<&'a str>) {
    match document {
        Value::String(string) => drop(found.insert(string)),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

//! What may be written about the drafting with models: turns in their phase, questions of a turn, answers to what is
//! asked. A turn gives nobody anything: what it asks for is decided call by call, and what it drafts is shown at a gate.

use std::collections::BTreeSet;

use crate::{
    artifact::{Agent, ArtifactKind, Phase, value::clipped},
    facts::Role,
};

use super::{
    decide::{in_phase, need},
    event::Body,
    refusal::Refusal,
    state::{Gate, State},
    talk::{AgentAsked, AgentQuestion, DraftReturned, Exchange, RequesterSaid},
    turn::Turned,
};

fn wrong<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Call(why.into()))
}

fn with_a_model(state: &State) -> Result<(), Refusal> {
    if state.requested.model { Ok(()) } else { wrong("this engagement is drafted without a model") }
}

/// The agent that drafts an artifact with a model.
pub fn drafter(kind: ArtifactKind) -> Option<Agent> {
    match kind {
        ArtifactKind::Spec => Some(Agent::Requirements),
        ArtifactKind::Discovery | ArtifactKind::Design => Some(Agent::Design),
        // Asked only where the design leaves holes, see `View::asks_a_model`.
        ArtifactKind::Flow => Some(Agent::Build),
        ArtifactKind::Record => None,
    }
}

/// Whether this draft has its turn now.
fn in_its_phase(state: &State, kind: ArtifactKind) -> Result<(), Refusal> {
    let what = format!("drafting {kind}");
    let late = || Err(Refusal::OutOfOrder { what: what.clone(), phase: state.phase });
    match kind {
        // After discovery another version of the spec may be what is needed.
        ArtifactKind::Spec if state.phase == Phase::Feasibility => {
            if state.artifact(ArtifactKind::Discovery).is_some() { Ok(()) } else { late() }
        }
        ArtifactKind::Spec if state.gate_open(Gate::One) => late(),
        ArtifactKind::Spec => in_phase(state, &what, &[Phase::Requirements]),
        ArtifactKind::Discovery => {
            in_phase(state, &what, &[Phase::Feasibility])?;
            need(state.gate_open(Gate::One), "gate 1")?;
            if state.artifact(kind).is_none() { Ok(()) } else { late() }
        }
        ArtifactKind::Design => {
            in_phase(state, &what, &[Phase::Design])?;
            need(state.gate_open(Gate::One), "gate 1")
        }
        ArtifactKind::Flow => {
            in_phase(state, &what, &[Phase::Build])?;
            need(state.gate_open(Gate::One), "gate 1")?;
            need(state.gate_open(Gate::Two), "gate 2")?;
            // When the flow is filed, turns are about steps that failed.
            let unfilled = state.artifact(kind).is_none() && state.filling.is_none();
            if unfilled || state.to_consider() { Ok(()) } else { late() }
        }
        ArtifactKind::Record => late(),
    }
}

pub(super) fn turn(state: &State, turned: Box<Turned>) -> Result<Body, Refusal> {
    with_a_model(state)?;
    in_its_phase(state, turned.drafting)?;
    if drafter(turned.drafting) != Some(turned.agent) {
        return wrong(format!("{} is not drafted by the {} agent", turned.drafting, turned.agent));
    }
    if state.talk.open().is_some() {
        return wrong("the agent has asked something and waits for the answer");
    }
    if turned.turn != state.talk.next_turn(turned.drafting) {
        return wrong(format!("turn {} is not the next turn about {}", turned.turn, turned.drafting));
    }
    if turned.response.is_some() == turned.error.is_some() || (turned.error.is_some() && turned.calls > 0) {
        return wrong("a turn has either an answer or an error");
    }
    Ok(Body::Turned(turned))
}

pub(super) fn inquire(state: &State, asked: AgentAsked) -> Result<Body, Refusal> {
    with_a_model(state)?;
    in_its_phase(state, ArtifactKind::Spec)?;
    let own = matches!(
        state.talk.about(ArtifactKind::Spec).last(),
        Some(Exchange::Turn { number, turned }) if *number == asked.turn && turned.agent == asked.agent && turned.calls > 0
    );
    if !own {
        return wrong("the questions do not come from the last turn");
    }
    if asked.questions.is_empty() || asked.questions.len() > AgentAsked::MOST {
        return wrong(format!("ask one to {} questions at a time", AgentAsked::MOST));
    }
    for (at, question) in asked.questions.iter().enumerate() {
        if question.id != state.talk.question_id(at) {
            return wrong(format!("`{}` is not the next question's id", question.id));
        }
        if question.text.trim().is_empty() || question.text.len() > AgentQuestion::LONGEST {
            return wrong(format!("a question has 1 to {} characters", AgentQuestion::LONGEST));
        }
    }
    Ok(Body::Inquired(asked))
}

fn said_wrong<T>(why: impl AsRef<str>) -> Result<T, Refusal> {
    Err(not_said(why.as_ref()))
}

/// Why what was said is not taken, on one line: a model's question may have lines that look like the program's own.
fn not_said(why: &str) -> Refusal {
    Refusal::Said(clipped(&why.split_whitespace().collect::<Vec<_>>().join(" ")))
}

pub(super) fn say(state: &State, mut said: RequesterSaid, roles: &BTreeSet<Role>) -> Result<Body, Refusal> {
    if roles.is_empty() {
        return Err(Refusal::NotInRole(Role::Requester));
    }
    if !state.requested.model {
        return said_wrong(
            "no model drafts this engagement, so nobody would read it; write it yourself with `countersign edit`",
        );
    }
    if state.talk.open().is_none() {
        let drafting = state.phase == Phase::Requirements && !state.gate_open(Gate::One);
        if !drafting {
            return Err(Refusal::OutOfOrder { what: "talking to the requirements agent".into(), phase: state.phase });
        }
    }
    said.text = said.text.filter(|text| !text.trim().is_empty());
    if said.text.is_none() && said.answers.is_empty() {
        return said_wrong("say something, or answer what is asked");
    }
    if said.text.as_ref().is_some_and(|text| text.len() > RequesterSaid::LONGEST) {
        return said_wrong(format!("say it in {} bytes at most", RequesterSaid::LONGEST));
    }
    let open = state.talk.open().map(|asked| asked.questions.as_slice()).unwrap_or_default();
    for (id, answer) in &mut said.answers {
        let Some(question) = open.iter().find(|question| question.id == *id) else {
            let known: Vec<&str> = open.iter().map(|question| question.id.as_str()).collect();
            let asked =
                if known.is_empty() { "nothing is asked".into() } else { format!("asked is {}", known.join(", ")) };
            return said_wrong(format!("there is no open question `{id}`; {asked}"));
        };
        *answer = question.check(answer).map_err(|why| not_said(&why))?;
    }
    // Words may answer anything; without them, what is asked is answered whole.
    if said.text.is_none()
        && let Some(left) = open.iter().find(|question| !said.answers.contains_key(&question.id))
    {
        return said_wrong(format!("{} is not answered: {}", left.id, left.text));
    }
    Ok(Body::Said(said))
}

pub(super) fn give_back(state: &State, returned: DraftReturned) -> Result<Body, Refusal> {
    with_a_model(state)?;
    in_its_phase(state, returned.artifact)?;
    let last = matches!(
        state.talk.about(returned.artifact).last(),
        Some(Exchange::Turn { number, turned }) if *number == returned.turn && turned.error.is_none()
    );
    if !last || returned.problems.is_empty() {
        return wrong("what is given back is the last turn's answer, with what is wrong with it");
    }
    Ok(Body::Returned(returned))
}

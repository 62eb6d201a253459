//! What is worked out again where all that it rests on lies beside the chain, as whoever wrote it worked it out: what a step
//! came to by what was read of its state, and what its record says of it. The tools are those that the open gate was decided
//! on. Where a result was left out or redacted, and where calls went on with other tools, nothing is worked out.

use std::sync::Arc;

use crate::{
    artifact::{ArtifactKind, AutomationFlow, Digest, FlowNode, NodeId, Spec, Until, word_of},
    engagement::{
        Arguments, Blobs, Call, CallOutcome, Comes, Documents, Event, NodeSettled, Purpose, RESENT, State, View,
        can_be_sent_again, comes_to,
    },
    flow::NodeOutcome,
    tool::Toolbox,
};

use super::Papers;

/// How a step that has a state was settled otherwise than what was read of it comes to.
pub(super) fn came_to(state: &State, event: &Event, settled: &NodeSettled, papers: &Papers<'_>) -> Option<String> {
    let id = &settled.node;
    if settled.attempt != state.attempt(id) || matches!(settled.outcome, NodeOutcome::NotRun | NodeOutcome::Skipped) {
        return None;
    }
    let (spec, flow) = current(state, papers)?;
    let documents = Documents::given(state, spec, flow);
    let node = documents.flow()?.node(id)?;
    let toolbox = papers.toolbox(&state.opened_on()?)?;
    toolbox.tool(&node.step.tool)?.state.as_ref()?;
    let known = state.nodes.get(id);
    let taken_back = matches!(settled.outcome, NodeOutcome::Undone | NodeOutcome::UndoFailed);
    let put_right = known.is_some() && settled.outcome == NodeOutcome::Done;
    if known.is_some() != (taken_back || put_right) || reads(node, "facts") {
        return None;
    }
    let sent = state.act_of(id).is_some_and(|(_, call)| call.refused.is_none());
    if !sent && !node.knows_args() {
        return None;
    }
    let mut gathered = Gathered::new(state, papers);
    gathered.of_step(id)?;
    if reads(node, "steps") {
        for other in documents.flow()?.nodes.iter().filter(|other| other.id != *id) {
            gathered.of_step(&other.id)?;
        }
    }
    // What could have been sent again is held to what was read as if that had been in vain.
    let in_vain = sent_again_in_vain(state, id, &toolbox);
    let state = in_vain.as_ref().unwrap_or(state);
    let view = View { state, documents: &documents, blobs: &gathered.blobs, toolbox: &toolbox };
    let is = comes_to(&view, node, put_right, event.at);
    if put_right {
        let shown = matches!(is, Comes::To(is) if is.node == *id && is.outcome == NodeOutcome::Done);
        return (!shown).then(|| format!("step {id} done after it failed, and what was read does not show it"));
    }
    let is = match is {
        Comes::To(is) => is,
        Comes::ToAQuestion => {
            return Some(format!("step {id} settled, and nobody said whether its call took effect"));
        }
        Comes::ToAnotherTry if matches!(settled.outcome, NodeOutcome::Done | NodeOutcome::Undone) => {
            return Some(format!("step {id} settled, and what was read shows that its call took no effect"));
        }
        Comes::ToAnotherTry | Comes::ToNothingYet => return None,
    };
    let word = |outcome: NodeOutcome| word_of(outcome).replace('_', " ");
    let (said, comes) = (word(settled.outcome), word(is.outcome));
    if is.outcome != settled.outcome {
        let why = is.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        return Some(format!("step {id} settled as {said}, and what was read comes to {comes}{why}"));
    }
    (is.changed && !settled.changed)
        .then(|| format!("step {id} settled as {said} without a change, and what was read shows one"))
}

/// The same state after the call of a step was sent again and nobody heard of that either, where it could have been.
fn sent_again_in_vain(state: &State, id: &NodeId, toolbox: &Toolbox) -> Option<State> {
    let (call, known) = state.act_of(id)?;
    let tool = toolbox.tool(&known.tool_name()?)?;
    can_be_sent_again(tool, known).then(|| {
        let mut state = state.clone();
        if let Some(known) = state.calls.get_mut(call) {
            known.message = Some(RESENT.to_owned());
        }
        state
    })
}

/// The tools and the documents that a record is made from; nothing where not all of them are here, or no step has a state.
pub(super) fn whole(state: &State, papers: &Papers<'_>) -> Option<(Arc<Toolbox>, Blobs)> {
    let (spec, flow) = current(state, papers)?;
    let documents = Documents::given(state, spec, flow);
    let (spec, flow) = (documents.spec()?, documents.flow()?);
    let toolbox = papers.toolbox(&state.opened_on()?)?;
    let stated = |node: &FlowNode| toolbox.tool(&node.step.tool).is_some_and(|tool| tool.state.is_some());
    if !flow.nodes.iter().any(stated) {
        return None;
    }
    // What a step that never ran would have been given may be worked out with facts, which are not gathered here.
    let ran = |node: &FlowNode| state.act_of(&node.id).is_some_and(|(_, call)| call.refused.is_none());
    let told = |node: &FlowNode| node.knows_args() || ran(node) || !reads(node, "facts");
    if !flow.nodes.iter().all(told) {
        return None;
    }
    let mut gathered = Gathered::new(state, papers);
    for node in &flow.nodes {
        gathered.of_step(&node.id)?;
    }
    for check in &spec.acceptance {
        for item in 0..u32::try_from(check.items().len()).ok()? {
            let id = &check.id;
            gathered.answer(&Purpose::CheckBefore { check: id.clone(), item })?;
            gathered.answer(&Purpose::CheckAfter { check: id.clone(), item })?;
        }
    }
    for digest in [ArtifactKind::Spec, ArtifactKind::Design].into_iter().filter_map(|kind| state.artifact(kind)) {
        gathered.blobs.insert(digest, papers.document(&digest)?);
    }
    Some((toolbox, gathered.blobs))
}

type Known<T> = (Digest, Arc<T>);

/// The current spec and flow, as they were filed.
pub(super) fn current(state: &State, papers: &Papers<'_>) -> Option<(Known<Spec>, Known<AutomationFlow>)> {
    let (spec, flow) = (state.artifact(ArtifactKind::Spec)?, state.artifact(ArtifactKind::Flow)?);
    Some(((spec, papers.spec(&spec)?), (flow, papers.flow(&flow)?)))
}

/// What calls were given and gave.
pub(super) struct Gathered<'a> {
    state: &'a State,
    papers: &'a Papers<'a>,
    blobs: Blobs,
}

impl<'a> Gathered<'a> {
    /// Nothing yet.
    pub(super) fn new(state: &'a State, papers: &'a Papers<'a>) -> Self {
        Self { state, papers, blobs: Blobs::known(papers.picks()) }
    }

    /// All of it.
    pub(super) fn done(self) -> Blobs {
        self.blobs
    }

    /// That of all calls of a step in its attempt; nothing where some of it is not here.
    fn of_step(&mut self, id: &NodeId) -> Option<()> {
        let attempt = self.state.attempt(id);
        let act = |r#try: u32| Purpose::Act { node: id.clone(), attempt, r#try };
        let acts = self.state.served.range(act(1)..=act(Until::MOST_ATTEMPTS));
        let mut purposes: Vec<Purpose> = acts.map(|(purpose, _)| purpose.clone()).collect();
        purposes.extend([
            Purpose::Recheck { node: id.clone(), attempt },
            Purpose::ReadBack { node: id.clone(), attempt },
            Purpose::Verify { node: id.clone(), attempt },
            Purpose::LookAgain { node: id.clone(), attempt },
            Purpose::BeforeUndo { node: id.clone() },
            Purpose::Undo { node: id.clone() },
            Purpose::UndoCheck { node: id.clone() },
            Purpose::Observe { node: id.clone() },
        ]);
        purposes.iter().try_for_each(|purpose| self.answer(purpose))
    }

    /// What the call for a purpose was given and gave, where one was let through.
    pub(super) fn answer(&mut self, purpose: &Purpose) -> Option<()> {
        let Some((_, call)) = self.state.call_for(purpose).filter(|(_, call)| call.refused.is_none()) else {
            return Some(());
        };
        self.args(call)?;
        let Some(result) = call.result.filter(|_| call.outcome == Some(CallOutcome::Ok)) else { return Some(()) };
        self.blobs.insert(result, self.papers.answer(self.state, call)?);
        Some(())
    }

    fn args(&mut self, call: &Call) -> Option<()> {
        let Arguments::Sealed(digest) = &call.args else { return Some(()) };
        self.blobs.insert(*digest, self.papers.value(digest, true)?);
        Some(())
    }
}

/// Whether what a step says of itself reads a variable.
fn reads(node: &FlowNode, variable: &str) -> bool {
    node.step.all_expressions().any(|said| said.variables().contains(variable))
}

//! What the build agent says of an approved design: what fills its holes, and what it wants otherwise. The first is
//! inside what gate 2 approved; each of the second is a deviation, which a person accepts or rejects before anything is
//! built. Nothing else of what the agent says comes into a flow.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    artifact::{ArtifactKind, AutomationFlow, Digest, Filled, NodeId, Phase, StepId, ToolName},
    flow::{ExpandError, otherwise},
};

use super::{
    decide::{in_phase, need},
    drafting::drafter,
    event::{Body, DeviationFound},
    next::{Next, NextError, ask_or_wait},
    question::About,
    refusal::Refusal,
    state::{Deviation, Gate, State},
    view::View,
};

/// What the build agent filled in, and what it wants otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolesFilled {
    /// The turn that said it, counted over the engagement.
    pub turn: u32,
    /// What fills each hole.
    pub filled: Vec<HoleFilled>,
    /// What the design does not say and the agent wants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wants: Vec<Wanted>,
}

/// What fills a hole: one value for all items of its step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoleFilled {
    /// The step.
    pub step: StepId,
    /// Its argument.
    pub argument: String,
    /// The value, in normal form.
    pub value: Value,
    /// Why this one.
    pub because: String,
}

/// A step that the build agent wants otherwise, or one that the design does not have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The step.
    pub step: StepId,
    /// Its tool.
    pub tool: ToolName,
    /// The arguments that it is to have; the others stay as they are.
    #[serde(rename = "with")]
    pub args: Map<String, Value>,
    /// Why.
    pub because: String,
}

impl HolesFilled {
    /// The most steps that are wanted otherwise.
    pub const MOST_WANTS: usize = 5;
}

impl Wanted {
    /// The node that the question about it names: its step.
    pub fn node(&self) -> NodeId {
        NodeId::new(&self.step, None)
    }
}

pub(super) fn fill(state: &State, filled: HolesFilled) -> Result<Body, Refusal> {
    let wrong = |why: &str| Err(Refusal::Call(why.to_owned()));
    if !state.requested.model {
        return wrong("this engagement is drafted without a model");
    }
    in_phase(state, "filling holes", &[Phase::Build])?;
    need(state.gate_open(Gate::One), "gate 1")?;
    need(state.gate_open(Gate::Two), "gate 2")?;
    if state.artifact(ArtifactKind::Flow).is_some() || state.filling.is_some() {
        return wrong("the holes of this design are filled already");
    }
    let kind = ArtifactKind::Flow;
    let last = state.talk.last_turn(kind).map(|(number, ..)| number);
    if !state.talk.drafted(kind) || last != Some(filled.turn) {
        return wrong("what fills the holes does not come from the last turn");
    }
    if filled.wants.len() > HolesFilled::MOST_WANTS {
        return wrong("the agent wants too much otherwise; the design is to be drafted again");
    }
    Ok(Body::HolesFilled(filled))
}

/// A deviation that the agent wants is one that it said, and is found once; or anew, when what a person accepted ended.
pub(super) fn wanted(state: &State, found: &DeviationFound) -> Result<(), Refusal> {
    let said = |want: &Wanted| want.node() == found.node && Some(&want.because) == found.because.as_ref();
    let wants = state.filling.iter().flat_map(|filling| &filling.wants);
    let after = state.wanted_after(&found.node);
    let after = after.is_some_and(|(_, want)| Some(&want.because) == found.because.as_ref());
    if found.because.is_some() && !after && !wants.clone().any(said) {
        return Err(Refusal::Call(format!("no turn of the build agent wants step {} otherwise", found.node)));
    }
    let open = |known: &Deviation| known.accepted_by.is_none() && known.rejected.is_none();
    if found.because.is_some() && state.deviation_before(&found.node).is_some_and(open) {
        return Err(Refusal::Call(format!("step {} is asked about already", found.node)));
    }
    Ok(())
}

/// Whether a flow may be filed after what was said: all of it was said, and whatever is wanted otherwise is decided.
pub(super) fn decided(state: &State) -> bool {
    let Some(filling) = &state.filling else { return state.talk.about(ArtifactKind::Flow).is_empty() };
    filling.wants.iter().all(|want| {
        let known = state.deviation_before(&want.node());
        known.is_some_and(|known| known.accepted_by.is_some() || known.rejected.is_some())
    })
}

/// Whether this version of an artifact is what its agent drafted, where models draft: the last turn gave it, and for the
/// flow also what came of that. A design without holes is built as it is, and nobody is asked.
pub fn given(state: &State, kind: ArtifactKind, made_from: &[Digest]) -> bool {
    match kind {
        ArtifactKind::Flow if state.filling.is_none() => state.talk.about(kind).is_empty(),
        ArtifactKind::Flow => state.talk.gives(kind, made_from) && decided(state),
        kind => drafter(kind).is_none() || state.talk.gives(kind, made_from),
    }
}

/// What is to be asked about what the agent wants otherwise, before anything is built.
pub(super) fn next(view: &View<'_>) -> Option<Next> {
    let filling = view.state.filling.as_ref()?;
    filling.wants.iter().find_map(|want| match view.state.deviation_before(&want.node()) {
        None => Some(Next::Deviate(found(view, want))),
        Some(known) if known.accepted_by.is_none() && known.rejected.is_none() => {
            Some(ask_or_wait(view.state, About::Deviation { node: want.node() }))
        }
        Some(_) => None,
    })
}

/// What is to be asked before a step runs that is not what the design says: what was accepted for a while is found anew
/// when that is over. Nothing where it may run.
pub(super) fn again(view: &View<'_>, step: &StepId, now: Timestamp) -> Option<Result<Next, String>> {
    let flow = view.documents.flow()?;
    flow.deviations.iter().find(|deviation| deviation.step == *step)?;
    let node = NodeId::new(step, None);
    let known = view.state.deviation_before(&node)?;
    match (&known.accepted_by, &known.rejected) {
        (Some(_), _) if known.accepted_until.is_some_and(|until| now >= until) => {
            Some(Ok(Next::Deviate(known.found.clone())))
        }
        (Some(_), _) => None,
        (None, Some(reason)) => Some(Err(format!("a person rejected the deviation: {reason}"))),
        (None, None) => Some(Ok(ask_or_wait(view.state, About::Deviation { node }))),
    }
}

/// The deviation that a person is asked about: the step as the design has it, and as it is wanted.
fn found(view: &View<'_>, want: &Wanted) -> DeviationFound {
    let design = view.documents.design();
    let step = design.and_then(|design| design.steps.iter().find(|step| step.id == want.step));
    let contract = step.map_or(Value::Null, |step| json!({"tool": step.tool, "with": step.args}));
    let mut actual = step.map_or_else(|| json!({"tool": want.tool, "with": {}}), |_| contract.clone());
    if let Some(Value::Object(args)) = actual.get_mut("with") {
        args.extend(want.args.clone());
    }
    let what = match step {
        Some(_) => "the build agent wants it otherwise than the design says",
        None => "the build agent wants a call that the design does not have",
    };
    let because = Some(want.because.clone());
    DeviationFound { node: want.node(), what: what.into(), contract, actual, calls: Vec::new(), because, undo: false }
}

impl View<'_> {
    /// Whether a model is asked for what is to be drafted next: for a flow only where the design leaves holes to it.
    pub fn asks_a_model(&self, kind: ArtifactKind) -> bool {
        let holes = || self.preview().is_ok_and(|flow| !flow.holes().is_empty());
        self.state.requested.model
            && match kind {
                ArtifactKind::Flow => self.state.filling.is_none() && holes(),
                kind => drafter(kind).is_some(),
            }
    }

    /// The flow that is built: what the design gives, with what fills its holes and the deviations that were accepted.
    pub fn built(&self) -> Result<AutomationFlow, NextError> {
        let flow = self.preview()?;
        let Some(filling) = &self.state.filling else { return Ok(flow) };
        let accepted =
            |want: &&Wanted| self.state.deviation_before(&want.node()).is_some_and(|known| known.accepted_by.is_some());
        Ok(self.with(flow, &filling.filled, filling.wants.iter().filter(accepted))?)
    }

    /// A flow with these holes filled and these steps otherwise.
    pub fn with<'w>(
        &self,
        mut flow: AutomationFlow,
        filled: &[HoleFilled],
        wants: impl IntoIterator<Item = &'w Wanted>,
    ) -> Result<AutomationFlow, ExpandError> {
        for hole in filled {
            let value = Filled { value: hole.value.clone(), because: hole.because.clone() };
            flow.fill(&hole.step, &hole.argument, &value);
        }
        for want in wants {
            let unknown = || ExpandError::UnknownTool { step: want.step.to_string(), tool: want.tool.to_string() };
            let tool = self.toolbox.tool(&want.tool).ok_or_else(unknown)?;
            flow = otherwise(&flow, &want.step, tool, &want.args, &want.because, self.toolbox)?;
        }
        Ok(flow)
    }
}

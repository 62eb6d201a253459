//! The loop of an agent as one pure question: what is to be done next about a draft. The exchange is on the chain, so
//! the answer is the same for whoever asks, before a crash and after it. Nothing here asks a model or calls a tool.

use serde_json::json;

use crate::{
    artifact::{Agent, ArtifactKind, CanonicalError},
    engagement::{AgentAsked, AgentQuestion, DocumentError, DraftReturned, Exchange, Finish, Proposal, View, drafter},
    model::ModelRequest,
    policy::Catalog,
};

use super::{
    answer::Wrong,
    build::BuildDraft,
    conversation::conversation,
    draft::{Draft, read},
    failed::FailureDraft,
    limits::{clipped, give_up, returned_enough},
    prompt::{PromptError, Prompts},
};

/// Everything that an agent's next move follows from.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    /// The engagement.
    pub view: View<'a>,
    /// What drafts are checked against.
    pub catalog: &'a Catalog,
    /// The instructions.
    pub prompts: &'a Prompts,
    /// How many tokens a request may have; none where nothing limits it.
    pub room: Option<u64>,
}

impl Desk<'_> {
    /// Whether what is asked for is not a draft but what is to come of a step that failed.
    pub(super) fn failed(&self, kind: ArtifactKind) -> bool {
        kind == ArtifactKind::Flow && self.view.documents.flow().is_some()
    }
}

/// What is to be done next about a draft.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// Ask the model.
    CallModel(Box<Asking>),
    /// Propose these calls to the broker.
    CallTools(Vec<Proposal>),
    /// Put these questions to the requester.
    Ask(AgentAsked),
    /// Wait for the requester's answer.
    Wait,
    /// Give the answer back with what is wrong with it.
    GiveBack(DraftReturned),
    /// File this.
    Done(Draft),
    /// End the engagement: no draft will come.
    GiveUp(String),
}

/// A request to a model, and what the chain remembers of it beside the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Asking {
    /// The request.
    pub request: ModelRequest,
    /// The agent.
    pub agent: Agent,
    /// What is drafted.
    pub drafting: ArtifactKind,
    /// The turn's place about this draft, from 1.
    pub turn: u32,
    /// The digest of the instructions.
    pub prompt: crate::artifact::Digest,
}

/// What is next cannot be said.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// A document of the chain is missing.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The instructions cannot be written.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// A value has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// What the agent must be told is more than its models take.
    #[error(
        "the {agent} agent must be told about {needs} tokens for {kind}, and {room} is what `context_tokens` of \
         policies/models.yaml leaves for a request; name a model there that takes more, or raise it if that one does"
    )]
    TooLong {
        /// The agent.
        agent: Agent,
        /// What it drafts.
        kind: ArtifactKind,
        /// The tokens of the shortest request that says all it must.
        needs: u64,
        /// The tokens that a request may have.
        room: u64,
    },
    /// No model drafts this.
    #[error("no model drafts {0}")]
    NoAgent(ArtifactKind),
}

/// What is to be done next about the draft of `kind`.
pub fn next_move(desk: &Desk<'_>, kind: ArtifactKind) -> Result<Move, TurnError> {
    let agent = drafter(kind).ok_or(TurnError::NoAgent(kind))?;
    let talk = &desk.view.state.talk;
    if talk.open().is_some() {
        return Ok(Move::Wait);
    }
    let Some((number, turned, after)) = talk.last_turn(kind) else { return think(desk, kind, agent) };
    let calls = desk.calls_of(kind, number, turned)?;
    if calls.is_empty() {
        // Whatever was said after an answer, or given back, makes it an earlier one.
        if after.iter().any(|piece| !matches!(piece, Exchange::Turn { .. })) {
            return think(desk, kind, agent);
        }
        let answer = desk.answer_of(turned)?;
        let wrong = match &turned.finish {
            Finish::Length => {
                Wrong::Malformed("the answer was cut off at the token limit; answer in fewer words".into())
            }
            Finish::Refused => Wrong::Malformed(format!("the model refused: {}", clipped(&answer.text))),
            _ => match read(desk, kind, &answer.text) {
                Ok(draft) => return Ok(Move::Done(draft)),
                Err(wrong) => wrong,
            },
        };
        let (malformed, problems) = match wrong {
            Wrong::Malformed(why) => (true, vec![why]),
            Wrong::Invalid(problems) => (false, problems),
        };
        return Ok(match returned_enough(desk, kind, &problems) {
            Some(reason) => Move::GiveUp(reason),
            None => Move::GiveBack(DraftReturned { artifact: kind, turn: number, malformed, problems }),
        });
    }
    let open: Vec<Proposal> = calls.iter().filter_map(|call| call.open(desk)).cloned().collect();
    if !open.is_empty() {
        return Ok(Move::CallTools(open));
    }
    let asks = calls.iter().find_map(|call| call.asks());
    let spoken = after.iter().any(|piece| matches!(piece, Exchange::Asked(_) | Exchange::Said(..)));
    match asks {
        Some(questions) if !spoken => Ok(Move::Ask(put(desk, agent, number, questions))),
        _ => think(desk, kind, agent),
    }
}

/// The questions under the ids that they are put with.
fn put(desk: &Desk<'_>, agent: Agent, turn: u32, questions: &[AgentQuestion]) -> AgentAsked {
    let talk = &desk.view.state.talk;
    let questions = questions.iter().enumerate();
    let questions = questions.map(|(at, question)| AgentQuestion { id: talk.question_id(at), ..question.clone() });
    AgentAsked { agent, turn, questions: questions.collect() }
}

/// Another turn, unless enough were had.
fn think(desk: &Desk<'_>, kind: ArtifactKind, agent: Agent) -> Result<Move, TurnError> {
    if let Some(reason) = give_up(desk, kind)? {
        let what = if desk.failed(kind) { "answer about the failed step".to_owned() } else { kind.to_string() };
        return Ok(Move::GiveUp(format!("the {agent} agent came to no {what}: {reason}")));
    }
    let (request, prompt) = conversation(desk, kind, agent)?;
    let turn = desk.view.state.talk.next_turn(kind);
    Ok(Move::CallModel(Box::new(Asking { request, agent, drafting: kind, turn, prompt })))
}

/// The JSON Schema of what an agent drafts: the artifact's own, and for a flow what the build agent may say of it
/// or of a step of it that failed.
pub(super) fn schema(kind: ArtifactKind, failed: bool) -> serde_json::Value {
    use crate::artifact::{DiscoveryReport, SolutionDesign, Spec};
    match kind {
        ArtifactKind::Spec => schemars::schema_for!(Spec).to_value(),
        ArtifactKind::Discovery => schemars::schema_for!(DiscoveryReport).to_value(),
        ArtifactKind::Design => schemars::schema_for!(SolutionDesign).to_value(),
        ArtifactKind::Flow if failed => schemars::schema_for!(FailureDraft).to_value(),
        ArtifactKind::Flow => schemars::schema_for!(BuildDraft).to_value(),
        ArtifactKind::Record => json!({}),
    }
}

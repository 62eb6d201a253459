//! What driving an engagement tells whoever watches, and why it stops.

use jiff::Timestamp;

use crate::{
    artifact::{Agent, ArtifactKind, Digest, NodeId, Phase},
    broker::Told,
    engagement::{About, AgentQuestion, Closed, Considered, HolesFilled, Proposal, Turned},
    flow::NodeOutcome,
    model::Delta,
};

/// Something that happened, for whoever watches.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// A phase began.
    Entered(Phase, Option<String>),
    /// A draft was filed.
    Filed(ArtifactKind, Digest),
    /// A call is about to be made.
    Calling(Proposal),
    /// What came of it.
    Called(Proposal, Told),
    /// A node is settled.
    Settled(NodeId, NodeOutcome, Option<String>),
    /// Something that the design does not say.
    Deviated(NodeId, String),
    /// A model is asked: for which agent, about which draft, and for the how manieth time.
    Turning(Agent, ArtifactKind, u32),
    /// A piece of its answer, as it comes.
    Delta(Agent, Delta),
    /// It has answered, or did not.
    Turned(Box<Turned>),
    /// An agent asks the requester.
    Asked(Vec<AgentQuestion>),
    /// A draft was given back with what is wrong with it.
    Returned(ArtifactKind, Vec<String>),
    /// The build agent filled the holes of the design.
    Filling(HolesFilled),
    /// The build agent was asked about a step that failed.
    Considered(Considered),
    /// What a call came to cannot be written down yet, and whoever watches must not end the program.
    Unwritten(String),
    /// Something to know that is neither.
    Note(String),
}

/// Why driving stopped.
#[derive(Clone, Debug, PartialEq)]
pub enum Stopped {
    /// A person must answer.
    Waiting(About),
    /// A person rejected what a blueprint drafted, which would come out the same again: it must be edited.
    NeedsEdit {
        /// Which draft.
        artifact: ArtifactKind,
        /// Who rejected it.
        by: String,
        /// Why.
        reason: String,
    },
    /// The window opens then.
    WindowOpens(Timestamp),
    /// A tool server or a target could not be used, and nothing more was sent; running again goes on from here.
    Unreachable(String),
    /// An agent asked the requester, and waits for the answer.
    Questions(Vec<AgentQuestion>),
    /// No model is configured for an agent whose drafts models write in this engagement.
    NoModel(Agent),
    /// A model was asked and gave no answer; running again asks again.
    NoAnswer(String),
    /// A model was asked and not waited for; running again asks again.
    Interrupted,
    /// It is over.
    Closed(Closed),
}

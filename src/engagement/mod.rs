//! The engagement: its events, the state they fold into, what may be decided in it and what is to be done next.
//! Pure: time, ids and results come in as arguments, events come out. Nothing here runs, stores or asks.

mod approved;
mod build;
mod decide;
mod documents;
mod event;
mod next;
mod state;

pub use approved::{Approved, ApprovedDesign, ApprovedSpec};
pub use build::{RESENT, before_state, node_args, observed_state, undo_call};
pub use decide::{Command, Refusal, decide};
pub use documents::{Blobs, DocumentError, Documents, RequestDocument, read as read_document};
pub use event::{
    About, Actor, Answer, Answered, ArtifactFiled, Asked, Body, CallAllowed, CallFinished, CallOutcome, CallRefused,
    Closed, DeviationFound, Event, NodeSettled, Purpose, RefusedAs, Requested, Retried,
};
pub use next::{DiscoveryRead, Next, NextError, Proposal, View, next};
pub use state::{Call, Deviation, Filed, Gate, GateState, State};

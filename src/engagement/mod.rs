//! The engagement: its events, the state they fold into, what may be decided in it and what is to be done next.
//! Pure: time, ids and results come in as arguments, events come out. Nothing here runs, stores or asks.

mod anew;
mod approved;
mod basis;
mod blobs;
mod build;
mod call;
mod calls;
mod change;
mod command;
mod considered;
mod decide;
mod documents;
mod drafting;
mod event;
mod filling;
mod fold;
mod follows;
mod found;
mod look;
mod named;
mod next;
mod origin;
mod picks;
mod planned;
mod purpose;
mod question;
mod redact;
mod refusal;
mod seal;
mod state;
mod statement;
mod talk;
mod trust;
mod turn;
mod undo;
mod view;

#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod next_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod rule_tests;
#[cfg(test)]
mod statement_tests;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod testing;

pub use anew::{
    Void, changed_tools, may_no_more, next_but_void, not_enough_in, opened_by_policy, ruled_no_more, void_gates,
};
pub use approved::{Approved, ApprovedDesign, ApprovedSpec};
pub use basis::Basis;
pub use blobs::{Blobs, Fetch};
pub use build::{Comes, RESENT, can_be_sent_again, comes_to, is_made_again, node_args};
pub use call::{CUT_OFF, Call, holds_back};
pub use change::{look_before, target_of};
pub use command::Command;
pub use considered::{CallWanted, Considered, with_accepted};
pub use decide::{decide, decide_for};
pub use documents::{
    DocumentError, Documents, Expanded, RequestDocument, parse as parse_document, read as read_document,
};
pub use drafting::drafter;
pub use event::{
    Actor, ArtifactFiled, Body, CallAllowed, CallFinished, CallOutcome, CallRefused, CallVoid, Closed, DeviationFound,
    Event, NodeSettled, RefusedAs, Requested, Retried, SpecProved, TrustSet,
};
pub use filling::{HoleFilled, HolesFilled, Wanted, given};
pub use follows::follows;
pub use found::{approved_finders, catalog_of, found_answers, found_in};
pub use look::{LOOKED, before_state, observed_state};
pub use next::{Next, NextError, Proposal, next};
pub use origin::Origin;
pub use picks::Picks;
pub use purpose::Purpose;
pub use question::{About, Answer, Answered, Asked, Once, PolicyAnswer};
pub use redact::{Redacted, Redacts, Scope as RedactionScope, redaction, shows, shows_some, telling};
pub use refusal::Refusal;
pub use seal::{Arguments, Committed, Seal, SealError, call_digest, opened, sealed_value, sealing_key, unsealed};
pub use state::{Deviation, Filed, Gate, GateState, State};
pub use statement::{
    ApprovalStatement, ApprovalStatementKind, Head, LogSeen, RedactionStatement, RedactionStatementKind, Signature,
    Signed, Statement, TrustStatement,
};
pub use talk::{AgentAsked, AgentQuestion, DraftReturned, DraftedBy, Exchange, Heard, RequesterSaid, Talk, Used};
pub use trust::{Standing, TrustRefusal, set_trust};
pub use turn::{Finish, Turned, Usage};
pub use undo::{AS_BEFORE, SEEN_GONE, is_undone_again, left_state, undo_call};
pub use view::{DiscoveryRead, NotRead, Reading, View};

//! The one road: every tool call is decided here, written to the chain before it runs, and run with a permit that
//! nothing else can make. It owns the transports and the rate limits; it never drafts, and it never decides what
//! should be done next.
//!
//! - `decide.rs` puts the seven steps of one decision together;
//! - `again.rs` decides once more about a call that waited, or may never have been sent;
//! - `cached.rs` keeps what decisions share;
//! - `invoke.rs` writes the decision down and runs what was allowed;
//! - `circumstances.rs` says what the chain knows of a call before a rule is asked;
//! - `explain.rs` says what would be decided and why, and decides nothing;
//! - `still.rs` says whether what the gates were approved on still holds;
//! - `refused.rs` bounds what is kept of a refused call;
//! - `sources.rs` is where all of it comes from;
//! - `rate.rs` makes calls wait that come too fast;
//! - `lease.rs` has the target of a change from the look before it until what came of it was read;
//! - `told.rs` is what came of a proposal;
//! - `permit.rs` is the proof that a transport asks for;
//! - `transport/` speaks to tool servers and is reachable from nowhere else.

mod again;
mod cached;
mod circumstances;
mod decide;
mod explain;
mod grants;
mod invoke;
mod lease;
mod permit;
mod rate;
mod refused;
mod sources;
mod still;
mod told;
mod transport;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod tests;

pub use decide::{Moment, Said};
pub use explain::{Explanation, explain, foresee, proposed, proposer, said_again};
pub use invoke::Broker;
pub use lease::{BETWEEN, Reserved, behind_words, reserve, reserve_again};
pub use sources::Sources;
pub use told::{BrokerError, Invoked, Told};
pub use transport::{Bounds, become_server};

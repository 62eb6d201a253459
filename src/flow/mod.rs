//! From an approved design to calls: `expand` unrolls and fills it, `otherwise` changes a step as a person accepted it,
//! `progress` says which call is enabled next.
//! Pure; it neither runs anything nor knows about approvals.

mod back;
mod expand;
mod otherwise;
mod progress;

pub use back::brings_back;
pub use expand::{ExpandError, bind_args, expand, item_key, resolve_items};
pub use otherwise::otherwise;
pub use progress::{Failures, NextNode, NodeOutcome, Settled, next_node};

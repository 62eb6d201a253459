//! What the program itself knows and computes: the inventory, the people, and from them the environment, the
//! targets, the risk and the blast radius of an engagement. Pure, and never what a model said.

mod found;
mod gaps;
mod inventory;
mod people;
mod signers;
mod summary;
mod trust;

pub use found::{Finding, FoundBy, FoundIn, Within};
pub use gaps::{misspelt_environments, misspelt_words, signing_gaps};
pub use inventory::{Inventory, InventoryKind, Target, TargetExample};
pub use people::{Identity, IdentityMeans, People, PeopleKind, Person, PersonExample, Role};
pub use signers::{
    AllowedSigners, NAMESPACES, SignerLine, SignersProblem, TRUST_NAMESPACE, fingerprint, key_of, line_for, usable,
};
pub use summary::{
    Facts, Risk, ToolFacts, flow_facts, listed_facts, risk, spec_facts, unproven_of, unproven_undos, with_flow,
};
pub use trust::{AUTONOMOUS, STAGES, Scope, Trust};

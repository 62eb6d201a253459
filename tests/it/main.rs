//! End to end: the real program in workspaces of its own, by promise and by feature. What a person or a program sees
//! is what is looked at: exit codes, `--json` answers, files, and the simulated lab with its journal of applied writes.
#![allow(
    clippy::cloned_ref_to_slice_refs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests start the program, write its files and stop at the first surprise"
)]

mod agents;
mod anew;
mod at_once;
mod attacks;
mod auditor;
mod bad_input;
mod before_gate1;
mod bench;
mod beside;
mod blueprints;
mod broken;
mod build_agent;
mod bundle;
mod chat;
mod children;
mod clock;
mod crash;
mod disk;
mod failed_step;
mod faults;
mod forged;
mod found;
mod gates;
mod kill;
mod left_behind;
mod limits;
mod log;
mod lost;
mod made_again;
mod model;
mod objects;
mod policy;
mod prove;
mod redact;
mod rules_again;
mod secrets;
mod served;
mod shapes;
mod signed;
mod talk;
mod terminal;
mod true_words;
mod trust;
mod ways_on;
mod witness;
mod written;

//! Countersign runs agents that automate networks, and lets nothing they propose happen until it has been
//! countersigned.
//!
//! The modules in reading order; each may use those above it and never those below (a test compares this list
//! with every `use crate::`). Everything down to `gate` is pure: no clock, no I/O, no async.
#![deny(missing_docs)]

pub mod artifact;
pub mod tool;
pub mod flow;
pub mod facts;
pub mod policy;
pub mod engagement;
pub mod record;
pub mod gate;
pub mod model;
pub mod agent;
pub mod ledger;
pub mod broker;
pub mod lab;
pub mod runtime;
pub mod cli;

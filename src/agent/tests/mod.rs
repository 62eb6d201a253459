//! The loop of the agents over a chain in small: what a model says is written here, turn by turn, and every request that
//! it would have been asked is looked at.

mod build;
mod desk;
mod drafts;
mod failed;
mod leaving;
mod limits;
mod loops;
mod room;
mod turns;

pub(super) use desk::{Studio, answer, calls, design, finish, report, said, spec, text};

//! What grants count: the grant that a call counts on, and whether it has room.

use std::collections::BTreeSet;

use crate::{
    artifact::Digest,
    engagement::{Proposal, View},
    policy::{Layer, Spoke},
    tool::{Effect, Tool},
};

use super::decide::{No, no, spec};

/// The grants that let a call in, in the order of the spec.
pub(super) struct Grants<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) tool: &'a Tool,
    pub(super) proposal: &'a Proposal,
    pub(super) digest: Digest,
    pub(super) first: Option<String>,
    pub(super) also: Vec<Spoke>,
}

impl Grants<'_> {
    /// The grant that the call counts on, and the effect that is counted: the grant on which this effect was counted
    /// before, else the first that has room. Each is leave of its own, so where one is used up the next one holds.
    pub(super) fn with_room(&self) -> Result<(String, Option<String>), No> {
        let Some(first) = &self.first else {
            return Err(no(Layer::Boundary, "boundary.none", "no grant was named, so the call is refused"));
        };
        if self.tool.effect == Effect::Read || first.ends_with(".undo") {
            return Ok((first.clone(), None));
        }
        // An effect is one node, however often it is tried: a call that is proposed by hand stands for itself.
        let node = self.proposal.purpose.node();
        let effect = node.map_or_else(|| self.digest.to_string(), ToString::to_string);
        let all: Vec<&String> = std::iter::once(first).chain(self.also.iter().map(|also| &also.rule)).collect();
        let used = |grant: &str| self.view.state.effects.get(grant);
        let counted = all.iter().find(|grant| used(grant).is_some_and(|used| used.contains(&effect)));
        let room = |grant: &&&String| {
            self.at_most(grant).is_none_or(|most| used(grant).map_or(0, BTreeSet::len) < most as usize)
        };
        match counted.or_else(|| all.iter().find(room)) {
            Some(grant) => Ok(((*grant).clone(), Some(effect))),
            None => {
                let most: u64 = all.iter().filter_map(|grant| self.at_most(grant)).map(u64::from).sum();
                let which = if all.len() == 1 { "the grant allows" } else { "the grants together allow" };
                let reason = format!("{which} {most} of these and all are used");
                Err(no(Layer::Limits, "limit.at_most", reason))
            }
        }
    }

    fn at_most(&self, grant: &str) -> Option<u32> {
        let at = grant.strip_prefix("build.").and_then(|at| at.parse::<usize>().ok())?;
        spec(self.view)?.boundary.build.get(at)?.at_most
    }
}

//! What the chain says about a proposed call before any rule is asked: whether it recovers, whether it is the
//! contract's next, whose undo it is, who approved it, and how far changes reach with it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    artifact::Digest,
    engagement::{Proposal, Purpose, State, View},
    facts::Role,
    policy::{Catalog, Changes, Question},
    tool::{Effect, Tool},
};

use super::{
    decide::{Moment, spec},
    still::since_agreed,
};

/// What is true of a proposal in its engagement.
pub(super) struct Circumstances {
    pub(super) recovery: bool,
    pub(super) window_open: bool,
    pub(super) on_contract: bool,
    pub(super) approved_in: Option<Role>,
    /// Whether there was a yes, of another tool or target than these are now: it is none, and is asked for anew.
    pub(super) stale: bool,
    undo_of: Option<String>,
    approved_by: BTreeSet<Role>,
}

impl Circumstances {
    pub(super) fn of(
        view: &View<'_>,
        proposal: &Proposal,
        digest: &Digest,
        moment: &Moment<'_>,
        recovery: bool,
        on_contract: bool,
    ) -> Self {
        let undo_of = if matches!(proposal.purpose, Purpose::Undo { .. }) && on_contract {
            proposal.purpose.node().and_then(|node| view.act_of(node)).and_then(|(_, call)| call.grant.clone())
        } else {
            None
        };
        let approved_in = view.state.approved_in(digest, moment.now);
        // Whoever approves as an owner approves as an approver too.
        let approved = |role: &Role| approved_in >= Some(*role);
        Self {
            recovery,
            window_open: window_open(view, moment.now),
            on_contract,
            undo_of,
            approved_in,
            stale: false,
            approved_by: [Role::Approver, Role::Owner].into_iter().filter(approved).collect(),
        }
    }

    /// The same without a yes that was of another tool or target than these are now.
    pub(super) fn with_what_stands(
        mut self,
        (view, catalog): (&View<'_>, &Catalog),
        (tool, target, digest): (&Tool, &str, &Digest),
        moment: &Moment<'_>,
    ) -> Self {
        if self.approved_in.is_some()
            && since_agreed(view, catalog, (tool, target, digest), self.recovery, moment.now).is_some()
        {
            self.stale = true;
            self.approved_in = None;
            self.approved_by.clear();
        }
        self
    }

    /// What the policies are asked.
    pub(super) fn question<'a>(
        &'a self,
        view: &View<'_>,
        catalog: &Catalog,
        (tool, args): (&'a Tool, &'a Map<String, Value>),
        proposal: &Proposal,
        moment: &Moment<'_>,
    ) -> Question<'a> {
        Question {
            agent: proposal.agent,
            phase: view.state.phase,
            stage: moment.stage,
            tool,
            args,
            on_contract: self.on_contract,
            undo_of: self.undo_of.as_deref(),
            recovery: self.recovery,
            window_open: self.window_open,
            approved_by: &self.approved_by,
            changes: changes(view.state, catalog, tool, args, moment.elsewhere),
        }
    }
}

/// Whether the spec has a window and it is open.
pub(super) fn window_open(view: &View<'_>, now: Timestamp) -> bool {
    spec(view).and_then(|spec| spec.window).is_some_and(|window| window.from <= now && now < window.until)
}

/// How far changes reach with this call: what this engagement has changed, and what others have.
pub(super) fn changes(
    state: &State,
    catalog: &Catalog,
    tool: &Tool,
    args: &Map<String, Value>,
    elsewhere: &BTreeSet<String>,
) -> Changes {
    let this = args.get(&tool.target).and_then(Value::as_str).filter(|_| tool.effect != Effect::Read);
    let new = this.filter(|name| !state.changed.contains(*name));
    let production = |name: &str| catalog.inventory.target(name).is_some_and(|it| it.environment == "production");
    let targets = || state.changed.iter().map(String::as_str).chain(new);
    let own = |name: &String| state.changed.contains(name) || Some(name.as_str()) == this;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Changes {
        targets: count(targets().count()),
        production_targets: count(targets().filter(|name| production(name)).count()),
        elsewhere: count(elsewhere.iter().filter(|name| !own(name)).count()),
    }
}

//! What a set of policies sees of a question. Guardrails see how far a change reaches and not the name of a VLAN, a
//! grant sees the arguments and not the trust stage; so one answer serves every question that looks the same to the
//! set. What is kept is true by how it came about: the set is asked with what it is said to see and with nothing else
//! ([`super::request`]), so a policy that read further would fail, and what fails is refused.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use cedar_policy::{
    Policy, PolicySet,
    pst::{Clause, Expr, Var},
};
use serde_json::{Map, Value};

use crate::{
    artifact::{Agent, Phase, ToolName},
    facts::Role,
};

use super::decide::{Changes, Question};

/// The parts of a question that are in Cedar's `context`. `groups` and `counts` follow from the arguments and the
/// catalog, `simulated` from the tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Args,
    Groups,
    Counts,
    Phase,
    Stage,
    OnContract,
    UndoOf,
    Recovery,
    WindowOpen,
    ApprovedBy,
    Simulated,
    Changes,
}

impl Part {
    const ALL: [Self; 12] = [
        Self::Args,
        Self::Groups,
        Self::Counts,
        Self::Phase,
        Self::Stage,
        Self::OnContract,
        Self::UndoOf,
        Self::Recovery,
        Self::WindowOpen,
        Self::ApprovedBy,
        Self::Simulated,
        Self::Changes,
    ];

    /// Its name in `context`.
    fn name(self) -> &'static str {
        match self {
            Self::Args => "args",
            Self::Groups => "groups",
            Self::Counts => "counts",
            Self::Phase => "phase",
            Self::Stage => "stage",
            Self::OnContract => "on_contract",
            Self::UndoOf => "undo_of",
            Self::Recovery => "recovery",
            Self::WindowOpen => "window_open",
            Self::ApprovedBy => "approved_by",
            Self::Simulated => "simulated",
            Self::Changes => "changes",
        }
    }
}

/// The parts that some policies look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reads(BTreeSet<Part>);

impl Reads {
    /// Every part.
    fn all() -> Self {
        Self(Part::ALL.into())
    }

    fn add(&mut self, policy: &Policy) {
        match policy.to_pst() {
            Ok(policy) => policy.body().clauses().iter().for_each(|clause| match clause {
                Clause::When(expr) | Clause::Unless(expr) => self.look(expr),
            }),
            Err(_) => *self = Self::all(),
        }
    }

    fn look(&mut self, expr: &Expr) {
        match expr {
            Expr::GetAttr { expr, attr } if **expr == Expr::Var(Var::Context) => self.named(attr),
            Expr::HasAttr { expr, attrs } if **expr == Expr::Var(Var::Context) => self.named(&attrs.head),
            Expr::GetAttr { expr, .. }
            | Expr::HasAttr { expr, .. }
            | Expr::UnaryOp { expr, .. }
            | Expr::Like { expr, .. } => self.look(expr),
            Expr::BinaryOp { left, right, .. } => [left, right].into_iter().for_each(|side| self.look(side)),
            Expr::Is { expr, in_expr, .. } => {
                [Some(expr), in_expr.as_ref()].into_iter().flatten().for_each(|expr| self.look(expr))
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                [cond, then_expr, else_expr].into_iter().for_each(|part| self.look(part));
            }
            Expr::Set(items) => items.iter().for_each(|item| self.look(item)),
            Expr::Record(members) => members.values().for_each(|member| self.look(member)),
            Expr::Literal(_) | Expr::Var(Var::Principal | Var::Action | Var::Resource) => {}
            // The whole context, or what Cedar may have in time.
            _ => *self = Self::all(),
        }
    }

    fn named(&mut self, name: &str) {
        match Part::ALL.into_iter().find(|part| part.name() == name) {
            Some(part) => _ = self.0.insert(part),
            None => *self = Self::all(),
        }
    }
}

/// Policies that are asked together, and what they see.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    /// Which it is among all of this process.
    id: u64,
    set: PolicySet,
    reads: Reads,
}

impl Default for Slice {
    fn default() -> Self {
        Self::new(PolicySet::new())
    }
}

impl Slice {
    pub(super) fn new(set: PolicySet) -> Self {
        let mut reads = Reads::default();
        set.policies().for_each(|policy| reads.add(policy));
        Self { id: new_id(), set, reads }
    }

    /// Policies that are said to look at nothing.
    #[cfg(test)]
    pub(super) fn seeing_nothing(set: PolicySet) -> Self {
        Self { id: new_id(), set, reads: Reads::default() }
    }

    /// Adds a policy; the slice is another one then.
    pub(super) fn add(&mut self, policy: Policy) -> Result<(), String> {
        self.reads.add(&policy);
        self.id = new_id();
        self.set.add(policy).map_err(|error| error.to_string())
    }

    pub(super) fn set(&self) -> &PolicySet {
        &self.set
    }

    /// What it sees of a question, if more roles had approved it.
    pub(super) fn sight(&self, question: &Question<'_>, call: Call<'_>, more: &BTreeSet<Role>) -> Sight {
        Sight::of(self.id, &self.reads, question, call, more)
    }
}

fn new_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The target of a call, and its arguments where they can be kept.
pub(super) type Call<'a> = (&'a str, &'a Arc<Map<String, Value>>);

/// A question as some policies see it: what they do not look at is not in it. An answer follows from it, from the
/// policies that it was made for and from the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sight {
    slice: u64,
    pub(super) agent: Agent,
    pub(super) tool: ToolName,
    /// What the call is about, which is an argument too.
    pub(super) target: String,
    /// Empty where neither they nor what follows from them is seen.
    pub(super) args: Arc<Map<String, Value>>,
    pub(super) parts: Vec<Seen>,
}

impl Sight {
    /// The whole question as things are.
    pub(super) fn whole(question: &Question<'_>, call: Call<'_>) -> Self {
        Self::of(0, &Reads::all(), question, call, &BTreeSet::new())
    }

    fn of(slice: u64, reads: &Reads, question: &Question<'_>, call: Call<'_>, more: &BTreeSet<Role>) -> Self {
        let (target, args) = call;
        let seen = [Part::Args, Part::Groups, Part::Counts].into_iter().any(|part| reads.0.contains(&part));
        Self {
            slice,
            agent: question.agent,
            tool: question.tool.name.clone(),
            target: target.to_owned(),
            args: if seen { Arc::clone(args) } else { Arc::default() },
            parts: reads.0.iter().map(|part| part.of(question, more)).collect(),
        }
    }
}

/// A part and what it is, but for what follows from the tool, the arguments and the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Seen {
    Args,
    Groups,
    Counts,
    Phase(Phase),
    Stage(u8),
    OnContract(bool),
    UndoOf(String),
    Recovery(bool),
    WindowOpen(bool),
    ApprovedBy(BTreeSet<Role>),
    Simulated,
    Changes(Changes),
}

impl Part {
    fn of(self, question: &Question<'_>, more: &BTreeSet<Role>) -> Seen {
        match self {
            Self::Args => Seen::Args,
            Self::Groups => Seen::Groups,
            Self::Counts => Seen::Counts,
            Self::Phase => Seen::Phase(question.phase),
            Self::Stage => Seen::Stage(question.stage),
            Self::OnContract => Seen::OnContract(question.on_contract),
            Self::UndoOf => Seen::UndoOf(question.undo_of.unwrap_or_default().to_owned()),
            Self::Recovery => Seen::Recovery(question.recovery),
            Self::WindowOpen => Seen::WindowOpen(question.window_open),
            Self::ApprovedBy => Seen::ApprovedBy(approved(question.approved_by, more)),
            Self::Simulated => Seen::Simulated,
            Self::Changes => Seen::Changes(question.changes),
        }
    }
}

/// The roles in which a call counts as approved. An owner has every role, so what an owner approved is approved in every role.
fn approved(by: &BTreeSet<Role>, more: &BTreeSet<Role>) -> BTreeSet<Role> {
    match by.contains(&Role::Owner) || more.contains(&Role::Owner) {
        true => Role::ALL.into(),
        false => by.union(more).copied().collect(),
    }
}

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

use cedar_policy::{Policy, PolicySet};
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reads(u16);

impl Reads {
    /// Those that the permits of a boundary look at, as they are built ([`super::clause`], [`super::boundary`]).
    pub(super) const OF_GRANTS: Self =
        Self::NONE.with(Part::Args).with(Part::Groups).with(Part::Counts).with(Part::UndoOf);

    /// Every part.
    pub(super) const ALL: Self = Self((1 << Part::ALL.len()) - 1);

    const NONE: Self = Self(0);

    const fn with(self, part: Part) -> Self {
        Self(self.0 | 1 << part as u16)
    }

    /// These and others.
    pub(super) const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    fn parts(self) -> impl Iterator<Item = Part> {
        Part::ALL.into_iter().filter(move |part| self.and(Self::NONE.with(*part)) == self)
    }

    /// What a policy looks at, by its text: each time that it speaks of `context` it names one part, or it is said to look
    /// at all of them. Nothing is parsed, as who wrote it may have made it to be deep.
    pub(super) fn of(text: &str) -> Self {
        let mut tokens = Tokens(text).fuse();
        let mut reads = Self::NONE;
        while let Some(token) = tokens.next() {
            if token != Token::Word("context") {
                continue;
            }
            let name = match tokens.next() {
                Some(Token::Other(".")) => tokens.next(),
                Some(Token::Word("has")) => tokens.next(),
                Some(Token::Other("[")) => {
                    let name = tokens.next();
                    name.filter(|_| tokens.next() == Some(Token::Other("]")))
                }
                _ => None,
            };
            let named = |named: &str| Part::ALL.into_iter().find(|part| part.name() == named);
            reads = match name {
                Some(Token::Word(name) | Token::Text(name)) => named(name).map_or(Self::ALL, |part| reads.with(part)),
                _ => Self::ALL,
            };
            if reads == Self::ALL {
                return reads;
            }
        }
        reads
    }
}

/// The words, quoted texts and other characters of a policy, without comments and what is between them.
struct Tokens<'a>(&'a str);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// As it is written, without the quotes.
    Text(&'a str),
    Other(&'a str),
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            self.0 = self.0.trim_start();
            let Some(comment) = self.0.strip_prefix("//") else { break };
            self.0 = comment.split_once(['\n', '\r']).map_or("", |(_, rest)| rest);
        }
        let first = self.0.chars().next()?;
        let begins_word = |c: char| c.is_ascii_alphabetic() || c == '_';
        let in_word = |c: char| begins_word(c) || c.is_ascii_digit();
        let (length, quoted) = match first {
            '"' => {
                let mut escaped = false;
                let end = self.0.char_indices().skip(1).find(|(_, c)| {
                    let ends = *c == '"' && !escaped;
                    escaped = *c == '\\' && !escaped;
                    ends
                });
                (end.map_or(self.0.len(), |(at, _)| at + 1), true)
            }
            c if begins_word(c) => (self.0.find(|c| !in_word(c)).unwrap_or(self.0.len()), false),
            c => (c.len_utf8(), false),
        };
        let (token, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(match (quoted, begins_word(first)) {
            (true, _) => Token::Text(token.trim_matches('"')),
            (false, true) => Token::Word(token),
            (false, false) => Token::Other(token),
        })
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

impl Slice {
    pub(super) fn new(set: PolicySet, reads: Reads) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), set, reads }
    }

    /// These and one more, which looks at nothing else: another slice.
    pub(super) fn add(&mut self, policy: Policy) -> Result<(), String> {
        let mut set = std::mem::take(&mut self.set);
        let added = set.add(policy).map_err(|error| error.to_string());
        *self = Self::new(set, self.reads);
        added
    }

    pub(super) fn set(&self) -> &PolicySet {
        &self.set
    }

    /// What it sees of a question, if more roles had approved it.
    pub(super) fn sight(&self, question: &Question<'_>, call: Call<'_>, more: &BTreeSet<Role>) -> Sight {
        Sight::of(self.id, self.reads, question, call, more)
    }
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
        Self::of(0, Reads::ALL, question, call, &BTreeSet::new())
    }

    fn of(slice: u64, reads: Reads, question: &Question<'_>, call: Call<'_>, more: &BTreeSet<Role>) -> Self {
        let (target, args) = call;
        let seen = reads.parts().any(|part| matches!(part, Part::Args | Part::Groups | Part::Counts));
        Self {
            slice,
            agent: question.agent,
            tool: question.tool.name.clone(),
            target: target.to_owned(),
            args: if seen { Arc::clone(args) } else { Arc::default() },
            parts: reads.parts().map(|part| part.of(question, more)).collect(),
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

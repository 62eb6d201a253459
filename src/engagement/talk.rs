//! What agents and the requester say to one another while a draft comes to be: the questions, the answers, what was
//! given back, and the exchange that these and the turns add up to. It is folded from the chain and from nothing else,
//! so a conversation goes on where it was, on any machine that has the ledger.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifact::{Agent, ArtifactKind, Digest, ValueSchema};

use super::{event::Actor, turn::Turned};

/// Questions of an agent to whoever asked for the engagement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentAsked {
    /// Who asks.
    pub agent: Agent,
    /// The turn that they were asked in, counted over the engagement.
    pub turn: u32,
    /// The questions, at most [`AgentAsked::MOST`].
    pub questions: Vec<AgentQuestion>,
}

impl AgentAsked {
    /// The most questions at a time.
    pub const MOST: usize = 3;
}

/// One question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentQuestion {
    /// Its id, such as `Q1`; no two questions of an engagement share one.
    pub id: String,
    /// The question.
    pub text: String,
    /// What the answer must be; any text where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<ValueSchema>,
}

impl AgentQuestion {
    /// The most choices that it gives.
    pub const MOST_CHOICES: usize = 100;

    /// The longest question, in bytes.
    pub const LONGEST: usize = 1_000;

    /// An answer in normal form, or why it is none.
    pub fn check(&self, answer: &Value) -> Result<Value, String> {
        let checked = match &self.schema {
            Some(schema) => schema.normalise(answer),
            None => match answer {
                Value::String(text) if !text.trim().is_empty() => Ok(answer.clone()),
                _ => Err("answer in words".into()),
            },
        };
        checked.map_err(|why| format!("the answer to {}: {why}", self.id))
    }
}

/// What a person says to the agents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequesterSaid {
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The answers to open questions, by their ids.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, Value>,
}

impl RequesterSaid {
    /// The longest text, in bytes.
    pub const LONGEST: usize = 16_384;
}

/// An answer that was no draft, given back with what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DraftReturned {
    /// What was being drafted.
    pub artifact: ArtifactKind,
    /// The turn that gave it, counted over the engagement.
    pub turn: u32,
    /// Whether it was no document at all.
    pub malformed: bool,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

/// One piece of the exchange about a draft.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Exchange {
    /// A turn of the model.
    Turn {
        /// Its place among all turns of the engagement, from 1.
        number: u32,
        /// The turn.
        turned: Box<Turned>,
    },
    /// Questions.
    Asked(AgentAsked),
    /// What a person said.
    Said(Actor, RequesterSaid),
    /// What was given back.
    Returned(DraftReturned),
}

/// Something that a person said, with the questions that were open then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// Who.
    pub actor: Actor,
    /// What.
    pub said: RequesterSaid,
    /// The questions that it answers.
    pub questions: Vec<AgentQuestion>,
}

/// What the turns of an agent used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Turns, those without an answer included.
    pub turns: u64,
    /// Tokens read and written.
    pub tokens: u64,
    /// Whether some of them are an estimate.
    pub estimated: bool,
    /// The tokens of the turns for which that is so.
    pub tokens_estimated: u64,
    /// What they cost, in millionths of the configured currency unit, as far as prices are configured.
    pub cost_micros: u64,
    /// Milliseconds of waiting for models.
    pub latency_ms: u64,
}

impl Used {
    fn add(&mut self, turned: &Turned) {
        self.turns += 1;
        self.tokens = self.tokens.saturating_add(turned.usage.tokens());
        self.estimated |= turned.usage.estimated;
        if turned.usage.estimated {
            self.tokens_estimated = self.tokens_estimated.saturating_add(turned.usage.tokens());
        }
        self.cost_micros = self.cost_micros.saturating_add(turned.usage.cost_micros.unwrap_or(0));
        self.latency_ms = self.latency_ms.saturating_add(turned.latency_ms);
    }
}

/// All that was said in an engagement so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Talk {
    /// How many turns there were.
    turns: u32,
    /// How many questions were asked.
    questions: usize,
    /// The exchange about each draft that is not filed yet.
    drafts: BTreeMap<ArtifactKind, Vec<Exchange>>,
    /// What people said before the current draft of the spec, and in it.
    heard: Vec<Heard>,
    /// How many of those were said before the current draft of the spec.
    earlier: usize,
    /// The questions that wait for an answer, and since when.
    open: Option<(AgentAsked, Timestamp)>,
    /// What each agent used.
    used: BTreeMap<Agent, Used>,
    /// What drafted the last version of each artifact that an agent drafted.
    drafted_by: BTreeMap<ArtifactKind, DraftedBy>,
    /// The currency of the last cost.
    currency: Option<String>,
}

/// The model that gave a draft.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftedBy {
    /// The endpoint, as the configuration names it.
    pub endpoint: String,
    /// The model, as the endpoint names it.
    pub model: String,
}

impl Talk {
    /// How many turns there were, over all drafts.
    pub fn turns(&self) -> u32 {
        self.turns
    }

    /// The exchange about the draft of an artifact that is not filed yet.
    pub fn about(&self, kind: ArtifactKind) -> &[Exchange] {
        self.drafts.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// What people said before the current draft of the spec was begun.
    pub fn earlier(&self) -> &[Heard] {
        self.heard.get(..self.earlier).unwrap_or_default()
    }

    /// Who said anything to the agents, in the order in which they did.
    pub fn speakers(&self) -> impl Iterator<Item = &Actor> {
        self.heard.iter().map(|heard| &heard.actor)
    }

    /// The questions that wait for an answer.
    pub fn open(&self) -> Option<&AgentAsked> {
        self.open.as_ref().map(|(asked, _)| asked)
    }

    /// Since when they wait.
    pub fn open_since(&self) -> Option<Timestamp> {
        self.open.as_ref().map(|(_, since)| *since)
    }

    /// The place that the next turn has about a draft, from 1.
    pub fn next_turn(&self, kind: ArtifactKind) -> u32 {
        let turns = self.about(kind).iter().filter(|piece| matches!(piece, Exchange::Turn { .. })).count();
        u32::try_from(turns).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// The id of the next question but `ahead`.
    pub fn question_id(&self, ahead: usize) -> String {
        format!("Q{}", self.questions + ahead + 1)
    }

    /// The last turn about a draft that brought an answer, and what was said after it.
    pub fn last_turn(&self, kind: ArtifactKind) -> Option<(u32, &Turned, &[Exchange])> {
        let about = self.about(kind);
        let at =
            about.iter().rposition(|piece| matches!(piece, Exchange::Turn { turned, .. } if turned.error.is_none()))?;
        match about.get(at)? {
            Exchange::Turn { number, turned } => {
                Some((*number, turned.as_ref(), about.get(at + 1..).unwrap_or_default()))
            }
            _ => None,
        }
    }

    /// A turn about what is not filed yet, by its place among all turns.
    pub fn turn(&self, number: u32) -> Option<&Turned> {
        self.drafts.values().flatten().find_map(|piece| match piece {
            Exchange::Turn { number: its, turned } if *its == number => Some(turned.as_ref()),
            _ => None,
        })
    }

    /// Whether the last that happened about a draft is a turn that asks for no tool: what it says may be filed.
    pub fn drafted(&self, kind: ArtifactKind) -> bool {
        matches!(self.about(kind).last(), Some(Exchange::Turn { turned, .. }) if turned.error.is_none() && turned.calls == 0)
    }

    /// The model that gave the last version of an artifact that a model drafted.
    pub fn drafted_by(&self, kind: ArtifactKind) -> Option<&DraftedBy> {
        self.drafted_by.get(&kind)
    }

    /// The digest of the answer of that turn.
    pub fn draft(&self, kind: ArtifactKind) -> Option<Digest> {
        self.last_turn(kind).and_then(|(_, turned, _)| turned.response)
    }

    /// Whether what is filed may come from the last turn, and names its answer.
    pub fn gives(&self, kind: ArtifactKind, made_from: &[Digest]) -> bool {
        self.drafted(kind) && self.draft(kind).is_some_and(|answer| made_from.contains(&answer))
    }

    /// Whether a turn asks for such a call: it is the last one about what is being drafted.
    pub fn proposes(&self, turn: u32, call: u32) -> bool {
        let kinds = [ArtifactKind::Spec, ArtifactKind::Discovery, ArtifactKind::Design, ArtifactKind::Flow];
        kinds.into_iter().any(|kind| {
            self.last_turn(kind).is_some_and(|(number, turned, _)| number == turn && (1..=turned.calls).contains(&call))
        })
    }

    /// Whether someone said something since the spec was filed, that it does not take into account.
    pub fn unheard(&self) -> bool {
        self.about(ArtifactKind::Spec).iter().any(|piece| matches!(piece, Exchange::Said(..)))
    }

    /// What each agent used.
    pub fn used(&self) -> &BTreeMap<Agent, Used> {
        &self.used
    }

    /// The currency of what it cost, where that is known.
    pub fn currency(&self) -> Option<&str> {
        self.currency.as_deref()
    }

    /// What all agents used together.
    pub fn total(&self) -> Used {
        self.used.values().fold(Used::default(), |sum, used| Used {
            turns: sum.turns + used.turns,
            tokens: sum.tokens.saturating_add(used.tokens),
            estimated: sum.estimated || used.estimated,
            tokens_estimated: sum.tokens_estimated.saturating_add(used.tokens_estimated),
            cost_micros: sum.cost_micros.saturating_add(used.cost_micros),
            latency_ms: sum.latency_ms.saturating_add(used.latency_ms),
        })
    }

    pub(super) fn turned(&mut self, turned: &Turned) {
        self.turns = self.turns.saturating_add(1);
        self.used.entry(turned.agent).or_default().add(turned);
        if turned.currency.is_some() {
            self.currency.clone_from(&turned.currency);
        }
        let piece = Exchange::Turn { number: self.turns, turned: Box::new(turned.clone()) };
        self.drafts.entry(turned.drafting).or_default().push(piece);
    }

    pub(super) fn asked(&mut self, asked: &AgentAsked, at: Timestamp) {
        self.questions += asked.questions.len();
        self.open = Some((asked.clone(), at));
        self.drafts.entry(ArtifactKind::Spec).or_default().push(Exchange::Asked(asked.clone()));
    }

    /// What a person said; the answer is for how many seconds it was waited for.
    pub(super) fn said(&mut self, actor: &Actor, said: &RequesterSaid, at: Timestamp) -> i64 {
        let open = self.open.take();
        let waited = open.as_ref().map_or(0, |(_, since)| (at.as_second() - since.as_second()).max(0));
        let questions = open.map(|(asked, _)| asked.questions).unwrap_or_default();
        self.heard.push(Heard { actor: actor.clone(), said: said.clone(), questions });
        let piece = Exchange::Said(actor.clone(), said.clone());
        self.drafts.entry(ArtifactKind::Spec).or_default().push(piece);
        waited
    }

    pub(super) fn returned(&mut self, returned: &DraftReturned) {
        self.drafts.entry(returned.artifact).or_default().push(Exchange::Returned(returned.clone()));
    }

    /// What was said about a failed step is answered; what is said of the next one begins anew.
    pub(super) fn considered(&mut self) {
        self.drafts.remove(&ArtifactKind::Flow);
    }

    /// What was said about an artifact has led to this version of it, and about later ones it is void.
    pub(super) fn filed(&mut self, kind: ArtifactKind, author: &Actor) {
        if let (Actor::Agent(_), Some((_, turned, _))) = (author, self.last_turn(kind)) {
            let by = DraftedBy { endpoint: turned.endpoint.clone(), model: turned.model.clone() };
            self.drafted_by.insert(kind, by);
        }
        self.drafts.retain(|about, _| *about < kind);
        if kind == ArtifactKind::Spec {
            self.earlier = self.heard.len();
            self.open = None;
        }
    }
}

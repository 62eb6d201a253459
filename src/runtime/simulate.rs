//! What the files of this workspace would answer to the calls that its ledger holds. Each recorded call is asked about
//! once more, in the state that its engagement was in when it was decided; nothing is written and nothing runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    artifact::{Agent, CallId, Digest, EngagementId},
    broker::{Moment, foresee},
    engagement::{
        ApprovedSpec, Arguments, Body, Documents, Event, Proposal, Purpose, RefusedAs, State, View, catalog_of,
    },
    ledger::{Filter, Journal, LedgerError},
    policy::{Catalog, CompiledBoundary, Spoke},
};

use super::workspace::Workspace;

/// What came of asking again.
#[derive(Debug, Default, Serialize)]
pub struct Simulation {
    /// Calls that were asked about.
    pub calls: u64,
    /// How often each answer was given then.
    pub then: BTreeMap<String, u64>,
    /// How often each would be given now.
    pub now: BTreeMap<String, u64>,
    /// Calls that could not be asked about, because a redaction destroyed their arguments or the key.
    pub redacted: u64,
    /// The same, by engagement.
    pub redacted_of: BTreeMap<EngagementId, u64>,
    /// Calls that would be answered otherwise.
    pub flips: Vec<Flip>,
    /// Engagements that could not be asked about, and why.
    pub unread: Vec<String>,
}

/// A call that would be answered otherwise.
#[derive(Debug, Serialize)]
pub struct Flip {
    /// The engagement.
    pub engagement: EngagementId,
    /// The call.
    pub call: CallId,
    /// When it was decided.
    pub at: Timestamp,
    /// The tool.
    pub tool: String,
    /// The arguments.
    pub args: Map<String, Value>,
    /// The answer then.
    pub then: String,
    /// The rule that decided it.
    pub then_rule: Option<Spoke>,
    /// The answer now.
    pub now: String,
    /// The rule that decides it.
    pub now_rule: Option<Spoke>,
}

/// An answer in a word or two.
pub fn answer_word(refused: Option<RefusedAs>) -> String {
    match refused {
        None => "allowed".into(),
        Some(RefusedAs::Invalid) => "invalid".into(),
        Some(RefusedAs::Denied) => "denied".into(),
        Some(RefusedAs::NeedsApproval(role)) => format!("needs {role}"),
    }
}

/// A target that an engagement changed, from when on; and when the engagement was over.
#[derive(Default)]
struct Reach {
    changed: BTreeMap<EngagementId, Vec<(Timestamp, String)>>,
    closed: BTreeMap<EngagementId, Timestamp>,
}

impl Reach {
    fn note(&mut self, event: &Event) {
        match &event.body {
            Body::Allowed(call) if call.counts.is_some() => {
                let changed = self.changed.entry(event.engagement.clone()).or_default();
                changed.push((event.at, call.target.clone()));
            }
            Body::Closed(_) => {
                self.closed.insert(event.engagement.clone(), event.at);
            }
            _ => {}
        }
    }

    /// The targets that engagements other than `id` had changed at a time and that were not closed then.
    fn elsewhere(&self, id: &EngagementId, at: Timestamp) -> BTreeSet<String> {
        let open = |other: &EngagementId| self.closed.get(other).is_none_or(|closed| *closed > at);
        let others = self.changed.iter().filter(|(other, _)| *other != id && open(other));
        let before = others.flat_map(|(_, changed)| changed.iter().filter(|(since, _)| *since < at));
        before.map(|(_, target)| target.clone()).collect()
    }
}

/// Asks about every call that was decided since then.
pub async fn simulate(
    workspace: &Workspace,
    files: &Arc<Catalog>,
    since: Timestamp,
) -> Result<Simulation, LedgerError> {
    let mut simulation = Simulation::default();
    let store = workspace.store();
    let mut read: Vec<(EngagementId, Vec<Event>)> = Vec::new();
    let mut reach = Reach::default();
    for summary in store.summaries(Filter::default()).await? {
        // What an engagement that was silent since had changed still counts for others.
        let mut events = Vec::new();
        for bytes in store.events(&summary.id, 0).await? {
            match serde_json::from_slice::<Event>(&bytes) {
                Ok(event) => {
                    reach.note(&event);
                    events.push(event);
                }
                Err(error) => {
                    simulation.unread.push(format!("{}: an event cannot be read: {error}", summary.id));
                    events.clear();
                    break;
                }
            }
        }
        if events.last().is_some_and(|last| last.at >= since) {
            read.push((summary.id, events));
        }
    }
    for (id, events) in read {
        match Journal::open(std::sync::Arc::clone(store), &id).await {
            Ok(journal) => replay(&mut simulation, &journal, &events, files, since, &reach),
            Err(error) => simulation.unread.push(format!("{id}: {error}")),
        }
    }
    simulation.flips.sort_by_key(|flip| flip.at);
    Ok(simulation)
}

fn replay(
    simulation: &mut Simulation,
    journal: &Journal,
    events: &[Event],
    files: &Arc<Catalog>,
    since: Timestamp,
    reach: &Reach,
) {
    let Some((first, later)) = events.split_first() else { return };
    let Some(mut state) = State::begin(first) else { return };
    // What is gone now is gone for every moment that is gone back to.
    state.redacted.clone_from(&journal.state().redacted);
    let mut documents = Documents::default();
    let mut compiled: Option<(Digest, Option<CompiledBoundary>)> = None;
    for event in later {
        if let Some(Recorded { call, proposal, then, then_rule, decided_on }) =
            Recorded::of(&event.body).filter(|_| event.at >= since)
        {
            let (agent, purpose, tool, args) = proposal;
            // Without the key no call has a digest, and every one would be refused for that alone.
            let Some(args) = args.read(journal.blobs()).filter(|_| !state.key_destroyed()).cloned() else {
                simulation.redacted += 1;
                *simulation.redacted_of.entry(state.id.clone()).or_default() += 1;
                state.apply(event);
                continue;
            };
            let proposal = Proposal { agent, purpose, tool, args };
            if let Err(error) = documents.refresh(&state, journal.blobs()) {
                simulation.unread.push(format!("{}: {error}", state.id));
                return;
            }
            let catalog = &*catalog_of(files, &state, &documents, journal.blobs());
            let boundary = boundary(&mut compiled, &state, &documents, catalog);
            let view = View { state: &state, documents: &documents, blobs: journal.blobs(), toolbox: &catalog.toolbox };
            let elsewhere = reach.elsewhere(&state.id, event.at);
            let moment = Moment { now: event.at, stage: stage(journal, &decided_on), elsewhere: &elsewhere };
            let foreseen = foresee(&view, catalog, boundary, &proposal, &moment);
            let (was, is) = (answer_word(then), answer_word(foreseen.refused));
            simulation.calls += 1;
            *simulation.then.entry(was.clone()).or_default() += 1;
            *simulation.now.entry(is.clone()).or_default() += 1;
            if was != is {
                simulation.flips.push(Flip {
                    engagement: state.id.clone(),
                    call,
                    at: event.at,
                    tool: proposal.tool,
                    args: proposal.args,
                    then: was,
                    then_rule,
                    now: is,
                    now_rule: foreseen.rules.last().cloned(),
                });
            }
        }
        state.apply(event);
    }
}

/// A call as it was decided.
struct Recorded<'a> {
    call: CallId,
    proposal: (Agent, Purpose, String, &'a Arguments),
    then: Option<RefusedAs>,
    then_rule: Option<Spoke>,
    decided_on: Digest,
}

impl<'a> Recorded<'a> {
    fn of(body: &'a Body) -> Option<Self> {
        Some(match body {
            Body::Allowed(call) => Self {
                call: call.call.clone(),
                proposal: (call.agent, call.purpose.clone(), call.tool.to_string(), &call.args),
                then: None,
                then_rule: call.rules.last().cloned(),
                decided_on: call.decided_on,
            },
            Body::Refused(call) => Self {
                call: call.call.clone(),
                proposal: (call.agent, call.purpose.clone(), call.tool.clone(), &call.args),
                then: Some(call.refused),
                then_rule: call.rules.last().cloned(),
                decided_on: call.decided_on,
            },
            _ => return None,
        })
    }
}

/// The trust stage that a recorded decision was made at: it names what it was made on. The first stage for decisions
/// that were written down before that was kept.
fn stage(journal: &Journal, decided_on: &Digest) -> u8 {
    let basis = journal.blob(decided_on);
    let stage = basis.and_then(|basis| basis.pointer("/standing/stage")).and_then(Value::as_u64);
    stage.and_then(|stage| u8::try_from(stage).ok()).unwrap_or(1)
}

/// The boundary of the spec that was approved then, compiled once a version; nothing where there was none, or where it
/// does not compile any more.
fn boundary<'c>(
    compiled: &'c mut Option<(Digest, Option<CompiledBoundary>)>,
    state: &State,
    documents: &Documents,
    catalog: &Catalog,
) -> Option<&'c CompiledBoundary> {
    let spec = ApprovedSpec::spec(state, documents)?;
    let digest = spec.digest();
    if compiled.as_ref().is_none_or(|(known, _)| *known != digest) {
        *compiled = Some((digest, CompiledBoundary::compile(&spec, catalog).ok()));
    }
    compiled.as_ref().and_then(|(_, boundary)| boundary.as_ref())
}

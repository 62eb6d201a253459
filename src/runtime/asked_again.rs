//! Guardrails and trust stages asked once more about each call that a chain let through, on the policies, tools and
//! targets that lie beside it: whoever verifies needs nobody's word that they said yes. What grants, contract and
//! limits say is shown by the chain itself; this is what only Cedar can say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    artifact::{ArtifactKind, Digest, Format, ValueSchema, digest_bytes},
    broker::{Moment, said_again},
    engagement::{Blobs, Body, CallAllowed, Documents, Event, Fetch, Proposal, State, View, opened},
    facts::{AllowedSigners, Inventory, InventoryKind, Target},
    ledger::{Bundle, Problem},
    policy::{ApprovedOn, Catalog, CatalogDigests, CatalogParts, LayerAnswer, Policies, PolicyTexts, Verdict},
    tool::{Tool, Toolbox},
};

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub struct AskedAgain {
    /// Calls that were asked about.
    pub asked: u64,
    /// Calls that were decided on other tools, targets or policies than their approval, of which only digests are here.
    pub decided_on_others: u64,
    /// Calls of which something is not here: what they were given, a target that could not be listed, or what they were
    /// decided on.
    pub not_here: u64,
    /// Calls that were asked about at a higher trust stage than their approval was given at, as their decisions say: that
    /// it had been raised meanwhile is for the chain of trust stages to show.
    pub at_a_higher_stage: u64,
    /// Calls that would not be let through.
    #[serde(skip)]
    pub problems: Vec<Problem>,
}

/// Asks about every call of a chain. Its links are [`Bundle::verify`]'s to check; what cannot be read is passed over.
pub fn ask_again(bundle: &Bundle) -> AskedAgain {
    let mut found = AskedAgain::default();
    let mut events = bundle.events.iter().map_while(|bytes| serde_json::from_slice::<Event>(bytes).ok());
    let Some(mut state) = events.next().and_then(|first| State::begin(&first)) else { return found };
    let kept = Arc::new(Kept { blobs: bundle.blobs.clone(), seals: state.requested.seal.is_some() });
    let blobs = Blobs::fetching(Arc::clone(&kept) as Arc<dyn Fetch>);
    let (mut catalogs, mut read) = (Catalogs::default(), Read::default());
    for event in events {
        if let Body::Allowed(call) = &event.body {
            let documents = read.of(&state, &blobs);
            match said(&state, &event, call, (documents, &blobs), &mut catalogs) {
                Ok((layers, raised)) => {
                    found.asked += 1;
                    found.at_a_higher_stage += u64::from(raised);
                    found.problems.extend(refusal(call, &layers).map(|why| Problem::at(event.seq, why)));
                }
                Err(Unasked::DecidedOnOthers) => found.decided_on_others += 1,
                Err(Unasked::NotHere) => found.not_here += 1,
            }
        }
        state.apply(&event);
    }
    found
}

/// Why a call is not asked about.
enum Unasked {
    DecidedOnOthers,
    NotHere,
}

/// What guardrails and stage say to a call after `state`, and whether they were asked at a higher stage than its approval.
fn said(
    state: &State,
    event: &Event,
    call: &CallAllowed,
    (documents, blobs): (&Documents, &Blobs),
    catalogs: &mut Catalogs,
) -> Result<(Vec<LayerAnswer>, bool), Unasked> {
    let request = state.opened_on().ok_or(Unasked::NotHere)?;
    let kept = catalogs.of(&request, blobs).ok_or(Unasked::NotHere)?;
    let basis = blobs.get(&call.decided_on).ok_or(Unasked::NotHere)?;
    let on = CatalogDigests::deserialize(basis.get("catalog").unwrap_or(&Value::Null));
    let on = on.map_err(|_| Unasked::NotHere)?;
    let of = |on: &CatalogDigests| (on.tools, on.inventory, on.policies);
    if of(&on) != of(&kept.on) {
        return Err(Unasked::DecidedOnOthers);
    }
    let catalog = &kept.catalog;
    let args = call.args.read(blobs).ok_or(Unasked::NotHere)?.clone();
    let tool = catalog.toolbox.tool(&call.tool).ok_or(Unasked::NotHere)?;
    if catalog.inventory.target(&call.target).is_none() || !names_what_is_here(tool, &args, &catalog.inventory) {
        return Err(Unasked::NotHere);
    }
    let stage = stage(basis).ok_or(Unasked::NotHere)?;
    let moment = Moment { now: event.at, stage, elsewhere: &BTreeSet::new() };
    let proposal = Proposal { agent: call.agent, purpose: call.purpose.clone(), tool: call.tool.to_string(), args };
    let view = View { state, documents, blobs, toolbox: &catalog.toolbox };
    Ok((said_again(&view, catalog, (&proposal, &call.digest), &moment), stage > kept.stage))
}

/// The trust stage that a request or a decision says.
fn stage(of: &Value) -> Option<u8> {
    u8::try_from(of.pointer("/standing/stage")?.as_u64()?).ok()
}

/// Whether every argument that names a target names one whose groups are here.
fn names_what_is_here(tool: &Tool, args: &serde_json::Map<String, Value>, inventory: &Inventory) -> bool {
    fn here(schema: &ValueSchema, value: Option<&Value>, inventory: &Inventory) -> bool {
        let Some(value) = value else { return true };
        let known = match value.as_str() {
            Some(name) if schema.format == Some(Format::Target) => inventory.target(name).is_some(),
            _ => true,
        };
        known && schema.properties.iter().all(|(name, of)| here(of, value.get(name), inventory))
    }
    tool.args.properties.iter().all(|(name, schema)| here(schema, args.get(name), inventory))
}

/// Why a call that was let through would not be.
fn refusal(call: &CallAllowed, layers: &[LayerAnswer]) -> Option<String> {
    let refuses = |answer: &&LayerAnswer| answer.verdict != Some(Verdict::Allow);
    let answer = layers.iter().find(refuses)?;
    let rules: Vec<String> = answer.rules.iter().map(|rule| format!("`{}`: {}", rule.rule, rule.reason)).collect();
    let how = match answer.verdict {
        Some(Verdict::Escalate(role)) => format!("which needs the approval of a person with the role {role}"),
        _ => "which its policies refuse".to_owned(),
    };
    Some(format!("{} let through, {how} ({})", call.call, rules.join("; ")))
}

/// What lies beside a chain, as far as it is what its digests say.
struct Kept {
    blobs: BTreeMap<Digest, Vec<u8>>,
    seals: bool,
}

impl Fetch for Kept {
    fn fetch(&self, digest: &Digest) -> Option<Arc<Value>> {
        let value: Value = serde_json::from_slice(&self.bytes(digest)?).ok()?;
        let sealed = if self.seals { opened(&value) } else { None };
        Some(sealed.unwrap_or_else(|| Arc::new(value)))
    }

    fn bytes(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.blobs.get(digest).filter(|bytes| digest_bytes(bytes) == *digest).cloned()
    }
}

/// The documents that are current, read once a version.
#[derive(Default)]
struct Read {
    of: Option<([Option<Digest>; 2], usize)>,
    documents: Documents,
}

impl Read {
    fn of(&mut self, state: &State, blobs: &Blobs) -> &Documents {
        let current = [ArtifactKind::Spec, ArtifactKind::Flow].map(|kind| state.artifact(kind));
        let of = Some((current, state.accepted_after().count()));
        if self.of != of {
            (self.of, self.documents) = (of, Documents::readable(state, blobs, None));
        }
        &self.documents
    }
}

/// What a question was decided on, put together again.
struct Again {
    on: CatalogDigests,
    stage: u8,
    catalog: Catalog,
}

/// By the digests of the requests.
#[derive(Default)]
struct Catalogs(BTreeMap<Digest, Option<Arc<Again>>>);

impl Catalogs {
    fn of(&mut self, request: &Digest, blobs: &Blobs) -> Option<Arc<Again>> {
        let known = self.0.entry(*request);
        known.or_insert_with(|| Again::of(blobs.get(request)?, blobs).map(Arc::new)).clone()
    }
}

/// The texts of the policies, as a document.
#[derive(Deserialize)]
struct Texts {
    guardrails: String,
    stages: String,
    gates: String,
}

impl Again {
    fn of(request: &Value, blobs: &Blobs) -> Option<Self> {
        if request.get("grounds_kept") != Some(&Value::Bool(true)) {
            return None;
        }
        let on = CatalogDigests::deserialize(request.get("decided_on")?).ok()?;
        let approved = ApprovedOn::deserialize(request.get("approved_on")?).ok()?;
        let definitions: Vec<&Value> =
            approved.tools.values().filter_map(|tool| blobs.get(tool)).map(|tool| &**tool).collect();
        let defined = definitions.into_iter().filter(|tool| tool.get("tool").is_some_and(Value::is_object));
        let toolbox = Arc::new(Toolbox::of_definitions(defined)?);
        let entries = approved.targets.values().chain(approved.found.iter().flat_map(BTreeMap::values));
        let target = |entry: &Digest| Target::deserialize(blobs.get(entry)?.as_ref()).ok();
        let inventory = Inventory {
            kind: InventoryKind::Inventory,
            examples: Vec::new(),
            found_by: approved.found_by.clone(),
            targets: entries.map(target).collect::<Option<_>>()?,
            findings: Vec::new(),
        };
        let Texts { guardrails, stages, gates } = Texts::deserialize(blobs.get(&on.policies)?.as_ref()).ok()?;
        let texts = PolicyTexts { guardrails: &guardrails, stages: &stages, gates: &gates };
        let policies = Arc::new(Policies::kept(texts, &toolbox).ok()?);
        let people = serde_json::from_value(blobs.get(&on.people)?.as_ref().clone()).ok()?;
        let signers = Arc::new(AllowedSigners::default());
        let stage = stage(request)?;
        Some(Self { on, stage, catalog: CatalogParts { toolbox, inventory, people, signers, policies }.into() })
    }
}

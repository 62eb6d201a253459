//! Guardrails and trust stages asked once more about each call that a chain let through, on the policies, tools and
//! targets that lie beside it: whoever verifies needs nobody's word that they said yes. What grants, contract and
//! limits say is shown by the chain itself; this is what only Cedar can say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    artifact::{ArtifactKind, Digest, Format, digest_bytes, value::clipped},
    broker::{Moment, said_again},
    engagement::{Answered, Blobs, Body, CallAllowed, Documents, Event, Fetch, Proposal, State, View, unsealed},
    facts::{AllowedSigners, People, Target},
    ledger::{Bundle, Problem},
    policy::{
        ApprovedOn, Catalog, CatalogDigests, CatalogParts, Layer, LayerAnswer, Policies, PolicyProblem, PolicyTexts,
        Spoke, Verdict, is_too_much,
    },
    tool::{Tool, Toolbox, value_at},
};

use super::shown_again::{Shown, shown};

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
    /// Calls whose policies are longer, or nested deeper, than is read here.
    pub not_read: u64,
    /// Calls that were asked about at a higher trust stage than their approval was given at, as their decisions say: that
    /// it had been raised meanwhile is for the chain of trust stages to show.
    pub at_a_higher_stage: u64,
    /// Questions whose screens were made again and are the same.
    pub shown: u64,
    /// Questions whose screens could not be made again, as something that they are made from is not here.
    pub not_shown: u64,
    /// Questions that were shown otherwise than this version shows them, each with its place and the first line that differs.
    pub shown_otherwise: Vec<String>,
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
    // Whose keys sign is in no digest of what was decided on; an answer names the file that it was checked with.
    let mut signers = Arc::new(AllowedSigners::default());
    for event in events {
        if let Body::Asked(asked) = &event.body {
            let again = catalogs.of(&asked.request, &blobs).ok();
            let catalog = again.and_then(|again| again.shown_on(&signers));
            match catalog.map_or(Shown::NotHere, |catalog| shown(&state, asked, &blobs, &catalog)) {
                Shown::Alike => found.shown += 1,
                Shown::NotHere => found.not_shown += 1,
                Shown::Otherwise(how) => {
                    found.shown_otherwise.push(clipped(&format!("{} (event {}): {how}", asked.about, event.seq)));
                }
            }
        }
        if let Body::Answered(Answered { signature: Some(signature), .. }) = &event.body {
            let file = blobs.get(&signature.signers).and_then(|file| AllowedSigners::from_document(file));
            signers = file.map_or(signers, Arc::new);
        }
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
                Err(Unasked::NotRead) => found.not_read += 1,
                Err(Unasked::Unreadable(why)) => {
                    let what = format!("{} let through, decided on what is here and cannot be read: {why}", call.call);
                    found.problems.push(Problem::at(event.seq, what));
                }
            }
            if found.problems.len() >= MOST_PROBLEMS {
                return found;
            }
        }
        state.apply(&event);
    }
    found
}

/// Why a call is not asked about.
#[derive(Clone)]
enum Unasked {
    DecidedOnOthers,
    NotHere,
    NotRead,
    /// All of it is here, and no program wrote it so.
    Unreadable(String),
}

fn unreadable(what: &str, why: impl std::fmt::Display) -> Unasked {
    Unasked::Unreadable(clipped(&format!("{what}: {why}")))
}

/// So many calls that would not be let through are told.
const MOST_PROBLEMS: usize = 1_000;

/// What guardrails and stage say to a call after `state`, and whether they were asked at a higher stage than its approval.
fn said(
    state: &State,
    event: &Event,
    call: &CallAllowed,
    (documents, blobs): (&Documents, &Blobs),
    catalogs: &mut Catalogs,
) -> Result<(Vec<LayerAnswer>, bool), Unasked> {
    let request = state.opened_on().ok_or(Unasked::NotHere)?;
    let kept = catalogs.of(&request, blobs)?;
    let basis = blobs.get(&call.decided_on).ok_or(Unasked::NotHere)?;
    let on = CatalogDigests::deserialize(basis.get("catalog").unwrap_or(&Value::Null));
    let on = on.map_err(|why| unreadable("what it was decided on", why))?;
    let of = |on: &CatalogDigests| (on.tools, on.inventory, on.policies);
    if of(&on) != of(&kept.on) {
        return Err(Unasked::DecidedOnOthers);
    }
    let catalog = &kept.catalog;
    let args = call.args.read(blobs).ok_or(Unasked::NotHere)?.clone();
    let tool = catalog.toolbox.tool(&call.tool).ok_or(Unasked::NotHere)?;
    // Of a name that was not approved by itself another entry may be here, which stands for all that is below it.
    let all_here = kept.targets.contains(&call.target) && state.changed.is_subset(&kept.targets);
    if !all_here || !names_what_is_here(tool, &args, &kept.targets) {
        return Err(Unasked::NotHere);
    }
    let stage = stage(basis).ok_or_else(|| unreadable("what it was decided on", "it says no trust stage"))?;
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
fn names_what_is_here(tool: &Tool, args: &Map<String, Value>, targets: &BTreeSet<String>) -> bool {
    let named = tool.args.fields().filter(|field| field.schema.format == Some(Format::Target));
    named.filter_map(|field| value_at(args, &field.path)?.as_str()).all(|name| targets.contains(name))
}

/// So many of the rules that refuse a call are named.
const MOST_RULES: usize = 4;

/// Why a call that was let through would not be.
fn refusal(call: &CallAllowed, layers: &[LayerAnswer]) -> Option<String> {
    if layers.is_empty() {
        return Some(format!("{} let through, about which no policy can be asked", call.call));
    }
    let refuses = |answer: &&LayerAnswer| answer.verdict != Some(Verdict::Allow);
    let Some(answer) = layers.iter().find(refuses) else { return let_through_by_another(call, layers) };
    let said = |rule: &Spoke| format!("`{}`: {}", clipped(&rule.rule), clipped(&rule.reason));
    let rules: Vec<String> = answer.rules.iter().take(MOST_RULES).map(said).collect();
    let how = match answer.verdict {
        Some(Verdict::Escalate(role)) => format!("which needs the approval of a person with the role {role}"),
        _ => "which its policies refuse".to_owned(),
    };
    Some(format!("{} let through, {how} ({})", call.call, rules.join("; ")))
}

/// A rule that is said to have let a call through, or spoken of it, and did not; or one that did and is not said.
fn let_through_by_another(call: &CallAllowed, layers: &[LayerAnswer]) -> Option<String> {
    let asked = |rule: &&Spoke| matches!(rule.layer, Layer::Guardrails | Layer::Stage);
    let named = |rule: &Spoke| (rule.layer, rule.rule.clone());
    let said: BTreeSet<_> = call.rules.iter().filter(asked).map(named).collect();
    let is: BTreeSet<_> = layers.iter().flat_map(|answer| &answer.rules).filter(asked).map(named).collect();
    let (_, other) = said.symmetric_difference(&is).next()?;
    Some(format!("{} let through by other rules than it says: `{}`", call.call, clipped(other)))
}

/// What lies beside a chain, as far as it is what its digests say.
struct Kept {
    blobs: BTreeMap<Digest, Vec<u8>>,
    seals: bool,
}

impl Fetch for Kept {
    fn fetch(&self, digest: &Digest) -> Option<Arc<Value>> {
        let value: Value = serde_json::from_slice(&self.bytes(digest)?).ok()?;
        Some(Arc::new(if self.seals { unsealed(value) } else { value }))
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
    /// The names whose entries are here.
    targets: BTreeSet<String>,
    catalog: Catalog,
    /// All that is known of the tools, for what was shown; nothing of tools of before.
    whole: Option<Arc<Toolbox>>,
}

/// By the digests of the requests.
#[derive(Default)]
struct Catalogs(BTreeMap<Digest, Result<Arc<Again>, Unasked>>);

impl Catalogs {
    fn of(&mut self, request: &Digest, blobs: &Blobs) -> Result<Arc<Again>, Unasked> {
        let read = || Again::of(blobs.get(request).ok_or(Unasked::NotHere)?, blobs).map(Arc::new);
        self.0.entry(*request).or_insert_with(read).clone()
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
    fn of(request: &Value, blobs: &Blobs) -> Result<Self, Unasked> {
        if request.get("grounds_kept") != Some(&Value::Bool(true)) {
            return Err(Unasked::NotHere);
        }
        let here = |digest: &Digest| blobs.get(digest).map(AsRef::as_ref).ok_or(Unasked::NotHere);
        let said = |name: &str| request.get(name).unwrap_or(&Value::Null);
        let on = CatalogDigests::deserialize(said("decided_on")).map_err(|why| unreadable("decided_on", why))?;
        let approved = ApprovedOn::deserialize(said("approved_on")).map_err(|why| unreadable("approved_on", why))?;
        let all_simulated = request.pointer("/facts/simulated") == Some(&Value::Bool(true));
        let stored: Vec<&Value> = approved.tools.values().map(here).collect::<Result<_, _>>()?;
        let definitions: Vec<Value> = stored.iter().filter_map(|tool| defined(tool, all_simulated)).collect();
        let toolbox = Toolbox::of_definitions(&definitions).map_err(|why| unreadable("the tools", why))?;
        let toolbox = Arc::new(toolbox);
        let mut targets = Vec::new();
        for (_, entry) in approved.entries() {
            targets.push(Target::deserialize(here(entry)?).map_err(|why| unreadable("an inventory entry", why))?);
        }
        let inventory = approved.inventory(targets);
        let targets = approved.entries().map(|(name, _)| name.clone()).collect();
        let texts = Texts::deserialize(here(&on.policies)?).map_err(|why| unreadable("the policies", why))?;
        let Texts { guardrails, stages, gates } = &texts;
        if [guardrails, stages, gates].into_iter().any(|text| is_too_much(text)) {
            return Err(Unasked::NotRead);
        }
        let policies = Policies::kept(PolicyTexts { guardrails, stages, gates }, &toolbox);
        let first = |problems: Vec<PolicyProblem>| problems.first().map(ToString::to_string).unwrap_or_default();
        let policies = Arc::new(policies.map_err(|why| unreadable("the policies", first(why)))?);
        let people = People::deserialize(here(&on.people)?).map_err(|why| unreadable("the people", why))?;
        let signers = Arc::new(AllowedSigners::default());
        let stage = stage(request).ok_or_else(|| unreadable("the question", "it says no trust stage"))?;
        let whole = Toolbox::as_defined(stored.into_iter()).ok().map(Arc::new);
        let catalog = CatalogParts { toolbox, inventory, people, signers, policies }.into();
        Ok(Self { on, stage, targets, catalog, whole })
    }

    /// The catalog that a question was shown on, where these signed.
    fn shown_on(&self, signers: &Arc<AllowedSigners>) -> Option<Catalog> {
        let CatalogParts { inventory, people, policies, .. } = &*self.catalog;
        let parts = CatalogParts {
            toolbox: Arc::clone(self.whole.as_ref()?),
            inventory: inventory.clone(),
            people: people.clone(),
            signers: Arc::clone(signers),
            policies: Arc::clone(policies),
        };
        Catalog::as_of(parts, self.on).ok()
    }
}

/// A tool's definition as it was; nothing for a tool that no manifest had. Definitions of before do not say whether it was
/// simulated: where the question says that all were, each was, and else nobody knows of this one.
fn defined(definition: &Value, all_simulated: bool) -> Option<Value> {
    let mut defined =
        definition.as_object().filter(|defined| defined.get("tool").is_some_and(Value::is_object))?.clone();
    if defined.get("simulated").is_none_or(Value::is_null) {
        if !all_simulated {
            return None;
        }
        defined.insert("simulated".into(), Value::Bool(true));
    }
    Some(Value::Object(defined))
}

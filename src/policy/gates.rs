//! `gates.cedar`: what a policy may answer at a gate where the trust stage lets it, and what always stays a person's.
//! It is asked about facts that the program computed and never about what a model said. Whatever is not plainly
//! allowed is a person's: no permit, a forbid, a rule that fails, another trust stage, a spec of one's own.

use std::{collections::BTreeSet, str::FromStr};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression, Schema, Validator,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    artifact::{CanonicalError, Digest, Rollback, Spec, digest_of, from_yaml, plain_words},
    facts::{Facts, Inventory},
};

use super::{
    bounds::is_too_much,
    decide::{Layer, Spoke},
    example::{Example, ExampleOutcome, Tried, failed, judge, try_all},
    file::{File, RuleFile},
    source::{GATES, PolicyProblem},
};

/// What a policy may be asked to do in a person's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateAction {
    /// Gate 1.
    ApproveSpec,
    /// Gate 2.
    ApproveDesign,
    /// A deviation from the approved design.
    AcceptDeviation,
}

/// Whether a prover agrees that the boundary keeps to what the organisation wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proven {
    /// It does, for every call.
    Proven,
    /// No prover was asked, or it could not say.
    NotProven,
    /// It does not, and there is a call that shows it.
    Refuted,
}

impl Proven {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::NotProven => "not proven",
            Self::Refuted => "refuted",
        }
    }
}

/// The facts that a gate is decided on. At gate 1 they are what the spec lets happen at most, at gate 2 and after it
/// what the flow does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateFacts {
    /// What is asked.
    pub action: GateAction,
    /// The trust stage that holds for this engagement.
    pub stage: u8,
    /// Who asked for the engagement, by name.
    pub requester: String,
    /// The name of the blueprint; empty where there is none.
    pub blueprint: String,
    /// Whether the spec is byte for byte what the trusted blueprint expands to.
    pub as_blueprint: bool,
    /// The environments of the targets.
    pub environments: BTreeSet<String>,
    /// The tags of the targets.
    pub tags: BTreeSet<String>,
    /// How many targets are reached.
    pub targets: u64,
    /// Whether all of them can be listed and are in the inventory.
    pub targets_known: bool,
    /// Whether nothing outside a simulation is touched.
    pub simulated: bool,
    /// Build grants of the spec.
    pub grants: u64,
    /// Steps of the flow; 0 at gate 1.
    pub steps: u64,
    /// Calls that change something, at most; nothing where there is no bound.
    pub changes: Option<u64>,
    /// Destructive calls among them.
    pub destructive: u64,
    /// Tools among them that cannot be undone.
    pub irreversible: u64,
    /// Changes of the flow whose undo is not shown to bring the state before back; 0 at gate 1.
    pub unproven_undos: u64,
    /// Whether the spec says that every change must be undoable.
    pub rollback_required: bool,
    /// How long the window is, in hours begun; nothing where there is no window.
    pub window_hours: Option<u64>,
    /// What a prover said.
    pub proven: Proven,
    /// The kind of the deviation; empty at a gate.
    pub deviation: String,
}

/// What the facts of a gate are computed from, beside spec and [`Facts`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateAsked {
    /// What is asked.
    pub action: GateAction,
    /// The trust stage that holds for this engagement.
    pub stage: u8,
    /// Who asked for the engagement, by name.
    pub requester: String,
    /// The name of the blueprint; empty where there is none.
    pub blueprint: String,
    /// Whether the spec is byte for byte what the trusted blueprint expands to.
    pub as_blueprint: bool,
    /// Steps of the flow; 0 at gate 1.
    pub steps: u64,
    /// Changes of the flow whose undo is not shown to bring the state before back; 0 at gate 1.
    pub unproven_undos: u64,
    /// What a prover said.
    pub proven: Proven,
    /// The kind of the deviation; empty at a gate.
    pub deviation: String,
}

/// What `gates.cedar` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum GateRuling {
    /// A policy answers yes.
    Approve {
        /// The rules that say so.
        rules: Vec<Spoke>,
        /// The digest of the facts that they were asked about.
        facts: Digest,
    },
    /// A person must answer.
    Human {
        /// Why a policy may not.
        why: String,
    },
}

impl GateFacts {
    /// The facts of a gate, from the spec, what was computed of it (at gate 2: of the flow), and the inventory.
    pub fn of(asked: GateAsked, spec: &Spec, facts: &Facts, inventory: &Inventory) -> Self {
        let known: Vec<_> = facts.targets.iter().filter_map(|name| inventory.target(name)).collect();
        // What may still be found counts with every tag that it may have.
        let open = inventory.found_by.iter().filter(|_| facts.may_find > 0);
        let may_have = open.flat_map(|by| by.within.tags.iter().cloned());
        let seconds = |from: Timestamp, until: Timestamp| until.as_second().saturating_sub(from.as_second()).max(0);
        let hours = spec.window.map(|window| seconds(window.from, window.until).unsigned_abs().div_ceil(3600));
        Self {
            action: asked.action,
            stage: asked.stage,
            requester: asked.requester,
            blueprint: asked.blueprint,
            as_blueprint: asked.as_blueprint,
            environments: facts.environments.clone(),
            tags: known.iter().flat_map(|target| target.tags.iter().cloned()).chain(may_have).collect(),
            targets: facts.targets.len() as u64 + facts.may_find,
            targets_known: facts.may_find == 0 && !facts.unlisted_targets && known.len() == facts.targets.len(),
            simulated: facts.simulated,
            grants: spec.boundary.build.len() as u64,
            steps: asked.steps,
            changes: facts.writes,
            destructive: facts.destructive,
            irreversible: facts.irreversible.len() as u64,
            unproven_undos: asked.unproven_undos,
            rollback_required: spec.rollback == Rollback::Required,
            window_hours: hours,
            proven: asked.proven,
            deviation: asked.deviation,
        }
    }

    /// The digest that an answer of a policy names.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        digest_of(self)
    }
}

/// What rules answered: the decision, the rules that made it, and those that failed with the reason.
struct Answer {
    decision: Decision,
    held: Vec<String>,
    errors: Vec<(String, String)>,
}

/// `gates.cedar`, parsed and checked.
#[derive(Debug)]
pub(super) struct Gates {
    schema: Schema,
    rules: PolicySet,
}

/// What `gates.cedar` answers, where only its text is at hand: for whoever looks again at what it answered.
///
/// # Errors
///
/// Why the text cannot be read as rules about gates.
pub fn gate_ruling(text: &str, facts: &GateFacts) -> Result<GateRuling, String> {
    if is_too_much(text) {
        return Err("it is longer, or nested deeper, than is read".into());
    }
    let mut problems = Vec::new();
    let (gates, file) = Gates::read(text, &mut BTreeSet::new(), &mut problems)?;
    if let Some(problem) = problems.first() {
        return Err(problem.to_string());
    }
    let reason = |rule: &str| {
        let policy = file.set.policy(&cedar_policy::PolicyId::new(rule));
        policy.and_then(|policy| policy.annotation("reason")).unwrap_or_default().to_owned()
    };
    Ok(gates.rule(facts, reason))
}

impl Gates {
    /// Reads the file; its problems are added to `problems`.
    pub(super) fn read(
        text: &str,
        ids: &mut BTreeSet<String>,
        problems: &mut Vec<PolicyProblem>,
    ) -> Result<(Self, RuleFile), String> {
        let schema = Schema::from_json_value(schema()).map_err(|error| error.to_string())?;
        let file = File { name: GATES, text, only: None }.read(Some(&Validator::new(schema.clone())), ids, problems);
        Ok((Self { schema, rules: file.set.clone() }, file))
    }

    /// Tries the examples of the file that this was read from.
    pub(super) fn try_examples(&self, file: &RuleFile) -> Vec<Tried> {
        try_all(file, |rule, example| self.try_example(file, rule, example))
    }

    fn try_example(&self, file: &RuleFile, rule: &str, example: &Example) -> Result<(), ExampleOutcome> {
        let said: Map<String, Value> = from_yaml("", &example.text).map_err(|error| failed(error.message))?;
        let ordinary = serde_json::to_value(ordinary()).unwrap_or_default();
        let whole: Map<String, Value> =
            ordinary.as_object().cloned().unwrap_or_default().into_iter().chain(said).collect();
        let facts: GateFacts =
            serde_json::from_value(Value::Object(whole)).map_err(|error| failed(plain_words(&error.to_string())))?;
        let answer = self.ask(&file.alone(rule), &facts).map_err(failed)?;
        judge(example, !answer.held.is_empty(), &answer.errors, "")
    }

    fn ask(&self, rules: &PolicySet, facts: &GateFacts) -> Result<Answer, String> {
        let uid = |kind: &str, id: &str| -> Result<EntityUid, String> {
            let kind = EntityTypeName::from_str(kind).map_err(|error| error.to_string())?;
            Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
        };
        let action = serde_json::to_value(facts.action).unwrap_or_default();
        let (principal, resource) = (uid("Person", &facts.requester)?, uid("Blueprint", &facts.blueprint)?);
        let action = uid("Action", action.as_str().unwrap_or_default())?;
        let request = Request::new(principal, action, resource, context(facts)?, Some(&self.schema))
            .map_err(|error| error.to_string())?;
        let response = Authorizer::new().is_authorized(&request, rules, &Entities::empty());
        let text = |id: &cedar_policy::PolicyId| AsRef::<str>::as_ref(id).to_owned();
        let mut held: Vec<String> = response.diagnostics().reason().map(text).collect();
        held.sort_unstable();
        let errors = response.diagnostics().errors().map(|error| match error {
            cedar_policy::AuthorizationError::PolicyEvaluationError(error) => {
                (text(error.policy_id()), error.inner().to_string())
            }
        });
        let mut errors: Vec<_> = errors.collect();
        errors.sort_unstable();
        Ok(Answer { decision: response.decision(), held, errors })
    }

    /// What the file answers, `reason` giving each rule's `@reason`.
    pub(super) fn rule(&self, facts: &GateFacts, reason: impl Fn(&str) -> String) -> GateRuling {
        let human = |why: String| GateRuling::Human { why };
        // What holds whatever the file says.
        if facts.stage != 3 {
            return human(format!("at trust stage {} people answer the gates", facts.stage));
        }
        if !facts.as_blueprint || facts.blueprint.is_empty() {
            return human("the spec is not exactly what a trusted blueprint expands to".into());
        }
        let Answer { decision, held, errors } = match self.ask(&self.rules, facts) {
            Ok(answer) => answer,
            Err(why) => return human(format!("no policy could be asked about this gate: {why}")),
        };
        if let Some((rule, why)) = errors.first() {
            return human(format!("the rule `{rule}` of {GATES} failed: {why}"));
        }
        let said = |rule: &String| format!("{} [{rule}]", reason(rule));
        match (decision, facts.digest()) {
            (_, Err(error)) => human(format!("the facts have no digest: {error}")),
            (Decision::Allow, Ok(_)) if held.is_empty() => human("no rule was named, so a person answers".into()),
            (Decision::Allow, Ok(digest)) => {
                let spoke = |rule: String| Spoke { layer: Layer::Gate, reason: reason(&rule), rule };
                GateRuling::Approve { rules: held.into_iter().map(spoke).collect(), facts: digest }
            }
            (Decision::Deny, Ok(_)) if held.is_empty() => {
                human(format!("no rule of {GATES} lets a policy answer this"))
            }
            (Decision::Deny, Ok(_)) => human(held.iter().map(said).collect::<Vec<_>>().join("; ")),
        }
    }
}

/// What an example says nothing about: a blueprint at trust stage 3 that changes one target of the lab once, undoably.
fn ordinary() -> GateFacts {
    GateFacts {
        action: GateAction::ApproveSpec,
        stage: 3,
        requester: "someone".into(),
        blueprint: "example".into(),
        as_blueprint: true,
        environments: ["lab".to_owned()].into(),
        tags: BTreeSet::new(),
        targets: 1,
        targets_known: true,
        simulated: false,
        grants: 1,
        steps: 0,
        changes: Some(1),
        destructive: 0,
        irreversible: 0,
        unproven_undos: 0,
        rollback_required: true,
        window_hours: None,
        proven: Proven::Proven,
        deviation: String::new(),
    }
}

fn schema() -> Value {
    let (text, long, bool) = (json!({"type": "String"}), json!({"type": "Long"}), json!({"type": "Boolean"}));
    let texts = json!({"type": "Set", "element": text});
    let context = json!({"type": "Record", "attributes": {
        "stage": long, "as_blueprint": bool, "environments": texts, "production": bool, "tags": texts,
        "frozen": bool, "targets": long, "targets_known": bool, "simulated": bool, "grants": long, "steps": long,
        "changes": long, "bounded": bool, "destructive": long, "irreversible": long, "unproven_undos": long,
        "rollback_required": bool, "has_window": bool, "window_hours": long, "proven": text, "deviation": text,
    }});
    let applies = json!({"appliesTo": {
        "principalTypes": ["Person"], "resourceTypes": ["Blueprint"], "context": context,
    }});
    json!({"": {
        "entityTypes": {"Person": {}, "Blueprint": {}},
        "actions": {"approve-spec": applies, "approve-design": applies, "accept-deviation": applies},
    }})
}

fn context(facts: &GateFacts) -> Result<Context, String> {
    let long = |number: u64| RestrictedExpression::new_long(i64::try_from(number).unwrap_or(i64::MAX));
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let texts = |all: &BTreeSet<String>| RestrictedExpression::new_set(all.iter().map(|one| text(one)));
    let bool = RestrictedExpression::new_bool;
    let proven = serde_json::to_value(facts.proven).unwrap_or_default();
    Context::from_pairs(
        [
            ("stage", long(facts.stage.into())),
            ("as_blueprint", bool(facts.as_blueprint)),
            ("environments", texts(&facts.environments)),
            ("production", bool(facts.environments.contains("production"))),
            ("tags", texts(&facts.tags)),
            ("frozen", bool(facts.tags.contains("freeze"))),
            ("targets", long(facts.targets)),
            ("targets_known", bool(facts.targets_known)),
            ("simulated", bool(facts.simulated)),
            ("grants", long(facts.grants)),
            ("steps", long(facts.steps)),
            // Without a bound any cap is passed, also by a rule that forgets to ask whether there is one.
            ("changes", long(facts.changes.unwrap_or(u64::MAX))),
            ("bounded", bool(facts.changes.is_some())),
            ("destructive", long(facts.destructive)),
            ("irreversible", long(facts.irreversible)),
            ("unproven_undos", long(facts.unproven_undos)),
            ("rollback_required", bool(facts.rollback_required)),
            ("has_window", bool(facts.window_hours.is_some())),
            // Without a window a cap on its length is passed, as by one without end.
            ("window_hours", long(facts.window_hours.unwrap_or(u64::MAX))),
            ("proven", text(proven.as_str().unwrap_or_default())),
            ("deviation", text(&facts.deviation)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
    .map_err(|error| error.to_string())
}

//! `guardrails.cedar` and `stages.cedar`: parsed once, named by their `@id`, and validated strictly against the
//! schema of the tools. A file that does not load stops the program; nothing here decides a call.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    str::FromStr,
};

use cedar_policy::{
    ActionConstraint, Effect, Policy, PolicyId, PolicySet, ValidationError, ValidationMode, ValidationWarning,
    Validator, ffi::DetailedError,
};

use crate::{
    artifact::{Agent, Digest, ToolName, digest_bytes},
    tool::Toolbox,
};

use super::schema::{Action, Lowered};

const GUARDRAILS: &str = "guardrails.cedar";
const STAGES: &str = "stages.cedar";

/// The guardrails and stages, parsed and checked against the schema of the toolbox.
#[derive(Debug)]
pub struct Policies {
    lowered: Lowered,
    validator: Validator,
    by_tool: HashMap<ToolName, Rules>,
    /// The `@reason` of each rule of both files.
    reasons: BTreeMap<String, String>,
    digest: Digest,
}

/// The rules whose scope names a tool's action or its group. The others cannot match its calls, so they are not
/// asked about them; what a call costs does not grow with rules about other tools.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) guardrails: PolicySet,
    pub(super) stages: PolicySet,
}

/// A policy file that cannot be used: where, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct PolicyProblem {
    /// `guardrails.cedar` or `stages.cedar`.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Policies {
    /// Parses both files and checks them against each other and the tools.
    pub fn load(guardrails: &str, stages: &str, toolbox: &Toolbox) -> Result<Self, Vec<PolicyProblem>> {
        let lowered = Lowered::from_toolbox(toolbox).map_err(|error| {
            let message = format!("the tool manifests do not make a Cedar schema: {error}");
            vec![PolicyProblem { file: GUARDRAILS.into(), line: 1, message }]
        })?;
        let validator = Validator::new(lowered.schema.clone());
        let mut problems = Vec::new();
        let mut ids = BTreeSet::new();
        let guardrails_set = File { name: GUARDRAILS, text: guardrails, effect: Effect::Forbid }.read(
            &validator,
            &mut ids,
            &mut problems,
        );
        let stages_set =
            File { name: STAGES, text: stages, effect: Effect::Permit }.read(&validator, &mut ids, &mut problems);
        if !problems.is_empty() {
            problems.sort();
            return Err(problems);
        }
        // Each text is digested by itself, so that no line can move from one file to the other unseen.
        let texts = [guardrails, stages].map(|text| digest_bytes(text.as_bytes()));
        let digest = digest_bytes(texts.map(|digest| *digest.bytes()).as_flattened());
        let rules = |action: &Action| Rules {
            guardrails: in_scope(&guardrails_set, action),
            stages: in_scope(&stages_set, action),
        };
        let by_tool = lowered.actions.iter().map(|(tool, action)| (tool.clone(), rules(action))).collect();
        let reasons = guardrails_set.policies().chain(stages_set.policies()).map(|policy| {
            let id: &str = policy.id().as_ref();
            (id.to_owned(), policy.annotation("reason").unwrap_or_default().to_owned())
        });
        Ok(Self { lowered, validator, by_tool, reasons: reasons.collect(), digest })
    }

    /// The digest of the two source texts.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn lowered(&self) -> &Lowered {
        &self.lowered
    }

    pub(super) fn validator(&self) -> &Validator {
        &self.validator
    }

    /// The `@reason` of a rule of either file.
    pub(super) fn reason(&self, rule: &str) -> String {
        self.reasons.get(rule).cloned().unwrap_or_default()
    }

    /// The rules about a tool; nothing for a tool that they were not loaded with.
    pub(super) fn about(&self, tool: &ToolName) -> Option<&Rules> {
        self.by_tool.get(tool)
    }
}

/// The policies whose action scope admits `action`; Cedar evaluates the scope before anything that could fail.
fn in_scope(policies: &PolicySet, action: &Action) -> PolicySet {
    let admits = |policy: &&Policy| match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => uid == action.uid,
        ActionConstraint::In(uids) => uids.iter().any(|uid| *uid == action.uid || *uid == action.group),
    };
    // Their ids are distinct already, which is all that could be wrong with a set.
    PolicySet::from_policies(policies.policies().filter(admits).cloned()).unwrap_or_else(|_| policies.clone())
}

struct File<'a> {
    name: &'static str,
    text: &'a str,
    effect: Effect,
}

impl File<'_> {
    fn read(&self, validator: &Validator, ids: &mut BTreeSet<String>, problems: &mut Vec<PolicyProblem>) -> PolicySet {
        let parsed = match PolicySet::from_str(self.text) {
            Ok(parsed) => parsed,
            Err(errors) => {
                problems.extend(errors.iter().map(|error| self.located(DetailedError::from(error), 1)));
                return PolicySet::new();
            }
        };
        let mut set = PolicySet::new();
        let mut lines = BTreeMap::new();
        for (line, policy) in self.in_order(&parsed) {
            let mut say = |message: String| problems.push(self.problem(line, message));
            let id = policy.annotation("id").unwrap_or_default().trim().to_owned();
            if id.is_empty() {
                say("the rule has no `@id`; give it one that no other rule has".into());
                continue;
            }
            if !ids.insert(id.clone()) {
                say(format!("`@id(\"{id}\")` stands twice; give each rule its own"));
                continue;
            }
            if policy.annotation("reason").is_none_or(|reason| reason.trim().is_empty()) {
                say(format!("`{id}` has no `@reason`; say what a person who meets it can do"));
            }
            if policy.effect() != self.effect {
                let (only, other) = match self.effect {
                    Effect::Forbid => ("forbid", STAGES),
                    Effect::Permit => ("permit", GUARDRAILS),
                };
                say(format!("`{id}`: this file may only `{only}`; the other kind of rule belongs into {other}"));
            }
            for name in unknown_agents(policy) {
                let known = Agent::ALL.map(Agent::as_str).join(", ");
                say(format!("`{id}`: there is no agent `{name}`; the agents are {known}"));
            }
            let id = PolicyId::new(id);
            if let Err(error) = set.add(policy.new_id(id.clone())) {
                say(error.to_string());
            }
            lines.insert(id, line);
        }
        for template in parsed.templates() {
            let line = self.line_of(self.text.find(&template.to_cedar()).unwrap_or(0));
            problems.push(self.problem(line, "templates are not used here; write the rule out".into()));
        }
        if parsed.is_empty() {
            problems.push(self.problem(1, "the file has no rule; an empty policy is not a policy".into()));
        }
        problems.extend(invalid(validator, &set, true).into_iter().map(|(id, error)| {
            let line = lines.get(&id).copied().unwrap_or(1);
            let mut problem = self.located(error, line);
            problem.message = format!("`{id}`: {}", problem.message);
            problem
        }));
        set
    }

    /// The policies with the lines on which they start, from top to bottom.
    fn in_order<'p>(&self, parsed: &'p PolicySet) -> Vec<(u64, &'p Policy)> {
        let mut policies: Vec<&Policy> = parsed.policies().collect();
        policies.sort_by_key(|policy| {
            let id: &str = policy.id().as_ref();
            id.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<usize>().unwrap_or(usize::MAX)
        });
        let mut from = 0;
        policies
            .into_iter()
            .map(|policy| {
                let text = policy.to_cedar().unwrap_or_default();
                let at = self.text.get(from..).and_then(|rest| rest.find(&text)).map_or(from, |at| from + at);
                from = at + text.len();
                (self.line_of(at), policy)
            })
            .collect()
    }

    fn line_of(&self, offset: usize) -> u64 {
        let before = self.text.as_bytes().iter().take(offset);
        1 + before.filter(|byte| **byte == b'\n').count() as u64
    }

    fn problem(&self, line: u64, message: String) -> PolicyProblem {
        PolicyProblem { file: self.name.into(), line, message }
    }

    /// A problem that Cedar found, at the line that it points to or else at `line`.
    fn located(&self, error: DetailedError, line: u64) -> PolicyProblem {
        let at = error.source_locations.iter().map(|label| label.loc.start).min();
        let help = error.help.map(|help| format!(" ({help})")).unwrap_or_default();
        self.problem(at.map_or(line, |at| self.line_of(at)), format!("{}{help}", error.message))
    }
}

/// Agents that a rule names and that do not exist; Cedar knows the type, the names are this program's.
fn unknown_agents(policy: &Policy) -> Vec<String> {
    let literals = policy.entity_literals();
    let names = literals.iter().filter(|uid| uid.type_name().basename() == "Agent").map(|uid| uid.id().unescaped());
    names.filter(|name| Agent::ALL.iter().all(|agent| agent.as_str() != *name)).map(str::to_owned).collect()
}

/// What strict validation says against policies: type errors, rules that can never match, and text that reads
/// otherwise than it is. Mixed scripts are only held against `rules`, in which a name that looks right and is not
/// would silently match nothing; what a grant names is checked against the inventory and shown at a gate.
pub(super) fn invalid(validator: &Validator, policies: &PolicySet, rules: bool) -> Vec<(PolicyId, DetailedError)> {
    let result = validator.validate(policies, ValidationMode::Strict);
    let error = |error: &ValidationError| (error.policy_id().clone(), DetailedError::from(error));
    let warning = |warning: &ValidationWarning| {
        let mut detail = DetailedError::from(warning);
        if matches!(warning, ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_)) {
            detail.message = "the rule can never match; look for a contradiction or a misspelt name".into();
        }
        (warning.policy_id().clone(), detail)
    };
    let mut found: Vec<_> = result.validation_errors().map(error).collect();
    let matters = |warning: &&ValidationWarning| {
        rules
            || !matches!(warning, ValidationWarning::MixedScriptString(_) | ValidationWarning::MixedScriptIdentifier(_))
    };
    found.extend(result.validation_warnings().filter(matters).map(warning));
    for (_, detail) in &mut found {
        // Cedar repeats the policy's id before each message; the caller says it once.
        if let Some((_, message)) = detail.message.split_once("`, ") {
            detail.message = message.to_owned();
        }
    }
    found
}

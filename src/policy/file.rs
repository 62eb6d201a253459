//! One file of Cedar rules as people write it: parsed, named by `@id`, held against a schema, and each rule with the
//! examples that stand above it. Every problem has its line; nothing here decides anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use cedar_policy::{
    Effect, Policy, PolicyId, PolicySet, ValidationError, ValidationMode, ValidationWarning, Validator,
    ffi::DetailedError,
};

use crate::artifact::Agent;

use super::{
    example::{Example, examples},
    source::{GUARDRAILS, PolicyProblem, STAGES},
};

/// A text to be read.
pub(super) struct File<'a> {
    pub(super) name: &'static str,
    pub(super) text: &'a str,
    /// The only effect that its rules may have; both where left out.
    pub(super) only: Option<Effect>,
}

/// What was read.
#[derive(Debug)]
pub(super) struct RuleFile {
    pub(super) name: &'static str,
    pub(super) set: PolicySet,
    /// From top to bottom.
    pub(super) rules: Vec<RuleText>,
}

/// One rule and what stands above it.
#[derive(Debug)]
pub(super) struct RuleText {
    pub(super) id: String,
    /// The line that it starts on.
    pub(super) line: u64,
    pub(super) examples: Vec<Example>,
}

impl RuleFile {
    /// One rule by itself.
    pub(super) fn alone(&self, id: &str) -> PolicySet {
        let policy = self.set.policy(&PolicyId::new(id)).cloned();
        // One policy cannot have the id of another.
        PolicySet::from_policies(policy).unwrap_or_default()
    }
}

impl File<'_> {
    /// Reads the file. What is wrong with it is added to `problems`; ids are checked against those of other files. Without
    /// a validator its rules are not held against a schema.
    pub(super) fn read(
        &self,
        validator: Option<&Validator>,
        ids: &mut BTreeSet<String>,
        problems: &mut Vec<PolicyProblem>,
    ) -> RuleFile {
        let mut file = RuleFile { name: self.name, set: PolicySet::new(), rules: Vec::new() };
        let parsed = match PolicySet::from_str(self.text) {
            Ok(parsed) => parsed,
            Err(errors) => {
                problems.extend(errors.iter().map(|error| self.located(DetailedError::from(error), 1)));
                return file;
            }
        };
        let mut examples = examples(self.text).into_iter().peekable();
        let mut lines = BTreeMap::new();
        for Placed { start, end, policy } in self.in_order(&parsed) {
            let line = self.line_of(start);
            let mut own = Vec::new();
            while let Some((_, example)) = examples.next_if(|(at, _)| *at < end) {
                own.push(example);
            }
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
            if let Some(only) = self.only.filter(|only| *only != policy.effect()) {
                let (only, other) = match only {
                    Effect::Forbid => ("forbid", STAGES),
                    Effect::Permit => ("permit", GUARDRAILS),
                };
                say(format!("`{id}`: this file may only `{only}`; the other kind of rule belongs into {other}"));
            }
            for name in unknown_agents(policy) {
                let known = Agent::ALL.map(Agent::as_str).join(", ");
                say(format!("`{id}`: there is no agent `{name}`; the agents are {known}"));
            }
            if let Err(error) = file.set.add(policy.new_id(PolicyId::new(&id))) {
                say(error.to_string());
            }
            lines.insert(PolicyId::new(&id), line);
            file.rules.push(RuleText { id, line, examples: own });
        }
        problems.extend(examples.map(|(_, example)| {
            self.problem(example.line, "the example stands above no rule; put it right above the rule it is of".into())
        }));
        for template in parsed.templates() {
            let line = self.line_of(self.text.find(&template.to_cedar()).unwrap_or(0));
            problems.push(self.problem(line, "templates are not used here; write the rule out".into()));
        }
        if parsed.is_empty() {
            problems.push(self.problem(1, "the file has no rule; an empty policy is not a policy".into()));
        }
        let invalid = validator.map(|validator| invalid(validator, &file.set, true)).unwrap_or_default();
        let invalid = invalid.into_iter().map(|(id, error)| {
            let line = lines.get(&id).copied().unwrap_or(1);
            let mut problem = self.located(error, line);
            problem.message = format!("`{id}`: {}", problem.message);
            problem
        });
        problems.extend(said_once(invalid));
        file
    }

    /// The policies from top to bottom, with where their text is.
    fn in_order<'p>(&self, parsed: &'p PolicySet) -> Vec<Placed<'p>> {
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
                let start = self.text.get(from..).and_then(|rest| rest.find(&text)).map_or(from, |at| from + at);
                from = start + text.len();
                Placed { start, end: from, policy }
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

/// The same mistake of a rule is found once for every tool that it is about; it is said once, with how often.
fn said_once(problems: impl Iterator<Item = PolicyProblem>) -> Vec<PolicyProblem> {
    let mut said: Vec<(PolicyProblem, usize)> = Vec::new();
    for problem in problems {
        match said.iter_mut().find(|(known, _)| *known == problem) {
            Some((_, times)) => *times += 1,
            None => said.push((problem, 1)),
        }
    }
    let counted = |(mut problem, times): (PolicyProblem, usize)| {
        if times > 1 {
            problem.message.push_str(&format!(" (found {times} times)"));
        }
        problem
    };
    said.into_iter().map(counted).collect()
}

/// A policy and the bytes of the file that it stands in.
struct Placed<'p> {
    start: usize,
    end: usize,
    policy: &'p Policy,
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

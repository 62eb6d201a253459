//! `guardrails.cedar`, `stages.cedar` and `gates.cedar`: parsed once, named by their `@id`, validated strictly against
//! the schema of the tools, and tried with the examples that stand above each rule. A file that does not load stops
//! the program; nothing here decides a call.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, Validator};
use serde::Serialize;

use crate::{
    artifact::{CanonicalError, Digest, ToolName, digest_of},
    tool::Toolbox,
};

use super::{
    bounds::{says_too_deep, too_deep},
    example::{Tried, missing, try_all},
    example_call::try_call,
    file::{File, RuleFile},
    gates::{GateFacts, GateRuling, Gates},
    schema::{Action, Lowered},
    shadow::shadowed,
    sight::{Reads, Slice},
};

pub(super) const GUARDRAILS: &str = "guardrails.cedar";
pub(super) const STAGES: &str = "stages.cedar";
pub(super) const GATES: &str = "gates.cedar";

/// The policies as they are written: a document of its own, which lies beside what was decided on it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PolicyTexts<'a> {
    /// `guardrails.cedar`
    pub guardrails: &'a str,
    /// `stages.cedar`
    pub stages: &'a str,
    /// `gates.cedar`
    pub gates: &'a str,
}

impl PolicyTexts<'_> {
    /// The digest of the document.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        digest_of(self)
    }
}

/// The guardrails, stages and gate policies, parsed and checked against the schema of the toolbox.
#[derive(Debug)]
pub struct Policies {
    lowered: Lowered,
    validator: Validator,
    by_tool: HashMap<ToolName, Rules>,
    gates: Gates,
    /// The `@reason` of each rule of all files.
    reasons: BTreeMap<String, String>,
    files: [RuleFile; 3],
    texts: [String; 3],
    /// What stands in quotes in a rule about calls, such as the tags that it names.
    named: HashSet<String>,
    tried: Vec<Tried>,
    /// Rules that lack an example.
    without: Vec<PolicyProblem>,
    digest: Digest,
}

/// What stands between two quotes of a line, for each line that is no comment.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| {
        let mut between = line.split('"').skip(1).peekable();
        // What comes after the last quote stands before none.
        std::iter::from_fn(move || between.next().filter(|_| between.peek().is_some()))
    })
}

/// The rules whose scope names a tool's action or its group. The others cannot match its calls, so they are not
/// asked about them; what a call costs does not grow with rules about other tools.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) guardrails: Slice,
    pub(super) stages: Slice,
}

/// A policy file that cannot be used: where, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct PolicyProblem {
    /// `guardrails.cedar`, `stages.cedar` or `gates.cedar`.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Policies {
    /// Parses the files, checks them against each other and the tools, and holds each rule to its examples.
    pub fn load(texts: PolicyTexts<'_>, toolbox: &Toolbox) -> Result<Self, Vec<PolicyProblem>> {
        let policies = Self::parse(texts, toolbox)?;
        let mut problems = policies.without.clone();
        problems.extend(policies.tried.iter().filter_map(Tried::problem));
        if problems.is_empty() {
            return Ok(policies);
        }
        problems.sort();
        Err(problems)
    }

    /// Like [`Self::load`], but examples may be missing or fail: to show what came of each, never to decide on.
    pub fn parse(texts: PolicyTexts<'_>, toolbox: &Toolbox) -> Result<Self, Vec<PolicyProblem>> {
        Self::read(texts, toolbox, true)
    }

    /// The policies that were loaded once with these tools and more: to ask again what they said, never to decide on. They
    /// were held against all of the tools then, and are not held against those that are left.
    pub fn kept(texts: PolicyTexts<'_>, toolbox: &Toolbox) -> Result<Self, Vec<PolicyProblem>> {
        Self::read(texts, toolbox, false)
    }

    fn read(texts: PolicyTexts<'_>, toolbox: &Toolbox, held: bool) -> Result<Self, Vec<PolicyProblem>> {
        let broken = |file: &str, message: String| vec![PolicyProblem { file: file.into(), line: 1, message }];
        for (file, text) in [(GUARDRAILS, texts.guardrails), (STAGES, texts.stages), (GATES, texts.gates)] {
            if let Some(line) = too_deep(text) {
                return Err(vec![PolicyProblem { file: file.into(), line, message: says_too_deep() }]);
            }
        }
        let digest = texts.digest().map_err(|error| broken(GUARDRAILS, error.to_string()))?;
        let lowered = Lowered::from_toolbox(toolbox)
            .map_err(|error| broken(GUARDRAILS, format!("the tool manifests do not make a Cedar schema: {error}")))?;
        let validator = Validator::new(lowered.schema.clone());
        let (mut problems, mut ids) = (Vec::new(), BTreeSet::new());
        let against = held.then_some(&validator);
        let mut read = |name, text, only| File { name, text, only: Some(only) }.read(against, &mut ids, &mut problems);
        let guardrails = read(GUARDRAILS, texts.guardrails, Effect::Forbid);
        let stages = read(STAGES, texts.stages, Effect::Permit);
        let (gates, gate_rules) =
            Gates::read(texts.gates, &mut ids, &mut problems).map_err(|error| broken(GATES, error))?;
        if !problems.is_empty() {
            problems.sort();
            return Err(problems);
        }
        let reads: HashMap<&PolicyId, Reads> = [&guardrails, &stages]
            .into_iter()
            .flat_map(|file| file.set.policies())
            .filter_map(|policy| Some((policy.id(), Reads::of(&policy.to_cedar()?))))
            .collect();
        let slice = |set: PolicySet| {
            let reads = set.policies().map(|policy| reads.get(policy.id()).copied().unwrap_or(Reads::ALL));
            let reads = reads.fold(Reads::default(), Reads::and);
            Slice::new(set, reads)
        };
        let rules = |action: &Action| Rules {
            guardrails: slice(in_scope(&guardrails.set, action)),
            stages: slice(in_scope(&stages.set, action)),
        };
        let by_tool = lowered.actions.iter().map(|(tool, action)| (tool.clone(), rules(action))).collect();
        let reasons =
            [&guardrails, &stages, &gate_rules].into_iter().flat_map(|file| file.set.policies()).map(|policy| {
                let id: &str = policy.id().as_ref();
                (id.to_owned(), policy.annotation("reason").unwrap_or_default().to_owned())
            });
        let calls = |file: &RuleFile| try_all(file, |rule, example| try_call(file, rule, example, &lowered, toolbox));
        let tried = match held {
            true => [calls(&guardrails), calls(&stages), gates.try_examples(&gate_rules)].concat(),
            false => Vec::new(),
        };
        let without = [&guardrails, &stages, &gate_rules].into_iter().flat_map(missing).collect();
        let reasons = reasons.collect();
        let files = [guardrails, stages, gate_rules];
        let texts = [texts.guardrails, texts.stages, texts.gates].map(str::to_owned);
        let named = texts.iter().take(2).flat_map(|text| quoted(text)).map(str::to_owned).collect();
        Ok(Self { lowered, validator, by_tool, gates, reasons, files, texts, named, tried, without, digest })
    }

    /// The digest of the source texts.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The source texts.
    pub fn texts(&self) -> PolicyTexts<'_> {
        let [guardrails, stages, gates] = &self.texts;
        PolicyTexts { guardrails, stages, gates }
    }

    /// Whether guardrails or trust stages name this tag; what only examples and comments have is in no rule.
    pub fn speak_of(&self, tag: &str) -> bool {
        self.named.contains(tag)
    }

    /// Every example and what came of it, file by file from top to bottom.
    pub fn examples(&self) -> &[Tried] {
        &self.tried
    }

    /// Rules that lack an example of either kind.
    pub fn without_examples(&self) -> &[PolicyProblem] {
        &self.without
    }

    /// Rules that never change an answer, because another rule says the same to every call that they match. What is
    /// said is true; a rule may be shadowed in a way that this comparison of their texts does not see.
    pub fn shadowed(&self) -> Vec<PolicyProblem> {
        shadowed(&self.files, &self.lowered)
    }

    /// The rules that are asked about calls: file, line, id and the rule.
    pub(super) fn rules_about_calls(&self) -> impl Iterator<Item = (&'static str, u64, &str, &Policy)> {
        self.files.iter().filter(|file| file.name != GATES).flat_map(|file| {
            file.rules.iter().filter_map(|rule| {
                let policy = file.set.policy(&cedar_policy::PolicyId::new(&rule.id))?;
                Some((file.name, rule.line, rule.id.as_str(), policy))
            })
        })
    }

    /// Whether a policy answers at a gate in a person's place.
    pub fn gate_ruling(&self, facts: &GateFacts) -> GateRuling {
        self.gates.rule(facts, |rule| self.reason(rule))
    }

    /// The schema that the tools are lowered to, for whoever asks Cedar by itself.
    pub fn schema(&self) -> &cedar_policy::Schema {
        &self.lowered.schema
    }

    pub(super) fn lowered(&self) -> &Lowered {
        &self.lowered
    }

    pub(super) fn validator(&self) -> &Validator {
        &self.validator
    }

    /// The `@reason` of a rule of any file.
    pub(super) fn reason(&self, rule: &str) -> String {
        self.reasons.get(rule).cloned().unwrap_or_default()
    }

    /// These and more rules that nobody validated, about every tool.
    #[cfg(test)]
    pub(super) fn add_unvalidated(&mut self, text: &str) {
        let set: PolicySet = text.parse().unwrap();
        for policy in set.policies() {
            let policy = policy.new_id(cedar_policy::PolicyId::new(policy.annotation("id").unwrap()));
            for rules in self.by_tool.values_mut() {
                let slice = if policy.effect() == Effect::Forbid { &mut rules.guardrails } else { &mut rules.stages };
                let mut set = slice.set().clone();
                set.add(policy.clone()).unwrap();
                *slice = Slice::new(set, Reads::ALL);
            }
        }
    }

    /// The rules about a tool; nothing for a tool that they were not loaded with.
    pub(super) fn about(&self, tool: &ToolName) -> Option<&Rules> {
        self.by_tool.get(tool)
    }
}

/// The policies whose action scope admits `action`; Cedar evaluates the scope before anything that could fail.
fn in_scope(policies: &PolicySet, action: &Action) -> PolicySet {
    let admits = |policy: &&Policy| action.admitted_by(&policy.action_constraint());
    // Their ids are distinct already, which is all that could be wrong with a set.
    PolicySet::from_policies(policies.policies().filter(admits).cloned()).unwrap_or_else(|_| policies.clone())
}

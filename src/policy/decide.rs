//! One ruling: guardrails, boundary and trust stage are asked in turn, and the strictest answer stands.

use std::{collections::BTreeSet, sync::Arc};

use cedar_policy::PolicySet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    artifact::{Agent, Phase},
    facts::Role,
    tool::{Effect, Tool},
};

use super::{
    Catalog, CompiledBoundary,
    request::{Answer, Asked},
    sight::Slice,
};

/// May this call run?
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// On whose behalf the call is made.
    pub agent: Agent,
    /// The phase that the engagement is in.
    pub phase: Phase,
    /// The trust stage, from 1.
    pub stage: u8,
    /// The tool.
    pub tool: &'a Tool,
    /// The arguments in normal form, defaults filled in.
    pub args: &'a Map<String, Value>,
    /// Whether the call is the contract's next enabled step.
    pub on_contract: bool,
    /// The id of the build grant (such as `build.0`) whose own effect this call takes back. Only the program sets
    /// it, and only where the call is exactly the undo that was worked out for that effect.
    pub undo_of: Option<&'a str>,
    /// Whether this is an undo, an `always` step or a read-back, which go on after a window or a limit ends.
    pub recovery: bool,
    /// Whether the engagement has a window and it is open.
    pub window_open: bool,
    /// The roles that have approved this very call.
    pub approved_by: &'a BTreeSet<Role>,
    /// How far changes reach with this call.
    pub changes: Changes,
}

/// How many targets are changed, for caps on the blast radius. They are caps and not locks: two engagements that ask
/// at the same instant may both be told the number before either of them acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Changes {
    /// Distinct targets that this engagement has changed, the one of this call included if it changes something.
    pub targets: u32,
    /// Those among them that are in production.
    pub production_targets: u32,
    /// Distinct other targets that engagements which are not closed yet have changed.
    pub elsewhere: u32,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may run.
    Allow,
    /// It may not.
    Deny,
    /// It may run if someone in this role approves it.
    Escalate(Role),
}

/// The layers of a decision, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// The manifest: is it a known tool with valid arguments?
    Tool,
    /// The engagement: is the phase's gate open, and the window?
    Gate,
    /// `guardrails.cedar`.
    Guardrails,
    /// The spec's grants.
    Boundary,
    /// The approved design.
    Contract,
    /// `stages.cedar`.
    Stage,
    /// Counts, tokens and time.
    Limits,
}

/// A rule that spoke, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spoke {
    /// Where the rule stands.
    pub layer: Layer,
    /// Its id.
    pub rule: String,
    /// Its reason, which a person can act on.
    pub reason: String,
}

/// The verdict and how it came about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ruling {
    /// The verdict.
    pub verdict: Verdict,
    /// The rules that spoke, in order.
    pub spoke: Vec<Spoke>,
    /// The grant that it rests on, such as `build.0`, `discover.1` or `build.0.undo`.
    pub grant: Option<String>,
    /// Later grants of the spec that let it in as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Spoke>,
}

/// Rules on one call: target, guardrails, boundary and trust stage. The contract is only heard of in
/// `on_contract`; it and the limits are the broker's.
pub fn rule(catalog: &Catalog, boundary: &CompiledBoundary, question: &Question<'_>) -> Ruling {
    decide(catalog, boundary, question).unwrap_or_else(|spoke| {
        let verdict = Verdict::Deny;
        Ruling { verdict, spoke, grant: None, also: Vec::new() }
    })
}

/// What one layer says by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerAnswer {
    /// The layer.
    pub layer: Layer,
    /// What it says; nothing where it could not be asked.
    pub verdict: Option<Verdict>,
    /// The rules that spoke, or why it could not be asked.
    pub rules: Vec<Spoke>,
}

/// The grant that comes closest to a call that no grant permits, and what keeps the call out of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nearest {
    /// The grant, such as `build.0`.
    pub grant: String,
    /// The arguments that it does not let through; none where it is not the arguments that are wrong.
    pub misses: Vec<Miss>,
}

/// An argument outside a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Miss {
    /// The argument.
    pub argument: String,
    /// What it would have to be, in words.
    pub must_be: String,
}

/// What guardrails, boundary and trust stage each say to a question, also after one before has said no; and the
/// nearest grant where none permits. What [`rule`] answers follows from these answers.
pub fn each_layer(
    catalog: &Catalog,
    boundary: Option<&CompiledBoundary>,
    question: &Question<'_>,
) -> (Vec<LayerAnswer>, Option<Nearest>) {
    let parts = ask(catalog, question).and_then(|asked| {
        let rules = catalog.policies.about(&question.tool.name);
        Ok((asked, rules.ok_or_else(|| not_asked("no policy knows the tool".into()))?))
    });
    let (asked, rules) = match parts {
        Ok(parts) => parts,
        // One thing is wrong, whatever each layer would have said.
        Err(rules) => {
            let layers = [Layer::Guardrails, Layer::Boundary, Layer::Stage].map(|layer| {
                let verdict = rules.iter().any(|spoke| spoke.layer == layer).then_some(Verdict::Deny);
                LayerAnswer { layer, verdict, rules: rules.clone() }
            });
            return (layers.into(), None);
        }
    };
    let answer = |layer, verdict, rules| LayerAnswer { layer, verdict: Some(verdict), rules };
    let guardrails = match ask_guardrails(catalog, &rules.guardrails, &asked) {
        Ok(None) => answer(Layer::Guardrails, Verdict::Allow, Vec::new()),
        Ok(Some((role, rules))) => answer(Layer::Guardrails, Verdict::Escalate(role), rules),
        Err(rules) => answer(Layer::Guardrails, Verdict::Deny, rules),
    };
    let (within, nearest) = match boundary {
        None => (LayerAnswer { layer: Layer::Boundary, verdict: None, rules: Vec::new() }, None),
        Some(boundary) => match ask_boundary(catalog, boundary, question, &asked) {
            Ok((permit, also)) => {
                let permits = std::iter::once(permit).chain(also).collect();
                (answer(Layer::Boundary, Verdict::Allow, permits), None)
            }
            Err(rules) => {
                let nearest = boundary.nearest(catalog, question, &asked);
                (answer(Layer::Boundary, Verdict::Deny, rules), nearest)
            }
        },
    };
    let stage = match ask_stage(catalog, &rules.stages, question, &asked) {
        Ok((verdict, rules)) => answer(Layer::Stage, verdict, rules),
        Err(rules) => answer(Layer::Stage, Verdict::Deny, rules),
    };
    (vec![guardrails, within, stage], nearest)
}

/// What the boundary alone says to a question: the grant, or the reason.
pub(super) fn within(
    catalog: &Catalog,
    boundary: &CompiledBoundary,
    question: &Question<'_>,
) -> Result<String, Vec<Spoke>> {
    let asked = ask(catalog, question)?;
    ask_boundary(catalog, boundary, question, &asked).map(|(permit, _)| permit.rule)
}

/// The ids of all permits of a boundary that hold for a question.
pub(super) fn permits(catalog: &Catalog, boundary: &CompiledBoundary, question: &Question<'_>) -> Vec<String> {
    let asked = ask(catalog, question).ok();
    let answer = asked.and_then(|asked| Some(asked.ask(boundary.permits(), &asked.whole().ok()?)));
    answer.filter(|answer| answer.failed.is_empty()).map(|answer| answer.rules).unwrap_or_default()
}

/// Why policies fail on a question, if one does.
pub(super) fn failures_of(
    catalog: &Catalog,
    policies: &PolicySet,
    question: &Question<'_>,
) -> Result<Option<String>, String> {
    let said = |spoke: Vec<Spoke>| spoke.into_iter().map(|spoke| spoke.reason).collect::<Vec<_>>().join("; ");
    let asked = ask(catalog, question).map_err(said)?;
    let answer = asked.ask(policies, &asked.whole()?);
    Ok(answer.failed.into_iter().map(|(_, why)| why).next())
}

fn decide(catalog: &Catalog, boundary: &CompiledBoundary, question: &Question<'_>) -> Result<Ruling, Vec<Spoke>> {
    let asked = ask(catalog, question)?;
    let rules =
        catalog.policies.about(&question.tool.name).ok_or_else(|| not_asked("no policy knows the tool".into()))?;
    let attended = ask_guardrails(catalog, &rules.guardrails, &asked)?;
    let (permit, also) = ask_boundary(catalog, boundary, question, &asked)?;
    let grant = permit.rule.clone();
    let mut spoke = vec![permit];
    let (mut verdict, stage) = ask_stage(catalog, &rules.stages, question, &asked)?;
    spoke.extend(stage);
    if let Some((role, guardrails)) = attended {
        // The stricter of the two asks.
        verdict = match verdict {
            Verdict::Escalate(other) => Verdict::Escalate(role.max(other)),
            Verdict::Allow | Verdict::Deny => Verdict::Escalate(role),
        };
        spoke.extend(guardrails);
    }
    Ok(Ruling { verdict, spoke, grant: Some(grant), also })
}

fn ask<'a>(catalog: &'a Catalog, question: &'a Question<'a>) -> Result<Asked<'a>, Vec<Spoke>> {
    let name = question.args.get(&question.tool.target).and_then(Value::as_str).unwrap_or_default();
    let Some(target) = catalog.inventory.target(name) else {
        let reason = match catalog.inventory.spelled_otherwise(name) {
            Some(entry) => format!(
                "the inventory has no target `{name}`; it has `{}`, which may be meant and is spelled otherwise: spell it \
                 in inventory.yaml as it is sent, or name another",
                entry.name
            ),
            None => format!("the inventory has no target `{name}`; add it to inventory.yaml or name another"),
        };
        return Err(vec![Spoke { layer: Layer::Boundary, rule: "target.unknown".into(), reason }]);
    };
    Asked::new(catalog.into(), question, target).map_err(not_asked)
}

/// The question does not fit the schema, so no policy could be asked.
fn not_asked(why: String) -> Vec<Spoke> {
    let reason = format!("no policy could be asked about this call, so it is refused: {why}");
    vec![Spoke { layer: Layer::Guardrails, rule: "question.invalid".into(), reason }]
}

/// The rules of an answer that failed; any of them refuses the call.
fn failures(layer: Layer, answer: &Answer) -> Vec<Spoke> {
    let spoke = |(rule, why): &(String, String)| {
        let reason = format!("the policy `{rule}` failed, so the call is refused: {why}");
        Spoke { layer, rule: rule.clone(), reason }
    };
    answer.failed.iter().map(spoke).collect()
}

/// Nothing where no guardrail forbids. Where those that do ask for nothing but that a person attends to this very
/// call, the role that satisfies them, and what they say; what forbids whoever approves is an error.
fn ask_guardrails(
    catalog: &Catalog,
    guardrails: &Slice,
    asked: &Asked<'_>,
) -> Result<Option<(Role, Vec<Spoke>)>, Vec<Spoke>> {
    let ask = |more: &BTreeSet<Role>| {
        let answer = asked.answer(guardrails, more).map_err(not_asked)?;
        let failed = failures(Layer::Guardrails, &answer);
        let fails = !failed.is_empty();
        let forbid = answer.rules.iter().map(|rule| {
            let reason = catalog.policies.reason(rule);
            Spoke { layer: Layer::Guardrails, rule: rule.clone(), reason }
        });
        Ok::<_, Vec<Spoke>>((fails, failed.into_iter().chain(forbid).collect::<Vec<_>>()))
    };
    let (fails, spoke) = ask(&BTreeSet::new())?;
    if spoke.is_empty() {
        return Ok(None);
    }
    if !fails {
        for role in [Role::Approver, Role::Owner] {
            if ask(&[role].into())?.1.is_empty() {
                return Ok(Some((role, spoke)));
            }
        }
    }
    Err(spoke)
}

fn ask_boundary(
    catalog: &Catalog,
    boundary: &CompiledBoundary,
    question: &Question<'_>,
    asked: &Asked<'_>,
) -> Result<(Spoke, Vec<Spoke>), Vec<Spoke>> {
    let answer = match boundary.about(&question.tool.name) {
        Some(permits) => asked.answer(permits, &BTreeSet::new()).map_err(not_asked)?,
        None => Arc::new(Answer { rules: Vec::new(), failed: Vec::new() }),
    };
    let failed = failures(Layer::Boundary, &answer);
    if !failed.is_empty() {
        return Err(failed);
    }
    let spoke = |rule: &str, reason: String| Spoke { layer: Layer::Boundary, rule: rule.into(), reason };
    let mut holding = boundary.holding(&answer.rules).map(|(grant, words)| spoke(grant, words.to_owned()));
    match holding.next() {
        Some(first) => Ok((first, holding.collect())),
        None => Err(vec![spoke("boundary.none", boundary.explain(catalog, question, asked))]),
    }
}

fn ask_stage(
    catalog: &Catalog,
    stages: &Slice,
    question: &Question<'_>,
    asked: &Asked<'_>,
) -> Result<(Verdict, Vec<Spoke>), Vec<Spoke>> {
    let deny = |rule: &str, reason: String| vec![Spoke { layer: Layer::Stage, rule: rule.into(), reason }];
    if !(1..=3).contains(&question.stage) {
        let reason = format!("there is no trust stage {}; the stages are 1, 2 and 3", question.stage);
        return Err(deny("stage.unknown", reason));
    }
    let ask = |more: &BTreeSet<Role>| {
        let answer = asked.answer(stages, more).map_err(not_asked)?;
        let failed = failures(Layer::Stage, &answer);
        if !failed.is_empty() {
            return Err(failed);
        }
        let spoke =
            |rule: &String| Spoke { layer: Layer::Stage, reason: catalog.policies.reason(rule), rule: rule.clone() };
        Ok(answer.rules.iter().map(spoke).collect::<Vec<_>>())
    };
    let spoke = ask(&BTreeSet::new())?;
    if !spoke.is_empty() {
        return Ok((Verdict::Allow, spoke));
    }
    for role in [Role::Approver, Role::Owner] {
        let spoke = ask(&[role].into())?;
        if !spoke.is_empty() {
            return Ok((Verdict::Escalate(role), spoke));
        }
    }
    let reason = if question.on_contract || question.undo_of.is_some() || question.tool.effect == Effect::Read {
        format!("no rule of stages.cedar lets this run at trust stage {}, whoever approves it", question.stage)
    } else {
        "the call is not the approved design's next step, and no rule of stages.cedar lets anything else be changed; \
         change the design and go through gate 2 again"
            .to_owned()
    };
    Err(deny("stage.none", reason))
}

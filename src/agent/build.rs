//! What the build agent says of an approved design: a value for each hole, and what it wants otherwise. Each value is held
//! against the bound that gate 2 approved, and each wish against the boundary; neither is more than a wish until the
//! program has written it down and, where it deviates, a person has accepted it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{
    artifact::{
        Arg, ArtifactKind, AutomationFlow, Fill, Format, SolutionDesign, StepId, ToolName, ValueSchema, ValueType,
        from_yaml, too_much_to_show,
    },
    engagement::{HoleFilled, HolesFilled, Wanted},
    policy::calls_outside,
    tool::Tool,
};

use super::{answer::Wrong, data::data, turn::Desk};

/// What the agent answers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildDraft {
    /// A value for each hole, once.
    holes: Vec<HoleDraft>,
    /// What is wanted beyond the design; a person accepts or rejects each.
    #[serde(default)]
    deviations: Vec<WantDraft>,
}

/// What fills a hole.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HoleDraft {
    /// The step of the hole.
    step: StepId,
    /// The argument of the step.
    argument: String,
    /// The value, inside the bound of the hole.
    value: Value,
    /// Why this value.
    because: String,
}

/// Something that the design does not say.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WantDraft {
    /// A step of the design, or a new name for a call that it does not have.
    step: StepId,
    /// The tool of a call that the design does not have; left out for a step of the design.
    #[serde(default)]
    tool: Option<ToolName>,
    /// The arguments that are to be otherwise, as values.
    #[serde(default)]
    with: Map<String, Value>,
    /// Why.
    because: String,
}

/// What an answer says, held against the design.
pub(super) fn read(desk: &Desk<'_>, map: Map<String, Value>) -> Result<HolesFilled, Wrong> {
    let missing = || Wrong::Malformed("there is no approved design to build".into());
    let view = &desk.view;
    let (turn, ..) = view.state.talk.last_turn(ArtifactKind::Flow).ok_or_else(missing)?;
    let design = view.documents.design().ok_or_else(missing)?;
    let flow = view.preview().map_err(|_| missing())?;
    let said: BuildDraft = document(map)?;
    let mut problems = Vec::new();
    let filled = filled(desk, &flow, said.holes, &mut problems);
    let wants = wants(desk, design, &flow, said.deviations, &mut problems);
    if problems.is_empty() {
        outside(desk, design, &flow, &filled, &wants, &mut problems);
    }
    if problems.is_empty() { Ok(HolesFilled { turn, filled, wants }) } else { Err(Wrong::invalid(problems)) }
}

pub(super) fn document<T: DeserializeOwned>(map: Map<String, Value>) -> Result<T, Wrong> {
    let pretty = serde_json::to_string_pretty(&map).map_err(|error| Wrong::Malformed(error.to_string()))?;
    from_yaml("the answer", &pretty).map_err(|error| Wrong::Invalid(vec![error.message]))
}

/// An explanation: one line of text that a screen can show.
pub(super) fn explained(path: &str, because: &str, problems: &mut Vec<String>) -> String {
    let schema = ValueSchema {
        kind: ValueType::String,
        format: Some(Format::Text),
        description: None,
        minimum: None,
        maximum: None,
        max_length: Some(Fill::LONGEST_REASON),
        choices: Vec::new(),
        items: None,
        min_items: None,
        max_items: None,
        properties: Default::default(),
        required: Vec::new(),
        default: None,
    };
    let because = because.trim();
    match schema.normalise(&json!(because)) {
        Ok(_) if because.is_empty() => problems.push(format!("{path}.because: say why")),
        Ok(_) => {}
        Err(why) => problems.push(format!("{path}.because: {why}")),
    }
    because.to_owned()
}

fn filled(desk: &Desk<'_>, flow: &AutomationFlow, said: Vec<HoleDraft>, problems: &mut Vec<String>) -> Vec<HoleFilled> {
    let holes = flow.holes();
    let mut left: BTreeSet<_> = holes.keys().cloned().collect();
    let mut filled = Vec::new();
    for (at, hole) in said.into_iter().enumerate() {
        let path = format!("holes.{at}");
        let HoleDraft { step, argument, value, because } = hole;
        let key = (step.clone(), argument.clone());
        let tool = flow.nodes.iter().find(|node| node.step.id == step).map(|node| &node.step.tool);
        let tool = tool.and_then(|name| desk.catalog.toolbox.tool(name));
        let schema = tool.and_then(|tool| tool.args.properties.get(&argument));
        let (Some(hole), Some(schema)) = (holes.get(&key), schema) else {
            problems.push(format!(
                "{path}: the design leaves no hole in `{argument}` of step `{step}`; what you want otherwise there is a \
                 deviation"
            ));
            continue;
        };
        if !left.remove(&key) {
            problems.push(format!("{path}: `{argument}` of step `{step}` is filled twice"));
        }
        let because = explained(&path, &because, problems);
        match hole.check(&value, schema) {
            Ok(value) => filled.push(HoleFilled { step, argument, value, because }),
            Err(why) => {
                let bound = hole.bound_words(schema);
                problems.push(format!("{path}.value: {why}; what was approved is {bound}"));
            }
        }
    }
    problems
        .extend(left.into_iter().map(|(step, argument)| format!("holes: `{argument}` of step `{step}` is not filled")));
    filled
}

fn wants(
    desk: &Desk<'_>,
    design: &SolutionDesign,
    flow: &AutomationFlow,
    said: Vec<WantDraft>,
    problems: &mut Vec<String>,
) -> Vec<Wanted> {
    if said.len() > HolesFilled::MOST_WANTS {
        problems.push(format!("deviations: {} are too many; say at most {}", said.len(), HolesFilled::MOST_WANTS));
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let mut wants = Vec::new();
    for (at, want) in said.into_iter().enumerate() {
        let path = format!("deviations.{at}");
        let mut say = |part: &str, why: String| problems.push(format!("{path}{part}: {why}"));
        let designed = design.steps.iter().find(|step| step.id == want.step);
        if !seen.insert(want.step.clone()) {
            say(".step", format!("`{}` stands twice; say all that it is to be in one", want.step));
            continue;
        }
        let known = flow.nodes.iter().any(|node| node.step.id == want.step && node.skipped.is_none());
        let name = match (designed, want.tool) {
            (Some(_), _) if !known => {
                say(".step", format!("`{}` is left out here, so nothing of it is built", want.step));
                continue;
            }
            (Some(step), tool) if tool.as_ref().is_none_or(|tool| *tool == step.tool) => step.tool.clone(),
            (Some(step), Some(_)) => {
                say(".tool", format!("step `{}` calls `{}`; give another call a name of its own", step.id, step.tool));
                continue;
            }
            (None, Some(tool)) => tool,
            (_, None) => {
                say(".tool", format!("the design has no step `{}`; say the tool of the call that you want", want.step));
                continue;
            }
        };
        let Some(tool) = desk.catalog.toolbox.tool(&name) else {
            say(".tool", format!("there is no tool `{name}`"));
            continue;
        };
        let mut args = Map::new();
        for (name, value) in &want.with {
            match normal(tool, name, value) {
                Ok(value) => drop(args.insert(name.clone(), value)),
                Err(why) => say(&format!(".with.{name}"), why),
            }
        }
        let as_it_is = |(name, value): (&String, &Value)| {
            designed.is_some_and(|step| step.args.get(name).and_then(Arg::literal) == Some(value))
        };
        if designed.is_some() && args.iter().all(as_it_is) {
            say(".with", "the design says the same; leave it out".into());
        }
        // Whoever accepts it sees all of it, or it is not asked about.
        if let Some(more) = too_much_to_show(&json!({"with": args})).first() {
            say("", more.to_string());
        }
        let because = explained(&path, &want.because, problems);
        wants.push(Wanted { step: want.step, tool: name, args, because });
    }
    wants
}

fn normal(tool: &Tool, name: &str, value: &Value) -> Result<Value, String> {
    let schema = tool.args.properties.get(name);
    let schema = schema.ok_or_else(|| format!("`{}` has no argument `{name}`", tool.name))?;
    let value = schema.normalise(value)?;
    Arg::from_value(value.clone()).map(|_| value)
}

/// The calls that no grant lets in, with the values as they are filled and each wish granted. What was read stays here:
/// these words go to a model.
fn outside(
    desk: &Desk<'_>,
    design: &SolutionDesign,
    flow: &AutomationFlow,
    filled: &[HoleFilled],
    wants: &[Wanted],
    problems: &mut Vec<String>,
) {
    let Some(spec) = desk.view.documents.spec() else { return };
    let reads = |id: &StepId| design.steps.iter().any(|step| step.id == *id && step.reads("facts"));
    let mut tried: Vec<(String, &[Wanted])> = vec![("holes".into(), &[])];
    tried.extend(wants.iter().enumerate().map(|(at, want)| (format!("deviations.{at}"), std::slice::from_ref(want))));
    for (path, wants) in tried {
        let built = match desk.view.with(flow.clone(), filled, wants) {
            Ok(built) => built,
            Err(_) if wants.iter().any(|want| reads(&want.step)) => {
                problems.push(format!("{path}: with what was read, its arguments do not fit its tool"));
                continue;
            }
            Err(error) => {
                problems.push(format!("{path}: {error}"));
                continue;
            }
        };
        for (step, why) in calls_outside(&built, spec, desk.catalog) {
            if !wants.is_empty() && wants.iter().all(|want| want.step != step) {
                continue;
            }
            let why = if reads(&step) { format!("step `{step}`: its call is outside the boundary") } else { why };
            problems.push(format!("{path}: {why}"));
        }
    }
}

/// The holes, as the agent is told of them.
pub(super) fn holes_told(desk: &Desk<'_>) -> Option<String> {
    let flow = desk.view.preview().ok()?;
    let told = flow.holes().into_iter().filter_map(|((step, argument), hole)| {
        let node = flow.nodes.iter().find(|node| node.step.id == step)?;
        let tool = desk.catalog.toolbox.tool(&node.step.tool)?;
        let schema = tool.args.properties.get(&argument)?;
        Some(json!({
            "step": step, "argument": argument, "wanted": hole.fill, "bound": hole.bound_words(schema),
            "argument_is": schema.json_schema(), "argument_format": schema.format,
        }))
    });
    let told: Vec<Value> = told.collect();
    Some(format!("These holes are yours to fill:\n{}", data("holes", &json!(told))))
}

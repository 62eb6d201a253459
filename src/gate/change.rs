//! The nodes of a flow as people read them: what is alike is one group, told once, with the targets that it is for.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    artifact::{Arg, AutomationFlow, Fill, FlowNode, OnFailure, canonical},
    tool::{Effect, Tool, Toolbox},
};

use super::text::{MOST_NAMES, first_names, names, sentence, value, word};

/// What a node is to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// It will change something.
    Change,
    /// It will change something that cannot be said yet.
    Later,
    /// It is so already.
    Unchanged,
    /// It is left out.
    Skipped,
    /// It only reads.
    Read,
}

/// Nodes that differ in their target alone.
pub(super) struct Group<'a> {
    pub kind: Kind,
    pub tool: &'a Tool,
    pub nodes: Vec<&'a FlowNode>,
    pub first: &'a FlowNode,
}

/// The nodes of a flow in groups, in the order of their first nodes.
pub(super) fn groups<'a>(flow: &'a AutomationFlow, toolbox: &'a Toolbox) -> Vec<Group<'a>> {
    let mut groups: Vec<(String, Group<'a>)> = Vec::new();
    for node in &flow.nodes {
        let Some(tool) = toolbox.tool(&node.step.tool) else { continue };
        let kind = kind(node, tool);
        let key = alike(node, tool, kind, toolbox);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.nodes.push(node),
            None => groups.push((key, Group { kind, tool, nodes: vec![node], first: node })),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

fn kind(node: &FlowNode, tool: &Tool) -> Kind {
    if node.skipped.is_some() {
        Kind::Skipped
    } else if tool.effect == Effect::Read {
        Kind::Read
    } else if !node.knows_args() {
        Kind::Later
    } else if node.unchanged() {
        Kind::Unchanged
    } else {
        Kind::Change
    }
}

/// Everything about a node that is shown, but for its target.
fn alike(node: &FlowNode, tool: &Tool, kind: Kind, toolbox: &Toolbox) -> String {
    let mut args: Map<String, Value> = Map::new();
    for (name, arg) in node.step.args.iter().filter(|(name, _)| **name != tool.target) {
        args.insert(name.clone(), serde_json::to_value(arg).unwrap_or_default());
    }
    let before = node.before.as_ref().map(|before| &before.state);
    // What takes it back is told once too, and its target is among those that are named.
    let undo = node.undo.as_ref().map(|undo| {
        let target = toolbox.tool(&undo.tool).map(|tool| tool.target.as_str());
        let args: BTreeMap<&String, &Value> =
            undo.args.iter().filter(|(name, _)| Some(name.as_str()) != target).collect();
        (&undo.tool, args)
    });
    let all = serde_json::json!({
        "kind": kind as u8, "step": node.step.id, "args": args, "known": before.is_some(), "before": before,
        "after": node.after, "skipped": node.skipped, "undo": undo,
    });
    canonical(&all).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| node.id.to_string())
}

impl Group<'_> {
    /// Its targets by name.
    pub(super) fn targets(&self) -> Vec<&str> {
        self.nodes.iter().map(|node| node.target.as_deref().unwrap_or(node.id.as_str())).collect()
    }

    /// What is done where: `on sw01, sw02 (2 alike): create VLAN 120 named guest on each`.
    pub(super) fn headline(&self) -> String {
        let sentence = self.sentence();
        match self.nodes.len() {
            1 => sentence,
            n => format!("on {} ({n} alike): {sentence}", first_names(&self.targets())),
        }
    }

    /// Every target, where the headline cannot list them all.
    pub(super) fn all_targets(&self) -> Option<String> {
        (self.nodes.len() > MOST_NAMES).then(|| names(&self.targets()))
    }

    /// The call in words; `each` stands for the target where there are several.
    pub(super) fn sentence(&self) -> String {
        self.tool.whole_sentence(self.first.step.args.keys(), |name| {
            if name == self.tool.target && self.nodes.len() > 1 {
                return "each".into();
            }
            arg_words(self.first.step.args.get(name))
        })
    }

    /// How it is taken back, or nothing where it cannot be.
    pub(super) fn undo(&self, toolbox: &Toolbox) -> Option<String> {
        let rule = self.tool.undo.as_ref()?;
        let tool = toolbox.tool(&rule.tool)?;
        let several = self.nodes.len() > 1;
        Some(tool.whole_sentence(rule.args.keys(), |name| {
            if name == tool.target && several {
                return "each".into();
            }
            match &self.first.undo {
                Some(undo) => undo.args.get(name).map_or("nothing".into(), value),
                None => match rule.args.get(name) {
                    Some(Arg::Literal(literal)) => value(literal),
                    Some(Arg::Hole(hole)) => self.later(hole.cel.source()),
                    Some(Arg::Fill(_)) => "(decided then)".into(),
                    None => "nothing".into(),
                },
            }
        }))
    }

    /// A value of an undo that is known only when the call has run.
    fn later(&self, source: &str) -> String {
        let known = source.strip_prefix("args.").and_then(|name| self.first.step.args.get(name));
        match (known, source.strip_prefix("result."), source.strip_prefix("before.")) {
            (Some(arg), ..) => arg_words(Some(arg)),
            (_, Some(field), _) => format!("(the {} that it answers)", word(field)),
            (_, _, Some(field)) => format!("(the {} that was there)", word(field)),
            _ => "(decided then)".into(),
        }
    }
}

/// An argument in words; what is decided later names the step that decides it.
pub(super) fn arg_words(arg: Option<&Arg>) -> String {
    match arg {
        None => "nothing".into(),
        Some(Arg::Literal(literal)) => value(literal),
        Some(Arg::Hole(hole)) => match source_step(hole.cel.source()) {
            Some(step) => format!("(decided by `{step}`)"),
            None => "(decided later)".into(),
        },
        Some(Arg::Fill(fill)) => filled_words(fill),
    }
}

/// An argument in words; what is computed is shown as it is written.
pub(super) fn hole_words(arg: &Arg) -> String {
    match arg {
        Arg::Literal(literal) => value(literal),
        Arg::Hole(hole) => format!("({})", sentence(hole.cel.source())),
        Arg::Fill(fill) => filled_words(fill),
    }
}

/// What fills a hole, or who will.
fn filled_words(fill: &Fill) -> String {
    fill.filled.as_ref().map_or_else(|| "(chosen by the build agent)".into(), |filled| value(&filled.value))
}

/// What may fill a hole of a call, in words.
pub(super) fn bound_words(tool: &Tool, argument: &str, fill: &Fill) -> String {
    tool.args.properties.get(argument).map_or_else(|| "nothing".into(), |schema| sentence(&fill.bound_words(schema)))
}

/// The first step whose result an expression reads.
pub(super) fn source_step(source: &str) -> Option<String> {
    let (_, after) = source.split_once("steps.")?;
    let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(after.len());
    after.get(..end).map(str::to_owned)
}

/// What the failure of a step means for the rest, in words.
pub(super) fn on_failure(choice: OnFailure) -> &'static str {
    match choice {
        OnFailure::Stop => "nothing more is run, and what was done stays",
        OnFailure::UndoTarget => "what was done to the same target is taken back, and the other targets go on",
        OnFailure::UndoAll => "everything is taken back, in reverse order, and nothing more is run",
        OnFailure::Continue => "it goes on with what does not need this step",
        OnFailure::Ask => "a person is asked what it means for the rest",
    }
}

/// The same where nothing more is begun whatever is chosen.
pub(super) fn on_failure_at_the_end(choice: OnFailure) -> &'static str {
    match choice {
        OnFailure::Stop | OnFailure::Continue | OnFailure::Ask => "what was done stays",
        OnFailure::UndoTarget => "what was done to the same target is taken back",
        OnFailure::UndoAll => "everything is taken back, in reverse order",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        artifact::{Digest, FlowKind, NodeId, Step, Undo, from_yaml},
        tool::{Manifest, Pins},
    };

    const TOOLS: &str = "
kind: tools
family: t
about: t
server: {command: [t]}
tools:
  - name: slot.set
    about: Set
    says: set slot {slot} of {switch}
    effect: write
    target: switch
    args: &slot {properties: {switch: {type: string, format: target}, slot: {type: integer}}, required: [switch, slot]}
    undo: {tool: slot.clear, with: {switch: {cel: args.switch}, slot: {cel: args.slot}}}
  - {name: slot.clear, about: Clear, says: 'clear slot {slot} of {switch}', effect: destructive, target: switch, args: *slot}
";

    #[test]
    fn what_is_taken_back_otherwise_is_another_group() {
        let manifest: Manifest = from_yaml("tools.yaml", TOOLS).unwrap();
        let toolbox = Toolbox::new(vec![manifest], Pins::default()).unwrap();
        let node = |switch: &str, back: i64| {
            let step: Step =
                from_yaml("s", &format!("{{id: set, tool: slot.set, with: {{switch: {switch}, slot: 5}}}}")).unwrap();
            let args = serde_json::json!({"switch": switch, "slot": back}).as_object().unwrap().clone();
            FlowNode {
                id: NodeId::new(&step.id, Some(switch)),
                item: None,
                target: Some(switch.into()),
                step,
                needs: Vec::new(),
                before: None,
                after: None,
                skipped: None,
                undo: Some(Undo { tool: "slot.clear".parse().unwrap(), args }),
            }
        };
        let nodes = vec![node("sw01", 5), node("sw02", 5), node("sw03", 7)];
        let flow = AutomationFlow { kind: FlowKind::Flow, design: Digest::ZERO, nodes, deviations: Vec::new() };
        let told: Vec<_> = groups(&flow, &toolbox)
            .iter()
            .map(|group| (group.targets().join(" "), group.undo(&toolbox).unwrap()))
            .collect();
        let told: Vec<(&str, &str)> = told.iter().map(|(on, undo)| (on.as_str(), undo.as_str())).collect();
        assert_eq!(told, [("sw01 sw02", "clear slot 5 of each"), ("sw03", "clear slot 7 of sw03")]);
    }
}

//! The questions of the build phase: one call, a failure, an unknown outcome, and in `deviation` a deviation. Each says
//! what is known, what the answer means, and where to look.

use serde_json::{Map, Value};

use crate::{
    artifact::{Agent, Arg, ArtifactKind, AutomationFlow, FlowNode, NodeId, OnFailure, Scope, Spec, fill_args},
    engagement::{
        About, Call, CallOutcome, Purpose, Reading, View, before_state, is_made_again, is_undone_again, left_state,
        node_args, undo_call,
    },
    facts::Facts,
    flow::brings_back,
    policy::Catalog,
    tool::{Effect, Tool},
};

use super::{
    GateError,
    change::{bound_words, on_failure, on_failure_at_the_end},
    common::{banner, moment, ruled_tags, so_far},
    diff::diff,
    earlier::said_before,
    screen::{Screen, Section},
    text::{sentence, value, word},
    tried::tried,
};

/// All that a question is made from.
pub(super) struct Question<'a> {
    pub view: &'a View<'a>,
    pub catalog: &'a Catalog,
    pub spec: &'a Spec,
    pub flow: &'a AutomationFlow,
    pub facts: &'a Facts,
    pub about: &'a About,
}

impl<'a> Question<'a> {
    /// What the question shows.
    pub(super) fn screen(&self) -> Result<Screen, GateError> {
        match self.about {
            About::Call { node, .. } => self.call(self.at(node)?),
            About::Deviation { node } => self.deviation(node),
            About::Failure { node } => self.failure(self.at(node)?),
            About::Unknown { node, undo } => self.unknown(self.at(node)?, *undo),
            About::Gate1 | About::Gate2 => Err(self.nothing()),
        }
    }

    pub(super) fn nothing(&self) -> GateError {
        GateError::NothingToAsk(self.about.clone())
    }

    pub(super) fn at(&self, node: &NodeId) -> Result<&'a FlowNode, GateError> {
        self.flow.node(node).ok_or_else(|| self.nothing())
    }

    pub(super) fn tool(&self, node: &FlowNode) -> Result<&'a Tool, GateError> {
        self.catalog.toolbox.tool(&node.step.tool).ok_or_else(|| self.nothing())
    }

    pub(super) fn page(&self, title: &str, footer: &str, mut sections: Vec<Section>) -> Screen {
        let state = self.view.state;
        let mut head = Section::default();
        head.pair("Engagement", format!("{}, {}", state.id, sentence(&self.spec.title)));
        head.pair("Asked by", word(&state.requester.to_string()));
        if let Some(filed) = state.artifacts.get(&ArtifactKind::Design) {
            head.pair("Artifact", format!("solution.design version {}, {}", filed.version, filed.digest.short()));
        }
        // What the others asked for was shown at the gates.
        sections.extend(tried(self.view, |agent| agent == Agent::Build));
        sections.push(head);
        Screen {
            title: title.into(),
            banner: banner(self.facts),
            subject: self.about.to_string(),
            sections,
            footer: footer.into(),
        }
    }

    fn call(&self, node: &FlowNode) -> Result<Screen, GateError> {
        let About::Call { call: digest, .. } = self.about else { return Err(self.nothing()) };
        let (id, call) = self.view.act_of(&node.id).ok_or_else(|| self.nothing())?;
        if call.digest != Some(*digest) {
            return Err(self.nothing());
        }
        let tool = self.tool(node)?;
        let args = call.args.read(self.view.blobs).ok_or_else(|| self.nothing())?;
        let mut what = Section::new("THE CALL");
        what.text(said(tool, args));
        what.lines.extend(arguments(args));
        let target = args.get(&tool.target).and_then(Value::as_str);
        ruled_tags(self.catalog, target.into_iter()).into_iter().for_each(|line| what.warn(line));
        let mut changes = Section::new("WHAT IT CHANGES");
        let before = before_state(self.view, node);
        if tool.effect == Effect::Read {
            changes.text("nothing: it only reads");
        } else if tool.state.is_none() {
            changes.text("it cannot be said beforehand: the tool has no state to read");
        } else {
            changes.lines.extend(diff(before.as_ref(), self.designed(tool, args, before.as_ref()).as_ref()));
        }
        match self.undo_words(node, tool, args, before.as_ref()) {
            Some(undo) if before.as_ref().is_some_and(|before| !self.brings_back(tool, args, before)) => {
                changes.warn(format!("taken back by: {undo}; nothing shows that this brings back what is there now"));
            }
            Some(undo) => changes.detail(format!("taken back by: {undo}")),
            None if tool.effect == Effect::Read => {}
            None => changes.warn(no_undo(tool)),
        }
        let mut why = Section::new("WHY YOU ARE ASKED");
        said_before(self.view.state, *digest, call).into_iter().for_each(|line| why.text(line));
        if tool.effect == Effect::Destructive || tool.irreversible() {
            why.warn("it removes something, or cannot be taken back");
        }
        let fills: Vec<_> = chosen(tool, node).collect();
        if !fills.is_empty() {
            fills.into_iter().for_each(|line| why.text(line));
        } else if self.flow.deviations.iter().any(|deviation| deviation.step == node.step.id) {
            why.text("It is not what the design says: it was accepted as a deviation, and gate 2 did not show it.");
        } else if !node.knows_args() {
            why.text("At gate 2 it could not be known: it uses what an earlier step answered.");
        } else if let Some(role) = &node.step.approval {
            why.text(format!("The design wants each of these calls approved by itself, by the role {}.", word(role)));
        } else if self.view.state.last_said_of(digest).is_none() {
            why.text("Gate 2 did not approve exactly this call.");
        }
        if let Some((_, reason)) = &call.refused {
            why.text(format!("The rule says: {}", sentence(reason)));
        }
        why.text(format!("A yes is for this call alone and for one use ({id}, {}).", digest.short()));
        let mut no = Section::new("WHAT A NO MEANS");
        no.text(format!("The step fails without running; then {}.", on_failure(node.step.on_failure)));
        let mut sections = vec![what, changes, why, no];
        if !self.view.state.nodes.is_empty() {
            sections.push(so_far(self.view, self.flow));
        }
        Ok(self.page("ONE CALL: may it run?", "Without an answer it waits; nothing is approved.", sections))
    }

    fn failure(&self, node: &FlowNode) -> Result<Screen, GateError> {
        let state = self.view.state;
        if !state.nodes.get(&node.id).is_some_and(|settled| settled.failed) {
            return Err(self.nothing());
        }
        let mut what = self.failed(node)?;
        if let Some(considered) = state.considered_at(&node.id) {
            let wants = match considered.wants.len() {
                0 => "it wants nothing called".to_owned(),
                1 => "it wanted one call".to_owned(),
                many => format!("it wanted {many} calls"),
            };
            let who =
                if considered.turn.is_some() { "in its own words" } else { "because no answer of it could stand" };
            what.detail(format!("the build agent was asked: {wants}, {who}: {}", sentence(&considered.because)));
        }
        let so_far = so_far(self.view, self.flow);
        let mut choices = Section::new("WHAT YOU CAN CHOOSE");
        let over =
            state.cancelled.as_ref().map(|why| format!("it was cancelled: {why}")).or_else(|| self.view.stopped());
        if let Some(over) = &over {
            choices.warn(sentence(&format!("Nothing more is begun, whatever is chosen: {over}")));
        }
        for (word, choice) in [
            ("stop", OnFailure::Stop),
            ("continue", OnFailure::Continue),
            ("undo-target", OnFailure::UndoTarget),
            ("undo-all", OnFailure::UndoAll),
        ] {
            choices.pair(word, if over.is_some() { on_failure_at_the_end(choice) } else { on_failure(choice) });
        }
        let footer = "Nothing more happens until one is chosen.";
        Ok(self.page("FAILURE: what does it mean for the rest?", footer, vec![what, so_far, choices]))
    }

    /// Why nothing more is begun, where that is so.
    fn over(&self) -> Option<String> {
        let cancelled = self.view.state.cancelled.as_ref().map(|why| format!("it was cancelled: {why}"));
        cancelled.or_else(|| self.view.stopped())
    }

    /// What a step was to do, why it failed, and whether that left something.
    pub(super) fn failed(&self, node: &FlowNode) -> Result<Section, GateError> {
        let state = self.view.state;
        let tool = self.tool(node)?;
        let mut what = Section::new("WHAT FAILED");
        let args = node_args(self.view, node).unwrap_or_default();
        what.text(format!("`{}`: {}", node.id, said(tool, &args)));
        let reason = state.reasons.get(&node.id).map_or("no reason is known", String::as_str);
        what.warn(sentence(reason));
        let changed = state.nodes.get(&node.id).is_some_and(|settled| settled.changed);
        what.text(if changed { "Something is changed there." } else { "Nothing is changed there." });
        Ok(what)
    }

    fn unknown(&self, node: &FlowNode, undo: bool) -> Result<Screen, GateError> {
        let (id, call) = self.view.state.in_question(&node.id, undo).ok_or_else(|| self.nothing())?;
        let given = |call: &Call| call.args.read(self.view.blobs).cloned().ok_or_else(|| self.nothing());
        let sending = call.tool_name().and_then(|name| self.catalog.toolbox.tool(&name));
        let (sending, sent_with) = (sending.ok_or_else(|| self.nothing())?, given(call)?);
        let mut sent = Section::new("WHAT WAS SENT");
        sent.text(said(sending, &sent_with));
        sent.lines.extend(arguments(&sent_with));
        sent.text(format!("as {id}, on {}", moment(&call.at)));
        if undo {
            sent.text(format!("to take `{}` back", node.id));
        }
        let mut why = Section::new("WHY NOBODY KNOWS");
        why.warn(sentence(&why_unknown(call)));
        let read_back = match undo {
            true => Purpose::UndoCheck { node: node.id.clone() },
            false => Purpose::ReadBack { node: node.id.clone(), attempt: self.view.state.attempt(&node.id) },
        };
        if let Reading::Failed(_, reason) = self.view.reading(&read_back) {
            why.text(sentence(&format!("reading it back gave no answer: {reason}")));
        }
        why.text("It is not sent again unseen, because it may have taken effect.");
        // What it changes is the state that its step changes.
        let tool = self.tool(node)?;
        let acted_with = match undo {
            true => given(self.view.act_of(&node.id).ok_or_else(|| self.nothing())?.1)?,
            false => sent_with,
        };
        let mut look = Section::new("WHAT TO LOOK AT");
        match self.look(tool, &acted_with) {
            Some(reading) if undo => look.text(format!("{reading}, and see whether it is as before the step again:")),
            Some(reading) => look.text(format!("{reading}, and see whether this is there:")),
            None => look.text(format!(
                "on {}, see whether it took effect; no tool here can read it",
                word(call.target.as_deref().unwrap_or("the target"))
            )),
        }
        let before = before_state(self.view, node);
        if tool.state.is_some() {
            look.lines.extend(match undo {
                true => diff(left_state(self.view, node).as_ref(), before.as_ref()),
                false => diff(before.as_ref(), self.designed(tool, &acted_with, before.as_ref()).as_ref()),
            });
            look.text("It is read once more after your answer, and what is read counts more than that.");
            let again =
                if undo { is_undone_again(self.view, call, node) } else { is_made_again(self.view, node, call) };
            if again {
                look.text("Where that shows that nothing has changed, the call is made once more, as it was approved.");
            }
        }
        let mut means = Section::new("WHAT YOU CAN ANSWER");
        if tool.state.is_some() {
            means.text("Where it cannot be read then either:");
        }
        if undo {
            means.pair("applied", "it took effect; the step counts as taken back");
            means.pair("not-applied", "it did not; the step is left as it is, and the record says so");
        } else {
            means.pair("applied", "it took effect; the step counts as run and is checked as designed");
            let then = match self.over() {
                Some(_) => on_failure_at_the_end(node.step.on_failure),
                None => on_failure(node.step.on_failure),
            };
            means.pair("not-applied", format!("it did not; the step fails, and {then}"));
        }
        let title = if undo { "UNKNOWN: did this undo take effect?" } else { "UNKNOWN: did this call take effect?" };
        let footer = "Nothing more happens until this is answered.";
        Ok(self.page(title, footer, vec![sent, why, look, means]))
    }

    /// How the state that a call changes is read, in words.
    fn look(&self, tool: &Tool, args: &Map<String, Value>) -> Option<String> {
        let state = tool.state.as_ref()?;
        let reader = self.catalog.toolbox.tool(&state.tool)?;
        let args = Value::Object(args.clone());
        let reading = fill_args(&state.args, &Scope::new().with("args", &args)).ok()?;
        Some(said(reader, &reading))
    }

    pub(super) fn designed(&self, tool: &Tool, args: &Map<String, Value>, before: Option<&Value>) -> Option<Value> {
        let args = Value::Object(args.clone());
        let mut scope = Scope::new().with("args", &args);
        if let Some(before) = before {
            scope = scope.with("before", before);
        }
        tool.after.as_ref()?.evaluate(&scope).ok()
    }

    /// Whether what is there now is shown to be there again once a call of these arguments is taken back.
    pub(super) fn brings_back(&self, tool: &Tool, args: &Map<String, Value>, before: &Value) -> bool {
        let left = self.designed(tool, args, Some(before));
        brings_back(&self.catalog.toolbox, (tool, args), left.as_ref(), before)
    }

    /// How a node would be taken back from here; nothing where it cannot be.
    pub(super) fn undo_words(
        &self,
        node: &FlowNode,
        tool: &Tool,
        args: &Map<String, Value>,
        before: Option<&Value>,
    ) -> Option<String> {
        let rule = tool.undo.as_ref()?;
        let undoing = self.catalog.toolbox.tool(&rule.tool)?;
        let ran = self.view.act_of(&node.id).is_some_and(|(_, call)| call.refused.is_none());
        if ran {
            // Where it would be led elsewhere there is none.
            return undo_call(self.view, node).ok().map(|undo| said(undoing, &undo.args));
        }
        let args = Value::Object(args.clone());
        let mut scope = Scope::new().with("args", &args);
        if let Some(before) = before {
            scope = scope.with("before", before);
        }
        // What only the answer will tell is said so; what is not there now will not be there then.
        let never = |arg: &Arg| match arg {
            Arg::Hole(hole) => {
                let reads = hole.cel.variables();
                !reads.contains("result") && !reads.contains("left") && hole.cel.evaluate(&scope).is_err()
            }
            Arg::Literal(_) | Arg::Fill(_) => false,
        };
        if before.is_some() && rule.args.values().any(never) {
            return None;
        }
        Some(undoing.whole_sentence(rule.args.keys(), |name| match rule.args.get(name) {
            None => "nothing".into(),
            Some(Arg::Literal(literal)) => value(literal),
            Some(Arg::Fill(_)) => "(decided then)".into(),
            Some(Arg::Hole(hole)) => match hole.cel.evaluate(&scope) {
                Ok(filled) => value(&filled),
                Err(_) => "(what it answers)".into(),
            },
        }))
    }
}

/// What the build agent chose of a call, inside which bound and why.
fn chosen<'a>(tool: &'a Tool, node: &'a FlowNode) -> impl Iterator<Item = String> + 'a {
    node.step.args.iter().filter_map(|(name, arg)| {
        let Arg::Fill(fill) = arg else { return None };
        let filled = fill.filled.as_ref()?;
        let (bound, because) = (bound_words(tool, name, fill), sentence(&filled.because));
        Some(format!("The build agent chose {}, for which gate 2 allowed {bound}; its reason: {because}", word(name)))
    })
}

/// A call in plain words, as it is shown to whoever approves it.
pub fn said(tool: &Tool, args: &Map<String, Value>) -> String {
    tool.whole_sentence(args.keys(), |name| args.get(name).map_or("nothing".into(), value))
}

pub(super) fn arguments(args: &Map<String, Value>) -> Vec<super::Line> {
    let mut all: Vec<(&String, &Value)> = args.iter().collect();
    all.sort_by_key(|(name, _)| *name);
    all.into_iter().map(|(name, given)| super::Line::KeyValue { key: word(name), value: value(given) }).collect()
}

fn why_unknown(call: &Call) -> String {
    let said = call.message.clone().unwrap_or_else(|| "the process ended while the call was under way".into());
    let said = match call.outcome {
        Some(CallOutcome::Error) => format!("the tool answered an error ({said}), and may have acted before it did"),
        _ => said,
    };
    match &call.purpose {
        Purpose::Act { attempt, .. } if *attempt > 1 => format!("in attempt {attempt}: {said}"),
        _ => said,
    }
}

/// That a call cannot be taken back, and why.
pub(super) fn no_undo(tool: &Tool) -> String {
    match &tool.undo {
        None => format!("it cannot be taken back: {} has no undo", tool.name),
        Some(rule) => format!("it cannot be taken back: {} needs what is not there now", rule.tool),
    }
}

//! The questions about deviations: a state that nobody approved, what changed since a step, and what the build agent wants
//! otherwise or after a failure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    artifact::{Arg, FlowNode, NodeId},
    engagement::{CallOutcome, CallWanted, Considered, DeviationFound, before_state, node_args, undo_call},
    tool::Effect,
};

use super::{
    GateError,
    change::{hole_words, on_failure},
    diff::diff,
    question::{Question, arguments, no_undo, said},
    screen::{Screen, Section},
    text::{names, sentence, word},
};

impl Question<'_> {
    pub(super) fn deviation(&self, id: &NodeId) -> Result<Screen, GateError> {
        let found = &self.view.state.deviation_at(id).ok_or_else(|| self.nothing())?.found;
        if found.undo {
            return self.changed_since(self.at(id)?, found);
        }
        if let Some((considered, want)) = self.view.state.wanted_after(id) {
            return self.wanted_after(considered, want);
        }
        if let Some(because) = &found.because {
            return Ok(self.wanted(found, because));
        }
        let node = self.at(id)?;
        let tool = self.tool(node)?;
        let mut what = Section::new("WHAT IS NOT AS APPROVED");
        what.text(format!("`{}`: {}", node.id, sentence(&found.what)));
        what.text("approved on (-), and there now (+):");
        what.lines.extend(diff(Some(&found.contract), Some(&found.actual)));
        let calls: Vec<String> = found.calls.iter().map(ToString::to_string).collect();
        what.detail(format!("shown by {}", if calls.is_empty() { "no call".into() } else { names(&calls) }));
        let mut means = Section::new("WHAT A YES MEANS");
        let args = node_args(self.view, node).unwrap_or_default();
        means.text(match node.unchanged() {
            true => format!(
                "This is called, which gate 2 did not show; you may be asked about it once more: {}",
                said(tool, &args)
            ),
            false => format!("This still runs: {}", said(tool, &args)),
        });
        means.lines.extend(diff(Some(&found.actual), self.designed(tool, &args, Some(&found.actual)).as_ref()));
        match self.undo_words(node, tool, &args, Some(&found.actual)) {
            Some(undo) if !self.brings_back(tool, &args, &found.actual) => {
                means.warn(format!("taken back by: {undo}; nothing shows that this brings back what is there now"));
            }
            Some(undo) => means.detail(format!("taken back by: {undo}")),
            None => means.warn(no_undo(tool)),
        }
        let mut no = Section::new("WHAT A NO MEANS");
        no.text(format!("The step fails without running; then {}.", on_failure(node.step.on_failure)));
        let title = "DEVIATION: may it go on from a state that nobody approved?";
        Ok(self.page(title, "Without an answer it waits; nothing is approved.", vec![what, means, no]))
    }

    /// A step is to be taken back, and something else is there than it left.
    fn changed_since(&self, node: &FlowNode, found: &DeviationFound) -> Result<Screen, GateError> {
        let undo = undo_call(self.view, node).map_err(|_| self.nothing())?;
        let tool = self.catalog.toolbox.tool(&undo.tool).ok_or_else(|| self.nothing())?;
        let unsure = found.left_unknown() || found.maybe_of_others();
        let mut what = Section::new(if unsure { "WHAT IS THERE NOW" } else { "WHAT HAS CHANGED SINCE" });
        let args = node_args(self.view, node).unwrap_or_default();
        let did = if found.maybe_of_others() { "was to do" } else { "did" };
        what.text(format!("`{}` {did} this: {}", node.id, said(self.tool(node)?, &args)));
        if unsure {
            if found.maybe_of_others() {
                let call = self.view.act_of(&node.id).map(|(_, call)| call);
                let said = sentence(call.and_then(|call| call.message.as_deref()).unwrap_or("nothing was said"));
                let came_to = match call.and_then(|call| call.outcome) {
                    Some(CallOutcome::Error) => "Its call reported an error",
                    _ => "Nobody heard what its call came to",
                };
                what.text(format!("{came_to} ({said}), and something is there now that was not there before it."));
                what.warn(
                    "It may be its own doing, or that of others who did the same just then. Nothing tells which.",
                );
            } else {
                what.text("It is to be taken back, and nothing tells what it left: what is there now may be that, or may have been changed by others.");
            }
            what.text("there before the step (-), and there now (+):");
            what.lines.extend(diff(before_state(self.view, node).as_ref(), Some(&found.actual)));
        } else {
            what.text(
                "It is to be taken back, and something else is there now. Others changed it, or later steps did.",
            );
            what.text("left by the step (-), and there now (+):");
            what.lines.extend(diff(Some(&found.contract), Some(&found.actual)));
        }
        let calls: Vec<String> = found.calls.iter().map(ToString::to_string).collect();
        what.detail(format!("shown by {}", names(&calls)));
        let mut means = Section::new("WHAT A YES MEANS");
        means.text(format!("This is called: {}", said(tool, &undo.args)));
        means.text(match found.maybe_of_others() {
            true => "It is to bring back what was there before the step; if others made what is there, theirs is lost:",
            false => "It is to bring back what was there before the step; what changed there since is lost:",
        });
        means.lines.extend(diff(Some(&found.actual), before_state(self.view, node).as_ref()));
        let mut no = Section::new("WHAT A NO MEANS");
        no.text("It stays as it is now, and the record says that the step was not taken back.");
        let title = if found.left_unknown() {
            "DEVIATION: may this be taken back, where nothing tells what it left?"
        } else if found.maybe_of_others() {
            "DEVIATION: may this be taken back, which others may have made?"
        } else {
            "DEVIATION: may this be taken back over what changed since?"
        };
        Ok(self.page(title, "Without an answer it waits; nothing is called.", vec![what, means, no]))
    }

    /// What the build agent wants otherwise than the design says. Its reasons are its own words; the calls are computed.
    fn wanted(&self, found: &DeviationFound, because: &str) -> Screen {
        let step = word(found.node.as_str());
        let said = |call: &Value| {
            let tool = call.get("tool").and_then(Value::as_str).unwrap_or_default();
            let args: BTreeMap<String, Arg> =
                call.get("with").and_then(|with| serde_json::from_value(with.clone()).ok()).unwrap_or_default();
            match tool.parse().ok().and_then(|name| self.catalog.toolbox.tool(&name)) {
                Some(tool) => {
                    tool.whole_sentence(args.keys(), |name| args.get(name).map_or_else(|| "nothing".into(), hole_words))
                }
                None => format!("use `{}`, which no manifest describes", word(tool)),
            }
        };
        let mut what = Section::new("WHAT THE BUILD AGENT WANTS");
        what.text(format!("`{step}`: {}", said(&found.actual)));
        if found.contract.is_null() {
            what.text("The approved design has no such call.");
        } else {
            what.text(format!("The approved design says: {}", said(&found.contract)));
        }
        what.text("approved (-), and wanted (+):");
        let with = |call: &Value| call.get("with").cloned().unwrap_or_default();
        what.lines.extend(diff(Some(&with(&found.contract)), Some(&with(&found.actual))));
        what.detail(format!("its reason, in its own words: {}", sentence(because)));
        let tool = found.actual.get("tool").and_then(Value::as_str).and_then(|name| name.parse().ok());
        let tool = tool.and_then(|name| self.catalog.toolbox.tool(&name)).filter(|tool| tool.effect != Effect::Read);
        if let Some(tool) = tool.filter(|tool| tool.effect == Effect::Destructive || tool.irreversible()) {
            what.warn(format!("{} removes something, or cannot be taken back", tool.name));
        }
        let mut means = Section::new("WHAT A YES MEANS");
        means.text("It is built so instead. The spec's boundary holds for it as for every call, and where gate 2 would have approved the call you are asked about it once more when it is reached.");
        let mut no = Section::new("WHAT A NO MEANS");
        no.text("It is built as the design says.");
        self.page(
            "DEVIATION: may it be built otherwise than approved?",
            "Without an answer it waits; nothing is approved.",
            vec![what, means, no],
        )
    }

    /// A call that the build agent wants after a step failed. Its reasons are its own words; the rest is computed.
    fn wanted_after(&self, considered: &Considered, want: &CallWanted) -> Result<Screen, GateError> {
        let failed = self.at(&considered.node)?;
        let step = word(failed.id.as_str());
        let mut what = self.failed(failed)?;
        what.text(format!("The approved design says of its failure: {}.", on_failure(failed.step.on_failure)));
        let tool = self.catalog.toolbox.tool(&want.tool).ok_or_else(|| self.nothing())?;
        let mut wants = Section::new("WHAT THE BUILD AGENT WANTS");
        wants.text(format!("`{}`: {}", word(want.step.as_str()), said(tool, &want.args)));
        wants.lines.extend(arguments(&want.args));
        wants.text("The approved design has no such call.");
        wants.detail(format!("its reason, in its own words: {}", sentence(&want.because)));
        wants.detail(format!("of the failure it says, in its own words: {}", sentence(&considered.because)));
        if tool.effect == Effect::Destructive || tool.irreversible() {
            wants.warn(format!("{} removes something, or cannot be taken back", tool.name));
        }
        let others = considered.wants.iter().filter(|other| *other != want).count();
        if others > 0 {
            let asked = if others == 1 { "1 more call".into() } else { format!("{others} more calls") };
            wants.text(format!("It wants {asked} after this failure; you are asked about each by itself."));
        }
        let mut means = Section::new("WHAT A YES MEANS");
        means.text("Exactly this call runs, once, within the spec's boundary and under every rule as it is then.");
        means.text(format!(
            "Then what `{step}` was to leave is looked at again: it counts as done only if that shows it."
        ));
        if let Some(undo) = self.undo_words(&want.flow_node(), tool, &want.args, None) {
            means.detail(format!("taken back by: {undo}"));
        }
        let mut no = Section::new("WHAT A NO MEANS");
        no.text(format!(
            "It is not called, nor what was wanted after it; then {}.",
            on_failure(failed.step.on_failure)
        ));
        let title = "DEVIATION: may this be called, because a step failed?";
        Ok(self.page(title, "Without an answer it waits; nothing is approved.", vec![what, wants, means, no]))
    }
}

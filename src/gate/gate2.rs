//! The screen of gate 2: the exact change, how it is taken back, how far it reaches, and the calls that a yes lets
//! run. The change comes first.

use std::collections::BTreeMap;

use crate::{
    artifact::{
        Arg, ArtifactKind, AutomationFlow, CapabilityStatus, DiscoveryReport, Disposition, FlowNode, NodeId, OnFailure,
        SolutionDesign, Spec, Step, StepId, Verdict,
    },
    engagement::{CallOutcome, Gate, GateState, Purpose, Standing, State, View},
    facts::Facts,
    flow::brings_back,
    policy::Catalog,
    tool::{Effect, Tool},
};

use super::{
    OfferedCall,
    boundary::constraint_words,
    change::{Group, Kind, bound_words, groups, hole_words, on_failure, source_step},
    common::{banner, head, targets},
    diff::diff,
    found as finds,
    gate1::irreversible,
    ruled::Policed,
    screen::{Screen, Section},
    since::since_last_shown,
    text::{count, names, sentence, word},
    tried::tried,
};

/// What is said of what is decided later where nothing shows that a person is asked about it.
const MAY_RUN: &str = "a yes may let it run with whatever that gives, without another question";

/// The trust stage at which people approve each change.
const ASSISTED: u8 = 1;

/// Calls that are listed by themselves; destructive ones always are.
const MOST_CALLS: usize = 12;

/// So many steps that could not be compared with what is there are named.
const MOST_MISSED: usize = 6;

/// All that the screen is made from.
pub(super) struct Design<'a> {
    pub view: &'a View<'a>,
    pub catalog: &'a Catalog,
    pub spec: &'a Spec,
    pub design: &'a SolutionDesign,
    pub flow: &'a AutomationFlow,
    pub facts: &'a Facts,
    pub standing: &'a Standing,
    pub calls: &'a [OfferedCall],
    /// Nodes whose call a policy refuses, with the reason.
    pub forbidden: &'a [(&'a FlowNode, String)],
    /// Nodes whose call needs an owner's yes, with the reason.
    pub owners: &'a BTreeMap<NodeId, String>,
}

/// What gate 2 shows.
pub(super) fn screen(of: &Design<'_>) -> Screen {
    let groups = groups(of.flow, &of.catalog.toolbox);
    let mut sections = vec![change(of, &groups)];
    sections.extend(since_last_shown(of.view, ArtifactKind::Design, &["spec", "discovery"]));
    sections.push(reach(of));
    sections.extend(tried(of.view, |_| true));
    sections.extend(finds::found(of.view, of.catalog, of.facts));
    sections.push(head_of(of));
    sections.extend(why(of.design));
    sections.push(acceptance(of));
    sections.extend(of.view.documents.discovery().and_then(|report| found(report, of.view.state)));
    let later = groups.iter().filter(|group| group.kind == Kind::Later && !asked_then(of, group));
    sections.push(calls(of.calls, &later.map(Group::headline).collect::<Vec<_>>(), of.owners));
    sections.push(artifact(of));
    Screen {
        title: "GATE 2: may exactly this be done?".into(),
        banner: banner(of.facts),
        subject: sentence(&of.spec.title),
        sections,
        footer: "Without an answer it waits; nothing is approved.".into(),
    }
}

fn head_of(of: &Design<'_>) -> Section {
    let mut section = head(of.view, of.spec, of.standing);
    if of.view.state.gate_open(Gate::One)
        && let GateState::Open { by, .. } = &of.view.state.gate1
    {
        section.pair("Gate 1", format!("approved by {}", word(&by.to_string())));
    }
    section
}

fn change(of: &Design<'_>, groups: &[Group<'_>]) -> Section {
    let mut section = Section::new("WHAT WILL BE CHANGED");
    for group in groups {
        match group.kind {
            Kind::Change => changed(of, group, &mut section),
            Kind::Later => later(of, group, &mut section),
            Kind::Unchanged => {
                let each = if group.nodes.len() == 1 { "is" } else { "are" };
                section.text(format!("{} {each} so already: nothing will be called", names(&group.targets())));
            }
            Kind::Skipped => {
                let why = group.first.skipped.as_deref().unwrap_or_default();
                section.text(format!("left out: {}, because {}", group.headline(), sentence(why)));
            }
            Kind::Read => {
                section.text(format!("only read: {}", group.headline()));
                chosen(group, true, &mut section);
                checked(group, &mut section);
            }
        }
    }
    if !groups.iter().any(|group| matches!(group.kind, Kind::Change | Kind::Later)) {
        section.text("nothing");
    }
    let refused = refused(of);
    let more: usize = refused.iter().skip(MOST_CALLS).map(|(_, nodes)| nodes.len()).sum();
    for (reason, nodes) in refused.into_iter().take(MOST_CALLS) {
        section.warn(format!("{} will be refused: {}", names(&nodes), sentence(reason)));
    }
    if more > 0 {
        section.warn(format!("{} will be refused too", count(more, "more call")));
    }
    section
}

/// The calls that a policy refuses, by reason: each by its target, or by its node where its target has several.
fn refused<'a>(of: &Design<'a>) -> Vec<(&'a str, Vec<String>)> {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for (node, reason) in of.forbidden {
        let alone =
            |target: &&str| of.flow.nodes.iter().filter(|other| other.target.as_deref() == Some(target)).count() == 1;
        let name = node.target.as_deref().filter(alone).map_or_else(|| format!("`{}`", node.id), word);
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, names)) => names.push(name),
            None => reasons.push((reason, vec![name])),
        }
    }
    reasons
}

fn changed(of: &Design<'_>, group: &Group<'_>, section: &mut Section) {
    headline(group, section);
    section.lines.extend(diff(group.first.before.as_ref().map(|before| &before.state), group.first.after.as_ref()));
    after_call(of, group, section);
    if group.first.before.is_none() && group.tool.state.is_some() {
        for node in &group.nodes {
            let target = word(node.target.as_deref().unwrap_or(node.id.as_str()));
            section
                .warn(format!("{target} could not be read, so what is there now is not known: {}", unread(of, node)));
        }
    }
}

fn headline(group: &Group<'_>, section: &mut Section) {
    section.text(group.headline());
    if let Some(all) = group.all_targets() {
        section.detail(format!("on: {all}"));
    }
}

fn later(of: &Design<'_>, group: &Group<'_>, section: &mut Section) {
    headline(group, section);
    let asked = asked_then(of, group);
    let then = if asked { "you will be asked then" } else { MAY_RUN };
    for (name, arg) in group.first.step.args.iter().filter(|(_, arg)| arg.literal().is_none()) {
        let Arg::Hole(hole) = arg else { continue };
        let step = source_step(hole.cel.source());
        let when = step.map_or_else(|| "later".into(), |step| format!("when `{step}` has run"));
        let bound = hole
            .constraint
            .as_ref()
            .map_or_else(String::new, |bound| format!(", and it must be {}", sentence(&constraint_words(bound))));
        let line = format!("{}: decided {when}, by {}{bound}; {then}", word(name), sentence(hole.cel.source()));
        if asked { section.detail(line) } else { section.warn(line) }
    }
    chosen(group, asked, section);
    after_call(of, group, section);
}

/// Whether a call whose arguments are decided later is asked about before it runs: a step may want that by itself, and at
/// trust stage 1 every change does that the policies do not let run by themselves.
fn asked_then(of: &Design<'_>, group: &Group<'_>) -> bool {
    let policies = Policed::new(of.standing.stage, of.catalog, of.spec);
    group.first.step.approval.is_some() || stage_asks(of.standing.stage, &policies, group.first, group.tool)
}

/// Whether the trust stage has a call asked about that is decided later.
pub(super) fn stage_asks(stage: u8, policies: &Policed<'_>, node: &FlowNode, tool: &Tool) -> bool {
    let literal = |(name, arg): (&String, &Arg)| Some((name.clone(), arg.literal()?.clone()));
    stage <= ASSISTED && !policies.runs_unasked(tool, &node.step.args.iter().filter_map(literal).collect())
}

/// What the build agent chooses of a call.
fn chosen(group: &Group<'_>, asked: bool, section: &mut Section) {
    let then = match group.kind {
        Kind::Later if asked => "; you will be asked then",
        Kind::Later => "; a yes may let it run with whatever it chooses, without another question",
        _ => "",
    };
    for (name, arg) in &group.first.step.args {
        if let Arg::Fill(fill) = arg {
            let bound = bound_words(group.tool, name, fill);
            section.detail(format!("{}: the build agent chooses it: {bound}{then}", word(name)));
            section.detail(format!("   what is wanted: {}", sentence(&fill.fill)));
        }
    }
}

/// How a change is taken back, when it is asked about again, and how it is seen.
fn after_call(of: &Design<'_>, group: &Group<'_>, section: &mut Section) {
    let step = &group.first.step;
    if !step.needs.is_empty() {
        let needs: Vec<String> = step.needs.iter().map(|needs| format!("`{needs}`")).collect();
        section.detail(format!("after {}", names(&needs)));
    }
    if let Some(when) = &step.when {
        section.detail(format!("only if {}", sentence(when.source())));
    }
    let first = &group.first;
    let back = first.known_args().zip(first.before.as_ref()).is_none_or(|(args, before)| {
        brings_back(&of.catalog.toolbox, (group.tool, &args), first.after.as_ref(), &before.state)
    });
    match group.undo(&of.catalog.toolbox) {
        Some(undo) if !back => {
            section.warn(format!("taken back by: {undo}; nothing shows that this brings back what is there now"))
        }
        Some(undo) => section.detail(format!("taken back by: {undo}")),
        None => section.warn(format!("it cannot be taken back: {} has no undo", group.tool.name)),
    }
    checked(group, section);
    if let Some(role) = &step.approval {
        section.detail(format!("asked about one by one: it needs the role {}", word(role)));
    }
    if let Some(warning) = blind(group.tool, group.first) {
        section.warn(warning);
    }
}

/// What a step waits for, and how it is checked by itself.
fn checked(group: &Group<'_>, section: &mut Section) {
    let step = &group.first.step;
    if let Some(until) = &step.until {
        let often = format!("at most {} times, {} seconds apart", until.attempts, until.every_seconds);
        section.detail(format!("read until {} ({often})", sentence(until.expect.source())));
    }
    if let Some(verify) = &step.verify {
        let args: Vec<String> =
            verify.args.iter().map(|(name, arg)| format!("{} {}", word(name), hole_words(arg))).collect();
        let with = if args.is_empty() { String::new() } else { format!(" with {}", args.join(", ")) };
        let holds = sentence(verify.expect.source());
        section.detail(format!("checked after by: {}{with}; this must hold: {holds}", verify.tool));
    }
}

/// Why nothing will show what a call did.
fn blind(tool: &Tool, node: &FlowNode) -> Option<String> {
    let seen = tool.state.is_some() && tool.after.is_some() || node.step.verify.is_some();
    (!seen)
        .then(|| format!("nothing reads back what it did: {} has no state to read, and the step no check", tool.name))
}

/// Why the state before a node could not be read.
fn unread(of: &Design<'_>, node: &FlowNode) -> String {
    if let Some((considered, _)) = of.view.state.wanted_after(&node.id) {
        return format!("the design does not have it; it was accepted after {} failed", word(considered.node.as_str()));
    }
    let Some((_, call)) = of.view.state.call_for(&Purpose::Before { node: node.id.clone() }) else {
        return "no reading of it is granted or was made".into();
    };
    match (&call.refused, &call.message, call.outcome) {
        (Some((_, reason)), ..) => format!("the reading was refused: {}", word(reason)),
        (None, Some(said), _) => word(said),
        (None, None, Some(CallOutcome::Ok)) => "the answer could not be understood".into(),
        (None, None, _) => "there was no answer".into(),
    }
}

fn reach(of: &Design<'_>) -> Section {
    let mut section = targets("HOW FAR IT REACHES", of.facts, of.catalog);
    let writes = usize::try_from(of.facts.writes.unwrap_or_default()).unwrap_or(usize::MAX);
    let destructive = match (writes, of.facts.destructive) {
        (1, 0) => "not destructive".to_owned(),
        (1, _) => "destructive".to_owned(),
        (_, 0) => "none of them destructive".to_owned(),
        (_, n) => format!("{n} of them destructive"),
    };
    section.text(format!("{}, {destructive}; irreversible: {}", count(writes, "change"), irreversible(of.facts)));
    let mut meant: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for step in &of.design.steps {
        let undoes = matches!(step.on_failure, OnFailure::UndoTarget | OnFailure::UndoAll);
        let but = if undoes && !of.facts.irreversible.is_empty() { ", but for what has no undo" } else { "" };
        meant.entry((on_failure(step.on_failure), but)).or_default().push(format!("`{}`", step.id));
    }
    for ((what, but), steps) in meant {
        section.text(format!("If {} fails: {what}{but}.", steps.join(" or ")));
    }
    let always = of.design.steps.iter().filter(|step| step.always);
    let (clears, other): (Vec<_>, Vec<_>) = always.partition(|step| clears_up(of, &step.id));
    let named = |steps: &[&Step]| steps.iter().map(|step| format!("`{}`", step.id)).collect::<Vec<_>>().join(", ");
    if !clears.is_empty() {
        section.text(format!("Run at the end whatever happened: {}.", named(&clears)));
    }
    if !other.is_empty() {
        section.text(format!(
            "Run at the end, but not once it is cancelled or its window or a limit is over, since no other step changes \
             what is there: {}.",
            named(&other)
        ));
    }
    section
}

/// Whether another step changes a target that this one is for, so that it may have something to clear up.
fn clears_up(of: &Design<'_>, step: &StepId) -> bool {
    let changes =
        |node: &FlowNode| of.catalog.toolbox.tool(&node.step.tool).is_none_or(|tool| tool.effect != Effect::Read);
    let own = of.flow.nodes.iter().filter(|node| node.step.id == *step && node.target.is_some());
    own.into_iter().any(|node| {
        let mut others = of.flow.nodes.iter().filter(|other| other.step.id != *step);
        others.any(|other| other.target == node.target && changes(other))
    })
}

fn why(design: &SolutionDesign) -> Option<Section> {
    let mut section = Section::new("WHY THIS WAY");
    for decision in &design.decisions {
        section.text(sentence(&decision.decision));
        section.detail(format!("because: {}", sentence(&decision.because)));
    }
    for (disposition, word) in [(Disposition::Reuse, "Used as it is"), (Disposition::Skip, "Left out")] {
        let of = design.components.iter().filter(|component| component.disposition == disposition);
        let of: Vec<&str> = of.map(|component| component.name.as_str()).collect();
        if !of.is_empty() {
            section.text(format!("{word}: {}", names(&of)));
        }
    }
    (!section.lines.is_empty()).then_some(section)
}

fn acceptance(of: &Design<'_>) -> Section {
    let mut section = Section::new("WHAT MUST BE TRUE IN THE END");
    for check in &of.spec.acceptance {
        let reading = of.view.acceptance(check, true);
        let steps = of.design.acceptance.get(&check.id).map(Vec::as_slice).unwrap_or_default();
        let steps: Vec<String> = steps.iter().map(|step| format!("`{step}`")).collect();
        let by = if steps.is_empty() { String::new() } else { format!(", made true by {}", steps.join(" and ")) };
        let id = word(&check.id);
        let covers = names(&check.covers);
        let seen = word(reading.seen.as_deref().unwrap_or("it was not read"));
        match (reading.holds, check.invariant) {
            (Some(false), false) => {
                section.text(format!("{id} ({covers}) does not hold now and must hold after{by}"));
            }
            (Some(true), true) => section.text(format!("{id} ({covers}) holds now and must still hold after")),
            (Some(true), false) => {
                section.warn(format!("{id} ({covers}) holds already, so it will prove nothing about this change"));
            }
            (Some(false), true) => section.warn(format!("{id} ({covers}) should hold before and after, and does not")),
            (None, _) => section.warn(format!("{id} ({covers}) could not be read: {seen}")),
        }
    }
    section
}

fn found(report: &DiscoveryReport, state: &State) -> Option<Section> {
    let mut section = Section::new("WHAT WAS FOUND");
    match report.verdict {
        Verdict::Feasible => {}
        Verdict::WithConstraints => section.warn("it can be done with the limits named here"),
        Verdict::WithChanges => section.warn("it can be done only with another version of the spec"),
        Verdict::NotFeasible => section.warn("it cannot be done"),
    }
    for finding in &report.findings {
        let calls: Vec<String> = finding.calls.iter().map(ToString::to_string).collect();
        let cited = if calls.is_empty() { "no call".to_owned() } else { names(&calls) };
        section.text(format!("{} ({cited})", sentence(&finding.text)));
    }
    let mut stubbed = Vec::new();
    for capability in &report.capabilities {
        let what = format!("{} (`{}`)", sentence(&capability.need), capability.tool);
        match capability.status {
            CapabilityStatus::Resolved | CapabilityStatus::Skipped => {}
            CapabilityStatus::Warning => section.text(format!("There, with something to know: {what}")),
            CapabilityStatus::Stubbed => stubbed.push(capability.tool.as_str()),
            CapabilityStatus::Blocked => section.warn(format!("blocked: {what}")),
        }
    }
    if !stubbed.is_empty() {
        section.warn(format!("stubbed, so it does not do the real thing: {}", names(&stubbed)));
    }
    for drift in &report.drift {
        section.warn(format!("`{}` is not as it was left ({})", word(&drift.node), drift.call));
        section.lines.extend(diff(Some(&drift.recorded), Some(&drift.now)));
    }
    let missed: Vec<_> = state.uncompared().collect();
    for (node, id, call) in missed.iter().take(MOST_MISSED) {
        let refused = call.refused.as_ref().map(|(_, why)| why);
        let why = refused.or(call.message.as_ref()).map_or_else(|| "it gave no answer".into(), |why| sentence(why));
        section.warn(format!("`{}` could not be compared with what was left there ({id}): {why}", word(node.as_str())));
    }
    if missed.len() > MOST_MISSED {
        section.warn(format!("nor could {} more", missed.len() - MOST_MISSED));
    }
    if !report.reuse.is_empty() {
        section.text(format!("Already there: {}", names(&report.reuse)));
    }
    (!section.lines.is_empty()).then_some(section)
}

/// The calls that a yes lets run. Destructive ones are ticked one by one, so each of them is on the screen.
fn calls(calls: &[OfferedCall], later: &[String], owners: &BTreeMap<NodeId, String>) -> Section {
    let ticked = calls.iter().filter(|call| call.destructive).count();
    let mut section = Section::new(match (calls.len() - ticked, ticked) {
        (0, 0) => "A YES LETS NO CALL TAKE EFFECT BY ITSELF".to_owned(),
        (1, 0) => "A YES LETS THIS CALL TAKE EFFECT, ONCE".to_owned(),
        (n, 0) => format!("A YES LETS THESE {n} CALLS TAKE EFFECT, EACH ONCE"),
        (0, 1) => "A YES LETS THIS CALL TAKE EFFECT, ONCE, IF IT IS TICKED".to_owned(),
        (0, n) => format!("A YES LETS THOSE OF {n} CALLS TAKE EFFECT THAT ARE TICKED, EACH ONCE"),
        (1, n) => format!("A YES LETS 1 CALL TAKE EFFECT, ONCE, AND THOSE OF {n} THAT ARE TICKED"),
        (m, n) => format!("A YES LETS {m} CALLS TAKE EFFECT, EACH ONCE, AND THOSE OF {n} THAT ARE TICKED"),
    });
    for headline in later {
        section.warn(format!("it may let this run too, without another question, once that is decided: {headline}"));
    }
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (node, reason) in owners {
        reasons.entry(reason).or_default().push(node.as_str());
    }
    for (reason, nodes) in reasons {
        section.warn(format!(
            "{} needs the yes of an owner: {}; after a yes in another role it is asked about when it is reached",
            names(&nodes),
            sentence(reason)
        ));
    }
    let (ticked, plain): (Vec<&OfferedCall>, Vec<&OfferedCall>) = calls.iter().partition(|call| call.destructive);
    section.lines.extend(plain.iter().take(MOST_CALLS).map(|call| call.line()));
    if plain.len() > MOST_CALLS {
        let more = plain.len() - MOST_CALLS;
        section.text(format!("and {}, each one of the changes above", count(more, "more call")));
    }
    if !ticked.is_empty() {
        section.warn("what follows removes something or cannot be taken back; tick each call that may run");
        section.lines.extend(ticked.iter().map(|call| call.line()));
    }
    section
}

fn artifact(of: &Design<'_>) -> Section {
    let mut section = Section::default();
    if let Some(filed) = of.view.state.artifacts.get(&ArtifactKind::Design) {
        section.pair("Artifact", format!("solution.design version {}, {}", filed.version, filed.digest.short()));
    }
    section
}

//! The promises, held against random histories. Commands are drawn from what would go on and from what would go wrong;
//! each that is accepted is folded, and a separate bookkeeper that shares nothing with `decide` says whether it may
//! have been. How far the histories came is counted, so that the test cannot pass by going nowhere.

use std::{cell::RefCell, collections::BTreeMap};

use proptest::{
    collection::vec,
    num::u16::ANY,
    test_runner::{Config, TestCaseError, TestRunner},
};

use crate::{
    artifact::{Agent, ArtifactKind, CallId, Digest, OnFailure, Phase, RecordOutcome},
    facts::Role,
    flow::NodeOutcome,
};

use super::{
    About, Answer, Body, CallOutcome, CallVoid, Closed, Command, Gate, GateState, Purpose, RefusedAs, Retried, State,
    decide,
    table_tests::commands,
    testing::{
        Story, allow, answer, ask, autonomous, digest, file, finish, intent, node, proved, refuse, ruled, settle,
    },
};

/// Random numbers that decide one after another; every choice comes from here, so a failing history shrinks.
struct Dice<'a>(std::slice::Iter<'a, u16>);

impl Dice<'_> {
    fn roll(&mut self, sides: usize) -> usize {
        self.0.next().map_or(0, |roll| usize::from(*roll) % sides)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }
}

/// A command that goes on from here, more often than not.
fn plausible(state: &State, dice: &mut Dice<'_>) -> Command {
    if let Some((call, _)) = state.calls.iter().find(|(_, call)| call.refused.is_none() && call.outcome.is_none()) {
        let outcomes =
            [CallOutcome::Ok, CallOutcome::Ok, CallOutcome::Unknown, CallOutcome::Error, CallOutcome::NotSent];
        return finish(call, dice.pick(&outcomes));
    }
    if let Some(asked) = &state.asked {
        if asked.stage == 3 && dice.roll(2) == 0 {
            return ruled(state);
        }
        let given = match &asked.about {
            About::Failure { .. } => Answer::Choose(dice.pick(&[OnFailure::Continue, OnFailure::UndoAll])),
            About::Unknown { .. } => Answer::Applied(dice.roll(2) == 0),
            _ if dice.roll(6) == 0 => Answer::Reject,
            _ => Answer::Approve,
        };
        let mut command = answer(state, given, &[dice.pick(&[Role::Approver, Role::Approver, Role::Owner])]);
        if let (Command::Answer { calls, .. }, About::Gate2) = (&mut command, &asked.about) {
            let approved =
                |id| intent(state, Agent::Build, Purpose::Act { node: node(id), attempt: 1, r#try: 1 }).digest;
            calls.extend([approved("a"), approved("b")]);
        }
        return command;
    }
    let enter = |phase| Command::Enter { phase, reason: None };
    match state.phase {
        Phase::Requirements => match (&state.gate1, state.artifact(ArtifactKind::Spec)) {
            (_, None) | (GateState::Rejected { .. }, _) => file(state, ArtifactKind::Spec),
            (GateState::Closed, _) if dice.roll(3) == 0 => autonomous(ask(About::Gate1)),
            (GateState::Closed, _) if state.proved_of_spec().is_none() && dice.roll(3) == 0 => {
                Command::Prove(proved(state))
            }
            (GateState::Closed, _) => ask(About::Gate1),
            (GateState::Open { .. }, _) => enter(Phase::Feasibility),
        },
        Phase::Feasibility if state.artifact(ArtifactKind::Discovery).is_none() => {
            let read = Purpose::Discover { read: "vlans".parse().unwrap(), item: None };
            match dice.roll(3) {
                0 => allow(state, Agent::Design, read),
                _ => file(state, ArtifactKind::Discovery),
            }
        }
        Phase::Feasibility => enter(Phase::Design),
        Phase::Design => match (&state.gate2, state.artifact(ArtifactKind::Design)) {
            _ if dice.roll(30) == 0 => file(state, ArtifactKind::Spec),
            (_, None) | (GateState::Rejected { .. }, _) => file(state, ArtifactKind::Design),
            (GateState::Closed, _) if dice.roll(3) == 0 => autonomous(ask(About::Gate2)),
            (GateState::Closed, _) => ask(About::Gate2),
            (GateState::Open { .. }, _) => enter(Phase::Build),
        },
        Phase::Build if state.artifact(ArtifactKind::Flow).is_none() => file(state, ArtifactKind::Flow),
        Phase::Build => building(state, dice),
        Phase::AsBuilt if state.closed.is_some() => retry(state, dice),
        Phase::AsBuilt if state.artifact(ArtifactKind::Record).is_none() => match dice.roll(4) {
            0 => allow(state, Agent::Verifier, Purpose::CheckAfter { check: "A1".into(), item: 0 }),
            _ => file(state, ArtifactKind::Record),
        },
        Phase::AsBuilt => Command::Close(Closed { outcome: RecordOutcome::Done, reason: "because".into() }),
    }
}

/// Anything that a step may do, for one of three steps.
fn building(state: &State, dice: &mut Dice<'_>) -> Command {
    let id = dice.pick(&["a", "b", "c"]);
    let (n, attempt) = (node(id), state.attempt(&node(id)));
    let act = Purpose::Act { node: n.clone(), attempt, r#try: 1 };
    let undo = Purpose::Undo { node: n.clone() };
    let read_back = Purpose::ReadBack { node: n.clone(), attempt };
    let mut intended = intent(state, Agent::Build, act.clone());
    intended.approved = dice.roll(2) == 0;
    let served = |purpose: &Purpose| state.call_for(purpose).map(|(id, _)| id.clone());
    let known = state.nodes.get(&n);
    let unknown = state.call_for(&act).is_some_and(|(_, call)| call.outcome == Some(CallOutcome::Unknown));
    let calls: Vec<CallId> = state.calls.keys().cloned().collect();
    match (known, served(&act), dice.roll(12)) {
        // Any call called void on the word of any other, or any outcome written late.
        (_, _, 10) if !calls.is_empty() => {
            let (call, shown_by) = (dice.pick(&calls), dice.pick(&calls));
            Command::Void(CallVoid { call, node: n, attempt: attempt + 1, shown_by })
        }
        (_, _, 11) if !calls.is_empty() => {
            finish(&dice.pick(&calls), dice.pick(&[CallOutcome::Ok, CallOutcome::NotSent]))
        }
        (_, _, 0) => Command::Enter { phase: Phase::AsBuilt, reason: None },
        (_, _, 1) => retry(state, dice),
        (None, _, 2) => settle(state, id, NodeOutcome::NotRun, false),
        (None, None, 3) => refuse(state, Agent::Build, act, RefusedAs::NeedsApproval(Role::Approver)),
        (None, _, 4) => ask(About::Call { node: n, call: intended.digest }),
        (None, None, _) => Command::Allow(Box::new(intended)),
        (None, Some(_), 5) => Command::Allow(Box::new(intended)),
        (None, Some(_), 6) if unknown => ask(About::Unknown { node: n, undo: false }),
        (None, Some(call), roll) if unknown && roll < 9 => match served(&read_back) {
            Some(shown_by) => Command::Void(CallVoid { call, node: n, attempt: attempt + 1, shown_by }),
            None => allow(state, Agent::Verifier, read_back),
        },
        (None, Some(_), _) => {
            let outcome = dice.pick(&[NodeOutcome::Done, NodeOutcome::Failed, NodeOutcome::Unknown]);
            settle(state, id, outcome, outcome != NodeOutcome::Failed || dice.roll(2) == 0)
        }
        (Some(_), _, 2..=4) => allow(state, Agent::Build, undo),
        (Some(_), _, 5) => settle(state, id, NodeOutcome::Undone, false),
        (Some(_), _, 6) => ask(About::Failure { node: n }),
        (Some(_), _, _) => Command::Allow(Box::new(intended)),
    }
}

/// Tries again what may be, or something else; sometimes with an approval for one more use.
fn retry(state: &State, dice: &mut Dice<'_>) -> Command {
    let id = dice.pick(&["a", "b", "c"]);
    let n = node(id);
    let more = u32::from(state.nodes.get(&n).is_none_or(|settled| settled.outcome != NodeOutcome::NotRun));
    let nodes = BTreeMap::from([(id.to_owned(), state.attempt(&n) + more)]);
    let act = Purpose::Act { node: n, attempt: 1, r#try: 1 };
    let calls = if dice.roll(2) == 0 { vec![intent(state, Agent::Build, act).digest] } else { Vec::new() };
    Command::Retry { retried: Retried { nodes, calls }, roles: [Role::Approver].into() }
}

/// Keeps its own account of who approved what, and of what was used.
#[derive(Default)]
struct Bookkeeper {
    spec: Option<Digest>,
    design: Option<Digest>,
    asked: Option<(About, Role)>,
    /// The exact digests that someone in the role said yes to.
    yes: Vec<Digest>,
    given: BTreeMap<Digest, i64>,
    used: BTreeMap<Digest, i64>,
    acts: BTreeMap<String, Vec<CallId>>,
    /// How often a step was let begin again.
    begun: BTreeMap<String, usize>,
    ends: BTreeMap<CallId, CallOutcome>,
    used_by: BTreeMap<CallId, Digest>,
    undone: BTreeMap<String, Vec<CallId>>,
    closed: bool,
    redacted: bool,
    flow: bool,
}

impl Bookkeeper {
    fn gate(&self, artifact: Option<Digest>) -> bool {
        artifact.is_some_and(|digest| self.yes.contains(&digest))
    }

    /// Says what is wrong with an accepted command, if anything is.
    fn enter(&mut self, command: &Command, body: &Body, before: &State, after: &State) -> Result<(), String> {
        let (gate1, gate2) = (self.gate(self.spec), self.gate(self.spec) && self.gate(self.design));
        let must = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{what}: {command:?}")) };
        let after_the_end = matches!(body, Body::Retried(_) | Body::Redacted(_));
        must(!self.closed || after_the_end, "only a retry or a redaction follows the end")?;
        match body {
            Body::Entered { phase, .. } => {
                must(gate1, "a phase begins without gate 1")?;
                must(*phase != Phase::Build || gate2, "the build begins without gate 2")?;
            }
            Body::Filed(filed) => match filed.artifact {
                ArtifactKind::Spec => {
                    self.spec = Some(filed.digest);
                    (self.design, self.asked, self.flow) = (None, None, false);
                    self.given.clear();
                    self.used.clear();
                    nothing_survives(after)?;
                }
                ArtifactKind::Design => {
                    must(gate1, "a design without gate 1")?;
                    self.design = Some(filed.digest);
                    self.asked = None;
                    self.given.clear();
                    self.used.clear();
                }
                ArtifactKind::Flow => {
                    must(gate2 && !self.flow, "a flow without gate 2, or a second one")?;
                    self.flow = true;
                }
                ArtifactKind::Discovery | ArtifactKind::Record => must(gate1, "an artifact without gate 1")?,
            },
            Body::Proved(proved) => {
                must(self.spec == Some(proved.spec), "a proof about another spec")?;
                must(!gate1, "a proof about a spec that is approved already")?;
            }
            Body::Asked(asked) => self.asked = Some((asked.about.clone(), asked.role)),
            Body::Answered(answered) => {
                let Some((about, role)) = self.asked.take() else { return Err("an answer to nothing".into()) };
                must(about == answered.about, "an answer to another question")?;
                match command {
                    Command::Answer { roles, .. } => {
                        must(roles.iter().any(|has| *has >= role), "an answer by someone who may not")?;
                    }
                    Command::Rule { .. } => {
                        let stage = before.asked.as_ref().map_or(0, |asked| asked.stage);
                        must(stage == 3, "an answer by policy below stage 3")?;
                        let may = matches!(about, About::Gate1 | About::Gate2 | About::Deviation { .. });
                        must(may && answered.calls.is_empty(), "an answer by policy that a person must give")?;
                    }
                    _ => return Err("an answer that nobody gave".into()),
                }
                if answered.answer == Answer::Approve {
                    match &about {
                        About::Gate1 => self.yes.extend(self.spec),
                        About::Gate2 => self.yes.extend(self.design),
                        About::Call { call, .. } => *self.given.entry(*call).or_default() += 1,
                        _ => {}
                    }
                    for call in &answered.calls {
                        *self.given.entry(*call).or_default() += 1;
                    }
                }
            }
            Body::Allowed(allowed) => {
                must(gate1 && before.gate_open(Gate::One), "a call before gate 1")?;
                must(before.phase != Phase::Requirements, "a call in the requirements phase")?;
                must(allowed.agent != Agent::Requirements, "a call of the requirements agent")?;
                must(allowed.agent != Agent::Build || gate2, "a call of the build agent before gate 2")?;
                if allowed.approved {
                    *self.used.entry(allowed.digest).or_default() += 1;
                    self.used_by.insert(allowed.call.clone(), allowed.digest);
                }
                // A read that was never answered may be made again; what a step changes is changed once.
                let read = allowed.counts.is_none() && matches!(allowed.purpose, Purpose::Act { .. });
                let acted = allowed.purpose.node().is_some_and(|node| self.acts.contains_key(node.as_str()));
                if acted || !read {
                    self.effect(&allowed.purpose, &allowed.call).map_err(|what| format!("{what}: {command:?}"))?;
                }
            }
            Body::Finished(finished) => {
                let known = self.ends.insert(finished.call.clone(), finished.outcome);
                must(matches!(known, None | Some(CallOutcome::Unknown)), "a second outcome")?;
                must(known.is_none() || finished.outcome != CallOutcome::NotSent, "sent, and then not sent")?;
                if finished.outcome == CallOutcome::NotSent
                    && let Some(call) = self.used_by.remove(&finished.call)
                    && let Some(used) = self.used.get_mut(&call)
                {
                    *used -= 1;
                }
            }
            Body::Void(void) => {
                *self.begun.entry(void.node.to_string()).or_default() += 1;
                if let Some(call) = self.used_by.remove(&void.call) {
                    *self.used.entry(call).or_default() -= 1;
                }
            }
            Body::Redacted(redacted) => {
                must(self.closed, "a redaction before the end")?;
                must(redacted.destroyed.iter().all(|digest| before.seals(digest)), "something else is destroyed")?;
                self.redacted = true;
            }
            Body::Retried(retried) => {
                must(!self.redacted, "tried again after it was redacted")?;
                self.closed = false;
                for node in retried.nodes.keys() {
                    *self.begun.entry(node.clone()).or_default() += 1;
                    self.undone.remove(node);
                }
                for call in &retried.calls {
                    *self.given.entry(*call).or_default() += 1;
                }
            }
            Body::TrustSet(_) => return Err("trust set in an engagement".into()),
            Body::Closed(_) => {
                self.closed = true;
                must(after.calls.values().all(|call| call.refused.is_some() || call.outcome.is_some()), "a lost call")?;
            }
            Body::Turned(_)
            | Body::Inquired(_)
            | Body::Said(_)
            | Body::Returned(_)
            | Body::HolesFilled(_)
            | Body::Considered(_) => {
                return Err("a turn where no model drafts".into());
            }
            Body::Refused(_) | Body::Settled(_) | Body::Deviated(_) | Body::Cancelled { .. } | Body::Requested(_) => {}
        }
        if after.asked.is_none() {
            self.asked = None;
        }
        let overused = self.used.iter().find(|(call, used)| **used > self.given.get(*call).copied().unwrap_or(0));
        must(overused.is_none(), "an approval is used more often than it was given")?;
        must(after.phase < Phase::Design || self.gate(self.spec), "past feasibility without gate 1")?;
        must(after.phase != Phase::Build || gate2, "in the build without gate 2")
    }

    /// A step acts once, and once more each time that it was let begin again or was not sent; an undo likewise.
    fn effect(&mut self, purpose: &Purpose, call: &CallId) -> Result<(), String> {
        let (calls, more) = match purpose {
            Purpose::Act { node, .. } => {
                if !self.flow {
                    return Err("a step without a flow".into());
                }
                let more = self.begun.get(node.as_str()).copied().unwrap_or(0);
                (self.acts.entry(node.to_string()).or_default(), more)
            }
            Purpose::Undo { node } => (self.undone.entry(node.to_string()).or_default(), 0),
            _ => return Ok(()),
        };
        calls.push(call.clone());
        let sent = calls.iter().filter(|call| self.ends.get(*call) != Some(&CallOutcome::NotSent)).count();
        if sent <= 1 + more { Ok(()) } else { Err("the same effect twice".into()) }
    }
}

/// After a new version of the spec there is that spec and nothing else.
fn nothing_survives(state: &State) -> Result<(), String> {
    let gone = state.artifacts.len() == 1
        && (&state.gate1, &state.gate2) == (&GateState::Closed, &GateState::Closed)
        && state.approved_calls.is_empty()
        && state.approved_roles.is_empty()
        && state.rejected_calls.is_empty()
        && state.nodes.is_empty()
        && state.applied.is_empty()
        && state.taken_back.is_empty()
        && state.attempts.is_empty()
        && state.served.is_empty()
        && state.asked.is_none()
        && state.phase == Phase::Requirements;
    if gone { Ok(()) } else { Err(format!("something outlives its spec: {state:?}")) }
}

/// Whoever looks only among the steps that may have acted misses none that has.
fn all_that_act_are_known(state: &State) -> Result<(), String> {
    let open = |purpose: &Purpose, call: &CallId| match purpose {
        Purpose::Act { node, attempt, .. } => {
            let ran = state.calls.get(call).is_some_and(|call| call.refused.is_none());
            (ran && *attempt == state.attempt(node) && !state.nodes.contains_key(node)).then(|| node.clone())
        }
        _ => None,
    };
    let missed = state.served.iter().filter_map(|(purpose, call)| open(purpose, call));
    match missed.into_iter().find(|node| !state.acting.contains(node)) {
        Some(node) => Err(format!("`{node}` has acted and is not among those that may have: {state:?}")),
        None => Ok(()),
    }
}

/// How far the histories came.
#[derive(Debug, Default)]
struct Reached {
    histories: u32,
    accepted: u32,
    refused: u32,
    phases: BTreeMap<&'static str, u32>,
    kinds: BTreeMap<&'static str, u32>,
}

/// A restart folds the events into what there is now.
fn replays(story: &Story) -> Result<(), TestCaseError> {
    let again = State::replay(&story.events);
    if again.as_ref() == Some(&story.state) {
        // As a snapshot holds it.
        let written = serde_json::to_vec(&story.state).unwrap();
        let read: State = serde_json::from_slice(&written).unwrap();
        if read == story.state { Ok(()) } else { Err(TestCaseError::fail(format!("read back: {read:?}"))) }
    } else {
        Err(TestCaseError::fail(format!("folded again: {again:?}\nbut was: {:?}", story.state)))
    }
}

fn history(rolls: &[u16], reached: &RefCell<Reached>) -> Result<(), TestCaseError> {
    let mut dice = Dice(rolls.iter());
    let mut story = Story::begin(digest("request"));
    let mut keeper = Bookkeeper::default();
    let mut phases = vec![story.state.phase.as_str()];
    let mut seen = reached.borrow_mut();
    while !dice.0.as_slice().is_empty() {
        let command = if dice.roll(8) < 6 {
            plausible(&story.state, &mut dice)
        } else {
            let mut rows = commands(&story.state);
            let (_, command) = rows.swap_remove(dice.roll(rows.len()));
            // A cancellation ends most of what could go wrong: few are enough.
            let cancels = matches!(command, Command::Cancel { .. });
            if cancels && dice.roll(2) > 0 { continue } else { command }
        };
        let Ok(body) = decide(&story.state, command.clone()) else {
            seen.refused += 1;
            continue;
        };
        let before = story.state.clone();
        story.tell(body.clone());
        seen.accepted += 1;
        *seen.kinds.entry(body.kind()).or_default() += 1;
        phases.push(story.state.phase.as_str());
        all_that_act_are_known(&story.state).map_err(TestCaseError::fail)?;
        keeper.enter(&command, &body, &before, &story.state).map_err(TestCaseError::fail)?;
        if story.events.len().is_multiple_of(16) {
            replays(&story)?;
        }
    }
    replays(&story)?;
    seen.histories += 1;
    phases.sort_unstable();
    phases.dedup();
    for phase in phases {
        *seen.phases.entry(phase).or_default() += 1;
    }
    Ok(())
}

#[test]
fn no_history_breaks_a_promise() {
    let reached = RefCell::new(Reached::default());
    let config = Config { cases: 300, failure_persistence: None, max_shrink_iters: 4_000, ..Config::default() };
    let outcome = TestRunner::new(config).run(&vec(ANY, 60..400), |rolls| history(&rolls, &reached));
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let reached = reached.into_inner();
    let percent = |phase: Phase| reached.phases.get(phase.as_str()).copied().unwrap_or(0) * 100 / reached.histories;
    assert!(percent(Phase::Build) >= 30 && percent(Phase::AsBuilt) >= 15, "{reached:?}");
    assert!(reached.accepted > 5_000 && reached.refused > 3_000, "{reached:?}");
    for kind in
        ["spec.proved", "call.void", "steps.retried", "engagement.closed", "approval.answered", "engagement.cancelled"]
    {
        // How often is chance; the rare ones come about ten times.
        assert!(reached.kinds.contains_key(kind), "{kind}: {reached:?}");
    }
}

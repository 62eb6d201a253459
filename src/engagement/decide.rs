//! What may be written to an engagement's chain. Every event passes here; a state in which a promise would be
//! broken cannot be reached, whoever asks.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    artifact::{Agent, ArtifactKind, Digest, OnFailure, Phase, RecordOutcome},
    facts::{AUTONOMOUS, IdentityMeans, Role},
};

use super::{
    calls,
    command::Command,
    considered, drafting,
    event::{Actor, ArtifactFiled, Body, Closed, RefusedAs, SpecProved},
    filling,
    purpose::Purpose,
    question::{About, Answer, Answered, Asked, PolicyAnswer},
    redact::redaction,
    refusal::Refusal,
    state::{Gate, GateState, State},
    statement::{ApprovalStatement, RedactionStatement, Signed},
};

/// What [`decide`] says to a command of `actor`. What only a person
/// or only the program may do is refused to everyone else.
pub fn decide_for(state: &State, actor: &Actor, command: Command) -> Result<Body, Refusal> {
    let persons = matches!(
        command,
        Command::Answer { .. }
            | Command::Cancel { .. }
            | Command::Retry { .. }
            | Command::Say { .. }
            | Command::Redact { .. }
    );
    if persons && !matches!(actor, Actor::Person(_)) {
        return Err(Refusal::NotAPerson(actor.to_string()));
    }
    if matches!(command, Command::Rule { .. }) != (*actor == Actor::Policy) {
        return Err(Refusal::NotThePolicy(actor.to_string()));
    }
    let agents = match &command {
        Command::Turn(turned) => Some(turned.agent),
        Command::Inquire(asked) => Some(asked.agent),
        Command::Fill(_) => Some(Agent::Build),
        Command::Consider(considered) => considered.turn.map(|_| Agent::Build),
        _ => None,
    };
    if agents.is_some_and(|agent| *actor != Actor::Agent(agent)) {
        return Err(Refusal::NotTheAgent(actor.to_string()));
    }
    // What an agent files, a model has said; nobody files in its name what it never said.
    if let (Command::File { artifact, made_from, .. }, Actor::Agent(_)) = (&command, actor)
        && state.requested.model
        && !filling::given(state, *artifact, made_from)
    {
        return Err(Refusal::NotMadeFrom(format!("no turn of the agent gave this {artifact}")));
    }
    if matches!(command, Command::Ask(_)) && *actor != Actor::Program {
        return Err(Refusal::NotTheProgram(actor.to_string()));
    }
    if let (Command::Retry { retried, .. }, Actor::Person(identity)) = (&command, actor)
        && !retried.calls.is_empty()
        && state.barred.contains(&identity.name)
    {
        return Err(Refusal::SameHands(identity.name.clone()));
    }
    if let Command::Retry { retried, .. } = &command {
        let signed = |call: &Digest| state.signed || state.agreed_signed(call, state.last_at);
        if retried.calls.iter().any(signed) {
            return Err(Refusal::NeedsSignature);
        }
    }
    if let (Command::Answer { answer: Answer::Approve, .. }, Actor::Person(identity), Some(asked)) =
        (&command, actor, &state.asked)
        && asked.barred.contains(&identity.name)
    {
        return Err(Refusal::SameHands(identity.name.clone()));
    }
    let signs = match &command {
        Command::Answer { signed, .. } => Some(signed.as_ref().map(|signed| {
            let ApprovalStatement { person, os_user, .. } = &signed.statement;
            (person.as_str(), os_user.as_deref())
        })),
        Command::Redact { signed, .. } => Some(signed.as_ref().map(|signed| {
            let RedactionStatement { person, os_user, .. } = &signed.statement;
            (person.as_str(), os_user.as_deref())
        })),
        _ => None,
    };
    if let (Some(signs), Actor::Person(identity)) = (signs, actor) {
        let means = if signs.is_some() { IdentityMeans::Signed } else { IdentityMeans::Asserted };
        let another = |(person, os_user)| person != identity.name || os_user != Some(identity.os_user.as_str());
        if signs.is_some_and(another) || identity.means != means {
            return Err(Refusal::Signature(format!("it is not {}'s", identity.name)));
        }
    }
    let unsaid = matches!(&command, Command::Consider(considered) if considered.turn.is_none());
    if (unsaid || matches!(command, Command::Prove(_) | Command::GiveBack(_))) && *actor != Actor::Program {
        return Err(Refusal::NotTheProgram(actor.to_string()));
    }
    decide(state, command)
}

/// Whether a reason has a word in it: `…` in what is to be typed next stands for one.
fn says_something(reason: &str) -> bool {
    reason.chars().any(char::is_alphanumeric)
}

/// The events that a command gives, or why it is refused. The same command in the same state gives the same answer.
pub fn decide(state: &State, command: Command) -> Result<Body, Refusal> {
    if state.closed.is_some() && !matches!(command, Command::Retry { .. } | Command::Redact { .. }) {
        return Err(Refusal::Over(state.id.to_string()));
    }
    if let (Some(reason), true) = (&state.cancelled, starts_something(state, &command)) {
        return Err(Refusal::Cancelled(reason.clone()));
    }
    match command {
        Command::Enter { phase, reason } => enter(state, phase, reason),
        Command::File { artifact, digest, made_from } => file(state, artifact, digest, made_from),
        Command::Turn(turned) => drafting::turn(state, turned),
        Command::Inquire(asked) => drafting::inquire(state, asked),
        Command::Say { said, roles } => drafting::say(state, said, &roles),
        Command::GiveBack(returned) => drafting::give_back(state, returned),
        Command::Fill(filled) => filling::fill(state, filled),
        Command::Consider(considered) => considered::consider(state, considered),
        Command::Prove(proved) => prove(state, proved),
        Command::Ask(asked) => ask(state, asked),
        Command::Answer { about, request, answer, roles, reason, calls, expires, signed } => {
            let (role, policy, signature) = (Role::Requester, None, None);
            let answered = Answered { about, request, answer, role, reason, calls, expires, policy, signature };
            sign(state, answer_question(state, answered, &roles)?, signed.as_deref())
        }
        Command::Rule { about, request, policy, expires } => rule(state, about, request, policy, expires),
        Command::Allow(allowed) => calls::allow(state, allowed),
        Command::Refuse(refused) => {
            if refused.call == state.next_call() {
                Ok(Body::Refused(refused))
            } else {
                Err(Refusal::Call(format!("{} is not the next call's id", refused.call)))
            }
        }
        Command::Finish(finished) => calls::finish(state, finished),
        Command::Void(void) => calls::void(state, void),
        Command::Settle(settled) => calls::settle(state, settled),
        Command::Deviate(found) => {
            in_phase(state, "a deviation", &[Phase::Build])?;
            filling::wanted(state, &found)?;
            if !state.rests_on_its_reading(&found) {
                return Err(Refusal::Call(format!("no reading shows the deviation at step {}", found.node)));
            }
            Ok(Body::Deviated(found))
        }
        Command::Retry { retried, roles } => calls::retry(state, retried, &roles),
        Command::Cancel { reason, roles } => {
            if !says_something(&reason) {
                return Err(Refusal::NoReason);
            }
            if roles.is_empty() {
                return Err(Refusal::NotInRole(Role::Requester));
            }
            Ok(Body::Cancelled { reason })
        }
        Command::Redact { calls, answers, by, signed } => {
            let redacted = redaction(state, &calls, &answers, by)?;
            Ok(Body::Redacted(RedactionStatement::sign(state, redacted, signed.as_deref())?))
        }
        Command::Close(closed) => close(state, closed),
    }
}

/// Whether a command would begin something new, which a cancelled engagement may not.
pub(super) fn starts_something(state: &State, command: &Command) -> bool {
    match command {
        Command::Allow(allowed) => !goes_on(&allowed.purpose),
        Command::Enter { phase, .. } => *phase != Phase::AsBuilt,
        Command::File { artifact, .. } => *artifact != ArtifactKind::Record,
        // Other questions are about what was begun, or about a step that runs whatever happened.
        // A gate is asked anew so that what was done can be taken back.
        Command::Ask(Asked { about, void, .. }) => matches!(about, About::Gate1 | About::Gate2) && void.is_empty(),
        Command::Answer { about, .. } | Command::Rule { about, .. } => {
            matches!(about, About::Gate1 | About::Gate2) && state.asked_anew().is_none()
        }
        Command::Cancel { .. }
        | Command::Retry { .. }
        | Command::Prove(_)
        | Command::Inquire(_)
        | Command::Say { .. }
        | Command::GiveBack(_)
        | Command::Fill(_)
        | Command::Consider(_) => true,
        // What was asked in vain was asked, and counts.
        Command::Turn(turned) => turned.error.is_none(),
        Command::Refuse(_)
        | Command::Finish(_)
        | Command::Void(_)
        | Command::Settle(_)
        | Command::Deviate(_)
        | Command::Redact { .. }
        | Command::Close(_) => false,
    }
}

/// Calls that go on after a cancellation: what looks or takes back, and the steps that run whatever happened.
fn goes_on(purpose: &Purpose) -> bool {
    purpose.recovers() || matches!(purpose, Purpose::Act { .. } | Purpose::Recheck { .. })
}

pub(super) fn need(open: bool, gate: &'static str) -> Result<(), Refusal> {
    if open { Ok(()) } else { Err(Refusal::GateClosed(gate)) }
}

pub(super) fn in_phase(state: &State, what: &str, phases: &[Phase]) -> Result<(), Refusal> {
    if phases.contains(&state.phase) {
        Ok(())
    } else {
        Err(Refusal::OutOfOrder { what: what.to_owned(), phase: state.phase })
    }
}

fn enter(state: &State, phase: Phase, reason: Option<String>) -> Result<Body, Refusal> {
    let out_of_order = || Refusal::OutOfOrder { what: format!("entering the {phase} phase"), phase: state.phase };
    match (state.phase, phase) {
        (Phase::Requirements, Phase::Feasibility) => need(state.gate_open(Gate::One), "gate 1")?,
        (Phase::Feasibility, Phase::Design) => {
            need(state.gate_open(Gate::One), "gate 1")?;
            if state.artifact(ArtifactKind::Discovery).is_none() {
                return Err(out_of_order());
            }
        }
        (Phase::Design, Phase::Build) => {
            need(state.gate_open(Gate::One), "gate 1")?;
            need(state.gate_open(Gate::Two), "gate 2")?;
        }
        // Leaving out design or build must be explained, and follow from what was found.
        (Phase::Feasibility | Phase::Design, Phase::AsBuilt) => {
            if reason.is_none() || state.artifact(ArtifactKind::Discovery).is_none() {
                return Err(out_of_order());
            }
        }
        (Phase::Build, Phase::AsBuilt) => {
            if reason.is_none() && state.artifact(ArtifactKind::Flow).is_none() {
                return Err(out_of_order());
            }
            calls::all_settled(state)?;
        }
        _ => return Err(out_of_order()),
    }
    if phase == Phase::AsBuilt {
        calls::none_under_way(state)?;
    }
    Ok(Body::Entered { phase, reason })
}

fn file(state: &State, artifact: ArtifactKind, digest: Digest, made_from: Vec<Digest>) -> Result<Body, Refusal> {
    let what = format!("filing {artifact}");
    let from = |kind: ArtifactKind| {
        state.artifact(kind).filter(|digest| made_from.contains(digest)).map(|_| ()).ok_or_else(|| {
            Refusal::NotMadeFrom(format!("{artifact} does not name the current {kind} as what it was made from"))
        })
    };
    match artifact {
        ArtifactKind::Spec => {
            in_phase(state, &what, &[Phase::Requirements, Phase::Feasibility, Phase::Design])?;
            if !made_from.contains(&state.requested.request) {
                return Err(Refusal::NotMadeFrom("spec.yaml does not name the request that it was made from".into()));
            }
        }
        ArtifactKind::Discovery => {
            in_phase(state, &what, &[Phase::Feasibility])?;
            need(state.gate_open(Gate::One), "gate 1")?;
            from(ArtifactKind::Spec)?;
        }
        ArtifactKind::Design => {
            // A design that was approved may be filed again before it is built: that closes gate 2.
            in_phase(state, &what, &[Phase::Design])?;
            need(state.gate_open(Gate::One), "gate 1")?;
            from(ArtifactKind::Spec)?;
            from(ArtifactKind::Discovery)?;
        }
        ArtifactKind::Flow => {
            in_phase(state, &what, &[Phase::Build])?;
            need(state.gate_open(Gate::Two), "gate 2")?;
            from(ArtifactKind::Design)?;
            // One design gives one flow; what ran is compared with it.
            if state.artifact(ArtifactKind::Flow).is_some() {
                return Err(Refusal::OutOfOrder { what: "filing another flow".into(), phase: state.phase });
            }
        }
        ArtifactKind::Record => {
            in_phase(state, &what, &[Phase::AsBuilt])?;
            calls::none_under_way(state)?;
            from(ArtifactKind::Spec)?;
        }
    }
    let version = state.versions.get(&artifact).copied().unwrap_or(0) + 1;
    Ok(Body::Filed(ArtifactFiled { artifact, version, digest, made_from }))
}

/// A proof is for the gate that the spec has still to pass.
fn prove(state: &State, proved: SpecProved) -> Result<Body, Refusal> {
    in_phase(state, "a proof about the spec", &[Phase::Requirements])?;
    if state.artifact(ArtifactKind::Spec) != Some(proved.spec) {
        return Err(Refusal::NotMadeFrom("the proof is not about the current spec.yaml".into()));
    }
    if state.gate1 != GateState::Closed {
        return Err(Refusal::OutOfOrder { what: "a proof about an answered spec".into(), phase: state.phase });
    }
    Ok(Body::Proved(proved))
}

fn ask(state: &State, asked: Asked) -> Result<Body, Refusal> {
    let what = format!("asking about {}", asked.about);
    let gate = |phase: Phase, artifact: ArtifactKind, gate: &GateState| {
        in_phase(state, &what, &[phase])?;
        // A version is asked about until it is answered; after a no, only another version is.
        if state.artifact(artifact).is_some() && *gate == GateState::Closed {
            Ok(())
        } else {
            Err(Refusal::OutOfOrder { what: what.clone(), phase: state.phase })
        }
    };
    if let (Some(before), Some(once)) = (&state.asked_in, &asked.once)
        && *before != once.ledger
    {
        return Err(Refusal::Elsewhere { now: once.ledger.to_string(), before: before.to_string() });
    }
    if !asked.void.is_empty() {
        ask_anew(state, &asked, &what)?;
        return Ok(Body::Asked(asked));
    }
    match &asked.about {
        About::Gate1 => gate(Phase::Requirements, ArtifactKind::Spec, &state.gate1)?,
        About::Gate2 => gate(Phase::Design, ArtifactKind::Design, &state.gate2)?,
        about => {
            in_phase(state, &what, &[Phase::Build])?;
            if !there_is(state, about) {
                return Err(Refusal::Call(format!("there is nothing to ask about {about}")));
            }
        }
    }
    Ok(Body::Asked(asked))
}

/// A gate is asked anew while it is open for what is current, so that everything else stays as it is.
fn ask_anew(state: &State, asked: &Asked, what: &str) -> Result<(), Refusal> {
    let (gate, phases): (_, &[Phase]) = match asked.about {
        About::Gate1 => (Gate::One, &[Phase::Feasibility, Phase::Design, Phase::Build]),
        About::Gate2 => (Gate::Two, &[Phase::Design, Phase::Build]),
        _ => return Err(Refusal::Call(format!("only gates are asked anew, not {}", asked.about))),
    };
    in_phase(state, what, phases)?;
    need(state.gate_open(gate), gate.name())
}

/// Whether what a question is about has happened and is open: an answer given ahead would decide what nobody saw.
fn there_is(state: &State, about: &About) -> bool {
    match about {
        About::Gate1 | About::Gate2 => true,
        About::Call { node, call } => state.calls.values().any(|known| {
            let waits = matches!(known.refused, Some((RefusedAs::NeedsApproval(_), _)));
            let rejected = state.rejected_calls.contains_key(call);
            waits && !rejected && known.digest == Some(*call) && known.purpose.node() == Some(node)
        }),
        About::Deviation { node } => state
            .deviation_at(node)
            .is_some_and(|deviation| deviation.accepted_by.is_none() && deviation.rejected.is_none()),
        About::Failure { node } => {
            state.nodes.get(node).is_some_and(|settled| settled.failed && settled.chosen.is_none())
        }
        About::Unknown { node, undo } => state.in_question(node, *undo).is_some(),
    }
}

pub(super) fn answer_question(
    state: &State,
    mut answered: Answered,
    roles: &BTreeSet<Role>,
) -> Result<Answered, Refusal> {
    let Some(asked) = &state.asked else { return Err(Refusal::NothingAsked(state.id.to_string())) };
    if asked.about != answered.about || asked.request != answered.request {
        return Err(Refusal::OtherQuestion { now: asked.about.to_string(), id: state.id.to_string() });
    }
    answered.role =
        roles.iter().copied().filter(|role| *role >= asked.role).max().ok_or(Refusal::NotInRole(asked.role))?;
    let fits = match (&answered.about, &answered.answer) {
        (
            About::Gate1 | About::Gate2 | About::Call { .. } | About::Deviation { .. },
            Answer::Approve | Answer::Reject,
        ) => Ok(()),
        (About::Failure { .. }, Answer::Choose(OnFailure::Ask)) => Err("asking is what led here; choose what happens"),
        (About::Failure { .. }, Answer::Choose(_)) | (About::Unknown { .. }, Answer::Applied(_)) => Ok(()),
        (About::Failure { .. }, _) => Err("choose what the failure means: stop, continue, undo_target or undo_all"),
        (About::Unknown { .. }, _) => Err("say whether the call took effect: applied or not-applied"),
        _ => Err("approve or reject"),
    };
    fits.map_err(Refusal::WrongAnswer)?;
    let explained = answered.reason.as_ref().is_some_and(|reason| says_something(reason));
    // A no is worked from, and a deviation that was accepted must be explained to whoever asks later.
    let accepts = matches!(answered.about, About::Deviation { .. }) && answered.answer == Answer::Approve;
    if (answered.answer == Answer::Reject || accepts) && !explained {
        return Err(Refusal::NoReason);
    }
    if answered.about != About::Gate2 && !answered.calls.is_empty() {
        return Err(Refusal::WrongAnswer("only gate 2 approves calls together"));
    }
    Ok(answered)
}

/// Puts the signature to an answer that would be taken otherwise. A signature over anything else than this answer, or
/// after an event that is later than it, is none.
fn sign(state: &State, answered: Answered, signed: Option<&Signed<ApprovalStatement>>) -> Result<Body, Refusal> {
    let Some(signed) = signed else {
        let needed = state.asked.as_ref().is_some_and(Asked::needs_signature) && answered.answer != Answer::Reject;
        return if needed { Err(Refusal::NeedsSignature) } else { Ok(Body::Answered(answered)) };
    };
    if let Some(differs) = signed.statement.differs(state, &answered, None) {
        return Err(Refusal::Signature(differs));
    }
    if signed.at < state.last_at {
        return Err(Refusal::Signature("it is older than the last event".into()));
    }
    let signature = Some(signed.check().map_err(Refusal::Signature)?);
    Ok(Body::Answered(Answered { signature, ..answered }))
}

fn rule(
    state: &State,
    about: About,
    request: Digest,
    policy: PolicyAnswer,
    expires: Option<Timestamp>,
) -> Result<Body, Refusal> {
    let Some(asked) = &state.asked else { return Err(Refusal::NothingAsked(state.id.to_string())) };
    if asked.about != about || asked.request != request {
        return Err(Refusal::OtherQuestion { now: asked.about.to_string(), id: state.id.to_string() });
    }
    if asked.stage < AUTONOMOUS {
        return Err(Refusal::WrongAnswer("below trust stage 3 a person answers"));
    }
    if !matches!(about, About::Gate1 | About::Gate2 | About::Deviation { .. }) {
        return Err(Refusal::WrongAnswer("the policy answers gates and deviations; a person answers this"));
    }
    let kind = if about == About::Gate1 { ArtifactKind::Spec } else { ArtifactKind::Design };
    let drafted = state.artifacts.get(&kind).is_some_and(|filed| matches!(filed.author, Actor::Agent(_)));
    if !drafted {
        return Err(Refusal::WrongAnswer("a person wrote what is asked about, so a person answers"));
    }
    if !asked.void.is_empty() {
        return Err(Refusal::WrongAnswer(
            "the gate is asked anew because what it rests on changed, so a person answers",
        ));
    }
    if about == About::Gate2 && state.uncompared().next().is_some() {
        return Err(Refusal::WrongAnswer("what it starts from could not be compared everywhere, so a person answers"));
    }
    if let About::Deviation { node } = &about
        && let Some(why) = state.for_people_alone(node)
    {
        return Err(Refusal::WrongAnswer(why));
    }
    if state.rejected_by_a_person(&about) {
        return Err(Refusal::WrongAnswer("a person said no to this before, so a person answers"));
    }
    let reasons: Vec<&str> = policy.rules.iter().map(|spoke| spoke.reason.as_str()).collect();
    if reasons.is_empty() {
        return Err(Refusal::WrongAnswer("no rule of the policy says yes"));
    }
    let deviation = matches!(about, About::Deviation { .. });
    if deviation && expires.is_none() {
        return Err(Refusal::WrongAnswer("what a policy accepts must end, so a person answers"));
    }
    let expires = expires.filter(|_| deviation);
    let (role, reason) = (asked.role, Some(reasons.join("; ")));
    let (answer, calls, policy, signature) = (Answer::Approve, Vec::new(), Some(policy), None);
    Ok(Body::Answered(Answered { about, request, answer, role, reason, calls, expires, policy, signature }))
}

fn close(state: &State, closed: Closed) -> Result<Body, Refusal> {
    calls::none_under_way(state)?;
    let recorded = state.artifact(ArtifactKind::Record).is_some();
    // Only what ended before anything could be built needs no record.
    let unbuilt = state.requested.model
        && state.phase == Phase::Build
        && closed.outcome == RecordOutcome::GivenUp
        && state.artifact(ArtifactKind::Flow).is_none()
        && state.changed.is_empty();
    let without = (state.phase < Phase::Build || unbuilt)
        && match closed.outcome {
            RecordOutcome::Cancelled => state.cancelled.is_some(),
            RecordOutcome::Refused | RecordOutcome::GivenUp => true,
            _ => false,
        };
    if recorded || without {
        Ok(Body::Closed(closed))
    } else {
        Err(Refusal::OutOfOrder { what: "closing without a record".into(), phase: state.phase })
    }
}

//! Drafting with a model: asks the pure loop for the agent's next move, does that one thing, and writes it down. Every
//! tool call of an agent goes to the broker like any other.

use std::{sync::Arc, time::Instant};

use crate::{
    agent::{Asking, Desk, Draft, Move, next_move},
    artifact::{Agent, ArtifactKind, Digest, Phase, Written, digest_of},
    engagement::{
        About, Actor, AgentQuestion, Answer, Closed, Command, Committed, Considered, Finish, Refusal, Seal, State,
        Turned, Usage, drafter, parse_document,
    },
    gate::{ApprovalRequest, Endpoint},
    ledger::{Journal, JournalError, LedgerError},
    model::{Delta, Meter, ModelError, Models},
    policy::Catalog,
};

use super::{
    driver::{Driver, act, file, view},
    error::DriverError,
    progress::{Progress, Stopped},
};

/// What is written where no answer says which endpoint or model it is from.
const NOBODY: &str = "none";
/// What is said where models would be asked elsewhere than gate 1 was told.
fn elsewhere(agent: Agent) -> String {
    format!(
        "policies/models.yaml names other places or models for the {agent} agent than gate 1 was approved for, and they would see \
         what was found; put the file back, or have gate 1 asked anew with `countersign edit`"
    )
}
/// The longest error that the chain keeps, in characters.
const LONGEST_ERROR: usize = 500;
/// The longest difference from a recorded run that it keeps.
const LONGEST_DIFFERENCE: usize = 12_000;
/// The most notes about a turn without an answer that it keeps.
const MOST_NOTES: usize = 20;
/// What is written where a person did not wait for the answer.
const INTERRUPTED: &str = "interrupted";

impl Driver<'_> {
    /// Does the one next thing about a draft of a model; the answer is why it cannot go on, if it cannot.
    pub(super) async fn draft_with_model(
        &self,
        journal: &mut Journal,
        catalog: &Catalog,
        kind: ArtifactKind,
        watch: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Option<Stopped>, DriverError> {
        let prompts = self.workspace().prompts()?.building(self.models().for_agent(Agent::Build).is_some());
        let room = drafter(kind).and_then(|agent| self.models().room_for(agent));
        let desk = Desk { view: view(journal, catalog), catalog, prompts: &prompts, room };
        match next_move(&desk, kind)? {
            Move::CallModel(asking) => return self.turn(journal, *asking, watch).await,
            Move::CallTools(proposals) => {
                // One at a time: what comes of it may end the engagement.
                if let Some(proposal) = proposals.into_iter().next() {
                    return self.call(journal, catalog, proposal, watch).await;
                }
            }
            Move::Ask(asked) => {
                let actor = Actor::Agent(asked.agent);
                watch(Progress::Asked(asked.questions.clone()));
                journal.act(journal.now(), actor, Command::Inquire(asked), &[]).await?;
            }
            Move::Wait => {
                let open: Vec<AgentQuestion> =
                    journal.state().talk.open().map(|asked| asked.questions.clone()).unwrap_or_default();
                return Ok(Some(Stopped::Questions(open)));
            }
            Move::GiveBack(returned) => {
                watch(Progress::Returned(returned.artifact, returned.problems.clone()));
                act(journal, Command::GiveBack(returned)).await?;
            }
            Move::GiveUp(reason) if desk_failed(journal, kind) => {
                nothing_wanted(journal, catalog, reason, watch).await?
            }
            // What a person had called by hand is looked at and recorded first.
            Move::GiveUp(reason) if kind == ArtifactKind::Flow && !journal.state().changed.is_empty() => {
                act(journal, Command::Enter { phase: Phase::AsBuilt, reason: Some(reason) }).await?;
            }
            Move::GiveUp(reason) => {
                let outcome = crate::artifact::RecordOutcome::GivenUp;
                act(journal, Command::Close(Closed { outcome, reason })).await?;
            }
            Move::Done(Draft::Flow(filled)) => {
                watch(Progress::Filling(filled.as_ref().clone()));
                journal.act(journal.now(), Actor::Agent(Agent::Build), Command::Fill(*filled), &[]).await?;
            }
            Move::Done(Draft::Failure(considered)) => {
                watch(Progress::Considered(considered.as_ref().clone()));
                let actor = Actor::Agent(Agent::Build);
                journal.act(journal.now(), actor, Command::Consider(*considered), &[]).await?;
            }
            Move::Done(draft) => {
                let digest = file_draft(journal, kind, &draft).await?;
                watch(Progress::Filed(kind, digest));
            }
        }
        Ok(None)
    }

    /// Asks the build agent about the step that failed; where there is no model for it, it wants nothing.
    pub(super) async fn consider(
        &self,
        journal: &mut Journal,
        catalog: &Catalog,
        watch: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Option<Stopped>, DriverError> {
        let why = match self.models().for_agent(Agent::Build) {
            None => "policies/models.yaml names no model for the build agent, so nobody was asked",
            // Gate 1 is not asked anew for this: the design says what comes without an answer.
            Some(_) if self.moved(journal, Agent::Build)? => {
                "policies/models.yaml names other places or models for the build agent than gate 1 was approved for, so nobody was asked"
            }
            Some(_) => return self.draft_with_model(journal, catalog, ArtifactKind::Flow, watch).await,
        };
        nothing_wanted(journal, catalog, why.into(), watch).await?;
        Ok(None)
    }

    /// Whether an agent would be asked elsewhere than gate 1 was told when it was last approved.
    fn moved(&self, journal: &Journal, agent: Agent) -> Result<bool, DriverError> {
        let (told, now) = (approved_endpoints(journal)?, endpoints(self.models(), journal.state()));
        let of = |endpoint: &&Endpoint| endpoint.is_for(agent);
        let (told, now): (Vec<_>, Vec<_>) = (told.iter().filter(of).collect(), now.iter().filter(of).collect());
        Ok(told.len() != now.len() || !told.iter().zip(&now).all(|(told, now)| now.is_approved_as(told)))
    }

    /// Asks the model and writes down what it said, or that it said nothing.
    async fn turn(
        &self,
        journal: &mut Journal,
        asking: Asking,
        watch: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Option<Stopped>, DriverError> {
        let Asking { request, agent, drafting, turn, prompt } = asking;
        let before = told(journal, drafting);
        // A model may take its time, and what was found out until now is not to wait for it.
        journal.flush().await?;
        let Some(model) = self.models().for_agent(agent) else { return Ok(Some(Stopped::NoModel(agent))) };
        // Before anything was found, a spec is drafted from the words of the requester alone. Later versions of it stand on
        // what was found, though what said so is void when they are filed.
        let found = drafting != ArtifactKind::Spec || journal.state().filed.contains_key(&ArtifactKind::Discovery);
        if found && self.moved(journal, agent)? {
            return Ok(Some(Stopped::NoAnswer(elsewhere(agent))));
        }
        watch(Progress::Turning(agent, drafting, turn));
        let started = Instant::now();
        let (mut meter, mut notes) = (Meter::default(), Vec::new());
        let answer = {
            let mut tell = |delta: Delta| {
                meter.hear(&delta);
                if let Delta::Restarted(why) = &delta
                    && notes.len() < MOST_NOTES
                    && !notes.contains(why)
                {
                    notes.push(why.clone());
                }
                watch(Progress::Delta(agent, delta));
            };
            tokio::select! {
                biased;
                answer = model.answer(&request, &mut tell) => Some(answer),
                () = self.broken_off() => None,
            }
        };
        let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let seal = Seal::of(journal.state(), journal.blobs());
        let none = Turned {
            agent,
            drafting,
            turn,
            prompt,
            request: seal.digest(&request)?,
            response: None,
            sealed: !matches!(seal, Seal::None),
            endpoint: NOBODY.into(),
            model: NOBODY.into(),
            usage: Usage::default(),
            latency_ms,
            finish: Finish::Failed,
            calls: 0,
            error: None,
            currency: None,
            notes: Vec::new(),
        };
        let currency = |usage: &Usage| usage.cost_micros.and_then(|_| self.models().currency().map(str::to_owned));
        let (turned, stored, stopped) = match answer {
            Some(Ok(answer)) => {
                let Committed { document, .. } = seal.answer(&none.request, &answer)?;
                let turned = Turned {
                    response: Some(document.digest()),
                    endpoint: answer.endpoint.clone(),
                    model: answer.model.clone(),
                    usage: answer.usage,
                    currency: currency(&answer.usage),
                    notes: answer.notes.clone(),
                    finish: answer.finish.clone(),
                    calls: u32::try_from(answer.calls.len()).unwrap_or(u32::MAX),
                    ..none
                };
                answer.notes.iter().cloned().for_each(|note| watch(Progress::Note(note)));
                (turned, vec![document], None)
            }
            // Whatever was asked in vain was asked, and counts as far as it is known.
            failed => {
                let (endpoint, said, stopped) = match failed {
                    Some(Err(error)) => {
                        let most =
                            if matches!(error, ModelError::Differs(_)) { LONGEST_DIFFERENCE } else { LONGEST_ERROR };
                        let said: String = error.to_string().chars().take(most).collect();
                        let endpoint = match error {
                            ModelError::Refused { endpoint, .. } => Some(endpoint),
                            _ => None,
                        };
                        (endpoint, said.clone(), Stopped::NoAnswer(said))
                    }
                    _ => (meter.endpoint().map(str::to_owned), INTERRUPTED.to_owned(), Stopped::Interrupted),
                };
                let usage = meter.total();
                let turned = Turned {
                    endpoint: endpoint.unwrap_or_else(|| NOBODY.into()),
                    usage,
                    currency: currency(&usage),
                    notes,
                    error: Some(said),
                    ..none
                };
                (turned, Vec::new(), Some(stopped))
            }
        };
        watch(Progress::Turned(Box::new(turned.clone())));
        self.write_turn(journal, (before, turned), stored, watch)
            .await
            .map(|written| if written { stopped } else { None })
    }

    /// Writes a turn down; whether it is written as it was. One that others overtook counts as asked in vain.
    async fn write_turn(
        &self,
        journal: &mut Journal,
        (before, turned): (Told, Turned),
        stored: Vec<Arc<Written>>,
        watch: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<bool, DriverError> {
        let talk = |journal: &Journal| told(journal, turned.drafting);
        let overtaken = Turned {
            response: None,
            calls: 0,
            finish: Finish::Failed,
            error: Some(turned.error.clone().unwrap_or_else(|| OVERTAKEN.into())),
            ..turned.clone()
        };
        loop {
            let as_it_was = talk(journal) == before;
            let (turn, documents) =
                if as_it_was { (turned.clone(), stored.clone()) } else { (overtaken.clone(), Vec::new()) };
            let command = Command::Turn(Box::new(turn));
            match journal.act(journal.now(), Actor::Agent(turned.agent), command, &documents).await {
                Ok(()) => {
                    if !as_it_was {
                        watch(Progress::Note(OVERTAKEN.into()));
                    }
                    return Ok(as_it_was);
                }
                Err(JournalError::Ledger(LedgerError::Conflict(_))) if journal.catch_up().await? > 0 => {}
                // The engagement is over, or elsewhere, so nothing of it can be counted there any more.
                Err(JournalError::Refused(refusal)) if !as_it_was => {
                    watch(Progress::Note(format!("{OVERTAKEN}, and what it cost is not counted: {refusal}")));
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What an answer about a draft knows of: how much was said, whether all was cancelled, and the phase.
type Told = (usize, bool, Phase);

fn told(journal: &Journal, drafting: ArtifactKind) -> Told {
    let state = journal.state();
    (state.talk.about(drafting).len(), state.cancelled.is_some(), state.phase)
}

/// Why an answer is not used that came after somebody said or did something else.
const OVERTAKEN: &str = "something was said or done meanwhile that this answer does not know of, so it is not used";

/// Whether what the build agent is asked about is a step that failed.
fn desk_failed(journal: &Journal, kind: ArtifactKind) -> bool {
    kind == ArtifactKind::Flow && journal.documents().flow().is_some()
}

/// Writes down that nothing is wanted after a failure, because no answer came that could stand.
async fn nothing_wanted(
    journal: &mut Journal,
    catalog: &Catalog,
    because: String,
    watch: &mut (dyn FnMut(Progress) + Send),
) -> Result<(), DriverError> {
    let Some(node) = view(journal, catalog).failing().map(|node| node.id.clone()) else { return Ok(()) };
    let attempt = journal.state().attempt(&node);
    let considered = Considered { node, attempt, turn: None, wants: Vec::new(), because };
    watch(Progress::Considered(considered.clone()));
    act(journal, Command::Consider(considered)).await
}

/// Where what the agents see would go now, each place once with the agents whose it is; nowhere where no model drafts.
pub(super) fn endpoints(models: &Models, state: &State) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    if !state.requested.model {
        return endpoints;
    }
    for agent in [Agent::Requirements, Agent::Design, Agent::Build] {
        for at in models.endpoints_for(agent) {
            let (name, url) = (at.name.clone(), at.base_url.clone());
            let (model, headers, agents) = (at.model.clone(), at.headers.clone(), vec![agent]);
            let one = Endpoint { name, url, model, headers, agents };
            let alike = |known: &&mut Endpoint| {
                (&known.name, &known.url, &known.model, &known.headers)
                    == (&one.name, &one.url, &one.model, &one.headers)
            };
            match endpoints.iter_mut().find(alike) {
                Some(known) if known.agents.contains(&agent) => {}
                Some(known) => known.agents.push(agent),
                None => endpoints.push(one),
            }
        }
    }
    endpoints
}

/// Where gate 1 was told that it goes, when it was last approved.
fn approved_endpoints(journal: &Journal) -> Result<Vec<Endpoint>, DriverError> {
    let mut answers = journal.state().answers.iter().rev().map(|(.., answered)| answered);
    let last = answers.find(|answered| answered.about == About::Gate1 && answered.answer == Answer::Approve);
    let Some(request) = last.map(|answered| answered.request) else { return Ok(Vec::new()) };
    let request: ApprovalRequest = parse_document(request, journal.blobs(), "approval request")
        .map_err(|error| DriverError::Ledger(error.into()))?;
    Ok(request.models)
}

/// Files what an agent drafted, made from what it was to be made from.
async fn file_draft(journal: &mut Journal, kind: ArtifactKind, draft: &Draft) -> Result<Digest, DriverError> {
    let state = journal.state();
    let mut made_from: Vec<Digest> = match kind {
        ArtifactKind::Spec => vec![state.requested.request],
        _ => [ArtifactKind::Spec, ArtifactKind::Discovery]
            .into_iter()
            .filter(|from| *from < kind)
            .filter_map(|from| state.artifact(from))
            .collect(),
    };
    // The answer that it was read from, so that nobody has to guess which turn gave it.
    made_from.extend(state.talk.draft(kind));
    let (digest, agent) = match draft {
        Draft::Spec(spec) => (digest_of(spec)?, Agent::Requirements),
        Draft::Discovery(report) => (digest_of(report)?, Agent::Design),
        Draft::Design(design) => (digest_of(design)?, Agent::Design),
        Draft::Flow(_) | Draft::Failure(_) => {
            return Err(Refusal::NotMadeFrom("a flow is built, and not drafted".into()).into());
        }
    };
    let command = Command::File { artifact: kind, digest, made_from };
    let actor = Actor::Agent(agent);
    match draft {
        Draft::Spec(spec) => file(journal, actor, command, spec).await?,
        Draft::Discovery(report) => file(journal, actor, command, report).await?,
        Draft::Design(design) => file(journal, actor, command, design).await?,
        Draft::Flow(_) | Draft::Failure(_) => {}
    }
    Ok(digest)
}

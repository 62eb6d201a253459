//! Drives one engagement until it must wait or is over. Each turn asks the pure core what is next, does that one
//! thing, and writes it down; there is no state here that a crash could lose.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use serde::Serialize;

use crate::{
    artifact::{ArtifactKind, Digest, EngagementId, Spec, Written, digest_of},
    broker::{Broker, Reserved, Told, reserve, reserve_again},
    engagement::{
        About, Actor, Asked, Command, Gate, GateState, Next, NextError, Proposal, Purpose, SpecProved, View, Void,
        changed_tools, holds_back, next_but_void, opened_by_policy, read_document, void_gates,
    },
    facts::AUTONOMOUS,
    gate::{approval_request, found_words, proof_of_spec},
    ledger::{Journal, LedgerError},
    model::Models,
    policy::Catalog,
    tool::Effect,
};

use super::{
    answer::{AnswerError, open_question, standing},
    behind::wait_behind,
    drafting::endpoints,
    error::DriverError,
    progress::{Progress, Stopped},
    ruling::{Ruled, rule},
    signing::once,
    solver::{SolverSearch, prove_spec},
    stands::Grounds,
    workspace::Workspace,
};

/// Drives engagements of one workspace.
pub struct Driver<'a> {
    workspace: &'a Workspace,
    broker: &'a Broker,
    solver: Option<SolverSearch>,
    looked: Mutex<Option<Looked>>,
    /// The head after the question that was asked last, and the catalog that it was asked on.
    asked: Mutex<Option<(Digest, Arc<Catalog>)>>,
    models: Models,
    /// How often in a row the broker said that a call is not what comes next.
    astray: AtomicU32,
    broken_off: Option<BrokenOff<'a>>,
}

/// How often in a row the broker may say of a call that it is not what comes next.
const ASTRAY: u32 = 3;

/// Comes when a model is no longer to be waited for.
pub type BrokenOff<'a> = &'a (dyn Fn() -> BoxFuture<'static, ()> + Sync);

/// Which gates were looked at with which catalog, and which of them do not hold.
type Looked = ((EngagementId, [Option<Digest>; 2], u8), Arc<Catalog>, Arc<[Void]>);

/// Everything that the core reads, from a journal and a catalog.
pub(super) fn view<'a>(journal: &'a Journal, catalog: &'a Catalog) -> View<'a> {
    View { state: journal.state(), documents: journal.documents(), blobs: journal.blobs(), toolbox: &catalog.toolbox }
}

impl<'a> Driver<'a> {
    /// A driver that makes every call through `broker`.
    pub fn new(workspace: &'a Workspace, broker: &'a Broker) -> Self {
        Self {
            workspace,
            broker,
            solver: None,
            models: Models::default(),
            astray: AtomicU32::new(0),
            looked: Mutex::default(),
            asked: Mutex::default(),
            broken_off: None,
        }
    }

    /// The same, asking a solver about each spec before gate 1, if one is found.
    pub fn proving(self, search: SolverSearch) -> Self {
        Self { solver: Some(search), ..self }
    }

    /// The same, asking these models for what agents draft where a request says that models draft it.
    pub fn drafting_with(self, models: Models) -> Self {
        Self { models, ..self }
    }

    /// The same, waiting for no model any longer once this comes; that is written down as a turn without an answer.
    pub fn until(self, broken_off: BrokenOff<'a>) -> Self {
        Self { broken_off: Some(broken_off), ..self }
    }

    pub(super) async fn broken_off(&self) {
        match self.broken_off {
            Some(broken_off) => broken_off().await,
            None => std::future::pending().await,
        }
    }

    pub(super) fn workspace(&self) -> &Workspace {
        self.workspace
    }

    pub(super) fn models(&self) -> &Models {
        &self.models
    }

    /// Goes on until the engagement must wait or is over. `watch` is told what happens.
    pub async fn drive(
        &self,
        journal: &mut Journal,
        watch: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Stopped, DriverError> {
        loop {
            if let Some(stopped) = self.step(journal, watch).await? {
                return Ok(stopped);
            }
        }
    }

    /// Does the one next thing; the answer is why it cannot go on, if it cannot. What came of it is durable with the
    /// next step, or when this says that it cannot go on; whoever does anything else than the next step flushes the
    /// journal first.
    pub async fn step(
        &self,
        journal: &mut Journal,
        watch: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Option<Stopped>, DriverError> {
        let head = journal.state().head;
        let mut stepped = self.advance(journal, watch).await;
        let of_ledger = stepped.as_ref().err().and_then(DriverError::of_ledger);
        if matches!(of_ledger, Some(LedgerError::Conflict(_)))
            && (journal.catch_up().await? > 0 || journal.state().head != head)
        {
            // Others wrote meanwhile: what is next is worked out anew.
            stepped = Ok(None);
        } else if matches!(of_ledger, Some(LedgerError::Busy | LedgerError::Full)) && journal.holds_an_outcome() {
            self.write_down(journal, watch).await?;
            stepped = Ok(None);
        } else if journal.state().head != head && stepped.as_ref().is_err_and(DriverError::is_missing) {
            // Others wrote first, and what this one had filed in the same step was left out.
            stepped = Ok(None);
        }
        if !matches!(stepped, Ok(None)) {
            let written = self.write_down(journal, watch).await;
            journal.let_go();
            written?;
            self.workspace.publish().await.into_iter().for_each(|wrong| watch(Progress::Note(wrong)));
        }
        stepped
    }

    async fn advance(
        &self,
        journal: &mut Journal,
        watch: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Option<Stopped>, DriverError> {
        let now = journal.now();
        let catalog = self.workspace.catalog_of_lately(journal)?;
        let void = self.void(journal, &catalog).await?;
        let next = next_but_void(&view(journal, &catalog), &void, now)?;
        // A question is asked, and answered by policy, on the files as they are now; the broker looks at them itself.
        if matches!(next, Next::Ask(_) | Next::Wait(_)) && !Arc::ptr_eq(&catalog, &self.workspace.catalog_of(journal)?)
        {
            return Ok(None);
        }
        // What may take long is no reason for others to wait.
        if matches!(next, Next::Draft(_) | Next::Consider(_) | Next::Ask(_) | Next::Wait(_) | Next::Enter(..)) {
            journal.let_go();
        }
        match next {
            Next::Draft(kind) => {
                return self.draft(journal, &catalog, kind, watch).await;
            }
            Next::Enter(phase, reason) => {
                soon(journal, Command::Enter { phase, reason: reason.clone() })?;
                watch(Progress::Entered(phase, reason));
            }
            Next::Call(proposal) => {
                return self.call(journal, &catalog, proposal, watch).await;
            }
            Next::Expire(call) => {
                watch(Progress::Note(format!(
                    "{call} was under way when the process ended; waiting until it cannot still be running"
                )));
                journal.flush().await?;
                self.broker.expire(journal, &call).await?;
            }
            Next::Resend(call) => {
                if let Some(behind) = reserve_again(journal, &call).await? {
                    return wait_behind(journal, &behind, watch).await;
                }
                let again = "the server remembers it, so it is sent again under its own id if it still may be";
                watch(Progress::Note(format!("nobody knows whether {call} took effect; {again}")));
                journal.flush().await?;
                self.broker.resend(journal, &call).await?;
            }
            Next::Pause(seconds) => {
                journal.flush().await?;
                tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
            }
            Next::Ask(about) => {
                if let Some(unpinned) = changed_tools(&void).iter().find(|tool| !catalog.toolbox.is_pinned(tool)) {
                    let reason =
                        format!("`{unpinned}` changed and is not pinned; look at it and run `countersign tools pin`");
                    return Ok(Some(Stopped::Unreachable(reason)));
                }
                self.ask(journal, &catalog, about, watch).await?;
                *self.asked() = Some((journal.state().head, Arc::clone(&catalog)));
            }
            Next::Wait(about) => {
                // What was asked a moment ago is not worked out again to see whether it changed; whoever answers it
                // does that.
                let asked = self.asked().take();
                let asked = asked.is_some_and(|(head, on)| head == journal.state().head && Arc::ptr_eq(&on, &catalog));
                if !asked && let Some(changed) = self.changed_question(journal, &catalog).await? {
                    let what = changed.join("; ");
                    watch(Progress::Note(format!("what the question rests on changed, so it is asked anew: {what}")));
                    self.ask(journal, &catalog, about.clone(), watch).await?;
                }
                // A solver may have taken its time with the question: policy answers on the files as they are now.
                if !policy_may_answer(journal) {
                    return Ok(Some(Stopped::Waiting(about)));
                }
                if !Arc::ptr_eq(&catalog, &self.workspace.catalog_of(journal)?) {
                    return Ok(None);
                }
                if self.rule(journal, &catalog, watch).await? {
                    return Ok(None);
                }
                return Ok(Some(Stopped::Waiting(about)));
            }
            Next::WaitUntil(opens) => return Ok(Some(Stopped::WindowOpens(opens))),
            Next::Void(void) => {
                let text = format!("{} did not take effect, as {} shows; trying again", void.call, void.shown_by);
                soon(journal, Command::Void(void))?;
                watch(Progress::Note(text));
            }
            Next::Settle(settled) => {
                let told = Progress::Settled(settled.node.clone(), settled.outcome, settled.reason.clone());
                soon(journal, Command::Settle(settled))?;
                watch(told);
            }
            Next::Deviate(found) => {
                let told = Progress::Deviated(found.node.clone(), found.what.clone());
                soon(journal, Command::Deviate(found))?;
                watch(told);
            }
            Next::Consider(_) => return self.consider(journal, &catalog, watch).await,
            Next::Close(closed) => act(journal, Command::Close(closed)).await?,
            Next::Closed => {
                let closed = journal.state().closed.clone();
                return Ok(closed.map(Stopped::Closed));
            }
        }
        Ok(None)
    }

    /// Proposes a call to the broker; the answer is why it cannot go on, if it cannot.
    pub(super) async fn call(
        &self,
        journal: &mut Journal,
        catalog: &Catalog,
        proposal: Proposal,
        watch: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Option<Stopped>, DriverError> {
        let proposal = match reserve(journal, &catalog.toolbox, &proposal).await? {
            Reserved::Has => proposal,
            Reserved::LookFirst(look) => *look,
            Reserved::Behind(behind) => return wait_behind(journal, &behind, watch).await,
        };
        watch(Progress::Calling(proposal.clone()));
        let actor = Actor::Agent(proposal.agent);
        let tool = proposal.tool.parse().ok().and_then(|name| catalog.toolbox.tool(&name));
        // An undo that was not sent is tried again, as a read is, when what stood in its way is put right.
        let acts =
            matches!(proposal.purpose, Purpose::Act { .. }) && tool.is_none_or(|tool| tool.effect != Effect::Read);
        let invoked = self.broker.invoke_next(journal, actor, proposal.clone()).await?;
        self.broker.notices().into_iter().for_each(|notice| watch(Progress::Note(notice)));
        // Nothing was sent and nothing is known: that is a matter of the workspace, not of the target.
        let held = match &invoked.told {
            Told::NotSent(reason) if !acts => Some(reason.clone()),
            Told::Refused { rule, .. } if holds_back(&rule.rule) => Some(rule.reason.clone()),
            // What comes next is worked out here and there from the same chain: it may differ once, when others wrote.
            Told::Refused { rule, .. } if rule.rule == "contract.next" => {
                let stops = self.astray.fetch_add(1, Ordering::Relaxed) + 1 >= ASTRAY;
                if stops {
                    self.astray.store(0, Ordering::Relaxed);
                }
                stops.then(|| rule.reason.clone())
            }
            _ => {
                self.astray.store(0, Ordering::Relaxed);
                None
            }
        };
        if let Some(reason) = held {
            // What changed between looking and deciding is asked about in the next turn, unless something is under way that
            // is looked at first and is held back again.
            let asks = !self.void(journal, &self.workspace.catalog_of(journal)?).await?.is_empty()
                && self.astray.fetch_add(1, Ordering::Relaxed) + 1 < ASTRAY;
            if !asks {
                self.astray.store(0, Ordering::Relaxed);
            }
            return Ok((!asks).then_some(Stopped::Unreachable(reason)));
        }
        let found = match proposal.purpose {
            Purpose::Find { .. } => {
                found_words(&*self.workspace.catalog_of(journal)?, &proposal.purpose, &invoked.call)
            }
            _ => None,
        };
        watch(Progress::Called(proposal, invoked.told));
        found.into_iter().for_each(|found| watch(Progress::Note(found)));
        Ok(None)
    }

    async fn ask(
        &self,
        journal: &mut Journal,
        catalog: &Arc<Catalog>,
        about: About,
        watch: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), DriverError> {
        if about == About::Gate1 && journal.state().gate1 == GateState::Closed {
            self.prove(journal, catalog, watch).await?;
        }
        let standing = standing(self.workspace, journal, catalog).await?;
        let models = endpoints(&self.models, journal.state());
        let request = approval_request(&view(journal, catalog), catalog, &standing, &models, &about)?;
        let (role, stage) = (request.role, standing.stage);
        let (barred, void) = (request.barred.clone(), request.void.clone());
        let signed = !request.signature_because.is_empty();
        let once = Some(once(journal.store().as_ref()).await?);
        let mut documents = request.grounds(catalog)?;
        let written = Written::of(&request)?;
        let asked = Asked { about, request: written.digest(), role, stage, barred, void, signed, once };
        documents.push(written);
        journal.act(journal.now(), Actor::Program, Command::Ask(asked), &documents).await?;
        let head = journal.state().head;
        self.workspace.stands.keep(&Grounds { head, catalog, standing: &standing, models: &models });
        Ok(())
    }

    /// What changed about the open question since it was asked; nothing where it still stands.
    async fn changed_question(
        &self,
        journal: &Journal,
        catalog: &Arc<Catalog>,
    ) -> Result<Option<Vec<String>>, DriverError> {
        let open =
            open_question(self.workspace, journal, catalog, &self.models).await.map_err(|error| match error {
                AnswerError::Gate(error) => DriverError::Gate(error),
                AnswerError::Document(error) => DriverError::Ledger(error.into()),
                AnswerError::Ledger(error) => DriverError::Ledger(error),
                AnswerError::Workspace(error) => DriverError::Workspace(error),
                other => DriverError::Invalid(ArtifactKind::Design, other.to_string()),
            })?;
        Ok(open.map(|open| open.changed).filter(|changed| !changed.is_empty()))
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Option<(Digest, Arc<Catalog>)>> {
        self.asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The open gates that do not hold as things are now. Looked for again only where something could differ.
    async fn void(&self, journal: &Journal, catalog: &Arc<Catalog>) -> Result<Arc<[Void]>, DriverError> {
        let state = journal.state();
        let stage = match opened_by_policy(state).next() {
            Some(_) => standing(self.workspace, journal, catalog).await?.stage,
            None => AUTONOMOUS,
        };
        let gates = [Gate::One, Gate::Two].map(|gate| match state.gate(gate) {
            GateState::Open { request, .. } if state.gate_open(gate) => Some(*request),
            _ => None,
        });
        let key = (state.id.clone(), gates, stage);
        let mut looked = self.looked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((at, with, void)) = looked.as_ref()
            && *at == key
            && Arc::ptr_eq(with, catalog)
        {
            return Ok(Arc::clone(void));
        }
        let void: Arc<[Void]> = void_gates(&view(journal, catalog), catalog, stage)?.into();
        *looked = Some((key, Arc::clone(catalog), Arc::clone(&void)));
        Ok(void)
    }

    /// Has `gates.cedar` answer, where it may; says whether it said yes.
    async fn rule(
        &self,
        journal: &mut Journal,
        catalog: &Catalog,
        watch: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<bool, DriverError> {
        match rule(self.workspace, journal, catalog).await? {
            Ruled::NotAsked => Ok(false),
            Ruled::Human(why) => {
                watch(Progress::Note(format!("gates.cedar leaves this to a person: {why}")));
                Ok(false)
            }
            Ruled::Approved(reasons) => {
                watch(Progress::Note(format!("approved by policy: {}", reasons.join("; "))));
                Ok(true)
            }
        }
    }

    /// Has the solver asked about the spec, unless it was asked already. Without a solver nothing is written: the
    /// screen says that nothing is proven.
    async fn prove(
        &self,
        journal: &mut Journal,
        catalog: &Arc<Catalog>,
        watch: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), DriverError> {
        let Some(search) = &self.solver else { return Ok(()) };
        journal.flush().await?;
        let (spec, before) = {
            let view = view(journal, catalog);
            if proof_of_spec(&view, catalog).is_some() {
                return Ok(());
            }
            let before = view.state.shown_before(ArtifactKind::Spec).and_then(|(_, digest)| {
                // A version that is not at hand is not compared with; the screen says so.
                read_document::<Spec>(digest, view.blobs, "spec.yaml").ok().map(Arc::new)
            });
            (view.documents.spec().cloned().ok_or(NextError::Missing(ArtifactKind::Spec))?, before)
        };
        let solver = self.workspace.solver(search).await;
        let version = match &solver {
            Ok(solver) => solver.version().to_owned(),
            Err(reason) => {
                watch(Progress::Note(format!("what the spec lets through is not proven: {reason}")));
                return Ok(());
            }
        };
        watch(Progress::Note(format!("asking {version} what the spec lets through…")));
        let report = prove_spec(catalog, &spec, before.as_ref(), &solver).await?;
        let Some(version) = report.solver.clone() else {
            watch(Progress::Note(format!("{version} broke off, so nothing is proven")));
            return Ok(());
        };
        let proved =
            SpecProved { spec: report.spec, report: digest_of(&report)?, solver: version, verdict: report.verdict() };
        file(journal, Actor::Program, Command::Prove(proved), &report).await
    }
}

/// Whether the open question was asked at a stage at which policies answer.
fn policy_may_answer(journal: &Journal) -> bool {
    journal.state().asked.as_ref().is_some_and(|asked| asked.stage >= AUTONOMOUS)
}

/// What is found out again by whoever goes on after a crash.
fn soon(journal: &mut Journal, command: Command) -> Result<(), DriverError> {
    Ok(journal.act_soon(journal.now(), Actor::Program, command, vec![])?)
}

pub(super) async fn act(journal: &mut Journal, command: Command) -> Result<(), DriverError> {
    Ok(journal.act(journal.now(), Actor::Program, command, &[]).await?)
}

/// Writes a command's event and the document that it names in one transaction.
pub(super) async fn file<T: Serialize>(
    journal: &mut Journal,
    actor: Actor,
    command: Command,
    document: &T,
) -> Result<(), DriverError> {
    Ok(journal.act(journal.now(), actor, command, &[Written::of(document)?]).await?)
}

//! Writes each decision down, mints the permit for what was allowed, runs it and writes the outcome down.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    artifact::{CallId, ToolName, Written},
    engagement::{
        Actor, Basis, CUT_OFF, CallAllowed, CallFinished, CallOutcome, CallRefused, Command, Proposal, Purpose, RESENT,
        Refusal, Seal, Standing, View,
    },
    ledger::{Around, Journal, LedgerError},
    policy::{Catalog, CompiledBoundary, Spoke},
    tool::{Effect, Manifest, ServerSeen, Toolbox},
};

use super::{
    again::still_allowed,
    cached::Cached,
    decide::{Decided, Moment, Said, decide, refused_purpose},
    lease::{reserve_again, reserved, sends},
    permit::Permit,
    rate::Rates,
    refused::{recorded_args, recorded_tool},
    sources::Sources,
    told::{BrokerError, Invoked, Told},
    transport::{Sent, Transports, Turn},
};

/// The one road to a tool.
pub struct Broker {
    sources: Arc<dyn Sources>,
    transports: Transports,
    rates: Rates,
    cached: Cached,
    around: Around,
}

/// How old a decision may be once it is durable.
const FRESH: Duration = Duration::from_secs(3);

/// Whether a call may still be sent, and on what that was decided.
struct Still {
    catalog: Arc<Catalog>,
    decided: Instant,
    verdict: Result<(), String>,
}

/// How often a proposal is decided again because others wrote meanwhile.
const DECIDE_AGAIN: u32 = 200;

/// How often a call that waited long waits once more, because its server is another by then.
const TURNS: u32 = 3;

/// What was decided and written down.
enum Decision {
    /// It does not run.
    Refused(Invoked),
    /// It was let through, and not any more when that was durable.
    Held { call: CallId, why: String },
    /// It runs, with this permit.
    Allowed { permit: Permit, call: CallId, catalog: Arc<Catalog> },
}

/// What is sent of a call that is sent once more, if it may be.
fn resent(journal: &Journal, toolbox: &Toolbox, call: &CallId) -> Result<(ToolName, Map<String, Value>), BrokerError> {
    let not = |why: &str| BrokerError::Refused(Refusal::Call(format!("{call} may not be sent again: {why}")));
    let known = journal.state().calls.get(call).ok_or_else(|| not("there is no such call"))?;
    if known.refused.is_some() || known.outcome != Some(CallOutcome::Unknown) {
        return Err(not("its outcome is known"));
    }
    let tool = known.tool_name().and_then(|name| toolbox.tool(&name)).ok_or_else(|| not("its tool is gone"))?;
    if !tool.idempotency_key {
        return Err(not("its tool has no idempotency key"));
    }
    let args = known.args.read(journal.blobs()).cloned();
    Ok((tool.name.clone(), args.ok_or_else(|| not("its arguments are not in the ledger"))?))
}

impl Broker {
    /// A broker that asks `sources` what to decide on. It starts nothing until something is allowed.
    pub fn new(sources: Arc<dyn Sources>) -> Self {
        Self {
            sources,
            transports: Transports::default(),
            rates: Rates::default(),
            cached: Cached::default(),
            around: Around::default(),
        }
    }

    /// Decides a proposal, and runs it if it is allowed. The decision is durable before anything starts. Where another
    /// process wrote meanwhile, what it wrote is read and everything is decided again.
    pub async fn invoke(
        &self,
        journal: &mut Journal,
        actor: Actor,
        proposal: Proposal,
    ) -> Result<Invoked, BrokerError> {
        let invoked = self.invoke_next(journal, actor, proposal).await?;
        journal.flush().await?;
        Ok(invoked)
    }

    /// The same, where what comes next is written at once: the result of the call is written with that, so that the
    /// outcome of a call and the intent of the next one are one transaction. Whoever does something else first flushes
    /// the journal. An outcome that is not a result is durable when this answers.
    pub async fn invoke_next(
        &self,
        journal: &mut Journal,
        actor: Actor,
        proposal: Proposal,
    ) -> Result<Invoked, BrokerError> {
        let invoked = self.invoke_once(journal, actor, &proposal).await?;
        let looks = matches!(proposal.purpose, Purpose::Recheck { .. } | Purpose::BeforeUndo { .. });
        if looks && matches!(invoked.told, Told::Result(_)) {
            journal.looked();
        }
        Ok(invoked)
    }

    async fn invoke_once(
        &self,
        journal: &mut Journal,
        actor: Actor,
        proposal: &Proposal,
    ) -> Result<Invoked, BrokerError> {
        let mut tries = 1;
        loop {
            let head = journal.state().head;
            match self.decide(journal, &actor, proposal).await {
                // Each conflict is another writer's progress, so this ends unless others never do.
                Err(BrokerError::Ledger(LedgerError::Conflict(_)))
                    if tries < DECIDE_AGAIN && (journal.catch_up().await? > 0 || journal.state().head != head) =>
                {
                    tries += 1;
                }
                Err(error) => return Err(error),
                Ok(Decision::Refused(invoked)) => return Ok(invoked),
                Ok(Decision::Held { call, why }) => {
                    let told = self.finish(journal, call.clone(), Sent::Held(why), "").await?;
                    return Ok(Invoked { call, told });
                }
                Ok(Decision::Allowed { permit, call, catalog }) => {
                    let sent = self.run(journal, &call, permit, catalog).await;
                    let told = self.finish(journal, call.clone(), sent, "").await?;
                    return Ok(Invoked { call, told });
                }
            }
        }
    }

    /// Decides a proposal and writes the decision down.
    async fn decide(&self, journal: &mut Journal, actor: &Actor, proposal: &Proposal) -> Result<Decision, BrokerError> {
        let mut catalog = self.sources.catalog_of(journal).map_err(BrokerError::Catalog)?;
        if reserved(journal, &catalog.toolbox, proposal).await? {
            catalog = self.sources.catalog_of(journal).map_err(BrokerError::Catalog)?;
        }
        let toolbox = Arc::clone(&catalog.toolbox);
        let mut rate =
            pin!(self.rates.wait(&toolbox, &proposal.tool, &proposal.args, (journal.state(), &proposal.purpose)));
        if rate.as_mut().now_or_never().is_none() {
            journal.flush().await?;
            rate.await;
            // The files may have changed while it waited, for as long as they said then: it is decided on them as they are.
            catalog = self.sources.catalog_of(journal).map_err(BrokerError::Catalog)?;
        }
        let decided = Instant::now();
        let except = changes(&catalog, &proposal.tool).then(|| journal.id());
        let (trust, elsewhere) = self.around.read(journal.store(), except).await?;
        // The clock is read after the wait: a decision is never older than its call, nor than what the chain has seen.
        let now = journal.now();
        let view = View {
            state: journal.state(),
            documents: journal.documents(),
            blobs: journal.blobs(),
            toolbox: &catalog.toolbox,
        };
        let (call, seal) = (view.state.next_call(), view.seal());
        let on = catalog.digests()?;
        let boundary = self.boundary(&view, &catalog)?;
        let standing = Standing::of(&view, &catalog.inventory, &trust.trust_by(&catalog.signers, &catalog.people));
        let moment = Moment { now, stage: standing.stage, elsewhere: &elsewhere };
        let (trust, commit) = (trust.trust().head(), self.sources.revision());
        let basis = self.cached.basis(Basis { catalog: on, standing, trust, commit })?;
        let decided_on = basis.digest();
        match decide(&view, &catalog, boundary.as_deref(), proposal, &moment) {
            Decided::Refuse { verdict, digest, rules } => {
                let refused = verdict.into();
                let rule = rules.last().cloned().unwrap_or_else(no_rule);
                tracing::info!(engagement = %view.state.id, %call, tool = ?proposal.tool, rule = rule.rule, "refused");
                let purpose = refused_purpose(&view, proposal, now);
                let given = recorded_args(proposal.args.clone());
                let tool = recorded_tool(&proposal.tool);
                let (args, sealed) = seal.arguments(purpose.node(), &tool, &given)?;
                let event = CallRefused {
                    call: call.clone(),
                    digest,
                    purpose,
                    agent: proposal.agent,
                    tool,
                    args,
                    refused,
                    rules,
                    decided_on,
                };
                journal.act(now, actor.clone(), Command::Refuse(Box::new(event)), &with(basis, sealed)).await?;
                Ok(Decision::Refused(Invoked { call, told: Told::Refused { refused, rule } }))
            }
            Decided::Allow(allowed) => {
                tracing::info!(engagement = %view.state.id, %call, tool = %allowed.tool, grant = allowed.grant, "allowed");
                let (args, sealed) = allowed.sealed;
                let event = CallAllowed {
                    call: call.clone(),
                    digest: allowed.digest,
                    purpose: proposal.purpose.clone(),
                    agent: proposal.agent,
                    tool: allowed.tool.clone(),
                    target: allowed.target,
                    args,
                    grant: allowed.grant,
                    counts: allowed.counts,
                    approved: allowed.approved,
                    rules: allowed.rules,
                    decided_on,
                };
                let mut beside = with(basis, sealed);
                if event.counts.is_some() && !event.approved {
                    // Nobody approved it: the rules that let it through are shown with it.
                    beside.push(catalog.written(&on.policies, || Written::of(&catalog.policies.texts()))?);
                }
                journal.act(now, actor.clone(), Command::Allow(Box::new(event)), &beside).await?;
                // Others may have kept the ledger locked for long: then it is asked once more before it is sent.
                let (mut catalog, mut decided) = (catalog, decided);
                if decided.elapsed() > FRESH {
                    (catalog, decided) = match self.once_more(journal, &call).await {
                        Ok(again) => again,
                        Err(why) => return Ok(Decision::Held { call, why }),
                    };
                }
                let permit =
                    Permit::mint(journal.state().id.clone(), call.clone(), allowed.tool, allowed.args, decided);
                Ok(Decision::Allowed { permit, call, catalog })
            }
        }
    }

    /// Sends a call whose outcome is unknown once more under its own id. Only for tools that answer a second call
    /// with the same id from memory; the approval, the arguments and the id stay the ones of the intent.
    pub async fn resend(&self, journal: &mut Journal, call: &CallId) -> Result<Invoked, BrokerError> {
        let catalog = self.sources.catalog_of(journal).map_err(BrokerError::Catalog)?;
        let (name, args) = resent(journal, &catalog.toolbox, call)?;
        // A process that ended while it sent this again may have left its server running.
        if let Some(manifest) = catalog.toolbox.manifest_of(&name) {
            self.transports.end_orphans(&manifest.family, self.sources.as_ref()).await;
        }
        // What is waited for is waited for first, so that the decision is not older than what it lets be sent.
        if let Some(behind) = reserve_again(journal, call).await? {
            return Err(BrokerError::Behind(behind));
        }
        let purpose = journal.state().calls.get(call).map(|call| call.purpose.clone());
        let again = purpose.unwrap_or(Purpose::Proposed { n: 1 });
        self.rates.wait(&catalog.toolbox, name.as_str(), &args, (journal.state(), &again)).await;
        // Nobody knows whether it was ever sent, so what forbids an effect now forbids this one.
        let Still { catalog, decided, verdict } = self.still_allowed(journal, call).await?;
        let (name, args) = resent(journal, &catalog.toolbox, call)?;
        let sent = match verdict {
            Err(why) => Sent::Held(format!("not done, {why}")),
            Ok(()) => {
                let permit = Permit::mint(journal.state().id.clone(), call.clone(), name, args, decided);
                self.run(journal, call, permit, catalog).await
            }
        };
        let told = self.finish(journal, call.clone(), sent, RESENT).await?;
        Ok(Invoked { call: call.clone(), told })
    }

    /// Runs a call. Where its server takes long to start, or its turn long to come, it is asked once more whether it may be
    /// sent.
    async fn run(&self, journal: &mut Journal, call: &CallId, permit: Permit, catalog: Arc<Catalog>) -> Sent {
        let (mut permit, mut catalog) = (permit, catalog);
        for _ in 0..TURNS {
            let since = Instant::now();
            let turn = match self.transports.turn(&permit, &catalog.toolbox, self.sources.as_ref()).await {
                Ok(turn) => turn,
                Err(why) => return Sent::Held(why),
            };
            if since.elapsed() <= FRESH {
                return self.send(journal, &catalog, turn, permit).await;
            }
            let (now, decided) = match self.once_more(journal, call).await {
                Ok(again) => again,
                Err(why) => return Sent::Held(why),
            };
            permit = permit.renewed(decided);
            if turn.fits(&now.toolbox) {
                return self.send(journal, &now, turn, permit).await;
            }
            // The server was pinned otherwise or has ended meanwhile: it is started as it is pinned now.
            catalog = now;
        }
        Sent::Held(
            "not done, its server was pinned otherwise or ended each time that it was this call's turn".to_owned(),
        )
    }

    async fn send(&self, journal: &mut Journal, catalog: &Catalog, turn: Turn, permit: Permit) -> Sent {
        let acts = match sends(journal, &catalog.toolbox, permit.tool()) {
            Ok(acts) => acts,
            Err(why) => return Sent::Held(why),
        };
        let sent = turn.run(permit).await;
        // Of what was lost nobody knows whether it still acts.
        if acts && !matches!(sent, Sent::Unknown(_)) {
            journal.answered();
        }
        sent
    }

    /// Decides once more about a call that waited: on what others wrote meanwhile, and on the files as they are. Nothing
    /// was sent, and that is known, whatever cannot be read now.
    async fn once_more(&self, journal: &mut Journal, call: &CallId) -> Result<(Arc<Catalog>, Instant), String> {
        let not_done = |why: &dyn std::fmt::Display| format!("not done, {why}");
        journal.catch_up().await.map_err(|error| not_done(&error))?;
        let still = self.still_allowed(journal, call).await.map_err(|error| not_done(&error))?;
        still.verdict.map_err(|why| not_done(&why))?;
        Ok((still.catalog, still.decided))
    }

    /// Whether a call that was allowed may be sent as things are now.
    async fn still_allowed(&self, journal: &Journal, call: &CallId) -> Result<Still, BrokerError> {
        let catalog = self.sources.catalog_of(journal).map_err(BrokerError::Catalog)?;
        let decided = Instant::now();
        let gone = || Refusal::Call(format!("{call} may not be sent: it is gone"));
        let known = journal.state().calls.get(call).ok_or_else(gone)?;
        let except = changes(&catalog, &known.tool).then(|| journal.id());
        let (trust, elsewhere) = self.around.read(journal.store(), except).await?;
        let view = View {
            state: journal.state(),
            documents: journal.documents(),
            blobs: journal.blobs(),
            toolbox: &catalog.toolbox,
        };
        let boundary = self.boundary(&view, &catalog)?;
        let stage = Standing::of(&view, &catalog.inventory, &trust.trust_by(&catalog.signers, &catalog.people)).stage;
        let moment = Moment { now: journal.now(), stage, elsewhere: &elsewhere };
        let verdict = still_allowed(&view, &catalog, boundary.as_deref(), known, &moment);
        Ok(Still { catalog, decided, verdict })
    }

    /// Marks a call unknown whose process ended before its outcome was written. What that left running is ended, and the
    /// server's timeout waited for, so that neither a process nor what it has sent can still act while its effect is
    /// looked for.
    pub async fn expire(&self, journal: &mut Journal, call: &CallId) -> Result<(), BrokerError> {
        let catalog = self.sources.catalog_of(journal).map_err(BrokerError::Catalog)?;
        let known = journal.state().calls.get(call);
        let name = known.and_then(|call| call.tool_name());
        let manifest = name.as_ref().and_then(|name| catalog.toolbox.manifest_of(name));
        let timeout = manifest.map_or(30, |manifest| i64::from(manifest.server.timeout_seconds));
        let reads = name.and_then(|name| catalog.toolbox.tool(&name)).is_some_and(|tool| tool.effect == Effect::Read);
        let since = known.map_or(0, |call| Timestamp::now().as_second() - call.at.as_second());
        // The clock may have gone back since: never wait longer than the timeout itself.
        let left = (timeout - since).clamp(0, timeout);
        let mut message = CUT_OFF.to_owned();
        if let Some(manifest) = manifest.filter(|_| !reads)
            && !self.transports.end_orphans(&manifest.family, self.sources.as_ref()).await
        {
            message.push_str(", and what it left running could not be ended: it may still act");
        }
        if !reads && left > 0 {
            tokio::time::sleep(Duration::from_secs(left.unsigned_abs())).await;
        }
        let (outcome, message) = (CallOutcome::Unknown, Some(message));
        let finished = CallFinished { call: call.clone(), outcome, result: None, sealed: false, message };
        Ok(journal.act(journal.now(), Actor::Program, Command::Finish(finished), &[]).await?)
    }

    /// Starts a family's server only to see what it is, for a person to pin. No tool is run.
    pub async fn inspect(&self, manifest: &Manifest) -> Result<ServerSeen, BrokerError> {
        self.transports.inspect(manifest, self.sources.as_ref()).await.map_err(BrokerError::Server)
    }

    /// What a person should know of how servers run and was not told yet.
    pub fn notices(&self) -> Vec<String> {
        self.transports.notices()
    }

    /// Ends every server that was started.
    pub async fn close(&self) {
        self.transports.close().await;
    }

    async fn finish(&self, journal: &mut Journal, call: CallId, sent: Sent, prefix: &str) -> Result<Told, BrokerError> {
        let say = |text: &str| if prefix.is_empty() { text.to_owned() } else { format!("{prefix}: {text}") };
        let (outcome, value, message) = match &sent {
            Sent::Result(value) if prefix.is_empty() => (CallOutcome::Ok, Some(value), None),
            Sent::Result(value) => (CallOutcome::Ok, Some(value), Some(say("answered from the server's memory"))),
            Sent::Error(text) => (CallOutcome::Error, None, Some(say(text))),
            // A call that was sent before stays unknown when it cannot be sent again.
            Sent::Held(text) if !prefix.is_empty() => {
                let text = text.strip_prefix("not done, ").unwrap_or(text);
                (CallOutcome::Unknown, None, Some(format!("{prefix}? No: {text}")))
            }
            Sent::Held(text) => (CallOutcome::NotSent, None, Some(text.clone())),
            Sent::Unknown(text) => (CallOutcome::Unknown, None, Some(say(text))),
        };
        let seal = Seal::of(journal.state(), journal.blobs());
        let result = value.map(|value| seal.result(&call, value)).transpose()?;
        tracing::debug!(engagement = %journal.state().id, %call, ?outcome, message, "over");
        let sealed = result.as_ref().is_some_and(|result| result.sealed);
        let digest = result.as_ref().map(|result| result.document.digest());
        let documents: Vec<Arc<Written>> = result.into_iter().map(|result| result.document).collect();
        let finished = CallFinished { call, outcome, result: digest, sealed, message };
        journal.act_soon(journal.now(), Actor::Program, Command::Finish(finished), documents)?;
        if outcome != CallOutcome::Ok || !prefix.is_empty() {
            // A person may have cancelled or answered meanwhile: what is known of an effect is written down after that.
            journal.flush().await?;
        }
        Ok(match sent {
            Sent::Result(value) => Told::Result(value),
            Sent::Error(text) => Told::ToolError(text),
            Sent::Held(text) => Told::NotSent(text),
            Sent::Unknown(text) => Told::Unknown(text),
        })
    }

    /// What would be decided about a proposal now, by the same steps as [`Broker::invoke`] takes: it writes nothing,
    /// makes no permit and runs nothing, so whoever is told `allowed` here has still only asked.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Catalog`] if the approved spec no longer fits the tools and the inventory.
    pub fn ruling_of(
        &self,
        view: &View<'_>,
        catalog: &Arc<Catalog>,
        proposal: &Proposal,
        moment: &Moment<'_>,
    ) -> Result<Said, BrokerError> {
        let boundary = self.boundary(view, catalog)?;
        Ok(decide(view, catalog, boundary.as_deref(), proposal, moment).into())
    }

    fn boundary(&self, view: &View<'_>, catalog: &Catalog) -> Result<Option<Arc<CompiledBoundary>>, BrokerError> {
        self.cached.boundary(view, catalog, catalog.digest()?).map_err(|problems| {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            BrokerError::Catalog(format!("the approved spec no longer fits the tools and the inventory: {first}"))
        })
    }
}

/// Whether a tool changes anything, so that what other engagements are changing matters.
fn changes(catalog: &Catalog, tool: &str) -> bool {
    let tool = tool.parse().ok().and_then(|name| catalog.toolbox.tool(&name));
    tool.is_some_and(|tool| tool.effect != Effect::Read)
}

/// What a decision is written with.
fn with(basis: Arc<Written>, sealed: Option<Arc<Written>>) -> Vec<Arc<Written>> {
    [basis].into_iter().chain(sealed).collect()
}

fn no_rule() -> Spoke {
    Spoke { layer: crate::policy::Layer::Boundary, rule: "boundary.none".into(), reason: "nothing permits it".into() }
}

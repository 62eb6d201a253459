//! What a person says: answers to the open question, edits and cancellations. An answer is refused if what it was asked
//! on is no longer what there is.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use crate::{
    artifact::{Agent, ArtifactKind, Digest, OnFailure, SolutionDesign, Spec, YamlError, digest_of, from_yaml},
    engagement::{
        About, Actor, Answer, Answered, Command, DocumentError, Gate, GateState, Refusal, Standing, State,
        parse_document,
    },
    facts::{Identity, IdentityMeans, Role},
    gate::{ApprovalRequest, GateError, OfferedCall, approval_request, run_unasked, what_changed},
    ledger::{Journal, JournalError, LedgerError},
    model::Models,
    policy::{Catalog, design_problems, holes_for_nobody, spec_problems},
};

use super::{
    drafting::endpoints,
    driver::{file, view},
    error::DriverError,
    error::WorkspaceError,
    signing::{Signer, SigningError, in_role, needs_signature, sign_answer, signed_documents, signed_words},
    stands::Grounds,
    workspace::Workspace,
};

/// The open question, as it was asked and as it would be asked now.
#[derive(Clone, Debug)]
pub struct Open {
    /// What was asked.
    pub asked: ApprovalRequest,
    /// Its digest.
    pub digest: Digest,
    /// What changed since, in words; empty where nothing did.
    pub changed: Vec<String>,
}

/// What a person chooses.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// Yes.
    Approve(Yes),
    /// No, and why.
    Reject {
        /// Why.
        reason: String,
    },
    /// What a failure means for the rest.
    Failure(OnFailure),
    /// Whether an unknown call took effect.
    Applied(bool),
}

/// How much of what was asked a yes is for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Yes {
    /// At gate 2: the nodes whose destructive calls are ticked, one by one.
    pub ticked: BTreeSet<String>,
    /// At gate 2: approve only the calls of these nodes; the others ask again when they are reached.
    pub only: Option<BTreeSet<String>>,
    /// Why; accepting a deviation needs it.
    pub reason: Option<String>,
}

/// Who answered what.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// What about.
    pub about: About,
    /// Who, and how that is known.
    pub by: Identity,
}

/// An answer that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Nothing is open.
    #[error("nothing is open to answer in {id}{meanwhile}; look with `countersign show {id}`")]
    NothingOpen {
        /// The engagement.
        id: String,
        /// What happened meanwhile, where something did.
        meanwhile: String,
    },
    /// It is not what was shown.
    #[error("the question changed since it was asked:\n{}\n`countersign run {id}` asks it anew, `countersign show {id}` shows what was asked", .changed.iter().map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n"))]
    Changed {
        /// What changed.
        changed: Vec<String>,
        /// The engagement.
        id: String,
    },
    /// It names another question than the one that is open.
    #[error("the open question has the digest {open}, not {given}; look again with `countersign show {id}`")]
    OtherDigest {
        /// The open question's digest.
        open: String,
        /// The digest given.
        given: String,
        /// The engagement.
        id: String,
    },
    /// The digest given says too little.
    #[error(
        "`{given}` is too short: the whole digest is needed, because first digits can be made alike; the open question has {open}; look with \
         `countersign show {id}`"
    )]
    ShortDigest {
        /// The open question's digest.
        open: String,
        /// The digest given.
        given: String,
        /// The engagement.
        id: String,
    },
    /// A named step has no call in this question.
    #[error("`{step}` is no step whose call this question offers; it offers {}", if .offered.is_empty() { "none".to_owned() } else { .offered.join(", ") })]
    NoSuchStep {
        /// What was named.
        step: String,
        /// The steps whose calls are offered.
        offered: Vec<String>,
    },
    /// A named step is not one of those that are ticked one by one.
    #[error(
        "`{0}` is neither destructive nor irreversible, so there is nothing to tick; to approve only some of the calls, name \
         them with `--only`"
    )]
    NothingToTick(String),
    /// What is left out of a yes would run all the same.
    #[error(
        "{} would run all the same: at this trust stage policies/stages.cedar lets it run by itself once the design is \
         approved. Approve it with the rest{}, reject the design (`countersign reject {id} --reason …`), or have the stage lowered \
         (`countersign trust set`)",
        .steps.join(", "), if *.ticks { " (`--tick`)" } else { "" }
    )]
    RunsUnasked {
        /// The steps.
        steps: Vec<String>,
        /// Whether one of them is ticked by itself.
        ticks: bool,
        /// The engagement.
        id: String,
    },
    /// No step failed in a way that could be tried again.
    #[error("no step of {0} can be tried again; look with `countersign show {0}`")]
    NothingToRetry(String),
    /// The engagement does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The engagement does not allow it as it stands.
    #[error("{refusal}; see where it stands with `countersign show {id}`")]
    NotNow {
        /// Why not.
        refusal: Refusal,
        /// The engagement.
        id: String,
    },
    /// The ledger could not be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A document of the chain is missing.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Files of the workspace do not load.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The question cannot be asked.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The text is not a document.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// The document cannot stand.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Problems(Vec<YamlError>),
    /// There is nothing to edit.
    #[error("{0} has nothing to edit now: a spec can be edited before the build, a design in the design phase")]
    NothingToEdit(String),
    /// A name is not enough.
    #[error(
        "an answer here needs your signature, because {because}; give your SSH key: \
         `--key ~/.ssh/id_ed25519`, a .pub file whose key ssh-agent holds, `--key agent`, or COUNTERSIGN_KEY; try\n{next}"
    )]
    NeedsSignature {
        /// Why.
        because: String,
        /// What to type.
        next: String,
    },
    /// It could not be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// It could not be filed.
    #[error("{0}")]
    Driver(String),
}

/// A refusal with what to do about it, where it does not say that itself.
pub(super) fn not_now(error: JournalError, id: &str) -> AnswerError {
    match error {
        JournalError::Ledger(error) => AnswerError::Ledger(error),
        JournalError::Refused(refusal) => refused(refusal, id),
    }
}

fn refused(refusal: Refusal, id: &str) -> AnswerError {
    match refusal {
        Refusal::Cancelled(_)
        | Refusal::GateClosed(_)
        | Refusal::OutOfOrder { .. }
        | Refusal::NotMadeFrom(_)
        | Refusal::Call(_) => AnswerError::NotNow { refusal, id: id.to_owned() },
        other => AnswerError::Refused(other),
    }
}

/// That nothing is open, with what the last answer was.
pub fn nothing_open(state: &State) -> AnswerError {
    let answer = |answered: &Answered| match &answered.answer {
        Answer::Approve => "approved".to_owned(),
        Answer::Reject => "rejected".to_owned(),
        Answer::Choose(choice) => format!("answered (to {})", choice.words()),
        Answer::Applied(applied) => {
            format!("answered (that the call did {}take effect)", if *applied { "" } else { "not " })
        }
    };
    let last = state.answers.last().map(|(actor, at, answered)| {
        let at = at.strftime("%Y-%m-%d %H:%M:%S UTC");
        let gate = [Gate::One, Gate::Two].into_iter().find(|gate| gate.about() == answered.about);
        let voided = answered.answer == Answer::Approve && gate.is_some_and(|gate| !state.gate_open(gate));
        let voided = if voided {
            format!(", and another version was filed since; `countersign run {}` asks about it", state.id)
        } else {
            String::new()
        };
        format!("; {} was {} by {actor} on {at}{voided}", answered.about, answer(answered))
    });
    let over = state.closed.as_ref().map(|closed| format!("; it is closed: {}", closed.reason));
    let cancelled = state.cancelled.as_ref().map(|reason| format!("; it was cancelled: {reason}"));
    AnswerError::NothingOpen { id: state.id.to_string(), meanwhile: over.or(cancelled).or(last).unwrap_or_default() }
}

/// The trust stage that an engagement stands at now.
pub async fn standing(workspace: &Workspace, journal: &Journal, catalog: &Catalog) -> Result<Standing, LedgerError> {
    let (trust, _) = workspace.around.read(journal.store(), None).await?;
    Ok(Standing::of(&view(journal, catalog), &catalog.inventory, &trust.trust_by(&catalog.signers, &catalog.people)))
}

/// When what is approved now ends.
pub(super) fn expiry(journal: &Journal, catalog: &Catalog, now: Timestamp) -> Timestamp {
    let opens = journal.documents().spec().and_then(|spec| spec.window).map_or(now, |window| window.from.max(now));
    let lasts = SignedDuration::from_hours(catalog.people.approvals_last_hours.into());
    opens.checked_add(lasts).unwrap_or(Timestamp::MAX)
}

/// The open question of an engagement, if there is one, as these models would have it asked.
pub async fn open_question(
    workspace: &Workspace,
    journal: &Journal,
    catalog: &Arc<Catalog>,
    models: &Models,
) -> Result<Option<Open>, AnswerError> {
    let Some(asked) = &journal.state().asked else { return Ok(None) };
    let standing = standing(workspace, journal, catalog).await?;
    let request: ApprovalRequest = parse_document(asked.request, journal.blobs(), "approval request")?;
    let models = endpoints(models, journal.state());
    let on = Grounds { head: journal.state().head, catalog, standing: &standing, models: &models };
    if workspace.stands.known(&on) {
        return Ok(Some(Open { digest: asked.request, asked: request, changed: Vec::new() }));
    }
    let now = approval_request(&view(journal, catalog), catalog, &standing, &models, &asked.about)?;
    let changed = if digest_of(&now).map_err(GateError::from)? == asked.request {
        workspace.stands.keep(&on);
        Vec::new()
    } else {
        let mut changed = what_changed(&request, &now);
        if changed.is_empty() {
            changed.push("the text that would be shown".into());
        }
        changed
    };
    Ok(Some(Open { asked: request, digest: asked.request, changed }))
}

/// Answers the open question. `seen` is the digest that the person names, where they name one; the answer is signed
/// where there is a signer.
pub async fn answer(
    workspace: &Workspace,
    journal: &mut Journal,
    identity: Identity,
    choice: Choice,
    (seen, signer): (Option<&str>, Option<&dyn Signer>),
) -> Result<Given, AnswerError> {
    let id = journal.id().to_string();
    let catalog = workspace.catalog_of(journal)?;
    let open = open_question(workspace, journal, &catalog, &workspace.models()?)
        .await?
        .ok_or_else(|| nothing_open(journal.state()))?;
    if let Some(given) = seen {
        let wanted = given.strip_prefix("sha256:").unwrap_or(given);
        // All of it: whoever may write both drafts can make two whose first digits are the same.
        if wanted.len() < open.digest.hex().len() {
            return Err(AnswerError::ShortDigest { open: open.digest.hex(), given: given.to_owned(), id });
        }
        if wanted != open.digest.hex() {
            return Err(AnswerError::OtherDigest { open: open.digest.hex(), given: given.to_owned(), id });
        }
    }
    if !open.changed.is_empty() && !matches!(choice, Choice::Reject { .. }) {
        return Err(AnswerError::Changed { changed: open.changed, id });
    }
    let about = open.asked.about.clone();
    let (answer, reason, calls) = match choice {
        Choice::Reject { reason } => (Answer::Reject, Some(reason), Vec::new()),
        Choice::Failure(on) => (Answer::Choose(on), None, Vec::new()),
        Choice::Applied(applied) => (Answer::Applied(applied), None, Vec::new()),
        Choice::Approve(Yes { ticked, only, reason }) => {
            let offered = &open.asked.calls;
            let known = |tick: &&String| offered.iter().any(|call| call.node.as_str() == tick.as_str());
            if let Some(unknown) = ticked.iter().chain(only.iter().flatten()).find(|tick| !known(tick)) {
                let offered = offered.iter().map(|call| call.node.to_string()).collect();
                return Err(AnswerError::NoSuchStep { step: unknown.clone(), offered });
            }
            let plain = |tick: &&String| offered.iter().any(|call| call.node.as_str() == **tick && !call.destructive);
            if let Some(plain) = ticked.iter().find(plain) {
                return Err(AnswerError::NothingToTick(plain.clone()));
            }
            let wanted = |node: &str| only.as_ref().is_none_or(|only| only.contains(node));
            let yes = |call: &OfferedCall| {
                (!call.destructive || ticked.contains(call.node.as_str())) && wanted(call.node.as_str())
            };
            if about == About::Gate2 && offered.iter().any(|call| !yes(call)) {
                let unasked = run_unasked(&view(journal, &catalog), &catalog, &open.asked)?;
                let left: Vec<_> = offered.iter().filter(|call| !yes(call) && unasked.contains(&call.node)).collect();
                if !left.is_empty() {
                    let ticks = left.iter().any(|call| call.destructive);
                    let steps = left.iter().map(|call| call.node.to_string()).collect();
                    return Err(AnswerError::RunsUnasked { steps, ticks, id });
                }
            }
            let calls = if about == About::Gate2 {
                offered.iter().filter(|call| yes(call)).map(|call| call.call).collect()
            } else {
                Vec::new()
            };
            (Answer::Approve, reason, calls)
        }
    };
    let roles = catalog.people.roles(&identity);
    // An event is never earlier than the one before it.
    let now = journal.now();
    let ends = expiry(journal, &catalog, now);
    let expires = (answer == Answer::Approve).then_some(ends);
    let request = open.digest;
    let answered = {
        let (about, answer, role) = (about.clone(), answer.clone(), Role::Requester);
        let (reason, calls, policy, signature) = (reason.clone(), calls.clone(), None, None);
        Answered { about, request, answer, role, reason, calls, expires, policy, signature }
    };
    let answered = in_role(journal.state(), &catalog, &identity, answered)?;
    let mut identity = identity;
    let mut documents = Vec::new();
    let signed = match signer {
        None if needs_signature(journal.state(), &answered.answer) => {
            let because = open.asked.signature_because.join(", and ");
            let next = signed_words(&id, &about, open.digest);
            return Err(AnswerError::NeedsSignature { because, next });
        }
        None => None,
        Some(signer) => {
            let signed = sign_answer(workspace, signer, journal.state(), &answered, &identity, (now, ends)).await?;
            identity.means = IdentityMeans::Signed;
            documents = signed_documents(&signed)?;
            Some(Box::new(signed))
        }
    };
    let command = Command::Answer { about: about.clone(), request, answer, roles, reason, calls, expires, signed };
    let done = journal.act(now, Actor::Person(identity.clone()), command, &documents).await;
    done.map_err(|error| not_now(error, &id))?;
    Ok(Given { about, by: identity })
}

/// Ends an engagement. What was begun is finished and recorded by the next run.
pub async fn cancel(
    workspace: &Workspace,
    journal: &mut Journal,
    identity: Identity,
    reason: String,
) -> Result<(), AnswerError> {
    let roles = workspace.load_catalog()?.people.roles(&identity);
    if !roles.contains(&Role::Requester) {
        return Err(Refusal::NotInRole(Role::Requester).into());
    }
    let id = journal.id().to_string();
    let (command, actor) = (Command::Cancel { reason, roles }, Actor::Person(identity));
    loop {
        match journal.act(journal.now(), actor.clone(), command.clone(), &[]).await {
            // Whoever runs it writes all the time; it is cancelled after what they wrote, until there is nothing left to
            // cancel.
            Err(JournalError::Ledger(LedgerError::Conflict(_))) if journal.catch_up().await? > 0 => {}
            done => return done.map_err(|error| not_now(error, &id)),
        }
    }
}

/// Files a version that a person wrote, in a file of this name; nothing where that is the one that is there. The text is
/// checked first; nothing is written if it does not stand.
pub async fn edit(
    workspace: &Workspace,
    journal: &mut Journal,
    identity: Identity,
    artifact: ArtifactKind,
    name: &str,
    text: &str,
) -> Result<Option<Digest>, AnswerError> {
    // A spec is about what the files say; targets are found again for each version of it.
    let catalog = match artifact {
        ArtifactKind::Spec => workspace.load_catalog()?,
        _ => workspace.catalog_of(journal)?,
    };
    let state = journal.state();
    let placed = |problems: Vec<crate::artifact::SpecError>| {
        let at = |problem: &crate::artifact::SpecError| YamlError::at(name, text, &problem.path, &problem.message);
        AnswerError::Problems(problems.iter().map(at).collect())
    };
    // Whoever may ask for it or may say yes to it may also say it better.
    let roles = catalog.people.roles(&identity);
    if !roles.contains(&Role::Requester) && !roles.contains(&Role::Approver) {
        return Err(Refusal::NotInRole(Role::Requester).into());
    }
    let actor = Actor::Person(identity);
    let named = state.id.to_string();
    let filed = |error: DriverError| match error {
        DriverError::Refused(refusal) => refused(refusal, &named),
        DriverError::Ledger(error) => AnswerError::Ledger(error),
        other => AnswerError::Driver(other.to_string()),
    };
    // What a person said no to is asked about again when it is filed again; any other that is there already is left.
    let gate = if artifact == ArtifactKind::Spec { Gate::One } else { Gate::Two };
    let wanted = matches!(state.gate(gate), GateState::Rejected { .. }) || state.asked_anew().is_some();
    let current = state.artifact(artifact).filter(|_| !wanted);
    let digested = |error: crate::artifact::CanonicalError| AnswerError::Driver(error.to_string());
    match artifact {
        ArtifactKind::Spec => {
            let mut spec: Spec = from_yaml(name, text)?;
            spec.request = Some(state.requested.request);
            let problems = spec_problems(&spec, &catalog);
            if !problems.is_empty() {
                return Err(placed(problems));
            }
            let digest = digest_of(&spec).map_err(digested)?;
            if current == Some(digest) {
                return Ok(None);
            }
            let command = Command::File { artifact, digest, made_from: vec![state.requested.request] };
            file(journal, actor, command, &spec).await.map_err(filed)?;
            Ok(Some(digest))
        }
        ArtifactKind::Design => {
            let nothing = || AnswerError::NothingToEdit(state.id.to_string());
            let spec = journal.documents().spec().cloned().ok_or_else(nothing)?;
            let mut design: SolutionDesign = from_yaml(name, text)?;
            design.spec = state.artifact(ArtifactKind::Spec).ok_or_else(nothing)?;
            design.discovery = state.artifact(ArtifactKind::Discovery).ok_or_else(nothing)?;
            let mut problems = design_problems(&design, &spec, &catalog);
            if !state.requested.model || workspace.models()?.for_agent(Agent::Build).is_none() {
                problems.extend(holes_for_nobody(&design.steps));
            }
            let facts = journal.documents().facts().map(|facts| facts.as_ref().clone()).unwrap_or_default();
            if problems.is_empty()
                && let Err(error) = crate::flow::expand(&design, Digest::ZERO, &facts, |_| None, &catalog.toolbox)
            {
                problems.push(crate::artifact::SpecError::new("steps", error.to_string()));
            }
            if !problems.is_empty() {
                return Err(placed(problems));
            }
            let digest = digest_of(&design).map_err(digested)?;
            if current == Some(digest) {
                return Ok(None);
            }
            let command = Command::File { artifact, digest, made_from: vec![design.spec, design.discovery] };
            file(journal, actor, command, &design).await.map_err(filed)?;
            Ok(Some(digest))
        }
        _ => Err(AnswerError::NothingToEdit(state.id.to_string())),
    }
}

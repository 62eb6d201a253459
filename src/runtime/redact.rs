//! Redacts calls of a closed engagement: finds what goes and what still shows a value of it, has it destroyed with the
//! event that says so, and has the ledger's file written anew.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    artifact::{CallId, Digest, Written},
    engagement::{
        Actor, Call, Command, RedactionScope, Redacts, Refusal, RefusedAs, redaction, shows, shows_some, telling,
    },
    facts::{Identity, IdentityMeans},
    ledger::{Bundle, Journal, JournalError, Told},
    tool::Toolbox,
};

use super::{
    answer::AnswerError,
    signing::{Signer, sign_redaction, signed_documents},
    workspace::Workspace,
};

/// Where a value stood that was given as no argument of the tool.
const MADE_UP: &str = "args (not the tool's)";

/// What redacting some calls comes to.
#[derive(Debug, Serialize)]
pub struct Redaction {
    /// The calls: those that were named, and those that are the same call.
    pub calls: BTreeSet<CallId>,
    /// The documents of their arguments and results.
    pub documents: BTreeSet<Digest>,
    /// The answers of models that show a value of theirs.
    pub answers: BTreeSet<Digest>,
    /// Other calls that hold one of the values, and would be redacted too where they are named.
    pub also_in: BTreeSet<CallId>,
    /// The values that something else still shows, by where they stood, each with the places; no value is here.
    pub still_shown: BTreeMap<String, Vec<String>>,
}

impl Redaction {
    /// Whether there is nothing left to destroy.
    pub fn is_done(&self) -> bool {
        self.documents.is_empty() && self.answers.is_empty()
    }
}

/// What redacting these calls would come to. Nothing is changed. The tools say which arguments there are: a name that is none
/// of them is a value of whoever made it up.
///
/// # Errors
///
/// [`AnswerError::Refused`] if one is not there or cannot be redacted; and whatever reading gives.
pub async fn plan_redaction(
    journal: &Journal,
    wanted: &BTreeSet<CallId>,
    toolbox: &Toolbox,
) -> Result<Redaction, AnswerError> {
    let state = journal.state();
    let RedactionScope { calls, documents } = state.redaction_of(wanted)?;
    let mut words: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut made_up = BTreeSet::new();
    for id in &calls {
        let Some(call) = state.calls.get(id) else { continue };
        let result = call.result.and_then(|digest| journal.blob(&digest)).map(AsRef::as_ref);
        let tool = call.tool_name().and_then(|name| toolbox.tool(&name));
        let invalid = matches!(call.refused, Some((RefusedAs::Invalid, _)));
        let is_one = |name: &str| !invalid || tool.is_some_and(|tool| tool.args.properties.contains_key(name));
        let mut told: Vec<_> = result.map(|result| telling("result", result)).into_iter().flatten().collect();
        for (name, value) in call.args.read(journal.blobs()).into_iter().flatten() {
            if is_one(name) {
                told.extend(telling(&format!("args.{name}"), value));
                continue;
            }
            // What stands deeper stands under names that were made up too.
            told.extend(telling(MADE_UP, value).into_values().map(|some| (MADE_UP.to_owned(), some)));
            // A name may be an ordinary word: what shows it is named, and not destroyed for it.
            made_up.extend(Some(name.clone()).filter(|name| name.contains(char::is_alphanumeric)));
        }
        for (path, some) in told {
            words.entry(path).or_default().extend(some);
        }
    }
    let bundle = Bundle::export(journal.store().as_ref(), journal.id()).await?;
    let gone = |told: &Told| told.digest.is_some_and(|digest| documents.contains(&digest));
    let rest: Vec<Told> = bundle.told().into_iter().filter(|told| !gone(told)).collect();
    let said = |told: &Told| told.digest.filter(|digest| state.sealed_answers.contains(digest));
    let any = |told: &Told| words.values().flatten().any(|word| shows(&told.value, word));
    let answers: BTreeSet<Digest> = rest.iter().filter(|told| any(told)).filter_map(said).collect();
    let stays = |told: &&Told| !told.digest.is_some_and(|digest| answers.contains(&digest));
    let (mut still_shown, mut showing) = (BTreeMap::new(), BTreeSet::new());
    words.entry(MADE_UP.to_owned()).or_default().extend(made_up);
    for (path, words) in words {
        let shown = |told: &&Told| words.iter().any(|word| shows_some(&told.value, word));
        let places: Vec<&Told> = rest.iter().filter(stays).filter(shown).collect();
        showing.extend(places.iter().filter_map(|told| told.digest));
        if !places.is_empty() {
            still_shown.insert(path, places.into_iter().map(|told| told.what.clone()).collect());
        }
    }
    let holds = |call: &Call| call.result.into_iter().chain(call.args.sealed()).any(|held| showing.contains(&held));
    let also_in = state.calls.iter().filter(|(id, call)| !calls.contains(*id) && holds(call));
    let also_in = also_in.map(|(id, _)| id.clone()).collect();
    Ok(Redaction { calls, documents, answers, also_in, still_shown })
}

/// Destroys it. The answer is whether no file of the ledger holds any of it any more; while another process reads the
/// ledger that cannot be, and redacting the same calls again tries it again.
///
/// # Errors
///
/// [`AnswerError::Refused`] if the engagement is open, the person may not, no reason is given or a signature is needed,
/// [`AnswerError::Signing`] if there is none; and whatever writing gives.
pub async fn redact(
    workspace: &Workspace,
    journal: &mut Journal,
    mut identity: Identity,
    planned: &Redaction,
    reason: String,
    signer: Option<&dyn Signer>,
) -> Result<bool, AnswerError> {
    if !planned.is_done() {
        let people = &workspace.load_catalog()?.people;
        let roles = people.roles(&identity);
        let file = Written::of(people).map_err(|error| AnswerError::Driver(error.to_string()))?;
        let by = Redacts { roles, needs: people.redact, people: file.digest(), reason };
        // Whoever may not is told so before a key is asked for.
        let redacted = redaction(journal.state(), &planned.calls, &planned.answers, by.clone())?;
        if signer.is_none() && journal.state().has_signatures() {
            return Err(Refusal::NeedsSignature.into());
        }
        // An event is never earlier than the one before it.
        let now = journal.now();
        let (mut documents, mut signed) = (vec![file], None);
        if let Some(signer) = signer {
            let by_key = sign_redaction(workspace, signer, journal.state(), &redacted, &identity, now)?;
            identity.means = IdentityMeans::Signed;
            documents.extend(signed_documents(&by_key)?);
            signed = Some(Box::new(by_key));
        }
        let (calls, answers) = (planned.calls.clone(), planned.answers.clone());
        let command = Command::Redact { calls, answers, by, signed };
        let done = journal.act(now, Actor::Person(identity), command, &documents).await;
        done.map_err(|error| match error {
            JournalError::Refused(refusal) => AnswerError::Refused(refusal),
            JournalError::Ledger(error) => AnswerError::Ledger(error),
        })?;
    }
    Ok(journal.store().scrub().await?)
}

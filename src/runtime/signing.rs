//! Signed answers: what is to be signed is put together here and handed to whoever has the key. The key itself is
//! never here, and whoever drives an engagement has no signer at all.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::{
    artifact::{CanonicalError, Digest, Nonce, Written, canonical},
    engagement::{
        About, Answer, Answered, ApprovalStatement, Asked, Head, Once, Redacted, RedactionStatement, Refusal, Signed,
        State, Statement, TrustSet, TrustStatement,
    },
    facts::{AllowedSigners, Identity},
    ledger::{KeyError, LedgerError, Store, head, last_checkpoint},
    policy::Catalog,
};

use super::{error::WorkspaceError, workspace::Workspace};

/// Whoever has a person's key.
pub trait Signer: Sync {
    /// The armored SSH signature of a message; else why there is none and what to do.
    ///
    /// # Errors
    ///
    /// [`Unsigned`], in words: no key, no passphrase, a key that does not sign for this person.
    fn sign(&self, wanted: &Wanted<'_>) -> Result<String, Unsigned>;
}

/// Why a key made no signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsigned {
    /// The key is not there, is none, or cannot be used.
    Unusable(String),
    /// `policies/allowed_signers` does not let it sign this.
    NotAllowed(String),
}

impl From<String> for Unsigned {
    fn from(why: String) -> Self {
        Self::Unusable(why)
    }
}

/// What is to be signed, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The bytes.
    pub message: &'a [u8],
    /// What the signature is for.
    pub namespace: &'a str,
    /// The person.
    pub person: &'a str,
    /// Whose keys sign for whom.
    pub signers: &'a AllowedSigners,
    /// When it is given.
    pub at: Timestamp,
}

/// A signature that there is not.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// There is no signature, and why.
    #[error("{0}")]
    Unusable(String),
    /// The key may not sign this for the person.
    #[error("{0}")]
    NotAllowed(String),
    /// The ledger's own keys are not those of its log.
    #[error("{0}; nothing is signed before that")]
    Keys(#[from] KeyError),
    /// `policies/allowed_signers` does not load.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<Unsigned> for SigningError {
    fn from(unsigned: Unsigned) -> Self {
        match unsigned {
            Unsigned::Unusable(why) => Self::Unusable(why),
            Unsigned::NotAllowed(why) => Self::NotAllowed(why),
        }
    }
}

/// The only asking of a question.
pub(super) async fn once(store: &dyn Store) -> Result<Once, LedgerError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        let source = std::io::Error::other(error.to_string());
        LedgerError::Io { doing: "read", path: "/dev/urandom".into(), source }
    })?;
    Ok(Once { ledger: store.ledger().await?, nonce: Nonce::from_bytes(bytes) })
}

/// Has an answer to the open question signed, as it will stand on the chain.
///
/// # Errors
///
/// [`SigningError`].
pub(super) async fn sign_answer(
    workspace: &Workspace,
    signer: &dyn Signer,
    state: &State,
    answered: &Answered,
    identity: &Identity,
    (at, expires): (Timestamp, Timestamp),
) -> Result<Signed<ApprovalStatement>, SigningError> {
    let statement = ApprovalStatement::of(state, answered, identity, expires);
    let own = workspace.keys().await?;
    let keys = match own.history() {
        Ok(keys) => Some(keys),
        // Without them the work goes on, which is said where it stops; others in their place are another matter.
        Err(KeyError::Lost(_)) => None,
        Err(error) => return Err(error.into()),
    };
    if keys.is_some() {
        // An old copy of the folder is put right there, and not by restoring the ledger.
        own.fit(last_checkpoint(workspace.store().as_ref()).await?.map(|(_, note)| note).as_ref())?;
    }
    let log = head(workspace.store().as_ref(), keys.as_ref()).await?;
    let statement = statement.map(|statement| ApprovalStatement { log, ..statement });
    let statement = statement.ok_or_else(|| {
        SigningError::Unusable(format!("this question cannot be signed; `countersign run {}` asks it anew", state.id))
    })?;
    sign(workspace, signer, statement, at)
}

/// Has a trust stage signed, as it will follow `head`.
///
/// # Errors
///
/// [`SigningError`].
pub async fn sign_trust(
    workspace: &Workspace,
    signer: &dyn Signer,
    set: &TrustSet,
    by: &Identity,
    head: Head,
    at: Timestamp,
) -> Result<Signed<TrustStatement>, SigningError> {
    let ledger = workspace.store().ledger().await?;
    let expires = at.checked_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX);
    sign(workspace, signer, TrustStatement::of(set, ledger, by, head, expires), at)
}

/// Has a redaction signed, as it will follow in this state.
///
/// # Errors
///
/// [`SigningError`].
pub(super) fn sign_redaction(
    workspace: &Workspace,
    signer: &dyn Signer,
    state: &State,
    redacted: &Redacted,
    by: &Identity,
    at: Timestamp,
) -> Result<Signed<RedactionStatement>, SigningError> {
    let expires = at.checked_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX);
    sign(workspace, signer, RedactionStatement::of(state, redacted, by, expires), at)
}

fn sign<T: Statement>(
    workspace: &Workspace,
    signer: &dyn Signer,
    statement: T,
    at: Timestamp,
) -> Result<Signed<T>, SigningError> {
    let signers = workspace.load_signers()?;
    let message = canonical(&statement).map_err(|error| SigningError::Unusable(error.to_string()))?;
    let (namespace, person) = (statement.namespace(), statement.person());
    let wanted = Wanted { message: &message, namespace, person, signers: &signers, at };
    let armored = signer.sign(&wanted)?;
    Ok(Signed { statement, armored, signers, at })
}

/// What is stored beside what was signed.
pub(super) fn signed_documents<T: Statement>(signed: &Signed<T>) -> Result<Vec<Arc<Written>>, SigningError> {
    let unusable = |error: CanonicalError| SigningError::Unusable(error.to_string());
    let statement = Written::of(&signed.statement).map_err(unusable)?;
    Ok(vec![statement, Written::of(&signed.signers.document()).map_err(unusable)?])
}

/// Whether an answer to the open question needs a signature.
pub(super) fn needs_signature(state: &State, answer: &Answer) -> bool {
    *answer != Answer::Reject && state.asked.as_ref().is_some_and(Asked::needs_signature)
}

/// The answer in the highest role that is enough for it. Whoever may not give it is told so before a key is asked for.
pub(super) fn in_role(
    state: &State,
    catalog: &Catalog,
    identity: &Identity,
    answered: Answered,
) -> Result<Answered, Refusal> {
    let asked = state.asked.as_ref().ok_or_else(|| Refusal::NothingAsked(state.id.to_string()))?;
    let enough = catalog.people.roles(identity).into_iter().filter(|role| *role >= asked.role).max();
    if answered.answer == Answer::Approve && asked.barred.contains(&identity.name) {
        return Err(Refusal::SameHands(identity.name.clone()));
    }
    Ok(Answered { role: enough.ok_or(Refusal::NotInRole(asked.role))?, ..answered })
}

/// What to type to answer a question with a signature.
pub(super) fn signed_words(id: &str, about: &About, digest: Digest) -> String {
    let (key, digest) = ("--key ~/.ssh/id_ed25519", digest.hex());
    match about {
        About::Failure { .. } => format!("countersign answer {id} CHOICE --digest {digest} {key}"),
        About::Unknown { .. } => format!("countersign answer {id} CHOICE --digest {digest} {key}"),
        About::Deviation { .. } => format!("countersign approve {id} --digest {digest} --reason … {key}"),
        About::Gate1 | About::Gate2 | About::Call { .. } => {
            format!("countersign approve {id} --digest {digest} {key}")
        }
    }
}

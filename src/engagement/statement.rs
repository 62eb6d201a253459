//! What people sign: a statement that says exactly what is answered, and what the answer rests on. Its canonical bytes
//! are what the SSH key signs and what is stored, so that whoever has them can check both. Pure: the signature is made
//! elsewhere, by whoever has the key; here it is checked.
//!
//! A statement is for one ledger, one engagement, one question and one place in the chain, so a signature that was
//! given once opens nothing else, and nothing a second time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    artifact::{CallId, CanonicalError, Digest, EngagementId, LedgerId, Nonce, canonical, digest_bytes, digest_of},
    facts::{AllowedSigners, Identity, IdentityMeans, Role, Scope, TRUST_NAMESPACE},
};

use super::{
    event::TrustSet,
    question::{About, Answer, Answered, Once},
    redact::Redacted,
    refusal::Refusal,
    state::State,
    trust::TrustRefusal,
};

/// The last event that the approver saw: the answer is the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Its place; 0 before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: Digest,
}

/// The log over all engagements as its leaves are, signed or not yet, as the approver saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSeen {
    /// How many leaves it had.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

/// The `kind` of a signed answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalStatementKind {
    /// An answer.
    #[default]
    ApprovalStatement,
}

/// An answer, as it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalStatement {
    /// Always `approval_statement`.
    pub kind: ApprovalStatementKind,
    /// The ledger.
    pub ledger: LedgerId,
    /// The engagement.
    pub engagement: EngagementId,
    /// What about.
    pub about: About,
    /// The approval request: the artifact, the facts, policies, tools, inventory and people, and the text shown.
    pub request: Digest,
    /// The question's own number.
    pub nonce: Nonce,
    /// The last event that the approver saw.
    pub head: Head,
    /// The log over all engagements; nothing where it had no leaf yet. Whoever signs says with it what the log was,
    /// which nobody can take back later; it changes nothing about what is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogSeen>,
    /// The answer.
    pub answer: Answer,
    /// The calls that are approved with it.
    pub calls: Vec<Digest>,
    /// Why.
    pub reason: Option<String>,
    /// Who answers, by the name in people.yaml and allowed_signers.
    pub person: String,
    /// The operating-system user that this was answered as, so that nobody can say later that it was another; statements of
    /// versions before do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_user: Option<String>,
    /// The role that it is given in.
    pub role: Role,
    /// When the signature is no longer taken, and what was approved with it no longer approved.
    pub expires: Timestamp,
}

/// The `kind` of a signed trust stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustStatementKind {
    /// A trust stage.
    #[default]
    TrustStatement,
}

/// A trust stage, as it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustStatement {
    /// Always `trust_statement`.
    pub kind: TrustStatementKind,
    /// The ledger.
    pub ledger: LedgerId,
    /// The blueprint and the environment.
    pub scope: Scope,
    /// The blueprint's name.
    pub name: String,
    /// The stage before.
    pub from: u8,
    /// The stage from now on.
    pub stage: u8,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub person: String,
    /// The operating-system user that said so; statements of versions before do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_user: Option<String>,
    /// The role that it is raised in.
    pub role: Option<Role>,
    /// The last event of the trust chain.
    pub head: Head,
    /// When the signature is no longer taken.
    pub expires: Timestamp,
}

/// The `kind` of a signed redaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedactionStatementKind {
    /// A redaction.
    #[default]
    RedactionStatement,
}

/// A redaction, as it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedactionStatement {
    /// Always `redaction_statement`.
    pub kind: RedactionStatementKind,
    /// The engagement.
    pub engagement: EngagementId,
    /// The calls.
    pub calls: Vec<CallId>,
    /// The documents that are destroyed.
    pub destroyed: Vec<Digest>,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub person: String,
    /// The operating-system user that said so; statements of versions before do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_user: Option<String>,
    /// The role that it is done in.
    pub role: Role,
    /// The people file that says which role may.
    pub people: Digest,
    /// The last event of the engagement, of which there is one in one ledger.
    pub head: Head,
    /// When the signature is no longer taken.
    pub expires: Timestamp,
}

/// What can be signed.
pub trait Statement: Serialize {
    /// What the signature is for; see [`crate::facts::NAMESPACES`].
    fn namespace(&self) -> &'static str;
    /// Who signs it.
    fn person(&self) -> &str;
    /// From when on the signature is not taken.
    fn expires(&self) -> Timestamp;
}

impl About {
    /// What an answer about this is signed for.
    pub fn namespace(&self) -> &'static str {
        match self {
            Self::Gate1 | Self::Gate2 => "countersign-gate",
            Self::Call { .. } => "countersign-call",
            Self::Deviation { .. } => "countersign-deviation",
            Self::Failure { .. } | Self::Unknown { .. } => "countersign-answer",
        }
    }
}

impl Statement for ApprovalStatement {
    fn namespace(&self) -> &'static str {
        self.about.namespace()
    }

    fn person(&self) -> &str {
        &self.person
    }

    fn expires(&self) -> Timestamp {
        self.expires
    }
}

impl Statement for TrustStatement {
    fn namespace(&self) -> &'static str {
        TRUST_NAMESPACE
    }

    fn person(&self) -> &str {
        &self.person
    }

    fn expires(&self) -> Timestamp {
        self.expires
    }
}

impl Statement for RedactionStatement {
    fn namespace(&self) -> &'static str {
        "countersign-redact"
    }

    fn person(&self) -> &str {
        &self.person
    }

    fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// A statement with its signature, and what the signature is checked against.
#[derive(Clone, Debug, PartialEq)]
pub struct Signed<T> {
    /// What was signed.
    pub statement: T,
    /// The signature, as `ssh-keygen -Y sign` writes it.
    pub armored: String,
    /// Whose keys sign for whom.
    pub signers: AllowedSigners,
    /// When it is given: the time of the event that it goes into.
    pub at: Timestamp,
}

/// What an event keeps of a signature; the statement and the signers are stored beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The digest of the statement: of exactly the bytes that were signed.
    pub statement: Digest,
    /// The digest of `policies/allowed_signers` as it was then.
    pub signers: Digest,
    /// The fingerprint of the key.
    pub key: String,
    /// The signature, as `ssh-keygen -Y sign` writes it.
    pub armored: String,
}

impl<T: Statement> Signed<T> {
    /// What an event keeps of it, if the signature is good; else why it is not.
    pub fn check(&self) -> Result<Signature, String> {
        let said = |error: CanonicalError| error.to_string();
        let (person, namespace) = (self.statement.person(), self.statement.namespace());
        let expires = self.statement.expires();
        if self.at >= expires {
            return Err(format!("it was good until {expires}, and this is {}", self.at));
        }
        let message = canonical(&self.statement).map_err(said)?;
        let key = self.signers.check(person, namespace, self.at, &message, &self.armored)?;
        let signers = digest_of(&self.signers.document()).map_err(said)?;
        Ok(Signature { statement: digest_bytes(&message), signers, key, armored: self.armored.clone() })
    }
}

impl ApprovalStatement {
    /// The statement of an answer to the open question; nothing where none is open that can be signed.
    pub fn of(state: &State, answered: &Answered, by: &Identity, expires: Timestamp) -> Option<Self> {
        let Once { ledger, nonce } = state.asked.as_ref()?.once.clone()?;
        Some(Self {
            kind: ApprovalStatementKind::ApprovalStatement,
            ledger,
            engagement: state.id.clone(),
            about: answered.about.clone(),
            request: answered.request,
            nonce,
            head: Head { seq: state.seq, hash: state.head },
            log: None,
            answer: answered.answer.clone(),
            calls: answered.calls.clone(),
            reason: answered.reason.clone(),
            person: by.name.clone(),
            os_user: Some(by.os_user.clone()),
            role: answered.role,
            expires,
        })
    }

    /// How it differs from what is being answered, by whom if that is known, if it does: a signature over it is none over that.
    pub fn differs(&self, state: &State, answered: &Answered, by: Option<&Identity>) -> Option<String> {
        let said = said_by(&self.person, self.os_user.as_ref());
        let Some(now) = Self::of(state, answered, by.unwrap_or(&said), self.expires) else {
            return Some(
                "no question is open that a signature could answer; ask it anew with `countersign run`".into(),
            );
        };
        let expires = (answered.answer == Answer::Approve).then_some(self.expires);
        let other = [
            ("ledger", self.ledger == now.ledger),
            ("engagement", self.engagement == now.engagement),
            ("question", self.about == now.about),
            ("approval request", self.request == now.request),
            ("asking of the question", self.nonce == now.nonce),
            ("answer", self.answer == now.answer),
            ("list of calls", self.calls == now.calls),
            ("reason", self.reason == now.reason),
            ("person", self.person == now.person),
            ("operating-system user", self.os_user.is_none() || self.os_user == now.os_user),
            ("role", self.role == now.role),
            ("expiry", answered.expires == expires),
            ("place in the chain", self.head == now.head),
        ];
        let other = other.into_iter().find(|(_, same)| !same);
        other.map(|(what, _)| format!("what was signed is for another {what}"))
    }
}

/// Who says what is signed so.
fn said_by(person: &str, os_user: Option<&String>) -> Identity {
    let (name, os_user) = (person.to_owned(), os_user.cloned().unwrap_or_default());
    Identity { name, os_user, means: IdentityMeans::Signed }
}

impl RedactionStatement {
    /// The statement of a redaction that is to follow in this state.
    pub fn of(state: &State, redacted: &Redacted, by: &Identity, expires: Timestamp) -> Self {
        let Redacted { calls, destroyed, reason, role, people, .. } = redacted.clone();
        let head = Head { seq: state.seq, hash: state.head };
        let (kind, engagement) = (RedactionStatementKind::RedactionStatement, state.id.clone());
        let (person, os_user) = (by.name.clone(), Some(by.os_user.clone()));
        Self { kind, engagement, calls, destroyed, reason, person, os_user, role, people, head, expires }
    }

    /// Whether it is for this redaction, there, by this person, from this account where it says one.
    pub fn is_for(&self, state: &State, redacted: &Redacted, by: &Identity) -> bool {
        let now = Self::of(state, redacted, by, self.expires);
        *self == Self { os_user: now.os_user.filter(|_| self.os_user.is_some()), ..now }
    }

    /// Puts the signature into a redaction, which needs one where answers do.
    pub fn sign(state: &State, redacted: Redacted, signed: Option<&Signed<Self>>) -> Result<Redacted, Refusal> {
        let Some(signed) = signed else {
            return if state.signed { Err(Refusal::NeedsSignature) } else { Ok(redacted) };
        };
        let Self { person, os_user, .. } = &signed.statement;
        if !signed.statement.is_for(state, &redacted, &said_by(person, os_user.as_ref())) {
            return Err(Refusal::Signature(
                "what was signed is for another redaction, person, account or place".into(),
            ));
        }
        let signature = signed.check().map_err(Refusal::Signature)?;
        Ok(Redacted { signature: Some(signature), ..redacted })
    }
}

impl TrustStatement {
    /// The statement of a trust stage that is to follow `head`.
    pub fn of(set: &TrustSet, ledger: LedgerId, by: &Identity, head: Head, expires: Timestamp) -> Self {
        Self {
            kind: TrustStatementKind::TrustStatement,
            ledger,
            scope: set.scope.clone(),
            name: set.name.clone(),
            from: set.from,
            stage: set.stage,
            reason: set.reason.clone(),
            person: by.name.clone(),
            os_user: Some(by.os_user.clone()),
            role: set.role,
            head,
            expires,
        }
    }

    /// Whether it is for this stage, there, by this person, from this account where it says one.
    pub fn is_for(&self, set: &TrustSet, ledger: LedgerId, by: &Identity, head: Head) -> bool {
        let now = Self::of(set, ledger, by, head, self.expires);
        *self == Self { os_user: now.os_user.filter(|_| self.os_user.is_some()), ..now }
    }

    /// Puts the signature into what is set. Raising needs one; lowering takes one where it is given.
    pub fn sign(
        set: TrustSet,
        signed: Option<&Signed<Self>>,
        ledger: LedgerId,
        by: &Identity,
        head: Head,
    ) -> Result<TrustSet, TrustRefusal> {
        let Some(signed) = signed else {
            return if set.stage > set.from { Err(TrustRefusal::NeedsSignature) } else { Ok(set) };
        };
        if signed.statement != Self::of(&set, ledger, by, head, signed.statement.expires) {
            return Err(TrustRefusal::Signature(
                "what was signed is for another ledger, stage, person, account or place".into(),
            ));
        }
        let signature = signed.check().map_err(TrustRefusal::Signature)?;
        Ok(TrustSet { signature: Some(signature), ..set })
    }
}

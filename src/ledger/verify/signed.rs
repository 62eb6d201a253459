//! Whether an answer was signed where it must be, and whether its signature is over exactly that answer, there, by that
//! person, with a key that was theirs then.

use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    artifact::{Digest, digest_of},
    engagement::{
        Actor, Answer, Answered, ApprovalStatement, Asked, Body, Event, Redacted, RedactionStatement, Signature,
        Signed, State, Statement,
    },
    facts::{AllowedSigners, Identity, IdentityMeans},
};

/// What is wrong with the signature of an event after `state`, or with its being without one. `own` are the signers
/// that whoever verifies holds it against beside those of then.
pub(in crate::ledger) fn breaches(
    state: &State,
    event: &Event,
    document: &dyn Fn(&Digest) -> Option<Arc<Value>>,
    own: Option<&AllowedSigners>,
) -> Vec<String> {
    let signature = match &event.body {
        Body::Answered(answered) => answered.signature.as_ref(),
        Body::Redacted(redacted) => redacted.signature.as_ref(),
        _ => None,
    };
    let mut found = Vec::new();
    if let Actor::Person(Identity { means: IdentityMeans::Signed, name, .. }) = &event.actor
        && signature.is_none()
    {
        found.push(format!("{} by {name}, said to be signed, without a signature", event.body.kind()));
    }
    if let Body::Redacted(redacted) = &event.body {
        found.extend(redacted_by(state, event, redacted, document, own));
    }
    if let (Body::Retried(retried), Some(_)) = (&event.body, own)
        && !retried.calls.is_empty()
    {
        found.push("approvals renewed on a name alone, which none of the signers given has signed".into());
    }
    let Body::Answered(answered) = &event.body else { return found };
    let about = &answered.about;
    let needed = state.asked.as_ref().is_some_and(Asked::needs_signature);
    match (signature, &event.actor) {
        (None, Actor::Person(_)) if needed && answered.answer != Answer::Reject => {
            found.push(format!("an answer about {about} on a name alone, where it needs a signature"));
        }
        // Whoever brings the signers to hold a chain against wants every yes of a person to be theirs, whatever the chain
        // itself says was needed.
        (None, Actor::Person(_)) if own.is_some() && answered.answer != Answer::Reject => {
            found.push(format!("an answer about {about} on a name alone, which none of the signers given has signed"));
        }
        (None, _) => {}
        (Some(signature), Actor::Person(identity)) if identity.means == IdentityMeans::Signed => {
            let wrong = |why: String| format!("an answer about {about} whose signature does not hold: {why}");
            found.extend(holds(state, event.at, answered, signature, identity, document, own).err().map(wrong));
        }
        (Some(_), actor) => found.push(format!("an answer about {about} by {actor} with a signature")),
    }
    found
}

/// What is wrong with the signature of a redaction.
fn redacted_by(
    state: &State,
    event: &Event,
    redacted: &Redacted,
    document: &dyn Fn(&Digest) -> Option<Arc<Value>>,
    own: Option<&AllowedSigners>,
) -> Option<String> {
    let holds = |signature: &Signature, by: &Identity| -> Result<(), String> {
        let mut signed: Signed<RedactionStatement> = read_signed(signature, event.at, document)?;
        if !signed.statement.is_for(state, redacted, by) {
            return Err("what was signed is for another redaction, person, account or place".into());
        }
        as_signed(&mut signed, signature, own)
    };
    match (&redacted.signature, &event.actor) {
        (None, _) if state.signed => Some("redacted on a name alone, where it needs a signature".into()),
        (None, _) if own.is_some() => {
            Some("redacted on a name alone, which none of the signers given has signed".into())
        }
        (None, _) => None,
        (Some(signature), Actor::Person(identity)) if identity.means == IdentityMeans::Signed => {
            let wrong = |why: String| format!("redacted with a signature that does not hold: {why}");
            holds(signature, identity).err().map(wrong)
        }
        (Some(_), actor) => Some(format!("redacted by {actor} with a signature")),
    }
}

/// Whether a signature is good and the one that the event has, and whether the verifier's own signers say so too.
pub(super) fn as_signed<T: Statement>(
    signed: &mut Signed<T>,
    signature: &Signature,
    own: Option<&AllowedSigners>,
) -> Result<(), String> {
    if signed.check()? != *signature {
        return Err("it is not the one that the event says".into());
    }
    if let Some(own) = own {
        signed.signers = own.clone();
        signed.check().map_err(|why| format!("as the signers given have it, {why}"))?;
    }
    Ok(())
}

fn holds(
    state: &State,
    at: Timestamp,
    answered: &Answered,
    signature: &Signature,
    by: &Identity,
    document: &dyn Fn(&Digest) -> Option<Arc<Value>>,
    own: Option<&AllowedSigners>,
) -> Result<(), String> {
    let mut signed: Signed<ApprovalStatement> = read_signed(signature, at, document)?;
    if let Some(differs) = signed.statement.differs(state, answered, Some(by)) {
        return Err(differs);
    }
    as_signed(&mut signed, signature, own)
}

/// What was signed and what it was checked against, from what is stored.
pub(in crate::ledger) fn read_signed<T: Statement + DeserializeOwned>(
    signature: &Signature,
    at: Timestamp,
    document: &dyn Fn(&Digest) -> Option<Arc<Value>>,
) -> Result<Signed<T>, String> {
    let gone = |what: &str| format!("{what} is missing or was changed");
    let statement = document(&signature.statement).ok_or_else(|| gone("the signed statement"))?;
    let statement = T::deserialize(statement.as_ref()).map_err(|error| format!("the signed statement: {error}"))?;
    let signers = document(&signature.signers).ok_or_else(|| gone("what it was checked against"))?;
    let signers = AllowedSigners::from_document(&signers).ok_or_else(|| gone("what it was checked against"))?;
    if digest_of(&signers.document()).ok() != Some(signature.signers) {
        return Err("what it was checked against has more in it than was checked".into());
    }
    Ok(Signed { statement, armored: signature.armored.clone(), signers, at })
}

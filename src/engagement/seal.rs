//! Seals: what was given to a call and what came back enters a chain as a *commitment*, the digest of a sealed document
//! `{"salt": …, "value": …}` that is stored beside it. While the document is there anyone can hold the value against
//! the chain. Once it is destroyed the chain still holds, and nothing in it lets the value be guessed and confirmed.
//!
//! Sealed are the arguments of calls, their results and the answers of models. The salts come from a random key that an
//! engagement is begun with: with the same key the same call has the same commitment, so that a call's digest, which
//! approvals name before it is made, is over the commitment and never over the plain arguments. The key is a document of
//! the ledger alone. It goes with the first redaction, the salts of what is left lie in their own documents, and no
//! salt can be derived from what stays. What verifies needs no key.
//!
//! Engagements of before there were seals have no key; their arguments stand in their events, and stay there.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::artifact::{CallId, CanonicalError, Digest, EngagementId, NodeId, Written, digest_of};

use super::{blobs::Blobs, state::State};

/// The arguments of a call, as its event has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Arguments {
    /// The digest of the sealed document that holds them.
    Sealed(Digest),
    /// As they are: in engagements of before there were seals.
    Plain(Map<String, Value>),
}

impl Arguments {
    /// The arguments, where they are stored; nothing where they were redacted.
    pub fn read<'a>(&'a self, blobs: &'a Blobs) -> Option<&'a Map<String, Value>> {
        match self {
            Self::Plain(args) => Some(args),
            Self::Sealed(digest) => blobs.get(digest)?.as_object(),
        }
    }

    /// The sealed document that holds them, where they are sealed.
    pub fn sealed(&self) -> Option<Digest> {
        match self {
            Self::Sealed(digest) => Some(*digest),
            Self::Plain(_) => None,
        }
    }
}

impl From<Map<String, Value>> for Arguments {
    fn from(args: Map<String, Value>) -> Self {
        Self::Plain(args)
    }
}

/// Why nothing can be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The value has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// The engagement's key is gone.
    #[error("the engagement's sealing key is not in the ledger; restore the ledger from a backup")]
    Lost,
}

/// How an engagement seals.
#[derive(Clone, Copy, Debug)]
pub enum Seal<'a> {
    /// It does not: it was begun before there were seals.
    None,
    /// With its key.
    Key(&'a str),
    /// Its key is not stored.
    Lost,
}

/// A value as the chain names it.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The document whose digest an event names, to be stored with it.
    pub document: Arc<Written>,
    /// Whether the document is a sealed one.
    pub sealed: bool,
}

/// The document that holds an engagement's key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealingKey {
    sealing_key: String,
}

/// A value with the salt that makes its digest a commitment, on its way into the ledger.
#[derive(Serialize)]
struct Sealing<'a, T> {
    salt: Digest,
    value: &'a T,
}

/// What the salt of a call's arguments follows from.
#[derive(Serialize)]
struct OfCall<'a> {
    node: Option<&'a NodeId>,
    tool: &'a str,
    args: &'a Map<String, Value>,
}

/// What a salt follows from.
#[derive(Serialize)]
struct OfSalt<'a> {
    key: &'a str,
    of: Digest,
}

/// What the digest of a call is over.
#[derive(Serialize)]
struct CallNamed<'a> {
    engagement: &'a EngagementId,
    node: Option<&'a NodeId>,
    tool: &'a str,
    args: &'a Arguments,
}

/// The document of a new engagement's key: `random` comes from the operating system and from nowhere else.
pub fn sealing_key(random: [u8; 32]) -> Value {
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    json!(SealingKey { sealing_key: hex })
}

/// The value in a sealed document, if it is one: a value with the salt that makes its digest a commitment, and nothing else.
pub fn sealed_value(document: &Value) -> Option<&Value> {
    let fields = document.as_object().filter(|fields| fields.len() == 2)?;
    fields.get("salt")?.as_str()?.parse::<Digest>().ok()?;
    fields.get("value")
}

/// The same to keep.
pub fn opened(document: &Value) -> Option<Arc<Value>> {
    sealed_value(document).map(|value| Arc::new(value.clone()))
}

/// The value in a document where it is sealed, else the document.
pub fn unsealed(mut document: Value) -> Value {
    match sealed_value(&document).is_some() {
        true => document.get_mut("value").map(Value::take).unwrap_or_default(),
        false => document,
    }
}

impl<'a> Seal<'a> {
    /// How this engagement seals.
    pub fn of(state: &State, blobs: &'a Blobs) -> Self {
        let Some(digest) = state.requested.seal else { return Self::None };
        let key = blobs.get(&digest).and_then(|document| document.get("sealing_key")).and_then(Value::as_str);
        key.map_or(Self::Lost, Self::Key)
    }

    /// The arguments of a call, and the document that holds them where they are sealed. The same call has the same.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub fn arguments(
        self,
        node: Option<&NodeId>,
        tool: &str,
        args: &Map<String, Value>,
    ) -> Result<(Arguments, Option<Arc<Written>>), SealError> {
        if matches!(self, Self::None) {
            return Ok((Arguments::Plain(args.clone()), None));
        }
        let Committed { document, .. } = self.seal(&OfCall { node, tool, args }, args)?;
        Ok((Arguments::Sealed(document.digest()), Some(document)))
    }

    /// The digest of exactly one call, which is over the commitment to its arguments.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub fn call_digest(
        self,
        engagement: &EngagementId,
        node: Option<&NodeId>,
        tool: &str,
        args: &Map<String, Value>,
    ) -> Result<Digest, SealError> {
        let (args, _) = self.arguments(node, tool, args)?;
        Ok(call_digest(engagement, node, tool, &args)?)
    }

    /// The result of a call.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub fn result(self, call: &CallId, value: &Value) -> Result<Committed, SealError> {
        self.seal(&json!({"result": call}), value)
    }

    /// What a model answered to a request.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub fn answer(self, request: &Digest, value: &impl Serialize) -> Result<Committed, SealError> {
        self.seal(&json!({"answer": request}), value)
    }

    /// The digest of a value that is stored nowhere, by which nobody can confirm a guess.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub fn digest(self, value: &impl Serialize) -> Result<Digest, SealError> {
        match self {
            Self::None => Ok(digest_of(value)?),
            _ => self.salt(value),
        }
    }

    fn seal(self, of: &impl Serialize, value: &impl Serialize) -> Result<Committed, SealError> {
        if matches!(self, Self::None) {
            return Ok(Committed { document: Written::of(value)?, sealed: false });
        }
        let read = |bytes: &[u8]| serde_json::from_slice(bytes).map(unsealed);
        let document = Written::read_as(&Sealing { salt: self.salt(of)?, value }, read)?;
        Ok(Committed { document, sealed: true })
    }

    /// Without the key nobody can tell it from random bytes. The canonical form ends where it ends, so that no salt can be
    /// made longer into another.
    fn salt(self, of: &impl Serialize) -> Result<Digest, SealError> {
        match self {
            Self::Key(key) => Ok(digest_of(&OfSalt { key, of: digest_of(of)? })?),
            Self::None | Self::Lost => Err(SealError::Lost),
        }
    }
}

/// The digest of exactly one call: what its approval names, and what nothing else can be mistaken for.
///
/// # Errors
///
/// [`CanonicalError`] for plain arguments that have no canonical form.
pub fn call_digest(
    engagement: &EngagementId,
    node: Option<&NodeId>,
    tool: &str,
    args: &Arguments,
) -> Result<Digest, CanonicalError> {
    digest_of(&CallNamed { engagement, node, tool, args })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(ttl: u64) -> Map<String, Value> {
        Map::from_iter([("ttl".to_owned(), json!(ttl))])
    }

    #[test]
    fn the_same_call_has_the_same_commitment_and_no_other_has() {
        let node: NodeId = serde_json::from_value(json!("publish")).unwrap();
        let seal = Seal::Key("a");
        let sealed = |seal: Seal<'_>, node: Option<&NodeId>, tool: &str, ttl: u64| {
            seal.arguments(node, tool, &args(ttl)).unwrap().0.sealed().unwrap()
        };
        let this = sealed(seal, Some(&node), "t.a", 60);
        assert_eq!(this, sealed(seal, Some(&node), "t.a", 60));
        for other in [
            sealed(Seal::Key("b"), Some(&node), "t.a", 60),
            sealed(seal, None, "t.a", 60),
            sealed(seal, Some(&node), "t.b", 60),
            sealed(seal, Some(&node), "t.a", 61),
        ] {
            assert_ne!(this, other);
        }
    }

    #[test]
    fn a_sealed_document_gives_its_value_back_and_nothing_else_is_one() {
        let call: CallId = serde_json::from_value(json!("c1")).unwrap();
        let Committed { document, sealed } = Seal::Key("a").result(&call, &json!({"vlans": [1]})).unwrap();
        assert!(sealed);
        assert_eq!(**document.value(), json!({"vlans": [1]}));
        let stored: Value = serde_json::from_slice(document.bytes()).unwrap();
        assert_eq!(document.digest(), digest_of(&stored).unwrap());
        assert_eq!(opened(&stored).unwrap().as_ref(), &json!({"vlans": [1]}));
        assert_eq!(unsealed(stored.clone()), json!({"vlans": [1]}));
        let salt = stored["salt"].clone();
        for other in [
            json!({"value": 1}),
            json!({"salt": "x", "value": 1}),
            json!({"salt": salt, "value": 1, "more": 2}),
            json!([1]),
            json!(null),
        ] {
            assert!(opened(&other).is_none(), "{other}");
            assert_eq!(unsealed(other.clone()), other);
        }
        let plain = Seal::None.result(&call, &json!({"vlans": [1]})).unwrap();
        assert!(!plain.sealed);
        assert_eq!(plain.document.bytes(), br#"{"vlans":[1]}"#);
    }

    #[test]
    fn without_its_key_an_engagement_seals_nothing() {
        let id: EngagementId = "k7m2q".parse().unwrap();
        let lost = Seal::Lost.call_digest(&id, None, "t.a", &args(60)).unwrap_err();
        assert!(matches!(lost, SealError::Lost), "{lost}");
        let plain = Seal::None.call_digest(&id, None, "t.a", &args(60)).unwrap();
        assert_eq!(plain, call_digest(&id, None, "t.a", &args(60).into()).unwrap());
    }

    #[test]
    fn arguments_read_as_they_were_written() {
        for written in [json!({"ttl": 60}), json!(Digest::ZERO)] {
            let read: Arguments = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), written);
        }
        assert!(serde_json::from_value::<Arguments>(json!("sha256:none")).is_err());
    }
}

//! What the chain says of each artifact, in the form that other programs read: in-toto Statements v1 in DSSE envelopes.
//! Pure: whoever has the key signs. The formats are those of <https://github.com/in-toto/attestation> and
//! <https://github.com/secure-systems-lab/dsse>; `tests/bundle.md` describes the predicate.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    artifact::{ArtifactKind, CanonicalError, Digest, LedgerId, canonical, digest_bytes, to_yaml},
    engagement::{About, Body, Event, Origin, State},
};

use super::{
    bundle::{BLOBS, Bundle},
    chain,
    keys::KeyHistory,
    note::NoteKey,
    verify::Problem,
};

/// What kind of statement it is.
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// What its predicate is.
const PREDICATE_TYPE: &str = "urn:countersign:artifact:1";
/// What an envelope holds.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A DSSE envelope with one signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    payload: String,
    payload_type: String,
    signatures: [EnvelopeSignature; 1],
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignature {
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Signs a statement.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`] for a statement that has no canonical form.
    pub fn sign(statement: &Value, key: &NoteKey) -> Result<Self, CanonicalError> {
        let payload = canonical(statement)?;
        let signature = EnvelopeSignature {
            keyid: key.public().to_string(),
            sig: BASE64_STANDARD.encode(key.sign(&authenticated(PAYLOAD_TYPE, &payload))),
        };
        let payload = BASE64_STANDARD.encode(payload);
        Ok(Self { payload, payload_type: PAYLOAD_TYPE.to_owned(), signatures: [signature] })
    }

    /// The envelope as it is written, in canonical JSON.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`], which no envelope that was signed gives.
    pub fn bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical(self)
    }

    /// The statement in an envelope, if these bytes are one as it is written, signed by one of these keys; else what is
    /// wrong with it, in words.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn open(bytes: &[u8], keys: &KeyHistory) -> Result<Value, String> {
        let envelope: Self = serde_json::from_slice(bytes).map_err(|error| format!("this is no envelope: {error}"))?;
        if envelope.bytes().ok().as_deref() != Some(bytes) {
            return Err("the envelope is not written as this program writes it".into());
        }
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(format!("it holds `{}`, and no in-toto statement", envelope.payload_type));
        }
        let [EnvelopeSignature { keyid, sig }] = &envelope.signatures;
        let decoded = |text: &str| BASE64_STANDARD.decode(text).map_err(|error| format!("it is not base64: {error}"));
        let (payload, sig) = (decoded(&envelope.payload)?, decoded(sig)?);
        let by = keys.verify(&authenticated(PAYLOAD_TYPE, &payload), &sig);
        match by.map(|published| published.key.to_string()) {
            Some(by) if by == *keyid => serde_json::from_slice(&payload).map_err(|error| error.to_string()),
            Some(by) => Err(format!("it is signed by {by}, and says by {keyid}")),
            None => Err("it is not signed by a key of this ledger".into()),
        }
    }
}

/// What DSSE signs: the pre-authentication encoding of a payload and its type.
fn authenticated(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let before = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [before.as_bytes(), payload].concat()
}

/// A statement about the current version of each artifact that an engagement has, in their order.
///
/// # Errors
///
/// What of the engagement cannot be read.
pub fn statements(bundle: &Bundle, ledger: &LedgerId) -> Result<Vec<Value>, Problem> {
    let mut events = Vec::new();
    for (bytes, place) in bundle.events.iter().zip(1..) {
        events.push(chain::read(bytes).map_err(|error| Problem::at(place, error.to_string()))?);
    }
    let state = State::replay(&events).ok_or_else(|| Problem::at(1, "the chain does not begin with a request"))?;
    // As its current spec calls it: whoever asked may have called it otherwise.
    let spec = state.artifact(ArtifactKind::Spec).and_then(|digest| document(bundle, &digest));
    let title = spec.as_ref().and_then(|spec| spec.get("title")?.as_str()).unwrap_or(&state.requested.title);
    let mut statements = Vec::new();
    for kind in ArtifactKind::ALL {
        let Some(digest) = state.artifact(kind) else { continue };
        let filed = events.iter().rev().find_map(|event| match &event.body {
            Body::Filed(filed) if filed.artifact == kind && filed.digest == digest => Some((event, filed)),
            _ => None,
        });
        let Some((event, filed)) = filed else { continue };
        let gone = || Problem::at(event.seq, format!("{kind} ({digest}) is missing or cannot be read"));
        let yaml = to_yaml(&document(bundle, &digest).ok_or_else(gone)?).map_err(|_| gone())?;
        let answers: Vec<Value> = events.iter().filter_map(|event| answer(bundle, event, &digest)).collect();
        statements.push(json!({
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": kind.file_name(), "digest": {"sha256": digest_bytes(yaml.as_bytes()).hex()}},
                {"name": format!("{BLOBS}/{}.json", digest.hex()), "digest": {"sha256": digest.hex()}},
            ],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "ledger": ledger,
                "engagement": state.id,
                "title": title,
                "requestedBy": state.requester,
                "blueprint": state.requested.blueprint,
                "artifact": {
                    "kind": kind, "version": filed.version, "digest": digest, "madeFrom": filed.made_from,
                },
                "filed": {"event": event.seq, "hash": event.hash, "at": event.at, "by": event.actor},
                "draftedFrom": Origin::of(&state, kind, &event.actor),
                "answers": answers,
                "outcome": state.closed,
                "head": {"event": state.seq, "hash": state.head},
            },
        }));
    }
    Ok(statements)
}

fn document(bundle: &Bundle, digest: &Digest) -> Option<Value> {
    serde_json::from_slice(bundle.blobs.get(digest)?).ok()
}

/// What a gate was answered about exactly this artifact, by whom and with what.
fn answer(bundle: &Bundle, event: &Event, artifact: &Digest) -> Option<Value> {
    let Body::Answered(answered) = &event.body else { return None };
    let members: &[&str] = match answered.about {
        About::Gate1 => &["artifact"],
        About::Gate2 => &["artifact", "flow"],
        _ => &[],
    };
    let (request, own) = (document(bundle, &answered.request)?, artifact.to_string());
    let named = |member: &&str| request.get(*member).and_then(Value::as_str) == Some(own.as_str());
    if !members.iter().any(named) {
        return None;
    }
    let signature = answered.signature.as_ref();
    Some(json!({
        "about": answered.about,
        "answer": answered.answer,
        "event": event.seq,
        "hash": event.hash,
        "at": event.at,
        "by": event.actor,
        "role": answered.role,
        "request": answered.request,
        "rules": answered.policy.as_ref().map(|policy| &policy.rules),
        "signature": signature.map(|signature| json!({"statement": signature.statement, "key": signature.key})),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{Story, history, ledger, note_key, spec};

    /// The example of the DSSE specification.
    #[test]
    fn what_is_signed_is_what_dsse_says() {
        let pae = authenticated("http://example.com/HelloWorld", b"hello world");
        assert_eq!(pae, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
        // Lengths are of bytes, and nothing is escaped.
        assert_eq!(authenticated("é", "ü\0 ".as_bytes()), "DSSEv1 2 é 4 ü\0 ".as_bytes());
        assert_eq!(authenticated("", b""), b"DSSEv1 0  0 ");
    }

    fn bundle() -> Bundle {
        let story = Story::whole("k7m2q").signed(1);
        Bundle { events: story.bytes(), blobs: story.blobs.clone() }
    }

    #[test]
    fn a_statement_says_who_let_the_artifact_through_and_where_the_chain_stood() {
        let bundle = bundle();
        let said = statements(&bundle, &ledger()).unwrap();
        assert_eq!(said.len(), 5);
        let hex = digest_bytes(&canonical(&spec()).unwrap()).hex();
        let [spec_said, discovery, design, flow, record] = said.as_slice() else { panic!() };
        assert_eq!(spec_said["subject"][1]["digest"]["sha256"], hex);
        assert_eq!(spec_said["subject"][1]["name"], format!("blobs/{hex}.json"));
        let kept: Value = serde_json::from_slice(&canonical(&spec()).unwrap()).unwrap();
        let yaml = digest_bytes(to_yaml(&kept).unwrap().as_bytes()).hex();
        assert_eq!(spec_said["subject"][0], json!({"name": "spec.yaml", "digest": {"sha256": yaml}}));
        let predicate = &spec_said["predicate"];
        assert_eq!((&predicate["filed"]["event"], &predicate["engagement"]), (&json!(2), &json!("k7m2q")));
        assert_eq!((&predicate["artifact"]["version"], &predicate["ledger"]), (&json!(1), &json!(ledger())));
        let from = |said: &Value| said["predicate"]["draftedFrom"].clone();
        assert_eq!([from(spec_said), from(flow), from(record)], [json!("blueprint"), json!("rule"), json!("rule")]);
        assert_eq!(predicate["answers"].as_array().unwrap().len(), 1);
        assert_eq!(predicate["answers"][0]["by"]["person"]["means"], "signed");
        assert!(predicate["answers"][0]["signature"]["key"].as_str().unwrap().starts_with("SHA256:"));
        assert_eq!(predicate["outcome"]["outcome"], "done");
        assert_eq!(predicate["head"]["hash"], json!(chain::read(bundle.events.last().unwrap()).unwrap().hash));
        // Gate 2 is about the design, and about the flow that comes of it; nobody answers the others.
        for gated in [design, flow] {
            assert_eq!(gated["predicate"]["answers"][0]["about"], "gate2");
            assert_eq!(gated["predicate"]["answers"][0]["signature"], Value::Null);
        }
        for not in [discovery, record] {
            assert_eq!(not["predicate"]["answers"], json!([]));
        }
        let begun = Bundle { events: bundle.events[..1].to_vec(), blobs: bundle.blobs };
        assert_eq!(statements(&begun, &ledger()), Ok(Vec::new()));
    }

    #[test]
    fn no_byte_of_an_envelope_can_be_changed() {
        let statement = statements(&bundle(), &ledger()).unwrap().remove(0);
        let bytes = Envelope::sign(&statement, &note_key(1)).unwrap().bytes().unwrap();
        assert_eq!(Envelope::open(&bytes, &history(&[1])), Ok(statement.clone()));
        assert_eq!(Envelope::open(&bytes, &history(&[1, 2])), Ok(statement.clone()), "a key of before");
        assert!(Envelope::open(&bytes, &history(&[2])).is_err());
        let keys = history(&[1, 2]);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(Envelope::open(&changed, &keys).is_err(), "byte {at} of {}", bytes.len());
        }
        // In the name of another key, with more after it, or as another kind of payload.
        let mut other = Envelope::sign(&statement, &note_key(1)).unwrap();
        other.signatures[0].keyid = note_key(2).public().to_string();
        assert!(Envelope::open(&other.bytes().unwrap(), &keys).unwrap_err().contains("and says by"));
        assert!(Envelope::open(&[&bytes[..], b"\n"].concat(), &keys).is_err());
        let mut typed = Envelope::sign(&statement, &note_key(1)).unwrap();
        typed.payload_type = "application/json".into();
        assert!(Envelope::open(&typed.bytes().unwrap(), &keys).unwrap_err().contains("no in-toto statement"));
    }
}

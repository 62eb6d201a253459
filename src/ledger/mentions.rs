//! What the events of a chain name by digest. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    artifact::{CallId, Digest},
    engagement::{Arguments, Body, Event, Signature},
};

/// A document or result that an event names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) digest: Digest,
    /// In words, for a finding.
    pub(super) what: String,
    pub(super) need: Need,
    /// Whether it is a sealed document, see [`crate::engagement::Seal`].
    pub(super) sealed: bool,
}

/// What its absence means; what is needed most comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// Nothing can be shown without it.
    Must,
    /// It is taken along where it is stored.
    Extra,
    /// The same, and nothing is said where it is not: what was handed on before did not have it.
    Beside,
    /// It may be left out of what is handed on; then that is said.
    May,
    /// The ledger keeps it to itself; nothing is shown by it, and it is never handed on.
    Own,
}

/// What an event names.
pub(super) fn mentions(event: &Event) -> Vec<Mention> {
    let mention = |digest: Digest, need: Need, what: String| Mention { digest, what, need, sealed: false };
    let sealed = |args: &Arguments, call: &CallId| {
        let what = format!("the arguments of {call}");
        args.sealed().map(|digest| Mention { sealed: true, ..mention(digest, Need::Must, what) })
    };
    match &event.body {
        Body::Requested(requested) => {
            let key = requested.seal.map(|seal| mention(seal, Need::Own, "the sealing key".into()));
            [mention(requested.request, Need::Must, "the request".into())].into_iter().chain(key).collect()
        }
        Body::Filed(filed) => {
            vec![mention(filed.digest, Need::Must, format!("{}, version {}", filed.artifact, filed.version))]
        }
        Body::Proved(proved) => vec![mention(proved.report, Need::Must, "the proof report about the spec".into())],
        Body::Turned(turned) => turned
            .response
            .map(|response| mention(response, Need::May, format!("what the {} agent's model said", turned.agent)))
            .map(|mention| Mention { sealed: turned.sealed, ..mention })
            .into_iter()
            .collect(),
        Body::Asked(asked) => {
            vec![mention(asked.request, Need::Must, format!("the approval request about {}", asked.about))]
        }
        Body::Answered(answered) => {
            let facts = answered.policy.iter().map(|policy| policy.facts);
            let facts = facts.map(|facts| mention(facts, Need::Must, format!("the facts about {}", answered.about)));
            facts.chain(answered.signature.iter().flat_map(signed)).collect()
        }
        Body::Redacted(redacted) => {
            let need = if redacted.people_kept { Need::Must } else { Need::Extra };
            let people = mention(redacted.people, need, "the people of the redaction".into());
            [people].into_iter().chain(redacted.signature.iter().flat_map(signed)).collect()
        }
        Body::TrustSet(set) => set.signature.iter().flat_map(signed).collect(),
        Body::Finished(finished) => finished
            .result
            .map(|result| mention(result, Need::May, format!("the result of {}", finished.call)))
            .map(|mention| Mention { sealed: finished.sealed, ..mention })
            .into_iter()
            .collect(),
        Body::Allowed(allowed) => {
            let decided_on = mention(allowed.decided_on, Need::Extra, format!("what {} was decided on", allowed.call));
            sealed(&allowed.args, &allowed.call).into_iter().chain([decided_on]).collect()
        }
        Body::Refused(refused) => {
            let decided_on = mention(refused.decided_on, Need::Extra, format!("what {} was decided on", refused.call));
            sealed(&refused.args, &refused.call).into_iter().chain([decided_on]).collect()
        }
        Body::Entered { .. }
        | Body::Inquired(_)
        | Body::Said(_)
        | Body::Returned(_)
        | Body::HolesFilled(_)
        | Body::Considered(_)
        | Body::Void(_)
        | Body::Settled(_)
        | Body::Deviated(_)
        | Body::Retried(_)
        | Body::Cancelled { .. }
        | Body::Closed(_) => Vec::new(),
    }
}

/// What a question was decided on, as its approval request names it: the people, the policies, and each tool and target
/// that it rests on. Requests of before name digests only, and nothing lies beside those.
pub(super) fn beside(request: &Value) -> Vec<Mention> {
    if request.get("grounds_kept") != Some(&Value::Bool(true)) {
        return Vec::new();
    }
    let entries = |path: &str| request.pointer(path).and_then(Value::as_object).into_iter().flatten();
    let each = |path: &str, what: &'static str| {
        entries(path).map(move |(name, digest)| (digest, format!("{what} `{name}`"))).collect::<Vec<_>>()
    };
    let whole = ["people", "policies"].map(|name| (request.pointer(&format!("/decided_on/{name}")), name));
    let whole = whole.into_iter().filter_map(|(digest, name)| Some((digest?, format!("the {name}"))));
    let parts = [
        each("/approved_on/tools", "the tool"),
        each("/approved_on/targets", "the inventory entry"),
        each("/approved_on/found", "the inventory entry"),
        each("/approved_on/aimed", "the inventory entry"),
    ];
    let must = |(digest, what): (&Value, String)| {
        let digest = digest.as_str()?.parse().ok()?;
        let what = format!("{what} that a question was decided on");
        Some(Mention { digest, what, need: Need::Must, sealed: false })
    };
    whole.chain(parts.into_iter().flatten()).filter_map(must).collect()
}

/// What events name and, of questions, what their requests name, each request once; `blob` gives the stored bytes of what is named. Each
/// comes with the place of its event.
pub(super) fn all_mentions<'a>(
    events: impl IntoIterator<Item = &'a Event>,
    blob: &dyn Fn(&Digest) -> Option<Vec<u8>>,
) -> Vec<(u64, Mention)> {
    let (mut all, mut read) = (Vec::new(), BTreeSet::new());
    for event in events {
        all.extend(mentions(event).into_iter().map(|mention| (event.seq, mention)));
        if let Body::Requested(requested) = &event.body {
            all.extend(begun_with(&requested.request, blob).map(|mention| (event.seq, mention)));
        }
        if let Body::Allowed(allowed) = &event.body
            && allowed.counts.is_some()
            && !allowed.approved
        {
            all.extend(let_through_by(&allowed.decided_on, blob).map(|mention| (event.seq, mention)));
        }
        let Body::Asked(asked) = &event.body else { continue };
        if !read.insert(asked.request) {
            continue;
        }
        let request = blob(&asked.request).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        all.extend(request.iter().flat_map(beside).map(|mention| (event.seq, mention)));
    }
    all
}

/// The record that a request starts from and the flow that it was built with: what drifted since is held against them.
fn begun_with(request: &Digest, blob: &dyn Fn(&Digest) -> Option<Vec<u8>>) -> impl Iterator<Item = Mention> {
    let named = |digest: &Digest, field: &str| -> Option<Digest> {
        let document: Value = serde_json::from_slice(&blob(digest)?).ok()?;
        document.get(field)?.as_str()?.parse().ok()
    };
    let record = named(request, "baseline");
    let flow = record.and_then(|record| named(&record, "flow"));
    let beside = |(digest, what): (Option<Digest>, &str)| {
        Some(Mention { digest: digest?, what: what.to_owned(), need: Need::Beside, sealed: false })
    };
    [(record, "the record that it starts from"), (flow, "the flow of that record")].into_iter().filter_map(beside)
}

/// The policies that let a change through which nobody approved.
fn let_through_by(decided_on: &Digest, blob: &dyn Fn(&Digest) -> Option<Vec<u8>>) -> Option<Mention> {
    let basis: Value = serde_json::from_slice(&blob(decided_on)?).ok()?;
    let digest = basis.pointer("/catalog/policies")?.as_str()?.parse().ok()?;
    let what = "the policies that a change was decided on".to_owned();
    Some(Mention { digest, what, need: Need::Beside, sealed: false })
}

/// What was signed, and whose keys it was checked against.
fn signed(signature: &Signature) -> [Mention; 2] {
    let must = |digest: Digest, what: &str| Mention { digest, what: what.to_owned(), need: Need::Must, sealed: false };
    [must(signature.statement, "the signed statement"), must(signature.signers, "the allowed signers of then")]
}

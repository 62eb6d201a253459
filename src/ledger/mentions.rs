//! What the events of a chain name by digest. Pure.

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
        Body::Redacted(redacted) => redacted.signature.iter().flat_map(signed).collect(),
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

/// What was signed, and whose keys it was checked against.
fn signed(signature: &Signature) -> [Mention; 2] {
    let must = |digest: Digest, what: &str| Mention { digest, what: what.to_owned(), need: Need::Must, sealed: false };
    [must(signature.statement, "the signed statement"), must(signature.signers, "the allowed signers of then")]
}

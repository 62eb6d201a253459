//! The ledger's own chain of trust stages, from nothing but its bytes: whether each stage follows from those before it,
//! and whether it was signed by whoever set it, where it stands.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    artifact::{ArtifactKind, Digest, EngagementId, LedgerId, digest_bytes, digest_of},
    engagement::{
        About, Actor, Asked, Body, CallAllowed, Event, Head, RequestDocument, Signature, Signed, TrustSet,
        TrustStatement,
    },
    facts::{AllowedSigners, Identity, IdentityMeans, People, STAGES, Scope, Trust},
};

use super::{
    super::{chain, mentions::mentions},
    Problem,
    signed::{as_signed, read_signed},
};

/// Folds one more event of the chain; else why no such event can be in it.
pub(in crate::ledger) fn follows(trust: &mut Trust, event: &Event) -> Result<(), String> {
    let Body::TrustSet(set) = &event.body else {
        return Err(format!("event {} is {}, which no trust chain has", event.seq, event.body.kind()));
    };
    // Such a stage was never set by this program, whatever the event's hash says.
    let raised = set.stage > set.from && (set.role.is_none() || set.signature.is_none());
    let means = if set.signature.is_some() { IdentityMeans::Signed } else { IdentityMeans::Asserted };
    let person = matches!(&event.actor, Actor::Person(identity) if identity.means == means);
    let nobody = !person || event.engagement != EngagementId::trust();
    if raised || nobody || !STAGES.contains(&set.stage) || set.from != trust.stage(&set.scope) {
        return Err(format!("event {} does not follow from those before it", event.seq));
    }
    trust.set(set.scope.clone(), set.stage, event.hash);
    Ok(())
}

/// What is wrong with the signatures of the chain; `own` are signers of the verifier's that they are held against too.
pub(in crate::ledger) fn unsigned_stages(
    events: &[Event],
    ledger: &LedgerId,
    document: &dyn Fn(&Digest) -> Option<Arc<Value>>,
    own: Option<&AllowedSigners>,
) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut head = Head { seq: 0, hash: Digest::ZERO };
    for event in events {
        if let Body::TrustSet(set) = &event.body
            && let Some(signature) = &set.signature
            && let Err(what) = signed_so(event, set, signature, (ledger, head), document, own)
        {
            found.push(Problem::at(event.seq, what));
        }
        head = Head { seq: event.seq, hash: event.hash };
    }
    found
}

/// The events of the chain as far as its links hold, and all that is wrong with it.
pub(in crate::ledger) fn verify_stages(
    stored: &[Vec<u8>],
    ledger: Option<&LedgerId>,
    blob: &dyn Fn(&Digest) -> Option<Vec<u8>>,
    own: Option<&AllowedSigners>,
) -> (Vec<Event>, Vec<Problem>) {
    let (mut events, mut trust, mut found) = (Vec::<Event>::new(), Trust::default(), Vec::new());
    let (mut prev, mut place) = (Digest::ZERO, 0);
    for bytes in stored {
        place += 1;
        let event = chain::check(bytes, place, prev).map_err(|error| error.to_string());
        let event = event.and_then(|event| follows(&mut trust, &event).map(|()| event));
        match event {
            Ok(event) if events.last().is_some_and(|last| event.at < last.at) => {
                found.push(Problem::at(place, "it is earlier than the event before it"));
                return (events, found);
            }
            Ok(event) => {
                prev = event.hash;
                events.push(event);
            }
            // What follows a broken link proves nothing.
            Err(what) => {
                found.push(Problem::at(place, what));
                return (events, found);
            }
        }
    }
    for (event, mention) in events.iter().flat_map(|event| mentions(event).into_iter().map(move |one| (event, one))) {
        let what = match blob(&mention.digest).map(|bytes| digest_bytes(&bytes)) {
            None => format!("{} ({}) is missing", mention.what, mention.digest),
            Some(is) if is != mention.digest => format!("{} ({}) was changed", mention.what, mention.digest),
            Some(_) => continue,
        };
        found.push(Problem::at(event.seq, what));
    }
    let document = |digest: &Digest| serde_json::from_slice(&blob(digest)?).ok().map(Arc::new);
    match ledger {
        Some(ledger) => found.extend(unsigned_stages(&events, ledger, &document, own)),
        None if events.iter().any(|event| matches!(&event.body, Body::TrustSet(set) if set.signature.is_some())) => {
            found.push(Problem::at(1, "stages that were signed for a ledger that nothing else here names"));
        }
        None => {}
    }
    (events, found)
}

/// Questions that were asked at a trust stage which the ledger's chain of stages never gave: each environment that one
/// reaches must have been trusted so far when it was asked, for the blueprint that the engagement was requested from, and
/// the spec must be the one that this blueprint gives. So it is with what policy answered, when it did, and with a change
/// that nobody approved, by what it says that it was decided on. Each chain says its own times, which are only as good as
/// the clock and whoever wrote them: they must agree to within [`CLOCK`].
pub(in crate::ledger) fn untrusted(
    events: &[Event],
    trust: &[Event],
    blob: &dyn Fn(&Digest) -> Option<Vec<u8>>,
) -> Vec<Problem> {
    let given = given(trust);
    let read = |digest: &Digest| serde_json::from_slice::<Value>(&blob(digest)?).ok();
    let blueprint = events.first().and_then(|first| blueprint(first, &read));
    let (mut found, mut spec, mut open, mut gate) = (Vec::new(), None, None, None);
    for event in events {
        if let Body::Asked(asked) = &event.body
            && matches!(asked.about, About::Gate1 | About::Gate2)
        {
            gate = Some(asked.request);
        }
        let (request, stage, what) = match &event.body {
            Body::Filed(filed) if filed.artifact == ArtifactKind::Spec => {
                spec = Some(filed.digest);
                continue;
            }
            Body::Asked(asked) if asked.stage > *STAGES.start() => {
                let Asked { about, stage, request, .. } = &**open.insert(asked);
                (Some(*request), *stage, format!("a question about {about} at trust stage {stage}"))
            }
            Body::Asked(_) => {
                open = None;
                continue;
            }
            Body::Answered(answered) if answered.policy.is_some() => match open {
                Some(Asked { about, stage, request, .. }) => {
                    (Some(*request), *stage, format!("an answer about {about} by policy at trust stage {stage}"))
                }
                None => continue,
            },
            Body::Allowed(allowed) => match ran_at(allowed, &read).filter(|stage| stage > STAGES.start()) {
                Some(stage) => (gate, stage, format!("{} allowed as a change at trust stage {stage}", allowed.call)),
                None => continue,
            },
            _ => continue,
        };
        let request = request.and_then(|request| read(&request));
        let facts = |field: &str| request.as_ref().and_then(|request| request.pointer(&format!("/facts/{field}")));
        let names: Vec<&str> =
            facts("environments").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let trusted = |name: &str| {
            let (is, _) = blueprint.as_ref()?;
            let scope = Scope { blueprint: *is, environment: name.to_owned() };
            given.get(&scope).map(|spans| in_force(spans, stage, event.at))
        };
        let untrusted = names.iter().find_map(|name| trusted(name).unwrap_or(Some(Untrusted::Never)));
        if names.is_empty() || untrusted == Some(Untrusted::Never) {
            let what = format!("{what}, which the chain of trust stages never gave its blueprint");
            found.push(Problem::at(event.seq, what));
        } else if let Some(Untrusted::Then { until, from }) = untrusted {
            let until = until.map(|at| format!("took back at {at}"));
            let from = from.map(|at| format!("gave its blueprint at {at}"));
            let when = [until, from].into_iter().flatten().collect::<Vec<_>>().join(" and ");
            let what = format!("{what} at {}, which the chain of trust stages {when}", event.at);
            found.push(Problem::at(event.seq, what));
        } else if blueprint.as_ref().is_none_or(|(_, gives)| *gives != spec) {
            found.push(Problem::at(event.seq, format!("{what}, and the spec is not what its blueprint gives")));
        }
    }
    found
}

/// The trust stage at which a change that nobody approved was let through, as it says itself; nothing of other calls.
pub(in crate::ledger) fn ran_at(allowed: &CallAllowed, read: &dyn Fn(&Digest) -> Option<Value>) -> Option<u8> {
    if allowed.approved || allowed.counts.is_none() {
        return None;
    }
    read(&allowed.decided_on)?.pointer("/standing/stage")?.as_u64().map(|stage| u8::try_from(stage).unwrap_or(u8::MAX))
}

/// A clock may go back an hour and forward a day, so the times of two chains are apart no more than this where each was
/// written when it says.
const CLOCK: SignedDuration = SignedDuration::from_hours(25);

/// A stage that a scope had, from when, and until when if that ended.
struct Span {
    stage: u8,
    from: Timestamp,
    until: Option<Timestamp>,
}

/// Who raised the trust stages of the blueprint that an engagement was requested from, each in words: whoever reads that is
/// to know them. The chain of stages has no people file of its own, so the role that each says is held against those that
/// questions of the engagement were decided on.
pub(in crate::ledger) fn raised(
    events: &[Event],
    trust: &[Event],
    blob: &dyn Fn(&Digest) -> Option<Vec<u8>>,
) -> Vec<String> {
    let read = |digest: &Digest| serde_json::from_slice::<Value>(&blob(digest)?).ok();
    let Some((blueprint, _)) = events.first().and_then(|first| blueprint(first, &read)) else { return Vec::new() };
    let people = |event: &Event| {
        let Body::Asked(asked) = &event.body else { return None };
        let people = read(&asked.request)?.pointer("/decided_on/people")?.as_str()?.parse().ok()?;
        serde_json::from_slice::<People>(&blob(&people)?).ok()
    };
    let people: Vec<People> = events.iter().filter_map(people).collect();
    let of = |event: &Event| {
        let Body::TrustSet(set) = &event.body else { return None };
        let Actor::Person(identity) = &event.actor else { return None };
        if set.scope.blueprint != blueprint || set.stage <= set.from {
            return None;
        }
        let role = set.role.map_or_else(String::new, |role| format!(" as {role}"));
        let has = |people: &People| set.role.is_none_or(|role| people.roles(identity).contains(&role));
        let lacks = match people.iter().any(has) {
            false if !people.is_empty() => ", WHO HAS NOT THAT ROLE in the people of this engagement",
            _ => "",
        };
        let key =
            set.signature.as_ref().map_or_else(String::new, |signature| format!(", with the key {}", signature.key));
        let (name, environment, stage) = (&set.name, &set.scope.environment, set.stage);
        Some(format!("trust: {name}@{environment} was raised to stage {stage} by {}{role}{lacks}{key}", identity.name))
    };
    trust.iter().filter_map(of).collect()
}

/// Why a stage was not in force.
#[derive(Clone, Copy, PartialEq)]
enum Untrusted {
    /// It was never given.
    Never,
    /// It was at other times: the last before and the first after.
    Then { until: Option<Timestamp>, from: Option<Timestamp> },
}

/// Why a scope did not have this stage, or a higher one, at this time.
fn in_force(spans: &[Span], stage: u8, at: Timestamp) -> Option<Untrusted> {
    let spans = || spans.iter().filter(|span| span.stage >= stage);
    let before = |span: &&Span| span.until.is_some_and(|until| at.duration_since(until) > CLOCK);
    let after = |span: &&Span| span.from.duration_since(at) > CLOCK;
    if spans().next().is_none() {
        return Some(Untrusted::Never);
    }
    if spans().any(|span| !before(&span) && !after(&span)) {
        return None;
    }
    let until = spans().rfind(before).and_then(|span| span.until);
    Some(Untrusted::Then { until, from: spans().find(after).map(|span| span.from) })
}

/// Every stage that any scope ever had, in order.
fn given(trust: &[Event]) -> BTreeMap<Scope, Vec<Span>> {
    let mut folded = Trust::default();
    let mut given: BTreeMap<Scope, Vec<Span>> = BTreeMap::new();
    for event in trust {
        if let Body::TrustSet(set) = &event.body
            && follows(&mut folded, event).is_ok()
        {
            let spans = given.entry(set.scope.clone()).or_default();
            if let Some(last) = spans.last_mut() {
                last.until = Some(event.at);
            }
            spans.push(Span { stage: set.stage, from: event.at, until: None });
        }
    }
    given
}

/// The digest of the blueprint that an engagement was requested from, and that of the spec which it gives.
fn blueprint(first: &Event, read: &dyn Fn(&Digest) -> Option<Value>) -> Option<(Digest, Option<Digest>)> {
    let Body::Requested(requested) = &first.body else { return None };
    let request = read(&requested.request)?;
    let blueprint = digest_of(request.get("blueprint").filter(|blueprint| !blueprint.is_null())?).ok()?;
    let request: Option<RequestDocument> = serde_json::from_value(request).ok();
    let spec = request.and_then(|request| request.expansion(requested.request)?.ok());
    Some((blueprint, spec.and_then(|spec| digest_of(&spec).ok())))
}

/// Who an event is by; nobody where it is by no person.
pub(in crate::ledger) fn person(actor: &Actor) -> Option<&Identity> {
    match actor {
        Actor::Person(identity) => Some(identity),
        Actor::Agent(_) | Actor::Policy | Actor::Program => None,
    }
}

/// Whether a stage was signed by whoever set it, where it stands in the chain.
fn signed_so(
    event: &Event,
    set: &TrustSet,
    signature: &Signature,
    (ledger, head): (&LedgerId, Head),
    document: &dyn Fn(&Digest) -> Option<Arc<Value>>,
    own: Option<&AllowedSigners>,
) -> Result<(), String> {
    let mut signed: Signed<TrustStatement> = read_signed(signature, event.at, document)?;
    let is_for = |by| signed.statement.is_for(set, ledger.clone(), by, head);
    if !person(&event.actor).is_some_and(is_for) {
        return Err("a trust stage whose signature is for another ledger, stage, person, account or place".into());
    }
    let wrong = |why| format!("a trust stage whose signature does not hold: {why}");
    as_signed(&mut signed, signature, own).map_err(wrong)
}

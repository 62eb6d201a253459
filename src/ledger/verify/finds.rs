//! Targets that reads added after gate 1: each was found so, by a read as gate 1 approved it, or nothing of it is reached.
//! What was answered may be redacted; then nothing is asked. The rest of the inventory, which may rule out a name that was
//! found, does not lie beside a chain.

use std::collections::BTreeMap;

use crate::{
    artifact::{Digest, digest_of},
    engagement::{About, Asked, CallAllowed, Purpose, State, found_answers},
    facts::{FoundBy, FoundIn, Target},
};

use super::{
    Papers,
    grounds::Grounds,
    steps::{given, gives},
};

/// What is wrong with the targets that a question says were found.
pub(super) fn asked(state: &State, asked: &Asked, grounds: &Grounds, papers: &Papers<'_>) -> Option<String> {
    let on = &grounds.approved_on;
    if on.found_by.is_empty() {
        return None;
    }
    let Some(said) = &on.found else {
        return (asked.about == About::Gate2).then(|| "that does not say which targets were found".into());
    };
    let found = found(state, grounds, papers)?;
    let so = |name: &String, digest: &Digest| {
        found.get(name).is_some_and(|target| digest_of(target).is_ok_and(|is| is == *digest))
    };
    let other = said.iter().find(|(name, digest)| !so(name, digest));
    other.map(|(name, _)| format!("that reaches `{name}`, which no read found so"))
}

/// Whether a call is on a target that no read found.
pub(super) fn nowhere(state: &State, target: &str, grounds: &Grounds, papers: &Papers<'_>) -> bool {
    !grounds.approved_on.found_by.is_empty()
        && !grounds.approved_on.unlisted_targets
        && found(state, grounds, papers).is_some_and(|found| !found.contains_key(target))
}

/// How a read that may add targets is another than the approved one.
pub(super) fn read_otherwise(allowed: &CallAllowed, grounds: &Grounds, papers: &Papers<'_>) -> Option<String> {
    let Purpose::Find { tool, by } = &allowed.purpose else { return None };
    let is = |finder: &&FoundBy| digest_of(finder).is_ok_and(|digest| digest == *by);
    let Some(finder) = grounds.approved_on.found_by.iter().find(is) else {
        return Some("which gate 1 did not let find targets".into());
    };
    let same = given(&allowed.args, papers).is_none_or(|given| gives(&given, &finder.args));
    (allowed.tool != *tool || *tool != finder.tool || !same).then(|| "and it reads something else".into())
}

/// The targets that the approved reads gave; nothing where an answer is not here.
fn found(state: &State, grounds: &Grounds, papers: &Papers<'_>) -> Option<BTreeMap<String, Target>> {
    let answered = found_answers(&grounds.approved_on.found_by, state).into_iter();
    let answers = answered.map(|(by, call, result)| Some((by, call, papers.result(state, &result)?)));
    let answers = answers.collect::<Option<Vec<_>>>()?;
    let mut file = grounds.inventory.clone();
    let listed = &grounds.approved_on.targets;
    file.targets.retain(|target| listed.contains_key(&target.name));
    let answers: Vec<FoundIn<'_>> =
        answers.iter().map(|(by, call, result)| FoundIn { by, call, result: result.as_ref() }).collect();
    let with = file.with_found(&answers).targets.into_iter();
    Some(with.filter(|target| !listed.contains_key(&target.name)).map(|target| (target.name.clone(), target)).collect())
}

//! What was said before of a call that a person is asked about again.

use crate::{
    artifact::Digest,
    engagement::{Answer, Call, State},
};

use super::{
    common::moment,
    text::{sentence, word},
};

/// The last answer about a call, and why it does not count for `call`; nothing where there was none, or where it is only
/// the rule that refused the call that says why.
pub(super) fn said_before(state: &State, digest: Digest, call: &Call) -> Option<String> {
    let (who, at, answered) = state.last_said_of(&digest)?;
    let who = word(&who.to_string());
    if answered.answer != Answer::Approve {
        let reason = answered.reason.as_ref().map(|reason| format!(", \"{}\"", sentence(reason))).unwrap_or_default();
        return Some(format!(
            "{who} said no to it on {}{reason}. The step is tried again, so it is asked again.",
            moment(at)
        ));
    }
    let said = format!("{who} said yes to it on {}", moment(at));
    if let Some(until) = state.approved_until.get(&digest).filter(|until| **until <= call.at) {
        return Some(format!("{said}, and that ended on {} before it was used.", moment(until)));
    }
    let used = |(_, other): &(_, &Call)| other.digest == Some(digest) && other.used_approval && *at <= other.at;
    let (id, _) = state.calls.iter().rfind(used)?;
    Some(format!("{said}, for one use; {id} used it up."))
}

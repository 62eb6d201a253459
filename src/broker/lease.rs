//! The target of a change is had from the look right before it until what came of it was read: with nobody where it was
//! looked at, so that what was seen is what is changed.

use std::time::Duration;

use jiff::SignedDuration;

use crate::{
    artifact::{CallId, NodeId, Phase, ToolName},
    engagement::{Proposal, Purpose, View, look_before, target_of},
    ledger::{Behind, Journal, LedgerError, With},
    tool::{Effect, Toolbox},
};

use super::told::BrokerError;

/// Whether a proposal may be made now.
#[derive(Clone, Debug, PartialEq)]
pub enum Reserved {
    /// It may.
    Has,
    /// Its target may have been changed by others since it was looked at, so this look is made first.
    LookFirst(Box<Proposal>),
    /// Others have its target.
    Behind(Behind),
}

/// What a proposal needs of a target.
enum Need {
    Nothing,
    /// What is had.
    Same,
    Target {
        target: String,
        with: With,
        node: Option<NodeId>,
        look: Option<Box<Proposal>>,
    },
}

fn need(view: &View<'_>, proposal: &Proposal) -> Need {
    // Before the build nothing is changed, whatever is proposed: it is refused without waiting for anything.
    let builds = view.state.phase == Phase::Build && !matches!(proposal.purpose, Purpose::Turn { .. });
    let changed = || {
        let tool = view.toolbox.tool(&proposal.tool.parse().ok()?).filter(|tool| tool.effect != Effect::Read)?;
        let args = view.toolbox.check_args(tool, &proposal.args).ok()?;
        Some(args.get(&tool.target)?.as_str()?.to_owned())
    };
    let looks = matches!(proposal.purpose, Purpose::Recheck { .. } | Purpose::BeforeUndo { .. });
    let (target, look) = match &proposal.purpose {
        Purpose::Recheck { node, .. } | Purpose::BeforeUndo { node } => (target_of(view, node), None),
        Purpose::Act { node, .. } | Purpose::Undo { node } => match look_before(view, &proposal.purpose) {
            Some(look) => (target_of(view, node), Some(Box::new(look))),
            None => (changed(), None),
        },
        Purpose::ReadBack { .. } | Purpose::Verify { .. } | Purpose::UndoCheck { .. } => return Need::Same,
        _ => (changed().filter(|_| builds), None),
    };
    let with = if looks || look.is_some() { With::Nobody } else { With::TheBlind };
    let node = proposal.purpose.node().cloned();
    target.map_or(Need::Nothing, |target| Need::Target { target, with, node, look })
}

/// How long a call waits for others here; whoever drives an engagement asks before, and waits longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// After how long it is looked again whether others still have a target.
pub const BETWEEN: Duration = Duration::from_millis(25);

/// Waits for what a proposal needs of its target; whether there was anything to wait for.
pub(super) async fn reserved(
    journal: &mut Journal,
    toolbox: &Toolbox,
    proposal: &Proposal,
) -> Result<bool, BrokerError> {
    let mut waited = false;
    loop {
        match reserve(journal, toolbox, proposal).await? {
            Reserved::Has => return Ok(waited),
            Reserved::LookFirst(look) => return Err(BrokerError::LookFirst(look.purpose.words())),
            Reserved::Behind(behind) if behind.since.elapsed() > PATIENCE => return Err(BrokerError::Behind(behind)),
            Reserved::Behind(_) => {
                waited = true;
                journal.flush().await?;
                tokio::time::sleep(BETWEEN).await;
            }
        }
    }
}

/// Takes the target of a call that is sent once more; who has it, where others do. It does not wait.
///
/// # Errors
///
/// As [`Journal::take`].
pub async fn reserve_again(journal: &mut Journal, call: &CallId) -> Result<Option<Behind>, LedgerError> {
    let known = journal.state().calls.get(call);
    let Some((target, node)) = known.and_then(|call| Some((call.target.clone()?, call.purpose.node().cloned()))) else {
        return Ok(None);
    };
    if journal.has(&target, With::TheBlind, node.as_ref()) {
        return Ok(None);
    }
    journal.take(&target, With::TheBlind, node.as_ref()).await
}

/// Takes what a proposal needs of its target, and gives back what the last one needed. It does not wait.
///
/// # Errors
///
/// As [`Journal::take`].
pub async fn reserve(journal: &mut Journal, toolbox: &Toolbox, proposal: &Proposal) -> Result<Reserved, LedgerError> {
    let (state, documents, blobs) = (journal.state(), journal.documents(), journal.blobs());
    let (target, with, node, look) = match need(&View { state, documents, blobs, toolbox }, proposal) {
        Need::Same => return Ok(Reserved::Has),
        Need::Nothing => {
            journal.let_go();
            return Ok(Reserved::Has);
        }
        Need::Target { target, with, node, look } => (target, with, node, look),
    };
    let node = node.as_ref();
    if !journal.has(&target, with, node)
        && let Some(behind) = journal.take(&target, with, node).await?
    {
        return Ok(Reserved::Behind(behind));
    }
    Ok(match look {
        Some(look) if !journal.has_looked() => Reserved::LookFirst(look),
        _ => Reserved::Has,
    })
}

/// Who has a target, in words.
pub fn behind_words(behind: &Behind) -> String {
    match &behind.who {
        Some(who) => format!("engagement {who} is changing {}", behind.target),
        None => format!("another engagement is changing {}", behind.target),
    }
}

/// Says of a call that is about to be sent for how long it may act; what only reads does not act. Whether it was said.
pub(super) fn sends(journal: &mut Journal, toolbox: &Toolbox, tool: &ToolName) -> Result<bool, String> {
    if toolbox.tool(tool).is_some_and(|tool| tool.effect == Effect::Read) {
        return Ok(false);
    }
    let seconds = toolbox.manifest_of(tool).map_or(30, |manifest| i64::from(manifest.server.timeout_seconds));
    let said = journal.sends(SignedDuration::from_secs(seconds));
    said.map(|()| true).map_err(|error| format!("not done, {error}"))
}

//! What a step's change rests on: its target, and the look right before it.

use crate::artifact::{Agent, NodeId};

use super::{build::node_args, event::CallOutcome, next::Proposal, purpose::Purpose, view::View};

/// The target that a step changes, where that is known.
pub fn target_of(view: &View<'_>, node: &NodeId) -> Option<String> {
    if let Some(target) = view.act_of(node).and_then(|(_, call)| call.target.clone()) {
        return Some(target);
    }
    let node = view.documents.flow()?.node(node)?;
    let tool = view.toolbox.tool(&node.step.tool)?;
    let args = view.toolbox.check_args(tool, &node_args(view, node).ok()?).ok()?;
    Some(args.get(&tool.target)?.as_str()?.to_owned())
}

/// The look that was made right before a change, to be made once more; nothing where it rests on none.
pub fn look_before(view: &View<'_>, change: &Purpose) -> Option<Proposal> {
    let purpose = match change {
        Purpose::Act { node, attempt, .. } => Purpose::Recheck { node: node.clone(), attempt: *attempt },
        Purpose::Undo { node } => Purpose::BeforeUndo { node: node.clone() },
        _ => return None,
    };
    let (_, look) = view.state.call_for(&purpose)?;
    let args = look.args.read(view.blobs).filter(|_| look.outcome == Some(CallOutcome::Ok))?.clone();
    Some(Proposal { agent: Agent::Verifier, purpose, tool: look.tool.clone(), args })
}

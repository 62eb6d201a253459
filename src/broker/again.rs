//! The second decision of a call that is written down and was not sent yet, or may never have been: as the first, on how
//! things are now. What only the first decides is its counts and that it was the contract's next.

use serde_json::Value;

use crate::{
    engagement::{Call, Proposal, Purpose, View},
    facts::Role,
    policy::{Catalog, CompiledBoundary, Question, Verdict, rule},
    tool::Effect,
};

use super::{
    circumstances::{changes, window_open},
    decide::{Moment, No, Refused, gate, known, step_approval},
    still::{since_agreed, still_agreed, still_as_approved},
};

/// Whether a call that was allowed once may still be sent under its own id: pins, gates, window, guardrails, boundary
/// and stage as they are now. The counts were taken with its intent. The error says why not.
pub(super) fn still_allowed(
    view: &View<'_>,
    catalog: &Catalog,
    boundary: Option<&CompiledBoundary>,
    call: &Call,
    moment: &Moment<'_>,
) -> Result<(), String> {
    let why = |(_, _, spoke): No| spoke.reason;
    let now = moment.now;
    let (agent, purpose, tool) = (call.agent, call.purpose.clone(), call.tool.clone());
    let sent = call.args.read(view.blobs).ok_or("its arguments are not in the ledger")?;
    let proposal = Proposal { agent, purpose, tool, args: sent.clone() };
    let (tool, args) = known(catalog, &proposal).map_err(why)?;
    if args != *sent {
        return Err("its tool takes these arguments otherwise now".into());
    }
    let recovery = view.recovers(&proposal);
    gate(view, tool, &proposal, recovery, moment).map_err(why)?;
    let boundary = boundary.ok_or("there is no approved spec to go by")?;
    // A read uses no yes up, and rests on one all the same.
    let on_a_yes = call.used_approval || tool.effect == Effect::Read;
    let agreed = call.digest.filter(|_| on_a_yes).and_then(|digest| view.state.agreed_in(&digest, now));
    if let Some(Refused::NeedsApproval(role)) = step_approval(view, &proposal, agreed) {
        return Err(format!("it needs the approval of a person with the role {role}, and there is none that holds"));
    }
    // Whoever approves as an owner approves as an approver too.
    let approved_by = [Role::Approver, Role::Owner].into_iter().filter(|role| agreed >= Some(*role));
    let undone = || proposal.purpose.node().and_then(|node| view.act_of(node)).and_then(|(_, act)| act.grant.clone());
    let undo_of = matches!(proposal.purpose, Purpose::Undo { .. }).then(undone).flatten();
    let question = Question {
        agent: proposal.agent,
        phase: view.state.phase,
        stage: moment.stage,
        tool,
        args: &args,
        on_contract: !proposal.purpose.is_proposed(),
        undo_of: undo_of.as_deref(),
        recovery,
        window_open: window_open(view, now),
        approved_by: &approved_by.collect(),
        changes: changes(view.state, catalog, tool, &args, moment.elsewhere),
    };
    let ruling = rule(catalog, boundary, &question);
    match ruling.verdict {
        Verdict::Allow => {
            let target = args.get(&tool.target).and_then(Value::as_str).unwrap_or_default();
            still_as_approved(view, catalog, tool, target, recovery).map_err(why)?;
            // The yes that it used was of its tool and its target as they were.
            let rests = call.digest.as_ref().filter(|_| on_a_yes && agreed.is_some());
            let since = |digest| since_agreed(view, catalog, (tool, target, digest), recovery, now);
            if let Some(what) = rests.and_then(since) {
                return Err(format!("{what} since somebody said yes to it"));
            }
            still_agreed(view, catalog, &proposal.purpose, (rests, target), now).map_err(why)
        }
        _ => Err(ruling.spoke.last().map_or_else(|| "no rule allows it now".into(), |spoke| spoke.reason.clone())),
    }
}

//! Why nothing of an engagement can be tried again, and what to do instead.

use crate::{
    artifact::{NodeId, RecordOutcome},
    engagement::{Closed, Gate, State},
    flow::NodeOutcome,
    ledger::Journal,
    runtime::spent,
};

use super::{code::CliError, output::plain, show::outcome_words};

/// The error of a retry that would begin nothing.
pub fn nothing_to_retry(journal: &Journal) -> CliError {
    let state = journal.state();
    let id = &state.id;
    let (why, next) = why(journal);
    let next = match next {
        Next::Anew => "ask for it anew with `countersign request`".to_owned(),
        Next::Run => format!("go on with `countersign run {id}`"),
        Next::Look => format!("look with `countersign show {id}`"),
        Next::From => {
            format!("put that right by hand, then go on with a new request: `{}`", anew_from(state))
        }
    };
    CliError::usage(format!("no step of {id} can be tried again: {why}; {next}"))
}

/// The command that asks anew from what an engagement left, as it was asked for then.
pub fn anew_from(state: &State) -> String {
    let id = &state.id;
    match (&state.requested.blueprint, state.requested.model) {
        (Some(blueprint), _) => format!("countersign request --blueprint {blueprint} --set … --from {id}"),
        (None, true) => format!("countersign request --text \"…\" --from {id}"),
        (None, false) => format!("countersign request --spec FILE --design FILE --from {id}"),
    }
}

/// The command that changes or takes back what an engagement left: a blueprint asks for the same again.
pub fn changed_from(state: &State) -> String {
    let id = &state.id;
    if state.requested.model {
        anew_from(state)
    } else {
        format!("countersign request --spec FILE --design FILE --from {id}, with a spec and a design of your own")
    }
}

/// What there is to do instead.
pub enum Next {
    /// Ask for it anew.
    Anew,
    /// Go on with it.
    Run,
    /// Look at it.
    Look,
    /// Ask anew from its record.
    From,
}

/// Why nothing can be tried again, and what there is to do instead.
pub fn why(journal: &Journal) -> (String, Next) {
    let state = journal.state();
    if let Some(reason) = &state.cancelled {
        return (format!("it was cancelled ({})", plain(reason)), Next::Anew);
    }
    let flow = journal.documents().flow();
    match (&state.closed, flow) {
        (Some(closed), None) => {
            let ended = outcome_words(closed.outcome);
            (format!("it ended before a step was begun ({ended}: {})", plain(&closed.reason)), Next::Anew)
        }
        (None, None) => ("no step has been begun yet".to_owned(), Next::Run),
        (closed, Some(flow)) => {
            let shut =
                [(Gate::One, "gate 1"), (Gate::Two, "gate 2")].into_iter().find(|(gate, _)| !state.gate_open(*gate));
            if let Some((_, name)) = shut {
                let next = if closed.is_some() { Next::Anew } else { Next::Run };
                return (format!("{name} is not open any more"), next);
            }
            if let (None, Some(asked)) = (closed, &state.asked) {
                return (format!("{} is asked about, and that is answered first", asked.about), Next::Look);
            }
            if closed.is_none() {
                return ("it has not ended yet".to_owned(), Next::Run);
            }
            let open = flow.nodes.iter().any(|node| state.tried_again(&node.id).is_some());
            if let Some(spent) = spent(journal, journal.now()).filter(|_| open) {
                return (spent, Next::From);
            }
            let lasting: Vec<String> = flow.nodes.iter().filter_map(|node| lasting(state, &node.id)).collect();
            let short = |closed: &Closed| matches!(closed.outcome, RecordOutcome::PartlyDone | RecordOutcome::Failed);
            match (lasting.is_empty(), closed) {
                (false, _) => (lasting.join("; "), Next::From),
                (true, Some(closed)) if short(closed) => (
                    "every step was run, and what that came to was not seen to be as it was to be".to_owned(),
                    Next::From,
                ),
                (true, _) => ("every step is done, or had nothing to do".to_owned(), Next::Look),
            }
        }
    }
}

/// Why a step that is not done stays as it is.
fn lasting(state: &State, node: &NodeId) -> Option<String> {
    let settled = state.nodes.get(node)?;
    let why = match settled.outcome {
        NodeOutcome::Done | NodeOutcome::Unchanged | NodeOutcome::Skipped => return None,
        NodeOutcome::Unknown => "nobody knows whether it took effect",
        NodeOutcome::UndoFailed => "it was to be taken back, and that failed or could not be seen",
        NodeOutcome::Failed if settled.changed => "it failed and left something behind",
        _ if state.wanted_after(node).is_some() => "it was accepted after a failure, for one time",
        _ => "a step that cannot be tried again keeps it from being run",
    };
    Some(format!("{node}: {why}"))
}

//! Whether a call costs at the end of a long engagement what it costs at its beginning: with tools that have no state to read,
//! and with one whose state is read before gate 2, right before and after each step, and at the end.

use std::time::Instant;

use countersign::{engagement::Purpose, runtime::Progress};
use serde_json::{Value, json};

use super::{Bench, Seen, draft, two};

/// Both of them, of engagements of so many calls.
pub(super) async fn growth(bench: &Bench, calls: usize) -> Value {
    assert!(calls >= 3 * Seen::CALLS_A_STEP, "growth is seen between steps: give 15 calls or more");
    let mut at = Vec::with_capacity(calls);
    bench
        .whole_watched("growth", calls, &mut |progress| {
            if matches!(progress, Progress::Called(..)) {
                at.push(Instant::now());
            }
        })
        .await;
    // The first gap and the last hold gate 2 and the record.
    let blind = tenths(at.get(1..at.len() - 1).unwrap_or_default());
    let (mut before, mut acted, mut observed) = (Vec::new(), Vec::new(), Vec::new());
    let steps = calls / Seen::CALLS_A_STEP;
    bench
        .whole_of(draft("seen", steps + 2, Seen::All), Seen::calls(steps), &mut |progress| {
            let Progress::Called(proposal, _) = progress else { return };
            match proposal.purpose {
                Purpose::Before { .. } => before.push(Instant::now()),
                Purpose::Act { .. } => acted.push(Instant::now()),
                Purpose::Observe { .. } => observed.push(Instant::now()),
                _ => {}
            }
        })
        .await;
    json!({
        "calls": calls, "without_state": blind,
        "with_state": {"steps": steps, "before": tenths(&before), "step": tenths(&acted), "observed": tenths(&observed)},
    })
}

/// What passed from one to the next, in microseconds at the median of each tenth.
fn tenths(at: &[Instant]) -> Value {
    let gaps: Vec<f64> = at.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1e6).collect();
    let median = |some: &[f64]| {
        let mut some = some.to_vec();
        some.sort_by(f64::total_cmp);
        some[some.len() / 2]
    };
    let tenth = (gaps.len() / 10).max(1);
    let us: Vec<f64> = gaps.chunks_exact(tenth).map(|some| two(median(some))).collect();
    let (first, last) = (median(&gaps[..tenth]), median(&gaps[gaps.len() - tenth..]));
    json!({"us_by_tenth": us, "last_to_first": two(last / first)})
}

//! Discovery reports that say what the chain does not have.

use serde_json::{Value, json};

use super::*;
use crate::{artifact::digest_of, engagement::Body, ledger::testing::Story};

const REPORT: usize = 7;

/// What is found at an event of a story with another report.
fn found(at: usize, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut story = Story::whole("k7m2q");
    let Body::Filed(filed) = &mut story.events[REPORT].2 else { panic!() };
    let mut report: Value = serde_json::from_slice(&story.blobs[&filed.digest]).unwrap();
    change(&mut report);
    filed.digest = digest_of(&report).unwrap();
    story.document(&report);
    let problems = verify(&story.bytes(), &story.blobs).problems;
    problems.into_iter().filter(|problem| problem.seq == at as u64 + 1).map(|problem| problem.what).collect()
}

#[test]
fn a_report_says_what_was_read() {
    let read = |call: &str, tool: &str, result: &Value| json!({"id": "vlans", "tool": tool, "with": {}, "call": call, "result": digest_of(result).unwrap()});
    let (result, tool) = (json!({"vlans": [1, 20]}), "switch.vlan.create");
    assert_eq!(found(REPORT, |_| {}), [""; 0]);
    assert_eq!(found(REPORT, |report| report["reads"] = json!([read("c1", tool, &result)])), [""; 0]);
    for (reads, what) in [
        (read("c7", tool, &result), "whose read vlans is none that c7 gave"),
        (read("c1", tool, &json!({"vlans": []})), "whose read vlans is none that c1 gave"),
        (read("c1", "vlan.list", &result), "whose read vlans is none that c1 gave"),
    ] {
        let found = found(REPORT, |report| report["reads"] = json!([reads]));
        assert!(found.iter().any(|found| found.contains(what)), "{found:?}");
    }
    let cites = |report: &mut Value| report["findings"] = json!([{"text": "all is well", "calls": ["c7"]}]);
    assert!(found(REPORT, cites)[0].contains("cites c7, which was never made"));
    for (calls, holds, fits) in
        [(json!([]), json!(null), true), (json!([]), json!(true), false), (json!(["c1"]), json!(false), false)]
    {
        let said = json!([{"check": "A1", "holds": holds, "calls": calls}]);
        let found = found(REPORT, |report| report["acceptance"] = said);
        assert_eq!(found.iter().any(|found| found.contains("whether check A1 held, which was not read so")), !fits);
    }
}

#[test]
fn no_design_follows_where_the_report_says_that_the_spec_cannot_be_met() {
    for (verdict, fits) in
        [("feasible", true), ("with_constraints", true), ("with_changes", false), ("not_feasible", false)]
    {
        let found = found(REPORT + 1, |report| report["verdict"] = json!(verdict));
        assert_eq!(found.iter().any(|found| found.contains("says that the spec cannot be met")), !fits, "{verdict}");
    }
}

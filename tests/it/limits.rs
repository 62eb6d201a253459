//! What a spec and its grants count, held by everyone who writes to one chain at a time; and what becomes of an
//! engagement whose agents try what no grant lets them do.

use std::sync::Arc;

use countersign::{
    artifact::Agent,
    broker::{Broker, Told},
    engagement::{Actor, Proposal, Purpose},
    ledger::Journal,
    runtime::Workspace,
};
use serde_json::json;

use crate::{
    bench::{Bench, outcomes, program},
    written::{DESIGN, SPEC},
};

/// What came of many proposals of the build agent, each through a workspace, a journal and a broker of its own: the
/// rules that refused, and `ran`.
fn all_at_once(bench: &Bench, id: &str, proposals: Vec<Proposal>) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let one = |proposal: Proposal| {
        let (root, id) = (bench.root.clone(), id.parse().unwrap());
        async move {
            let workspace = Arc::new(Workspace::open(&root, program().to_owned()).await.unwrap());
            let mut journal = Journal::open(Arc::clone(workspace.store()), &id).await.unwrap();
            let broker = Broker::new(workspace);
            let invoked = broker.invoke(&mut journal, Actor::Agent(Agent::Build), proposal).await.unwrap();
            broker.close().await;
            match invoked.told {
                Told::Refused { rule, .. } => rule.rule,
                Told::Result(_) => "ran".to_owned(),
                other => format!("{other:?}"),
            }
        }
    };
    let tasks: Vec<_> = proposals.into_iter().map(|proposal| runtime.spawn(one(proposal))).collect();
    runtime.block_on(async {
        let mut told = Vec::new();
        for task in tasks {
            told.push(task.await.unwrap());
        }
        told
    })
}

#[test]
fn a_count_of_one_lets_one_of_fifty_parallel_proposals_run() {
    let bench = Bench::new();
    // A workspace whose agents may change things on their own, so that only the count holds them back.
    let free = "
// match: {effect: write, on_contract: false}
// no match: {effect: read}
@id(\"free\")
@reason(\"a test\")
permit (principal == Agent::\"build\", action in Action::\"write\", resource);
";
    let stages = bench.read("policies/stages.cedar");
    bench.write("policies/stages.cedar", &format!("{stages}{free}"));
    let design = DESIGN.replace("name: guest}\n", "name: guest}\n    approval: owner\n");
    let id = bench.request_written(&SPEC.replace("at_most: 6", "at_most: 1"), &design);
    bench.to_gate2(&id);
    bench.approve(&id);
    assert_eq!(bench.drive(&id, 3)["status"]["about"]["call"]["node"], "create/sw01");
    let proposal = |n: u32| Proposal {
        agent: Agent::Build,
        purpose: Purpose::Proposed { n: 1 },
        tool: "vlan.create".into(),
        args: json!({"switch": "sw02", "id": 140 + n, "name": "many"}).as_object().unwrap().clone(),
    };
    let told = all_at_once(&bench, &id, (0..50).map(proposal).collect());
    assert_eq!(told.iter().filter(|told| *told == "ran").count(), 1, "{told:?}");
    let held = |told: &&String| ["limit.at_most", "contract.under_way"].contains(&told.as_str());
    assert_eq!(told.iter().filter(held).count(), 49, "{told:?}");
    assert_eq!(bench.writes().len(), 1, "{:?}", bench.writes());
    // A later process counts what those before it let through.
    assert_eq!(all_at_once(&bench, &id, vec![proposal(55)]), ["limit.at_most"]);
    assert_eq!(bench.events(&id, "call.allowed").iter().filter(|event| event["body"]["grant"] == "build.0").count(), 1);
    bench.holds(&id);
}

#[test]
fn attempts_outside_the_boundary_end_the_engagement_and_are_in_its_record() {
    // Each value comes from an earlier answer, so only the broker can see that it is outside the grant.
    let steps = "  - id: look
    tool: vlan.list
    needs: [create]
    with: {switch: sw01}
  - id: more
    tool: vlan.create
    needs: [look]
    for_each: {items: '[\"sw01\", \"sw02\", \"sw03\", \"sw04\"]', at_most: 4}
    with: {switch: {cel: item}, id: {cel: 'steps.look.result.vlans[0].id + 1'}, name: more}
    on_failure: continue
";
    let design = DESIGN.replace("acceptance:", &format!("{steps}acceptance:"));
    for (limit, tried) in [("", 3), ("limits: {attempts_outside: 1}\n", 1), ("limits: {attempts_outside: 9}\n", 4)] {
        let bench = Bench::new();
        let id = bench.request_written(&format!("{SPEC}{limit}"), &design);
        bench.to_gate2(&id);
        let (code, end) = bench.yes_to_all(&id);
        assert_eq!(code, 6, "{}", end["record"]["summary"]);
        assert_eq!(end["record"]["totals"]["outside"], tried);
        let steps = outcomes(&end["record"]["steps"], "node");
        let of = |what: &str| steps.iter().filter(|step| step.starts_with("more/") && step.ends_with(what)).count();
        // The step whose call was the last straw is not run any more, like those after it.
        let failed = if tried < 4 { tried - 1 } else { 4 };
        assert_eq!((of("failed"), of("not_run")), (failed, 4 - failed), "{steps:?}");
        let summary = end["record"]["summary"].as_str().unwrap();
        assert_eq!(summary.starts_with("stopped ("), tried < 4, "{summary}");
        assert_eq!(bench.vlan("2"), vec![json!(null); 4]);
        bench.holds(&id);
    }
}

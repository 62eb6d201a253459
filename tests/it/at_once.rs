//! How many calls are under way at a server at once: as many as its manifest says, whoever makes them, and what becomes of
//! those beside one that is not answered.

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
    bench::{Bench, program},
    written::{DESIGN, SPEC},
};

/// Answers calls two by two, and `quiet` ones never: a call alone waits for the one that comes beside it. With `alone` in its
/// folder it answers each by itself, while there is no `held`; with `dies` it ends when it has said what its tools are.
const SERVER: &str = r#"
import json, os, sys, time
folder = sys.argv[1]
open(folder + "/starts", "a").write("x")
ARGS = {"type": "object", "properties": {"switch": {"type": "string"}, "quiet": {"type": "boolean"}}, "required": ["switch"]}
waiting = []
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    params, results = asked.get("params") or {}, {}
    if asked["method"] == "initialize":
        server = {"name": "pair", "version": "1"}
        results[asked["id"]] = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": server}
    elif asked["method"] == "tools/list":
        # Many, so that whoever reads them is at it when the server ends.
        others = [{"name": f"pair.other{n}", "inputSchema": ARGS} for n in range(200)]
        results[asked["id"]] = {"tools": [{"name": "pair.meet", "inputSchema": ARGS}] + others}
    elif asked["method"] == "tools/call" and os.path.exists(folder + "/alone"):
        while os.path.exists(folder + "/held"):
            time.sleep(0.02)
        results[asked["id"]] = {"content": [], "structuredContent": {"call": asked["id"]}}
    elif asked["method"] == "tools/call" and not params["arguments"].get("quiet"):
        waiting.append(asked["id"])
        if len(waiting) == 2:
            # The later one first: answers come in whatever order they like.
            for id in reversed(waiting):
                results[id] = {"content": [], "structuredContent": {"call": id}}
            waiting = []
    for id, result in results.items():
        print(json.dumps({"jsonrpc": "2.0", "id": id, "result": result}), flush=True)
    if asked["method"] == "tools/list" and os.path.exists(folder + "/dies"):
        os._exit(0)
"#;

const MANIFEST: &str = "\
kind: tools
family: pair
about: Answers two by two
simulated: true
server:
  command: [/usr/bin/python3, '{workspace}/pair.py', '{workspace}/.countersign/servers/pair']
  files: {write: ['{workspace}/.countersign/servers/pair']}
  timeout_seconds: 2
tools:
  - name: pair.meet
    about: Wait for another call
    says: wait for another call on {switch}
    effect: read
    target: switch
    args:
      properties:
        switch: {type: string, format: target}
        quiet: {type: boolean}
      required: [switch]
    empty: {call: 0}
";

/// Where the server looks for what it is to do.
const FOLDER: &str = ".countersign/servers/pair";

/// A workspace with that server, which so many calls are made to at once, and two engagements that may call it.
struct Site {
    bench: Bench,
    ids: [String; 2],
}

/// One that lets the server be called.
fn spec() -> String {
    let grant =
        "  discover:\n    - {tool: pair.meet, where: {switch: {in_group: access-switches}, quiet: {any: true}}}\n";
    SPEC.replace("  discover:\n", grant)
}

impl Site {
    fn new(calls_at_once: Option<u32>) -> Self {
        Self::patient(2, calls_at_once)
    }

    /// One whose server has so many seconds for an answer.
    fn patient(seconds: u32, calls_at_once: Option<u32>) -> Self {
        let bench = Bench::new();
        let at_once = calls_at_once.map(|most| format!("\n  calls_at_once: {most}")).unwrap_or_default();
        let server = format!("timeout_seconds: {seconds}{at_once}");
        bench.write("pair.py", SERVER);
        std::fs::create_dir_all(bench.root.join(FOLDER)).unwrap();
        bench.write("tools/pair.yaml", &MANIFEST.replace("timeout_seconds: 2", &server));
        bench.run(&["tools", "pin", "--yes"]).code(0);
        let ids = [(); 2].map(|()| {
            let id = bench.request_written(&spec(), DESIGN);
            bench.to_gate2(&id);
            id
        });
        Self { bench, ids }
    }

    /// One whose engagements make that call as soon as they are driven.
    fn meeting(calls_at_once: Option<u32>) -> Self {
        let Self { bench, ids } = Self::new(calls_at_once);
        for id in ids {
            bench.run(&["cancel", &id, "--reason", "another"]).code(0);
            bench.drive(&id, 1);
        }
        let ids = [(); 2].map(|()| {
            let design = format!("discover:\n  - {{id: meet, tool: pair.meet, with: {{switch: sw01}}}}\n{DESIGN}");
            let id = bench.request_written(&spec(), &design);
            bench.drive(&id, 3);
            bench.approving(&id, &[]).code(0);
            id
        });
        Self { bench, ids }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.bench.root.join(FOLDER).join(name)
    }

    /// What two calls come to that are made at the same time through one broker; and the two after those.
    fn meet(&self, calls: &[[bool; 2]]) -> Vec<[Told; 2]> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let workspace = Arc::new(Workspace::open(&self.bench.root, program().to_owned()).await.unwrap());
            let broker = Broker::new(workspace.clone());
            let call = async |id: &str, quiet: bool| {
                let mut journal = Journal::open(Arc::clone(workspace.store()), &id.parse().unwrap()).await.unwrap();
                let args = json!({"switch": "sw01", "quiet": quiet}).as_object().unwrap().clone();
                let n = journal.state().next_call().number();
                let (agent, purpose) = (Agent::Design, Purpose::Proposed { n });
                let proposal = Proposal { agent, purpose, tool: "pair.meet".into(), args };
                broker.invoke(&mut journal, Actor::Agent(Agent::Design), proposal).await.unwrap().told
            };
            let mut told = Vec::new();
            for [one, two] in calls {
                let (one, two) = tokio::join!(call(&self.ids[0], *one), call(&self.ids[1], *two));
                told.push([one, two]);
            }
            broker.close().await;
            told
        })
    }
}

fn answered(told: &[Told; 2]) -> bool {
    told.iter().all(|told| matches!(told, Told::Result(_)))
}

fn unknown(told: &Told) -> &str {
    let Told::Unknown(why) = told else { panic!("{told:?}") };
    why
}

#[test]
fn calls_of_two_engagements_are_under_way_at_one_server_at_once() {
    let site = Site::new(Some(2));
    let told = site.meet(&[[false, false], [false, false]]);
    assert!(told.iter().all(answered), "{told:?}");
    let own = |told: &Told| matches!(told, Told::Result(value) if value["call"].is_u64());
    assert!(told.iter().flatten().all(own), "{told:?}");
    assert_ne!(told[0][0], told[0][1], "each gets the answer to its own call");
}

#[test]
fn a_server_that_says_nothing_of_it_is_called_one_by_one() {
    let site = Site::new(None);
    let [told] = &site.meet(&[[false, false]])[..] else { panic!() };
    // Neither ever has the other beside it: the second waits until the first is over.
    for told in told {
        assert_eq!(unknown(told), "no answer within 2 seconds");
    }
}

#[test]
fn a_call_that_is_not_answered_leaves_unknown_what_is_beside_it_and_nothing_after_it() {
    let site = Site::new(Some(2));
    let told = site.meet(&[[true, false], [false, false]]);
    let why = told[0].each_ref().map(unknown);
    assert!(why.contains(&"no answer within 2 seconds"), "{why:?}");
    let known = ["no answer within 2 seconds", "the connection ended before an answer: the server ended"];
    assert!(why.iter().all(|why| known.contains(why)), "{why:?}");
    assert!(answered(&told[1]), "{told:?}");
    for id in &site.ids {
        site.bench.holds(id);
    }
}

#[test]
fn engagements_are_driven_at_the_same_time_and_each_is_told_by_itself() {
    let site = Site::meeting(Some(2));
    let told =
        site.bench.run(&["run", "--at-once", "2"]).code(3).says("Driving 2 engagements, up to 2 at the same time");
    let blocks: Vec<&str> = told.out.split("of 2 open)").collect();
    assert_eq!(blocks.len(), 3, "{}", told.out);
    for id in &site.ids {
        assert!(told.out.contains(&format!("{id}  VLAN 120 on two switches")), "{}", told.out);
        assert!(told.out.contains(&format!("countersign approve {id}")), "{}", told.out);
        assert_eq!(site.bench.json(&["show", id])["phase"], "design", "its call was answered");
        site.bench.holds(id);
    }
    for block in &blocks[1..] {
        for line in
            ["-- feasibility --", "called    discover meet", "filed     solution.design", "Next: countersign approve"]
        {
            assert_eq!(block.matches(line).count(), 1, "`{line}` in {block}");
        }
    }
    // For a program they stand as they are listed, whichever is over first.
    let answers = site.bench.run(&["run", "--at-once", "2", "--json"]).code(3).json();
    let told: Vec<&str> = answers.as_array().unwrap().iter().map(|one| one["engagement"].as_str().unwrap()).collect();
    let open = site.bench.json(&["list"]);
    let open = open.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap());
    assert_eq!(told, open.filter(|id| site.ids.iter().any(|own| own == id)).collect::<Vec<_>>());
    site.bench.run(&["run", "--at-once", "0"]).code(2).says("0 is not in 1..=64");
    site.bench.run(&["run", &site.ids[0], "--at-once", "2"]).code(2).says("cannot be used with");
}

#[test]
fn how_many_calls_are_made_at_once_is_pinned() {
    let site = Site::new(Some(2));
    site.bench.edit("tools/pair.yaml", "calls_at_once: 2", "calls_at_once: 3");
    let told = site.meet(&[[false, false]]);
    for told in &told[0] {
        assert!(matches!(told, Told::Refused { rule, .. } if rule.rule == "tool.unpinned"), "{told:?}");
    }
    site.bench.edit("tools/pair.yaml", "calls_at_once: 3", "calls_at_once: 0");
    site.bench.run(&["tools", "list"]).code(2).says("tools/pair.yaml:9").says("not `0`");
}

#[test]
fn what_waited_long_for_its_turn_is_decided_once_more() {
    let site = Site::patient(60, None);
    for (frozen, second) in [(false, "a result"), (true, "not sent")] {
        std::fs::write(site.file("held"), "").unwrap();
        std::fs::write(site.file("alone"), "").unwrap();
        let told = std::thread::scope(|scope| {
            let meeting = scope.spawn(|| site.meet(&[[false, false]]));
            // Longer than a decision is good for without another look.
            std::thread::sleep(std::time::Duration::from_millis(4_500));
            if frozen {
                let (from, to) =
                    ("{name: sw01, is: switch, environment: lab, tags: [access]", "tags: [access, freeze]");
                site.bench.edit("policies/inventory.yaml", from, &from.replace("tags: [access]", to));
            }
            std::fs::remove_file(site.file("held")).unwrap();
            meeting.join().unwrap()
        });
        let of = |what: &str| told[0].iter().filter(|told| says(told) == what).count();
        assert_eq!(of("a result"), if frozen { 1 } else { 2 }, "{second}: {told:?}");
        assert_eq!(of("not sent"), usize::from(frozen), "{second}: {told:?}");
    }
}

fn says(told: &Told) -> &'static str {
    match told {
        Told::Result(_) => "a result",
        Told::NotSent(_) => "not sent",
        _ => "something else",
    }
}

#[test]
fn a_server_that_ends_as_soon_as_it_is_ready_is_not_started_again_and_again() {
    let site = Site::new(None);
    std::fs::write(site.file("dies"), "").unwrap();
    std::fs::write(site.file("starts"), "").unwrap();
    let told = site.meet(&[[false, false]]);
    assert!(told[0].iter().all(|told| matches!(told, Told::NotSent(_) | Told::Unknown(_))), "{told:?}");
    let starts = std::fs::read_to_string(site.file("starts")).unwrap().len();
    assert!((1..=4).contains(&starts), "it was started {starts} times for two calls: {told:?}");
}

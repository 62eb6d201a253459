//! What is proven with the real solver, and what is said of it. Every counterexample and every worst call is put to the
//! authorizer here once more, so that none can be right by the prover's word alone.

use cedar_policy_symcc::{CedarSymCompiler, Env, solver::LocalSolver};
use tokio::runtime::{Builder, Runtime};

use super::*;

/// cvc5, from the path.
struct Cvc5 {
    runtime: Runtime,
    session: CedarSymCompiler<LocalSolver>,
    asked: usize,
}

impl Cvc5 {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let solver = runtime.block_on(async { LocalSolver::cvc5_with_args(["--strings-exp", "--tlimit-per=10000"]) });
        let solver = solver.expect("these tests need cvc5: `apt-get install cvc5`, or `bash tests/run.sh`");
        Self { session: CedarSymCompiler::new(solver).unwrap(), runtime, asked: 0 }
    }
}

impl Ask for Cvc5 {
    fn reachable(&mut self, goal: &Goal) -> Result<bool, String> {
        self.asked += 1;
        let never = self.runtime.block_on(self.session.check_unsat(&goal.asserts()));
        never.map(|never| !never).map_err(|error| error.to_string())
    }

    fn example(&mut self, goal: &Goal) -> Result<Option<Env>, String> {
        self.asked += 1;
        self.runtime.block_on(self.session.check_sat(&goal.asserts())).map_err(|error| error.to_string())
    }
}

/// A solver that says the same to everything.
struct Says(Result<bool, String>);

impl Ask for Says {
    fn reachable(&mut self, _: &Goal) -> Result<bool, String> {
        self.0.clone()
    }

    fn example(&mut self, _: &Goal) -> Result<Option<Env>, String> {
        self.0.clone().map(|_| None)
    }
}

fn report(catalog: &Catalog, spec: &Spec, before: Option<&Spec>) -> ProofReport {
    counted(catalog, spec, before).0
}

/// The report, and how many questions it took. The encoding needs room, as it has in the program.
fn counted(catalog: &Catalog, spec: &Spec, before: Option<&Spec>) -> (ProofReport, usize) {
    let proving = || {
        let mut solver = Cvc5::new();
        (prove(Subject { catalog, spec, before }, "cvc5", &mut solver).unwrap(), solver.asked)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(256 << 20).spawn_scoped(scope, proving);
        thread.unwrap().join().unwrap()
    })
}

fn why_wider(catalog: &Catalog, before: &Spec, spec: &Spec) -> Vec<Counterexample> {
    match report(catalog, spec, Some(before)).no_wider.unwrap() {
        Proof::Proven {} => Vec::new(),
        Proof::Refuted { by } => by,
        Proof::NotProven { reason } => panic!("{reason}"),
    }
}

#[test]
fn a_version_that_permits_no_more_is_proven_and_a_wider_one_shows_a_call_that_only_it_permits() {
    let catalog = catalog();
    let dns = |more: &str| format!("{{zone: {{is: corp.example.com}}, {more}}}");
    let trunk = |more: &str| format!("{{switch: {{is: sw01}}, port: {{is: Gi1/0/1}}, {more}}}");
    let port = |more: &str| trunk(&format!("options.up: {{is: true}}, {more}"));
    let record = |name: &str, address: &str, ttl: &str| {
        let ttl = if ttl.is_empty() { String::new() } else { format!(", ttl: {ttl}") };
        dns(&format!("name: {name}, address: {address}{ttl}"))
    };
    let net = "{in_range: 192.0.2.0/24}";
    let some = |call: Value| Some(call);
    let cases = [
        ("dns.record.create", record("{like: web*}", net, ""), record("{like: web*}", net, ""), None),
        (
            "dns.record.create",
            record("{like: w*}", net, ""),
            record("{like: web*}", "{in_range: 192.0.2.8/29}", ""),
            None,
        ),
        ("dns.record.create", record("{like: \"*\"}", net, ""), record("{any: true}", net, ""), None),
        (
            "dns.record.create",
            record("{like: web*}", net, "{min: 60, max: 600}"),
            record("{is: web1}", net, "{one_of: [60, 600]}"),
            None,
        ),
        // The tool itself takes no more than this, so saying it or not is the same.
        (
            "dns.record.create",
            record("{is: web}", net, "{min: 60, max: 86400}"),
            record("{is: web}", net, "{any: true}"),
            None,
        ),
        (
            "dns.record.create",
            record("{is: web}", net, ""),
            record("{is: web}", "{in_range: 192.0.2.0/23}", ""),
            some(json!({"address": "192.0.3.255", "ttl": 3600})),
        ),
        (
            "dns.record.create",
            record("{is: web}", net, "{max: 600}"),
            record("{is: web}", net, "{max: 601}"),
            some(json!({"ttl": 601, "address": "192.0.2.255"})),
        ),
        (
            "dns.record.create",
            record("{is: web}", net, "{min: 600}"),
            record("{is: web}", net, "{min: 500}"),
            some(json!({"ttl": 599})),
        ),
        (
            "dns.record.create",
            record("{is: web}", net, ""),
            record("{is: web}", net, "{any: true}"),
            some(json!({"ttl": 86400})),
        ),
        (
            "dns.record.create",
            record("{like: web*}", net, ""),
            record("{like: w*}", net, ""),
            some(json!({"name": "wanything"})),
        ),
        (
            "dns.record.create",
            record("{one_of: [a, b]}", net, ""),
            record("{one_of: [b, c]}", net, ""),
            some(json!({"name": "c"})),
        ),
        (
            "dns.record.create",
            dns("name: {is: web}, address: {any: true}, alias: {like: \"*.corp\"}"),
            dns("name: {is: web}, address: {any: true}, alias: {any: true}"),
            some(json!({"alias": "anything"})),
        ),
        (
            "vlan.create",
            "{switch: {in_group: access-switches}, id: {is: 1}, name: {any: true}}".into(),
            "{switch: {one_of: [sw01, sw02]}, id: {is: 1}, name: {any: true}}".into(),
            None,
        ),
        (
            "vlan.create",
            "{switch: {in_group: access-switches}, id: {is: 1}, name: {any: true}}".into(),
            "{switch: {any: true}, id: {is: 1}, name: {any: true}}".into(),
            some(json!({"switch": "prod1"})),
        ),
        (
            "vlan.create",
            "{switch: {in_group: spares}, id: {is: 1}, name: {is: x}}".into(),
            "{switch: {in_group: access-switches}, id: {is: 1}, name: {is: x}}".into(),
            some(json!({"switch": "sw01"})),
        ),
        (
            "port.trunk.set",
            trunk("vlans: {subset_of: [1, 2, 3]}"),
            trunk("vlans: {subset_of: [3, 1], max_items: 2}"),
            None,
        ),
        (
            "port.trunk.set",
            trunk("vlans: {subset_of: [1, 2, 3], max_items: 2}"),
            trunk("vlans: {subset_of: [1, 2, 3]}"),
            some(json!({"vlans": [1, 2, 3]})),
        ),
        (
            "port.trunk.set",
            trunk("vlans: {subset_of: [1, 2]}"),
            trunk("vlans: {subset_of: [1, 2, 9]}"),
            some(json!({"vlans": [1, 2, 9]})),
        ),
        (
            "port.trunk.set",
            trunk("vlans: {is: [1]}"),
            trunk("vlans: {is: [1]}, tagged: {any: true}"),
            some(json!({"tagged": false})),
        ),
        (
            "port.trunk.set",
            trunk("vlans: {is: [1]}"),
            trunk("vlans: {is: [1]}, native: {min: 5, max: 7}"),
            some(json!({"native": 7})),
        ),
        (
            "port.trunk.set",
            trunk("vlans: {is: [1]}"),
            trunk("vlans: {is: [1]}, peers: {subset_of: [sw02]}"),
            some(json!({"peers": ["sw02"]})),
        ),
        ("port.set", port("options.mtu: {max: 9000}"), port("options.mtu: {min: 1400, max: 1600}"), None),
        ("port.set", port("options.mtu: {is: 1500}"), port(""), None),
        ("port.set", port("options.vlans: {any: true}"), port(""), None),
        ("port.set", port("extra: {any: true}"), port("extra.mark: {is: a}, extra.note: {any: true}"), None),
        (
            "port.set",
            port("options.mtu: {max: 9000}"),
            port("options.mtu: {max: 9001}"),
            some(json!({"options": {"up": true, "mtu": 9001}})),
        ),
        (
            "port.set",
            port(""),
            port("options.vlans: {subset_of: [1, 2], max_items: 1}"),
            some(json!({"options": {"up": true, "mtu": 1500, "vlans": [1]}})),
        ),
        (
            "port.set",
            port("options.via: {in_group: cores}"),
            port("options.via: {any: true}"),
            some(json!({"options": {"up": true, "mtu": 1500, "via": "prod1"}})),
        ),
        (
            "port.set",
            port(""),
            port("extra.mark: {any: true}"),
            some(json!({"extra": {"mark": "anything", "depth": 1}})),
        ),
        (
            "port.set",
            port("extra.mark: {is: a}"),
            port("extra: {any: true}"),
            some(json!({"extra": {"mark": "anything", "depth": 9_007_199_254_740_991_i64, "note": "anything"}})),
        ),
        (
            "ipam.address.allocate",
            "{prefix: {is: 192.0.2.0/24}, name: {is: a}}".into(),
            "{prefix: {any: true}, name: {is: a}}".into(),
            None,
        ),
    ];
    for (tool, older, newer, expected) in cases {
        let (older, newer) = (build_spec(tool, &older), build_spec(tool, &newer));
        let found = why_wider(&catalog, &older, &newer);
        let args = found.first().and_then(|by| by.args.clone());
        assert_eq!(args.is_some(), expected.is_some(), "{tool} {:?}: {args:?}", newer.boundary);
        let (Some(args), Some(Value::Object(expected))) = (args, expected) else { continue };
        for (name, value) in &expected {
            assert_eq!(args.get(name), Some(value), "{tool} {args:?}");
        }
        let call = Value::Object(args);
        assert!(within_spec(&catalog, &newer, tool, &call), "{call}");
        assert!(!within_spec(&catalog, &older, tool, &call), "{call}");
    }
}

/// Whether the boundary alone lets the call in, as the authorizer decides it.
fn within_spec(catalog: &Catalog, spec: &Spec, name: &str, call: &Value) -> bool {
    let boundary = CompiledBoundary::compile(spec, catalog).unwrap();
    let tool = tool(catalog, name);
    let args = args(catalog, tool, call);
    super::super::decide::within(catalog, &boundary, &question(tool, &args)).is_ok()
}

#[test]
fn a_grant_that_is_new_moved_or_split_is_judged_by_what_it_permits_and_how_often() {
    let catalog = catalog();
    let list = "{tool: dns.records.list, where: {zone: {is: corp.example.com}}}";
    let reset = |most: &str, switch: &str| format!("{{tool: switch.reset, where: {{switch: {switch}}}{most}}}");
    let (once, twice, open) = (", at_most: 1", ", at_most: 2", "");
    let both = "{one_of: [sw01, sw02]}";
    let build = |grants: &[String]| spec(&format!("{{build: [{}]}}", grants.join(", ")));
    let wider = |older: &Spec, newer: &Spec| match report(&catalog, newer, Some(older)).no_wider.unwrap() {
        Proof::Proven {} => "no".to_owned(),
        Proof::Refuted { by } => by.iter().map(|by| format!("{} {}: {}", by.agent, by.tool, by.why)).collect(),
        Proof::NotProven { reason } => format!("unknown: {reason}"),
    };
    let read = spec(&format!("{{discover: [{list}]}}"));
    let said = wider(&spec("{}"), &read);
    assert!(said.contains("verifier dns.records.list: the spec does not grant"), "{said}");
    let said = wider(&read, &spec(&format!("{{build: [{list}]}}")));
    assert!(
        said.contains("build dns.records.list: the spec grants `dns.records.list`, but not to the build"),
        "{said}"
    );
    let one = build(&[reset(once, both)]);
    for (newer, expected) in [
        (build(&[reset(once, both)]), "no"),
        (build(&[reset(once, "{is: sw02}")]), "no"),
        (build(&[reset(twice, both)]), "build switch.reset: 2 in all now, 1 in all in the version before"),
        (build(&[reset(open, both)]), "as often as the limits allow now, 1 in all"),
        (build(&[reset(once, "{is: sw01}"), reset(once, "{is: sw02}")]), "2 in all now, 1 in all"),
    ] {
        let said = wider(&one, &newer);
        assert!(said.contains(expected), "{said}");
    }
    // As many in all as before, but more of one kind: nothing is claimed.
    let older = build(&[reset(once, "{is: sw01}"), reset(", at_most: 3", "{is: sw02}")]);
    let newer = build(&[reset(twice, "{is: sw01}"), reset(twice, "{is: sw02}")]);
    assert!(wider(&older, &newer).starts_with("unknown: switch.reset: the counts"));
}

#[test]
fn a_grant_that_the_guardrails_leave_nothing_of_is_dead_and_they_say_why() {
    let catalog = catalog();
    let dead = |tool: &str, constraints: &str, window: bool| {
        let mut spec = build_spec(tool, constraints);
        if window {
            let open = "{from: 2026-12-01T22:00:00Z, until: 2026-12-02T02:00:00Z}";
            spec.window = Some(from_yaml("window", open).unwrap());
        }
        let report = report(&catalog, &spec, None);
        match &report.grants[0].lets {
            Lets::Nothing { reason } => {
                assert_eq!(report.verdict(), Proven::Refuted);
                reason.clone()
            }
            Lets::Worst { args } => format!("worst: {}", args["switch"]),
            Lets::NotProven { reason } => panic!("{reason}"),
        }
    };
    for (tool, constraints, window, expected) in [
        ("switch.reset", "{switch: {is: prod1}}", false, "production-needs-a-window: in production nothing"),
        ("switch.reset", "{switch: {is: prod1}}", false, "(an `always` step could still use it)"),
        ("switch.reset", "{switch: {is: prod1}}", true, "worst: \"prod1\""),
        ("switch.reset", "{switch: {is: core1}}", false, "worst: \"core1\""),
        ("switch.reset", "{switch: {is: cold1}}", true, "frozen: the target is frozen"),
        ("switch.reset", "{switch: {one_of: [cold1, prod1]}}", false, "production-needs-a-window"),
        ("switch.reset", "{switch: {one_of: [cold1, prod1, sw02]}}", false, "worst: \"sw02\""),
        ("switch.reset", "{switch: {any: true}}", false, "worst: \"core1\""),
        ("switch.reset", "{switch: {in_group: cores, one_of: [sw01, sw02]}}", false, "no call satisfies all"),
        ("vlan.create", "{switch: {is: prod1}, id: {any: true}, name: {any: true}}", false, "worst: \"prod1\""),
    ] {
        let said = dead(tool, constraints, window);
        assert!(said.contains(expected), "{tool} {constraints}: {said}");
    }
}

#[test]
fn the_worst_call_is_at_the_far_end_of_every_range_that_the_guardrails_leave() {
    let guarded = format!(
        "{GUARDRAILS}
         @id(\"short\") @reason(\"shorter\")
         forbid (principal, action == Action::\"dns.record.create\", resource) when {{ context.args.ttl > 5000 }};
         @id(\"one-switch\") @reason(\"not this one\")
         forbid (principal, action == Action::\"vlan.create\", resource == Target::\"prod1\");"
    );
    let guarded = catalog_with(&guarded, STAGES);
    let plain = catalog();
    let record = "{zone: {is: corp.example.com}, name: {any: true}, address: {any: true}, ttl: {any: true}}";
    let vlan = "{switch: {any: true}, id: {any: true}, name: {like: a-*-z}}";
    let jumbo = format!(
        "{GUARDRAILS}
         @id(\"jumbo\") @reason(\"too large\")
         forbid (principal, action == Action::\"port.set\", resource) when {{ context.args.options.mtu > 4000 }};"
    );
    let jumbo = catalog_with(&jumbo, STAGES);
    let object = "{switch: {is: sw01}, port: {is: Gi1/0/1}, options.up: {any: true}, options.mtu: {max: 9000}, options.via: {in_group: cores}, options.vlans: {subset_of: [1, 2]}}";
    let trunk = "{switch: {is: sw01}, port: {like: Gi1/0/*}, vlans: {subset_of: [1, 2, 3], max_items: 2}, native: {any: true}, note: {any: true}}";
    for (catalog, tool, constraints, expected) in [
        (&plain, "dns.record.create", record, json!({"ttl": 86400, "address": "255.255.255.255", "name": "anything"})),
        (&guarded, "dns.record.create", record, json!({"ttl": 5000})),
        (&plain, "vlan.create", vlan, json!({"switch": "prod1", "id": 4094, "name": "a-anything-z"})),
        (&guarded, "vlan.create", vlan, json!({"switch": "core1", "id": 4094})),
        (
            &plain,
            "port.trunk.set",
            trunk,
            json!({"vlans": [1, 2], "port": "Gi1/0/anything", "native": 9_007_199_254_740_991_i64, "tagged": true}),
        ),
        (&plain, "ipam.address.allocate", "{prefix: {any: true}, name: {is: a}}", json!({"prefix": "192.0.2.0/24"})),
        (&plain, "port.set", object, json!({"options": {"mtu": 9000, "up": true, "via": "core1", "vlans": [1, 2]}})),
        (&jumbo, "port.set", object, json!({"options": {"mtu": 4000, "up": true, "via": "core1", "vlans": [1, 2]}})),
    ] {
        let spec = build_spec(tool, constraints);
        let report = report(catalog, &spec, None);
        let Lets::Worst { args } = &report.grants[0].lets else { panic!("{tool}: {:?}", report.grants) };
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(args.get(name), Some(value), "{tool} {args:?}");
        }
        inside(catalog, &spec, tool, &Value::Object(args.clone())).unwrap();
    }
}

#[test]
fn a_guardrail_that_can_fail_is_found_with_a_call_that_makes_it_fail() {
    let rule = |condition: &str| {
        let text = format!(
            "{GUARDRAILS}
             @id(\"sum\") @reason(\"too long\")
             forbid (principal, action == Action::\"dns.record.create\", resource) when {{ {condition} }};"
        );
        let catalog = catalog_with(&text, STAGES);
        let record = "{zone: {is: corp.example.com}, name: {is: web}, address: {any: true}, ttl: {any: true}}";
        let spec = build_spec("dns.record.create", record);
        (report(&catalog, &spec, None), catalog)
    };
    // A manifest's own bounds keep the sum small, whatever Cedar's schema allows.
    let (proven, _) = rule("context.args.ttl + 9223372036854000000 < 5");
    assert_eq!(proven.no_failures, Proof::Proven {});
    let (refuted, catalog) = rule("context.args.ttl + 9223372036854775000 < 5");
    let Proof::Refuted { by } = &refuted.no_failures else { panic!("{:?}", refuted.no_failures) };
    assert_eq!((by[0].agent, by[0].tool.as_str()), (Agent::Build, "dns.record.create"));
    assert!(by[0].why.contains("`sum` fails: integer overflow"), "{}", by[0].why);
    let tool = tool(&catalog, "dns.record.create");
    let args = by[0].args.clone().unwrap();
    let ruling = rule_on(&catalog, &question(tool, &args));
    assert_eq!((ruling.verdict, ruling.spoke[0].rule.as_str()), (Verdict::Deny, "sum"));
}

fn rule_on(catalog: &Catalog, question: &Question<'_>) -> Ruling {
    let boundary = CompiledBoundary::compile(&spec("{}"), catalog).unwrap();
    super::super::rule(catalog, &boundary, question)
}

#[test]
fn what_a_solver_says_and_the_authorizer_does_not_confirm_is_not_told() {
    let catalog = catalog();
    let older = build_spec("dns.record.create", "{zone: {is: corp.example.com}, name: {is: a}, address: {any: true}}");
    let reset = build_spec("switch.reset", "{switch: {is: cold1}}");
    let asked = |spec: &Spec, answer: Result<bool, String>| {
        prove(Subject { catalog: &catalog, spec, before: Some(spec) }, "liar", &mut Says(answer)).unwrap()
    };
    for spec in [&older, &reset] {
        for answer in [Ok(true), Err("it does not know".to_owned())] {
            let report = asked(spec, answer.clone());
            assert_eq!(report.no_wider.as_ref().unwrap().verdict(), Proven::NotProven, "{answer:?} {report:?}");
            assert_eq!(report.no_failures.verdict(), Proven::NotProven, "{answer:?} {report:?}");
            // What it says of a grant may be right by chance; then the authorizer agrees.
            match &report.grants[0].lets {
                Lets::Worst { args } => {
                    inside(&catalog, spec, spec.boundary.build[0].tool.as_str(), &json!(args)).unwrap();
                }
                Lets::NotProven { .. } => {}
                Lets::Nothing { reason } => panic!("{answer:?}: {reason}"),
            }
            assert_ne!(report.verdict(), Proven::Proven);
        }
    }
}

#[test]
fn a_report_is_read_back_as_it_was_written_and_strictly() {
    let catalog = catalog();
    let spec = build_spec("switch.reset", "{switch: {one_of: [sw01, cold1]}}");
    let other = build_spec("switch.reset", "{switch: {is: sw01}}");
    for report in [
        report(&catalog, &spec, Some(&other)),
        unproven(Subject { catalog: &catalog, spec: &spec, before: None }, "none").unwrap(),
    ] {
        let mut value = json!(report);
        assert_eq!(serde_json::from_value::<ProofReport>(value.clone()).unwrap(), report);
        value["no_failures"]["more"] = json!(1);
        assert!(serde_json::from_value::<ProofReport>(value).is_err());
    }
}

#[test]
fn many_targets_cost_few_questions() {
    let mut catalog = catalog();
    let one = catalog.inventory.targets[0].clone();
    catalog.inventory.targets.extend((0..300).map(|n| Target { name: format!("edge{n}"), ..one.clone() }));
    let spec = build_spec("vlan.create", "{switch: {in_group: access-switches}, id: {is: 1}, name: {is: x}}");
    let (report, asked) = counted(&catalog, &spec, Some(&spec));
    assert_eq!(report.verdict(), Proven::Proven, "{report:?}");
    assert!(asked < 200, "{}", asked);
}

//! The layers against each other: what beats what, who is asked, and that every failure refuses.

use super::*;

/// Everything that the tests below call, with nothing in its way but guardrails and stages.
fn wide() -> Spec {
    let targets = "{any: true}";
    let vlan = format!("{{switch: {targets}, id: {{any: true}}, name: {{any: true}}}}");
    spec(&format!(
        "{{discover: [{{tool: vlan.list, where: {{switch: {targets}}}}}],
           build: [{{tool: vlan.create, where: {vlan}}},
                   {{tool: vlan.delete, where: {{switch: {targets}, id: {{any: true}}}}}},
                   {{tool: switch.reset, where: {{switch: {targets}}}}},
                   {{tool: vlan.list, where: {{switch: {targets}}}}}]}}"
    ))
}

fn call(name: &str, switch: &str) -> Value {
    match name {
        "vlan.create" => json!({"switch": switch, "id": 120, "name": "web"}),
        "vlan.delete" => json!({"switch": switch, "id": 120}),
        _ => json!({"switch": switch}),
    }
}

/// Tool, target, who approved, what else is different; and the verdict with the rule that spoke last.
type Row<'a> = (&'a str, &'a str, &'a [Role], Change, Verdict, &'a str);
type Change = fn(Question<'_>) -> Question<'_>;

/// The verdict and the rule that spoke last.
fn ask(catalog: &Catalog, name: &str, switch: &str, approved: &[Role], change: Change) -> (Verdict, String) {
    let boundary = CompiledBoundary::compile(&wide(), catalog).unwrap();
    let tool = tool(catalog, name);
    let args = args(catalog, tool, &call(name, switch));
    let approved: BTreeSet<Role> = approved.iter().copied().collect();
    let question = change(Question { approved_by: &approved, ..question(tool, &args) });
    let ruling = rule(catalog, &boundary, &question);
    assert!(ruling.spoke.iter().all(|spoke| !spoke.reason.is_empty()), "{ruling:?}");
    assert_eq!(ruling.grant.is_some(), ruling.verdict != Verdict::Deny, "{ruling:?}");
    (ruling.verdict, ruling.spoke.last().unwrap().rule.clone())
}

const NONE: &[Role] = &[];
const APPROVER: &[Role] = &[Role::Approver];
const OWNER: &[Role] = &[Role::Owner];
const REQUESTER: &[Role] = &[Role::Requester];

#[test]
fn the_shipped_policies_decide_as_the_table_says() {
    use Verdict::{Allow, Deny, Escalate};
    let as_is: Change = |q| q;
    let off_contract: Change = |q| Question { on_contract: false, ..q };
    let recovery: Change = |q| Question { recovery: true, ..q };
    let undo: Change = |q| Question { undo_of: Some("build.0"), recovery: true, on_contract: false, ..q };
    let in_window: Change = |q| Question { window_open: true, ..q };
    let at_design: Change = |q| Question { phase: Phase::Design, ..q };
    let as_verifier: Change = |q| Question { agent: Agent::Verifier, ..q };
    let as_designer: Change = |q| Question { agent: Agent::Design, phase: Phase::Feasibility, on_contract: false, ..q };
    let as_requirements: Change = |q| Question { agent: Agent::Requirements, phase: Phase::Requirements, ..q };
    let stage_2: Change = |q| Question { stage: 2, ..q };
    let stage_2_off_contract: Change = |q| Question { stage: 2, on_contract: false, ..q };
    let stage_3: Change = |q| Question { stage: 3, ..q };
    let stage_3_off_contract: Change = |q| Question { stage: 3, on_contract: false, ..q };
    let stage_3_in_window: Change = |q| Question { stage: 3, window_open: true, ..q };
    let stage_4: Change = |q| Question { stage: 4, ..q };
    let many_targets: Change = |q| Question { changes: Changes { targets: 51, ..Changes::default() }, ..q };
    let many_in_production: Change =
        |q| Question { changes: Changes { production_targets: 11, ..Changes::default() }, ..q };
    let many_elsewhere: Change =
        |q| Question { changes: Changes { targets: 1, elsewhere: 200, ..Changes::default() }, ..q };
    let stage_0: Change = |q| Question { stage: 0, ..q };
    let ask_approver = Escalate(Role::Approver);
    let table: &[Row<'_>] = &[
        // Reads
        ("vlan.list", "sw01", NONE, as_is, Allow, "stage-1-reads"),
        ("vlan.list", "sw01", NONE, as_verifier, Allow, "stage-1-reads"),
        ("vlan.list", "sw01", NONE, as_designer, Allow, "stage-1-reads"),
        ("vlan.list", "sw01", NONE, as_requirements, Deny, "no-tools-before-gate-1"),
        ("vlan.list", "cold1", NONE, as_verifier, Allow, "stage-1-reads"),
        // Writes ask, and run once the approver or someone above agreed
        ("vlan.create", "sw01", NONE, as_is, ask_approver, "stage-1-writes"),
        ("vlan.create", "sw01", REQUESTER, as_is, ask_approver, "stage-1-writes"),
        ("vlan.create", "sw01", APPROVER, as_is, Allow, "stage-1-writes"),
        ("vlan.create", "sw01", OWNER, as_is, Allow, "stage-1-writes"),
        ("vlan.create", "sw01", APPROVER, off_contract, Deny, "stage.none"),
        ("vlan.create", "sw01", NONE, as_verifier, Deny, "readers-only-read"),
        ("vlan.create", "sw01", APPROVER, at_design, Deny, "writes-in-the-build-phase"),
        ("vlan.delete", "sw01", NONE, as_is, ask_approver, "stage-1-destructive"),
        ("vlan.delete", "sw01", APPROVER, as_is, Allow, "stage-1-destructive"),
        // Guardrails beat approvals
        ("vlan.delete", "prod1", OWNER, as_is, Deny, "production-needs-a-window"),
        ("vlan.delete", "prod1", OWNER, in_window, Allow, "stage-1-destructive"),
        ("vlan.delete", "prod1", OWNER, recovery, Allow, "stage-1-destructive"),
        ("vlan.create", "prod1", OWNER, as_is, Allow, "stage-1-writes"),
        ("switch.reset", "core1", OWNER, off_contract, Deny, "core-and-firewall"),
        ("switch.reset", "core1", OWNER, as_is, Allow, "stage-1-destructive"),
        ("vlan.create", "cold1", OWNER, as_is, Deny, "frozen"),
        ("vlan.create", "cold1", OWNER, recovery, Allow, "stage-1-writes"),
        // What gate 2 approved together with its step goes on by itself
        ("vlan.delete", "sw01", NONE, undo, Allow, "stage-1-undo"),
        ("vlan.delete", "prod1", NONE, undo, Allow, "stage-1-undo"),
        ("vlan.delete", "core1", NONE, undo, Allow, "stage-1-undo"),
        // Stage 2: writes of the contract run, what is destructive asks
        ("vlan.list", "sw01", NONE, stage_2, Allow, "stage-2-reads"),
        ("vlan.create", "sw01", NONE, stage_2, Allow, "stage-2-writes"),
        ("vlan.create", "sw01", OWNER, stage_2_off_contract, Deny, "stage.none"),
        ("vlan.create", "cold1", OWNER, stage_2, Deny, "frozen"),
        ("vlan.delete", "sw01", NONE, stage_2, ask_approver, "stage-2-destructive"),
        ("vlan.delete", "sw01", APPROVER, stage_2, Allow, "stage-2-destructive"),
        ("vlan.delete", "prod1", OWNER, stage_2, Deny, "production-needs-a-window"),
        // Stage 3: so does what is destructive, outside production
        ("vlan.list", "sw01", NONE, stage_3, Allow, "stage-3-reads"),
        ("vlan.create", "sw01", NONE, stage_3, Allow, "stage-3-writes"),
        ("vlan.create", "sw01", OWNER, stage_3_off_contract, Deny, "stage.none"),
        ("vlan.delete", "sw01", NONE, stage_3, Allow, "stage-3-destructive-outside-production"),
        ("vlan.delete", "prod1", NONE, stage_3, Deny, "production-needs-a-window"),
        ("vlan.delete", "prod1", NONE, stage_3_in_window, ask_approver, "stage-3-destructive"),
        ("vlan.delete", "prod1", APPROVER, stage_3_in_window, Allow, "stage-3-destructive"),
        // Core and firewall targets are never changed unattended, whatever the stage
        ("vlan.create", "core1", NONE, as_is, ask_approver, "core-and-firewall-attended"),
        ("vlan.create", "core1", APPROVER, as_is, Allow, "stage-1-writes"),
        ("vlan.create", "core1", NONE, stage_2, ask_approver, "core-and-firewall-attended"),
        ("vlan.create", "core1", APPROVER, stage_2, Allow, "stage-2-writes"),
        ("switch.reset", "core1", NONE, stage_3, ask_approver, "core-and-firewall-attended"),
        ("switch.reset", "core1", APPROVER, stage_3, Allow, "stage-3-destructive-outside-production"),
        ("vlan.list", "core1", NONE, stage_3, Allow, "stage-3-reads"),
        // How far changes reach
        ("vlan.create", "sw01", OWNER, many_targets, Deny, "too-many-targets"),
        ("vlan.create", "prod1", OWNER, many_in_production, Deny, "too-many-targets-in-production"),
        ("vlan.create", "sw01", OWNER, many_in_production, Allow, "stage-1-writes"),
        ("vlan.create", "sw01", OWNER, many_elsewhere, Deny, "too-many-targets-at-once"),
        ("vlan.list", "sw01", OWNER, many_elsewhere, Allow, "stage-1-reads"),
        // Stages that are not there
        ("vlan.list", "sw01", NONE, stage_4, Deny, "stage.unknown"),
        ("vlan.create", "sw01", OWNER, stage_0, Deny, "stage.unknown"),
    ];
    let catalog = catalog();
    for (at, (name, switch, approved, change, verdict, last)) in table.iter().enumerate() {
        let answer = ask(&catalog, name, switch, approved, *change);
        assert_eq!(answer, (*verdict, last.to_string()), "row {at}: {name} on {switch}, approved by {approved:?}");
    }
}

#[test]
fn a_target_that_the_inventory_does_not_know_is_refused_whatever_is_granted() {
    let (verdict, rule) = ask(&catalog(), "vlan.list", "sw99", OWNER, |q| q);
    assert_eq!((verdict, rule.as_str()), (Verdict::Deny, "target.unknown"));
}

#[test]
fn every_guardrail_that_forbids_is_named() {
    let catalog = catalog();
    let boundary = CompiledBoundary::compile(&wide(), &catalog).unwrap();
    let tool = tool(&catalog, "vlan.delete");
    let args = args(&catalog, tool, &call("vlan.delete", "prod1"));
    let question = Question { agent: Agent::Verifier, phase: Phase::Design, ..question(tool, &args) };
    let ruling = rule(&catalog, &boundary, &question);
    let rules: Vec<&str> = ruling.spoke.iter().map(|spoke| spoke.rule.as_str()).collect();
    assert_eq!(rules, ["production-needs-a-window", "readers-only-read", "writes-in-the-build-phase"]);
    assert!(ruling.spoke.iter().all(|spoke| spoke.layer == Layer::Guardrails));
}

#[test]
fn the_least_role_that_helps_is_asked() {
    let owner = r#"@id("owners") @reason("an owner agrees") permit(principal, action, resource) when { context.approved_by.contains("owner") };"#;
    let catalog = catalog_with(GUARDRAILS, owner);
    assert_eq!(
        ask(&catalog, "vlan.create", "sw01", APPROVER, |q| q),
        (Verdict::Escalate(Role::Owner), "owners".into())
    );
    assert_eq!(ask(&catalog, "vlan.create", "sw01", OWNER, |q| q), (Verdict::Allow, "owners".into()));
    let requester = owner.replace("\"owner\"", "\"requester\"");
    let catalog = catalog_with(GUARDRAILS, &requester);
    // An owner has every role, but nobody is sent to a requester.
    assert_eq!(ask(&catalog, "vlan.create", "sw01", NONE, |q| q), (Verdict::Escalate(Role::Owner), "owners".into()));
}

#[test]
fn a_policy_that_fails_refuses_the_call_and_is_named() {
    // Overflow is the one error that strict validation cannot rule out.
    let failing = "context.stage + 9223372036854775807 > 0";
    let forbid =
        format!("@id(\"adds\") @reason(\"nothing\") forbid(principal, action, resource) when {{ {failing} }};");
    let catalog = catalog_with(&format!("{GUARDRAILS}\n{forbid}"), STAGES);
    let (verdict, rule) = ask(&catalog, "vlan.list", "sw01", OWNER, |q| q);
    assert_eq!((verdict, rule.as_str()), (Verdict::Deny, "adds"));

    let permit =
        format!("@id(\"broken\") @reason(\"nothing\") permit(principal, action, resource) when {{ {failing} }};");
    let catalog = catalog_with(GUARDRAILS, &format!("{STAGES}\n{permit}"));
    let boundary = CompiledBoundary::compile(&wide(), &catalog).unwrap();
    let tool = tool(&catalog, "vlan.list");
    let args = args(&catalog, tool, &call("vlan.list", "sw01"));
    let ruling = super::rule(&catalog, &boundary, &question(tool, &args));
    assert_eq!(ruling.verdict, Verdict::Deny, "another rule permits it, and still");
    let [spoke] = ruling.spoke.as_slice() else { panic!("{ruling:?}") };
    assert_eq!((spoke.layer, spoke.rule.as_str()), (Layer::Stage, "broken"));
    assert!(spoke.reason.contains("`broken` failed, so the call is refused"), "{}", spoke.reason);
}

#[test]
fn a_tool_that_the_policies_were_not_loaded_with_is_refused() {
    let mut catalog = catalog();
    catalog.policies = Policies::load(texts(GUARDRAILS, STAGES), &Toolbox::default()).unwrap().into();
    let boundary = CompiledBoundary::compile(&spec("{discover: []}"), &catalog).unwrap();
    let tool = tool(&catalog, "vlan.list");
    let args = args(&catalog, tool, &call("vlan.list", "sw01"));
    let ruling = rule(&catalog, &boundary, &question(tool, &args));
    assert_eq!((ruling.verdict, ruling.spoke[0].rule.as_str()), (Verdict::Deny, "question.invalid"));
}

#[test]
fn a_ruling_reads_back_as_it_was_written() {
    let spoke = Spoke { layer: Layer::Guardrails, rule: "a".into(), reason: "b".into() };
    let ruling = Ruling {
        verdict: Verdict::Escalate(Role::Owner),
        spoke: vec![spoke],
        grant: Some("build.0".into()),
        also: Vec::new(),
    };
    let written = serde_json::to_value(&ruling).unwrap();
    assert_eq!(written["verdict"], json!({"escalate": "owner"}));
    assert_eq!(serde_json::from_value::<Ruling>(written).unwrap(), ruling);
}

#[test]
fn a_rule_reaches_every_tool_that_its_scope_names_and_no_other() {
    let scopes: &[(&str, &[&str])] = &[
        ("action", &["vlan.list", "vlan.create", "vlan.delete", "switch.reset"]),
        ("action == Action::\"vlan.create\"", &["vlan.create"]),
        ("action in Action::\"vlan.create\"", &["vlan.create"]),
        ("action in Action::\"destructive\"", &["vlan.delete", "switch.reset"]),
        ("action in [Action::\"read\", Action::\"vlan.delete\"]", &["vlan.list", "vlan.delete"]),
    ];
    for (scope, reached) in scopes {
        let forbid = format!("@id(\"x\") @reason(\"y\") forbid(principal, {scope}, resource);");
        let catalog = catalog_with(&forbid, STAGES);
        for name in ["vlan.list", "vlan.create", "vlan.delete", "switch.reset"] {
            let (verdict, rule) = ask(&catalog, name, "sw01", APPROVER, |q| q);
            assert_eq!(
                (verdict == Verdict::Deny, rule == "x"),
                (reached.contains(&name), reached.contains(&name)),
                "{scope} {name}"
            );
        }
    }
}

//! Whatever Cedar cannot evaluate refuses the call, whichever file it stands in and whatever else permits it. Strict
//! validation keeps most of these out at load; here they are let in behind its back.

use super::*;

const CALL: &str = "{discover: [{tool: vlan.list, where: {switch: {any: true}}}], build: [{tool: vlan.list, where: {switch: {any: true}}}, {tool: vlan.create, where: {switch: {any: true}, id: {any: true}, name: {any: true}}}]}";

/// The rule that refused, its layer and reason; nothing where the call may run.
fn refused(catalog: &Catalog, name: &str, call: &Value) -> Option<(Layer, String, String)> {
    let boundary = CompiledBoundary::compile(&spec(CALL), catalog).unwrap();
    let tool = tool(catalog, name);
    let args = args(catalog, tool, call);
    let owner = BTreeSet::from([Role::Owner]);
    let ruling = rule(catalog, &boundary, &Question { approved_by: &owner, ..question(tool, &args) });
    let last = ruling.spoke.last().unwrap().clone();
    assert_eq!(ruling.grant.is_none(), ruling.verdict == Verdict::Deny);
    (ruling.verdict != Verdict::Allow).then_some((last.layer, last.rule, last.reason))
}

#[test]
fn a_policy_that_cannot_be_evaluated_refuses_whatever_permits_the_call() {
    let failing: &[(&str, &str)] = &[
        // A missing attribute: of an existing target, of an unknown one, of one that this call is not about, of the
        // agent, of the context and of an argument.
        ("resource.owner == \"net\"", "owner"),
        ("Target::\"sw99\".environment == \"lab\"", "sw99"),
        ("Target::\"sw02\".environment == \"lab\"", "sw02"),
        ("principal.name == \"build\"", "name"),
        ("context.ticket == \"CHG1\"", "ticket"),
        ("context.args.native == 1", "native"),
        // Integer overflow, both ways and in multiplication
        ("context.stage + 9223372036854775807 > 0", "overflow"),
        ("-9223372036854775808 - context.stage < 0", "overflow"),
        ("context.stage * 9223372036854775807 * 2 > 0", "overflow"),
        // Wrong types and values that are none
        ("context.phase > 1", ""),
        ("context.stage like \"1\"", ""),
        ("resource.tags", ""),
        ("ip(resource.environment).isIpv4()", ""),
        ("context.args.switch.isInRange(ip(\"192.0.2.0/24\"))", ""),
    ];
    assert_eq!(refused(&catalog(), "vlan.list", &json!({"switch": "sw01"})), None);
    for (expression, says) in failing {
        for (kind, layer) in [("forbid", Layer::Guardrails), ("permit", Layer::Stage)] {
            let text =
                format!("@id(\"bad\") @reason(\"r\") {kind}(principal, action, resource) when {{ {expression} }};");
            // At load it is refused, wherever validation can see it.
            let (guardrails, stages) =
                if kind == "forbid" { (text.clone(), STAGES.into()) } else { (GUARDRAILS.into(), text.clone()) };
            let loaded = Policies::parse(texts(&guardrails, &stages), &toolbox());
            let unseen = *says == "overflow" || expression.starts_with("Target::");
            assert_eq!(loaded.is_ok(), unseen, "{expression}");
            let mut catalog = catalog();
            std::sync::Arc::get_mut(&mut catalog.policies).unwrap().add_unvalidated(&text);
            let (at, rule, reason) = refused(&catalog, "vlan.list", &json!({"switch": "sw01"}))
                .unwrap_or_else(|| panic!("{kind} {expression} let the call through"));
            assert_eq!((at, rule.as_str()), (layer, "bad"), "{expression}");
            assert!(reason.contains("so the call is refused") && reason.contains(says), "{expression}: {reason}");
        }
    }
}

#[test]
fn a_missing_attribute_is_no_error_where_a_rule_asks_for_it_first() {
    for (expression, allowed) in [("resource has owner && resource.owner == \"net\"", true), ("true", false)] {
        let text = format!("@id(\"x\") @reason(\"r\") forbid(principal, action, resource) when {{ {expression} }};");
        let mut catalog = catalog();
        std::sync::Arc::get_mut(&mut catalog.policies).unwrap().add_unvalidated(&text);
        assert_eq!(refused(&catalog, "vlan.list", &json!({"switch": "sw01"})).is_none(), allowed, "{expression}");
    }
}

#[test]
fn an_unknown_target_is_refused_before_any_policy_could_fail_on_it() {
    for (name, call) in [
        ("vlan.list", json!({"switch": "sw99"})),
        ("vlan.create", json!({"switch": "sw99", "id": 120, "name": "web"})),
        ("vlan.list", json!({"switch": "SW01"})),
    ] {
        let (layer, rule, reason) = refused(&catalog(), name, &call).unwrap();
        assert_eq!((layer, rule.as_str()), (Layer::Boundary, "target.unknown"));
        assert!(reason.contains("inventory.yaml"), "{reason}");
    }
}

#[test]
fn every_tool_s_action_is_asked_with_its_group_or_not_at_all() {
    let plain = catalog();
    // With the group missing a rule about all destructive calls would match none of them, without any error.
    let grouped = "@id(\"none\") @reason(\"r\") forbid(principal, action in Action::\"write\", resource);";
    let catalog = catalog_with(grouped, STAGES);
    let call = json!({"switch": "sw01", "id": 120, "name": "web"});
    assert_eq!(refused(&plain, "vlan.create", &call), None);
    assert_eq!(refused(&catalog, "vlan.create", &call).map(|(_, rule, _)| rule).as_deref(), Some("none"));
    assert_eq!(refused(&catalog, "vlan.list", &json!({"switch": "sw01"})), None);
    // Policies that were loaded with other tools: a tool that they do not know, and one whose effect was another.
    let without = TOOLS.replace("&vlan", "").replace("name: vlan.create", "name: vlan.make");
    let without = without.replace("undo: {tool: vlan.create", "undo: {tool: vlan.make");
    let other = TOOLS.replace("&vlan", "").replacen("effect: write", "effect: destructive", 1);
    for (text, says) in [(without, "is not a tool that policies know"), (other, "had another effect")] {
        let loaded_with = Toolbox::new(vec![from_yaml("tools", &text).unwrap()], Pins::default()).unwrap();
        let mut catalog = catalog_with(GUARDRAILS, STAGES);
        let boundary = CompiledBoundary::compile(&spec(CALL), &catalog).unwrap();
        catalog.policies = Policies::parse(texts(GUARDRAILS, STAGES), &loaded_with).unwrap().into();
        let tool = tool(&catalog, "vlan.create");
        let args = args(&catalog, tool, &call);
        let owner = BTreeSet::from([Role::Owner]);
        let ruling = rule(&catalog, &boundary, &Question { approved_by: &owner, ..question(tool, &args) });
        let spoke = ruling.spoke.last().unwrap();
        assert_eq!((ruling.verdict, spoke.rule.as_str()), (Verdict::Deny, "question.invalid"), "{ruling:?}");
        assert!(spoke.reason.contains(says), "{}", spoke.reason);
    }
}

#[test]
fn a_policy_set_that_does_not_load_decides_nothing() {
    for (guardrails, stages) in [
        ("", STAGES),
        (GUARDRAILS, ""),
        ("// only a comment", STAGES),
        ("permit(principal, action, resource);", STAGES),
        ("forbid(principal, action, resource) when { ", STAGES),
        (GUARDRAILS, "@id(\"a\") @reason(\"b\") permit(principal, action, resource) when { resource.owner == \"x\" };"),
        (GUARDRAILS, "@id(\"a\") @reason(\"b\") permit(principal, action == Action::\"nothing\", resource);"),
        (GUARDRAILS, "\u{feff}\u{0}"),
    ] {
        let problems = Policies::load(texts(guardrails, stages), &toolbox()).unwrap_err();
        assert!(problems.iter().all(|problem| problem.line >= 1 && !problem.message.is_empty()), "{problems:?}");
    }
}

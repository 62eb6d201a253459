//! Rules that never change an answer, and grants that guardrails never let through.

use super::*;

fn shadowed(more: &str) -> Vec<String> {
    let catalog = catalog_with(&format!("{GUARDRAILS}\n{more}"), STAGES);
    catalog.policies.shadowed().iter().map(|problem| problem.message.clone()).collect()
}

#[test]
fn nothing_that_is_shipped_is_shadowed() {
    assert_eq!(shadowed(""), Vec::<String>::new());
}

#[test]
fn a_rule_that_another_says_already_is_found_and_no_other() {
    let rule = |body: &str| format!("@id(\"x\") @reason(\"y\") forbid ({body};");
    let destructive = "principal, action == Action::\"switch.reset\", resource)";
    let table: &[(&str, bool)] = &[
        // The same with more said, narrower scopes, other ways to write it
        (
            "principal, action in Action::\"write\", resource) when { resource.tags.contains(\"freeze\") } unless { context.recovery }",
            true,
        ),
        (
            "principal, action == Action::\"vlan.create\", resource) when { resource.tags.contains(\"freeze\") && !context.recovery && context.stage == 1 }",
            true,
        ),
        ("principal == Agent::\"design\", action == Action::\"vlan.create\", resource)", true),
        ("principal == Agent::\"requirements\", action == Action::\"vlan.list\", resource)", true),
        (
            "principal, action == Action::\"switch.reset\", resource) when { context.changes.targets > 50 } unless { context.window_open || context.recovery }",
            true,
        ),
        // Wider in one thing
        ("principal, action in Action::\"write\", resource) when { resource.tags.contains(\"freeze\") }", false),
        ("principal, action, resource) when { resource.tags.contains(\"freeze\") } unless { context.recovery }", false),
        ("principal == Agent::\"build\", action == Action::\"vlan.create\", resource)", false),
        ("principal in AgentGroup::\"readers\", action == Action::\"vlan.list\", resource)", false),
        (
            "principal, action in Action::\"write\", resource) when { resource.tags.contains(\"freeze\") || context.stage == 1 } unless { context.recovery }",
            false,
        ),
        (destructive, false),
    ];
    for (body, is) in table {
        // A wider rule shadows shipped ones; here only the new one is looked for.
        let found = shadowed(&rule(body));
        assert_eq!(found.iter().any(|message| message.starts_with("`x` is shadowed")), *is, "{body}: {found:#?}");
    }
    let twice = format!("{} {}", rule(destructive), rule(destructive).replace("\"x\"", "\"z\""));
    let found = shadowed(&twice);
    assert!(found.len() == 1 && found[0].starts_with("`z` is shadowed: `x` (guardrails.cedar:"), "{found:#?}");
}

#[test]
fn a_permit_that_a_guardrail_always_forbids_never_lets_anything_run() {
    let found =
        shadowed("@id(\"no-writes\") @reason(\"y\") forbid (principal, action in Action::\"write\", resource);");
    let writes = found.iter().filter(|message| message.contains("never lets anything run")).collect::<Vec<_>>();
    assert!(writes.iter().any(|message| message.starts_with("`stage-2-writes`")), "{found:#?}");
    assert!(!writes.iter().any(|message| message.starts_with("`stage-2-undo`")), "{found:#?}");
}

#[test]
fn a_grant_that_no_guardrail_ever_lets_through_is_found() {
    let blocked = |more: &str, grant: &str| {
        let catalog = catalog_with(&format!("{GUARDRAILS}\n{more}"), STAGES);
        lines(&blocked_grants(&spec(&format!("{{build: [{grant}]}}")), &catalog))
    };
    let grant = |switch: &str| {
        format!("{{tool: vlan.create, where: {{switch: {switch}, id: {{min: 100, max: 199}}, name: {{any: true}}}}}}")
    };
    let frozen = blocked("", &grant("{is: cold1}"));
    assert!(
        frozen.len() == 1 && frozen[0].contains("boundary.build.0") && frozen[0].contains("`frozen`"),
        "{frozen:?}"
    );
    // One target of several that is free, a rule about one end of a range, a rule that a person's yes satisfies
    for (more, switch) in [
        ("", "{one_of: [cold1, sw01]}"),
        ("", "{any: true}"),
        ("", "{is: core1}"),
        (
            "@id(\"x\") @reason(\"y\") forbid (principal, action == Action::\"vlan.create\", resource) when { context.args.id < 150 };",
            "{is: sw01}",
        ),
    ] {
        assert_eq!(blocked(more, &grant(switch)), Vec::<String>::new(), "{more} {switch}");
    }
    let none = "@id(\"x\") @reason(\"y\") forbid (principal, action == Action::\"vlan.create\", resource) when { context.args.id < 200 };";
    assert!(blocked(none, &grant("{is: sw01}"))[0].contains("`x`"));
}

/// What [`rule`] answers, put together from what each layer says by itself.
fn together(layers: &[LayerAnswer]) -> Option<Verdict> {
    let verdict = |layer| layers.iter().find(|answer| answer.layer == layer).unwrap().verdict;
    match (verdict(Layer::Guardrails)?, verdict(Layer::Boundary)?, verdict(Layer::Stage)?) {
        (Verdict::Deny, ..) | (_, Verdict::Deny, _) | (.., Verdict::Deny) => Some(Verdict::Deny),
        (Verdict::Escalate(one), _, Verdict::Escalate(other)) => Some(Verdict::Escalate(one.max(other))),
        (Verdict::Escalate(role), ..) | (.., Verdict::Escalate(role)) => Some(Verdict::Escalate(role)),
        _ => Some(Verdict::Allow),
    }
}

#[test]
fn the_layers_by_themselves_give_what_is_ruled() {
    let catalog = catalog();
    let spec =
        build_spec("vlan.create", "{switch: {one_of: [sw01, core1, cold1, prod1]}, id: {is: 120}, name: {any: true}}");
    let boundary = CompiledBoundary::compile(&spec, &catalog).unwrap();
    let tool = tool(&catalog, "vlan.create");
    let mut seen = BTreeSet::new();
    for switch in ["sw01", "sw02", "core1", "cold1", "prod1", "nowhere"] {
        for id in [120, 121] {
            let args = args(&catalog, tool, &json!({"switch": switch, "id": id, "name": "web"}));
            for stage in 0..4 {
                for (on_contract, targets) in [(true, 1), (true, 51), (false, 1)] {
                    for approved in [vec![], vec![Role::Approver], vec![Role::Owner]] {
                        let approved: BTreeSet<Role> = approved.into_iter().collect();
                        let changes = Changes { targets, production_targets: 0, elsewhere: 0 };
                        let question =
                            Question { stage, on_contract, approved_by: &approved, changes, ..question(tool, &args) };
                        let ruling = rule(&catalog, &boundary, &question);
                        let (layers, nearest) = each_layer(&catalog, Some(&boundary), &question);
                        assert_eq!(together(&layers).unwrap_or(Verdict::Deny), ruling.verdict, "{question:?}");
                        seen.insert(format!("{:?}", ruling.verdict));
                        let outside = switch != "nowhere" && (id == 121 || switch == "sw02");
                        assert_eq!(nearest.is_some(), outside, "{question:?}");
                    }
                }
            }
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn the_nearest_grant_names_exactly_the_arguments_that_are_outside() {
    let catalog = catalog();
    let spec = spec(
        "{build: [{tool: vlan.create, where: {switch: {is: sw02}, id: {is: 7}, name: {is: far}}},
                  {tool: vlan.create, where: {switch: {is: sw01}, id: {max: 100}, name: {any: true}}}]}",
    );
    let boundary = CompiledBoundary::compile(&spec, &catalog).unwrap();
    let tool = tool(&catalog, "vlan.create");
    let args = args(&catalog, tool, &json!({"switch": "sw01", "id": 101, "name": "web"}));
    let (_, nearest) = each_layer(&catalog, Some(&boundary), &question(tool, &args));
    let nearest = nearest.unwrap();
    let misses: Vec<_> = nearest.misses.iter().map(|miss| (miss.argument.as_str(), miss.must_be.as_str())).collect();
    assert_eq!((nearest.grant.as_str(), misses), ("build.1", vec![("id", "at most 100")]));
}

#[test]
fn a_name_that_no_target_has_and_that_is_almost_one_that_some_has_is_noted() {
    let unmet = |condition: &str| {
        let rule = format!("@id(\"x\") @reason(\"y\") forbid (principal, action, resource) when {{ {condition} }};");
        let catalog = catalog_with(&format!("{GUARDRAILS}\n{rule}"), STAGES);
        let of_it = unmet_rules(&catalog).into_iter().filter(|problem| problem.message.starts_with("`x`"));
        of_it.map(|problem| problem.message).collect::<Vec<_>>().join("; ")
    };
    for (condition, says) in [
        ("resource.environment == \"prodution\"", "has the environment `prodution`; did you mean `production`?"),
        ("\"prodution\" == resource.environment", "did you mean `production`?"),
        ("resource.tags.contains(\"acess\") && context.stage == 1", "has the tag `acess`; did you mean `access`?"),
        ("!resource.groups.containsAny([\"cores\", \"spare\"])", "has the group `spare`; did you mean `spares`?"),
        ("context.stage == 1 || resource.tags.contains(\"frezze\")", "did you mean `freeze`?"),
        // A name of something to come, and names that are there.
        ("resource.environment == \"moon\"", ""),
        ("resource.environment == \"lab\" && resource.tags.contains(\"access\")", ""),
        ("context.phase == \"prodution\"", ""),
    ] {
        let said = unmet(condition);
        assert!(said.contains(says) && said.is_empty() == says.is_empty(), "{condition}: {said}");
    }
}

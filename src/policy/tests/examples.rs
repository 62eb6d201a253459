//! Examples above rules: each kind is needed, each is tried, and one that does not hold stops the load at its line.

use super::*;

const PERMIT: &str = "// match: {}\n// no match: {agent: design}\n@id(\"c\")\n@reason(\"d\")\npermit(principal == Agent::\"build\", action, resource);\n";

fn problems(examples: &str, rule: &str) -> Vec<String> {
    let guardrails = format!("{examples}@id(\"x\") @reason(\"y\")\nforbid(principal, {rule};\n");
    match Policies::load(texts(&guardrails, PERMIT), &toolbox()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_shipped_example_holds_and_none_is_left_out() {
    let policies = Policies::load(texts(GUARDRAILS, STAGES), &toolbox()).unwrap();
    let outcome = |tried: &&Tried| tried.outcome != ExampleOutcome::Passed;
    assert_eq!(policies.examples().iter().filter(outcome).count(), 0);
    assert!(policies.examples().len() > 80, "{}", policies.examples().len());
    assert_eq!(policies.without_examples(), []);
    // Without tools the examples of calls have nothing to be tried with, and say so; those of gates need none.
    let policies = Policies::load(texts(GUARDRAILS, STAGES), &Toolbox::default()).unwrap();
    for tried in policies.examples() {
        let skipped = matches!(&tried.outcome, ExampleOutcome::Skipped { why } if why.contains("tool is here"));
        assert_eq!(skipped, tried.file != "gates.cedar", "{tried:?}");
    }
}

#[test]
fn an_example_that_does_not_hold_is_refused_at_its_line() {
    let frozen = "action in Action::\"write\", resource) when { resource.tags.contains(\"freeze\") }";
    let right = "// match: {effect: write, target: {tags: [freeze]}}\n// no match: {effect: write}\n";
    assert_eq!(problems(right, frozen), Vec::<String>::new());
    let cases = [
        ("", 1, "has no example that it matches"),
        ("", 1, "has no example that it leaves alone"),
        ("// match: {effect: write, target: {tags: [freeze]}}\n", 2, "has no example that it leaves alone"),
        ("// match: {effect: write}\n// no match: {effect: read}\n", 1, "does not match with the tool `vlan.create`"),
        (
            "// match: {effect: write, target: {tags: [freeze]}}\n//no match: {effect: write, target: {tags: [freeze]}}\n",
            2,
            "the rule matches with the tool `vlan.create`",
        ),
        ("// match: {effect: write, target: {tags: [freeze]\n", 1, "does not hold"),
        ("// match: {efect: write}\n", 1, "there is no field `efect` here"),
        ("// match: {tool: vlan.creat}\n", 1, "did you mean `vlan.create`?"),
        ("// match: {tool: vlan.create, args: {id: 5000}}\n", 1, "5000"),
        ("// match: {tool: vlan.list, effect: write}\n", 1, "`vlan.list` is read, not write"),
        ("// match: {args: {id: 5}}\n", 1, "name the `tool` too"),
        ("// match: {effect: write, phase: bild}\n", 1, "there is no phase `bild`"),
        ("// match: {effect: write, approved_by: [aprover]}\n", 1, "aprover"),
    ];
    for (examples, line, part) in cases {
        let stated = problems(examples, frozen);
        let place = format!("guardrails.cedar:{line}: ");
        assert!(
            stated.iter().any(|problem| problem.starts_with(&place) && problem.contains(part)),
            "{place}should say `{part}`: {stated:#?}"
        );
    }
    let stray = format!("{GUARDRAILS}\n// match: {{effect: read}}\n");
    let stray = Policies::load(texts(&stray, PERMIT), &toolbox()).unwrap_err();
    assert!(stray[0].message.contains("stands above no rule"), "{stray:?}");
}

#[test]
fn a_rule_that_can_never_match_has_no_example_that_could_let_it_load() {
    // Cedar knows the types of these comparisons and not which values there are.
    for never in [
        "action in Action::\"write\", resource) when { context.phase == \"bild\" }",
        "action == Action::\"dns.record.create\", resource) when { context.args.ttl > 86400 }",
        "action in Action::\"write\", resource) when { context.approved_by.contains(\"aprover\") }",
    ] {
        for example in ["{effect: write}", "{tool: dns.record.create, args: {ttl: 86400}}", "{approved_by: [owner]}"] {
            let examples = format!("// match: {example}\n// no match: {{effect: read}}\n");
            assert!(!problems(&examples, never).is_empty(), "{never} {example}");
        }
    }
}

#[test]
fn an_example_is_tried_with_a_tool_of_every_kind_that_the_rule_tells_apart() {
    let rule = "action in [Action::\"read\", Action::\"vlan.delete\"], resource)";
    let example = |of: &str| format!("// match: {{effect: read}}\n// no match: {{effect: {of}}}\n");
    assert_eq!(problems(&example("write"), rule), Vec::<String>::new());
    let stated = problems(&example("destructive"), rule);
    assert!(stated[0].contains("matches with the tool `vlan.delete`"), "{stated:?}");
}

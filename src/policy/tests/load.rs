//! Policy files that must not load, each with the line that it is refused at.

use super::*;

const FORBID: &str = "// match: {recovery: true}\n// no match: {}\n@id(\"a\")\n@reason(\"b\")\nforbid(principal, action, resource)\nwhen { context.recovery };\n";
const PERMIT: &str = "// match: {}\n// no match: {agent: design}\n@id(\"c\")\n@reason(\"d\")\npermit(principal == Agent::\"build\", action, resource);\n";

fn problems(guardrails: &str, stages: &str) -> Vec<String> {
    Policies::load(texts(guardrails, stages), &toolbox()).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_shipped_loads_with_any_tools() {
    assert!(Policies::load(texts(GUARDRAILS, STAGES), &toolbox()).is_ok());
    assert!(Policies::load(texts(GUARDRAILS, STAGES), &Toolbox::default()).is_ok());
    let inventory = include_str!("../../../policies/inventory.yaml");
    let inventory: Inventory = from_yaml("inventory.yaml", inventory).unwrap();
    assert!(inventory.wrong_names().is_empty() && inventory.target("sw04").is_some());
    let people = include_str!("../../../policies/people.yaml");
    assert!(from_yaml::<People>("people.yaml", people).unwrap().people.is_empty());
}

#[test]
fn a_bad_rule_is_refused_at_its_line() {
    assert!(Policies::load(texts(FORBID, PERMIT), &toolbox()).is_ok());
    let after = |rule: &str| format!("// one\n\n{FORBID}\n{rule}");
    let rule = |body: &str| after(&format!("@id(\"x\")\n@reason(\"y\")\nforbid({body};\n"));
    let cases: &[(String, &str, &str)] = &[
        (after("@reason(\"y\")\nforbid(principal, action, resource);"), "10", "has no `@id`"),
        (after("@id(\" \")\n@reason(\"y\")\nforbid(principal, action, resource);"), "10", "has no `@id`"),
        (after("@id(\"x\")\nforbid(principal, action, resource);"), "10", "has no `@reason`"),
        (after("@id(\"a\")\n@reason(\"y\")\nforbid(principal, action, resource);"), "10", "stands twice"),
        (after("@id(\"c\")\n@reason(\"y\")\nforbid(principal, action, resource);"), "stages.cedar:3", "stands twice"),
        (after("@id(\"x\")\n@reason(\"y\")\npermit(principal, action, resource);"), "10", "may only `forbid`"),
        (after("@id(\"x\")\n@reason(\"y\")\nforbid(principal == ?principal, action, resource);"), "10", "templates"),
        (after("forbid(principal, action, resource"), "10", ""),
        (after("@id(\"x\")\nforbid(principal action, resource);"), "11", ""),
        (rule("principal, action == Action::\"dns.record.creat\", resource)"), "12", "dns.record.create"),
        (rule("principal == Agent::\"biuld\", action, resource)"), "10", "no agent `biuld`"),
        (rule("principal in AgentGroup::\"writers\", action, resource)"), "12", "writers"),
        (rule("principal, action, resource) when { context.nothing }"), "12", "nothing"),
        (rule("principal, action, resource) when { context.stage == \"1\" }"), "12", "not compatible"),
        (rule("principal, action, resource) when { context.args.ttl > 1 }"), "12", "ttl"),
        (rule("principal, action, resource) when { context.stage > 1 && false }"), "10", "never match"),
        (rule("principal == Target::\"sw01\", action, resource)"), "10", "never match"),
        (rule("principal, action, resource) when { resource.tags.contains(\"c\u{43e}re\") }"), "12", "script"),
        (String::new(), "1", "no rule"),
    ];
    for (text, line, part) in cases {
        let place = if line.contains(':') { format!("{line}: ") } else { format!("guardrails.cedar:{line}: ") };
        let stated = problems(text, PERMIT);
        let found = stated.iter().any(|problem| problem.starts_with(&place) && problem.contains(part));
        assert!(found, "{place}should say `{part}`: {stated:#?}\n{text}");
    }
    assert!(problems(FORBID, FORBID)[0].contains("stages.cedar:3: "));
    assert!(problems(FORBID, "")[0].starts_with("stages.cedar:1: "));
    assert!(problems(FORBID, &PERMIT.replace("permit", "forbid"))[0].contains("may only `permit`"));
}

#[test]
fn a_rule_about_one_tool_may_use_its_arguments() {
    let rules = r#"
// match: {tool: dns.record.create, args: {ttl: 60}}
// match: {tool: dns.record.create, args: {address: 198.51.100.1}}
// no match: {tool: dns.record.create}
@id("short-lived") @reason("keep it longer")
forbid(principal, action == Action::"dns.record.create", resource)
when { context.args.ttl < 300 || !context.args.address.isInRange(ip("192.0.2.0/24")) || context.args has alias };
// match: {tool: port.trunk.set, args: {in: there}}
// match: {tool: port.trunk.set, target: {groups: [cores]}}
// no match: {tool: port.trunk.set, args: {vlans: [1, 2]}}
@id("few") @reason("fewer")
forbid(principal, action == Action::"port.trunk.set", resource)
when { context.counts.vlans > 100 || context.groups.switch.contains("cores") || context.args["in"] == "there" };
"#;
    assert!(Policies::load(texts(rules, PERMIT), &toolbox()).is_ok(), "{:#?}", problems(rules, PERMIT));
}

#[test]
fn no_line_moves_from_one_file_to_the_other_unseen() {
    let digest = |one: &str, other: &str| Policies::load(texts(one, other), &toolbox()).unwrap().digest();
    let comment = "// x\n";
    assert_ne!(digest(&format!("{FORBID}{comment}"), PERMIT), digest(FORBID, &format!("{comment}{PERMIT}")));
    assert_eq!(digest(FORBID, PERMIT), digest(FORBID, PERMIT));
}

#[test]
fn brackets_without_end_are_refused_at_their_line_and_end_nothing() {
    let nested = |n: usize| {
        let (open, close) = ("(".repeat(n), ")".repeat(n));
        format!("{GUARDRAILS}\n@id(\"deep\")\nforbid (principal, action, resource)\nwhen {{ {open}true{close} }};\n")
    };
    let line = GUARDRAILS.lines().count() + 4;
    for n in [64, 5_000] {
        let said = problems(&nested(n), STAGES);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with(&format!("guardrails.cedar:{line}: brackets are nested deeper than 64")),
            "{said:?}"
        );
    }
    // What is less deep has its own problem: a rule without a reason and examples.
    assert!(!problems(&nested(20), STAGES).iter().any(|said| said.contains("nested")));
}

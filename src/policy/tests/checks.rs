//! What `check_spec` and `check_design` find before anyone is asked to approve.

use super::*;
use crate::artifact::DesignDraft;

const GOOD: &str = "
kind: spec
title: VLAN 120 on two switches
inputs: {id: 120, switches: [sw01, sw02]}
requirements: [{id: R1, text: Both switches have VLAN 120}]
boundary:
  discover:
    - {tool: vlan.list, where: {switch: {in_group: access-switches}}}
  build:
    - {tool: vlan.create, where: {switch: {in_group: access-switches}, id: {is: 120}, name: {like: 'web*'}}, at_most: 2}
acceptance:
  - id: A1
    covers: [R1]
    check: {tool: vlan.list, with: {switch: {cel: item}}}
    for_each: [sw01, sw02]
    expect: 'result.vlans.exists(v, v.id == inputs.id)'
";

fn spec_of(text: &str) -> Spec {
    from_yaml("spec.yaml", text).unwrap()
}

#[test]
fn a_good_spec_and_design_have_no_problems() {
    let (catalog, spec) = (catalog(), spec_of(GOOD));
    assert_eq!(lines(&spec.problems()), Vec::<String>::new());
    assert_eq!(lines(&check_spec(&spec, &catalog)), Vec::<String>::new());
    assert_eq!(lines(&check_design(&draft(DESIGN), &spec, &catalog)), Vec::<String>::new());
}

#[test]
fn the_name_of_a_requirement_or_check_reads_on_as_nothing_that_the_program_says() {
    for (from, to, path) in [
        ("- id: A1", "- id: A1 is proven to hold, and", "acceptance.0.id"),
        ("{id: R1,", "{id: 'R1 (all approved)',", "requirements.0.id"),
        ("{id: R1,", "{id: '',", "requirements.0.id"),
    ] {
        assert!(GOOD.contains(from));
        let said = lines(&spec_of(&GOOD.replace(from, to)).problems());
        let of = |line: &&String| line.starts_with(path) && line.contains("write a name such as `R1`");
        assert_eq!(said.iter().filter(of).count(), 1, "{said:?}");
    }
}

#[test]
fn a_spec_that_could_not_be_shown_or_undone_is_refused() {
    let catalog = catalog();
    let expect = "expect: 'result.vlans.exists(v, v.id == inputs.id)'";
    let build = "build:\n";
    let cases: &[(&str, &str, &str, &str)] = &[
        (
            "in_group: access-switches}}}\n  build",
            "is: sw01}}}\n  build",
            "acceptance.0.check",
            "for \"sw02\": the verifier could not read it: outside the grant discover.0: `switch` must be sw01",
        ),
        (
            "switch: {in_group: access-switches}, id",
            "switch: {is: corp.example.com}, id",
            "boundary.build.0.where.switch",
            "`corp.example.com` is a zone and `vlan.create` takes a switch; the inventory has `sw01`, `sw02`",
        ),
        (
            "vlan.list, where: {switch: {in_group: access-switches}",
            "vlan.list, where: {switch: {one_of: [sw01, 192.0.2.0/24]}",
            "boundary.discover.0.where.switch",
            "`192.0.2.0/24` is a prefix",
        ),
        ("for_each: [sw01, sw02]", "for_each: [sw01, sw99]", "acceptance.0.check", "no target `sw99`"),
        ("with: {switch: {cel: item}}", "with: {}", "acceptance.0.check", "it is missing"),
        (
            "with: {switch: {cel: item}}",
            "with: {switch: {cel: item.x}}",
            "acceptance.0.check",
            "could not be evaluated",
        ),
        ("check: {tool: vlan.list", "check: {tool: vlan.lst", "acceptance.0.check.tool", "did you mean `vlan.list`?"),
        ("check: {tool: vlan.list", "check: {tool: vlan.delete", "acceptance.0.check.tool", "may only read"),
        (
            "check: {tool: vlan.list, with: {switch: {cel: item}}}",
            "check: {tool: dns.records.count, with: {zone: corp.example.com}}",
            "acceptance.0.check.tool",
            "(`empty`)",
        ),
        (expect, "expect: 'size(result.vlans) >= 0'", "acceptance.0.expect", "an empty answer would satisfy it"),
        (
            expect,
            "expect: '!result.vlans.exists(v, v.id == 1)'",
            "acceptance.0.expect",
            "an empty answer would satisfy it",
        ),
        (expect, "expect: 'result.vlans.all(v, v.id == 1)'", "acceptance.0.expect", "an empty answer would satisfy it"),
        (expect, "expect: 'result.switch == item'", "acceptance.0.expect", "an empty answer would satisfy it"),
        (expect, "expect: '!has(result.switch)'", "acceptance.0.expect", "an empty answer would satisfy it"),
        (
            build,
            "build:\n    - {tool: switch.reset, where: {switch: {is: sw01}}}\n",
            "boundary.build.0.tool",
            "cannot be undone",
        ),
        (
            build,
            "build:\n    - {tool: dns.record.create, where: {zone: {is: corp.example.com}, name: {any: true}, address: {any: true}}}\n",
            "boundary.build.0.tool",
            "grant `dns.records.list` under `boundary.discover`",
        ),
        ("id: {is: 120}", "ids: {is: 120}", "boundary.build.0.where.ids", "has no argument `ids`"),
    ];
    for (from, to, path, part) in cases {
        assert!(GOOD.contains(from), "{from}");
        assert_says(&check_spec(&spec_of(&GOOD.replacen(from, to, 1)), &catalog), path, part);
    }
    let forgiving = GOOD.replacen(build, "build:\n    - {tool: switch.reset, where: {switch: {is: sw01}}}\n", 1);
    assert!(check_spec(&spec_of(&format!("{forgiving}rollback: best_effort\n")), &catalog).is_empty());
}

#[test]
fn what_cannot_be_evaluated_over_nothing_is_not_satisfied_by_nothing() {
    for expect in ["result.vlans[0].id == inputs.id", "size(result.vlans) > 0 && !result.vlans.exists(v, v.id == 1)"] {
        let text = GOOD.replace("result.vlans.exists(v, v.id == inputs.id)", expect);
        assert_eq!(lines(&check_spec(&spec_of(&text), &catalog())), Vec::<String>::new(), "{expect}");
    }
}

#[test]
fn what_the_spec_says_against_itself_is_not_said_twice() {
    let spec = spec_of(&GOOD.replace("name: {like: 'web*'}", "name: {}"));
    assert_says(&spec.problems(), "boundary.build.0.where.name", "constrains nothing");
    assert_eq!(lines(&check_spec(&spec, &catalog())), Vec::<String>::new());
    assert!(CompiledBoundary::compile(&spec, &catalog()).is_err());
}

const DESIGN: &str = "
discover:
  - {id: vlans, tool: vlan.list, with: {switch: {cel: item}}, for_each: {items: inputs.switches, at_most: 2}}
feasible_when:
  - {expect: 'size(facts.vlans) == 2', otherwise: unreachable, cites: [vlans]}
steps:
  - id: create
    tool: vlan.create
    with: {switch: sw01, id: 120, name: web}
    verify: {tool: vlan.list, with: {switch: sw01}, expect: 'size(result.vlans) > 0'}
  - id: look-again
    tool: vlan.list
    needs: [create]
    with: {switch: sw01}
    until: {expect: 'size(result.vlans) > 0', attempts: 3, every_seconds: 1}
  - id: second
    tool: vlan.create
    needs: [look-again]
    with: {switch: {cel: item}, id: {cel: 'steps.create.result.id'}, name: {cel: 'steps[\"look-again\"].result.name'}}
    for_each: {items: '[\"sw02\"]', at_most: 1}
acceptance: {A1: [create, second]}
";

fn draft(text: &str) -> DesignDraft {
    from_yaml("design.yaml", text).unwrap()
}

#[test]
fn a_design_that_the_spec_does_not_carry_is_refused() {
    let (catalog, spec) = (catalog(), spec_of(GOOD));
    let create = "with: {switch: sw01, id: 120, name: web}";
    let cases: &[(&str, &str, &str, &str)] = &[
        // reads
        ("id: vlans, tool: vlan.list", "id: vlans, tool: vlan.lists", "discover.0.tool", "did you mean `vlan.list`?"),
        ("id: vlans, tool: vlan.list", "id: vlans, tool: vlan.create", "discover.0.tool", "only a reading tool"),
        (
            "id: vlans, tool: vlan.list",
            "id: vlans, tool: dns.records.list",
            "discover.0.tool",
            "does not grant `dns.records.list` under `boundary.discover`",
        ),
        ("at_most: 2}}", "at_most: 0}}", "discover.0.for_each.at_most", "never run"),
        ("cites: [vlans]", "cites: [vlan]", "feasible_when.0.cites.0", "no read `vlan`"),
        // tools and arguments
        (
            "id: create\n    tool: vlan.create",
            "id: create\n    tool: vlan.delete",
            "steps.0.tool",
            "does not grant `vlan.delete` under `boundary.build`",
        ),
        (create, "with: {switch: sw01, id: 120, nam: web}", "steps.0.with.nam", "did you mean `name`?"),
        (create, "with: {switch: sw01, id: 120}", "steps.0.with", "needs the argument `name`"),
        (
            create,
            "with: {switch: sw01, id: 121, name: web}",
            "steps.0.with",
            "outside the grant build.0: `id` must be 120",
        ),
        (
            create,
            "with: {switch: core1, id: 120, name: web}",
            "steps.0.with",
            "`switch` must be any of the group access-switches",
        ),
        (create, "with: {switch: sw99, id: 120, name: web}", "steps.0.with", "no target `sw99`"),
        (create, "with: {switch: {cel: item}, id: 0, name: web}", "steps.0.with.id", "not a VLAN id"),
        (
            create,
            "with: {switch: {cel: item, where: {}}, id: 120, name: web}",
            "steps.0.with.switch.where",
            "constrains nothing",
        ),
        (
            "verify: {tool: vlan.list, with: {switch: sw01}",
            "verify: {tool: vlan.list, with: {switch: core1}",
            "steps.0.verify.with",
            "outside the grant discover.0",
        ),
        (
            "with: {switch: sw01}, expect: 'size(result.vlans) > 0'}\n  - id: look-again",
            "with: {switch: sw01}, expect: 'true'}\n  - id: look-again",
            "steps.0.verify.expect",
            "it proves nothing",
        ),
        (
            "with: {switch: sw01}, expect: 'size(result.vlans) > 0'}\n  - id: look-again",
            "with: {switch: sw01}, expect: 'size(result.vlans) >= 0'}\n  - id: look-again",
            "steps.0.verify.expect",
            "it proves nothing",
        ),
        ("verify: {tool: vlan.list", "verify: {tool: vlan.create", "steps.0.verify.tool", "only a reading tool"),
        (
            create,
            "until: {expect: 'true', attempts: 0, every_seconds: 1}\n    with: {switch: sw01, id: 120, name: web}",
            "steps.0.until",
            "only a read",
        ),
        (
            create,
            "until: {expect: 'true', attempts: 0, every_seconds: 1}\n    with: {switch: sw01, id: 120, name: web}",
            "steps.0.until.attempts",
            "0 attempts",
        ),
        ("attempts: 3", "attempts: 65", "steps.1.until.attempts", "at most 64"),
        ("every_seconds: 1", "every_seconds: 3601", "steps.1.until.every_seconds", "longer than 3600"),
        (create, "approval: boss\n    with: {switch: sw01, id: 120, name: web}", "steps.0.approval", "approver, owner"),
        ("at_most: 1}", "at_most: 0}", "steps.2.for_each.at_most", "never run"),
        // order
        ("id: second", "id: create", "steps.2.id", "stands twice"),
        ("needs: [create]", "needs: [creat]", "steps.1.needs.0", "did you mean `create`?"),
        (
            create,
            "needs: [second]\n    with: {switch: sw01, id: 120, name: web}",
            "steps.0.needs",
            "create needs second needs look-again needs create",
        ),
        ("needs: [create]", "needs: [look-again]", "steps.1.needs", "look-again needs look-again"),
        ("needs: [look-again]\n", "needs: []\n", "steps.2.needs", "must need `look-again`"),
        ("needs: [look-again]\n", "needs: []\n", "steps.2.needs", "must need `create`"),
        ("steps.create.result.id", "steps.crate.result.id", "steps.2", "no step `crate`; did you mean `create`?"),
        ("steps.create.result.id", "steps[inputs.x].id", "steps.2", "must name the step"),
        ("steps.create.result.id", "steps.second.result.id", "steps.2", "its own result"),
        // acceptance
        ("{A1: [create, second]}", "{A1: [create, third]}", "acceptance.A1.1", "no step `third`"),
        ("{A1: [create, second]}", "{A1: [create], A2: [create]}", "acceptance.A2", "no acceptance check `A2`"),
        ("{A1: [create, second]}", "{}", "acceptance.A1", "no step makes the check `A1` true"),
        ("{A1: [create, second]}", "{A1: []}", "acceptance.A1", "no step makes the check `A1` true"),
    ];
    for (from, to, path, part) in cases {
        assert!(DESIGN.contains(from), "{from}");
        assert_says(&check_design(&draft(&DESIGN.replacen(from, to, 1)), &spec, &catalog), path, part);
    }
    let invariant = spec_of(&format!("{}    invariant: true\n", GOOD));
    assert!(check_design(&draft(&DESIGN.replace("{A1: [create, second]}", "{}")), &invariant, &catalog).is_empty());
}

#[test]
fn a_design_under_a_spec_that_grants_nothing_sound_says_so() {
    let spec = spec_of(&GOOD.replace("id: {is: 120}", "id: {is: 5000}"));
    let errors = check_design(&draft(DESIGN), &spec, &catalog());
    assert_says(&errors, "", "boundary.build.0.where.id");
}

//! Targets that no list names: a flow names them, and gate 2 approves each with the entry that it has.

use super::*;
use crate::facts::spec_facts;

/// The catalog of the tests, in which the zone stands for what is below it.
fn standing() -> Catalog {
    let mut catalog = catalog();
    zone(&mut catalog).below = true;
    catalog
}

fn zone(catalog: &mut Catalog) -> &mut Target {
    catalog.inventory.targets.iter_mut().find(|target| target.name == "corp.example.com").unwrap()
}

/// What gate 1 is approved on, and gate 2 with a flow that lists the records of these zones.
fn gates(spec: &Spec, catalog: &Catalog, zones: &[&str]) -> (ApprovedOn, ApprovedOn) {
    let facts = spec_facts(spec, &catalog.toolbox, &catalog.inventory);
    let gate1 = ApprovedOn::of(spec, &facts, catalog).unwrap();
    let mut gate2 = gate1.clone();
    gate2.aim(zones.iter().copied(), &catalog.inventory).unwrap();
    (gate1, gate2)
}

#[test]
fn a_named_target_is_held_to_its_entry_and_one_that_is_not_to_the_environments() {
    let then = standing();
    let tool = "dns.records.list".parse().unwrap();
    let voided = |on: &ApprovedOn, target: &str, now: &Catalog| ApprovedOn::voided(Some(on), &tool, target, now);
    let any = spec("{build: [{tool: dns.records.list, where: {zone: {like: '*.example.com'}}}]}");
    let (gate1, gate2) = gates(&any, &then, &["corp.example.com", "a.corp.example.com"]);
    assert_eq!((gate1.aimed.clone(), gate2.moved(&then.inventory).unwrap()), (None, vec![]));
    assert_eq!(gate1.differences(&gate2), []);
    let (named, below, other) = ("corp.example.com", "a.corp.example.com", "b.corp.example.com");
    for name in [named, below, other] {
        assert_eq!(voided(&gate2, name, &then), None, "{name}");
    }
    // The entry changed in its environment: that of both names, while nothing was said of the third.
    let mut tagged = standing();
    assert!(zone(&mut tagged).tags.insert("freeze".into()));
    let both = [Difference::Target(below.into()), Difference::Target(named.into())];
    assert_eq!(gate2.moved(&tagged.inventory).unwrap(), both);
    for (name, says) in [(named, true), (below, true), (other, false)] {
        assert_eq!(voided(&gate2, name, &tagged).is_some(), says, "{name}");
        assert_eq!(voided(&gate1, name, &tagged), None, "gate 1 knew no names");
    }
    // An entry of its own is another than the one that stood for it.
    let mut closer = standing();
    let own = closer.inventory.target(named).unwrap().clone();
    closer.inventory.targets.push(Target { name: below.into(), below: false, ..own });
    assert_eq!(gate2.moved(&closer.inventory).unwrap(), [Difference::Target(below.into())]);
    assert!(voided(&gate2, below, &closer).is_some() && voided(&gate2, named, &closer).is_none());
    let mut gone = standing();
    gone.inventory.targets.retain(|target| target.name != named);
    assert_eq!(gate2.moved(&gone.inventory).unwrap(), [Difference::Gone(below.into()), Difference::Gone(named.into())]);
}

#[test]
fn where_every_target_is_listed_a_flow_adds_none() {
    let listed = spec("{build: [{tool: dns.records.list, where: {zone: {is: corp.example.com}}}]}");
    let (gate1, gate2) = gates(&listed, &catalog(), &["corp.example.com"]);
    assert_eq!(gate1, gate2);
}

#[test]
fn an_entry_that_stands_for_more_is_that_of_a_name_only_if_the_flow_has_it() {
    let then = standing();
    let any = spec("{build: [{tool: dns.records.list, where: {zone: {like: '*.example.com'}}}]}");
    let (_, gate2) = gates(&any, &then, &["a.corp.example.com"]);
    let kept = gate2.inventory(vec![then.inventory.target("corp.example.com").unwrap().clone()]);
    let known = |name: &str| gate2.entry(&kept, name).is_some();
    assert!(known("a.corp.example.com") && known("corp.example.com") && !known("b.corp.example.com"));
}

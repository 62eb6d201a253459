//! What it takes to say what comes next, counted in expressions: the same after many reads as after few.

use std::collections::BTreeMap;

use super::{
    super::{Next, Purpose},
    world::{Rest, Run},
};
use crate::artifact::evaluated;

#[test]
fn what_comes_next_takes_as_many_expressions_after_many_reads_as_after_few() {
    // Nobody looked at these switches in discovery, so the state of each is read before gate 2, and again at the end.
    let step = |n: usize| format!("id: s{n}, tool: vlan.create, with: {{switch: sw{n}, id: 120, name: guest}}");
    let steps: Vec<String> = (10..34).map(step).collect();
    let mut run = Run::new(&steps.iter().map(String::as_str).collect::<Vec<_>>());
    let mut taken: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    loop {
        let before = evaluated();
        let kind = match run.next() {
            Next::Call(proposal) => match proposal.purpose {
                Purpose::Before { .. } => "before",
                Purpose::Recheck { .. } => "recheck",
                Purpose::Act { .. } => "act",
                Purpose::Observe { .. } => "observe",
                _ => "other",
            },
            _ => "other",
        };
        taken.entry(kind).or_default().push(evaluated() - before);
        match run.step() {
            None => {}
            Some(Rest::Asked(about)) => run.reply(&about),
            Some(Rest::Closed) => break,
            Some(rest) => panic!("{rest:?}"),
        }
    }
    for kind in ["before", "recheck", "act", "observe"] {
        let taken = &taken[kind];
        assert_eq!(taken.len(), steps.len(), "{kind}");
        // The first look may work out what the others rest on.
        assert!(taken[1..].iter().all(|one| *one == taken[1] && *one <= 4), "{kind}: {taken:?}");
    }
}

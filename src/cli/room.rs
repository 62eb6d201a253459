//! Room for what is verified: policies that somebody else wrote are read within bounds (`policy/bounds.rs`), and what is
//! within them can still take more stack than a thread has.

use std::{panic::resume_unwind, thread};

use super::code::CliError;

/// The stack that the worst policies within the bounds are read on, in bytes. Only what is used of it is ever memory.
const STACK: usize = 512 << 20;

/// Does something where there is stack for it.
pub fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, CliError> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("verify".into()).stack_size(STACK).spawn_scoped(scope, work);
        let worker = worker.map_err(|error| {
            CliError::failed(format!(
                "there is no room to verify in: {error}; it takes 512 MiB of address space, which `ulimit -v` may limit"
            ))
        })?;
        worker.join().or_else(|panic| resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        artifact::from_yaml,
        policy::{GateFacts, Policies, PolicyTexts, gate_ruling},
        tool::{Pins, Toolbox},
    };

    const GATES: &str = include_str!("../../policies/gates.cedar");

    #[test]
    fn the_worst_policies_that_are_read_end_nothing() {
        let facts: GateFacts = serde_json::from_value(json!({
            "action": "approve-spec", "stage": 3, "requester": "ada", "blueprint": "vlan", "as_blueprint": true,
            "environments": ["lab"], "tags": [], "targets": 1, "targets_known": true, "simulated": true, "grants": 1,
            "steps": 0, "changes": 1, "destructive": 0, "irreversible": 0, "unproven_undos": 0, "rollback_required": true,
            "window_hours": null, "proven": "not_proven", "deviation": "",
        }))
        .unwrap();
        let lab = from_yaml("lab.yaml", include_str!("../../tools/lab.yaml")).unwrap();
        let toolbox = Toolbox::new(vec![lab], Pins::default()).unwrap();
        let rule = |when: String| {
            format!("@id(\"a\")\n@reason(\"r\")\npermit (principal, action, resource) when {{ {when} }};")
        };
        let links = |link: &str| link.repeat(262_000 / link.len() - 10);
        for when in [
            format!("{}true{}", "(".repeat(60), ")".repeat(60)),
            format!("context{}", links("[\"a\"]")),
            format!("{} true", links("if true then false else ")),
            format!("true{}", links(" && true")),
            format!("[{}true] == []", links("true, ")),
            format!("{}true", links("!")),
        ] {
            // Whatever it answers: without the room the process would be gone.
            let asked = rule(when.clone());
            let _ = with_room(|| gate_ruling(&asked, &facts)).unwrap();
            let forbid = rule(when).replace("permit", "forbid");
            let texts = PolicyTexts { guardrails: &forbid, stages: &asked.replace("\"a\")", "\"b\")"), gates: GATES };
            let _ = with_room(|| Policies::kept(texts, &toolbox).map(drop)).unwrap();
        }
        let deep = rule(format!("{}true{}", "(".repeat(5_000), ")".repeat(5_000)));
        assert!(gate_ruling(&deep, &facts).is_err());
    }
}

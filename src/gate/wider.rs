//! Where a boundary is wider than what is asked for needs: grants that nothing uses, constraints that are open although
//! the request names the value, counts beyond the calls that there are. Said at gate 1 by the program, from the
//! documents alone, whoever drafted them.

use std::collections::BTreeSet;

use crate::{
    artifact::{Constraint, DesignDraft, Grant, Spec, ToolName},
    policy::Catalog,
    tool::Tool,
};

use super::text::{count, value, word};

/// What could be narrower; nothing where nothing could.
pub(super) fn wider_than_needed(spec: &Spec, design: Option<&DesignDraft>, catalog: &Catalog) -> Vec<String> {
    let mut said = Vec::new();
    let read: BTreeSet<&ToolName> = spec.acceptance.iter().map(|check| &check.check.tool).collect();
    let tool = |name: &ToolName| catalog.toolbox.tool(name);
    let states: BTreeSet<&ToolName> =
        spec.boundary.build.iter().filter_map(|grant| Some(&tool(&grant.tool)?.state.as_ref()?.tool)).collect();
    let designed: BTreeSet<&ToolName> = design.iter().flat_map(|draft| used_by(draft)).collect();
    for grant in &spec.boundary.discover {
        let name = &grant.tool;
        if !read.contains(name) && !states.contains(name) && !designed.contains(name) {
            said.push(format!("{name} may be read, and no check, no granted change and no step reads it"));
        }
        said.extend(open_although_named(grant, spec));
    }
    for grant in &spec.boundary.build {
        let name = &grant.tool;
        if design.is_some() && !designed.contains(name) {
            said.push(format!("{name} may be used, and no step of the design uses it"));
        }
        let state = tool(name).and_then(|tool| tool.state.as_ref());
        if state.is_some_and(|state| !read.contains(&state.tool)) {
            said.push(format!("{name} may be used, and no check reads what it changes"));
        }
        said.extend(open_although_named(grant, spec));
        said.extend(more_than_there_are(grant, tool(name), catalog));
    }
    said
}

/// The tools that a draft of a design uses.
fn used_by(draft: &DesignDraft) -> impl Iterator<Item = &ToolName> {
    let steps = draft.steps.iter();
    let verified = steps.clone().filter_map(|step| Some(&step.verify.as_ref()?.tool));
    draft.discover.iter().map(|read| &read.tool).chain(steps.map(|step| &step.tool)).chain(verified)
}

/// Arguments that are left open although an input of the same name has a value.
fn open_although_named(grant: &Grant, spec: &Spec) -> Vec<String> {
    let open =
        grant.constraints.iter().filter(|(_, constraint)| constraint.is.is_none() && choices(constraint).is_none());
    open.filter_map(|(argument, constraint)| {
        let named = spec.inputs.get(argument).filter(|value| !value.is_array() && !value.is_object())?;
        let (tool, open) = (&grant.tool, constraint.words());
        Some(format!("{} of {tool} may be {}, and the request names {}", word(argument), word(&open), value(named)))
    })
    .collect()
}

fn choices(constraint: &Constraint) -> Option<usize> {
    match (&constraint.is, &constraint.one_of) {
        (Some(_), _) => Some(1),
        (None, Some(all)) => Some(all.len()),
        (None, None) => None,
    }
}

/// A count beyond the different calls that the grant lets in, or none where that number is known.
fn more_than_there_are(grant: &Grant, tool: Option<&Tool>, catalog: &Catalog) -> Option<String> {
    let in_group = |constraint: &Constraint| {
        let group = constraint.in_group.as_ref()?;
        Some(catalog.inventory.group(group).count())
    };
    let name = &grant.tool;
    let each: Option<Vec<usize>> =
        grant.constraints.values().map(|constraint| choices(constraint).or_else(|| in_group(constraint))).collect();
    let there_are = each.map(|each| each.into_iter().fold(1_usize, usize::saturating_mul));
    match (grant.at_most, there_are) {
        (Some(most), Some(there_are)) if most as usize > there_are => Some(format!(
            "{name} may take effect {}, and the grant lets in {} only",
            count(most as usize, "time"),
            count(there_are, "different call")
        )),
        (None, _) => {
            let target = tool.and_then(|tool| grant.constraints.get(&tool.target));
            let targets = target.and_then(|constraint| choices(constraint).or_else(|| in_group(constraint)));
            let over = targets.map_or_else(String::new, |targets| format!(", over {}", count(targets, "target")));
            Some(format!("{name} may take effect as often as the limits allow{over}: the grant says no `at_most`"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::record::fixture::{Chain, catalog};

    fn said(change: impl Fn(&mut Value)) -> Vec<String> {
        let chain = Chain::vlan();
        let mut spec = serde_json::to_value(chain.draft_spec()).unwrap();
        change(&mut spec);
        let spec = serde_json::from_value(spec).unwrap();
        let design = chain.documents.request().unwrap().design_draft().cloned();
        wider_than_needed(&spec, design.as_ref(), &catalog())
    }

    #[test]
    fn the_shipped_blueprints_grant_no_more_than_they_need() {
        assert_eq!(said(|_| {}), Vec::<String>::new());
        for (blueprint, inputs) in [
            (include_str!("../../prompts/blueprints/dns.yaml"), json!({"name": "web01", "address": "192.0.2.10"})),
            (include_str!("../../prompts/blueprints/address.yaml"), json!({"name": "web01"})),
        ] {
            let chain = Chain::request(blueprint, inputs);
            let design = chain.documents.request().unwrap().design_draft();
            assert_eq!(wider_than_needed(&chain.draft_spec(), design, &catalog()), Vec::<String>::new());
        }
    }

    #[test]
    fn what_nothing_needs_is_pointed_out() {
        type Change = fn(&mut Value);
        let table: [(Change, &str); 7] = [
            (
                |s| {
                    let all = s["boundary"]["discover"].as_array_mut().unwrap();
                    all.push(json!({"tool": "dns.records.list", "where": {"zone": {"is": "corp.example.com"}}}));
                },
                "dns.records.list may be read, and no check, no granted change and no step reads it",
            ),
            (
                |s| {
                    let grant = json!({"tool": "vlan.delete", "where": {"switch": {"is": "sw01"}, "id": {"is": 120}}, "at_most": 1});
                    s["boundary"]["build"].as_array_mut().unwrap().push(grant);
                },
                "vlan.delete may be used, and no step of the design uses it",
            ),
            (|s| s["acceptance"] = json!([]), "vlan.create may be used, and no check reads what it changes"),
            (
                |s| s["boundary"]["build"][0]["where"]["id"] = json!({"any": true}),
                "id of vlan.create may be anything, and the request names 120",
            ),
            (
                |s| s["boundary"]["build"][0]["where"]["id"] = json!({"min": 100, "max": 199}),
                "id of vlan.create may be 100 to 199, and the request names 120",
            ),
            (
                |s| s["boundary"]["build"][0]["at_most"] = json!(9),
                "vlan.create may take effect 9 times, and the grant lets in 4 different calls only",
            ),
            (
                |s| drop(s["boundary"]["build"][0].as_object_mut().unwrap().remove("at_most")),
                "vlan.create may take effect as often as the limits allow, over 4 targets: the grant says no `at_most`",
            ),
        ];
        for (change, expected) in table {
            let said = said(change);
            assert!(said.iter().any(|said| said == expected), "{expected}\n{said:?}");
        }
    }
}

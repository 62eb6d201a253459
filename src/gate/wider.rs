//! Where a boundary is wider than what is asked for needs: grants that nothing uses, constraints that are open although
//! the request names the value, counts beyond the calls that there are. Said at gate 1 by the program, from the
//! documents alone, whoever drafted them.

mod checks;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    artifact::{Constraint, DesignDraft, Grant, Spec, ToolName},
    policy::Catalog,
    tool::Tool,
};

use super::text::{count, names, value, word};

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
        said.extend(left_open(grant, spec));
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
        said.extend(left_open(grant, spec));
        let more = more_than_there_are(grant, tool(name), catalog);
        let counted = more.is_some();
        said.extend(more);
        if let (None, Some(tool)) = (design, tool(name)) {
            said.extend(checks::not_asked_for(grant, tool, spec));
            said.extend(checks::more_than_checked(grant, tool, spec).filter(|_| !counted));
        }
    }
    said
}

/// The tools that a draft of a design uses.
fn used_by(draft: &DesignDraft) -> impl Iterator<Item = &ToolName> {
    let steps = draft.steps.iter();
    let verified = steps.clone().filter_map(|step| Some(&step.verify.as_ref()?.tool));
    draft.discover.iter().map(|read| &read.tool).chain(steps.map(|step| &step.tool)).chain(verified)
}

/// Arguments that are left open although an input of the same name has a value, or one of its plural a list of them;
/// and those that may be what is not in that list.
fn open_although_named(grant: &Grant, spec: &Spec) -> Vec<String> {
    let (tool, mut said) = (&grant.tool, Vec::new());
    for (argument, constraint) in &grant.constraints {
        let Some(named) = named(argument, spec) else { continue };
        let may_be = match (pinned(constraint), named) {
            (None, _) => word(&constraint.words()),
            (Some(pinned), Value::Array(listed)) => {
                let others: Vec<String> =
                    pinned.iter().filter(|one| !listed.contains(one)).map(|one| value(one)).collect();
                if others.is_empty() {
                    continue;
                }
                names(&others)
            }
            (Some(_), _) => continue,
        };
        let named = match named {
            Value::Array(listed) => names(&listed.iter().map(value).collect::<Vec<_>>()),
            one => value(one),
        };
        said.push(format!("{} of {tool} may be {may_be}, and the request names {named}", word(argument)));
    }
    said
}

/// What the request names for an argument: an input of the same name, or a list under its plural.
fn named<'a>(argument: &str, spec: &'a Spec) -> Option<&'a Value> {
    let plural = |name: &str| match name.strip_prefix(argument) {
        Some(end) => matches!(end, "s" | "es"),
        None => argument.strip_suffix('y').is_some_and(|stem| name.strip_prefix(stem) == Some("ies")),
    };
    let all = || spec.inputs.iter().find(|(name, value)| plural(name) && value.is_array());
    spec.inputs.get(argument).filter(|value| !value.is_object()).or_else(|| all().map(|(_, value)| value))
}

/// The values that a constraint names.
fn pinned(constraint: &Constraint) -> Option<Vec<&Value>> {
    match (&constraint.is, &constraint.one_of) {
        (Some(one), _) => Some(vec![one]),
        (None, Some(all)) => Some(all.iter().collect()),
        (None, None) => None,
    }
}

/// The arguments that nothing narrows: anything, any text, any address, or a range without an end.
fn left_open(grant: &Grant, spec: &Spec) -> Option<String> {
    let open = |constraint: &Constraint| {
        let narrowed = pinned(constraint).is_some() || constraint.in_group.is_some() || constraint.subset_of.is_some();
        let all_text = constraint.like.as_ref().is_some_and(|pattern| pattern.chars().all(|c| c == '*'));
        let all_addresses = constraint.in_range.is_some_and(|block| block.prefix_len() == 0);
        let no_end = constraint.min.is_some() != constraint.max.is_some();
        !narrowed && (constraint.any || all_text || all_addresses || no_end)
    };
    let of =
        grant.constraints.iter().filter(|(argument, constraint)| open(constraint) && named(argument, spec).is_none());
    let of: Vec<String> =
        of.map(|(argument, constraint)| format!("{} may be {}", word(argument), word(&constraint.words()))).collect();
    (!of.is_empty()).then(|| format!("{} is left open: {}", grant.tool, of.join("; ")))
}

fn choices(constraint: &Constraint) -> Option<usize> {
    pinned(constraint).map(|values| values.len())
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
    use serde_json::json;

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
            // A model that starts from it has no design yet, and grants no more.
            assert_eq!(wider_than_needed(&chain.draft_spec(), None, &catalog()), Vec::<String>::new());
        }
        assert_eq!(wider_than_needed(&Chain::vlan().draft_spec(), None, &catalog()), Vec::<String>::new());
    }

    /// The boundary of a model that names no input and takes what there is.
    fn taken() -> Value {
        let any = || json!({"any": true});
        json!({
            "kind": "spec", "title": "Publish web01",
            "requirements": [{"id": "R1", "text": "web01 resolves to 192.0.2.10"}],
            "boundary": {
                "discover": [{"tool": "dns.records.list", "where": {"zone": {"is": "corp.example.com"}}}],
                "build": [
                    {"tool": "dns.record.create", "at_most": 50,
                     "where": {"zone": any(), "name": any(), "address": any(), "ttl": any()}},
                    {"tool": "dns.record.delete", "at_most": 50, "where": {"zone": any(), "name": any(), "address": any()}},
                ],
            },
            "acceptance": [{
                "id": "A1", "covers": ["R1"],
                "check": {"tool": "dns.records.list", "with": {"zone": "corp.example.com"}},
                "expect": "result.records.exists(r, r.name == \"web01\" && r.address == \"192.0.2.10\")",
            }],
        })
    }

    #[test]
    fn a_boundary_that_names_no_inputs_hides_nothing() {
        type Change = fn(&mut Value);
        let pin = |zone: &str| json!({"zone": {"is": zone}, "name": {"is": "web01"}, "address": {"is": "192.0.2.10"}, "ttl": {"is": 60}});
        let table: [(Change, &str); 10] = [
            (
                |_| {},
                "dns.record.create is left open: address may be anything; name may be anything; ttl may be anything; zone may be \
                 anything",
            ),
            (|_| {}, "dns.record.delete takes something away, and no design says yet what for"),
            (|_| {}, "dns.record.create may take effect 50 times, and the checks look at 2 of them at most"),
            (
                |s| {
                    s["boundary"]["build"][0]["where"] =
                        json!({"zone": {"is": "corp.example.com"}, "name": {"like": "*"}})
                },
                "dns.record.create is left open: name may be like *",
            ),
            (
                |s| s["boundary"]["build"][0]["where"]["ttl"] = json!({"min": 60}),
                "dns.record.create is left open: address may be anything; name may be anything; ttl may be at least 60; zone may \
                 be anything",
            ),
            (
                |s| s["boundary"]["discover"][0]["where"]["zone"] = json!({"any": true}),
                "dns.records.list is left open: zone may be anything",
            ),
            (
                |s| s["boundary"]["build"][0]["where"]["zone"] = json!({"is": "lab.example.com"}),
                "dns.record.create may be used on lab.example.com, and no check names it",
            ),
            (
                |s| {
                    let grant = &mut s["boundary"]["build"][0];
                    grant["where"] = json!({"zone": {"is": "corp.example.com"}, "name": {"is": "www"}});
                },
                "no check names what dns.record.create may be used with: name www",
            ),
            (
                |s| s["inputs"] = json!({"names": ["web01", "web02"]}),
                "name of dns.record.create may be anything, and the request names web01, web02",
            ),
            (
                |s| {
                    s["inputs"] = json!({"addresses": ["192.0.2.10"]});
                    s["boundary"]["build"][0]["where"]["address"] = json!({"one_of": ["192.0.2.10", "192.0.2.66"]});
                },
                "address of dns.record.create may be 192.0.2.66, and the request names 192.0.2.10",
            ),
        ];
        let said = |spec: &Value| wider_than_needed(&serde_json::from_value(spec.clone()).unwrap(), None, &catalog());
        for (change, expected) in table {
            let mut spec = taken();
            change(&mut spec);
            let said = said(&spec);
            assert!(said.iter().any(|said| said == expected), "{expected}\n{said:#?}");
        }
        // The same job within its bounds is nothing to say a word about.
        let mut narrow = taken();
        narrow["boundary"]["build"] =
            json!([{"tool": "dns.record.create", "at_most": 1, "where": pin("corp.example.com")}]);
        assert_eq!(said(&narrow), Vec::<String>::new());
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

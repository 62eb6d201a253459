//! The sequence diagram of a flow, in Mermaid: computed from the steps, never drafted.

use std::fmt::Write;

use crate::{
    artifact::{AutomationFlow, FlowNode},
    tool::{Effect, Toolbox},
};

/// A Mermaid sequence diagram of what a flow will do, in the order in which it does it.
pub fn sequence_diagram(flow: &AutomationFlow, toolbox: &Toolbox) -> String {
    let mut text = String::from("sequenceDiagram\n  participant build as build agent\n  participant broker\n");
    let mut targets: Vec<&str> = Vec::new();
    for target in flow.nodes.iter().filter_map(|node| node.target.as_deref()) {
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    for (at, target) in targets.iter().enumerate() {
        let _ = writeln!(text, "  participant t{at} as {}", word(target));
    }
    for node in &flow.nodes {
        let place = node.target.as_deref().and_then(|target| targets.iter().position(|known| *known == target));
        let target = place.map_or_else(|| "broker".to_owned(), |at| format!("t{at}"));
        let said = sentence(node, toolbox);
        if let Some(reason) = &node.skipped {
            let _ = writeln!(text, "  note over {target}: {said} is left out: {}", word(reason));
            continue;
        }
        if node.unchanged() {
            let _ = writeln!(text, "  note over {target}: {said} is so already");
            continue;
        }
        let _ = writeln!(text, "  build->>broker: {}", word(node.id.as_str()));
        let _ = writeln!(text, "  broker->>{target}: {said}");
        let reads =
            toolbox.tool(&node.step.tool).is_some_and(|tool| tool.effect != Effect::Read && tool.state.is_some());
        if reads {
            let _ = writeln!(text, "  broker->>{target}: read back");
        }
    }
    text
}

fn sentence(node: &FlowNode, toolbox: &Toolbox) -> String {
    let said = match (toolbox.tool(&node.step.tool), node.known_args()) {
        (Some(tool), Some(args)) => tool.sentence_for(&args),
        _ => format!("{}, decided when it is reached", node.step.tool),
    };
    word(&said)
}

/// Text that cannot end its line or begin another statement of the diagram.
fn word(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, ';' | '#' | ':' | '<' | '>') { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::from_yaml;

    #[test]
    fn a_diagram_shows_each_call_and_no_value_adds_a_line() {
        let zero = crate::artifact::Digest::ZERO;
        let flow: AutomationFlow = from_yaml(
            "flow",
            &format!(
                "{{kind: flow, design: '{zero}', nodes: [{{id: a, target: \"sw01\\nbuild->>broker: x\", needs: [], \
                 step: {{id: a, tool: x.y, with: {{}}}}}}]}}"
            ),
        )
        .unwrap();
        let diagram = sequence_diagram(&flow, &Toolbox::default());
        assert_eq!(diagram.lines().count(), 6, "{diagram}");
        assert!(diagram.contains("participant t0 as sw01 build-  broker  x"), "{diagram}");
    }
}

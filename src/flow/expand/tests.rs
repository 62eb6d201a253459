use serde_json::json;

use super::*;
use crate::{
    artifact::from_yaml,
    tool::{Manifest, Pins},
};

const TOOLS: &str = "
kind: tools
family: t
about: t
server: {command: [t]}
tools:
  - name: vlan.list
    about: List
    says: list VLANs on {switch}
    effect: read
    target: switch
    args: {properties: {switch: {type: string, format: target}}, required: [switch]}
  - name: vlan.create
    about: Create
    says: create VLAN {id}
    effect: write
    target: switch
    args: {properties: {switch: {type: string, format: target}, id: {type: integer}}, required: [switch, id]}
    state: {tool: vlan.list, with: {switch: {cel: args.switch}}, pick: 'result'}
    after: '{\"id\": args.id}'
    undo: {tool: vlan.delete, with: {switch: {cel: args.switch}, id: {cel: args.id}}}
  - name: vlan.delete
    about: Delete
    says: delete VLAN {id}
    effect: destructive
    target: switch
    args: {properties: {switch: {type: string, format: target}, id: {type: integer}}, required: [switch, id]}
";

fn toolbox() -> Toolbox {
    Toolbox::new(vec![from_yaml::<Manifest>("t", TOOLS).unwrap()], Pins::default()).unwrap()
}

fn design(steps: &str) -> SolutionDesign {
    let zero = Digest::ZERO;
    let text = format!(
        "{{kind: design, spec: '{zero}', discovery: '{zero}', inputs: {{id: 120, on: [sw01, sw02]}}, acceptance: {{}}, steps: {steps}}}"
    );
    from_yaml("d", &text).unwrap()
}

fn flow(steps: &str) -> Result<AutomationFlow, ExpandError> {
    expand(&design(steps), Digest::ZERO, &json!({"free": true}), |_| None, &toolbox())
}

const CREATE: &str = "{id: create, tool: vlan.create, with: {switch: {cel: item}, id: {cel: inputs.id}}, for_each: {items: inputs.on, at_most: 4}}";

#[test]
fn items_are_unrolled_and_steps_over_the_same_items_are_paired() {
    let again = CREATE.replace("id: create", "id: again").replace("tool:", "needs: [create], tool:");
    let once = "{id: once, tool: vlan.list, with: {switch: sw01}, needs: [again]}";
    let flow = flow(&format!("[{once}, {again}, {CREATE}]")).unwrap();
    let shown: Vec<(String, Vec<&str>)> =
        flow.nodes.iter().map(|n| (n.id.to_string(), n.needs.iter().map(NodeId::as_str).collect())).collect();
    let expected = [
        ("create/sw01", vec![]),
        ("create/sw02", vec![]),
        ("again/sw01", vec!["create/sw01"]),
        ("again/sw02", vec!["create/sw02"]),
        ("once", vec!["again/sw01", "again/sw02"]),
    ];
    assert_eq!(shown, expected.map(|(id, needs)| (id.to_owned(), needs)));
    let first = &flow.nodes[0];
    assert_eq!(first.target.as_deref(), Some("sw01"));
    assert_eq!(first.known_args().unwrap()["id"], json!(120));
    assert_eq!(first.undo.as_ref().unwrap().tool.as_str(), "vlan.delete");
}

#[test]
fn expanding_twice_gives_the_same_bytes() {
    let one = flow(&format!("[{CREATE}]")).unwrap();
    assert_eq!(
        crate::artifact::digest_of(&one).unwrap(),
        crate::artifact::digest_of(&flow(&format!("[{CREATE}]")).unwrap()).unwrap()
    );
}

#[test]
fn what_is_known_is_decided_and_what_is_not_stays_a_hole() {
    let skip = CREATE.replace("tool:", "when: '!facts.free', tool:");
    assert!(flow(&format!("[{skip}]")).unwrap().nodes[0].skipped.is_some());
    let later =
        "{id: later, tool: vlan.create, with: {switch: sw01, id: {cel: steps.create.result.id}}, needs: [create]}";
    let create = "{id: create, tool: vlan.create, with: {switch: sw01, id: 7}}";
    let flow = flow(&format!("[{create}, {later}]")).unwrap();
    let node = &flow.nodes[1];
    assert!(node.known_args().is_none() && node.undo.is_none() && node.target.as_deref() == Some("sw01"));
    let steps = json!({"create": {"result": {"id": 9}}});
    let toolbox = toolbox();
    let tool = toolbox.tool(&node.step.tool).unwrap();
    let args = bind_args(node, tool, &Scope::new().with("steps", &steps), &toolbox).unwrap();
    assert_eq!(args["id"], json!(9));
}

#[test]
fn a_step_starts_from_what_an_earlier_one_leaves() {
    let first = "{id: first, tool: vlan.create, with: {switch: sw01, id: 7}}";
    let again = "{id: again, tool: vlan.create, with: {switch: sw01, id: 7}, needs: [first]}";
    let other = "{id: other, tool: vlan.create, with: {switch: sw02, id: 7}, needs: [first]}";
    let design = design(&format!("[{first}, {again}, {other}]"));
    let read = |id: &str| {
        (NodeId::new(&id.parse().unwrap(), None), Before { state: Value::Null, call: "c1".parse().unwrap() })
    };
    let before: BTreeMap<NodeId, Before> = ["first", "again", "other"].map(read).into_iter().collect();
    let flow = expand(&design, Digest::ZERO, &Value::Null, |node| before.get(&node.id).cloned(), &toolbox()).unwrap();
    let state = |at: usize| flow.nodes[at].before.as_ref().unwrap().state.clone();
    assert_eq!([state(0), state(1), state(2)], [Value::Null, json!({"id": 7}), Value::Null]);
    assert!(flow.nodes[1].unchanged() && !flow.nodes[2].unchanged());
}

#[test]
fn a_design_that_cannot_run_says_why() {
    let a = "{id: a, tool: vlan.list, with: {switch: sw01}, needs: [b]}";
    let b = "{id: b, tool: vlan.list, with: {switch: sw01}, needs: [a]}";
    for (steps, says) in [
        (format!("[{a}, {b}]"), "circle"),
        (format!("[{a}]"), "does not exist"),
        (format!("[{}]", CREATE.replace("vlan.create", "vlan.make")), "no tool"),
        (format!("[{}]", CREATE.replace("at_most: 4", "at_most: 1")), "at most 1"),
        (format!("[{}]", CREATE.replace("inputs.on", "inputs.id")), "not a list"),
        (format!("[{}]", CREATE.replace("inputs.on", r#""['a\\u001b[31m']""#)), "control or invisible"),
        (
            format!(
                "[{}]",
                CREATE.replace("inputs.on", "[\"a\", \"a\"]").replace("items: ", "items: '").replace("], at", "]', at")
            ),
            "twice",
        ),
        (
            format!("[{}]", CREATE.replace("{cel: inputs.id}", "{cel: inputs.id, where: {max: 100}}")),
            "does not satisfy",
        ),
        (format!("[{}]", CREATE.replace("{cel: inputs.id}", "{cel: inputs.nope}")), "nope"),
    ] {
        let error = flow(&steps).unwrap_err().to_string();
        assert!(error.contains(says), "{steps}: {error}");
    }
}

#[test]
fn a_target_is_named_as_it_will_be_sent_where_other_arguments_come_later() {
    let zones = TOOLS.replace("switch: {type: string, format: target}", "switch: {type: string, format: dns-name}");
    let toolbox = Toolbox::new(vec![from_yaml::<Manifest>("t", &zones).unwrap()], Pins::default()).unwrap();
    let of = |switch: &str, id: &str| {
        let look = "{id: look, tool: vlan.list, with: {switch: a.example.com}}";
        let create = format!("{{id: create, tool: vlan.create, needs: [look], with: {{switch: {switch}, id: {id}}}}}");
        expand(&design(&format!("[{look}, {create}]")), Digest::ZERO, &Value::Null, |_| None, &toolbox)
    };
    for id in ["120", "{cel: steps.look.result.n}", "{fill: a free one, where: {is: 120}}"] {
        let flow = of("CORP.Example.com", id).unwrap();
        let node = flow.node(&NodeId::new(&"create".parse().unwrap(), None)).unwrap();
        assert_eq!(node.target.as_deref(), Some("corp.example.com"), "{id}");
        assert_eq!(node.step.args["switch"].literal().unwrap(), "corp.example.com", "{id}");
        let refused = of("'no name'", id).unwrap_err().to_string();
        assert!(refused.contains("DNS name"), "{id}: {refused}");
    }
}

//! Answers and calls in a chain whose every link holds, beside which lies what its questions were decided on.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::{
    artifact::{Agent, ArtifactKind, Phase, digest_of},
    engagement::{About, Answered, Asked, CallAllowed, Purpose, call_digest},
    facts::Role,
    ledger::testing::{Story, allowed, discover, filed, id, noon, person, requested},
};

/// The places of the events.
const ANSWERED: usize = 3;
const READ: usize = 5;

/// What a test may say otherwise; then a chain is told of it.
struct Told {
    people: Value,
    tool: Value,
    /// Whether its server only simulates.
    simulated: Value,
    target: Value,
    grant: Value,
    args: Value,
    request: Box<dyn Fn(&mut Value)>,
    events: Box<dyn Fn(&mut Story)>,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            people: json!({"kind": "people", "people": [
                {"name": "ada", "roles": ["requester"]}, {"name": "grace", "roles": ["approver"]},
            ]}),
            tool: json!({
                "name": "dns.records.list", "about": "List", "says": "list {name} of {zone}", "effect": "read",
                "target": "zone", "args": {
                    "properties": {
                        "zone": {"type": "string", "format": "dns-name"},
                        "name": {"type": "string", "format": "dns-name"},
                        "most": {"type": "integer", "default": 100},
                        "view": {"type": "string"},
                        "peer": {"type": "string", "format": "target"},
                    },
                    "required": ["zone"],
                },
            }),
            simulated: json!(true),
            target: json!({
                "name": "corp.example.com", "is": "zone", "environment": "lab", "tags": [], "groups": ["lab-zones"],
            }),
            grant: json!({"zone": {"in_group": "lab-zones"}, "name": {"like": "web*"}}),
            args: json!({"zone": "corp.example.com", "name": "web01", "most": 100}),
            request: Box::new(|_| {}),
            events: Box::new(|_| {}),
        }
    }
}

impl Told {
    /// A chain up to the first read that was let through.
    fn story(&self) -> Story {
        let spec = json!({
            "kind": "spec", "title": "List", "requirements": [], "acceptance": [],
            "boundary": {"discover": [{"tool": "dns.records.list", "where": self.grant}]},
        });
        let mut story = Story::begun("k7m2q");
        let spec = {
            story.document(&spec);
            story.tell(person("ada"), filed(ArtifactKind::Spec, 1, &spec, &[requested().request]));
            digest_of(&spec).unwrap()
        };
        // As they are written: what is left out says what stands in for it.
        let people = serde_json::to_value(serde_json::from_value::<crate::facts::People>(self.people.clone()).unwrap());
        let people = story.document(&people.unwrap());
        let policies = story.document(&json!({"guardrails": "", "stages": "", "gates": ""}));
        let tool =
            story.document(&json!({"tool": self.tool, "server": null, "pin": null, "simulated": self.simulated}));
        let target = story.document(&self.target);
        let mut request = json!({
            "engagement": story.id, "about": "gate1", "artifact": spec, "grounds_kept": true,
            "decided_on": {"tools": digest_of(&1).unwrap(), "inventory": digest_of(&2).unwrap(), "people": people,
                           "policies": policies},
            "approved_on": {"tools": {"dns.records.list": tool}, "targets": {"corp.example.com": target},
                            "unlisted_targets": false},
            "facts": {"environments": ["lab"], "targets": ["corp.example.com"], "unlisted_targets": false,
                      "simulated": true, "writes": 0, "destructive": 0, "irreversible": [], "risk": "none"},
        });
        (self.request)(&mut request);
        let request = story.document(&request);
        story.tell(Actor::Program, Body::Asked(Asked::new(About::Gate1, request, Role::Approver)));
        let answered = Answered {
            about: About::Gate1,
            request,
            answer: Answer::Approve,
            role: Role::Approver,
            reason: None,
            calls: Vec::new(),
            expires: Some(noon() + SignedDuration::from_hours(72)),
            policy: None,
            signature: None,
        };
        story.tell(person("grace"), Body::Answered(answered));
        story.tell(Actor::Program, Body::Entered { phase: Phase::Feasibility, reason: None });
        let args = self.args.as_object().unwrap().clone();
        let call = CallAllowed {
            tool: "dns.records.list".parse().unwrap(),
            target: "corp.example.com".into(),
            digest: call_digest(&story.id, None, "dns.records.list", &args.clone().into()).unwrap(),
            args: args.into(),
            ..allowed(1, Agent::Design, discover(), false)
        };
        story.tell(Actor::Agent(Agent::Design), Body::Allowed(Box::new(call)));
        (self.events)(&mut story);
        story
    }

    fn verified(&self) -> Verification {
        let story = self.story();
        verify(&story.bytes(), &story.blobs)
    }

    /// What is found, in one text.
    fn found(&self) -> String {
        let problems = self.verified().problems;
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }
}

fn call(story: &mut Story) -> &mut CallAllowed {
    let Body::Allowed(call) = &mut story.events[READ].2 else { panic!() };
    call
}

#[test]
fn what_was_decided_as_it_says_holds_and_nothing_is_left_unsaid() {
    let verification = Told::default().verified();
    assert_eq!(verification.problems, []);
    let says = |notes: &[String]| notes.iter().any(|note| note.contains("of which nothing was kept"));
    assert!(!says(&verification.notes), "{:?}", verification.notes);
    let before = Told {
        request: Box::new(|request| drop(request.as_object_mut().unwrap().remove("grounds_kept"))),
        ..Told::default()
    };
    let notes = before.verified().notes;
    assert!(says(&notes), "{notes:?}");
}

#[test]
fn what_a_question_was_decided_on_must_be_there_and_readable() {
    for what in ["the people", "the policies", "the tool `dns.records.list`", "the inventory entry"] {
        let gone = Told {
            events: Box::new(move |story| {
                let request = story.asked().request;
                let request: Value = serde_json::from_slice(&story.blobs[&request]).unwrap();
                let named = beside(&request).into_iter().find(|mention| mention.what.starts_with(what)).unwrap();
                story.blobs.remove(&named.digest).unwrap();
            }),
            ..Told::default()
        };
        let found = gone.found();
        assert!(found.contains(&format!("event 3: {what}")) && found.contains("is missing"), "{what}: {found}");
    }
    let other = Told { tool: json!({"name": "dns.records.list"}), ..Told::default() };
    assert!(other.found().contains("decided on what cannot be read here"), "{}", other.found());
}

#[test]
fn whoever_answers_has_the_role_and_signs_where_a_name_is_not_enough() {
    let people = |roles: &str| json!({"kind": "people", "people": [{"name": "ada", "roles": ["owner"]}, {"name": "grace", "roles": [roles]}]});
    let target = |environment: &str| json!({"name": "corp.example.com", "is": "zone", "environment": environment, "tags": [], "groups": ["lab-zones"]});
    let signs = |environments: [&str; 1], apart: &[&str]| {
        json!({"kind": "people", "people": [{"name": "grace", "roles": ["owner"]}],
               "signed_environments": environments, "separation_of_duties": apart})
    };
    let cases: [(Told, &str); 5] = [
        (
            Told { people: people("requester"), ..Told::default() },
            "event 4: an answer about gate 1 (the spec) by grace in the role approver, who was requester",
        ),
        (
            Told { people: json!({"kind": "people", "people": []}), ..Told::default() },
            "in the role approver, who had none",
        ),
        (
            Told { target: target("production"), ..Told::default() },
            "event 3: a question about gate 1 (the spec) on a name alone, and it reaches production",
        ),
        (Told { people: signs(["lab"], &[]), ..Told::default() }, "on a name alone, and it reaches lab"),
        (
            Told { people: signs(["x"], &["Lab"]), ..Told::default() },
            "event 3: a question about gate 1 (the spec) that lets ada approve their own work in lab",
        ),
    ];
    for (told, what) in cases {
        let found = told.found();
        assert!(found.contains(what), "{what}: {found}");
    }
    // A yes lasts no longer than the people file says.
    for expires in [None, Some(noon() + SignedDuration::from_hours(73))] {
        let longer = Told { events: Box::new(move |story| story.answered().expires = expires), ..Told::default() };
        let what = "event 4: an answer about gate 1 (the spec) by grace (asserted, OS user grace) for longer than the 72 hours that a yes lasts";
        assert!(longer.found().contains(what), "{expires:?}: {}", longer.found());
    }
    // A no is taken from whoever has the role by then.
    let no = Told {
        people: people("requester"),
        events: Box::new(|story| {
            story.events.truncate(ANSWERED + 1);
            story.answered().answer = Answer::Reject;
            story.answered().reason = Some("no".into());
        }),
        ..Told::default()
    };
    assert_eq!(no.found(), "");
}

#[test]
fn a_question_rests_on_what_the_spec_grants() {
    let without = |path: &'static str, value: Value| Told {
        request: Box::new(move |request| *request.pointer_mut(path).unwrap() = value.clone()),
        ..Told::default()
    };
    for (told, what) in [
        (without("/approved_on/tools", json!({})), "that does not rest on `dns.records.list`"),
        (
            without("/approved_on/unlisted_targets", json!(true)),
            "that says otherwise than its spec, flow, tools and targets",
        ),
        (without("/approved_on/targets", json!({})), "on `corp.example.com`, which its approval does not rest on"),
    ] {
        let found = told.found();
        assert!(found.contains(what), "{what}: {found}");
    }
    let open = Told { grant: json!({"zone": {"any": true}, "name": {"any": true}}), ..Told::default() };
    assert!(open.found().contains("that says otherwise than its spec"), "{}", open.found());
}

#[test]
fn a_call_is_inside_its_grant_to_the_last_argument() {
    let given = |args: Value| Told { args, ..Told::default() };
    let zone = "corp.example.com";
    let granted = |grant: Value| Told { grant, ..Told::default() };
    for (told, what) in [
        (
            given(json!({"zone": zone, "name": "web.evil", "most": 100})),
            "outside which it is: `name` must be like web*",
        ),
        (given(json!({"zone": zone, "most": 100})), "outside which it is: `name` must be like web*"),
        (given(json!({"zone": zone, "name": "web01", "most": 5})), "`most` must be 100 (its default)"),
        (given(json!({"zone": zone, "name": "web01", "most": 100, "view": "all"})), "`view` must be left out"),
        (given(json!({"zone": zone, "name": "web01"})), "`most` is missing"),
        (given(json!({"zone": zone, "name": "WEB01", "most": 100})), "`name` is not in its normal form"),
        (given(json!({"zone": zone, "name": "web 1", "most": 100})), "with arguments that `dns.records.list` does not"),
        (given(json!({"zone": zone, "name": "web01", "most": 100, "x": 1})), "it has no `x`"),
        (given(json!({"zone": "example.net", "name": "web01", "most": 100})), "its arguments name another target"),
        (granted(json!({"zone": {"in_group": "others"}, "name": {"any": true}})), "must be any of the group others"),
    ] {
        let found = told.found();
        assert!(found.contains("event 6: c1 allowed ") && found.contains(what), "{what}: {found}");
    }
}

#[test]
fn what_a_tool_does_is_what_its_manifest_says() {
    let mut tool = Told::default().tool;
    tool["effect"] = json!("write");
    let writes = Told { tool, ..Told::default() };
    assert!(writes.found().contains("without being counted as a change"), "{}", writes.found());
    let counted = Told { events: Box::new(|story| call(story).counts = Some("x".into())), ..Told::default() };
    assert!(counted.found().contains("as a change under `discover.0`, which only lets it read"), "{}", counted.found());
}

#[test]
fn what_was_done_is_looked_at_with_tools_and_targets_that_changed_since() {
    let looks = |catalog: Option<Value>| Told {
        args: json!({"zone": "corp.example.com", "name": "web01"}),
        events: Box::new(move |story| {
            let basis = catalog.as_ref().map(|catalog| story.document(&json!({"catalog": catalog})));
            let call = call(story);
            call.agent = Agent::Verifier;
            call.purpose = Purpose::LookAgain { node: node(), attempt: 1 };
            call.decided_on = basis.unwrap_or(call.decided_on);
            call.digest = digest_of_call(call);
        }),
        ..Told::default()
    };
    let zero = digest_of(&0).unwrap();
    let changed = json!({"tools": zero, "inventory": zero, "people": zero, "policies": zero});
    let same =
        json!({"tools": digest_of(&1).unwrap(), "inventory": digest_of(&2).unwrap(), "people": zero, "policies": zero});
    assert!(!looks(Some(changed)).found().contains("is missing"));
    assert!(looks(Some(same)).found().contains("`most` is missing"));
    assert!(looks(None).found().contains("`most` is missing"), "nothing says that anything changed");
}

fn digest_of_call(call: &CallAllowed) -> crate::artifact::Digest {
    call_digest(&id("k7m2q"), call.purpose.node(), call.tool.as_str(), &call.args).unwrap()
}

fn node() -> crate::artifact::NodeId {
    let Purpose::Act { node, .. } = crate::ledger::testing::act() else { panic!() };
    node
}

#[test]
fn whoever_claims_that_tools_changed_hides_nothing_but_what_the_verifier_reads_and_that_is_told() {
    let zero = digest_of(&0).unwrap();
    let claims = |purpose: Purpose, agent: Agent, effect: &str| {
        let mut tool = Told::default().tool;
        tool["effect"] = json!(effect);
        Told {
            tool,
            args: json!({"zone": "corp.example.com", "name": "web01", "x": 1}),
            events: Box::new(move |story| {
                let catalog = json!({"tools": zero, "inventory": zero, "people": zero, "policies": zero});
                let basis = story.document(&json!({"catalog": catalog}));
                let call = call(story);
                (call.agent, call.purpose, call.decided_on) = (agent, purpose.clone(), basis);
                call.digest = digest_of_call(call);
            }),
            ..Told::default()
        }
    };
    let looks = || Purpose::LookAgain { node: node(), attempt: 1 };
    for (told, what) in [
        (claims(looks(), Agent::Verifier, "write"), "without being counted as a change"),
        (claims(looks(), Agent::Design, "read"), "which is the verifier's"),
        (
            claims(Purpose::CheckAfter { check: "A9".into(), item: 0 }, Agent::Verifier, "read"),
            "for check A9, which the spec does not have",
        ),
    ] {
        let found = told.found();
        assert!(found.contains(what), "{what}: {found}");
    }
    let reads = claims(looks(), Agent::Verifier, "read").verified();
    let told = reads.notes.iter().any(|note| note.starts_with("on other tools or targets than were approved"));
    assert!(told, "{:?}", reads.notes);
}

#[test]
fn the_facts_of_a_question_follow_from_what_lies_beside_it() {
    let lies = |path: &'static str, value: Value| Told {
        request: Box::new(move |request| *request.pointer_mut(path).unwrap() = value.clone()),
        ..Told::default()
    };
    for (told, what) in [
        (lies("/facts/environments", json!(["staging"])), "the targets and environments"),
        (lies("/facts/targets", json!([])), "the targets and environments"),
        (lies("/facts/unlisted_targets", json!(true)), "whether all targets are listed"),
        (lies("/facts/writes", json!(3)), "how much is changed"),
        (lies("/facts/destructive", json!(1)), "how much is changed"),
        (lies("/facts/irreversible", json!(["dns.record.create"])), "what cannot be taken back"),
        (lies("/facts/risk", json!("high")), "the risk"),
        (lies("/facts/simulated", json!(false)), "whether all of it is simulated"),
        (Told { simulated: json!(false), ..Told::default() }, "whether all of it is simulated"),
    ] {
        let (found, what) = (told.found(), format!("says otherwise than its spec, flow, tools and targets: {what}"));
        assert!(found.contains(&what), "{what}: {found}");
    }
    let unsaid = Told { simulated: Value::Null, ..Told::default() }.found();
    assert!(unsaid.contains("decided on what cannot be read here"), "{unsaid}");
}

#[test]
fn where_targets_cannot_be_listed_a_flow_is_in_an_environment_of_the_inventory() {
    let open = |environments: Value| Told {
        grant: json!({"zone": {"any": true}, "name": {"any": true}}),
        request: Box::new(|request| {
            request["approved_on"]["targets"] = json!({});
            request["approved_on"]["unlisted_targets"] = json!(true);
            request["approved_on"]["environments"] = json!(["lab", "staging"]);
            request["facts"]["unlisted_targets"] = json!(true);
            request["facts"]["environments"] = json!([]);
            request["facts"]["targets"] = json!([]);
            request["facts"]["risk"] = json!("medium");
        }),
        events: Box::new(move |story| {
            let first = story.asked().request;
            let mut request: Value = serde_json::from_slice(&story.blobs[&first]).unwrap();
            request["about"] = json!("gate2");
            request["facts"]["environments"] = environments.clone();
            request["facts"]["targets"] = json!(["corp.example.com"]);
            request["facts"]["unlisted_targets"] = json!(false);
            let request = story.document(&request);
            story.tell(Actor::Program, Body::Asked(Asked::new(About::Gate2, request, Role::Approver)));
        }),
        ..Told::default()
    };
    assert!(!open(json!(["lab"])).found().contains("says otherwise"), "{}", open(json!(["lab"])).found());
    assert!(open(json!(["moon"])).found().contains("the targets and environments"));
}

#[test]
fn what_is_said_in_another_order_or_of_other_targets_is_no_fault() {
    let mut tool = Told::default().tool;
    tool["args"]["properties"]["peers"] = json!({"type": "array", "items": {"type": "string", "format": "dns-name"}});
    let with = |constraint: Value, peers: Value| Told {
        tool: tool.clone(),
        grant: json!({"zone": {"is": "corp.example.com"}, "name": {"any": true}, "peers": constraint}),
        args: json!({"zone": "corp.example.com", "name": "web01", "most": 100, "peers": peers}),
        ..Told::default()
    };
    assert_eq!(with(json!({"is": ["b.x", "a.x"]}), json!(["a.x", "b.x"])).found(), "");
    assert_eq!(with(json!({"subset_of": ["WWW.x", "a.x"]}), json!(["www.x"])).found(), "");
    assert!(with(json!({"subset_of": ["WWW.x"]}), json!(["c.x"])).found().contains("`peers` must be"));
    // No entry lies here of a target that another argument names.
    let peer = Told {
        grant: json!({"zone": {"is": "corp.example.com"}, "name": {"any": true}, "peer": {"in_group": "others"}}),
        args: json!({"zone": "corp.example.com", "name": "web01", "most": 100, "peer": "sw04"}),
        ..Told::default()
    };
    assert_eq!(peer.found(), "");
}

#[test]
fn gate_2_rests_on_what_gate_1_rests_on() {
    let second = |change: Box<dyn Fn(&mut Value)>| Told {
        events: Box::new(move |story| {
            let first = story.asked().request;
            let mut request: Value = serde_json::from_slice(&story.blobs[&first]).unwrap();
            request["about"] = json!("gate2");
            let other = json!({"name": "corp.example.com", "is": "zone", "environment": "lab", "groups": ["lab-zones", "x"],
                               "tags": []});
            let other = story.document(&other);
            request["other"] = json!(other);
            change(&mut request);
            request.as_object_mut().unwrap().remove("other");
            let request = story.document(&request);
            story.tell(Actor::Program, Body::Asked(Asked::new(About::Gate2, request, Role::Approver)));
        }),
        ..Told::default()
    };
    assert!(!second(Box::new(|_| {})).found().contains("rests on something else"));
    let other =
        second(Box::new(|request| request["approved_on"]["targets"]["corp.example.com"] = request["other"].clone()));
    let found = other.found();
    assert!(
        found.contains("rests on something else than gate 1, which was not asked anew: the inventory entry"),
        "{found}"
    );
}

#[test]
fn an_argument_that_was_not_shown_is_only_what_the_tool_takes_by_default() {
    let story = Told::default().story();
    let events: Vec<Event> = story.sealed().into_iter().map(|sealed| sealed.event).collect();
    let (state, papers) = (State::replay(&events).unwrap(), Papers::new(&story.blobs));
    let tool = "dns.records.list".parse().unwrap();
    let takes = |name: &str, value: Value| grounds::by_default(&state, &tool, name, &value, &papers);
    assert!(takes("most", json!(100)));
    for (name, value) in [("most", json!(7)), ("view", json!("inside")), ("purge", json!(true))] {
        assert!(!takes(name, value), "{name}");
    }
}

#[test]
fn what_let_a_change_through_is_here_or_somebody_approved_it() {
    let told = |here: bool| Told {
        events: Box::new(move |story: &mut Story| {
            let basis = json!({"standing": {"stage": 2}});
            let basis = if here { story.document(&basis) } else { digest_of(&basis).unwrap() };
            let Body::Allowed(call) = &mut story.events[READ].2 else { panic!() };
            (call.counts, call.decided_on) = (Some("web01".into()), basis);
        }),
        ..Told::default()
    };
    let says = "allowed as a change that nobody approved, and what let it through is not here";
    assert!(told(false).found().contains(says), "{}", told(false).found());
    assert!(!told(true).found().contains(says), "{}", told(true).found());
}

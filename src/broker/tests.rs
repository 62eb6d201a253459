//! Proposals as an obedient agent under injection might make them, decided over a whole engagement.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{
    again::still_allowed,
    decide::{Decided, Moment, Refused, decide, refused_purpose},
    explain,
};
use crate::{
    artifact::{Agent, CallId, Digest, Phase, RecordOutcome, digest_of},
    engagement::{
        About, Actor, Answer, Asked, CallAllowed, CallFinished, CallOutcome, CallRefused, Command, Next, Proposal,
        Purpose, RefusedAs,
    },
    facts::Role,
    policy::{CompiledBoundary, Layer, LayerAnswer, Policies, PolicyTexts, Verdict},
    record::fixture::{ADDRESS, Chain, Scripted, VLAN, ada, object},
    tool::{Pins, ServerPin, Toolbox},
};

/// The same engagement with every server pinned as it is.
fn pinned(mut chain: Chain) -> Chain {
    let manifests = chain.catalog.toolbox.manifests().to_vec();
    let servers = manifests.iter().map(|manifest| {
        let tools = manifest.tools.iter().map(|tool| (tool.name.to_string(), Digest::ZERO)).collect();
        (
            manifest.family.clone(),
            ServerPin {
                command: Vec::new(),
                executable: Digest::ZERO,
                files: BTreeMap::new(),
                tools,
                manifest: digest_of(manifest).ok(),
            },
        )
    });
    let pins = Pins { servers: servers.collect() };
    chain.catalog.toolbox = Toolbox::new(manifests, pins).unwrap().into();
    chain
}

/// Now, at stage 1, with nothing going on elsewhere.
fn at(chain: &Chain) -> Moment<'static> {
    static NOWHERE: BTreeSet<String> = BTreeSet::new();
    Moment { now: chain.now(), stage: 1, elsewhere: &NOWHERE }
}

/// The rule that refuses, or nothing.
fn refused(chain: &Chain, proposal: &Proposal) -> Option<String> {
    let spec = chain.documents.spec().unwrap();
    let boundary = CompiledBoundary::compile(spec, &chain.catalog).unwrap();
    match decide(&chain.view(), &chain.catalog, Some(&boundary), proposal, &at(chain)) {
        Decided::Allow(_) => None,
        Decided::Refuse { rules, .. } => Some(rules.last().unwrap().rule.clone()),
    }
}

/// An engagement whose next call is the first of the build phase.
pub(super) fn building(blueprint: &str) -> Chain {
    begun(Chain::request(blueprint, json!({"id": 120, "name": "guest"})))
}

fn begun(chain: Chain) -> Chain {
    let mut chain = pinned(chain);
    assert_eq!(chain.run(), Some(About::Gate1));
    assert_eq!(chain.approve_gate1(), Some(About::Gate2));
    chain.approve_gate2_only();
    chain
}

fn wanted(chain: &Chain) -> Proposal {
    match chain.next().unwrap() {
        Next::Call(proposal) => proposal,
        other => panic!("{other:?}"),
    }
}

/// Goes on until a call for such a purpose is next.
fn go_to(chain: &mut Chain, is: impl Fn(&Purpose) -> bool) -> Proposal {
    for _ in 0..100 {
        match chain.next().unwrap() {
            Next::Call(proposal) if is(&proposal.purpose) => return proposal,
            Next::Call(proposal) => chain.call(&proposal),
            Next::Settle(settled) => chain.command(Actor::Program, Command::Settle(settled)),
            other => panic!("{other:?}"),
        }
    }
    panic!("it is never next");
}

#[test]
fn no_call_but_the_programs_own_next_one_serves_a_purpose() {
    let chain = building(VLAN);
    let next = wanted(&chain);
    assert_eq!(refused(&chain, &next), None);
    // Reads that the spec grants, made to stand for evidence that the program would take from elsewhere.
    let claims = [
        Purpose::CheckAfter { check: "A1".into(), item: 0 },
        Purpose::ReadBack { node: next.purpose.node().unwrap().clone(), attempt: 1 },
        Purpose::Observe { node: next.purpose.node().unwrap().clone() },
        next.purpose.clone(),
    ];
    for purpose in claims {
        for agent in [Agent::Verifier, Agent::Build] {
            let forged = Proposal {
                agent,
                purpose: purpose.clone(),
                tool: "vlan.list".into(),
                args: object(json!({"switch": "sw04"})),
            };
            assert_eq!(refused(&chain, &forged).as_deref(), Some("contract.next"), "{purpose:?} {agent}");
        }
    }
    let by_hand = Proposal { purpose: Purpose::Proposed { n: 1 }, ..next };
    assert_eq!(refused(&chain, &by_hand).as_deref(), Some("agent.verifier"));
}

#[test]
fn a_refused_claim_does_not_stand_for_the_step_that_it_names() {
    let chain = building(VLAN);
    let next = wanted(&chain);
    assert_eq!(refused_purpose(&chain.view(), &next, chain.now()), next.purpose);
    let node = next.purpose.node().unwrap().clone();
    for purpose in [Purpose::Act { node: node.clone(), attempt: 1, r#try: 1 }, Purpose::Undo { node }] {
        let forged = Proposal { agent: Agent::Build, purpose, tool: "vlan.delete".into(), args: next.args.clone() };
        let recorded = refused_purpose(&chain.view(), &forged, chain.now());
        assert!(matches!(recorded, Purpose::Proposed { .. }), "{recorded:?}");
    }
}

#[test]
fn an_always_step_is_recovery_only_where_something_was_touched() {
    let always = VLAN.replace("      on_failure:", "      always: true\n      on_failure:");
    assert_ne!(always, VLAN);
    let mut chain = building(&always);
    let act = go_to(&mut chain, |purpose| matches!(purpose, Purpose::Act { .. }));
    assert_eq!(refused(&chain, &act), None);
    chain.catalog.inventory.targets.iter_mut().for_each(|target| {
        target.tags.insert("freeze".into());
    });
    assert_eq!(refused(&chain, &act).as_deref(), Some("frozen"));
}

#[test]
fn what_was_approved_on_another_target_or_tool_is_void() {
    let mut chain = building(VLAN);
    let act = go_to(&mut chain, |purpose| matches!(purpose, Purpose::Act { .. }));
    assert_eq!(refused(&chain, &act), None);
    let switch = act.args["switch"].as_str().unwrap().to_owned();
    let entries = chain.catalog.inventory.clone();
    let entry = chain.catalog.inventory.targets.iter_mut().find(|target| target.name == switch).unwrap();
    entry.tags.insert("edge".into());
    assert_eq!(refused(&chain, &act).as_deref(), Some("approval.void"), "the inventory entry is another");
    chain.catalog.inventory = entries;
    assert_eq!(refused(&chain, &act), None, "as it was approved");
    // Pinned anew by a person, and still not what was approved.
    let (mut manifests, mut pins) = (chain.catalog.toolbox.manifests().to_vec(), chain.catalog.toolbox.pins().clone());
    manifests[0].server.timeout_seconds += 1;
    pins.servers.get_mut(&manifests[0].family).unwrap().manifest = digest_of(&manifests[0]).ok();
    chain.catalog.toolbox = Toolbox::new(manifests, pins).unwrap().into();
    assert_eq!(refused(&chain, &act).as_deref(), Some("approval.void"), "the server is another");
}

#[test]
fn nothing_is_taken_back_after_the_time_that_the_spec_says() {
    for (until, rule) in [("2100-01-01T00:00:00Z", None), ("2026-12-01T22:00:00Z", Some("limit.undo_until"))] {
        let spec = VLAN.replace("  rollback: required", &format!("  rollback: required\n  undo_until: {until}"));
        assert_ne!(spec, VLAN);
        let spec = spec.replace("on_failure: undo_target", "on_failure: undo_all");
        let mut chain = building(&spec).script("step create/sw02", [Scripted::Error("no")]);
        let undo = go_to(&mut chain, |purpose| matches!(purpose, Purpose::Undo { .. }));
        assert_eq!(refused(&chain, &undo).as_deref(), rule);
    }
}

#[test]
fn a_rule_that_wants_an_owner_is_not_satisfied_by_an_approver() {
    let stages = include_str!("../../policies/stages.cedar")
        .replace(r#"contains("approver")"#, r#"contains("owner")"#)
        .replace("approved_by: [approver]", "approved_by: [owner]");
    let mut chain = building(VLAN);
    let policies = Policies::load(
        PolicyTexts {
            guardrails: include_str!("../../policies/guardrails.cedar"),
            stages: &stages,
            gates: include_str!("../../policies/gates.cedar"),
        },
        &chain.catalog.toolbox,
    );
    chain.catalog.policies = policies.unwrap().into();
    let act = go_to(&mut chain, |purpose| matches!(purpose, Purpose::Act { .. }));
    let needs = |chain: &Chain| {
        let spec = chain.documents.spec().unwrap();
        let boundary = CompiledBoundary::compile(spec, &chain.catalog).unwrap();
        match decide(&chain.view(), &chain.catalog, Some(&boundary), &act, &at(chain)) {
            Decided::Refuse { verdict: Refused::NeedsApproval(role), digest, rules } => {
                Some((role, digest.unwrap(), rules))
            }
            _ => None,
        }
    };
    // Gate 2 was answered by an approver, so an owner is asked for this call, once.
    let (role, digest, rules) = needs(&chain).unwrap();
    assert_eq!(role, Role::Owner);
    let refused = CallRefused {
        call: chain.state().next_call(),
        digest: Some(digest),
        purpose: act.purpose.clone(),
        agent: act.agent,
        tool: act.tool.clone(),
        args: act.args.clone().into(),
        refused: RefusedAs::NeedsApproval(role),
        rules,
        decided_on: Digest::ZERO,
    };
    chain.command(Actor::Agent(Agent::Build), Command::Refuse(Box::new(refused)));
    let about = About::Call { node: act.purpose.node().unwrap().clone(), call: digest };
    // What was read before somebody is asked is read once more first.
    let again = wanted(&chain);
    chain.call(&again);
    assert_eq!(chain.next().unwrap(), Next::Ask(about.clone()));
    let (request, roles) = (chain.rests_on(), Role::ALL.into());
    let asked = Asked::new(about.clone(), request, role);
    chain.command(Actor::Program, Command::Ask(asked));
    let answer = Command::Answer {
        about,
        request,
        answer: Answer::Approve,
        roles,
        reason: None,
        calls: Vec::new(),
        expires: None,
        signed: None,
    };
    chain.command(ada(), answer);
    assert!(needs(&chain).is_none());
}

#[test]
fn an_unknown_call_is_sent_again_only_while_it_may_still_run() {
    let chain = Chain::request(ADDRESS, json!({"name": "web01"}));
    let mut chain = begun(chain.script("step allocate", [Scripted::Lost { acted: false }]));
    let act = go_to(&mut chain, |purpose| matches!(purpose, Purpose::Act { .. }));
    chain.call(&act);
    assert!(matches!(chain.next().unwrap(), Next::Resend(_)));
    let again = |chain: &Chain| {
        let boundary = CompiledBoundary::compile(chain.documents.spec().unwrap(), &chain.catalog).unwrap();
        let call = chain.view().act_of(act.purpose.node().unwrap()).unwrap().1.clone();
        still_allowed(&chain.view(), &chain.catalog, Some(&boundary), &call, &at(chain))
    };
    assert_eq!(again(&chain), Ok(()));
    let entries = chain.catalog.inventory.clone();
    let tagged = |chain: &mut Chain, tag: &str| {
        for target in &mut chain.catalog.inventory.targets {
            target.tags.insert(tag.to_owned());
        }
    };
    tagged(&mut chain, "freeze");
    assert!(again(&chain).unwrap_err().contains("frozen"));
    chain.catalog.inventory = entries.clone();
    tagged(&mut chain, "edge");
    assert!(again(&chain).unwrap_err().contains("voids it"), "another target than the one that was approved");
    chain.catalog.inventory = entries;
    assert_eq!(again(&chain), Ok(()));
    chain.command(ada(), Command::Cancel { reason: "not now".into(), roles: Role::ALL.into() });
    assert!(again(&chain).unwrap_err().contains("cancelled"));
}

/// Decides a proposal and writes the decision down, as the broker does; the grant that it rests on, or the rule that
/// refuses it.
fn proposed(chain: &mut Chain, proposal: &Proposal) -> Result<String, String> {
    let boundary = CompiledBoundary::compile(chain.documents.spec().unwrap(), &chain.catalog).unwrap();
    let decided = decide(&chain.view(), &chain.catalog, Some(&boundary), proposal, &at(chain));
    let (call, decided_on) = (chain.state().next_call(), Digest::ZERO);
    let Proposal { agent, purpose, tool, args } = proposal.clone();
    match decided {
        Decided::Allow(allowed) => {
            let super::decide::Allowed { digest, tool, target, args, grant, counts, approved, rules, .. } = *allowed;
            assert_eq!(rules[0].rule, grant, "what is said is what is counted");
            let given = grant.clone();
            chain.command(
                Actor::Agent(agent),
                Command::Allow(Box::new(CallAllowed {
                    call,
                    digest,
                    purpose,
                    agent,
                    tool,
                    target,
                    args: args.into(),
                    grant,
                    counts,
                    approved,
                    rules,
                    decided_on,
                })),
            );
            Ok(given)
        }
        Decided::Refuse { verdict, digest, rules } => {
            let rule = rules.last().unwrap().rule.clone();
            let refused = match verdict {
                Refused::Invalid => RefusedAs::Invalid,
                Refused::Denied => RefusedAs::Denied,
                Refused::NeedsApproval(role) => RefusedAs::NeedsApproval(role),
            };
            let args = args.into();
            let event = CallRefused { call, digest, purpose, agent, tool, args, refused, rules, decided_on };
            chain.command(Actor::Agent(agent), Command::Refuse(Box::new(event)));
            Err(rule)
        }
    }
}

fn finished(chain: &mut Chain) {
    let call = CallId::nth(u64::from(chain.state().next_call().number()) - 1);
    let outcome = CallOutcome::Error;
    chain.command(
        Actor::Program,
        Command::Finish(CallFinished { call, outcome, result: None, sealed: false, message: None }),
    );
}

#[test]
fn where_one_grant_is_used_up_the_next_holds_and_never_more_than_their_sum() {
    let one = "        at_most: {cel: inputs.switches.size()}\n";
    let twice = VLAN.replace(
        one,
        "        at_most: 1
      - tool: vlan.create
        where: {switch: {in_group: access-switches}, id: {min: 2, max: 200}, name: {any: true}}
        at_most: 2
",
    );
    assert_ne!(twice, VLAN);
    let mut chain = building(&twice);
    let mut given = Vec::new();
    for _ in 0..4 {
        let act = go_to(&mut chain, |purpose| matches!(purpose, Purpose::Act { .. }));
        let decided = proposed(&mut chain, &act);
        if decided.is_ok() {
            finished(&mut chain);
        }
        given.push(decided);
    }
    let ok = |grant: &str| Ok(grant.to_owned());
    assert_eq!(given, [ok("build.0"), ok("build.1"), ok("build.1"), Err("limit.at_most".into())]);
}

#[test]
fn nothing_is_changed_while_a_call_is_under_way() {
    let mut chain = building(VLAN);
    let act = go_to(&mut chain, |purpose| matches!(purpose, Purpose::Act { .. }));
    assert_eq!(proposed(&mut chain, &act), Ok("build.0".into()));
    let by_hand = Proposal {
        purpose: Purpose::Proposed { n: 1 },
        args: object(json!({"switch": "sw04", "id": 120, "name": "guest"})),
        ..act
    };
    assert_eq!(refused(&chain, &by_hand).as_deref(), Some("contract.under_way"));
    finished(&mut chain);
    assert_ne!(refused(&chain, &by_hand).as_deref(), Some("contract.under_way"));
}

/// A call that no grant lets in.
fn outside(agent: Agent, tool: &str) -> Proposal {
    let args = match tool {
        "vlan.delete" => json!({"switch": "sw01", "id": 20}),
        _ => json!({"switch": "sw01"}),
    };
    Proposal { agent, purpose: Purpose::Proposed { n: 1 }, tool: tool.into(), args: object(args) }
}

#[test]
fn attempts_outside_the_boundary_stop_the_engagement() {
    // In the build: what is left is not run, and what was done is looked at.
    let mut chain = building(VLAN);
    let act = go_to(&mut chain, |purpose| matches!(purpose, Purpose::Act { .. }));
    for n in 1..=3 {
        assert!(chain.view().stopped().is_none());
        assert_eq!(refused(&chain, &act), None, "{n}");
        assert_eq!(proposed(&mut chain, &outside(Agent::Build, "vlan.delete")), Err("boundary.none".into()));
    }
    assert_eq!(chain.state().outside, 3);
    assert_eq!(refused(&chain, &act).as_deref(), Some("engagement.stopped"));
    chain.run();
    let record = chain.documents.record().unwrap();
    assert_eq!((record.outcome, record.totals.outside), (RecordOutcome::Refused, 3));
    assert_eq!(record.summary, "stopped: 3 calls outside the boundary, and the spec stops it at 3; nothing is changed");
    assert_eq!(chain.state().closed.as_ref().unwrap().outcome, RecordOutcome::Refused);

    // Before the build it is closed at once.
    let limits = VLAN.replace("limits: {", "limits: {attempts_outside: 1, ");
    // Whoever reads is let change nothing, whatever the build agent is granted.
    for (tool, rule) in [("port.list", "boundary.none"), ("vlan.delete", "agent.reads")] {
        let mut chain = pinned(Chain::request(&limits, json!({"id": 120, "name": "guest"})));
        assert_eq!(chain.run(), Some(About::Gate1));
        chain.answer_with(&About::Gate1, Digest::ZERO, Answer::Approve, Vec::new());
        chain.command(Actor::Program, Command::Enter { phase: Phase::Feasibility, reason: None });
        assert_eq!(proposed(&mut chain, &outside(Agent::Design, tool)), Err(rule.into()));
        assert!(matches!(chain.next().unwrap(), Next::Close(closed) if closed.outcome == RecordOutcome::Refused));
    }
}

#[test]
fn only_what_an_agent_tried_outside_the_boundary_is_counted() {
    let mut chain = building(VLAN);
    let act = go_to(&mut chain, |purpose| matches!(purpose, Purpose::Act { .. }));
    let forged = |purpose: Purpose, tool: &str, args: serde_json::Value| Proposal {
        agent: Agent::Build,
        purpose,
        tool: tool.into(),
        args: object(args),
    };
    let wrong = [
        forged(Purpose::Proposed { n: 1 }, "vlan.burn", json!({})),
        forged(Purpose::Proposed { n: 1 }, "vlan.list", json!({"switch": "sw01", "more": 1})),
        forged(act.purpose.clone(), "vlan.list", json!({"switch": "sw01"})),
        outside(Agent::Design, "vlan.list"),
        outside(Agent::Verifier, "port.list"),
    ];
    for proposal in wrong {
        proposed(&mut chain, &proposal).unwrap_err();
    }
    assert_eq!(chain.state().outside, 0);
    assert!(chain.view().stopped().is_none());
    proposed(&mut chain, &outside(Agent::Build, "port.list")).unwrap_err();
    assert_eq!(chain.state().outside, 1);
}

#[test]
fn caps_on_changes_count_this_engagement_and_the_others_and_no_target_twice() {
    let mut chain = building(VLAN);
    let act = go_to(&mut chain, |purpose| matches!(purpose, Purpose::Act { .. }));
    let with = |chain: &Chain, proposal: &Proposal, elsewhere: BTreeSet<String>| {
        let spec = chain.documents.spec().unwrap();
        let boundary = CompiledBoundary::compile(spec, &chain.catalog).unwrap();
        match decide(
            &chain.view(),
            &chain.catalog,
            Some(&boundary),
            proposal,
            &Moment { elsewhere: &elsewhere, ..at(chain) },
        ) {
            Decided::Allow(_) => None,
            Decided::Refuse { rules, .. } => Some(rules.last().unwrap().rule.clone()),
        }
    };
    let others = |n: usize| (0..n).map(|n| format!("other{n}")).collect::<BTreeSet<_>>();
    assert_eq!(with(&chain, &act, others(199)), None);
    assert_eq!(with(&chain, &act, others(200)).as_deref(), Some("too-many-targets-at-once"));
    // A target that another engagement changes too is one target.
    let mut same = others(199);
    same.insert("sw01".into());
    assert_eq!(with(&chain, &act, same), None);
    // Within the engagement: the third switch is one too many where two are allowed.
    let guardrails =
        include_str!("../../policies/guardrails.cedar").replace("changes.targets > 50", "changes.targets > 2");
    let texts = PolicyTexts {
        guardrails: &guardrails,
        stages: include_str!("../../policies/stages.cedar"),
        gates: include_str!("../../policies/gates.cedar"),
    };
    chain.catalog.policies = Policies::parse(texts, &chain.catalog.toolbox).unwrap().into();
    for (switch, rule) in [("sw01", None), ("sw02", None), ("sw03", Some("too-many-targets"))] {
        let act = go_to(
            &mut chain,
            |purpose| matches!(purpose, Purpose::Act { node, .. } if node.as_str().ends_with(switch)),
        );
        assert_eq!(refused(&chain, &act).as_deref(), rule, "{switch}");
    }
}

#[test]
fn every_layer_is_explained_and_the_first_no_is_what_is_decided() {
    let mut chain = building(VLAN);
    let act = go_to(&mut chain, |purpose| matches!(purpose, Purpose::Act { .. }));
    let args = |id: u64| object(json!({"switch": "sw01", "id": id, "name": "guest"}));
    let outside = Proposal { purpose: Purpose::Proposed { n: 9 }, args: args(121), ..act.clone() };
    let unknown = Proposal { tool: "vlan.creat".into(), ..outside.clone() };
    let late = Proposal { agent: Agent::Design, ..outside.clone() };
    let forged = Proposal { args: args(121), ..act.clone() };
    for proposal in [act, outside, unknown, late, forged] {
        let spec = chain.documents.spec().unwrap();
        let boundary = CompiledBoundary::compile(spec, &chain.catalog).unwrap();
        let explanation = explain(&chain.view(), &chain.catalog, Some(&boundary), &proposal, &at(&chain));
        let layers: Vec<Layer> = explanation.layers.iter().map(|answer| answer.layer).collect();
        use Layer::{Boundary, Contract, Gate, Guardrails, Limits, Stage, Tool};
        assert_eq!(layers, [Tool, Gate, Guardrails, Boundary, Contract, Stage, Limits], "{proposal:?}");
        let decided = refused(&chain, &proposal);
        let no = |answer: &&LayerAnswer| answer.verdict == Some(Verdict::Deny);
        let named = |answer: &LayerAnswer| answer.rules.iter().any(|spoke| Some(&spoke.rule) == decided.as_ref());
        let denied: Vec<_> = explanation.layers.iter().filter(no).collect();
        assert_eq!(denied.is_empty(), decided.is_none(), "{explanation:#?}");
        assert!(decided.is_none() || denied.iter().any(|answer| named(answer)), "{decided:?} {explanation:#?}");
    }
}

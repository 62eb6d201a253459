//! Who may answer what: people, and the policy at trust stage 3; and how long a yes lasts.

use jiff::Timestamp;

use crate::{
    artifact::{Agent, ArtifactKind, Digest},
    facts::{Identity, IdentityMeans, Role},
    flow::NodeOutcome,
};

use super::{
    About, Actor, Answer, Asked, Command, DeviationFound, Gate, Refusal, RefusedAs, decide_for,
    testing::{Story, act, allow, answer, ask, ask_anew, autonomous, digest, intent, node, refuse, ruled},
};

#[test]
fn the_policy_answers_gates_and_deviations_at_stage_3_and_nothing_else() {
    let at = |stage_3: bool, story: Story, about: About| {
        let asked = ask(about);
        let story = story.then(if stage_3 { autonomous(asked) } else { asked });
        let command = ruled(&story.state);
        (decide_for(&story.state, &Actor::Policy, command.clone()).is_ok(), story, command)
    };
    let filed = || Story::begin(digest("request")).file(ArtifactKind::Spec);
    let (may, story, command) = at(true, filed(), About::Gate1);
    assert!(may);
    assert!(story.clone().then(command.clone()).state.gate_open(Gate::One));
    for actor in [Actor::Program, Actor::Agent(Agent::Build)] {
        assert!(matches!(decide_for(&story.state, &actor, command.clone()), Err(Refusal::NotThePolicy(_))));
    }
    let yes = answer(&story.state, Answer::Approve, &[Role::Owner]);
    assert!(matches!(decide_for(&story.state, &Actor::Policy, yes), Err(Refusal::NotAPerson(_))));
    let cancel = Command::Cancel { reason: "enough".into(), roles: [Role::Owner].into() };
    assert!(matches!(decide_for(&story.state, &Actor::Policy, cancel), Err(Refusal::NotAPerson(_))));
    assert!(!at(false, filed(), About::Gate1).0);
    assert!(at(true, Story::to_design().file(ArtifactKind::Design), About::Gate2).0);
    let failed = Story::building().settle("a", NodeOutcome::Failed, false);
    assert!(!at(true, failed, About::Failure { node: node("a") }).0);
    // What a person said no to is a person's from then on, in every later version.
    let rejected = filed().ask(About::Gate1).answer(Answer::Reject).file(ArtifactKind::Spec);
    assert!(!at(true, rejected, About::Gate1).0);
    // Without a rule that says yes nothing was said.
    let mut silent = command;
    if let Command::Rule { policy, .. } = &mut silent {
        policy.rules.clear();
    }
    assert!(decide_for(&story.state, &Actor::Policy, silent).is_err());
}

#[test]
fn where_duties_are_apart_nobody_approves_their_own_work() {
    let filed = Story::begin(digest("request")).file(ArtifactKind::Spec);
    let Command::Ask(asked) = ask(About::Gate1) else { panic!() };
    let story = filed.then(Command::Ask(Asked { barred: ["ada".to_owned()].into(), ..asked }));
    let person =
        |name: &str| Actor::Person(Identity { name: name.into(), os_user: "x".into(), means: IdentityMeans::Asserted });
    let yes = || answer(&story.state, Answer::Approve, &[Role::Approver]);
    let own = decide_for(&story.state, &person("ada"), yes());
    assert_eq!(own, Err(Refusal::SameHands("ada".into())));
    // Another's yes would do, but for the signature that it needs here.
    assert_eq!(decide_for(&story.state, &person("grace"), yes()), Err(Refusal::NeedsSignature));
    let no = answer(&story.state, Answer::Reject, &[Role::Approver]);
    assert!(decide_for(&story.state, &person("ada"), no).is_ok(), "whoever asked may still say no");
}

#[test]
fn an_approval_of_a_call_ends() {
    let story = Story::building();
    let call = intent(&story.state, Agent::Build, act("a", 1)).digest;
    let wanting = refuse(&story.state, Agent::Build, act("a", 1), RefusedAs::NeedsApproval(Role::Approver));
    let story = story.then(wanting).ask(About::Call { node: node("a"), call });
    let mut yes = answer(&story.state, Answer::Approve, &[Role::Approver]);
    let ends = Timestamp::from_second(story.clock + 3600).unwrap();
    if let Command::Answer { expires, .. } = &mut yes {
        *expires = Some(ends);
    }
    let story = story.then(yes);
    let before = Timestamp::from_second(ends.as_second() - 1).unwrap();
    assert_eq!(story.state.approved_in(&call, before), Some(Role::Approver));
    assert_eq!(story.state.approved_in(&call, ends), None);
}

#[test]
fn what_the_policy_accepts_of_a_deviation_ends() {
    let found = DeviationFound {
        node: node("a"),
        what: "it differs".into(),
        contract: serde_json::json!(1),
        actual: serde_json::json!(2),
        calls: vec![],
        because: None,
        undo: false,
    };
    let story = Story::building().then(Command::Deviate(found));
    let story = story.then(autonomous(ask(About::Deviation { node: node("a") })));
    let Command::Rule { about, request, policy, expires } = ruled(&story.state) else { panic!() };
    assert!(expires.is_some());
    let rule = |expires| Command::Rule { about: about.clone(), request, policy: policy.clone(), expires };
    let endless = decide_for(&story.state, &Actor::Policy, rule(None));
    assert!(matches!(endless, Err(Refusal::WrongAnswer(_))), "{endless:?}");
    let accepted = story.then(rule(expires)).state;
    assert_eq!(accepted.deviation_at(&node("a")).unwrap().accepted_until, expires);
}

#[test]
fn a_gate_is_asked_anew_only_while_it_is_open_with_a_reason_and_of_a_person() {
    let anew = |why: &[&str]| ask_anew(About::Gate1, why.iter().map(|why| (*why).to_owned()).collect());
    let building = Story::building();
    assert!(building.refusal(anew(&[])).is_some(), "without a reason it is no question");
    assert!(Story::begin(digest("request")).file(ArtifactKind::Spec).refusal(anew(&["it changed"])).is_some());
    let asked = building.then(autonomous(anew(&["it changed"])));
    let ruled = decide_for(&asked.state, &Actor::Policy, ruled(&asked.state));
    assert!(matches!(ruled, Err(Refusal::WrongAnswer(_))), "{ruled:?}");
    // Nothing is begun while it is asked; what was begun may be looked at.
    let asked = Story::building().then(anew(&["it changed"]));
    assert!(asked.refusal(allow(&asked.state, Agent::Build, act("a", 1))).is_some());
    let answered = asked.answer(Answer::Approve);
    assert_eq!(answered.refusal(allow(&answered.state, Agent::Build, act("a", 1))), None);
    assert!(answered.state.gate_open(Gate::One) && answered.state.gate_open(Gate::Two));
}

#[test]
fn what_gate_2_approved_before_is_not_approved_by_a_new_answer_that_leaves_it_out() {
    let story = Story::building();
    let call = intent(&story.state, Agent::Build, act("a", 1)).digest;
    let with = |story: Story, calls: Vec<Digest>| {
        let story = story.then(ask_anew(About::Gate2, vec!["it changed".into()]));
        let mut yes = answer(&story.state, Answer::Approve, &[Role::Approver]);
        if let Command::Answer { calls: named, .. } = &mut yes {
            *named = calls;
        }
        story.then(yes)
    };
    let approved = with(story, vec![call]);
    let now = approved.state.last_at;
    assert_eq!(approved.state.approved_in(&call, now), Some(Role::Approver));
    assert_eq!(with(approved, Vec::new()).state.approved_in(&call, now), None);
}

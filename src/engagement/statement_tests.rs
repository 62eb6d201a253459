//! A signature opens exactly what was signed, once, there, and nothing else.

use jiff::Timestamp;
use ssh_key::{HashAlg, LineEnding, PrivateKey, private::Ed25519Keypair};

use crate::{
    artifact::{Agent, ArtifactKind, canonical},
    facts::{AllowedSigners, Identity, IdentityMeans, Role, Scope, line_for},
    flow::NodeOutcome,
};

use super::{
    About, Actor, Answer, Answered, ApprovalStatement, Asked, Body, Command, Gate, Head, Once, Refusal, Retried,
    Signed, State, Statement, TrustRefusal, TrustSet, TrustStatement, decide_for,
    testing::{Story, act, answer, ask, digest, file, intent, node},
};

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

fn signed_by(key: &PrivateKey, message: &[u8], namespace: &str) -> String {
    key.sign(namespace, HashAlg::Sha512, message).unwrap().to_pem(LineEnding::LF).unwrap()
}

/// Ada and grace sign with keys of their own.
fn signers() -> AllowedSigners {
    let lines = [("ada", 1), ("grace", 2)].map(|(name, seed)| line_for(name, key(seed).public_key()));
    AllowedSigners::parse(&lines.join("\n")).unwrap()
}

fn sign<T: Statement>(statement: T, seed: u8, at: Timestamp) -> Signed<T> {
    let armored = signed_by(&key(seed), &canonical(&statement).unwrap(), statement.namespace());
    Signed { statement, armored, signers: signers(), at }
}

fn identity(name: &str, means: IdentityMeans) -> Identity {
    Identity { name: name.into(), os_user: "x".into(), means }
}

fn person(name: &str, means: IdentityMeans) -> Actor {
    Actor::Person(identity(name, means))
}

fn asked_once(about: About, nonce: &str) -> Command {
    let Command::Ask(asked) = ask(about) else { panic!() };
    let once = Once { ledger: "0".repeat(32).parse().unwrap(), nonce: nonce.repeat(32).parse().unwrap() };
    Command::Ask(Asked { signed: true, once: Some(once), ..asked })
}

/// A spec that is asked about, where an answer needs a signature.
fn asked() -> Story {
    Story::begin(digest("request")).file(ArtifactKind::Spec).then(asked_once(About::Gate1, "a"))
}

fn later(story: &Story, seconds: i64) -> Timestamp {
    Timestamp::from_second(story.clock + seconds).unwrap()
}

/// What ada answers, and the statement of it.
fn given(state: &State, choice: Answer, ends: Timestamp) -> (Command, ApprovalStatement) {
    let mut command = answer(state, choice, &[Role::Approver]);
    let Command::Answer { about, request, answer, reason, calls, expires, .. } = &mut command else { panic!() };
    *expires = (*answer == Answer::Approve).then_some(ends);
    let answered = Answered {
        about: about.clone(),
        request: *request,
        answer: answer.clone(),
        role: Role::Approver,
        reason: reason.clone(),
        calls: calls.clone(),
        expires: *expires,
        policy: None,
        signature: None,
    };
    let statement = ApprovalStatement::of(state, &answered, &identity("ada", IdentityMeans::Signed), ends).unwrap();
    (command, statement)
}

fn with(mut command: Command, signature: Signed<ApprovalStatement>) -> Command {
    if let Command::Answer { signed, .. } = &mut command {
        *signed = Some(Box::new(signature));
    }
    command
}

fn told(story: &Story, command: Command) -> Result<Body, Refusal> {
    let signed = matches!(&command, Command::Answer { signed: Some(_), .. });
    let means = if signed { IdentityMeans::Signed } else { IdentityMeans::Asserted };
    decide_for(&story.state, &person("ada", means), command)
}

#[test]
fn where_a_signature_is_needed_a_name_is_not_enough_and_a_no_is() {
    let story = asked();
    let (yes, statement) = given(&story.state, Answer::Approve, later(&story, 3600));
    assert_eq!(told(&story, yes.clone()), Err(Refusal::NeedsSignature));
    assert!(told(&story, answer(&story.state, Answer::Reject, &[Role::Approver])).is_ok());
    let signed = with(yes.clone(), sign(statement.clone(), 1, later(&story, 0)));
    let Ok(Body::Answered(answered)) = told(&story, signed.clone()) else { panic!() };
    let kept = answered.signature.unwrap();
    assert_eq!(kept.key, crate::facts::fingerprint(key(1).public_key()));
    assert_eq!(kept.statement, crate::artifact::digest_of(&statement).unwrap());
    assert!(asked().then(signed.clone()).state.gate_open(Gate::One));
    // A name that says it signed, and a signature of someone who says it is a name.
    let says = decide_for(&story.state, &person("ada", IdentityMeans::Signed), yes);
    assert!(matches!(says, Err(Refusal::Signature(_))), "{says:?}");
    let says = decide_for(&story.state, &person("ada", IdentityMeans::Asserted), signed.clone());
    assert!(matches!(says, Err(Refusal::Signature(_))), "{says:?}");
    let other = decide_for(&story.state, &person("grace", IdentityMeans::Signed), signed);
    assert!(matches!(&other, Err(Refusal::Signature(why)) if why.contains("grace")), "{other:?}");
}

#[test]
fn a_signature_is_needed_above_stage_1_where_duties_are_apart_and_where_the_place_says_so() {
    let plain = Asked::new(About::Gate1, digest("x"), Role::Approver);
    for (asked, needed) in [
        (plain.clone(), false),
        (Asked { signed: true, ..plain.clone() }, true),
        (Asked { stage: 2, ..plain.clone() }, true),
        (Asked { stage: 3, ..plain.clone() }, true),
        (Asked { barred: ["eve".to_owned()].into(), ..plain }, true),
    ] {
        assert_eq!(asked.needs_signature(), needed, "{asked:?}");
        let story = Story::begin(digest("request")).file(ArtifactKind::Spec).then(Command::Ask(asked));
        let yes = told(&story, answer(&story.state, Answer::Approve, &[Role::Approver]));
        assert_eq!(yes.is_err(), needed, "{yes:?}");
    }
}

#[test]
fn a_signature_for_anything_else_opens_nothing() {
    type Other = fn(&mut ApprovalStatement);
    let table: &[(&str, Other)] = &[
        ("ledger", |s| s.ledger = "1".repeat(32).parse().unwrap()),
        ("engagement", |s| s.engagement = "aaaaa".parse().unwrap()),
        ("question", |s| s.about = About::Gate2),
        ("approval request", |s| s.request = digest("another")),
        ("asking of the question", |s| s.nonce = "b".repeat(32).parse().unwrap()),
        ("answer", |s| s.answer = Answer::Reject),
        ("list of calls", |s| s.calls.push(digest("call"))),
        ("reason", |s| s.reason = Some("because".into())),
        ("role", |s| s.role = Role::Owner),
        ("expiry", |s| s.expires = Timestamp::MAX),
        ("place in the chain", |s| s.head.seq -= 1),
        ("place in the chain", |s| s.head.hash = digest("fork")),
        ("it's", |s| s.person = "grace".into()),
        ("it's", |s| s.os_user = Some("grace".into())),
    ];
    let story = asked();
    let (yes, statement) = given(&story.state, Answer::Approve, later(&story, 3600));
    for (what, change) in table {
        let mut other = statement.clone();
        change(&mut other);
        let seed = if other.person == "grace" { 2 } else { 1 };
        let refused = told(&story, with(yes.clone(), sign(other, seed, later(&story, 0))));
        let Err(Refusal::Signature(why)) = refused else { panic!("{what}: {refused:?}") };
        assert!(why.contains(what) || *what == "it's" && why.contains("ada's"), "{what}: {why}");
    }
    // Signed with another's key, changed after it was signed, too late, and before what is on the chain.
    let mut tampered = sign(statement.clone(), 1, later(&story, 0));
    tampered.armored =
        sign(ApprovalStatement { reason: Some("x".into()), ..statement.clone() }, 1, later(&story, 0)).armored;
    for (what, signed) in [
        ("no line for `ada`", sign(statement.clone(), 2, later(&story, 0))),
        ("over what was answered", tampered),
        ("good until", sign(statement.clone(), 1, later(&story, 3600))),
        ("older than the last event", sign(statement.clone(), 1, later(&story, -60))),
    ] {
        let refused = told(&story, with(yes.clone(), signed));
        assert!(matches!(&refused, Err(Refusal::Signature(why)) if why.contains(what)), "{what}: {refused:?}");
    }
}

#[test]
fn an_old_signature_is_none_for_the_same_question_asked_anew_or_for_another_version() {
    let story = asked();
    let (yes, statement) = given(&story.state, Answer::Approve, later(&story, 3600));
    let old = with(yes, sign(statement, 1, later(&story, 0)));
    assert!(told(&story, old.clone()).is_ok());
    let late = |story: &Story| {
        let mut old = old.clone();
        if let Command::Answer { signed: Some(signed), .. } = &mut old {
            signed.at = later(story, 0);
        }
        told(story, old)
    };
    let anew = story.clone().then(asked_once(About::Gate1, "c"));
    let refused = late(&anew);
    assert!(matches!(&refused, Err(Refusal::Signature(why)) if why.contains("asking")), "{refused:?}");
    // The same bytes filed again are another version and another question.
    let Command::File { artifact, digest, made_from } = file(&story.state, ArtifactKind::Spec) else { panic!() };
    let first = story.state.artifact(ArtifactKind::Spec).unwrap();
    assert_ne!(first, digest);
    let again = story.then(Command::File { artifact, digest: first, made_from }).then(asked_once(About::Gate1, "d"));
    let refused = late(&again);
    assert!(matches!(&refused, Err(Refusal::Signature(why)) if why.contains("asking")), "{refused:?}");
}

#[test]
fn a_retry_renews_no_approval_where_approvals_are_signed() {
    let story = Story::building().settle("a", NodeOutcome::Failed, false);
    let call = intent(&story.state, Agent::Build, act("a", 1)).digest;
    let story = story.then(asked_once(About::Failure { node: node("a") }, "e"));
    let retried = |calls| Command::Retry {
        retried: Retried { nodes: [("a".to_owned(), 2)].into(), calls },
        roles: [Role::Approver].into(),
    };
    assert_eq!(told(&story, retried(vec![call])), Err(Refusal::NeedsSignature));
    assert_ne!(told(&story, retried(vec![])), Err(Refusal::NeedsSignature));
}

#[test]
fn a_trust_stage_is_raised_with_a_signature_over_exactly_it() {
    let set = |from, stage| TrustSet {
        scope: Scope { blueprint: digest("dns"), environment: "lab".into() },
        name: "dns".into(),
        from,
        stage,
        role: (stage > from).then_some(Role::Owner),
        reason: "it went well".into(),
        signature: None,
    };
    let (head, at) = (Head { seq: 4, hash: digest("head") }, Timestamp::from_second(1_000).unwrap());
    let ends = Timestamp::from_second(4_600).unwrap();
    let ledger: crate::artifact::LedgerId = "0".repeat(32).parse().unwrap();
    let ada = Identity { name: "ada".into(), os_user: "ada".into(), means: IdentityMeans::Signed };
    let try_it = |set: TrustSet, signed: Option<&Signed<TrustStatement>>| {
        TrustStatement::sign(set, signed, ledger.clone(), &ada, head)
    };
    assert_eq!(try_it(set(1, 2), None), Err(TrustRefusal::NeedsSignature));
    assert!(try_it(set(2, 1), None).is_ok(), "whoever sees something go wrong can stop it");
    let statement = TrustStatement::of(&set(1, 2), ledger.clone(), &ada, head, ends);
    let signed = sign(statement.clone(), 1, at);
    assert!(try_it(set(1, 2), Some(&signed)).unwrap().signature.is_some());
    assert!(matches!(try_it(set(1, 3), Some(&signed)), Err(TrustRefusal::Signature(_))));
    type Other = fn(&mut TrustStatement);
    let table: [Other; 8] = [
        |s| s.stage = 3,
        |s| s.scope.environment = "production".into(),
        |s| s.reason = "no".into(),
        |s| s.ledger = "1".repeat(32).parse().unwrap(),
        |s| s.head.seq = 5,
        |s| s.person = "grace".into(),
        |s| s.os_user = Some("grace".into()),
        |s| s.os_user = None,
    ];
    for (n, change) in table.iter().enumerate() {
        let mut other = statement.clone();
        change(&mut other);
        let seed = if other.person == "grace" { 2 } else { 1 };
        let refused = try_it(set(1, 2), Some(&sign(other, seed, at)));
        assert!(matches!(refused, Err(TrustRefusal::Signature(_))), "{n}: {refused:?}");
    }
    for signed in [sign(statement.clone(), 2, at), sign(statement, 1, ends)] {
        assert!(matches!(try_it(set(1, 2), Some(&signed)), Err(TrustRefusal::Signature(_))));
    }
}

//! What is asked again, when, and what that uses, with endpoints that do what they are told and a clock that stands.

use std::{collections::VecDeque, num::NonZeroU32, sync::Mutex, time::Instant};

use super::{super::time::stop, *};
use crate::{
    artifact::Agent,
    engagement::{Finish, Usage},
};

/// What a fake endpoint does next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Answers,
    Fails,
    AsksFor(u64),
    Refuses,
    Learns,
    /// Breaks off after so many seconds and eight bytes.
    BreaksOff(u64),
}

struct Fake {
    name: &'static str,
    health: Health,
    price: Price,
    script: Mutex<VecDeque<Next>>,
    asked: Mutex<Vec<Instant>>,
}

fn fake(name: &'static str, script: &[Next]) -> Arc<Fake> {
    fake_with(name, script, Health::new(None, None))
}

fn fake_with(name: &'static str, script: &[Next], health: Health) -> Arc<Fake> {
    let script = Mutex::new(script.iter().copied().collect());
    let price = Price { input: 2.0, output: 1.0, currency: "EUR".into() };
    Arc::new(Fake { name, health, price, script, asked: Mutex::default() })
}

impl Fake {
    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Endpoint for Fake {
    fn name(&self) -> &str {
        self.name
    }

    fn health(&self) -> &Health {
        &self.health
    }

    fn reserve(&self, _: &ModelRequest) -> u64 {
        1
    }

    fn price(&self) -> Option<&Price> {
        Some(&self.price)
    }

    fn ask<'a>(
        &'a self,
        _: &'a ModelRequest,
        watch: &'a mut (dyn FnMut(Delta) + Send),
    ) -> BoxFuture<'a, Result<Answer, Trouble>> {
        self.asked.lock().unwrap().push(now());
        let next = self.script.lock().unwrap().pop_front().unwrap_or(Next::Fails);
        let again = |after| Err(Trouble::Again { why: "503".into(), after, read: false });
        let outcome = match next {
            Next::Answers => Ok(Answer {
                text: "yes".into(),
                calls: Vec::new(),
                finish: Finish::Stop,
                usage: Usage { input: 7, output: 3, estimated: false, cost_micros: Some(17) },
                endpoint: self.name.into(),
                model: String::new(),
                notes: vec!["its own".into()],
            }),
            Next::Fails => again(None),
            Next::AsksFor(seconds) => again(Some(Duration::from_secs(seconds))),
            Next::Refuses => Err(Trouble::Never("401".into())),
            Next::Learns => Err(Trouble::Changed("lacks".into())),
            Next::BreaksOff(_) => Err(Trouble::Again { why: "it broke off".into(), after: None, read: true }),
        };
        Box::pin(async move {
            if let Next::BreaksOff(seconds) = next {
                sleep(Duration::from_secs(seconds)).await;
                watch(Delta::Text("12345678".into()));
            }
            outcome
        })
    }
}

fn request() -> ModelRequest {
    ModelRequest { agent: Agent::Design, messages: Vec::new(), left_out: 0, tools: Vec::new(), output: None }
}

async fn ask(fakes: &[&Arc<Fake>]) -> (Result<Answer, ModelError>, Vec<Delta>) {
    let endpoints = fakes.iter().map(|fake| Arc::clone(fake) as Arc<dyn Endpoint>).collect();
    let list = List::new(endpoints, Retries::default());
    let mut deltas = Vec::new();
    let answer = list.answer(&request(), &mut |delta| deltas.push(delta)).await;
    (answer, deltas)
}

use Next::*;

#[tokio::test]
async fn what_fails_is_asked_again_and_what_refuses_is_not() {
    stop();
    for (script, other, asked, ok, says) in [
        (&[Answers][..], &[][..], (1, 0), true, ""),
        (&[Fails, Answers], &[], (2, 0), true, "a: 503"),
        (&[Learns, Answers], &[], (2, 0), true, ""),
        (&[Refuses], &[Answers], (1, 1), true, "a refused: 401"),
        (&[Refuses], &[Refuses], (1, 1), false, "a: 401; b: 401"),
        (&[Fails, Fails, Fails, Answers], &[Answers], (3, 1), true, "b was asked instead"),
        (&[Fails, Fails, Fails, Answers], &[Refuses], (4, 1), true, "b refused: 401"),
        (&[AsksFor(60)], &[Answers], (1, 1), true, "b was asked instead"),
        (&[Fails, Refuses], &[], (2, 0), false, "401"),
    ] {
        let (a, b) = (fake("a", script), fake("b", other));
        let list = if other.is_empty() { vec![&a] } else { vec![&a, &b] };
        let (answer, deltas) = ask(&list).await;
        assert_eq!((a.asked(), b.asked()), asked, "{script:?} {other:?} {answer:?}");
        match answer {
            Ok(answer) => {
                assert!(ok && answer.notes.last().unwrap() == "its own", "{answer:?}");
                assert!(says.is_empty() || answer.notes.iter().any(|note| note.contains(says)), "{answer:?}");
            }
            Err(error) => assert!(!ok && error.to_string().contains(says), "{script:?} {other:?} {error}"),
        }
        // Whatever was shown of a failed attempt is taken back.
        let restarted = deltas.iter().filter(|delta| matches!(delta, Delta::Restarted(_))).count();
        assert_eq!(restarted + usize::from(ok), asked.0 + asked.1, "{script:?} {other:?} {deltas:?}");
    }
}

fn longest() -> Duration {
    Duration::from_secs(Retries::default().total_wait_seconds.into())
}

#[tokio::test]
async fn waits_grow_are_honoured_and_have_an_end() {
    stop();
    let a = fake("a", &[Fails, Fails, Answers]);
    ask(&[&a]).await.0.unwrap();
    let times = a.asked.lock().unwrap().clone();
    let waits: Vec<u128> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    assert!((250..=500).contains(&waits[0]) && (500..=1000).contains(&waits[1]), "{waits:?}");

    let a = fake("a", &[AsksFor(7), Answers]);
    ask(&[&a]).await.0.unwrap();
    let times = a.asked.lock().unwrap().clone();
    assert_eq!((times[1] - times[0]).as_secs(), 7, "as long as it was asked for, no shorter");

    let a = fake("a", &[AsksFor(90), Answers]);
    ask(&[&a]).await.0.unwrap();
    let times = a.asked.lock().unwrap().clone();
    assert_eq!((times[1] - times[0]).as_secs(), 90, "also where it has to be left alone for that");

    // Longer than anybody waits: nobody is asked again.
    let a = fake("a", &[AsksFor(3600), Answers]);
    let error = ask(&[&a]).await.0.unwrap_err();
    assert!(matches!(&error, ModelError::Unavailable(why) if why.contains("a: 503")), "{error}");
    assert_eq!(a.asked(), 1);

    let begun = now();
    let (a, b) = (fake("a", &[]), fake("b", &[]));
    let error = ask(&[&a, &b]).await.0.unwrap_err().to_string();
    assert!(error.contains("a: 503; b: 503"), "{error}");
    assert!((now() - begun) <= longest() && a.asked() > 3, "{:?} {}", (now() - begun), a.asked());
}

#[tokio::test]
async fn what_is_left_alone_is_left_alone_by_the_next_turn_too() {
    stop();
    let (a, b) = (fake("a", &[Fails, Fails, Fails, Answers]), fake("b", &[Answers, Answers, Answers]));
    ask(&[&a, &b]).await.0.unwrap();
    let answer = ask(&[&a, &b]).await.0.unwrap();
    assert_eq!((a.asked(), b.asked(), answer.endpoint.as_str()), (3, 2, "b"));
    sleep(Duration::from_secs(31)).await;
    assert_eq!(ask(&[&a, &b]).await.0.unwrap().endpoint, "a");
    assert_eq!((a.asked(), b.asked()), (4, 2));
}

#[tokio::test]
async fn what_breaks_off_is_counted_and_what_never_began_is_not() {
    stop();
    let answered = Usage { input: 7, output: 3, estimated: false, cost_micros: Some(17) };
    let broken = Usage { input: 1, output: 2, estimated: true, cost_micros: Some(4) };
    for (script, usage) in [
        (&[Answers][..], answered),
        (&[Fails, AsksFor(1), Learns, Answers], answered),
        (&[BreaksOff(1), Answers], broken.and(answered)),
        (&[BreaksOff(1), Fails, BreaksOff(1), Answers], broken.and(broken).and(answered)),
    ] {
        let patient = Retries { failures_until_rest: NonZeroU32::new(9).unwrap(), ..Retries::default() };
        let list = List::new(vec![fake("a", script) as Arc<dyn Endpoint>], patient);
        let answer = list.answer(&request(), &mut |_| {}).await.unwrap();
        assert_eq!(answer.usage, usage, "{script:?}");
    }
    assert!(broken.and(answered).estimated);
    // Where no answer comes at all, whoever listens knows.
    let (answer, deltas) = ask(&[&fake("a", &[BreaksOff(1), Refuses])]).await;
    let mut meter = Meter::default();
    deltas.iter().for_each(|delta| meter.hear(delta));
    assert!(answer.is_err() && meter.total() == broken, "{meter:?}");
}

#[tokio::test]
async fn time_that_attempts_take_in_vain_is_waiting_too() {
    stop();
    for (script, asked, seconds) in [
        // 300 seconds at most: after the second attempt nothing is left.
        (&[BreaksOff(150), BreaksOff(150), Answers][..], 2, 300),
        (&[BreaksOff(301), Answers], 1, 301),
        (&[BreaksOff(1), BreaksOff(280), Answers], 3, 281),
    ] {
        let a = fake("a", script);
        let begun = now();
        let (answer, _) = ask(&[&a]).await;
        let took = (now() - begun).as_secs();
        assert_eq!((a.asked(), answer.is_ok()), (asked, asked == 3), "{script:?} {answer:?}");
        assert!((seconds..seconds + 3).contains(&took), "{script:?} {took}");
    }
    // One that takes all of it leaves the next its own attempt.
    let (a, b) = (fake("a", &[BreaksOff(500)]), fake("b", &[Answers]));
    assert_eq!(ask(&[&a, &b]).await.0.unwrap().endpoint, "b");
}

#[tokio::test]
async fn a_used_up_limit_leads_to_the_next_endpoint_or_to_a_wait() {
    stop();
    let once = || Health::new(NonZeroU32::new(1), None);
    let (a, b) = (fake_with("a", &[Answers; 9], once()), fake("b", &[Answers; 9]));
    assert_eq!(ask(&[&a]).await.0.unwrap().endpoint, "a");
    let begun = now();
    assert_eq!(ask(&[&a]).await.0.unwrap().endpoint, "a");
    assert_eq!((now() - begun).as_secs(), 60);
    a.health.took(0, 0);
    let impatient = Retries { total_wait_seconds: 5, ..Retries::default() };
    let list = List::new(vec![a.clone(), b.clone()], impatient);
    let answer = list.answer(&request(), &mut |_| {}).await.unwrap();
    assert_eq!(answer.endpoint, "b", "{answer:?}");
    let list = List::new(vec![a.clone()], impatient);
    let error = list.answer(&request(), &mut |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("used up for another"), "{error}");
}

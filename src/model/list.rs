//! The models of one agent in the order in which they are asked: when one is asked again, when it is left alone, and
//! when the next is asked instead. Nothing here knows how an endpoint is spoken to.

use std::{
    future::Future,
    hash::{BuildHasher, Hasher, RandomState},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use super::{
    Answer, Delta, Meter, Model, ModelError, ModelRequest,
    clean::short,
    config::{Price, Retries},
    health::Health,
    time::{now, sleep},
};
use futures::future::BoxFuture;

/// The most times that endpoints are asked for one answer, whatever the waits are.
const MOST_ATTEMPTS: u32 = 40;
/// The most notes of one answer.
const MOST_NOTES: usize = 20;

/// Something that can be asked.
pub(super) trait Endpoint: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// What is known of it.
    fn health(&self) -> &Health;

    /// About how many tokens a request is; none where nothing is asked.
    fn reserve(&self, request: &ModelRequest) -> u64;

    /// What tokens cost, where that is known.
    fn price(&self) -> Option<&Price> {
        None
    }

    /// Asks once.
    fn ask<'a>(
        &'a self,
        request: &'a ModelRequest,
        watch: &'a mut (dyn FnMut(Delta) + Send),
    ) -> BoxFuture<'a, Result<Answer, Trouble>>;
}

/// An answer that is there whole, told piece by piece as one that streams is.
pub(super) fn told(answer: Answer, watch: &mut (dyn FnMut(Delta) + Send)) -> Answer {
    if !answer.text.is_empty() {
        watch(Delta::Text(answer.text.clone()));
    }
    for call in &answer.calls {
        watch(Delta::Calling(call.name.clone()));
    }
    answer
}

/// Why an endpoint did not answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may do so if it is asked again.
    Again {
        /// Why it did not.
        why: String,
        /// How long it wants to be left alone.
        after: Option<Duration>,
        /// Whether the model may have read the request, and then that counts as used.
        read: bool,
    },
    /// It lacks something, which is remembered: what is asked next is another request.
    Changed(String),
    /// It will not, however often it is asked.
    Never(String),
    /// Nobody else is to be asked either.
    Final(ModelError),
}

/// What came of asking one endpoint as often as it made sense.
enum Outcome {
    Answered(Box<Answer>),
    Refused(String),
    /// Nothing yet; it may be asked again after this.
    Left(String, Duration),
    Final(ModelError),
}

/// The models of one agent.
pub(super) struct List {
    endpoints: Vec<Arc<dyn Endpoint>>,
    retries: Retries,
}

/// One turn under way.
struct Turn<'a> {
    request: &'a ModelRequest,
    watch: &'a mut (dyn FnMut(Delta) + Send),
    patience: Duration,
    attempts: u32,
    notes: Vec<String>,
    meter: Meter,
}

impl Turn<'_> {
    fn tell(&mut self, delta: Delta) {
        self.meter.hear(&delta);
        (self.watch)(delta);
    }

    /// Asks once, and says what that used if no answer came of it. The time that is lost is taken off the patience.
    async fn ask(&mut self, endpoint: &dyn Endpoint, reserved: u64) -> Result<Answer, Trouble> {
        self.attempts += 1;
        if reserved > 0 {
            let (endpoint, price) = (endpoint.name().to_owned(), endpoint.price().cloned());
            self.tell(Delta::Asked { endpoint, tokens: reserved, price });
        }
        let begun = now();
        let answer = {
            let (meter, watch) = (&mut self.meter, &mut *self.watch);
            let mut tell = |delta: Delta| {
                meter.hear(&delta);
                watch(delta);
            };
            endpoint.ask(self.request, &mut tell).await
        };
        if let Err(trouble) = &answer {
            self.patience = self.patience.saturating_sub(now().saturating_duration_since(begun));
            let read = matches!(trouble, Trouble::Again { read: true, .. });
            if reserved > 0 && (read || self.meter.heard() > 0) {
                self.tell(Delta::Spent);
            }
        }
        answer
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < MOST_NOTES && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

impl List {
    /// The endpoints in their order.
    pub(super) fn new(endpoints: Vec<Arc<dyn Endpoint>>, retries: Retries) -> Self {
        Self { endpoints, retries }
    }

    async fn turn(&self, request: &ModelRequest, watch: &mut (dyn FnMut(Delta) + Send)) -> Result<Answer, ModelError> {
        let patience = Duration::from_secs(self.retries.total_wait_seconds.into());
        let mut turn = Turn { request, watch, patience, attempts: 0, notes: Vec::new(), meter: Meter::default() };
        let mut refusals: Vec<Option<String>> = vec![None; self.endpoints.len()];
        loop {
            let mut left: Vec<(String, Duration)> = Vec::new();
            for (at, (endpoint, refusal)) in self.endpoints.iter().zip(&mut refusals).enumerate() {
                if refusal.is_some() {
                    continue;
                }
                match self.one(endpoint.as_ref(), &mut turn).await {
                    Outcome::Answered(mut answer) => {
                        if at > 0 {
                            turn.note(format!("{} was asked instead", endpoint.name()));
                        }
                        // What was asked in vain before it was asked for this answer.
                        answer.usage = turn.meter.spent().and(answer.usage);
                        answer.notes.splice(0..0, turn.notes);
                        return Ok(*answer);
                    }
                    Outcome::Refused(why) => {
                        turn.note(format!("{} refused: {}", endpoint.name(), short(&why, 200)));
                        *refusal = Some(why);
                    }
                    Outcome::Left(why, wait) => left.push((format!("{}: {why}", endpoint.name()), wait)),
                    Outcome::Final(error) => return Err(error),
                }
            }
            let Some(wait) = left.iter().map(|(_, wait)| *wait).min() else { return Err(self.refused(refusals)) };
            if turn.patience.is_zero() || wait > turn.patience || turn.attempts >= MOST_ATTEMPTS {
                let refused = self.endpoints.iter().zip(refusals);
                let refused =
                    refused.filter_map(|(endpoint, why)| Some(format!("{} refused: {}", endpoint.name(), why?)));
                let all: Vec<String> = left.into_iter().map(|(why, _)| why).chain(refused).collect();
                return Err(ModelError::Unavailable(format!(
                    "{}; try again later, or look at `roles` and `retries` of policies/models.yaml",
                    all.join("; ")
                )));
            }
            sleep(wait).await;
            turn.patience = turn.patience.saturating_sub(wait);
        }
    }

    fn refused(&self, refusals: Vec<Option<String>>) -> ModelError {
        let names: Vec<&str> = self.endpoints.iter().map(|endpoint| endpoint.name()).collect();
        let mut reasons: Vec<String> = refusals.into_iter().flatten().collect();
        if names.len() > 1 {
            reasons = names.iter().zip(reasons).map(|(name, why)| format!("{name}: {why}")).collect();
        }
        ModelError::Refused { endpoint: names.join(", "), reason: reasons.join("; ") }
    }

    async fn one(&self, endpoint: &dyn Endpoint, turn: &mut Turn<'_>) -> Outcome {
        let rest = Duration::from_secs(self.retries.rest_seconds.get().into());
        let longest = Duration::from_millis(self.retries.longest_wait_ms.into());
        let (name, health) = (endpoint.name(), endpoint.health());
        let reserved = endpoint.reserve(turn.request);
        let mut failures = 0;
        let mut last = "it failed before and is left alone for a while".to_owned();
        loop {
            if let Some(wait) = health.resting(rest) {
                return Outcome::Left(last, wait);
            }
            if turn.attempts >= MOST_ATTEMPTS {
                return Outcome::Left(last, Duration::ZERO);
            }
            if let Err(wait) = health.admit(reserved, &mut turn.patience).await {
                let seconds = wait.as_secs_f64().ceil();
                let why = format!("its requests or tokens a minute are used up for another {seconds} seconds");
                turn.note(format!("{name}: {why}"));
                return Outcome::Left(why, wait);
            }
            let (why, after) = match turn.ask(endpoint, reserved).await {
                Ok(answer) => {
                    health.answered();
                    health.took(reserved, answer.usage.tokens());
                    return Outcome::Answered(Box::new(answer));
                }
                Err(Trouble::Changed(note)) => {
                    health.answered();
                    turn.tell(Delta::Restarted(note));
                    continue;
                }
                Err(Trouble::Never(why)) => {
                    health.answered();
                    turn.tell(Delta::Restarted(format!("{name} refused: {why}")));
                    return Outcome::Refused(why);
                }
                Err(Trouble::Final(error)) => return Outcome::Final(error),
                Err(Trouble::Again { why, after, .. }) => (why, after),
            };
            let note = format!("{name}: {}", short(&why, 200));
            turn.note(note.clone());
            turn.tell(Delta::Restarted(note));
            last = why;
            let rests = health.failed(self.retries.failures_until_rest, rest);
            if let Some(after) = after.filter(|after| *after > if rests { rest } else { longest }) {
                health.rest(after);
            }
            if let Some(wait) = health.rests_for() {
                return Outcome::Left(last, wait);
            }
            let wait = after.unwrap_or_else(|| self.pause(failures));
            failures += 1;
            if turn.patience.is_zero() || wait > turn.patience {
                return Outcome::Left(last, wait);
            }
            sleep(wait).await;
            turn.patience = turn.patience.saturating_sub(wait);
        }
    }

    /// The wait after so many failures: twice as long each time, and shortened by up to half by chance, so that those who
    /// failed together do not come back together.
    fn pause(&self, failures: u32) -> Duration {
        let doubled = u64::from(self.retries.first_wait_ms).saturating_mul(1 << failures.min(20));
        let whole = doubled.min(self.retries.longest_wait_ms.into());
        // The hasher's own random keys are chance enough.
        let chance = RandomState::new().build_hasher().finish() % 1000;
        Duration::from_millis(whole - whole / 2 * chance / 1000)
    }
}

impl Model for List {
    fn answer<'a>(
        &'a self,
        request: &'a ModelRequest,
        watch: &'a mut (dyn FnMut(Delta) + Send),
    ) -> Pin<Box<dyn Future<Output = Result<Answer, ModelError>> + Send + 'a>> {
        Box::pin(self.turn(request, watch))
    }
}

#[cfg(test)]
mod tests {
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
        assert!((now() - begun) <= Duration::from_secs(120) && a.asked() > 3, "{:?} {}", (now() - begun), a.asked());
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
            // 120 seconds at most: after the second attempt nothing is left.
            (&[BreaksOff(60), BreaksOff(60), Answers][..], 2, 120),
            (&[BreaksOff(121), Answers], 1, 121),
            (&[BreaksOff(1), BreaksOff(100), Answers], 3, 101),
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
}

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
mod tests;

//! What is known of an endpoint beyond one turn: how many requests and tokens it may still get, whether it is better
//! left alone, and what it was found not to know. Shared by all engagements of the process.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    config::EndpointSettings,
    time::{now, sleep},
};
use governor::{
    Quota, RateLimiter, clock::Clock as _, middleware::NoOpMiddleware, state::InMemoryState, state::NotKeyed,
};

/// Something that an endpoint was found not to know. It is found once and remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lack {
    /// A JSON Schema for the answer.
    StructuredOutput,
    /// A JSON Schema for the answer where tools are offered as well.
    StructuredOutputBesideTools,
    /// Several calls in one answer.
    ParallelCalls,
    /// Figures of use in a stream.
    StreamUsage,
    /// The older name of the limit on an answer's tokens.
    MaxTokens,
    /// A temperature.
    Temperature,
}

impl Lack {
    /// What it means, in the words of a note.
    pub(super) fn says(self) -> &'static str {
        match self {
            Self::StructuredOutput => "it has no structured output, so the schema goes into the instructions",
            Self::StructuredOutputBesideTools => {
                "it has no structured output beside tools, so the schema goes into the instructions"
            }
            Self::ParallelCalls => "it has no parallel tool calls, so calls go to it one by one",
            Self::StreamUsage => "it gives no figures of use in a stream, so they are estimated",
            Self::MaxTokens => "it wants `max_completion_tokens` instead of `max_tokens`",
            Self::Temperature => "it takes no temperature, so none is sent",
        }
    }
}

/// The clock of the limits.
#[derive(Clone, Copy, Debug, Default)]
struct Ours;

impl governor::clock::Clock for Ours {
    type Instant = Instant;

    fn now(&self) -> Self::Instant {
        now()
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Ours, NoOpMiddleware<Instant>>;

/// A limit per minute.
struct Limit {
    most: NonZeroU32,
    limiter: Limiter,
}

impl Limit {
    fn new(most: NonZeroU32) -> Self {
        Self { most, limiter: RateLimiter::direct_with_clock(Quota::per_minute(most), Ours) }
    }

    /// Takes `wanted` of the limit and waits for them, as long as `patience` lasts. What is more than a whole minute's
    /// worth is taken in pieces. The error is the wait that was too long.
    async fn take(&self, mut wanted: u64, patience: &mut Duration) -> Result<(), Duration> {
        while let Some(piece) = NonZeroU32::new(u32::try_from(wanted).unwrap_or(u32::MAX).min(self.most.get())) {
            match self.limiter.check_n(piece) {
                Ok(Ok(())) => wanted = wanted.saturating_sub(piece.get().into()),
                Ok(Err(not_until)) => {
                    let wait = not_until.wait_time_from(Ours.now());
                    let left = patience.checked_sub(wait).ok_or(wait)?;
                    sleep(wait).await;
                    *patience = left;
                }
                // A piece is never larger than the limit.
                Err(_) => break,
            }
        }
        Ok(())
    }
}

/// The state of one endpoint.
pub(super) struct Health {
    requests: Option<Limit>,
    tokens: Option<Limit>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    failures: u32,
    resting_until: Option<Instant>,
    /// Tokens that answers took beyond what was reserved for them; paid before the next request.
    owed: u64,
    lacks: BTreeMap<String, BTreeSet<Lack>>,
}

/// An endpoint as limits tell it apart: other settings begin anew.
type Key = (String, String, Option<NonZeroU32>, Option<NonZeroU32>);

/// The endpoints of this process.
static ALL: LazyLock<Mutex<BTreeMap<Key, Arc<Health>>>> = LazyLock::new(Mutex::default);

impl Health {
    /// The one of an endpoint, which all that ask it share.
    pub(super) fn of(name: &str, settings: &EndpointSettings) -> Arc<Self> {
        let address = settings.base().unwrap_or_default();
        let key = (name.to_owned(), address, settings.requests_per_minute, settings.tokens_per_minute);
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Self::new(settings.requests_per_minute, settings.tokens_per_minute));
        all.entry(key).or_insert_with(new).clone()
    }

    /// One that nobody shares.
    pub(super) fn new(requests: Option<NonZeroU32>, tokens: Option<NonZeroU32>) -> Self {
        Self { requests: requests.map(Limit::new), tokens: tokens.map(Limit::new), inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a request of about so many tokens may be sent, as long as `patience` lasts. The error is the wait
    /// that was too long.
    pub(super) async fn admit(&self, tokens: u64, patience: &mut Duration) -> Result<(), Duration> {
        if let Some(limit) = &self.tokens {
            let owed = std::mem::take(&mut self.inner().owed);
            if let Err(wait) = limit.take(tokens.saturating_add(owed), patience).await {
                self.inner().owed += owed;
                return Err(wait);
            }
        }
        match &self.requests {
            Some(limit) => limit.take(1, patience).await,
            None => Ok(()),
        }
    }

    /// Says what an answer took, once that is known.
    pub(super) fn took(&self, reserved: u64, used: u64) {
        let mut inner = self.inner();
        inner.owed = inner.owed.saturating_add(used.saturating_sub(reserved));
    }

    /// How long it is to be left alone; nothing where it may be asked. After a rest one request is let through, and the
    /// others wait for what comes of it.
    pub(super) fn resting(&self, rest: Duration) -> Option<Duration> {
        let mut inner = self.inner();
        let until = inner.resting_until?;
        let now = now();
        if now < until {
            return Some(until - now);
        }
        inner.resting_until = Some(now + rest);
        None
    }

    /// How long it is still to be left alone, without asking for the one request.
    pub(super) fn rests_for(&self) -> Option<Duration> {
        self.inner().resting_until.map(|until| until.saturating_duration_since(now()))
    }

    /// It answered, or refused: it is there.
    pub(super) fn answered(&self) {
        let mut inner = self.inner();
        inner.failures = 0;
        inner.resting_until = None;
    }

    /// It failed; whether it is left alone now.
    pub(super) fn failed(&self, most: NonZeroU32, rest: Duration) -> bool {
        let mut inner = self.inner();
        inner.failures = inner.failures.saturating_add(1);
        let rests = inner.failures >= most.get();
        if rests {
            inner.resting_until = Some(now() + rest);
        }
        rests
    }

    /// It asked to be left alone so long.
    pub(super) fn rest(&self, wait: Duration) {
        self.inner().resting_until = Some(now() + wait);
    }

    /// What a model there was found not to know.
    pub(super) fn lacks(&self, model: &str) -> BTreeSet<Lack> {
        self.inner().lacks.get(model).cloned().unwrap_or_default()
    }

    /// Remembers it; whether it is new.
    pub(super) fn remember(&self, model: &str, lack: Lack) -> bool {
        self.inner().lacks.entry(model.to_owned()).or_default().insert(lack)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::time::stop, *};

    fn most(n: u32) -> Option<NonZeroU32> {
        NonZeroU32::new(n)
    }

    #[tokio::test]
    async fn no_more_requests_and_tokens_go_out_in_a_minute_than_may() {
        stop();
        let health = Health::new(most(2), most(100));
        let begun = now();
        let mut patience = Duration::from_secs(600);
        for _ in 0..4 {
            health.admit(10, &mut patience).await.unwrap();
        }
        // Two at once, then one each half minute.
        assert_eq!((now() - begun).as_secs(), 60);
        assert_eq!(patience.as_secs(), 540);
        // An answer that took more is paid for before the next request: 100 at once, 100 after a minute, and 60.
        health.took(10, 260);
        health.admit(10, &mut patience).await.unwrap();
        assert_eq!((now() - begun).as_secs(), 60 + 60 + 36);
        // Nobody waits longer than they have patience for, and what is owed is still owed.
        health.took(0, 1000);
        let mut little = Duration::from_secs(1);
        let wait = health.admit(1, &mut little).await.unwrap_err();
        assert!(wait > little);
        assert!(health.admit(1, &mut little).await.is_err());
    }

    #[tokio::test]
    async fn an_endpoint_that_fails_is_left_alone_and_tried_by_one() {
        stop();
        let health = Health::new(None, None);
        let (three, rest) = (NonZeroU32::new(3).unwrap(), Duration::from_secs(30));
        assert!(!health.failed(three, rest));
        assert!(!health.failed(three, rest));
        assert_eq!(health.resting(rest), None);
        assert!(health.failed(three, rest));
        assert_eq!(health.resting(rest), Some(rest));
        sleep(rest).await;
        assert_eq!(health.resting(rest), None, "one may try");
        assert_eq!(health.resting(rest), Some(rest), "the others wait");
        assert!(health.failed(three, rest), "one failure is enough now");
        assert_eq!(health.resting(rest), Some(rest));
        sleep(rest).await;
        assert_eq!(health.resting(rest), None);
        health.answered();
        assert_eq!(health.resting(rest), None);
        assert!(!health.failed(three, rest), "it begins anew");
        health.rest(Duration::from_secs(7));
        assert_eq!(health.rests_for(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn what_an_endpoint_lacks_is_remembered_by_its_model_and_shared() {
        let settings = |requests| EndpointSettings {
            base_url: Some("https://shared.example/v1".into()),
            requests_per_minute: most(requests),
            ..EndpointSettings::default()
        };
        let health = Health::of("shared", &settings(5));
        assert!(health.remember("m", Lack::StructuredOutput));
        assert!(!health.remember("m", Lack::StructuredOutput));
        let again = Health::of("shared", &settings(5));
        assert_eq!(again.lacks("m"), [Lack::StructuredOutput].into());
        assert_eq!(again.lacks("n"), [].into());
        assert!(!Arc::ptr_eq(&again, &Health::of("shared", &settings(6))), "other limits begin anew");
    }
}

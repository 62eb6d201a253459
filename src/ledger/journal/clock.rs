//! What time it is for one engagement: never earlier than its last event, and never at rest, whatever the system's clock
//! does. A clock that was set back would otherwise have what waits wait until it has caught up.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// A clock that does not go back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    at: Timestamp,
    since: Instant,
}

impl Clock {
    /// One that says this now at the earliest, and goes on from there.
    pub(super) fn from(at: Timestamp) -> Self {
        Self { at, since: Instant::now() }
    }

    /// What it says: the system's time, or what has passed since the last event where that is later.
    pub(super) fn now(&self) -> Timestamp {
        self.at_least().max(Timestamp::now())
    }

    /// An event was written at this time.
    pub(super) fn hear(&mut self, at: Timestamp) {
        if at > self.at_least() {
            *self = Self::from(at);
        }
    }

    fn at_least(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed()).unwrap_or(SignedDuration::ZERO);
        self.at.checked_add(passed).unwrap_or(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_goes_on_from_the_last_event_when_the_systems_clock_was_set_back() {
        let ahead = Timestamp::now() + SignedDuration::from_hours(1);
        let mut clock = Clock::from(ahead);
        let first = clock.now();
        assert!(first >= ahead);
        std::thread::sleep(Duration::from_millis(5));
        assert!(clock.now() >= first + SignedDuration::from_millis(5));
        clock.hear(ahead);
        assert!(clock.now() >= first + SignedDuration::from_millis(5), "an event of before does not set it back");
        let later = ahead + SignedDuration::from_hours(1);
        clock.hear(later);
        assert!(clock.now() >= later);
    }

    #[test]
    fn it_says_the_systems_time_where_that_is_later() {
        let before = Timestamp::now();
        assert!(Clock::from(before - SignedDuration::from_hours(1)).now() >= before);
    }
}

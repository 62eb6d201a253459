//! How fast servers and targets are called: a call waits until its family and its target have room. The limiters hold
//! for all engagements of one process; what an engagement called in the last minute is read from its chain as well, so
//! that a restart begins no new minute. What a grant or a spec counts is on the chain and holds for all. A look right before
//! a change waits for room for both: what waited after it would act on what it saw long ago.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    artifact::EngagementId,
    engagement::{Call, Purpose, State},
    tool::Toolbox,
};

/// The limiters of every family, made when they are first needed and anew when a manifest says another rate.
#[derive(Debug, Default)]
pub(super) struct Rates {
    families: Known<DefaultDirectRateLimiter>,
    targets: Known<DefaultKeyedRateLimiter<String>>,
    /// The changes for which a look right before them has room already, and since when.
    ahead: Arc<Mutex<BTreeMap<Change, Instant>>>,
}

/// The engagement, the family and the target of a change.
type Change = (EngagementId, String, String);

/// So long that room is kept: longer than a look takes, and no longer than what it takes room in.
const KEPT: Duration = Duration::from_secs(60);

/// How a call stands to the change that it is, or comes right before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// It looks right before one.
    Looks,
    /// It is one that is looked before.
    Changes,
    /// Neither.
    Nothing,
}

fn before(purpose: &Purpose) -> Before {
    match purpose {
        Purpose::Recheck { .. } | Purpose::BeforeUndo { .. } => Before::Looks,
        Purpose::Act { .. } | Purpose::Undo { .. } => Before::Changes,
        _ => Before::Nothing,
    }
}

/// Limiters by family and rate.
type Known<T> = Mutex<BTreeMap<(String, u32), Arc<T>>>;

impl Rates {
    /// Waits until a call of this tool may be made. Nothing is waited for where the call will be refused anyway. What
    /// the state says is looked at once, before anything is waited for.
    pub(super) fn wait(
        &self,
        toolbox: &Toolbox,
        tool: &str,
        args: &Map<String, Value>,
        (state, purpose): (&State, &Purpose),
    ) -> impl Future<Output = ()> + Send + use<> {
        let planned = self.plan(toolbox, tool, args, (state, before(purpose)));
        let ahead = Arc::clone(&self.ahead);
        async move {
            let Some(Plan { per_target, family }) = planned else { return };
            if let Some(PerTarget { rate, change, calls, due }) = per_target {
                // The quota has room for as many, or it would have been asked for one.
                let _ = rate.until_key_n_ready(&change.2, calls).await;
                if let Some(due) = due {
                    tokio::time::sleep_until(due).await;
                }
                if calls > NonZeroU32::MIN {
                    let mut ahead = ahead.lock().unwrap_or_else(PoisonError::into_inner);
                    ahead.retain(|_, since| since.elapsed() < KEPT);
                    ahead.insert(change, Instant::now());
                }
            }
            family.until_ready().await;
        }
    }

    fn plan(
        &self,
        toolbox: &Toolbox,
        tool: &str,
        args: &Map<String, Value>,
        (state, before): (&State, Before),
    ) -> Option<Plan> {
        let name = tool.parse().ok()?;
        let (manifest, tool) = (toolbox.manifest_of(&name)?, toolbox.tool(&name)?);
        let (family, server) = (&manifest.family, &manifest.server);
        let per_target = match server.calls_per_minute_per_target {
            None => None,
            Some(most) => {
                let args = toolbox.check_args(tool, args).ok()?;
                let quota = Quota::per_minute(at_least_one(most));
                let target = args.get(&tool.target).and_then(Value::as_str).unwrap_or_default().to_owned();
                let change = (state.id.clone(), family.clone(), target);
                let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
                let kept = before == Before::Changes && ahead.remove(&change).is_some_and(|at| at.elapsed() < KEPT);
                let calls = if before == Before::Looks && most > 1 { TWO } else { NonZeroU32::MIN };
                let due = due(state, &change.2, most.saturating_sub(calls.get() - 1), Timestamp::now());
                let due = due.and_then(|wait| tokio::time::Instant::now().checked_add(wait));
                let rate = of(&self.targets, family, most, || RateLimiter::keyed(quota));
                (!kept).then_some(PerTarget { rate, change, calls, due })
            }
        };
        let quota = Quota::per_second(at_least_one(server.calls_per_second));
        let family = of(&self.families, family, server.calls_per_second, || RateLimiter::direct(quota));
        Some(Plan { per_target, family })
    }
}

/// What a call waits for.
struct Plan {
    per_target: Option<PerTarget>,
    family: Arc<DefaultDirectRateLimiter>,
}

struct PerTarget {
    rate: Arc<DefaultKeyedRateLimiter<String>>,
    change: Change,
    /// How many calls it waits for room for.
    calls: NonZeroU32,
    due: Option<tokio::time::Instant>,
}

/// A look and the change after it.
const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// How long a target must be left alone, by what the chain says of the last minute; nothing where it has room.
fn due(state: &State, target: &str, most: u32, now: Timestamp) -> Option<Duration> {
    // A call from the future is one of a clock that was set back: it counts as made now.
    let ago = |call: &Call| (now.as_millisecond() - call.at.as_millisecond()).max(0);
    // No event is earlier than the one before it, so the last calls come first and older ones are not looked at.
    let last = state.calls.values().rev().take_while(|call| ago(call) < MINUTE);
    let made = last.filter(|call| call.refused.is_none() && call.target.as_deref() == Some(target));
    let recent: Vec<i64> = made.map(ago).collect();
    let oldest = recent.get(usize::try_from(at_least_one(most).get()).ok()?.checked_sub(1)?)?;
    Some(Duration::from_millis(u64::try_from(MINUTE - oldest).ok()?))
}

/// A minute in milliseconds.
const MINUTE: i64 = 60_000;

fn at_least_one(rate: u32) -> NonZeroU32 {
    NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN)
}

fn of<T>(known: &Mutex<BTreeMap<(String, u32), Arc<T>>>, family: &str, rate: u32, make: impl FnOnce() -> T) -> Arc<T> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(known.entry((family.to_owned(), rate)).or_insert_with(|| Arc::new(make())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        artifact::{NodeId, from_yaml},
        engagement::About,
        record::fixture::{Chain, VLAN},
        tool::Pins,
    };

    #[tokio::test]
    async fn a_target_waits_for_itself_and_not_for_others() {
        let text = include_str!("../../tools/lab.yaml");
        let slow = text.replace("  calls_per_second: 50", "  calls_per_second: 50\n  calls_per_minute_per_target: 2");
        assert_ne!(slow, text);
        let toolbox = Toolbox::new(vec![from_yaml("lab", &slow).unwrap()], Pins::default()).unwrap();
        let rates = Rates::default();
        let chain = Chain::vlan();
        let state = chain.state();
        let ready = async |tool: &str, args: Value| {
            let args = args.as_object().unwrap().clone();
            let wait = rates.wait(&toolbox, tool, &args, (state, &Purpose::Proposed { n: 1 }));
            tokio::time::timeout(std::time::Duration::from_millis(200), wait).await.is_ok()
        };
        assert!(ready("vlan.list", json!({"switch": "sw01"})).await);
        // The same target, whatever is done to it.
        assert!(ready("vlan.delete", json!({"switch": "sw01", "id": 20})).await);
        assert!(!ready("vlan.list", json!({"switch": "sw01"})).await);
        assert!(ready("vlan.list", json!({"switch": "sw02"})).await);
        // What is no call at all is refused at once.
        assert!(ready("vlan.list", json!({"switch": "sw01", "more": 1})).await);
        assert!(ready("no.tool", json!({})).await);
    }

    #[tokio::test]
    async fn a_look_right_before_a_change_waits_for_both() {
        let text = include_str!("../../tools/lab.yaml");
        let slow = text.replace("  calls_per_second: 50", "  calls_per_second: 50\n  calls_per_minute_per_target: 3");
        let toolbox = Toolbox::new(vec![from_yaml("lab", &slow).unwrap()], Pins::default()).unwrap();
        let (rates, chain) = (Rates::default(), Chain::vlan());
        let node = NodeId::new(&"create".parse().unwrap(), Some("sw01"));
        let (look, change) =
            (Purpose::Recheck { node: node.clone(), attempt: 1 }, Purpose::Act { node, attempt: 1, r#try: 1 });
        let ready = async |purpose: &Purpose| {
            let args = json!({"switch": "sw01"}).as_object().unwrap().clone();
            let wait = rates.wait(&toolbox, "vlan.list", &args, (chain.state(), purpose));
            tokio::time::timeout(std::time::Duration::from_millis(200), wait).await.is_ok()
        };
        assert!(ready(&look).await && ready(&change).await, "there is room for both");
        assert!(!ready(&look).await, "of the one that is left the change would wait");
        assert!(ready(&Purpose::Proposed { n: 1 }).await, "for anything else there is one");
        assert!(!ready(&change).await, "room is for one change");
    }

    #[test]
    fn a_restart_begins_no_new_minute() {
        let mut chain = Chain::request(VLAN, json!({"id": 120, "name": "guest", "switches": ["sw01"]}));
        assert_eq!(chain.run(), Some(About::Gate1));
        chain.approve_gate1();
        let made = chain.state().calls.values().filter(|call| call.target.as_deref() == Some("sw01")).count();
        let made = u32::try_from(made).unwrap();
        assert!(made >= 2, "{made}");
        let last = chain.state().calls.values().map(|call| call.at).max().unwrap();
        let after = |seconds: i64| Timestamp::from_second(last.as_second() + seconds).unwrap();
        let wait = |most: u32, now: Timestamp| due(chain.state(), "sw01", most, now);
        assert_eq!(wait(1, after(0)), Some(Duration::from_secs(60)));
        assert_eq!(wait(1, after(59)), Some(Duration::from_secs(1)));
        assert_eq!(wait(1, after(60)), None);
        assert_eq!(wait(1, after(-3600)), Some(Duration::from_secs(60)), "a clock that was set back waits no longer");
        assert_eq!(wait(made + 1, after(0)), None);
        assert_eq!(due(chain.state(), "sw02", 1, after(0)), None);
    }
}

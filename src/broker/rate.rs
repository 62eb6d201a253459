//! How fast servers and targets are called: a call waits until its family and its target have room. This is courtesy
//! to what is called, and holds for one process; what a grant or a spec counts is on the chain and holds for all.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde_json::{Map, Value};

use crate::tool::Toolbox;

/// The limiters of every family, made when they are first needed and anew when a manifest says another rate.
#[derive(Debug, Default)]
pub(super) struct Rates {
    families: Known<DefaultDirectRateLimiter>,
    targets: Known<DefaultKeyedRateLimiter<String>>,
}

/// Limiters by family and rate.
type Known<T> = Mutex<BTreeMap<(String, u32), Arc<T>>>;

impl Rates {
    /// Waits until a call of this tool may be made. Nothing is waited for where the call will be refused anyway.
    pub(super) async fn wait(&self, toolbox: &Toolbox, tool: &str, args: &Map<String, Value>) {
        let Ok(name) = tool.parse() else { return };
        let (Some(manifest), Some(tool)) = (toolbox.manifest_of(&name), toolbox.tool(&name)) else { return };
        let Ok(args) = toolbox.check_args(tool, args) else { return };
        let (family, server) = (&manifest.family, &manifest.server);
        if let Some(most) = server.calls_per_minute_per_target {
            let quota = Quota::per_minute(at_least_one(most));
            let target = args.get(&tool.target).and_then(Value::as_str).unwrap_or_default().to_owned();
            let rate = of(&self.targets, family, most, || RateLimiter::keyed(quota));
            rate.until_key_ready(&target).await;
        }
        let quota = Quota::per_second(at_least_one(server.calls_per_second));
        of(&self.families, family, server.calls_per_second, || RateLimiter::direct(quota)).until_ready().await;
    }
}

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
    use crate::{artifact::from_yaml, tool::Pins};

    #[tokio::test]
    async fn a_target_waits_for_itself_and_not_for_others() {
        let text = include_str!("../../tools/lab.yaml");
        let slow = text.replace("  calls_per_second: 50", "  calls_per_second: 50\n  calls_per_minute_per_target: 2");
        assert_ne!(slow, text);
        let toolbox = Toolbox::new(vec![from_yaml("lab", &slow).unwrap()], Pins::default()).unwrap();
        let rates = Rates::default();
        let ready = async |tool: &str, args: Value| {
            let args = args.as_object().unwrap().clone();
            let wait = rates.wait(&toolbox, tool, &args);
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
}

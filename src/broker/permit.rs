//! A permit: leave to run exactly one call, once, now. Its fields are private to this file, it cannot be copied or
//! written down, and running it consumes it.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::artifact::{CallId, EngagementId, ToolName};

/// How long a permit is good for between the decision and the sending.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// Leave to run exactly this call.
#[derive(Debug)]
pub(super) struct Permit {
    engagement: EngagementId,
    call: CallId,
    tool: ToolName,
    args: Map<String, Value>,
    until: Instant,
}

/// What a permit turns into when it is used: the bytes that go out.
pub(super) struct Consumed {
    /// The id that the server may answer a second time from memory.
    pub(super) key: String,
    /// The tool.
    pub(super) tool: ToolName,
    /// The arguments.
    pub(super) args: Map<String, Value>,
}

impl Permit {
    /// Made by `invoke.rs` alone, once the decision is durable. It is as old as what was `decided`, however long writing
    /// that took.
    pub(super) fn mint(
        engagement: EngagementId,
        call: CallId,
        tool: ToolName,
        args: Map<String, Value>,
        decided: Instant,
    ) -> Self {
        Self { engagement, call, tool, args, until: decided + GOOD_FOR }
    }

    /// The same for a call that was decided again, after its server took long to start or its turn long to come.
    pub(super) fn renewed(self, decided: Instant) -> Self {
        Self { until: decided + GOOD_FOR, ..self }
    }

    /// The tool that it is for.
    pub(super) fn tool(&self) -> &ToolName {
        &self.tool
    }

    /// Uses it up; nothing if it has expired.
    pub(super) fn consume(self) -> Option<Consumed> {
        (Instant::now() < self.until).then(|| Consumed {
            key: format!("{}/{}", self.engagement, self.call),
            tool: self.tool,
            args: self.args,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_that_waited_too_long_runs_nothing() {
        let decided = |before: Duration| {
            let at = Instant::now().checked_sub(before).unwrap();
            Permit::mint("k7m2q".parse().unwrap(), CallId::nth(1), "a.b".parse().unwrap(), Map::new(), at)
        };
        assert_eq!(decided(Duration::ZERO).consume().unwrap().key, "k7m2q/c1");
        assert!(decided(GOOD_FOR).consume().is_none());
    }
}

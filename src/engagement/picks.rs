//! The states in the answers of state reads, each worked out once: a step is held to what was there before it, right after
//! it and at the end again and again, and an answer may be long.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{
    artifact::{Digest, Recent, Scope, digest_of},
    tool::Tool,
};

/// How many states may be worked out before those that nobody asked for are forgotten.
const GENERATION: usize = 1_024;

/// An answer, and what says which state is looked for in it: the tool's expression and the arguments.
type Key = (Digest, Digest);

/// What was worked out. It follows from what it is kept under, so those who look at the same answers may share it.
#[derive(Clone, Debug)]
pub struct Picks(Arc<Recent<Key, Result<Value, String>>>);

impl Default for Picks {
    fn default() -> Self {
        Self(Arc::new(Recent::new(GENERATION)))
    }
}

impl Picks {
    /// The state that a call with these arguments changes, in the answer `result` of the tool's state read; `answer` is
    /// the digest of what it was stored as.
    ///
    /// # Errors
    ///
    /// In words, where the tool has no state or its expression gives none.
    pub fn of(&self, answer: &Digest, tool: &Tool, args: &Map<String, Value>, result: &Value) -> Result<Value, String> {
        let state = tool.state.as_ref().ok_or("the tool has no state to read")?;
        let Ok(with) = digest_of(&(&state.pick, args)) else { return picked(tool, args, result) };
        if let Some(known) = self.0.get(&(*answer, with)) {
            return known;
        }
        let is = picked(tool, args, result);
        self.0.keep((*answer, with), is.clone());
        is
    }
}

/// The same, worked out.
pub(super) fn picked(tool: &Tool, args: &Map<String, Value>, result: &Value) -> Result<Value, String> {
    let args = Value::Object(args.clone());
    let state = tool.state.as_ref().ok_or("the tool has no state to read")?;
    state.pick.evaluate(&Scope::new().with("args", &args).with("result", result)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        artifact::{evaluated, from_yaml},
        tool::{Pins, Toolbox},
    };

    #[test]
    fn a_state_is_worked_out_once_for_an_answer_and_what_is_looked_for_in_it() {
        let manifest = from_yaml("lab.yaml", include_str!("../../tools/lab.yaml")).unwrap();
        let toolbox = Toolbox::new(vec![manifest], Pins::default()).unwrap();
        let tool = toolbox.tool(&"vlan.create".parse().unwrap()).unwrap();
        let (one, other) = (digest_of(&1).unwrap(), digest_of(&2).unwrap());
        let args = |id: u32| json!({"switch": "sw01", "id": id, "name": "v"}).as_object().unwrap().clone();
        let result = json!({"vlans": [{"id": 20, "name": "Ops"}]});
        let (picks, before) = (Picks::default(), evaluated());
        let made = || evaluated() - before;
        let state = picks.of(&one, tool, &args(20), &result).unwrap();
        assert_eq!((state["name"].as_str(), made()), (Some("Ops"), 1));
        for picks in [&picks, &picks.clone()] {
            assert_eq!(picks.of(&one, tool, &args(20), &result).unwrap(), state);
            assert_eq!(made(), 1, "that was known");
        }
        assert_eq!(picks.of(&one, tool, &args(30), &result).unwrap(), Value::Null, "another is looked for");
        assert_eq!(picks.of(&other, tool, &args(20), &json!({"vlans": []})).unwrap(), Value::Null, "another answer");
        assert_eq!(made(), 3);
        for times in [4, 4] {
            assert!(picks.of(&digest_of(&3).unwrap(), tool, &args(20), &json!({})).is_err(), "there is no list");
            assert_eq!(made(), times, "that is known, too");
        }
        assert!(picks.of(&one, toolbox.tool(&"vlan.list".parse().unwrap()).unwrap(), &args(20), &result).is_err());
    }
}

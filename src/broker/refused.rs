//! What is written down of a refused call. Whoever proposes decides how large and how deep it is, so what is kept is
//! bounded: the chain is never cut, and every reader of it pays for what it holds.

use serde_json::{Map, Value, json};

use crate::artifact::{
    canonical, digest_bytes,
    value::{clipped, depth},
};

/// The most bytes of a refused call's arguments that are kept, as canonical JSON; no valid call has more.
const MOST_BYTES: usize = 64 << 10;
/// The deepest nesting that is kept. A JSON reader gives up at 128 levels, and the event around it has some too.
const DEEPEST: usize = 16;

/// The arguments as they are kept: whole where they are small, else what is needed to recognise them.
pub(super) fn recorded_args(args: Map<String, Value>) -> Map<String, Value> {
    let deepest = args.values().map(depth).max().unwrap_or(0);
    let mut left_out = Map::new();
    if deepest > DEEPEST {
        left_out.insert("left_out".into(), json!(format!("arguments nested {deepest} deep, {} in all", args.len())));
        forget(args);
        return left_out;
    }
    match canonical(&args) {
        Ok(bytes) if bytes.len() <= MOST_BYTES => args,
        Ok(bytes) => {
            left_out
                .insert("left_out".into(), json!(format!("arguments of {} bytes, {} in all", bytes.len(), args.len())));
            left_out.insert("digest".into(), json!(digest_bytes(&bytes)));
            left_out
        }
        Err(error) => {
            left_out.insert("left_out".into(), json!(error.to_string()));
            left_out
        }
    }
}

/// A tool's name as it is kept.
pub(super) fn recorded_tool(tool: &str) -> String {
    clipped(tool)
}

/// Drops values level by level: dropping them as they are nested takes as much stack as they are deep.
fn forget(args: Map<String, Value>) {
    let mut left: Vec<Value> = args.into_iter().map(|(_, value)| value).collect();
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(map) => left.extend(map.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(value: Value) -> Map<String, Value> {
        Map::from_iter([("a".to_owned(), value)])
    }

    #[test]
    fn small_arguments_are_kept_whole_and_large_or_deep_ones_are_named() {
        for small in [json!(null), json!("x".repeat(60_000)), json!([[[{"a": [1]}]]])] {
            assert_eq!(recorded_args(args(small.clone())), args(small));
        }
        let large = recorded_args(args(json!("x".repeat(1 << 20))));
        assert_eq!(large["left_out"], "arguments of 1048584 bytes, 1 in all");
        assert!(large["digest"].as_str().unwrap().starts_with("sha256:"));
        for levels in [17, 126, 100_000] {
            let deep = (0..levels).fold(json!(1), |inner, _| Value::Array(vec![inner]));
            let kept = recorded_args(args(deep));
            assert_eq!(kept["left_out"], format!("arguments nested {levels} deep, 1 in all"));
            assert_eq!(kept.len(), 1);
        }
        assert!(recorded_tool(&"x".repeat(1 << 20)).len() < 1_000);
    }
}

//! Strict JSON, for what an agent or a tool wrote: keys that stand twice, integers beyond ±(2^53−1) and numbers that no
//! double holds are errors with their place. A lenient reader keeps the last of two keys, and another reader the first.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::yaml::{SAFE_INTEGER, YamlError};

/// The most bytes that are read at once.
const LONGEST: usize = 16 << 20;

/// Reads a JSON text; `name` is what errors call it.
pub fn from_json(name: &str, text: &str) -> Result<Value, YamlError> {
    let wrong = |line, column, message: String| YamlError { name: name.to_owned(), line, column, message };
    if text.len() > LONGEST {
        return Err(wrong(1, 1, format!("it is {} bytes, and at most {LONGEST} are read", text.len())));
    }
    serde_json::from_str::<Strict>(text).map(|Strict(value)| value).map_err(|error| {
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message).to_owned();
        wrong(error.line() as u64, error.column() as u64, message)
    })
}

/// The same for a value that was read by others: what it holds must be kept as it is.
///
/// # Errors
///
/// What cannot be kept, in words.
pub fn strict(value: &Value) -> Result<Value, String> {
    Strict::deserialize(value).map(|Strict(value)| value).map_err(|error| error.to_string())
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Reader.deserialize(deserializer).map(Strict)
    }
}

struct Reader;

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

fn unsafe_number<E: serde::de::Error>(number: impl fmt::Display) -> E {
    E::custom(format!("{number} is not an integer between -(2^53-1) and 2^53-1"))
}

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        if value > SAFE_INTEGER { Err(unsafe_number(value)) } else { Ok(value.into()) }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() > SAFE_INTEGER { Err(unsafe_number(value)) } else { Ok(value.into()) }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        // A float stands for itself unless it is an integer that did not fit.
        let number = Number::from_f64(value).filter(|_| value.abs() <= SAFE_INTEGER as f64);
        number.map(Value::Number).ok_or_else(|| unsafe_number(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Reader)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                let key: String = key.chars().take(80).collect();
                return Err(A::Error::custom(format!("duplicate key `{key}`: it stands twice")));
            }
            let value = entries.next_value_seed(Reader)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_two_readers_could_read_differently_is_an_error_at_its_place() {
        for (text, line, says) in [
            ("{\"a\": 1,\n \"a\": 2}", 2, "duplicate key `a`"),
            ("{\"a\": {\"b\": 1,\n\n \"\\u0062\": 2}}", 3, "duplicate key `b`"),
            ("[9007199254740993]", 1, "2^53"),
            ("[-9007199254740993]", 1, "2^53"),
            ("[9007199254740993.0]", 1, "2^53"),
            ("[\n1e400]", 2, "out of range"),
            ("[1e300]", 1, "2^53"),
            ("[NaN]", 1, ""),
            ("[Infinity]", 1, ""),
            ("[0120]", 1, "number"),
            ("[+1]", 1, ""),
            ("['a']", 1, ""),
            ("[1,]", 1, ""),
            ("{} {}", 1, "trailing"),
            ("", 1, ""),
            ("\"\\ud800\"", 1, ""),
            ("\"a\nb\"", 2, "control character"),
            ("// a\n{}", 1, ""),
        ] {
            let error = from_json("call", text).unwrap_err();
            assert!(error.line == line && error.message.contains(says), "{text:?}: {error}");
            assert!(error.to_string().starts_with("call:"), "{error}");
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(from_json("call", &deep).unwrap_err().message.contains("recursion"));
    }

    #[test]
    fn plain_json_reads_as_it_is() {
        let value = json!({"a": [1, -1, 0.5, true, null, "é"], "b": {"a": {}}, "c": 9007199254740991_i64});
        assert_eq!(from_json("call", &value.to_string()).unwrap(), value);
    }
}

//! Typed values: the small subset of JSON Schema that tool arguments and blueprint inputs are written in, and the
//! one place where a typed string gets its normal form. What is decided, digested and sent is the normal form.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The JSON types that an argument or input may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// A list of values of one type.
    Array,
}

/// What a string or integer stands for; decides its normal form and its separator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One DNS label (RFC 1123): letters, digits, inner hyphens, at most 63.
    DnsLabel,
    /// A DNS name of several labels (RFC 1035), without the final dot, at most 253.
    DnsName,
    /// An IPv4 or IPv6 address; IPv4 inside IPv6 is refused.
    Ip,
    /// An address block without host bits.
    Cidr,
    /// An interface name such as `Gi1/0/1`.
    Interface,
    /// A VLAN id (IEEE 802.1Q): 1 to 4094.
    VlanId,
    /// The name of an inventory target.
    Target,
    /// An identifier: letters, digits, `-`, `_` and `.`.
    Name,
    /// Free text on one line.
    Text,
}

impl Format {
    /// The character that `like` may not cross in a value of this format.
    pub fn separator(self) -> Option<char> {
        match self {
            Self::DnsName | Self::Name | Self::DnsLabel => Some('.'),
            Self::Interface | Self::Cidr => Some('/'),
            Self::Ip | Self::VlanId | Self::Target | Self::Text => None,
        }
    }
}

/// The schema of one argument or input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ValueSchema {
    /// The JSON type.
    #[serde(rename = "type")]
    pub kind: ValueType,
    /// What a string or integer stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// What it means, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Smallest integer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<i64>,
    /// Largest integer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<i64>,
    /// Longest string, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// The only values allowed.
    #[serde(rename = "enum", default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Value>,
    /// The schema of a list's items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<ValueSchema>>,
    /// Fewest items of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_items: Option<u64>,
    /// Most items of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_items: Option<u64>,
    /// The value that stands in where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

impl ValueSchema {
    /// The JSON Schema that a general validator checks (structure and bounds; formats are [`Self::normalise`]'s).
    pub fn json_schema(&self) -> Value {
        let mut schema = serde_json::to_value(self).unwrap_or_default();
        if let (Value::Object(map), Some(items)) = (&mut schema, &self.items) {
            map.insert("items".into(), items.json_schema());
            map.insert("uniqueItems".into(), json!(true));
        }
        if let Value::Object(map) = &mut schema {
            map.remove("format");
        }
        schema
    }

    /// The normal form of `value`, or what is wrong with it.
    pub fn normalise(&self, value: &Value) -> Result<Value, String> {
        let normal = match (self.kind, value) {
            (ValueType::String, Value::String(text)) => Value::String(self.normal_text(text)?),
            (ValueType::Integer, Value::Number(number)) => {
                let integer = number.as_i64().filter(|_| !number.is_f64());
                let integer = integer.ok_or_else(|| format!("{number} is not a whole number"))?;
                if self.format == Some(Format::VlanId) && !(1..=4094).contains(&integer) {
                    return Err(format!("{integer} is not a VLAN id (1 to 4094, IEEE 802.1Q)"));
                }
                if self.minimum.is_some_and(|least| integer < least) || self.maximum.is_some_and(|most| integer > most)
                {
                    return Err(format!("{integer} is out of range{}", self.range()));
                }
                json!(integer)
            }
            (ValueType::Boolean, Value::Bool(bool)) => json!(bool),
            (ValueType::Array, Value::Array(items)) => {
                let schema = self.items.as_deref().ok_or("this list has no item schema")?;
                let normal: Vec<Value> = items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| schema.normalise(item).map_err(|why| format!("item {}: {why}", at + 1)))
                    .collect::<Result<_, _>>()?;
                let length = normal.len() as u64;
                if self.min_items.is_some_and(|least| length < least) {
                    return Err(format!("{length} items are too few"));
                }
                if self.max_items.is_some_and(|most| length > most) {
                    return Err(format!("{length} items are too many"));
                }
                if normal.iter().enumerate().any(|(at, item)| normal.iter().take(at).any(|other| other == item)) {
                    return Err("an item stands twice".into());
                }
                Value::Array(normal)
            }
            (kind, other) => return Err(format!("{} is not {}", shown(other), kind.article())),
        };
        if !self.choices.is_empty() && !self.choices.contains(&normal) {
            let choices: Vec<String> = self.choices.iter().map(shown).collect();
            return Err(format!("{} is not one of {}", shown(&normal), choices.join(", ")));
        }
        Ok(normal)
    }

    /// A value from one word of a command line: `true`, `120`, `a,b,c`, or text.
    pub fn from_word(&self, word: &str) -> Result<Value, String> {
        match self.kind {
            ValueType::String => Ok(json!(word)),
            ValueType::Integer => {
                word.parse::<i64>().map(Value::from).map_err(|_| format!("`{word}` is not a whole number"))
            }
            ValueType::Boolean => {
                word.parse::<bool>().map(Value::from).map_err(|_| format!("`{word}` is not `true` or `false`"))
            }
            ValueType::Array => {
                let schema = self.items.as_deref().ok_or("this list has no item schema")?;
                let parts = word.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(|part| schema.from_word(part)).collect::<Result<_, _>>().map(Value::Array)
            }
        }
    }

    /// The range of an integer in words, with a leading space and parentheses; empty where there is none.
    fn range(&self) -> String {
        match (self.minimum, self.maximum) {
            (Some(least), Some(most)) => format!(" ({least} to {most})"),
            (Some(least), None) => format!(" (at least {least})"),
            (None, Some(most)) => format!(" (at most {most})"),
            (None, None) => String::new(),
        }
    }

    fn normal_text(&self, text: &str) -> Result<String, String> {
        if text.chars().any(char::is_control) {
            return Err("control characters and line breaks are not allowed".into());
        }
        // Characters that reorder or hide text could make a gate screen read differently from what it says.
        if text.chars().any(hides) {
            return Err("invisible and direction-changing characters are not allowed".into());
        }
        if self.max_length.is_some_and(|most| text.chars().count() as u64 > most) {
            return Err(format!("it is longer than {} characters", self.max_length.unwrap_or_default()));
        }
        normal_form(self.format.unwrap_or(Format::Text), text)
    }
}

impl ValueType {
    fn article(self) -> &'static str {
        match self {
            Self::String => "text",
            Self::Integer => "a whole number",
            Self::Boolean => "true or false",
            Self::Array => "a list",
        }
    }
}

/// Whether a character takes no place or changes the direction of what follows.
pub fn hides(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn normal_form(format: Format, text: &str) -> Result<String, String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    match format {
        Format::DnsLabel if label(text) => Ok(text.to_ascii_lowercase()),
        Format::DnsLabel => Err(format!("`{text}` is not a DNS label (RFC 1123: letters, digits, inner hyphens)")),
        Format::DnsName if text.len() <= 253 && text.split('.').all(label) => Ok(text.to_ascii_lowercase()),
        Format::DnsName => Err(format!("`{text}` is not a DNS name without a final dot (RFC 1035)")),
        Format::Ip => {
            let address: IpAddr = text.parse().map_err(|_| format!("`{text}` is not an IP address"))?;
            match address {
                IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => {
                    Err(format!("`{text}` is IPv4 inside IPv6; write the IPv4 address"))
                }
                _ => Ok(address.to_string()),
            }
        }
        Format::Cidr => {
            let block: IpNet =
                text.parse().map_err(|_| format!("`{text}` is not a CIDR block such as 192.0.2.0/24"))?;
            if block.trunc() == block {
                Ok(block.to_string())
            } else {
                Err(format!("`{text}` has host bits; did you mean {}?", block.trunc()))
            }
        }
        Format::Interface | Format::Target | Format::Name => {
            let inner: &[u8] = match format {
                Format::Interface => b"/.:-_",
                Format::Target => b"./:-_",
                _ => b".-_",
            };
            let fits = (1..=253).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || inner.contains(&b))
                && !text.contains("..")
                && text.starts_with(|c: char| c.is_ascii_alphanumeric());
            if fits { Ok(text.to_owned()) } else { Err(format!("`{text}` is not a plain name")) }
        }
        Format::VlanId => Err("a VLAN id is a whole number, not text".into()),
        Format::Text => Ok(text.to_owned()),
    }
}

/// A value as a person writes it: text in backquotes, everything else as JSON.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(yaml: &str) -> ValueSchema {
        crate::artifact::from_yaml("schema", yaml).unwrap()
    }

    #[test]
    fn typed_values_have_one_normal_form_or_none() {
        let cases = [
            ("{type: string, format: dns-label}", json!("WEB01"), Some(json!("web01"))),
            ("{type: string, format: dns-label}", json!("web.01"), None),
            ("{type: string, format: dns-label}", json!("wеb"), None), // a Cyrillic е
            ("{type: string, format: dns-name}", json!("Corp.Example.com"), Some(json!("corp.example.com"))),
            ("{type: string, format: dns-name}", json!("corp.example.com."), None),
            ("{type: string, format: dns-name}", json!("corp..com"), None),
            ("{type: string, format: ip}", json!("192.0.2.10"), Some(json!("192.0.2.10"))),
            ("{type: string, format: ip}", json!("192.0.2.010"), None),
            ("{type: string, format: ip}", json!("::ffff:192.0.2.1"), None),
            ("{type: string, format: ip}", json!("2001:DB8:0::1"), Some(json!("2001:db8::1"))),
            ("{type: string, format: cidr}", json!("192.0.2.0/24"), Some(json!("192.0.2.0/24"))),
            ("{type: string, format: cidr}", json!("192.0.2.1/24"), None),
            ("{type: string, format: interface}", json!("Gi1/0/1"), Some(json!("Gi1/0/1"))),
            ("{type: string, format: interface}", json!("web/../x"), None),
            ("{type: string}", json!("a\nb"), None),
            ("{type: string}", json!("a\u{202e}b"), None),
            ("{type: string, maxLength: 3}", json!("abcd"), None),
            ("{type: integer, format: vlan-id}", json!(120), Some(json!(120))),
            ("{type: integer, format: vlan-id}", json!(4095), None),
            ("{type: integer, format: vlan-id}", json!(120.0), None),
            ("{type: integer}", json!("120"), None),
            ("{type: integer}", json!(1e300), None),
            ("{type: boolean}", json!(true), Some(json!(true))),
            ("{type: array, items: {type: string, format: target}}", json!(["sw01", "sw01"]), None),
            ("{type: array, items: {type: string, format: target}}", json!(["sw01"]), Some(json!(["sw01"]))),
            ("{type: string, enum: [a, b]}", json!("c"), None),
        ];
        for (text, value, expected) in cases {
            assert_eq!(schema(text).normalise(&value).ok(), expected, "{text} {value}");
        }
    }

    #[test]
    fn words_of_a_command_line_become_typed_values() {
        assert_eq!(schema("{type: integer}").from_word("120"), Ok(json!(120)));
        assert!(schema("{type: integer}").from_word("12x").is_err());
        let list = schema("{type: array, items: {type: string}}");
        assert_eq!(list.from_word("sw01, sw02"), Ok(json!(["sw01", "sw02"])));
    }
}

//! Typed values: the small subset of JSON Schema that tool arguments and blueprint inputs are written in, and the
//! one place where a typed string gets its normal form. What is decided, digested and sent is the normal form.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::json::from_json;
use super::yaml::SAFE_INTEGER;

/// Reads a member that is there, `null` included: what was nothing is not what was never looked at, and a document that is
/// read and written again has the digest that it had.
pub(super) fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

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
    /// Members with names, each a value of one of the other types.
    Object,
}

/// Longest text in characters where its schema does not say; longer text is never an argument and costs every reader.
const LONGEST_TEXT: u64 = 16_384;
/// Most items of a list where its schema does not say.
const MOST_ITEMS: u64 = 1_000;

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
    /// An IPv4 address, as an A record has.
    Ipv4,
    /// An IPv6 address, as an AAAA record has; IPv4 inside IPv6 is refused.
    Ipv6,
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
            Self::Ip | Self::Ipv4 | Self::Ipv6 | Self::VlanId | Self::Target | Self::Text => None,
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
    /// The schema of each member of an object; it has no others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, ValueSchema>,
    /// The members that an object must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
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
            if self.kind == ValueType::Object {
                let members = self.properties.iter().map(|(name, member)| (name.clone(), member.json_schema()));
                map.insert("properties".into(), Value::Object(members.collect()));
                map.insert("additionalProperties".into(), json!(false));
            }
        }
        schema
    }

    /// The normal form of `value`, or what is wrong with it, in bounded words whatever the value is.
    pub fn normalise(&self, value: &Value) -> Result<Value, String> {
        self.normal(value).map_err(|why| clipped(&why))
    }

    fn normal(&self, value: &Value) -> Result<Value, String> {
        let normal = match (self.kind, value) {
            (ValueType::String, Value::String(text)) => Value::String(self.normal_text(text)?),
            (ValueType::Integer, Value::Number(number)) => {
                let integer = number.as_i64().filter(|_| !number.is_f64());
                let integer = integer.ok_or_else(|| format!("{number} is not a whole number"))?;
                // Beyond it two integers have one canonical form: an approval of one would be one of the other.
                if integer.unsigned_abs() > SAFE_INTEGER {
                    return Err(format!("{integer} is beyond 2^53-1, and not every reader keeps it exactly"));
                }
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
                let length = items.len() as u64;
                if self.min_items.is_some_and(|least| length < least) {
                    return Err(format!("{length} items are too few"));
                }
                if length > self.max_items.unwrap_or(MOST_ITEMS) {
                    return Err(format!("{length} items are too many"));
                }
                let normal: Vec<Value> = items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| schema.normalise(item).map_err(|why| format!("item {}: {why}", at + 1)))
                    .collect::<Result<_, _>>()?;
                let mut seen = BTreeSet::new();
                if !normal.iter().all(|item| seen.insert(item.to_string())) {
                    return Err("an item stands twice".into());
                }
                Value::Array(normal)
            }
            (ValueType::Object, Value::Object(members)) => Value::Object(self.normal_members(members)?),
            (kind, Value::Array(_)) => return Err(format!("a list is not {}", kind.article())),
            (kind, Value::Object(_)) => return Err(format!("an object is not {}", kind.article())),
            (kind, Value::String(_)) => return Err(format!("{} is text, and not {}", shown(value), kind.article())),
            (kind, other) => return Err(format!("{} is not {}", shown(other), kind.article())),
        };
        if !self.choices.is_empty() && !self.choices.contains(&normal) {
            let choices: Vec<String> = self.choices.iter().map(shown).collect();
            return Err(format!("{} is not one of {}", shown(&normal), choices.join(", ")));
        }
        Ok(normal)
    }

    /// The members in normal form, their defaults filled in.
    fn normal_members(&self, members: &Map<String, Value>) -> Result<Map<String, Value>, String> {
        if let Some(name) = members.keys().find(|name| !self.properties.contains_key(*name)) {
            return Err(format!("it has no member `{name}`"));
        }
        let mut normal = Map::new();
        for (name, schema) in &self.properties {
            let value = match (members.get(name), &schema.default) {
                (Some(value), _) => schema.normalise(value).map_err(|why| format!("member `{name}`: {why}"))?,
                (None, Some(default)) => default.clone(),
                (None, None) if self.required.contains(name) => return Err(format!("the member `{name}` is missing")),
                (None, None) => continue,
            };
            normal.insert(name.clone(), value);
        }
        Ok(normal)
    }

    /// Whether a member of an object is there in every normal form: it is required, or has a default.
    pub fn always_has(&self, member: &str) -> bool {
        let default = self.properties.get(member).is_some_and(|schema| schema.default.is_some());
        default || self.required.iter().any(|name| name == member)
    }

    /// A value from one word of a command line: `true`, `120`, `a,b,c`, an object as JSON, or text.
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
            ValueType::Object => {
                let value: Value = from_json("value", word).map_err(|error| format!("it is not JSON: {error}"))?;
                if value.is_object() { Ok(value) } else { Err(format!("`{word}` is not an object as JSON")) }
            }
        }
    }

    /// The range of an integer in words, with a leading space and parentheses; empty where there is none.
    pub(super) fn range(&self) -> String {
        match (self.minimum, self.maximum) {
            (Some(least), Some(most)) => format!(" ({least} to {most})"),
            (Some(least), None) => format!(" (at least {least})"),
            (None, Some(most)) => format!(" (at most {most})"),
            (None, None) => String::new(),
        }
    }

    fn normal_text(&self, text: &str) -> Result<String, String> {
        let most = self.max_length.unwrap_or(LONGEST_TEXT);
        if text.chars().count() as u64 > most {
            return Err(format!("it is longer than {most} characters"));
        }
        if text.chars().any(char::is_control) {
            return Err("control characters and line breaks are not allowed".into());
        }
        // Characters that reorder or hide text could make a gate screen read differently from what it says.
        if text.chars().any(hides) {
            return Err("invisible and direction-changing characters are not allowed".into());
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
            Self::Object => "an object",
        }
    }
}

/// Whether a character takes no place, looks like an empty one, or changes the direction of what follows: Unicode's
/// `Default_Ignorable_Code_Point` and `Bidi_Control`, line and paragraph separators, interlinear marks and blanks.
pub fn hides(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// How deeply a value is nested: 0 for a scalar. Counted without recursion, because nobody may have looked at it yet.
pub fn depth(value: &Value) -> usize {
    let mut deepest = 0;
    let mut left = vec![(value, 0_usize)];
    while let Some((value, at)) = left.pop() {
        deepest = deepest.max(at);
        match value {
            Value::Array(items) => left.extend(items.iter().map(|item| (item, at + 1))),
            Value::Object(map) => left.extend(map.values().map(|item| (item, at + 1))),
            _ => {}
        }
    }
    deepest
}

/// Text of which an error repeats no more than this, whatever was sent.
const LONGEST_REASON: usize = 300;

/// The beginning of a text that may be of any length.
pub fn clipped(text: &str) -> String {
    match text.char_indices().nth(LONGEST_REASON) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl Format {
    /// The form in which a text of this format is compared, or why it is none.
    pub fn normalise(self, text: &str) -> Result<String, String> {
        normal_form(self, text)
    }
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
        Format::Ip | Format::Ipv4 | Format::Ipv6 => {
            let address: IpAddr = text.parse().map_err(|_| format!("`{text}` is not an IP address"))?;
            match address {
                IpAddr::V6(six) if holds_ipv4(six) => {
                    Err(format!("`{text}` is IPv4 inside IPv6; write the IPv4 address"))
                }
                IpAddr::V6(_) if format == Format::Ipv4 => {
                    Err(format!("`{text}` is an IPv6 address, and an IPv4 address is wanted here"))
                }
                IpAddr::V4(_) if format == Format::Ipv6 => {
                    Err(format!("`{text}` is an IPv4 address, and an IPv6 address is wanted here"))
                }
                _ => Ok(address.to_string()),
            }
        }
        Format::Cidr => {
            let block: IpNet =
                text.parse().map_err(|_| format!("`{text}` is not a CIDR block such as 192.0.2.0/24"))?;
            match block {
                IpNet::V6(six) if six.prefix_len() >= 96 && holds_ipv4(six.addr()) => {
                    Err(format!("`{text}` is IPv4 inside IPv6; write the IPv4 block"))
                }
                _ if block.trunc() != block => Err(format!("`{text}` has host bits; did you mean {}?", block.trunc())),
                _ => Ok(block.to_string()),
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
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && !text.ends_with(['.', '/', ':'])
                && !text.contains("..")
                && !text.contains("/.");
            if fits { Ok(text.to_owned()) } else { Err(format!("`{text}` is not a plain name")) }
        }
        Format::VlanId => Err("a VLAN id is a whole number, not text".into()),
        Format::Text => Ok(text.to_owned()),
    }
}

/// Whether an IPv6 address stands for an IPv4 one: mapped (RFC 4291, 2.5.5.2), compatible (2.5.5.1) or translated
/// (RFC 6052). Rules about IPv4 would not see it.
fn holds_ipv4(address: Ipv6Addr) -> bool {
    let translated = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0).octets();
    let octets = address.octets();
    let upper = octets.iter().take(12);
    address.to_ipv4_mapped().is_some()
        || upper.clone().eq(translated.iter().take(12))
        || (upper.copied().all(|octet| octet == 0) && !address.is_unspecified() && !address.is_loopback())
}

/// A value as a person writes it: text in backquotes, everything else as JSON.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => other.to_string(),
    }
}

/// A value as one word of a command line, which [`ValueSchema::from_word`] reads.
pub fn as_word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(as_word).collect::<Vec<_>>().join(","),
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
            ("{type: string, format: ipv4}", json!("192.0.2.10"), Some(json!("192.0.2.10"))),
            ("{type: string, format: ipv4}", json!("2001:db8::1"), None),
            ("{type: string, format: ipv4}", json!("::ffff:192.0.2.1"), None),
            ("{type: string, format: ipv6}", json!("2001:DB8:0::1"), Some(json!("2001:db8::1"))),
            ("{type: string, format: ipv6}", json!("192.0.2.10"), None),
            ("{type: string, format: ipv6}", json!("::ffff:192.0.2.1"), None),
            ("{type: string, format: ip}", json!("::ffff:192.0.2.1"), None),
            ("{type: string, format: ip}", json!("::192.0.2.1"), None),
            ("{type: string, format: ip}", json!("64:ff9b::192.0.2.1"), None),
            ("{type: string, format: ip}", json!("::1"), Some(json!("::1"))),
            ("{type: string, format: ip}", json!("fe80::1%eth0"), None),
            ("{type: string, format: cidr}", json!("::ffff:192.0.2.0/120"), None),
            ("{type: string, format: cidr}", json!("::/0"), Some(json!("::/0"))),
            ("{type: string, format: cidr}", json!("192.0.2.0/024"), None),
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

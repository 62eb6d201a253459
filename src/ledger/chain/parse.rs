//! Reads an event whose members lie in canonical order, in one pass. There `body` comes before `kind`, which says what
//! the body is, so a reader that takes the members as they come must keep the whole body until it has seen the kind.
//! Here the kind is looked for at the end of the bytes first. It is only a guess at how to read the body, never an
//! answer: whoever asks holds the bytes against the canonical form of what was read, and reads whatever this cannot
//! read in the plain way.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess, Visitor, value::StrDeserializer},
    forward_to_deserialize_any,
};

use crate::engagement::{Body, Event};

/// The event in canonical bytes; nothing where they are not, or not of an event.
pub(super) fn event(bytes: &[u8]) -> Option<Event> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let event = json.deserialize_map(Members { kind: kind(bytes)? }).ok()?;
    json.end().ok()?;
    Some(event)
}

/// What stands last as `"kind":"…"`: after it come `prev` and `seq`, which cannot hold that.
fn kind(bytes: &[u8]) -> Option<&str> {
    const NAME: &[u8] = b"\"kind\":\"";
    // Longer than the longest kind with `prev` and `seq`.
    let tail = bytes.get(bytes.len().saturating_sub(256)..)?;
    let at = tail.windows(NAME.len()).rposition(|window| window == NAME)?;
    let rest = tail.get(at + NAME.len()..)?;
    std::str::from_utf8(rest.split(|byte| *byte == b'"').next()?).ok()
}

struct Members<'a> {
    kind: &'a str,
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Event;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event, A::Error> {
        let (mut engagement, mut seq, mut at, mut actor) = (None, None, None, None);
        let (mut body, mut prev, mut hash) = (None, None, None);
        while let Some(name) = map.next_key::<&str>()? {
            match name {
                "engagement" => once(&mut engagement, map.next_value()?)?,
                "seq" => once(&mut seq, map.next_value()?)?,
                "at" => once(&mut at, map.next_value()?)?,
                "actor" => once(&mut actor, map.next_value()?)?,
                "body" => once(&mut body, map.next_value_seed(self.body())?)?,
                "prev" => once(&mut prev, map.next_value()?)?,
                "hash" => once(&mut hash, map.next_value()?)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let missing = A::Error::missing_field;
        Ok(Event {
            engagement: engagement.ok_or_else(|| missing("engagement"))?,
            seq: seq.ok_or_else(|| missing("seq"))?,
            at: at.ok_or_else(|| missing("at"))?,
            actor: actor.ok_or_else(|| missing("actor"))?,
            body: body.ok_or_else(|| missing("body"))?,
            prev: prev.ok_or_else(|| missing("prev"))?,
            hash: hash.ok_or_else(|| missing("hash"))?,
        })
    }
}

fn once<T, E: Error>(member: &mut Option<T>, value: T) -> Result<(), E> {
    match member.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom("it stands twice")),
    }
}

impl<'a> Members<'a> {
    fn body(&self) -> OfKind<'a> {
        OfKind { kind: self.kind }
    }
}

/// Reads a body of a kind that is known.
struct OfKind<'a> {
    kind: &'a str,
}

impl<'de> DeserializeSeed<'de> for OfKind<'_> {
    type Value = Body;

    fn deserialize<D: Deserializer<'de>>(self, body: D) -> Result<Body, D::Error> {
        Body::deserialize(KindFirst { kind: self.kind, body: Some(body), told: false })
    }
}

/// A map of `kind` and `body`, in this order.
struct KindFirst<'a, D> {
    kind: &'a str,
    body: Option<D>,
    told: bool,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for KindFirst<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_map(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, D: Deserializer<'de>> MapAccess<'de> for KindFirst<'_, D> {
    type Error = D::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, D::Error> {
        let name = match (self.told, &self.body) {
            (false, _) => "kind",
            (true, Some(_)) => "body",
            (true, None) => return Ok(None),
        };
        let name: StrDeserializer<'_, D::Error> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, D::Error> {
        if !self.told {
            self.told = true;
            let kind: StrDeserializer<'_, D::Error> = self.kind.into_deserializer();
            return seed.deserialize(kind);
        }
        match self.body.take() {
            Some(body) => seed.deserialize(body),
            None => Err(D::Error::custom("there is one body")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        artifact::canonical,
        ledger::{chain, testing::Story},
    };

    #[test]
    fn what_is_read_in_one_pass_is_what_is_read_in_the_plain_way() {
        for sealed in Story::whole("k7m2q").sealed() {
            assert_eq!(event(&sealed.bytes).as_ref(), Some(&sealed.event), "{}", sealed.event.body.kind());
            assert_eq!(serde_json::from_slice::<Event>(&sealed.bytes).unwrap(), sealed.event);
        }
    }

    #[test]
    fn a_kind_within_the_body_does_not_say_how_it_is_read() {
        let plain = Story::whole("k7m2q").sealed().swap_remove(0);
        // Long enough that the end of the bytes alone would not show it.
        for title in ["\"kind\":\"call.finished\",\"prev\"", "kind", &"\"kind\":\"trust.set\"".repeat(40)] {
            let mut value: Value = serde_json::from_slice(&plain.bytes).unwrap();
            value["body"]["title"] = json!(title);
            let bytes = canonical(&value).unwrap();
            assert_eq!(event(&bytes).unwrap(), serde_json::from_slice::<Event>(&bytes).unwrap(), "{title}");
        }
    }

    #[test]
    fn what_this_cannot_read_is_read_in_the_plain_way_and_found_to_be_no_event() {
        let plain = Story::whole("k7m2q").sealed().swap_remove(0).bytes;
        let text = String::from_utf8(plain.clone()).unwrap();
        let changes = [
            text.replace("\"kind\":\"engagement.requested\"", "\"kind\":\"engagement.closed\""),
            text.replace("\"kind\":\"engagement.requested\",", ""),
            text.replace("\"seq\":1", "\"kind\":\"call.void\",\"seq\":1"),
            text.replace("\"seq\":1", "\"seq\":1,\"seq\":1"),
            text.replace("\"seq\":1", "\"seq\":1,\"size\":1"),
            text.replace("{\"actor\"", "{\"aaa\":1,\"actor\""),
            text.replace("{\"actor\"", "{\"\\u0061ctor\""),
            text.replace("\"body\":", "\"body\":{},\"body\":"),
            format!("{text} "),
            format!("{text}{text}"),
            String::new(),
            "{}".into(),
        ];
        assert!(chain::read(&plain).is_ok());
        for changed in changes {
            assert_ne!(changed, text);
            assert!(chain::read(changed.as_bytes()).is_err(), "{changed}");
        }
    }
}

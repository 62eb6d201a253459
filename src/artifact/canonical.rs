//! The RFC 8785 form in one pass and one buffer. Every decision hashes several documents and every event that is read is
//! written once more to compare, so this is where the program spends its time. The members of an object are put in
//! order where they lie, and only if they are not in order already. How a number that is no small integer is spelled is
//! left to `serde_json_canonicalizer`, and a test holds everything here to what that crate writes.

use std::{
    cmp::Ordering,
    io::{self, Write},
};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

/// The largest integer up to which every one is a float too, and so is spelled as itself.
const SAFE: u64 = 1 << 53;

pub(super) fn to_vec<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    Ok(to_vec_and_depth(value)?.0)
}

/// The same with how deep it is nested.
pub(super) fn to_vec_and_depth<T: Serialize>(value: &T) -> Result<(Vec<u8>, u32), serde_json::Error> {
    // Most events fit.
    let (mut out, mut deepest) = (Vec::with_capacity(1024), 0);
    let spelling = Spelling {
        out: &mut out,
        members: Vec::new(),
        objects: Vec::new(),
        sorted: Vec::new(),
        depth: 0,
        deepest: &mut deepest,
    };
    value.serialize(&mut Serializer::with_formatter(io::sink(), spelling))?;
    Ok((out, deepest))
}

/// What is written, and where the members of the objects lie that are not closed yet.
struct Spelling<'a> {
    out: &'a mut Vec<u8>,
    /// The innermost object's last.
    members: Vec<Member>,
    objects: Vec<Object>,
    /// Room for the members of one object in their order.
    sorted: Vec<u8>,
    /// How many objects and arrays are open.
    depth: u32,
    deepest: &'a mut u32,
}

/// Where a member lies: `"key":value`, from `start` to `end`.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    key_end: usize,
    end: usize,
    /// Whether its key says what is written, in ASCII: then its bytes are in the order of what it says.
    plain: bool,
}

/// An object that is not closed.
struct Object {
    /// Where its first member lies.
    start: usize,
    /// Its first member among those of all.
    first: usize,
}

impl Member {
    /// Its key as it is written, without the quotes: they sort after a space.
    fn key<'a>(&self, out: &'a [u8]) -> &'a [u8] {
        out.get(self.start + 1..self.key_end.saturating_sub(1)).unwrap_or_default()
    }
}

/// The order of two keys: by the UTF-16 code units of what they say (RFC 8785, section 3.2.3).
fn order(one: &Member, other: &Member, out: &[u8]) -> Ordering {
    let (first, second) = (one.key(out), other.key(out));
    if one.plain && other.plain { first.cmp(second) } else { units(first).cmp(&units(second)) }
}

fn is_plain(key: &[u8]) -> bool {
    key.iter().all(|byte| byte.is_ascii() && *byte != b'\\')
}

fn units(key: &[u8]) -> Vec<u16> {
    let quoted = [b"\"", key, b"\""].concat();
    let says: String = serde_json::from_slice(&quoted).unwrap_or_default();
    says.encode_utf16().collect()
}

impl Spelling<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn open(&mut self, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        *self.deepest = self.depth.max(*self.deepest);
        self.put(bracket)
    }

    fn integer(&mut self, negative: bool, size: u64) -> io::Result<()> {
        if size > SAFE {
            let float = size as f64;
            return self.float(if negative { -float } else { float });
        }
        let sign = if negative { "-" } else { "" };
        write!(self.out, "{sign}{size}")
    }

    fn signed(&mut self, value: i64) -> io::Result<()> {
        self.integer(value < 0, value.unsigned_abs())
    }

    fn float(&mut self, value: f64) -> io::Result<()> {
        let spelled = serde_json_canonicalizer::to_vec(&value).map_err(io::Error::from)?;
        self.put(&spelled)
    }

    /// Puts the members of the innermost object in order.
    fn close(&mut self) -> io::Result<()> {
        let Some(object) = self.objects.pop() else { return Err(broken()) };
        let Some(members) = self.members.get_mut(object.first..) else { return Err(broken()) };
        let out: &Vec<u8> = self.out;
        let compare = |one: &Member, other: &Member| order(one, other, out);
        let in_order = members.is_sorted_by(|one, other| compare(one, other) == Ordering::Less);
        if !in_order {
            members.sort_unstable_by(compare);
            if members.windows(2).any(|pair| matches!(pair, [one, other] if compare(one, other) == Ordering::Equal)) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an object has a key twice"));
            }
            self.sorted.clear();
            for member in members.iter() {
                if !self.sorted.is_empty() {
                    self.sorted.push(b',');
                }
                self.sorted.extend_from_slice(out.get(member.start..member.end).unwrap_or_default());
            }
            self.out.truncate(object.start);
            self.out.extend_from_slice(&self.sorted);
        }
        self.members.truncate(object.first);
        self.depth = self.depth.saturating_sub(1);
        self.put(b"}")
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what is written is no object")
}

impl Formatter for Spelling<'_> {
    fn write_null<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b"null")
    }

    fn write_bool<W: ?Sized + Write>(&mut self, _: &mut W, value: bool) -> io::Result<()> {
        self.put(if value { b"true" } else { b"false" })
    }

    fn write_i8<W: ?Sized + Write>(&mut self, _: &mut W, value: i8) -> io::Result<()> {
        self.signed(value.into())
    }

    fn write_i16<W: ?Sized + Write>(&mut self, _: &mut W, value: i16) -> io::Result<()> {
        self.signed(value.into())
    }

    fn write_i32<W: ?Sized + Write>(&mut self, _: &mut W, value: i32) -> io::Result<()> {
        self.signed(value.into())
    }

    fn write_i64<W: ?Sized + Write>(&mut self, _: &mut W, value: i64) -> io::Result<()> {
        self.signed(value)
    }

    fn write_i128<W: ?Sized + Write>(&mut self, _: &mut W, value: i128) -> io::Result<()> {
        self.float(value as f64)
    }

    fn write_u8<W: ?Sized + Write>(&mut self, _: &mut W, value: u8) -> io::Result<()> {
        self.integer(false, value.into())
    }

    fn write_u16<W: ?Sized + Write>(&mut self, _: &mut W, value: u16) -> io::Result<()> {
        self.integer(false, value.into())
    }

    fn write_u32<W: ?Sized + Write>(&mut self, _: &mut W, value: u32) -> io::Result<()> {
        self.integer(false, value.into())
    }

    fn write_u64<W: ?Sized + Write>(&mut self, _: &mut W, value: u64) -> io::Result<()> {
        self.integer(false, value)
    }

    fn write_u128<W: ?Sized + Write>(&mut self, _: &mut W, value: u128) -> io::Result<()> {
        self.float(value as f64)
    }

    fn write_f32<W: ?Sized + Write>(&mut self, _: &mut W, value: f32) -> io::Result<()> {
        self.float(value.into())
    }

    fn write_f64<W: ?Sized + Write>(&mut self, _: &mut W, value: f64) -> io::Result<()> {
        self.float(value)
    }

    fn write_number_str<W: ?Sized + Write>(&mut self, _: &mut W, value: &str) -> io::Result<()> {
        self.float(value.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a number"))?)
    }

    fn begin_string<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b"\"")
    }

    fn end_string<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b"\"")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, _: &mut W, fragment: &str) -> io::Result<()> {
        self.put(fragment.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, _: &mut W, escape: CharEscape) -> io::Result<()> {
        match escape {
            CharEscape::Quote => self.put(b"\\\""),
            CharEscape::ReverseSolidus => self.put(b"\\\\"),
            CharEscape::Solidus => self.put(b"/"),
            CharEscape::Backspace => self.put(b"\\b"),
            CharEscape::FormFeed => self.put(b"\\f"),
            CharEscape::LineFeed => self.put(b"\\n"),
            CharEscape::CarriageReturn => self.put(b"\\r"),
            CharEscape::Tab => self.put(b"\\t"),
            CharEscape::AsciiControl(byte) => write!(self.out, "\\u{byte:04x}"),
        }
    }

    fn begin_array<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.open(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        self.put(b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, _: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { self.put(b",") }
    }

    fn begin_object<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.open(b"{")?;
        self.objects.push(Object { start: self.out.len(), first: self.members.len() });
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.close()
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, _: &mut W, first: bool) -> io::Result<()> {
        if !first {
            self.put(b",")?;
        }
        let start = self.out.len();
        self.members.push(Member { start, key_end: start, end: start, plain: false });
        Ok(())
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        let member = self.members.last_mut().ok_or_else(broken)?;
        member.key_end = self.out.len();
        member.plain = is_plain(member.key(self.out));
        Ok(())
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b":")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        let end = self.out.len();
        self.members.last_mut().map(|member| member.end = end).ok_or_else(broken)
    }

    fn write_raw_fragment<W: ?Sized + Write>(&mut self, _: &mut W, _: &str) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "raw JSON is not put in canonical form"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::ser::SerializeMap;
    use serde_json::{Map, Number, Value, json};

    use super::*;
    use crate::artifact::nested::deepest;

    fn key() -> impl Strategy<Value = String> {
        // Short ones, so that they share beginnings; what sorts before a quote; and what UTF-16 and UTF-8 order otherwise.
        let letter = prop::sample::select(vec![
            'a',
            'b',
            ' ',
            '!',
            '"',
            '\\',
            '/',
            '\n',
            '\u{1}',
            '\u{7f}',
            'é',
            '\u{e000}',
            '\u{1f600}',
            'Z',
            '0',
        ]);
        prop::collection::vec(letter, 0..4).prop_map(String::from_iter)
    }

    pub(in crate::artifact) fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-(1_i64 << 54)..(1_i64 << 54)).prop_map(Value::from),
            any::<f64>().prop_map(|float| Number::from_f64(float).map_or(Value::Null, Value::Number)),
            any::<i32>().prop_map(|whole| json!(f64::from(whole))),
            any::<String>().prop_map(Value::String),
            key().prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 48, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::vec((key(), inner), 0..6).prop_map(|members| Value::Object(Map::from_iter(members))),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn every_value_is_written_as_the_crate_for_it_writes_it(value in value()) {
            let theirs = serde_json_canonicalizer::to_string(&value).unwrap();
            let (ours, depth) = to_vec_and_depth(&value).unwrap();
            prop_assert_eq!(depth, deepest(&ours));
            prop_assert_eq!(String::from_utf8(ours).unwrap(), theirs);
        }
    }

    #[test]
    fn typed_values_are_written_as_the_crate_for_it_writes_them() {
        #[derive(Serialize)]
        enum Kind {
            Unit,
            Tuple(u8, char),
            Struct { z: Option<i8>, a: () },
        }
        let typed = (
            BTreeMap::from([(10_u32, "ten"), (9, "nine"), (100, "hundred")]),
            BTreeMap::from([(true, 1.5_f32), (false, -0.0)]),
            [Kind::Unit, Kind::Tuple(200, '\u{7f}'), Kind::Struct { z: Some(-3), a: () }],
            (i64::MIN, u64::MAX, i128::MAX, u128::MAX, 1_u64 << 53, (1_u64 << 53) + 2, -(1_i64 << 53)),
        );
        let theirs = serde_json_canonicalizer::to_string(&typed).unwrap();
        assert_eq!(String::from_utf8(to_vec(&typed).unwrap()).unwrap(), theirs);
    }

    #[test]
    fn a_key_that_stands_twice_has_no_form() {
        struct Twice(&'static [&'static str]);
        impl Serialize for Twice {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                self.0.iter().try_for_each(|key| map.serialize_entry(key, &1))?;
                map.end()
            }
        }
        assert!(to_vec(&Twice(&["a", "b"])).is_ok());
        for keys in [&["a", "a"][..], &["a", "b", "a"], &["é", "b", "é"]] {
            assert!(
                to_vec(&Twice(keys)).is_err() && serde_json_canonicalizer::to_vec(&Twice(keys)).is_err(),
                "{keys:?}"
            );
        }
        assert!(to_vec(&BTreeMap::from([(vec![1], 1)])).is_err(), "a key that is no text");
    }
}

//! Redaction: what was given to a call and what came back is destroyed for good, and that this was done, by whom and why
//! is on the chain. Pure: what is to go is named here; [`crate::ledger`] destroys it in the transaction of the event.
//!
//! What goes are sealed documents (see [`super::Seal`]): the arguments and the result of each call that is named and of
//! each other call that is the same call, the answers of models that show a value of theirs, and the engagement's key.
//! What stays is what the chain itself says (targets, counts, what filled a hole, what a tool said when it failed, why a
//! step came to what it came to) and every document that somebody approved or that was filed: the artifacts and the
//! approval requests. Who redacts is told which of these still show a value.
//!
//! Only a closed engagement is redacted: until then what was read fills holes, is compared with what is there and says
//! how a step is taken back. After it nothing of the engagement is tried again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    artifact::{CallId, Digest},
    facts::Role,
};

use super::{refusal::Refusal, state::State, statement::Signature};

/// What was destroyed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redacted {
    /// The calls whose arguments and results are gone.
    pub calls: Vec<CallId>,
    /// Every document that is gone, the engagement's key among them.
    pub destroyed: Vec<Digest>,
    /// Why.
    pub reason: String,
    /// The role that it was done in.
    pub role: Role,
    /// The digest of the people file that says which role may.
    pub people: Digest,
    /// Whether that file is kept beside it; redactions of before only name it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub people_kept: bool,
    /// The signature of whoever did it; needed where answers need one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// Who redacts, and what allows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Redacts {
    /// The roles that the person has.
    pub roles: BTreeSet<Role>,
    /// The role that it needs.
    pub needs: Role,
    /// The digest of the people file that says so.
    pub people: Digest,
    /// Why.
    pub reason: String,
}

/// The calls that go together, and the sealed documents of their arguments and results that are still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The calls.
    pub calls: BTreeSet<CallId>,
    /// The documents.
    pub documents: BTreeSet<Digest>,
}

impl State {
    /// What redacting these calls takes with it: calls that are the same call have the same document.
    ///
    /// # Errors
    ///
    /// [`Refusal::Redaction`] if one is not there, or what it was given stands in its event.
    pub fn redaction_of(&self, wanted: &BTreeSet<CallId>) -> Result<Scope, Refusal> {
        let no = |why: String| Err(Refusal::Redaction(why));
        if self.requested.seal.is_none() {
            return no(
                "it was begun before arguments and results were sealed: they stand in its events, and nobody can \
                 change those"
                    .into(),
            );
        }
        if let Some(unknown) = wanted.iter().find(|id| !self.calls.contains_key(id)) {
            return no(format!("there is no call {unknown}; `countersign log {} --kind call.` lists them", self.id));
        }
        let digests: BTreeSet<Digest> = wanted.iter().filter_map(|id| self.calls.get(id)?.digest).collect();
        let given: BTreeSet<Digest> = wanted.iter().filter_map(|id| self.calls.get(id)?.args.sealed()).collect();
        let same = self.calls.iter().filter(|(id, call)| {
            let digest = call.digest.is_some_and(|digest| digests.contains(&digest));
            wanted.contains(id) || digest || call.args.sealed().is_some_and(|args| given.contains(&args))
        });
        let mut scope = Scope { calls: BTreeSet::new(), documents: BTreeSet::new() };
        for (id, call) in same {
            scope.calls.insert(id.clone());
            scope.documents.extend(call.args.sealed().into_iter().chain(call.result));
        }
        scope.documents.retain(|document| !self.redacted.contains(document));
        Ok(scope)
    }

    /// Whether a redaction destroyed the key: no digest of a call can be made any more, so none can be decided.
    pub fn key_destroyed(&self) -> bool {
        self.requested.seal.is_some_and(|key| self.redacted.contains(&key))
    }

    /// Whether a document is a sealed one of this engagement, or its key.
    pub fn seals(&self, document: &Digest) -> bool {
        let key = self.requested.seal;
        let of_a_call = || {
            let mut calls = self.calls.values();
            calls.any(|call| call.args.sealed() == Some(*document) || call.result == Some(*document))
        };
        key.is_some() && (key == Some(*document) || self.sealed_answers.contains(document) || of_a_call())
    }
}

/// What destroys all that belongs to these calls and these answers of models, or why it is refused;
/// [`super::RedactionStatement::sign`] puts the signature to it.
///
/// # Errors
///
/// [`Refusal`]: the engagement is open, the person may not, no reason is given, or there is nothing to destroy.
pub fn redaction(
    state: &State,
    calls: &BTreeSet<CallId>,
    answers: &BTreeSet<Digest>,
    by: Redacts,
) -> Result<Redacted, Refusal> {
    if state.closed.is_none() {
        return Err(Refusal::Redaction(format!(
            "it is open, and what it read is still worked with; let `countersign run {0}` end it, or `countersign cancel \
             {0} --reason '…'`, and redact then",
            state.id
        )));
    }
    if by.reason.trim().is_empty() {
        return Err(Refusal::NoReason);
    }
    let role = by.roles.iter().copied().filter(|role| *role >= by.needs).max();
    let role = role.ok_or(Refusal::NotInRole(by.needs))?;
    let Scope { calls, documents } = state.redaction_of(calls)?;
    if let Some(other) = answers.iter().find(|answer| !state.sealed_answers.contains(answer)) {
        return Err(Refusal::Redaction(format!("{other} is no answer of a model in it")));
    }
    let destroyed: BTreeSet<Digest> = documents.iter().chain(answers).chain(&state.requested.seal).copied().collect();
    let destroyed: Vec<Digest> = destroyed.difference(&state.redacted).copied().collect();
    if documents.is_empty() && !destroyed.iter().any(|document| answers.contains(document)) {
        return Err(Refusal::Redaction("all of it was redacted before".into()));
    }
    let (calls, reason) = (calls.into_iter().collect(), by.reason.trim().to_owned());
    Ok(Redacted { calls, destroyed, reason, role, people: by.people, people_kept: true, signature: None })
}

/// The texts by which the values in a document would be known again, each under the path that it has there. What is in
/// a list is under one path. Words that are no value of anybody's (`true`, `null`, an empty text) are left out.
pub fn telling(under: &str, value: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    tell(under.to_owned(), value, &mut found);
    found
}

fn tell(path: String, value: &Value, found: &mut BTreeMap<String, BTreeSet<String>>) {
    let word = match value {
        Value::Null | Value::Bool(_) => return,
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        Value::Array(items) => return items.iter().for_each(|item| tell(format!("{path}[]"), item, found)),
        Value::Object(fields) => {
            return fields.iter().for_each(|(name, value)| tell(format!("{path}.{name}"), value, found));
        }
    };
    if !word.is_empty() {
        found.entry(path).or_default().insert(word);
    }
}

/// Whether a document shows a text as a value or a word of its own.
pub fn shows(document: &Value, text: &str) -> bool {
    holds(document, text, stands_as_it_is)
}

/// Whether it shows that or so much of it that it is known again; what begins alike may be of something else.
pub fn shows_some(document: &Value, text: &str) -> bool {
    holds(document, text, |string, text| stands_as_it_is(string, text) || begun(string, text, MUCH).next().is_some())
}

fn holds(document: &Value, text: &str, is: fn(&str, &str) -> bool) -> bool {
    match document {
        Value::Null | Value::Bool(_) => false,
        Value::Number(number) => number.to_string() == text,
        Value::String(string) => stands_in(string, text, is),
        Value::Array(items) => items.iter().any(|item| holds(item, text, is)),
        Value::Object(fields) => fields.iter().any(|(name, value)| stands_in(name, text, is) || holds(value, text, is)),
    }
}

/// From how many characters on a text is known again inside a word too.
const UNMISTAKABLE: usize = 8;

/// How many characters of a text are enough to know it where it was cut (`…`).
const ENOUGH: usize = 16;

/// How many are enough to say that a text may stand there.
const MUCH: usize = 64;

/// How often JSON text may stand as a string in JSON text.
const NESTED: usize = 4;

/// Whether a text stands in a longer one: a short one with no letter or digit beside it, a long one cut perhaps.
/// Where the longer one is JSON text itself, what is escaped in it counts as what it stands for.
fn stands_in(string: &str, text: &str, is: fn(&str, &str) -> bool) -> bool {
    let mut string = std::borrow::Cow::Borrowed(string);
    for _ in 0..NESTED {
        if is(&string, text) {
            return true;
        }
        if !string.contains('\\') {
            return false;
        }
        string = unescaped(&string).into();
    }
    is(&string, text)
}

fn stands_as_it_is(string: &str, text: &str) -> bool {
    if is_cut(string, text) {
        return true;
    }
    let inside = text.chars().count() >= UNMISTAKABLE && text.contains(char::is_alphabetic);
    let apart = |beside: Option<char>| inside || !beside.is_some_and(char::is_alphanumeric);
    string.match_indices(text).any(|(at, _)| {
        let (before, after) = (string.get(..at), string.get(at + text.len()..));
        apart(before.and_then(|before| before.chars().next_back()))
            && apart(after.and_then(|after| after.chars().next()))
    })
}

/// Whether the beginning of a text stands in another, and is cut there: it ends, or says so (`…`).
fn is_cut(string: &str, text: &str) -> bool {
    begun(string, text, ENOUGH).any(|rest| matches!(rest.chars().next(), None | Some('…')))
}

/// What follows in a string on each beginning of a text that has so many characters at least.
fn begun<'a>(string: &'a str, text: &'a str, least: usize) -> impl Iterator<Item = &'a str> {
    let known = text.char_indices().nth(least).and_then(|(at, _)| text.get(..at));
    known.into_iter().flat_map(|known| string.match_indices(known)).filter_map(move |(at, _)| {
        let there = string.get(at..)?;
        let alike = there.chars().zip(text.chars()).take_while(|(one, other)| one == other);
        there.get(alike.map(|(one, _)| one.len_utf8()).sum()..)
    })
}

/// A text with the escapes of JSON (RFC 8259, section 7) put right, wherever they stand; what is none is left.
fn unescaped(string: &str) -> String {
    let (mut plain, mut rest) = (String::with_capacity(string.len()), string);
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        // Two escapes are one character where it is beyond the first 65,536.
        let escape = [12, 6, 2].into_iter().find_map(|length| {
            let (escape, after) = after.split_at_checked(length - 1)?;
            let read: String = serde_json::from_str(&format!("\"\\{escape}\"")).ok()?;
            (read.chars().count() == 1).then_some((read, after))
        });
        match escape {
            Some((read, after)) => {
                plain.push_str(&read);
                rest = after;
            }
            None => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_known_again_as_words_and_not_inside_others() {
        let value = json!({"id": 120, "names": ["guest", "guest"], "up": true, "none": null, "empty": " "});
        let told = telling("args", &value);
        let paths: Vec<&str> = told.keys().map(String::as_str).collect();
        assert_eq!(paths, ["args.id", "args.names[]"]);
        assert_eq!(told["args.names[]"].iter().collect::<Vec<_>>(), ["guest"]);
        for (document, text, is) in [
            (json!({"x": [{"y": 120}]}), "120", true),
            (json!("VLAN 120 is there"), "120", true),
            (json!("{\"id\":120}"), "120", true),
            (json!({"guest": 1}), "guest", true),
            (json!(1200), "120", false),
            (json!("guests"), "guest", false),
            (json!("a1200b"), "120", false),
            (json!(null), "null", false),
        ] {
            assert_eq!(shows(&document, text), is, "{document} {text}");
        }
    }

    #[test]
    fn values_are_known_again_in_text_that_is_json_itself_and_where_they_are_cut() {
        let long = "s3cret ".repeat(50);
        let cut = format!("`id` is {}…, which is no integer", &long[..200]);
        for secret in ["one\ntwo", "o\"ne", "o\\ne", "zürich", "𝄞clef", "one", long.trim()] {
            let asked = json!({"arguments": json!({"zone": secret, "why": format!("found:\n{secret}\t")}).to_string()});
            let twice = json!(asked.to_string());
            let ascii: String =
                asked["arguments"].as_str().unwrap().encode_utf16().fold(String::new(), |text, unit| {
                    match char::from_u32(u32::from(unit)).filter(char::is_ascii) {
                        Some(plain) => format!("{text}{plain}"),
                        None => format!("{text}\\u{unit:04x}"),
                    }
                });
            for document in [asked, twice, json!(ascii)] {
                assert!(shows(&document, secret), "{secret:?} in {document}");
                assert!(!shows(&document, "other"), "{document}");
            }
        }
        assert!(shows(&json!(cut), long.trim()));
        assert!(shows(&json!(&long[..200]), long.trim()), "it ends there");
        let within = json!(format!("at `{}`: no such", &long[..120]));
        assert!(!shows(&within, long.trim()) && shows_some(&within, long.trim()), "another may begin so");
        assert!(!shows(&json!("s3cret s3cret s3cret of others…"), long.trim()));
        // What is long enough to be nobody else's is found inside a word too.
        assert!(shows(&json!("xhunter2hunter2y"), "hunter2hunter2"));
        assert!(!shows(&json!("1234567890"), "23456789"));
    }
}

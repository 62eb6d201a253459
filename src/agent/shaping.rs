//! A draft taking shape while a model writes it: of a document that is not whole yet, what is already said in it, line
//! by line, for whoever watches. Nothing is decided on it.

use serde_json::Value;

/// The most bytes of a document that are looked at; a longer one is shown when it is filed.
const LONGEST: usize = 256 << 10;

/// An answer under way.
#[derive(Debug, Default)]
pub struct Shaping {
    text: String,
    prose: bool,
    told: Vec<String>,
}

/// What a piece of an answer adds to what a person sees.
#[derive(Debug, PartialEq, Eq)]
pub enum Shaped {
    /// Words, to be shown as they came.
    Words(String),
    /// What the document says by now and did not say before.
    Lines(Vec<String>),
}

impl Shaping {
    /// Takes the next piece. An answer that begins like a document is one; anything else is words.
    pub fn add(&mut self, piece: &str) -> Shaped {
        if self.prose {
            return Shaped::Words(piece.to_owned());
        }
        if self.text.len() > LONGEST {
            return Shaped::Lines(Vec::new());
        }
        self.text.push_str(piece);
        let begins = self.text.trim_start();
        if !begins.is_empty() && !begins.starts_with(['{', '`']) {
            self.prose = true;
            return Shaped::Words(std::mem::take(&mut self.text));
        }
        // Only what ends a member of a list or of a document adds a line.
        if !piece.contains(['}', ']', ',']) {
            return Shaped::Lines(Vec::new());
        }
        let document = self.text.find('{').and_then(|from| whole(self.text.get(from..)?));
        let lines = document.map(|document| said(&document)).unwrap_or_default();
        let new: Vec<String> = lines.into_iter().filter(|line| !self.told.contains(line)).collect();
        self.told.extend(new.iter().cloned());
        Shaped::Lines(new)
    }
}

/// The document that a beginning of one comes to, without its last unfinished member.
fn whole(text: &str) -> Option<Value> {
    let (mut open, mut quoted, mut escaped) = (String::new(), false, false);
    // How far it is whole, and what closes it there.
    let mut last = (0, String::new());
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' | '[' => {
                open.push(if c == '{' { '}' } else { ']' });
                last = (at + 1, open.clone());
            }
            '}' | ']' => {
                if open.pop() != Some(c) {
                    return None;
                }
                last = (at + 1, open.clone());
                if open.is_empty() {
                    break;
                }
            }
            ',' => last = (at, open.clone()),
            _ => {}
        }
    }
    let (end, open) = last;
    let closed: String = text.get(..end)?.chars().chain(open.chars().rev()).collect();
    serde_json::from_str(&closed).ok()
}

/// What a draft says, as far as it goes: its title, what must be true, what may be done, what was found, what is planned.
fn said(document: &Value) -> Vec<String> {
    let word = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
    let list = |of: Option<&Value>| of.and_then(Value::as_array).cloned().unwrap_or_default();
    let mut lines = Vec::new();
    lines.extend(word(document, "title"));
    for requirement in list(document.get("requirements")) {
        if let (Some(id), Some(text)) = (word(&requirement, "id"), word(&requirement, "text")) {
            lines.push(format!("{id}  {text}"));
        }
    }
    for (key, may) in [("discover", "may be read with"), ("build", "may be done with")] {
        for grant in list(document.get("boundary").and_then(|boundary| boundary.get(key))) {
            lines.extend(word(&grant, "tool").map(|tool| format!("{may} {tool}")));
        }
    }
    lines.extend(word(document, "verdict").map(|verdict| format!("verdict: {verdict}")));
    for finding in list(document.get("findings")) {
        lines.extend(word(&finding, "text").map(|text| format!("found: {text}")));
    }
    for step in list(document.get("steps")) {
        if let (Some(id), Some(tool)) = (word(&step, "id"), word(&step, "tool")) {
            lines.push(format!("step {id}: {tool}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn spec() -> Value {
        json!({"kind": "spec", "title": "Publish \"web01\", now", "requirements": [
            {"id": "R1", "text": "web01 is at {192.0.2.10}, [really]"}, {"id": "R2", "text": "nothing else"}],
            "boundary": {"discover": [{"tool": "dns.records.list"}], "build": [{"tool": "dns.record.create"}]}})
    }

    const LINES: [&str; 5] = [
        "Publish \"web01\", now",
        "R1  web01 is at {192.0.2.10}, [really]",
        "R2  nothing else",
        "may be read with dns.records.list",
        "may be done with dns.record.create",
    ];

    #[test]
    fn words_are_shown_as_they_come() {
        let mut shaping = Shaping::default();
        assert_eq!(shaping.add(" \n"), Shaped::Lines(vec![]));
        assert_eq!(shaping.add("Which {"), Shaped::Words(" \nWhich {".into()));
        assert_eq!(shaping.add("one}?"), Shaped::Words("one}?".into()));
    }

    #[test]
    fn a_line_is_said_when_what_it_says_is_whole_and_not_before() {
        let mut shaping = Shaping::default();
        assert_eq!(shaping.add("```json\n{\"title\": \"A\", \"requirements\": ["), Shaped::Lines(vec!["A".into()]));
        assert_eq!(shaping.add("{\"id\": \"R1\", \"text\": \"half of"), Shaped::Lines(vec![]));
        assert_eq!(shaping.add(", it\"}"), Shaped::Lines(vec!["R1  half of, it".into()]));
        assert_eq!(shaping.add("], \"steps\": [{\"id\": \"a\", \"tool\": \"t.x\""), Shaped::Lines(vec![]));
        assert_eq!(shaping.add("}]]}}}"), Shaped::Lines(vec![]));
    }

    proptest! {
        #[test]
        fn a_document_says_the_same_wherever_it_is_cut(cuts in prop::collection::vec(1_usize..40, 1..60)) {
            let text = spec().to_string();
            let mut shaping = Shaping::default();
            let (mut rest, mut cuts, mut lines) = (text.as_str(), cuts.into_iter().cycle(), Vec::new());
            while !rest.is_empty() {
                let (piece, more) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                match shaping.add(piece) {
                    Shaped::Lines(new) => lines.extend(new),
                    Shaped::Words(words) => panic!("{words}"),
                }
                rest = more;
            }
            lines.sort();
            let mut expected = LINES.map(str::to_owned).to_vec();
            expected.sort();
            prop_assert_eq!(lines, expected);
        }

        #[test]
        fn whatever_comes_is_taken(pieces in prop::collection::vec("[{}\\[\\]\",:\\\\ a`é]{0,12}", 0..40)) {
            let mut shaping = Shaping::default();
            for piece in pieces {
                shaping.add(&piece);
            }
        }
    }
}

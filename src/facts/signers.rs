//! `policies/allowed_signers`: whose SSH keys sign for whom, in the format of ssh-keygen(1), "ALLOWED SIGNERS". It is
//! read more strictly than `ssh-keygen` reads it: a name is written out, and a time is in UTC. Whatever is taken here
//! is taken by `ssh-keygen -Y verify` as well.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::{Value, json};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, PublicKey, SshSig};

/// What a signature can be for; a signature for one is none for another.
pub const NAMESPACES: [&str; 6] = [
    "countersign-gate",
    "countersign-call",
    "countersign-deviation",
    "countersign-answer",
    "countersign-trust",
    "countersign-redact",
];

/// What raising a trust stage is signed for.
pub const TRUST_NAMESPACE: &str = "countersign-trust";

/// Where the file of a workspace lies; what a problem names where no other file is.
const FILE: &str = "policies/allowed_signers";

/// No signature of a key that is taken here is longer.
const LONGEST_SIGNATURE: usize = 4096;
/// The longest file of allowed signers that is read, in bytes: some five thousand keys.
const LONGEST: usize = 1 << 20;

/// The file, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedSigners {
    file: Arc<str>,
    text: String,
    lines: Vec<SignerLine>,
}

/// One line: a key, for whom and for what it signs, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerLine {
    /// The file.
    pub file: Arc<str>,
    /// Its place in the file, from 1.
    pub number: usize,
    /// The people, by their names in `people.yaml`.
    pub principals: BTreeSet<String>,
    /// What it signs for; everything where left out.
    pub namespaces: Option<BTreeSet<String>>,
    /// The first instant at which it signs.
    pub valid_after: Option<Timestamp>,
    /// The first instant at which it no longer signs.
    pub valid_before: Option<Timestamp>,
    /// The key.
    pub key: PublicKey,
}

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct SignersProblem {
    /// The file.
    pub file: Arc<str>,
    /// Its place, from 1.
    pub line: usize,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl Default for AllowedSigners {
    /// Nobody's keys.
    fn default() -> Self {
        Self { file: FILE.into(), text: String::new(), lines: Vec::new() }
    }
}

impl AllowedSigners {
    /// Reads the file of a workspace.
    ///
    /// # Errors
    ///
    /// The first line that is not as `ssh-keygen` and this program understand it alike.
    pub fn parse(text: &str) -> Result<Self, SignersProblem> {
        Self::parse_as(FILE, text)
    }

    /// The same for a file that lies elsewhere, so that whatever is wrong with it is said of that one.
    ///
    /// # Errors
    ///
    /// As [`AllowedSigners::parse`].
    pub fn parse_as(file: &str, text: &str) -> Result<Self, SignersProblem> {
        let read = Self::read(file, text)?;
        let mut lines = text.lines().zip(1..).map(|(text, number)| (text.trim_matches(is_space), number));
        let misread = lines.find_map(|(text, number)| Some((number, option_in_vain(text)?)));
        match misread {
            Some((line, message)) => Err(SignersProblem { file: file.into(), line, message }),
            None => Ok(read),
        }
    }

    /// What `ssh-keygen` reads in it, whatever whoever wrote it may have meant: what was signed under a file is held
    /// against it as it was.
    fn read(file: &str, text: &str) -> Result<Self, SignersProblem> {
        let file: Arc<str> = file.into();
        if text.len() > LONGEST {
            let message = format!("it is {} bytes long, and at most {LONGEST} are read", text.len());
            return Err(SignersProblem { file, line: 1, message });
        }
        let mut lines = Vec::new();
        for (written, number) in text.lines().zip(1..) {
            let written = written.trim_matches(is_space);
            if written.is_empty() || written.starts_with('#') {
                continue;
            }
            let problem = |message| SignersProblem { file: Arc::clone(&file), line: number, message };
            lines.push(line(written, &file, number).map_err(problem)?);
        }
        Ok(Self { file, text: text.to_owned(), lines })
    }

    /// The document that keeps the file, byte for byte, beside what was checked against it.
    pub fn document(&self) -> Value {
        json!({"kind": "allowed_signers", "text": self.text})
    }

    /// Reads the file from its document; nothing where it is no such document.
    pub fn from_document(document: &Value) -> Option<Self> {
        let kind = document.get("kind")?.as_str()?;
        let text = document.get("text")?.as_str()?;
        Self::read(FILE, text).ok().filter(|_| kind == "allowed_signers")
    }

    /// The file as it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every line.
    pub fn lines(&self) -> &[SignerLine] {
        &self.lines
    }

    /// The lines that name this person.
    pub fn of<'a>(&'a self, person: &'a str) -> impl Iterator<Item = &'a SignerLine> {
        self.lines.iter().filter(move |line| line.principals.contains(person))
    }

    /// That a key of this person stands for somebody else too, where it does: then no signature shows who made it.
    pub fn shared(&self, person: &str, key: &PublicKey) -> Option<String> {
        let same = |line: &&SignerLine| line.key.key_data() == key.key_data();
        self.of(person).find(same)?;
        let other = |line: &SignerLine| line.principals.iter().find(|name| *name != person).cloned();
        let (line, name) = self.lines.iter().filter(same).find_map(|line| Some((line, other(line)?)))?;
        let (place, key) = (format!("{}:{}", line.file, line.number), fingerprint(key));
        Some(format!(
            "{place}: the key {key} stands for `{name}` and for `{person}`, so it does not show which of them signed; give \
             each person a key of their own"
        ))
    }

    /// Whether this key signs for this person now, and for this; else why not.
    pub fn allows(&self, person: &str, key: &PublicKey, namespace: &str, at: Timestamp) -> Result<(), String> {
        usable(&key.algorithm())?;
        if let Some(shared) = self.shared(person, key) {
            return Err(shared);
        }
        let mut why = None;
        for line in self.of(person).filter(|line| line.key.key_data() == key.key_data()) {
            match line.covers(namespace, at) {
                Ok(()) => return Ok(()),
                Err(reason) => why = Some(reason),
            }
        }
        let no_line = || format!("{} has no line for `{person}` with the key {}", self.file, fingerprint(key));
        Err(why.unwrap_or_else(no_line))
    }

    /// Whether an armored signature is this person's, over exactly these bytes and for this; the fingerprint of the
    /// key that made it, else why not.
    pub fn check(
        &self,
        person: &str,
        namespace: &str,
        at: Timestamp,
        message: &[u8],
        armored: &str,
    ) -> Result<String, String> {
        if armored.len() > LONGEST_SIGNATURE {
            return Err(format!("it is longer than {LONGEST_SIGNATURE} bytes, which no signature of an SSH key is"));
        }
        let signature = SshSig::from_pem(armored).map_err(|error| format!("it is no SSH signature: {error}"))?;
        if signature.namespace() != namespace {
            return Err(format!("it is for `{}`, not for `{namespace}`", signature.namespace()));
        }
        let key = PublicKey::from(signature.public_key().clone());
        self.allows(person, &key, namespace, at)?;
        key.verify(namespace, message, &signature)
            .map_err(|_| format!("it was not made with the key {} over what was answered", fingerprint(&key)))?;
        Ok(fingerprint(&key))
    }
}

impl SignerLine {
    /// Whether the line lets its key sign for this at this time.
    pub fn covers(&self, namespace: &str, at: Timestamp) -> Result<(), String> {
        let place = format!("{}:{}", self.file, self.number);
        if self.namespaces.as_ref().is_some_and(|named| !named.contains(namespace)) {
            return Err(format!("{place}: the key does not sign for `{namespace}`; an owner adds it to `namespaces`"));
        }
        if let Some(after) = self.valid_after.filter(|after| at < *after) {
            return Err(format!("{place}: the key signs from {after} on (valid-after), and this is {}", whole(at)));
        }
        match self.valid_before.filter(|before| at >= *before) {
            Some(before) => {
                Err(format!("{place}: the key signs no more since {before} (valid-before), and this is {}", whole(at)))
            }
            None => Ok(()),
        }
    }
}

/// A time without parts of a second.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// Whether signatures of such a key are taken; else why not and what to use.
pub fn usable(algorithm: &Algorithm) -> Result<(), String> {
    let instead = "make one that is with `ssh-keygen -t ed25519`";
    match algorithm {
        Algorithm::Ed25519 | Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 | EcdsaCurve::NistP384 } => Ok(()),
        Algorithm::Rsa { .. } => Err(format!(
            "an RSA key is not taken, because the library for it has an open timing advisory (RUSTSEC-2023-0071); {instead}"
        )),
        other => Err(format!("a key of the kind `{other}` is not taken; {instead}")),
    }
}

/// The key that an armored signature says it was made with, which shows nothing until the signature was checked.
pub fn key_of(armored: &str) -> Result<PublicKey, String> {
    let signature = SshSig::from_pem(armored).map_err(|error| format!("it is no SSH signature: {error}"))?;
    Ok(PublicKey::from(signature.public_key().clone()))
}

/// How a key is named to people.
pub fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// The line that lets a key sign for a person.
pub fn line_for(person: &str, key: &PublicKey) -> String {
    let bare = PublicKey::from(key.key_data().clone());
    let key = bare.to_openssh().unwrap_or_else(|_| "…".into());
    format!("{person} namespaces=\"{}\" {key}", NAMESPACES.join(","))
}

/// What OpenSSH takes for a space, and nothing else that looks like one.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn line(text: &str, file: &Arc<str>, number: usize) -> Result<SignerLine, String> {
    let (principals, rest) = word(text)?;
    let (options, key) = match word(rest)? {
        (kind, _) if is_key_type(kind) => ("", rest),
        (options, key) => (options, key),
    };
    let mut line = SignerLine {
        file: Arc::clone(file),
        number,
        principals: listed(principals)?,
        namespaces: None,
        valid_after: None,
        valid_before: None,
        key: public_key(key)?,
    };
    let options = if options.is_empty() { Vec::new() } else { split_outside_quotes(options, |c| c == ',')? };
    for option in options {
        if option.is_empty() {
            return Err("a `,` stands before the first option, after the last, or next to another".into());
        }
        line.option(option)?;
    }
    Ok(line)
}

/// Why an option of a line is none: whoever wrote it behind the key thinks that it counts, and there it is a comment.
fn option_in_vain(text: &str) -> Option<String> {
    if text.starts_with('#') {
        return None;
    }
    let (_, rest) = word(text).ok()?;
    let (first, after) = word(rest).ok()?;
    let key = if is_key_type(first) { rest } else { after };
    let comment = key.split(is_space).filter(|word| !word.is_empty()).skip(2);
    let option = comment.flat_map(|word| word.split(',')).find(|word| is_option(word))?;
    let name = option.split('=').next().unwrap_or(option);
    Some(format!(
        "`{name}` stands behind the key, where it is a comment and changes nothing: put options before the key type, as in \
         NAME valid-before=\"20271201Z\" ssh-ed25519 AAAA…"
    ))
}

/// Whether this is written as an option is.
fn is_option(word: &str) -> bool {
    let name = word.split('=').next().unwrap_or(word).to_ascii_lowercase();
    let known = ["namespaces", "valid-after", "valid-before", "cert-authority"];
    known.contains(&name.as_str()) && (word.contains('=') || name == "cert-authority")
}

impl SignerLine {
    fn option(&mut self, written: &str) -> Result<(), String> {
        let (name, value) = match written.split_once('=') {
            Some((name, value)) => (name, value.strip_prefix('"').and_then(|value| value.strip_suffix('"'))),
            None => (written, None),
        };
        let wanted = |value: Option<&str>| {
            value.map(str::to_owned).ok_or_else(|| format!("write `{name}` with its value in quotes: {name}=\"…\""))
        };
        let once = |known: bool| if known { Err(format!("`{name}` stands twice")) } else { Ok(()) };
        match name.to_ascii_lowercase().as_str() {
            "namespaces" => {
                once(self.namespaces.is_some())?;
                self.namespaces = Some(listed(&wanted(value)?)?);
            }
            "valid-after" => {
                once(self.valid_after.is_some())?;
                self.valid_after = Some(instant(&wanted(value)?)?);
            }
            "valid-before" => {
                once(self.valid_before.is_some())?;
                self.valid_before = Some(instant(&wanted(value)?)?);
            }
            "cert-authority" => return Err("certificates are not taken; write each person's own key".into()),
            _ => return Err(format!("`{name}` is no option; there are namespaces, valid-after and valid-before")),
        }
        Ok(())
    }
}

/// The first word and what follows it. Quotes hold a word together.
fn word(text: &str) -> Result<(&str, &str), String> {
    let text = text.trim_start_matches(is_space);
    let words = split_outside_quotes(text, is_space)?;
    let first = words.first().copied().unwrap_or_default();
    Ok((first, text.get(first.len()..).unwrap_or_default().trim_start_matches(is_space)))
}

fn split_outside_quotes(text: &str, separates: impl Fn(char) -> bool) -> Result<Vec<&str>, String> {
    let mut quoted = false;
    let parts = text.split(|c: char| {
        quoted ^= c == '"';
        !quoted && separates(c)
    });
    let parts: Vec<&str> = parts.collect();
    if text.matches('"').count() % 2 == 1 { Err("a quote is not closed".into()) } else { Ok(parts) }
}

/// Names, each written out: a pattern would let a key sign for people whom nobody named.
fn listed(text: &str) -> Result<BTreeSet<String>, String> {
    let names: BTreeSet<String> = text.split(',').map(str::to_owned).collect();
    // OpenSSH takes it for a part of the name, where nobody sees it.
    if let Some(name) = names.iter().find(|name| name.contains(|c: char| c.is_whitespace() || c.is_control())) {
        return Err(format!(
            "{name:?} is no name: it has a space in it; put `,` alone between names, and a plain space or tab between words"
        ));
    }
    match names.iter().find(|name| name.is_empty() || name.contains(['*', '?', '!', '"', '\\'])) {
        Some(name) => Err(format!("`{name}` is no name: write each one out, without `*`, `?`, `!` or quotes")),
        None => Ok(names),
    }
}

fn is_key_type(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|start| word.starts_with(start))
}

/// A key without its comment.
fn public_key(text: &str) -> Result<PublicKey, String> {
    let mut words = text.split(is_space).filter(|word| !word.is_empty());
    let (Some(kind), Some(data)) = (words.next(), words.next()) else {
        return Err("write NAME[,NAME…] [OPTIONS] KEYTYPE KEY, with the key as its .pub file has it".into());
    };
    if is_option(kind) {
        return Err(format!("a space stands before `{kind}`: put `,` alone between options"));
    }
    PublicKey::from_openssh(&format!("{kind} {data}"))
        .map_err(|error| format!("`{kind} …` is no public key: {error}; copy it from its .pub file"))
}

/// `YYYYMMDD[HHMM[SS]]Z`.
fn instant(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("`{text}` is no time: write YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS and `Z` for UTC");
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let digits = digits.filter(|digits| matches!(digits.len(), 8 | 12 | 14)).ok_or_else(wrong)?;
    let padded = format!("{digits:0<14}");
    let part = |from: usize, to: usize| padded.get(from..to).and_then(|part| part.parse::<i16>().ok());
    let small = |from: usize| part(from, from + 2).and_then(|part| i8::try_from(part).ok()).ok_or_else(wrong);
    let year = part(0, 4).ok_or_else(wrong)?;
    let at = DateTime::new(year, small(4)?, small(6)?, small(8)?, small(10)?, small(12)?, 0).map_err(|_| wrong())?;
    // The last day of the year 9999 is often written for `never`, and ends later than time is counted here.
    let at = at.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |at| at.timestamp());
    // To OpenSSH such a time is none, and with it the line.
    if at > Timestamp::UNIX_EPOCH {
        Ok(at)
    } else {
        Err(format!("`{text}` is no time that ssh-keygen takes: write one after 19700101Z, or leave it out"))
    }
}

#[cfg(test)]
mod tests;

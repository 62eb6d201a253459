//! The walls: what code outside cannot even write, and what each module may know of the others.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on stops, and says where"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[test]
fn what_only_the_broker_the_gates_and_the_ledger_may_do_does_not_compile_elsewhere() {
    trybuild::TestCases::new().compile_fail("tests/walls/*.rs");
}

/// A source file: its place under `src/` and its code without comments and texts.
struct Source {
    path: String,
    code: String,
    /// Only compiled for tests.
    test: bool,
}

impl Source {
    /// The module of `lib.rs` that it belongs to.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The code that is not only for tests: everything before `#[cfg(test)] mod … {`.
    fn own(&self) -> &str {
        let end = self.code.match_indices("#[cfg(test)]").find_map(|(at, attribute)| {
            let after = self.code[at + attribute.len()..].trim_start();
            let body = after.starts_with("mod ") && after.find('{') < after.find(';');
            (body || after.starts_with("mod ") && !after.contains(';')).then_some(at)
        });
        &self.code[..end.unwrap_or(self.code.len())]
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    let mut folders = vec![src()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut sources: Vec<Source> = files
        .iter()
        .map(|path| {
            let name = path.strip_prefix(src()).unwrap().to_str().unwrap().replace('\\', "/");
            Source { path: name, code: bare(&fs::read_to_string(path).unwrap()), test: false }
        })
        .collect();
    let tests = test_modules(&sources);
    for source in &mut sources {
        let place = source.path.strip_suffix(".rs").unwrap();
        source.test = tests.iter().any(|test| place == test || place.starts_with(&format!("{test}/")));
    }
    sources
}

/// Places such as `engagement/table_tests` that are declared under `#[cfg(test)]`.
fn test_modules(sources: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in sources {
        let place = source.path.strip_suffix(".rs").unwrap();
        let folder = place.strip_suffix("/mod").unwrap_or(if place == "lib" { "" } else { place });
        for (at, attribute) in source.code.match_indices("#[cfg(test)]") {
            let after = source.code[at + attribute.len()..].trim_start();
            let after = after.split_once("mod ").filter(|(before, _)| before.len() < 20).map_or("", |(_, after)| after);
            if let Some((name, _)) = after.split_once(';').filter(|(name, _)| plain(name)) {
                found.insert(format!("{folder}/{name}"));
            }
        }
    }
    found
}

fn plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Code without comments, and with every text emptied.
fn bare(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['/', '"', '\'']) {
        let (before, from) = rest.split_at(at);
        code.push_str(before);
        if let Some(comment) = from.strip_prefix("//") {
            rest = &comment[comment.find('\n').unwrap_or(comment.len())..];
        } else if let Some(comment) = from.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
        } else if let Some(text) = from.strip_prefix('"') {
            let hashes = before.len() - before.trim_end_matches('#').len();
            let raw = before[..before.len() - hashes].ends_with('r');
            let close = format!("\"{}", "#".repeat(hashes));
            let mut escaped = false;
            let ends = |c: char| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            };
            let (end, long) = if raw { (text.find(&close), close.len()) } else { (text.find(ends), 1) };
            code.push_str("\"\"");
            rest = &text[end.map_or(text.len(), |end| end + long)..];
        } else if let Some(quoted) = from.strip_prefix('\'').filter(|quoted| character(quoted).is_some()) {
            rest = &quoted[character(quoted).unwrap_or(0)..];
        } else {
            code.push_str(&from[..1]);
            rest = &from[1..];
        }
    }
    code.push_str(rest);
    code
}

/// How long a character literal is after its first quote; nothing for a lifetime.
fn character(quoted: &str) -> Option<usize> {
    let mut chars = quoted.char_indices();
    match chars.next()? {
        (_, '\\') => quoted[2..].find('\'').map(|at| at + 3),
        (_, _) => chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at + 1),
    }
}

/// Every first name after `crate::`, in groups too.
fn named(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        let after = &code[at + prefix.len()..];
        let first = |text: &str| -> String {
            text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        let Some(group) = after.strip_prefix('{') else {
            names.insert(first(after));
            continue;
        };
        let mut depth = 0;
        let mut starts = true;
        for (at, c) in group.char_indices() {
            if starts && !c.is_whitespace() && c != '}' {
                names.insert(first(&group[at..]));
                starts = false;
            }
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => starts = true,
                _ => {}
            }
        }
    }
    names
}

fn order() -> Vec<String> {
    let lib = fs::read_to_string(src().join("lib.rs")).unwrap();
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    modules.map(str::to_owned).collect()
}

#[test]
fn the_reader_of_sources_reads_them() {
    let text = r##"use crate::{a::{b, c}, d}; // crate::e
        let s = "crate::f \" crate::g"; let c = '"'; let l: &'static str = r#"crate::h"#; /* crate::i */ crate::j::k()"##;
    let names: Vec<String> = named(&bare(text)).into_iter().collect();
    assert_eq!(names, ["a", "d", "j"]);
    assert!(bare("let a = '\\''; tokio").ends_with("tokio"));
    let source = Source { path: "a/b.rs".into(), code: "one #[cfg(test)]\nmod tests { two }".into(), test: false };
    assert_eq!((source.module(), source.own()), ("a", "one "));
    let sources = sources();
    assert!(sources.iter().any(|source| source.test) && sources.iter().filter(|source| !source.test).count() > 60);
}

#[test]
fn every_module_uses_only_those_above_it() {
    let order = order();
    assert!(order.len() > 10, "{order:?}");
    let place = |name: &str| order.iter().position(|module| module == name);
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.path != "main.rs" && source.path != "lib.rs") {
        let Some(own) = place(source.module()) else {
            wrong.push(format!("{} belongs to no module of lib.rs", source.path));
            continue;
        };
        for name in named(&source.code) {
            match place(&name) {
                Some(other) if other <= own => {}
                Some(_) => wrong.push(format!("{} uses `{name}`, which stands below it", source.path)),
                None => wrong.push(format!("{} uses `crate::{name}`, which is no module", source.path)),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_but_the_broker_knows_of_permits_and_transports() {
    // What stands above the broker cannot reach it anyway; Cedar's permits, in `policy`, are something else.
    let order = order();
    let at = |name: &str| order.iter().position(|module| module == name);
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| at(source.module()) > at("broker")) {
        let words = source.code.split(|c: char| !c.is_alphanumeric() && c != '_');
        for word in words.filter(|word| matches!(*word, "Permit" | "Transports")) {
            wrong.push(format!("{} mentions `{word}`", source.path));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_permit_is_not_copied_or_made_in_two_places_and_no_approval_is_read() {
    let sources = sources();
    let permit = sources.iter().find(|source| source.path == "broker/permit.rs").unwrap();
    let (before, fields) = permit.code.split_once("struct Permit {").unwrap();
    assert_eq!(before.rsplit_once("#[derive").unwrap().1.split_once(']').unwrap().0, "(Debug)");
    assert!(!fields.split_once('}').unwrap().0.contains("pub"), "its fields are its own");
    for named in ["Clone for Permit", "Serialize for Permit", "Copy for Permit", "Default for Permit"] {
        assert!(!permit.code.contains(named), "{named}");
    }
    let approved = sources.iter().find(|source| source.path == "engagement/approved.rs").unwrap();
    let (before, _) = approved.code.split_once("struct Approved<T> {").unwrap();
    let derived = before.rsplit_once("#[derive").unwrap().1.split_once(']').unwrap().0;
    assert_eq!(derived, "(Debug, Clone)", "an approval is never read from anywhere");
    let minting = sources.iter().filter(|source| !source.test && source.own().contains("Permit::mint("));
    let minting: Vec<&str> = minting.map(|source| source.path.as_str()).collect();
    assert_eq!(minting, ["broker/invoke.rs"]);
}

#[test]
fn a_key_is_opened_in_one_place_and_what_drives_an_engagement_has_none() {
    let sources = sources();
    let naming = |word: &str| -> Vec<&str> {
        let naming = sources.iter().filter(|source| !source.test && source.own().contains(word));
        naming.map(|source| source.path.as_str()).collect()
    };
    // A person's key, and the ledger's own.
    assert_eq!(naming("PrivateKey"), ["cli/signing.rs", "ledger/keys.rs"]);
    let signers = naming("Signer");
    for path in ["runtime/driver.rs", "runtime/filing.rs", "runtime/ruling.rs"] {
        assert!(sources.iter().any(|source| source.path == path) && !signers.contains(&path), "{path} has a signer");
    }
    let below: Vec<&&str> =
        signers.iter().filter(|path| path.starts_with("broker/") || path.starts_with("agent/")).collect();
    assert!(below.is_empty(), "{below:?}");
}

const PURE: &[&str] = &["artifact", "tool", "flow", "facts", "policy", "engagement", "record", "gate"];
const PURE_FILES: &[&str] = &[
    "ledger/chain.rs",
    "ledger/checkpoint.rs",
    "ledger/merkle.rs",
    "ledger/note.rs",
    "ledger/verify.rs",
    "ledger/mentions.rs",
    "ledger/signatures.rs",
    "ledger/archive.rs",
    "ledger/archive/manifest.rs",
    "ledger/archive/packing.rs",
];
/// Each is the start of a path or a word.
const IMPURE: &[&str] = &[
    "async ",
    ".await",
    "std::fs",
    // Addresses are values; sockets are not.
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "std::process",
    "std::env",
    "std::thread",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "Zoned::now",
    "tokio",
    "rusqlite",
    "reqwest",
    "rmcp",
];

#[test]
fn pure_modules_have_no_clock_no_io_and_nothing_async() {
    let order = order();
    assert_eq!(order[..PURE.len()], *PURE, "everything down to `gate` is pure");
    let pure = |source: &&Source| {
        let listed = PURE_FILES.contains(&source.path.as_str()) || source.path.starts_with("ledger/verify/");
        !source.test && (PURE.contains(&source.module()) || listed)
    };
    let mut wrong = Vec::new();
    let sources = sources();
    for source in sources.iter().filter(pure) {
        // `use std::{fs, …}` names it as well.
        let grouped = source.own().split("use std::{").skip(1).filter_map(|group| group.split_once("};"));
        let inner: String = grouped.map(|(group, _)| group.to_owned()).collect();
        for impure in IMPURE {
            let within = impure.strip_prefix("std::").is_some_and(|module| {
                inner.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == module)
            });
            if source.own().contains(impure) || within {
                wrong.push(format!("{} has `{}`", source.path, impure.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(PURE_FILES.iter().all(|path| sources.iter().any(|source| source.path == *path)));
}

/// The files that may open a connection, start a process or write a file; each says why at its top.
const MAY: &[&str] = &[
    "broker/transport/sandbox.rs",
    "broker/transport/secret.rs",
    "broker/transport/start.rs",
    "cli/edit.rs",
    "cli/signing.rs",
    "lab/file.rs",
    "ledger/bundle.rs",
    "ledger/keys.rs",
    "ledger/keys/rotation.rs",
    "ledger/plain.rs",
    "ledger/sqlite/damage.rs",
    "model/key.rs",
    "runtime/solver.rs",
    "runtime/witness.rs",
    "runtime/witness/program.rs",
    "runtime/init.rs",
    "runtime/workspace.rs",
];
/// Those that may read the environment, as `clippy.toml` says.
const READS_ENVIRONMENT: &[&str] = &["main.rs", "cli/"];

#[test]
fn only_a_few_files_own_sockets_processes_and_writes() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.code.contains("disallowed_methods")) {
        let path = source.path.as_str();
        let reads = READS_ENVIRONMENT.iter().any(|place| path.starts_with(place));
        let own = source.own();
        let does = ["Command::new", "fs::write", "File::create", "::connect", "::bind"];
        let acts = does.iter().any(|what| own.contains(what));
        if !MAY.contains(&path) && !source.test && (!reads || acts) {
            wrong.push(path.to_owned());
        }
    }
    assert!(wrong.is_empty(), "these allow what only {MAY:?} may: {wrong:#?}");
    let config = fs::read_to_string(src().join("../clippy.toml")).unwrap();
    for method in ["std::process::Command::new", "std::net::TcpStream::connect", "std::fs::write", "std::env::var"] {
        assert!(config.contains(method), "clippy.toml no longer names {method}");
    }
}

#[test]
fn what_is_read_from_the_terminal_was_typed_after_the_question() {
    let reads = ["read_line(", ".readline(", "prompt_password(", "typed_line("];
    let mut readers = Vec::new();
    for source in sources().iter().filter(|source| !source.test) {
        let own = source.own();
        if source.path.starts_with("cli/") && reads.iter().any(|what| own.contains(what)) {
            assert!(own.contains("drop_typed_ahead();"), "{} keeps what was typed ahead", source.path);
            readers.push(source.path.clone());
        }
    }
    readers.sort();
    assert_eq!(readers, ["cli/question.rs", "cli/reader.rs", "cli/signing.rs"]);
}

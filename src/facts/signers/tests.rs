//! Lines that sign, lines that do not, and lines that could be read two ways.

use ssh_key::{LineEnding, PrivateKey, private::Ed25519Keypair};

use super::*;

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn signed(key: &PrivateKey, namespace: &str, message: &[u8]) -> String {
    key.sign(namespace, HashAlg::Sha512, message).unwrap().to_pem(LineEnding::LF).unwrap()
}

fn public(seed: u8) -> String {
    key(seed).public_key().to_openssh().unwrap()
}

#[test]
fn a_signature_is_taken_from_whom_for_what_and_when_the_line_says() {
    let text = format!(
        "# who signs\n\nada namespaces=\"countersign-gate,git\",valid-after=\"20261201Z\",\
         valid-before=\"202612020600Z\" {} ada's laptop\n  grace {}\n",
        public(1),
        public(2)
    );
    let signers = AllowedSigners::parse(&text).unwrap();
    let noon = at("2026-12-01T12:00:00Z");
    let (gate, call) = ("countersign-gate", "countersign-call");
    let check = |person: &str, seed: u8, namespace: &str, when: Timestamp| {
        signers.check(person, namespace, when, b"yes", &signed(&key(seed), namespace, b"yes"))
    };
    assert_eq!(check("ada", 1, gate, noon), Ok(fingerprint(key(1).public_key())));
    assert!(check("grace", 2, call, noon).is_ok());
    for (what, result, why) in [
        ("another's key", check("ada", 2, gate, noon), "no line for `ada`"),
        ("a stranger's key", check("ada", 3, gate, noon), "no line for `ada`"),
        ("a stranger", check("linus", 1, gate, noon), "no line for `linus`"),
        ("another namespace", check("ada", 1, call, noon), "does not sign for `countersign-call`"),
        ("too early", check("ada", 1, gate, at("2026-11-30T23:59:59Z")), "from 2026-12-01T00:00:00Z on"),
        ("too late", check("ada", 1, gate, at("2026-12-02T06:00:00Z")), "signs no more since"),
        (
            "a signature for something else",
            signers.check("ada", gate, noon, b"yes", &signed(&key(1), "git", b"yes")),
            "it is for `git`",
        ),
        (
            "other bytes",
            signers.check("ada", gate, noon, b"no", &signed(&key(1), gate, b"yes")),
            "not made with the key",
        ),
        ("no signature", signers.check("ada", gate, noon, b"yes", "yes"), "no SSH signature"),
        ("far too long", signers.check("ada", gate, noon, b"yes", &"x".repeat(5000)), "longer than"),
    ] {
        let said = result.expect_err(what);
        assert!(said.contains(why), "{what}: {said}");
    }
    let again = AllowedSigners::from_document(&signers.document()).unwrap();
    assert_eq!(again, signers);
}

#[test]
fn a_key_of_two_people_signs_for_neither() {
    let noon = at("2026-12-01T12:00:00Z");
    for text in [format!("ada,eve {}", public(1)), format!("ada {0}\ngrace {1}\neve {0}", public(1), public(2))] {
        let signers = AllowedSigners::parse(&text).unwrap();
        for person in ["ada", "eve"] {
            let gate = "countersign-gate";
            let said = signers.check(person, gate, noon, b"yes", &signed(&key(1), gate, b"yes")).unwrap_err();
            assert!(said.contains("does not show which of them signed"), "{said}");
        }
    }
}

#[test]
fn no_flipped_bit_of_a_signature_is_taken() {
    let signers = AllowedSigners::parse(&format!("ada {}", public(1))).unwrap();
    let noon = at("2026-12-01T12:00:00Z");
    let armored = signed(&key(1), "countersign-gate", b"yes");
    let taken = |text: &str| signers.check("ada", "countersign-gate", noon, b"yes", text).is_ok();
    assert!(taken(&armored));
    let body = armored.find('\n').unwrap()..armored.rfind("\n-----END").unwrap();
    for place in body.step_by(5) {
        let mut bytes = armored.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(changed == armored || !taken(&changed), "byte {place}");
    }
}

#[test]
fn a_line_that_could_be_read_two_ways_is_refused_at_its_place() {
    let ed = public(1);
    for (text, why) in [
        (format!("* {ed}"), "write each one out"),
        (format!("*@example.com {ed}"), "write each one out"),
        (format!("ada,!eve {ed}"), "write each one out"),
        (format!("ada, {ed}"), "write each one out"),
        (format!("\"ada\" {ed}"), "write each one out"),
        (format!("ada namespaces=\"countersign-*\" {ed}"), "write each one out"),
        (format!("ada namespaces=git {ed}"), "in quotes"),
        (format!("ada namespaces=\"git {ed}"), "not closed"),
        (format!("ada namespaces=\"a\",namespaces=\"b\" {ed}"), "stands twice"),
        (format!("ada valid-before=\"20261201\" {ed}"), "`Z` for UTC"),
        (format!("ada valid-before=\"20261301Z\" {ed}"), "is no time"),
        (format!("ada valid-after=\"2026120112Z\" {ed}"), "is no time"),
        (format!("ada valid-after=\"19700101Z\" {ed}"), "after 19700101Z"),
        (format!("ada valid-before=\"196912312359Z\" {ed}"), "after 19700101Z"),
        (format!("ada cert-authority {ed}"), "certificates"),
        (format!("ada no-touch-required {ed}"), "is no option"),
        (format!("ada {ed} valid-before=\"20260101Z\""), "stands behind the key, where it is a comment"),
        (format!("ada {ed} mine,namespaces=\"countersign-gate\""), "`namespaces` stands behind the key"),
        (format!("ada namespaces=\"a\" valid-before=\"20260101Z\" {ed}"), "put `,` alone between options"),
        (format!("ada\u{a0}{ed}"), "it has a space in it"),
        (format!("ada\u{2003}namespaces=\"countersign-gate\" {ed}"), "it has a space in it"),
        (format!("ada namespaces=\"countersign-gate, git\" {ed}"), "it has a space in it"),
        (format!("ada\x0b{ed}"), "it has a space in it"),
        (format!("ada\r{ed}"), "it has a space in it"),
        (format!("ada {}", ed.replace(' ', "\u{a0}")), "KEYTYPE"),
        ("ada".into(), "KEYTYPE"),
        ("ada ssh-ed25519".into(), "KEYTYPE"),
        ("ada ssh-ed25519 AAAA".into(), "no public key"),
        (ed.replace("ssh-ed25519", "ada ssh-rsa"), "no public key"),
    ] {
        let problem = AllowedSigners::parse(&format!("# first\n{text}\n")).expect_err(&text);
        assert!(problem.line == 2 && problem.message.contains(why), "{text}: {problem}");
    }
    assert!(AllowedSigners::parse(&format!("ada valid-after=\"19700101000001Z\" {ed}")).is_ok());
    assert_eq!(AllowedSigners::parse("\n# nobody\n").unwrap().of("ada").count(), 0);
    let tabbed = format!("\t ada\t namespaces=\"countersign-gate\"\t {ed}\t\r\n");
    assert_eq!(AllowedSigners::parse(&tabbed).unwrap().of("ada").count(), 1);
    // What was kept beside a signature is read as it was taken then.
    let kept = AllowedSigners { text: format!("ada {ed} valid-before=\"20260101Z\""), ..AllowedSigners::default() };
    assert_eq!(AllowedSigners::from_document(&kept.document()).unwrap().of("ada").count(), 1);
    assert!(AllowedSigners::parse(&format!("ada {ed} she says valid-before is fine")).is_ok());
    let theirs = AllowedSigners::parse_as("theirs", "ada\n").unwrap_err().to_string();
    assert!(theirs.starts_with("theirs:1: "), "{theirs}");
}

#[test]
fn a_key_whose_signatures_cannot_be_checked_says_so_and_leaves_the_others_alone() {
    let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 ";
    assert!(AllowedSigners::parse(&format!("ada {rsa}")).is_err(), "cut short");
    for (algorithm, why) in [
        (Algorithm::Rsa { hash: None }, "RUSTSEC-2023-0071"),
        (Algorithm::Dsa, "ssh-keygen -t ed25519"),
        (Algorithm::SkEd25519, "ssh-keygen -t ed25519"),
        (Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 }, "ssh-keygen -t ed25519"),
    ] {
        assert!(usable(&algorithm).expect_err("refused").contains(why), "{algorithm}");
    }
}

#[test]
fn a_comma_without_an_option_is_refused_as_by_ssh_keygen_and_the_last_day_counts() {
    let key = key(1).public_key().to_openssh().unwrap();
    let parse = |options: &str| AllowedSigners::parse(&format!("ada {options} {key}"));
    for options in ["namespaces=\"countersign-gate\",", ",namespaces=\"countersign-gate\"", ","] {
        assert!(parse(options).is_err(), "{options}");
    }
    let never = parse("valid-before=\"99991231Z\"").unwrap();
    assert!(never.lines()[0].valid_before.unwrap() > at("9999-01-01T00:00:00Z"));
    assert!(AllowedSigners::parse(&"#".repeat(LONGEST + 1)).is_err());
}

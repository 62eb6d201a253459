//! The approver's SSH key: found, opened and used here, in the process of whoever answers, and nowhere else. A key file
//! signs in this process; a key that ssh-agent holds signs through `ssh-keygen -Y sign`, which speaks to the agent.
#![allow(clippy::disallowed_methods, reason = "this file owns reading a person's key and asking ssh-keygen to sign")]

use std::{
    fs,
    io::{ErrorKind, IsTerminal, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey};

use crate::{
    facts::{line_for, usable},
    runtime::{Signer, Unsigned, Wanted},
};

use super::question::drop_typed_ahead;

/// How an encrypted key that is named begins, and any other private key in the format of OpenSSH.
const OPENSSH: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
/// No key file is longer.
const LONGEST: u64 = 64 * 1024;

/// Where the key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// In a file, private or public; the private half of a public one is with ssh-agent.
    File(PathBuf),
    /// With ssh-agent: whichever key it has that policies/allowed_signers has for the person.
    Agent {
        /// The folder in which the public key is put for `ssh-keygen` to read.
        scratch: PathBuf,
    },
}

impl Key {
    /// The key that was asked for: `--key`, else `COUNTERSIGN_KEY`; nothing where neither says one.
    pub fn asked_for(given: Option<&Path>, scratch: PathBuf) -> Option<Self> {
        let named = || std::env::var_os("COUNTERSIGN_KEY").filter(|named| !named.is_empty()).map(PathBuf::from);
        let path = given.map(Path::to_path_buf).or_else(named)?;
        Some(if path.as_os_str() == "agent" { Self::Agent { scratch } } else { Self::File(path) })
    }
}

impl Signer for Key {
    fn sign(&self, wanted: &Wanted<'_>) -> Result<String, Unsigned> {
        match self {
            Self::File(path) => with_file(path, wanted),
            Self::Agent { scratch } => with_agent(scratch, wanted),
        }
    }
}

/// What is said of a key file that is not there.
pub fn no_key(path: &Path) -> String {
    if path.starts_with("~") {
        return format!(
            "{}: there is no such key, since only a shell makes a home folder of `~`: write `--key ~/…` with a space and without \
             quotes",
            path.display()
        );
    }
    let agent = if path.as_os_str() == "ssh-agent" { ", or say `--key agent` for what ssh-agent holds" } else { "" };
    format!("{}: there is no such key; make one with `ssh-keygen -t ed25519`{agent}", path.display())
}

fn with_file(path: &Path, wanted: &Wanted<'_>) -> Result<String, Unsigned> {
    let place = path.display();
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => no_key(path),
        _ => format!("{place}: {error}"),
    })?;
    if !metadata.is_file() || metadata.len() > LONGEST {
        return Err(format!("{place} is no key file").into());
    }
    let text = fs::read_to_string(path).map_err(|error| format!("{place}: {error}"))?;
    if !text.contains("-----BEGIN") {
        let public = PublicKey::from_openssh(text.trim())
            .map_err(|error| format!("{place} is neither a private nor a public SSH key ({error}); give a private key file, or its .pub where ssh-agent holds it"))?;
        allowed(wanted, &public)?;
        return Ok(with_ssh_keygen(path, wanted)?);
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        let why = format!("others may read the private key {place}; take that back with `chmod 600 {place}`");
        return Err(why.into());
    }
    if !text.trim_start().starts_with(OPENSSH) {
        let why = format!("{place} is not in the format of OpenSSH; convert it with `ssh-keygen -p -f {place}`");
        return Err(why.into());
    }
    let key = PrivateKey::from_openssh(&text).map_err(|error| format!("{place} is no SSH key: {error}"))?;
    allowed(wanted, key.public_key())?;
    let key = if key.is_encrypted() { decrypted(&key, path)? } else { key };
    let signature = key.sign(wanted.namespace, HashAlg::Sha512, wanted.message);
    let armored = signature.and_then(|signature| signature.to_pem(LineEnding::LF));
    Ok(armored.map_err(|error| format!("{place} could not sign: {error}"))?)
}

/// Whether a key may sign this for the person; else why not, and what would let it.
fn allowed(wanted: &Wanted<'_>, key: &PublicKey) -> Result<(), Unsigned> {
    let known = || wanted.signers.of(wanted.person).any(|line| line.key.key_data() == key.key_data());
    usable(&key.algorithm())?;
    // A key that is another person's signs for them, and to have it sign for both would make one of two people.
    let theirs = || {
        let mut lines = wanted.signers.lines().iter().filter(|line| line.key.key_data() == key.key_data());
        lines.find_map(|line| line.principals.first().cloned())
    };
    wanted.signers.allows(wanted.person, key, wanted.namespace, wanted.at).map_err(|why| {
        Unsigned::NotAllowed(match (known(), theirs()) {
            (true, _) => why,
            (false, Some(other)) => format!("{why}: it is the key of `{other}`; give a key of `{}`", wanted.person),
            (false, None) => format!("{why}; an owner adds:\n{}", line_for(wanted.person, key)),
        })
    })
}

fn decrypted(key: &PrivateKey, path: &Path) -> Result<PrivateKey, String> {
    let place = path.display();
    if !std::io::stdin().is_terminal() {
        return Err(format!(
            "{place} is locked with a passphrase, and there is no terminal to ask for it; load it with `ssh-add {place}` \
             and give the .pub file"
        ));
    }
    drop_typed_ahead();
    let passphrase = rpassword::prompt_password(format!("Passphrase of {place}: "))
        .map_err(|error| format!("no passphrase could be read: {error}"))?;
    key.decrypt(passphrase).map_err(|_| format!("that is not the passphrase of {place}; nothing was signed"))
}

/// Asks ssh-agent for each key that the person has, until one signs.
fn with_agent(scratch: &Path, wanted: &Wanted<'_>) -> Result<String, Unsigned> {
    if std::env::var_os("SSH_AUTH_SOCK").is_none_or(|socket| socket.is_empty()) {
        let why = "no ssh-agent is here (SSH_AUTH_SOCK is not set); start one, or give a key file".to_owned();
        return Err(why.into());
    }
    let may = |key: &&PublicKey| wanted.signers.allows(wanted.person, key, wanted.namespace, wanted.at).is_ok();
    let keys: Vec<&PublicKey> = wanted.signers.of(wanted.person).map(|line| &line.key).filter(may).collect();
    if keys.is_empty() {
        return Err(Unsigned::NotAllowed(format!(
            "policies/allowed_signers has no key with which `{}` may sign this now; an owner adds a line such as\n\
             {} namespaces=\"{}\" ssh-ed25519 AAAA…",
            wanted.person, wanted.person, wanted.namespace
        )));
    }
    let mut why = String::new();
    for key in keys {
        let path = scratch.join(format!("agent-{}.pub", std::process::id()));
        let line = key.to_openssh().map_err(|error| error.to_string())?;
        fs::write(&path, format!("{line}\n")).map_err(|error| format!("{}: {error}", path.display()))?;
        let signed = with_ssh_keygen(&path, wanted);
        // A public key that is left lying about harms nobody.
        let _ = fs::remove_file(&path);
        match signed {
            Ok(signature) => return Ok(signature),
            Err(reason) => why = reason,
        }
    }
    Err(format!("ssh-agent signs with no key of `{}` ({why}); load it with `ssh-add`", wanted.person).into())
}

/// A signature of the key whose public half is in a file, by way of `ssh-keygen`, which asks ssh-agent.
fn with_ssh_keygen(public: &Path, wanted: &Wanted<'_>) -> Result<String, String> {
    let mut child = Command::new("ssh-keygen")
        // `-U`: by ssh-agent, and not by a private key that lies beside it.
        .args(["-Y", "sign", "-U", "-n", wanted.namespace, "-f"])
        .arg(public)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            format!("`ssh-keygen` could not be started ({error}); install openssh-client, or give a key file")
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that has ended already says why below.
        let _ = stdin.write_all(wanted.message);
    }
    let output = child.wait_with_output().map_err(|error| format!("`ssh-keygen` did not end: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let hint = if said.contains("agent") {
            "; load the private key with `ssh-add`, or give its file and not the public half"
        } else {
            ""
        };
        return Err(format!("`ssh-keygen -Y sign` said: {}{hint}", said.trim()));
    }
    String::from_utf8(output.stdout).map_err(|_| "`ssh-keygen` answered no signature".into())
}

/// Makes a key for a demonstration, and the line that lets it sign for a person.
pub fn demo_key(path: &Path, person: &str) -> Result<String, String> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| format!("no random numbers: {error}"))?;
    let key = PrivateKey::from(ssh_key::private::Ed25519Keypair::from_seed(&seed));
    key.write_openssh_file(path, LineEnding::LF).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(line_for(person, key.public_key()))
}

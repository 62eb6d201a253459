//! What a server is started as: its command with every file that the command names, and what it may touch. Looked at
//! anew for every start, and compared with what a person has pinned.
#![allow(clippy::disallowed_methods, reason = "this file owns starting tool processes")]

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    artifact::{Digest, Digester},
    tool::{Kept, Manifest, ServerPin, filled},
};

use super::{super::sources::Sources, sandbox};

/// A server that could be started.
pub(super) struct Start {
    family: String,
    command: Vec<String>,
    /// The digest of the program.
    pub(super) executable: Digest,
    /// The digest of each file that another word of the command names.
    pub(super) files: BTreeMap<String, Digest>,
    /// What it may touch; nothing where the kernel cannot hold it to that.
    reach: Option<Reach>,
}

/// What a server may touch.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reach {
    /// What it may read and start.
    pub(super) read: Vec<PathBuf>,
    /// What it may change as well.
    pub(super) write: Vec<PathBuf>,
}

impl Start {
    /// Looks at what the command of a manifest names now.
    pub(super) fn of(manifest: &Manifest, sources: &dyn Sources) -> Result<Self, String> {
        let family = manifest.family.clone();
        let root = sources.root();
        let text = |path: &Path| {
            path.to_str().map(str::to_owned).ok_or_else(|| format!("the path {} is not text", path.display()))
        };
        let (program, workspace) = (text(sources.program())?, text(root)?);
        let fill = |word: &String| filled(word, &program, &workspace);
        let command: Vec<String> = manifest.server.command.iter().map(fill).collect();
        let started = absolute(command.first().map(String::as_str).unwrap_or_default())?;
        let executable = digest(&started)?;
        let declared = |paths: &[String]| paths.iter().map(|path| PathBuf::from(fill(path))).collect::<Vec<_>>();
        let mut reach =
            Reach { read: declared(&manifest.server.files.read), write: declared(&manifest.server.files.write) };
        if let Some(path) = reach.read.iter().chain(&reach.write).find(|path| !path.exists()) {
            return Err(format!("`{family}` may touch {}, which is not there; make it first", path.display()));
        }
        let mut files = BTreeMap::new();
        for (word, filled) in manifest.server.command.iter().zip(&command).skip(1) {
            for path in named(root, filled).filter(|path| !reach.write.iter().any(|own| path.starts_with(own))) {
                files.insert(word.clone(), digest(&path)?);
                reach.read.push(path);
            }
        }
        // What prints a secret is pinned like what is given it, and is not for the server to touch.
        for secret in &manifest.server.secrets {
            for word in secret.command.iter().flatten() {
                for path in named(root, &fill(word)) {
                    files.insert(word.clone(), digest(&path)?);
                }
            }
        }
        reach.read.push(started);
        reach.keep(sources.kept()).map_err(|why| format!("the server of `{family}` cannot be started: {why}"))?;
        let reach = match (sandbox::supported(), manifest.simulated) {
            (true, _) => Some(reach),
            // A simulation has nothing to hide from: it is what it acts on.
            (false, true) => None,
            (false, false) => {
                return Err(format!(
                    "the server of `{family}` is not started: this kernel has no Landlock, so nothing would keep it \
                     from the ledger, the policies and keys; use a kernel of Linux 5.13 or later with Landlock enabled"
                ));
            }
        };
        Ok(Self { family, command, executable, files, reach })
    }

    /// What is otherwise than when it was pinned, in words.
    pub(super) fn differs(&self, manifest: &Manifest, pin: &ServerPin) -> Option<String> {
        let family = &self.family;
        if manifest.server.command != pin.command {
            return Some(format!("the command of `{family}` is not the one that was pinned"));
        }
        if self.executable != pin.executable {
            return Some(format!("the program of `{family}` has changed since it was pinned"));
        }
        let word = pin.files.keys().chain(self.files.keys()).find(|word| self.files.get(*word) != pin.files.get(*word));
        word.map(|word| match (pin.files.contains_key(word), self.files.contains_key(word)) {
            (true, true) => format!("the file `{word}` of `{family}` has changed since it was pinned"),
            (true, false) => format!("the file `{word}` of `{family}` was pinned and is gone"),
            _ => format!("the file `{word}` of `{family}` was not there when it was pinned"),
        })
    }

    /// Whether the kernel holds it to what it may touch.
    pub(super) fn confined(&self) -> bool {
        self.reach.is_some()
    }

    /// The process: without an environment, in the workspace's folder, behind the program that confines it and ties it
    /// to this one.
    pub(super) fn process(&self, sources: &dyn Sources) -> Result<tokio::process::Command, String> {
        let mut words: Vec<std::ffi::OsString> = Vec::new();
        words.extend([sources.program().into(), "sandbox".into(), format!("--with={}", std::process::id()).into()]);
        if let Some(reach) = &self.reach {
            for (option, paths) in [("--read=", &reach.read), ("--write=", &reach.write)] {
                for path in paths {
                    let mut word = std::ffi::OsString::from(option);
                    word.push(path);
                    words.push(word);
                }
            }
        } else {
            words.push("--unconfined".into());
        }
        words.push("--".into());
        words.extend(self.command.iter().map(Into::into));
        let (program, args) =
            words.split_first().ok_or_else(|| format!("the command of `{}` is empty", self.family))?;
        let mut child = tokio::process::Command::new(program);
        child.args(args).env_clear().current_dir(sources.root()).kill_on_drop(true);
        // A terminal's Ctrl-C is for this program, which lets a call that is under way end; it is not for the server.
        child.process_group(0);
        Ok(child)
    }
}

impl Reach {
    /// Refuses what would give away a place that is kept from every server, wherever links lead.
    fn keep(&self, kept: &Kept) -> Result<(), String> {
        let system = sandbox::SYSTEM.iter().map(Path::new);
        let read = self.read.iter().map(PathBuf::as_path).chain(system).map(|path| (path, false));
        for (path, write) in read.chain(self.write.iter().map(|path| (path.as_path(), true))) {
            let Ok(resolved) = path.canonicalize() else { continue };
            if let Some(place) = kept.given_away(&resolved, write).or_else(|| kept.given_away(path, write)) {
                return Err(format!(
                    "leave for {} would give away {}; no server may touch that",
                    path.display(),
                    place.display()
                ));
            }
        }
        Ok(())
    }
}

/// The files that a word names from the folder where the server starts: all of it, or what stands after its `=`.
fn named(root: &Path, word: &str) -> impl Iterator<Item = PathBuf> {
    let after = word.split_once('=').map(|(_, after)| after);
    let paths: Vec<PathBuf> = [Some(word), after].into_iter().flatten().map(|word| root.join(word)).collect();
    paths.into_iter().filter(|path| path.is_file())
}

/// Only a path is taken: a name would be looked up in an environment that the child does not even get.
fn absolute(program: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(program);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(format!("`{program}` is not an absolute path; write one in the manifest's `command`"))
    }
}

/// The digest of a file, which is read in parts: programs are large.
fn digest(path: &Path) -> Result<Digest, String> {
    let unreadable = |error: io::Error| format!("{} cannot be read: {error}", path.display());
    let mut file = File::open(path).map_err(unreadable)?;
    let (mut digester, mut part) = (Digester::default(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut part) {
            Ok(0) => return Ok(digester.finish()),
            Ok(read) => digester.update(part.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{LedgerId, from_yaml};

    struct Here {
        root: PathBuf,
        ledger: LedgerId,
        kept: Kept,
    }

    impl Sources for Here {
        fn catalog(&self) -> Result<std::sync::Arc<crate::policy::Catalog>, String> {
            Err("none".into())
        }
        fn root(&self) -> &Path {
            &self.root
        }
        fn ledger(&self) -> &LedgerId {
            &self.ledger
        }
        fn program(&self) -> &Path {
            Path::new("/bin/sh")
        }
        fn revision(&self) -> Option<String> {
            None
        }
        fn kept(&self) -> &Kept {
            &self.kept
        }
    }

    fn here() -> (tempfile::TempDir, Here) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in [".countersign/servers/t", "policies", "data"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::write(root.join("server.py"), "one").unwrap();
        std::fs::write(root.join("data/own.json"), "own").unwrap();
        std::fs::write(root.join("config"), "config").unwrap();
        let kept = Kept::of(&root, None);
        (folder, Here { root, ledger: "0".repeat(32).parse().unwrap(), kept })
    }

    fn manifest(server: &str) -> Manifest {
        let text = format!("kind: tools\nfamily: t\nabout: t\nsimulated: true\nserver: {server}\ntools: []\n");
        from_yaml("m", &text).unwrap()
    }

    fn start(server: &str, here: &Here) -> Result<Start, String> {
        Start::of(&manifest(server), here)
    }

    #[test]
    fn every_file_that_the_command_names_is_pinned_and_a_servers_own_files_are_not() {
        let (_folder, here) = here();
        let server = "{command: [/bin/sh, server.py, --config=config, '{workspace}/data/own.json', -v, policies], \
                      files: {write: ['{workspace}/data']}}";
        let seen = start(server, &here).unwrap();
        assert_eq!(seen.files.keys().collect::<Vec<_>>(), ["--config=config", "server.py"]);
        let pin = ServerPin {
            command: manifest(server).server.command,
            executable: seen.executable,
            files: seen.files.clone(),
            tools: BTreeMap::new(),
            manifest: None,
        };
        let differs = || start(server, &here).unwrap().differs(&manifest(server), &pin);
        assert_eq!(differs(), None);
        std::fs::write(here.root.join("data/own.json"), "changed").unwrap();
        assert_eq!(differs(), None);
        std::fs::write(here.root.join("server.py"), "two").unwrap();
        assert_eq!(differs().unwrap(), "the file `server.py` of `t` has changed since it was pinned");
        std::fs::remove_file(here.root.join("server.py")).unwrap();
        assert_eq!(differs().unwrap(), "the file `server.py` of `t` was pinned and is gone");
        std::fs::write(here.root.join("server.py"), "one").unwrap();
        std::fs::write(here.root.join("-v"), "").unwrap();
        assert_eq!(differs().unwrap(), "the file `-v` of `t` was not there when it was pinned");
    }

    #[test]
    fn no_server_is_started_with_leave_for_what_is_kept_from_it() {
        let (_folder, here) = here();
        std::os::unix::fs::symlink(here.root.join("policies"), here.root.join("rules")).unwrap();
        for (files, command) in [
            ("read: ['{workspace}']", ""),
            ("read: ['/']", ""),
            ("write: ['{workspace}/policies']", ""),
            ("read: ['{workspace}/rules']", ""),
            ("", "'{workspace}/policies/people.yaml'"),
        ] {
            std::fs::write(here.root.join("policies/people.yaml"), "").unwrap();
            let server = format!("{{command: [/bin/sh, {command}], files: {{{files}}}}}");
            let why = start(&server, &here).err().unwrap_or_else(|| panic!("{server} is started"));
            assert!(why.contains("would give away"), "{why}");
        }
        assert!(start("{command: [/bin/sh], files: {write: ['{workspace}/.countersign/servers/t']}}", &here).is_ok());
        let why = start("{command: [/bin/sh], files: {read: ['{workspace}/gone']}}", &here).err().unwrap();
        assert!(why.contains("is not there; make it first"), "{why}");
    }
}

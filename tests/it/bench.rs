//! A workspace to try things in, and the program to try them with.

use std::{
    fmt::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::OnceLock,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The program under test: a second name for what was built, so that a build meanwhile does not change it under way.
/// Servers are pinned by their program's digest, so a change would be noticed.
pub fn program() -> &'static Path {
    static LINKED: OnceLock<PathBuf> = OnceLock::new();
    LINKED.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Names that runs of these tests left which are over.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let of = name.to_str().and_then(|name| name.strip_prefix("countersign-"));
            if of.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let link = folder.join(format!("countersign-{}", std::process::id()));
        std::fs::hard_link(env!("CARGO_BIN_EXE_countersign"), &link).unwrap();
        link
    })
}

/// A command that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Answer {
    /// Fails unless the command ended so.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n-- out\n{}\n-- err\n{}", self.out, self.err);
        self
    }

    /// Fails unless the command ended in one of these ways.
    #[track_caller]
    pub fn code_in(self, codes: &[i32]) -> Self {
        assert!(codes.contains(&self.code), "{}\n-- out\n{}\n-- err\n{}", self.code, self.out, self.err);
        self
    }

    /// Fails unless the error says this.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "`{text}` is not in\n-- out\n{}\n-- err\n{}", self.out, self.err);
        self
    }

    /// Fails unless the answer shows this.
    #[track_caller]
    pub fn shows(self, text: &str) -> Self {
        assert!(self.out.contains(text), "`{text}` is not in\n-- out\n{}\n-- err\n{}", self.out, self.err);
        self
    }

    /// The answer for a program.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}\n-- out\n{}\n-- err\n{}", self.out, self.err))
    }
}

/// A command of the program in a folder, with nothing of the caller's environment that it reads.
pub fn command(folder: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(program());
    command.current_dir(folder).stdin(Stdio::null());
    for name in [
        "NO_COLOR",
        "COUNTERSIGN_LOG",
        "EDITOR",
        "VISUAL",
        "COLUMNS",
        "RUST_BACKTRACE",
        "COUNTERSIGN_KEY",
        "SSH_AUTH_SOCK",
    ] {
        command.env_remove(name);
    }
    // No solver is there unless a test brings one: what is proven does not depend on where the tests run.
    command.env("CVC5", "/nowhere/cvc5");
    command
}

/// Runs a command to its end.
pub fn run_in(folder: &Path, args: &[&str]) -> Answer {
    let mut command = command(folder);
    command.args(args);
    finish(command)
}

/// Runs a prepared command to its end.
pub fn finish(command: std::process::Command) -> Answer {
    let output = assert_cmd::Command::from_std(command).timeout(PATIENCE).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// A workspace as `countersign init` lays it out, with `ada` as its owner.
pub struct Bench {
    _home: TempDir,
    /// Its folder.
    pub root: PathBuf,
}

impl Bench {
    /// A new workspace. One is laid out for all; each test has a copy, which works as it is wherever it lies.
    pub fn new() -> Self {
        static LAID_OUT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
        Self::copy_of(LAID_OUT.get_or_init(|| {
            let home = tempfile::tempdir().unwrap();
            let root = home.path().canonicalize().unwrap().join("first");
            run_in(home.path(), &["init", "first", "--as", "ada"]).code(0);
            (home, root)
        }))
    }

    /// A new workspace in which a call that is not answered is given up after one second.
    pub fn impatient() -> Self {
        static LAID_OUT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
        Self::copy_of(LAID_OUT.get_or_init(|| {
            let bench = Self::new();
            bench.edit("tools/lab.yaml", "timeout_seconds: 5", "timeout_seconds: 1");
            bench.run(&["tools", "pin", "--yes"]).code(0);
            (bench._home, bench.root)
        }))
    }

    /// Another workspace that is as this one is now.
    pub fn copy(&self) -> Self {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap().join("workspace");
        copy(&self.root, &root);
        Self { _home: home, root }
    }

    fn copy_of((_, first): &(TempDir, PathBuf)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap().join("workspace");
        copy(first, &root);
        Self { _home: home, root }
    }

    /// A folder outside the workspace that goes with it.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.root.parent().unwrap().join(name)
    }

    /// Runs a command.
    pub fn run(&self, args: &[&str]) -> Answer {
        run_in(&self.root, args)
    }

    /// Runs a command that must succeed, for its JSON.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.push("--json");
        self.run(&args).code(0).json()
    }

    /// Starts a command and leaves it running.
    pub fn start(&self, args: &[&str]) -> Child {
        let mut command = command(&self.root);
        command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// Starts `run` where each call takes so many milliseconds, and waits for its first change.
    #[track_caller]
    pub fn under_way(&self, id: &str, ms: u32) -> Child {
        self.fault(&format!("slow:vlan.create,ms={ms}"));
        let mut running = self.start(&["run", id]);
        while self.writes().is_empty() {
            assert!(running.try_wait().unwrap().is_none(), "it runs");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        running
    }

    /// Puts a script of the workspace's own in front of the lab, which runs these lines first, and gives the folder
    /// beside the workspace, `{beside}` in them, in which it may write. It is not pinned yet.
    pub fn in_front(&self, lines: &str) -> PathBuf {
        let (script, beside) = (self.root.join("lab.sh"), self.outside("beside"));
        std::fs::create_dir_all(&beside).unwrap();
        let lines = lines.replace("{beside}", beside.to_str().unwrap());
        std::fs::write(&script, format!("#!/bin/sh\n{lines}\nexec '{}' \"$@\"\n", program().display())).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.edit("tools/lab.yaml", "\"{countersign}\", \"lab\"", "\"{workspace}/lab.sh\", \"lab\"");
        let files = format!("files: {{read: [\"{}\"], write: [\"{}\", ", program().display(), beside.display());
        self.edit("tools/lab.yaml", "files: {write: [", &files);
        beside
    }

    /// Files a request and gives its id.
    #[track_caller]
    pub fn request(&self, args: &[&str]) -> String {
        let args = [&["request"], args].concat();
        self.json(&args)["engagement"].as_str().unwrap().to_owned()
    }

    /// Files the `vlan` request that most tests work with.
    #[track_caller]
    pub fn request_vlan(&self) -> String {
        self.request(&["--blueprint", "vlan", "--set", "id=120", "--set", "name=guest"])
    }

    /// The same for one switch, where it does not matter how many there are.
    #[track_caller]
    pub fn request_one(&self) -> String {
        self.request(&["--blueprint", "vlan", "--set", "id=120", "--set", "name=guest", "--set", "switches=sw01"])
    }

    /// Files a request with a hand-written spec and design.
    #[track_caller]
    pub fn request_written(&self, spec: &str, design: &str) -> String {
        self.write("my-spec.yaml", spec);
        self.write("my-design.yaml", design);
        self.request(&["--spec", "my-spec.yaml", "--design", "my-design.yaml"])
    }

    /// Runs an engagement, which must end so.
    #[track_caller]
    pub fn drive(&self, id: &str, code: i32) -> Value {
        self.run(&["run", id, "--json"]).code(code).json()
    }

    /// The digest of the open question; what a person would have seen.
    #[track_caller]
    pub fn question(&self, id: &str) -> String {
        let digest = &self.json(&["show", id])["question_digest"];
        digest.as_str().unwrap_or_else(|| panic!("nothing is open in {id}")).to_owned()
    }

    /// Approves the open question with its digest, and with these arguments; signed by ada, if she has a key.
    #[track_caller]
    pub fn approving(&self, id: &str, args: &[&str]) -> Answer {
        let key = self.key_file("ada");
        let own = key.exists() && !args.iter().any(|arg| ["--as", "--key"].contains(arg));
        let key = if own { vec!["--key", key.to_str().unwrap()] } else { Vec::new() };
        self.run(&[&["approve", id, "--digest", &self.question(id)], &key[..], args].concat())
    }

    /// Where the key of a person lies.
    fn key_file(&self, name: &str) -> PathBuf {
        self.outside(&format!("{name}.key"))
    }

    /// The SSH key of a person, made where there is none, for which policies/allowed_signers has a line.
    pub fn key_of(&self, name: &str) -> String {
        let path = self.key_file(name);
        if !path.exists() {
            let seed = [name.bytes().fold(7, |seed: u8, byte| seed.wrapping_mul(31).wrapping_add(byte)); 32];
            let key = ssh_key::PrivateKey::from(ssh_key::private::Ed25519Keypair::from_seed(&seed));
            key.write_openssh_file(&path, ssh_key::LineEnding::LF).unwrap();
            let public = key.public_key().to_openssh().unwrap();
            std::fs::write(path.with_extension("pub"), format!("{public}\n")).unwrap();
            let signers = self.read("policies/allowed_signers");
            self.write("policies/allowed_signers", &format!("{signers}{name} {public}\n"));
        }
        path.to_str().unwrap().to_owned()
    }

    /// Gives a scope a trust stage, signed by ada.
    #[track_caller]
    pub fn trust(&self, scope: &str, stage: &str, reason: &str) {
        let key = self.key_of("ada");
        self.run(&["trust", "set", scope, stage, "--reason", reason, "--key", &key]).code(0);
    }

    /// Puts every target into production.
    pub fn in_production(&self) {
        let inventory = self.read("policies/inventory.yaml").replace("environment: lab", "environment: production");
        self.write("policies/inventory.yaml", &inventory);
    }

    /// Approves the open question.
    #[track_caller]
    pub fn approve(&self, id: &str) {
        self.approving(id, &["--reason", "it was looked at"]).code(0);
    }

    /// Runs an engagement to gate 2, approving gate 1.
    #[track_caller]
    pub fn to_gate2(&self, id: &str) {
        assert_eq!(self.drive(id, 3)["status"]["about"], "gate1");
        self.approve(id);
        assert_eq!(self.drive(id, 3)["status"]["about"], "gate2");
    }

    /// Runs an engagement through both gates; what the run after them answers, which must end so.
    #[track_caller]
    pub fn to_end(&self, id: &str, code: i32) -> Value {
        self.to_gate2(id);
        self.approve(id);
        self.drive(id, code)
    }

    /// Runs an engagement and says yes to whatever is asked, until it ends; its last answer and exit code.
    #[track_caller]
    pub fn yes_to_all(&self, id: &str) -> (i32, Value) {
        for _ in 0..12 {
            let answer = self.run(&["run", id, "--json"]);
            if answer.code != 3 {
                return (answer.code, answer.json());
            }
            self.approve(id);
        }
        panic!("{id} does not end:\n{}", self.run(&["log", id]).out);
    }

    /// The events of an engagement, of the kinds that begin so.
    #[track_caller]
    pub fn events(&self, id: &str, kind: &str) -> Vec<Value> {
        self.json(&["log", id, "--kind", kind]).as_array().unwrap().clone()
    }

    /// The engagements there are.
    #[track_caller]
    pub fn list(&self) -> Vec<Value> {
        self.json(&["list"]).as_array().unwrap().clone()
    }

    /// A filed artifact.
    #[track_caller]
    pub fn artifact(&self, id: &str, kind: &str) -> Value {
        self.json(&["show", id, "--artifact", kind])
    }

    /// The digest of an engagement's record.
    #[track_caller]
    pub fn record_digest(&self, id: &str) -> Value {
        let artifacts = self.json(&["show", id])["artifacts"].clone();
        let record = artifacts.as_array().unwrap().iter().find(|filed| filed["artifact"] == "reconciled.record");
        record.unwrap()["digest"].clone()
    }

    /// The simulated network.
    #[track_caller]
    pub fn network(&self) -> Value {
        self.json(&["lab", "show"])["network"].clone()
    }

    /// The names of the VLANs with this id, by switch; null where a switch does not have it.
    #[track_caller]
    pub fn vlan(&self, id: &str) -> Vec<Value> {
        let network = self.network();
        ["sw01", "sw02", "sw03", "sw04"].map(|switch| network["switches"][switch]["vlans"][id].clone()).to_vec()
    }

    /// Makes the lab misbehave.
    #[track_caller]
    pub fn fault(&self, fault: &str) {
        self.run(&["lab", "fault", fault]).code(0);
    }

    /// Ends all misbehaviour.
    #[track_caller]
    pub fn heal(&self) {
        self.run(&["lab", "fault", "--clear"]).code(0);
    }

    /// The writes that took effect in the lab, each as `tool target…` with its arguments in order.
    pub fn writes(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.root.join(".countersign/servers/lab/lab.json.journal.jsonl"))
            .unwrap_or_default();
        let line = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let mut text = line["tool"].as_str().unwrap().to_owned();
            for value in line["args"].as_object().unwrap().values() {
                let _ = write!(text, " {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
            text
        };
        text.lines().map(line).collect()
    }

    /// Changes the simulated network behind everyone's back, and under the lock of its file: the server may be at it.
    pub fn tamper(&self, change: impl FnOnce(&mut Value)) {
        let file = self.root.join(".countersign/servers/lab/lab.json");
        let lock =
            std::fs::OpenOptions::new().append(true).create(true).open(file.with_added_extension("lock")).unwrap();
        lock.lock().unwrap();
        let mut state: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        change(&mut state["network"]);
        let new = file.with_added_extension("new");
        std::fs::write(&new, state.to_string()).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    /// A file of the workspace.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.root.join(name)).unwrap()
    }

    /// Writes a file of the workspace.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.root.join(name), text).unwrap();
    }

    /// Replaces text in a file of the workspace, which must be there.
    #[track_caller]
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} does not say `{from}`");
        self.write(name, &text.replace(from, to));
    }

    /// Adds people with these roles beside the owner.
    pub fn people(&self, people: &[(&str, &str)]) {
        let mut text = self.read("policies/people.yaml");
        for (name, role) in people {
            let _ = writeln!(text, "  - {{name: {name}, os_users: [], roles: [{role}]}}");
        }
        self.write("policies/people.yaml", &text);
    }

    /// Fails unless the chain of an engagement holds and every call that was begun has an outcome.
    #[track_caller]
    pub fn holds(&self, id: &str) {
        let verified = self.run(&["verify", id, "--rules", "--json"]).code(0).json();
        assert_eq!(
            verified["rules"]["shown_otherwise"],
            json!([]),
            "whoever answered was shown what is made again here"
        );
        let of =
            |kind| self.events(id, kind).into_iter().map(|event| event["body"]["call"].clone()).collect::<Vec<_>>();
        let (begun, over) = (of("call.allowed"), of("call.finished"));
        assert!(begun.iter().all(|call| over.contains(call)), "a call has no outcome");
    }
}

/// Each with what became of it, as `name outcome`.
pub fn outcomes(of: &Value, name: &str) -> Vec<String> {
    let line = |one: &Value| format!("{} {}", one[name].as_str().unwrap(), one["outcome"].as_str().unwrap());
    of.as_array().unwrap().iter().map(line).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

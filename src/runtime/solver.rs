//! The solver: which program it is, and asking it. It is started with an empty environment, is given formulas on its
//! standard input and nothing else, and is killed when it takes too long or nobody needs it any more. What to ask
//! and what an answer means is [`crate::policy`]'s.
#![allow(clippy::disallowed_methods, reason = "this file owns starting the solver")]

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use cedar_policy_symcc::{CedarSymCompiler, Env, err::Error, solver::LocalSolver};
use tokio::{process::Command, runtime::Handle, time::timeout};

use crate::{
    artifact::{CanonicalError, Spec},
    policy::{Ask, Catalog, Goal, ProofReport, Subject, prove, unproven},
};

/// How long one goal may take.
const ONE_GOAL: Duration = Duration::from_secs(10);
/// How long all goals of one spec may take.
const ALL_GOALS: Duration = Duration::from_secs(60);
/// How long the solver may take to say its version.
const VERSION: Duration = Duration::from_secs(5);
/// How much room the encoding of a formula has; it is made by recursion, and what is not used costs nothing.
const STACK: usize = 256 << 20;
/// What to do where there is none.
const INSTALL: &str = "install it (Debian and Ubuntu: `apt-get install cvc5`) or write `solver = \"/path/to/cvc5\"` in \
                       countersign.toml";

/// Where the caller's environment says that a solver is. What countersign.toml says goes first.
#[derive(Clone, Debug, Default)]
pub struct SolverSearch {
    /// The program, by name.
    pub named: Option<PathBuf>,
    /// Folders in which it may be.
    pub folders: Vec<PathBuf>,
}

/// A solver that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solver {
    program: PathBuf,
    version: String,
}

impl Solver {
    /// Finds the solver and asks for its version. The error says what to do to have one.
    pub async fn find(configured: Option<&Path>, search: &SolverSearch, workspace: &Path) -> Result<Self, String> {
        let program = locate(configured, search, workspace)?;
        let version = version(&program).await.map_err(|why| format!("{} cannot be used: {why}", program.display()))?;
        Ok(Self { program, version })
    }

    /// Its name and version, such as `cvc5 1.0.3`.
    pub fn version(&self) -> &str {
        &self.version
    }

    fn start(&self) -> Result<CedarSymCompiler<LocalSolver>, String> {
        let mut command = command(&self.program);
        command.args(["--lang", "smt", "--strings-exp", &format!("--tlimit-per={}", ONE_GOAL.as_millis())]);
        let solver = LocalSolver::from_command(&mut command).map_err(|error| error.to_string())?;
        CedarSymCompiler::new(solver).map_err(|error| error.to_string())
    }
}

/// The program: what countersign.toml names, else what the environment names, else the first on the path.
fn locate(configured: Option<&Path>, search: &SolverSearch, workspace: &Path) -> Result<PathBuf, String> {
    for (named, by) in [(configured, "countersign.toml"), (search.named.as_deref(), "`CVC5`")] {
        let Some(program) = named else { continue };
        if !program.is_absolute() {
            return Err(format!("{by} names the solver {}; give its whole path", program.display()));
        }
        if !program.is_file() {
            return Err(format!("the solver {} that {by} names is not there; {INSTALL}", program.display()));
        }
        return Ok(program.to_owned());
    }
    // What lies in the workspace came with it, and must not be started only because it has the right name.
    let trusted = |folder: &&PathBuf| folder.is_absolute() && !folder.starts_with(workspace);
    let mut programs = search.folders.iter().filter(trusted).map(|folder| folder.join("cvc5"));
    programs.find(|program| program.is_file()).ok_or_else(|| format!("cvc5 is not installed; {INSTALL}"))
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().current_dir("/").kill_on_drop(true);
    command
}

/// `cvc5 1.0.3`, from `This is cvc5 version 1.0.3`.
async fn version(program: &Path) -> Result<String, String> {
    let mut command = command(program);
    command.arg("--version").stdin(Stdio::null());
    let output = timeout(VERSION, command.output()).await.map_err(|_| "it does not answer".to_owned())?;
    let output = output.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = text.lines().next().and_then(|line| line.strip_prefix("This is cvc5 version "));
    let number = said.and_then(|said| said.split_whitespace().next());
    let plain =
        |number: &&str| number.len() <= 40 && number.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c));
    number.filter(plain).map(|number| format!("cvc5 {number}")).ok_or_else(|| "it does not say that it is cvc5".into())
}

/// Has everything proven about a spec that can be; where there is no solver, the report says that and why.
pub async fn prove_spec(
    catalog: &Arc<Catalog>,
    spec: &Arc<Spec>,
    before: Option<&Arc<Spec>>,
    solver: &Result<Solver, String>,
) -> Result<ProofReport, CanonicalError> {
    let (catalog, spec, before) = (Arc::clone(catalog), Arc::clone(spec), before.map(Arc::clone));
    let solver = match solver {
        Ok(solver) => solver.clone(),
        Err(reason) => {
            return unproven(Subject { catalog: &catalog, spec: &spec, before: before.as_deref() }, reason);
        }
    };
    let handle = Handle::current();
    let (kept, version) = ((Arc::clone(&catalog), Arc::clone(&spec), before.clone()), solver.version.clone());
    let (answer, answered) = tokio::sync::oneshot::channel();
    let proving = std::thread::Builder::new().name("solver".into()).stack_size(STACK).spawn(move || {
        let mut asking = Asking { solver, session: None, handle, until: Instant::now() + ALL_GOALS };
        let version = asking.solver.version.clone();
        let subject = Subject { catalog: &catalog, spec: &spec, before: before.as_deref() };
        // Whoever waited for it may have gone; then nobody wants the report.
        let _ = answer.send(prove(subject, &version, &mut asking));
    });
    let broke_off = |why: String| {
        let (catalog, spec, before) = kept;
        let subject = Subject { catalog: &catalog, spec: &spec, before: before.as_deref() };
        unproven(subject, &format!("asking {version} broke off: {why}"))
    };
    match proving {
        Err(error) => broke_off(error.to_string()),
        Ok(_) => match answered.await {
            Ok(report) => report,
            Err(error) => broke_off(error.to_string()),
        },
    }
}

/// A running solver; a new one is started after each that did not answer.
struct Asking {
    solver: Solver,
    session: Option<CedarSymCompiler<LocalSolver>>,
    handle: Handle,
    until: Instant,
}

impl Asking {
    /// Asks with a running solver; it is kept only if it answered.
    fn with<T>(
        &mut self,
        ask: impl AsyncFnOnce(&mut CedarSymCompiler<LocalSolver>) -> Result<T, Error>,
    ) -> Result<T, String> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("{} took longer than {} s in all", self.solver.version, ALL_GOALS.as_secs()));
        }
        let handle = self.handle.clone();
        handle.block_on(async {
            let mut session = match self.session.take() {
                Some(session) => session,
                None => self.solver.start()?,
            };
            // The solver keeps its own limit; this one is for a program that does not.
            let limit = left.min(ONE_GOAL + Duration::from_secs(1));
            let answered = timeout(limit, ask(&mut session)).await;
            match answered {
                Ok(Ok(answer)) => {
                    self.session = Some(session);
                    Ok(answer)
                }
                Ok(Err(Error::SolverUnknown)) | Err(_) => {
                    Err(format!("{} could not say within {} s", self.solver.version, ONE_GOAL.as_secs()))
                }
                Ok(Err(error)) => Err(format!("{}: {error}", self.solver.version)),
            }
        })
    }
}

impl Ask for Asking {
    fn reachable(&mut self, goal: &Goal) -> Result<bool, String> {
        self.with(async |session| session.check_unsat(&goal.asserts()).await.map(|never| !never))
    }

    fn example(&mut self, goal: &Goal) -> Result<Option<Env>, String> {
        self.with(async |session| session.check_sat(&goal.asserts()).await)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn countersign_toml_beats_the_environment_and_the_workspace_is_never_searched() {
        let folder = tempfile::tempdir().unwrap();
        let (workspace, outside) = (folder.path().join("workspace"), folder.path().join("outside"));
        for dir in [&workspace, &outside] {
            std::fs::create_dir(dir).unwrap();
        }
        let inside = script(&workspace, "cvc5", "echo 'This is cvc5 version 0.inside'");
        let found = script(&outside, "cvc5", "echo 'This is cvc5 version 1.path'");
        let named = script(&outside, "named", "echo 'This is cvc5 version 2.named'");
        let both = SolverSearch { named: Some(named.clone()), folders: vec![workspace.clone(), outside.clone()] };
        let path = SolverSearch { named: None, ..both.clone() };
        let only_inside = SolverSearch { named: None, folders: vec![workspace.clone(), ".".into()] };
        let find = async |configured: Option<&Path>, search: &SolverSearch| {
            Solver::find(configured, search, &workspace).await.map(|solver| solver.version)
        };
        assert_eq!(find(Some(&found), &both).await, Ok("cvc5 1.path".into()));
        assert_eq!(find(None, &both).await, Ok("cvc5 2.named".into()));
        assert_eq!(find(None, &path).await, Ok("cvc5 1.path".into()));
        assert!(find(None, &only_inside).await.unwrap_err().contains("cvc5 is not installed"));
        // A person may still put it there and say so.
        assert_eq!(find(Some(&inside), &both).await, Ok("cvc5 0.inside".into()));
        let nowhere = SolverSearch { named: Some("/nowhere/cvc5".into()), folders: vec![outside.clone()] };
        assert!(find(None, &nowhere).await.unwrap_err().contains("is not there"));
        assert!(find(Some(Path::new("cvc5")), &path).await.unwrap_err().contains("whole path"));
    }

    #[tokio::test]
    async fn a_program_that_is_not_the_solver_is_not_used_and_sees_no_environment() {
        let folder = tempfile::tempdir().unwrap();
        for (text, why) in [("echo hello", "does not say that it is cvc5"), ("sleep 60", "does not answer")] {
            let program = script(folder.path(), "cvc5", text);
            let found = Solver::find(Some(&program), &SolverSearch::default(), Path::new("/nowhere")).await;
            assert!(found.unwrap_err().contains(why), "{text}");
        }
        let program = script(folder.path(), "cvc5", "echo \"This is cvc5 version 1.$HOME$CARGO_MANIFEST_DIR\"");
        let found = Solver::find(Some(&program), &SolverSearch::default(), Path::new("/nowhere")).await.unwrap();
        assert_eq!(found.version(), "cvc5 1.");
    }
}

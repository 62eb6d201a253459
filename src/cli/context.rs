//! What most commands begin with: the workspace, the person, the engagement.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    artifact::Blueprint,
    broker::Broker,
    facts::Identity,
    ledger::Journal,
    runtime::{Hindered, Solver, SolverSearch, Workspace, WorkspaceError},
};

use super::{
    args::Global,
    code::CliError,
    output::{aside, aside_sentence, plain},
    signing::{Key, no_key},
};

/// An opened workspace and who is acting in it.
pub struct Context {
    /// The workspace.
    pub workspace: Arc<Workspace>,
    name: Option<String>,
}

impl Context {
    /// The blueprints that can be used; which cannot is said beside the answer.
    pub fn usable_blueprints(&self) -> Result<Vec<Blueprint>, CliError> {
        let found = self.workspace.blueprints()?;
        for why in found.wrong() {
            aside(format!("note: this blueprint is left out until it is put right: {}", plain(why)));
        }
        Ok(found.usable)
    }

    /// The places of `[witness]` to which nothing can be published as things are.
    #[allow(clippy::disallowed_methods, reason = "a program without a path is looked for where this process would")]
    pub fn hindered(&self) -> Hindered {
        self.workspace.hindered(&std::env::var_os("PATH").unwrap_or_default())
    }

    /// Opens the workspace that the arguments name.
    pub async fn open(global: &Global) -> Result<Self, CliError> {
        let from = match &global.workspace {
            Some(dir) => dir.canonicalize().map_err(|error| {
                let why = if error.kind() == std::io::ErrorKind::NotFound {
                    "it is not there".into()
                } else {
                    error.to_string()
                };
                CliError::usage(format!(
                    "--workspace {}: {why}; name a folder that `countersign init` has laid out, or one below it",
                    dir.display()
                ))
            })?,
            None => current_dir()?,
        };
        let workspace = Workspace::open(&from, program()?).await?;
        if !workspace.store().is_scrubbed().await? {
            aside_sentence(
                "note: what was redacted is destroyed, and the ledger's file may still have its bytes: it was not written anew \
                 since, as others use it, a process was ended before that, or it cannot be written. The next command that can \
                 does it.",
            );
        }
        Ok(Self { workspace: Arc::new(workspace), name: global.name.clone() })
    }

    /// The same for a command that writes to the ledger: nothing is asked, signed or begun where that cannot be.
    pub async fn open_to_write(global: &Global) -> Result<Self, CliError> {
        let context = Self::open(global).await?;
        context.workspace.store().writable()?;
        for hindered in context.hindered().notes()? {
            aside_sentence(format!(
                "note: {}; what is not published now is with the next checkpoint",
                plain(&hindered)
            ));
        }
        context.workspace.not_rolled_back().await?;
        Ok(context)
    }

    /// Who is acting.
    pub fn identity(&self) -> Result<Identity, CliError> {
        Ok(self.workspace.identify(self.name.as_deref(), &os_user()?)?)
    }

    /// The key that the person signs with: the one given, else `COUNTERSIGN_KEY`; nothing where neither is.
    ///
    /// # Errors
    ///
    /// [`Code::Usage`] where the file that was given is not there. One that only the environment names may never be
    /// needed, and is looked for when it is.
    pub fn key(&self, given: Option<&Path>) -> Result<Option<Key>, CliError> {
        let key = Key::asked_for(given, self.workspace.state_folder());
        match (&key, given) {
            (Some(Key::File(path)), Some(_)) if !path.exists() => Err(CliError::usage(no_key(path))),
            _ => Ok(key),
        }
    }

    /// The engagement that a (shortened) id stands for.
    pub async fn journal(&self, id: &str) -> Result<Journal, CliError> {
        let id = self.workspace.find(id).await?;
        Ok(Journal::open(Arc::clone(self.workspace.store()), &id).await?)
    }

    /// The solver, if there is one; else what to do to have one.
    pub async fn solver(&self) -> Result<Solver, String> {
        self.workspace.solver(&solver_search()).await
    }

    /// Publishes the checkpoints that were not yet, and says what went wrong.
    pub async fn publish(&self) {
        self.workspace.publish().await.iter().for_each(|wrong| aside_sentence(format!("note: {}", plain(wrong))));
    }

    /// A broker over this workspace. It starts nothing by itself.
    pub fn broker(&self) -> Broker {
        Broker::new(Arc::clone(&self.workspace) as Arc<dyn crate::broker::Sources>)
    }
}

/// Where this process's environment says that a solver is: `CVC5`, else the path.
pub fn solver_search() -> SolverSearch {
    let folders = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let named = std::env::var_os("CVC5").filter(|named| !named.is_empty()).map(PathBuf::from);
    SolverSearch { named, folders }
}

/// The OS user of this process.
pub fn os_user() -> Result<String, CliError> {
    whoami::username().map_err(|error| CliError::failed(format!("the OS user cannot be told: {error}")))
}

/// This program's own file, which `{countersign}` in a server's command stands for.
pub fn program() -> Result<PathBuf, CliError> {
    std::env::current_exe()
        .map_err(|error| CliError::failed(format!("this program's own file cannot be found: {error}")))
}

/// The current folder.
pub fn current_dir() -> Result<PathBuf, CliError> {
    std::env::current_dir().map_err(|error| CliError::usage(WorkspaceError::Id(error.to_string()).to_string()))
}

//! A workspace: the folder with `countersign.toml`, `prompts/`, `tools/` and `policies/`, and the state beside them
//! in `.countersign/`. It reads the files that decisions are made on, again for every decision; it writes nothing
//! but what `init` and `tools pin` ask for.
#![allow(clippy::disallowed_methods, reason = "this file owns laying out a workspace and writing pins")]

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    agent::Prompts,
    artifact::{Digest, EngagementId, LedgerId, to_yaml},
    broker::Sources,
    facts::{AllowedSigners, Identity, IdentityMeans},
    ledger::{Around, Journal, LedgerError, LedgerKeys, SqliteStore, Store},
    model::Models,
    policy::{Catalog, Policies},
    tool::{Kept, Manifest, Pins, SERVERS},
};

use super::{
    blueprints::Blueprints,
    catalog_files::{CatalogFiles, files, policy_problems, read},
    error::WorkspaceError,
    found::Derived,
    hindered::Hindered,
    revision::revision,
    solver::{Solver, SolverSearch},
    stamps::Stamps,
    stands::Stands,
    witness::Witness,
};

/// The layout version that this program writes and reads.
const VERSION: u32 = 1;

/// How often files that change while they are read are read again.
const READ_AGAIN: usize = 8;

/// For how long what is to be done next may be worked out on files that were looked at before.
const LATELY: Duration = Duration::from_millis(20);

/// `countersign.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The layout version.
    version: u32,
    /// The solver that proves boundaries, by its whole path.
    #[serde(default)]
    solver: Option<PathBuf>,
    /// Where checkpoints are published.
    #[serde(default)]
    witness: Witness,
}

/// An opened workspace.
pub struct Workspace {
    pub(super) root: PathBuf,
    ledger: LedgerId,
    program: PathBuf,
    kept: Kept,
    solver: Option<PathBuf>,
    pub(super) witness: Witness,
    /// The text of countersign.toml.
    config: String,
    pub(super) store: Arc<dyn Store>,
    catalog: Mutex<Option<Known>>,
    pub(super) derived: Mutex<Vec<Derived>>,
    pub(super) stands: Stands,
    pub(super) around: Around,
}

/// A catalog and what it was parsed from.
struct Known {
    stamps: Stamps,
    /// When the files were last looked at.
    looked: Instant,
    digest: Digest,
    catalog: Arc<Catalog>,
}

impl Workspace {
    /// Opens the workspace in `from` or the nearest folder above it. `program` is this program's own file.
    pub async fn open(from: &Path, program: PathBuf) -> Result<Self, WorkspaceError> {
        let found = from.ancestors().find(|folder| folder.join("countersign.toml").is_file());
        let root = found.ok_or_else(|| WorkspaceError::NotFound(from.to_owned()))?.to_owned();
        let path = root.join("countersign.toml");
        let text = read(&path)?;
        // The version is looked at before anything else: a newer file may have fields that are unknown here.
        let version = toml::from_str::<toml::Table>(&text).ok().and_then(|table| table.get("version")?.as_integer());
        if let Some(found) = version.and_then(|version| u32::try_from(version).ok()).filter(|found| *found > VERSION) {
            return Err(WorkspaceError::Newer { found, known: VERSION });
        }
        let config: Config = toml::from_str(&text).map_err(|error| {
            let line =
                1 + error.span().and_then(|span| text.get(..span.start)).unwrap_or_default().matches('\n').count();
            WorkspaceError::File { path: path.clone(), reason: format!("line {line}: {}", error.message()) }
        })?;
        if config.version != VERSION {
            let reason = format!("version {} is not a layout version; write `version = {VERSION}`", config.version);
            return Err(WorkspaceError::File { path, reason });
        }
        let state = root.join(".countersign");
        let make = |folder: PathBuf| std::fs::create_dir_all(&folder).map_err(|error| file_error(&folder, &error));
        make(state.clone())?;
        let store = SqliteStore::open_signing(state.join("ledger.db"), state.join("keys")).await?;
        // What is only read needs no place for what a run leaves.
        if store.writable().is_ok() {
            make(state.join("claims"))?;
            make(root.join(SERVERS).join("lab"))?;
        }
        if store.writable().is_ok() && store.log_size().await? == 0 {
            // Made before anything is asked, so that whatever is answered later and has no leaf is missed. Whoever cannot
            // make it is told where something is signed.
            let keys = LedgerKeys::of(state.join("keys"), &store.ledger().await?);
            let _ = keys.of_a_signed_log(store.last_checkpoint().await?.is_some()).ensure(Timestamp::now());
        }
        let kept = Kept::of(&root, std::env::home_dir().as_deref()).resolved(|path| path.canonicalize().ok());
        let Config { solver, witness, .. } = config;
        Ok(Self {
            root,
            ledger: store.ledger().await?,
            program,
            kept,
            solver,
            witness,
            config: text,
            store: Arc::new(store),
            catalog: Mutex::new(None),
            derived: Mutex::default(),
            stands: Stands::default(),
            around: Around::default(),
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.root
    }

    /// The places of `[witness]` to which nothing can be published as things are; programs without a path are looked for
    /// in `search`, as `PATH` has it.
    pub fn hindered(&self, search: &OsStr) -> Hindered {
        Hindered::of(&self.witness, &self.config, &self.root, search)
    }

    /// The solver: the one that countersign.toml names, else the one that the caller's environment has.
    pub async fn solver(&self, search: &SolverSearch) -> Result<Solver, String> {
        Solver::find(self.solver.as_deref(), search, &self.root).await
    }

    /// Where the state is.
    pub fn state_folder(&self) -> PathBuf {
        self.root.join(".countersign")
    }

    /// Where the locks are that keep two processes from driving one engagement.
    pub fn claims(&self) -> PathBuf {
        self.state_folder().join("claims")
    }

    /// The simulated lab's file.
    pub fn lab_file(&self) -> PathBuf {
        self.root.join(SERVERS).join("lab/lab.json")
    }

    /// The ledger.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The ledger's own keys.
    pub async fn keys(&self) -> Result<LedgerKeys, WorkspaceError> {
        let begun = self.store.last_checkpoint().await?.is_some();
        let keys = LedgerKeys::of(self.state_folder().join("keys"), &self.store.ledger().await?);
        Ok(keys.of_a_signed_log(begun))
    }

    /// Whether the ledger has all that it signed.
    ///
    /// # Errors
    ///
    /// [`LedgerError::RolledBack`] if not; whatever the store gives.
    pub async fn not_rolled_back(&self) -> Result<(), WorkspaceError> {
        let keys = LedgerKeys::of(self.state_folder().join("keys"), &self.store.ledger().await?);
        Ok(keys.not_rolled_back(self.store.as_ref()).await?)
    }

    /// The catalog as its files are now; they are read again where anything about one of them has changed, and parsed
    /// again only where a byte has.
    pub fn load_catalog(&self) -> Result<Arc<Catalog>, WorkspaceError> {
        self.catalog_as_of(Duration::ZERO)
    }

    /// The catalog as its files were a moment ago, for saying what is to be done next: whatever is decided or asked then
    /// looks at the files itself.
    pub(super) fn catalog_lately(&self) -> Result<Arc<Catalog>, WorkspaceError> {
        self.catalog_as_of(LATELY)
    }

    fn catalog_as_of(&self, ago: Duration) -> Result<Arc<Catalog>, WorkspaceError> {
        let mut cached = self.catalog.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let looked = Instant::now();
        if let Some(known) = cached.as_mut() {
            if looked.duration_since(known.looked) < ago {
                return Ok(Arc::clone(&known.catalog));
            }
            if known.stamps.hold() {
                known.looked = looked;
                return Ok(Arc::clone(&known.catalog));
            }
        }
        // Files that are changed while they are read would be read in versions that never stood side by side.
        let mut tries = 0;
        let (stamps, files) = loop {
            let stamps = Stamps::of(CatalogFiles::paths(&self.root)?);
            let files = CatalogFiles::read(&self.root)?;
            if stamps.same(&Stamps::of(CatalogFiles::paths(&self.root)?)) {
                break (stamps, files);
            }
            tries += 1;
            std::thread::sleep(LATELY);
            if tries == READ_AGAIN {
                return Err(WorkspaceError::Changing);
            }
        };
        let digest = files.digest();
        let catalog = match cached.as_ref().filter(|known| known.digest == digest) {
            Some(known) => Arc::clone(&known.catalog),
            None => Arc::new(files.parse(&self.root, &self.kept)?),
        };
        *cached = Some(Known { stamps, looked, digest, catalog: Arc::clone(&catalog) });
        Ok(catalog)
    }

    /// Whose keys sign for whom, as the file is now; nobody's where there is none.
    pub fn load_signers(&self) -> Result<AllowedSigners, WorkspaceError> {
        let path = self.root.join("policies/allowed_signers");
        let text = if path.exists() { read(&path)? } else { String::new() };
        AllowedSigners::parse(&text).map_err(|problem| WorkspaceError::Problems(vec![problem.to_string()]))
    }

    /// Adds a line to `policies/allowed_signers`.
    pub fn add_signer(&self, line: &str) -> Result<(), WorkspaceError> {
        let path = self.root.join("policies/allowed_signers");
        let text = if path.exists() { read(&path)? } else { String::new() };
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        write(&path, &format!("{text}{end}{line}\n"))
    }

    /// The policies with what came of their examples, which may fail or be missing; nothing is decided on them.
    pub fn policies(&self) -> Result<Policies, WorkspaceError> {
        let files = CatalogFiles::read(&self.root)?;
        Policies::parse(files.policies(), &files.toolbox(&self.root, &self.kept)?).map_err(policy_problems)
    }

    /// The manifests alone, for pinning: pins may be missing or stale.
    pub fn manifests(&self) -> Result<Vec<Manifest>, WorkspaceError> {
        CatalogFiles::read(&self.root)?.manifests()
    }

    /// Writes the pins.
    pub fn write_pins(&self, pins: &Pins) -> Result<(), WorkspaceError> {
        let path = self.root.join("tools/pins.yaml");
        let yaml =
            to_yaml(pins).map_err(|error| WorkspaceError::File { path: path.clone(), reason: error.to_string() })?;
        let text =
            format!("# What each tool server was when a person pinned it. Written by `countersign tools pin`.\n{yaml}");
        write(&path, &text)
    }

    /// The models that draft, as `policies/models.yaml` says; none where there is no such file.
    pub fn models(&self) -> Result<Models, WorkspaceError> {
        Ok(Models::load(&self.root.join("policies/models.yaml"))?)
    }

    /// The blueprints, each by itself.
    ///
    /// # Errors
    ///
    /// An error where their folder cannot be read.
    pub fn blueprints(&self) -> Result<Blueprints, WorkspaceError> {
        Blueprints::read(&self.root)
    }

    /// The agents' instructions with what prompts/custom adds.
    pub fn prompts(&self) -> Result<Prompts, WorkspaceError> {
        let custom = self.root.join("prompts/custom");
        let texts = if custom.is_dir() { files(&self.root, "prompts/custom", &["md"])? } else { Vec::new() };
        let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        Ok(Prompts::with(texts.into_iter().map(|(path, text)| (name(&path), text)).collect()))
    }

    /// The engagement that a (shortened) id stands for.
    pub async fn find(&self, prefix: &str) -> Result<EngagementId, WorkspaceError> {
        if prefix.trim().is_empty() {
            let why = "an empty id stands for no engagement; see them with `countersign list`";
            return Err(WorkspaceError::Id(why.into()));
        }
        let mut found = self.store.find(prefix).await?;
        match (found.len(), found.pop()) {
            (1, Some(id)) => Ok(id),
            (0, _) => {
                self.was_there(prefix).await?;
                Err(WorkspaceError::Id(format!("there is no engagement `{prefix}`; see them with `countersign list`")))
            }
            (n, _) => Err(WorkspaceError::Id(format!("`{prefix}` stands for {n} engagements; type more of the id"))),
        }
    }

    /// That no engagement of this id was here: the log has of each what was answered, whatever became of its events.
    async fn was_there(&self, id: &str) -> Result<(), LedgerError> {
        let Ok(id) = EngagementId::spelled(id).parse::<EngagementId>() else { return Ok(()) };
        // The chain of trust stages is no engagement, and has leaves too.
        if id == EngagementId::trust() {
            return Ok(());
        }
        match self.store.logged_to(&id).await? {
            0 => Ok(()),
            last => {
                let reason =
                    format!("the log has its event {last}, and none of its events is here: they were taken out");
                Err(LedgerError::Corrupt { what: format!("the chain of engagement {id}"), reason })
            }
        }
    }

    /// Who is acting: the name given with `--as`, else the person that the OS user speaks for.
    pub fn identify(&self, name: Option<&str>, os_user: &str) -> Result<Identity, WorkspaceError> {
        let catalog = self.load_catalog()?;
        let person = catalog.people.identify(name, os_user);
        let person = person.ok_or_else(|| match name {
            Some(name) => WorkspaceError::Nobody(format!("`{name}`")),
            None => WorkspaceError::Nobody(format!("the OS user `{os_user}`")),
        })?;
        Ok(Identity { name: person.name.clone(), os_user: os_user.to_owned(), means: IdentityMeans::Asserted })
    }
}

impl Sources for Workspace {
    fn catalog(&self) -> Result<Arc<Catalog>, String> {
        self.load_catalog().map_err(|error| error.to_string())
    }

    fn catalog_of(&self, journal: &Journal) -> Result<Arc<Catalog>, String> {
        Self::catalog_of(self, journal).map_err(|error| error.to_string())
    }

    fn root(&self) -> &Path {
        &self.root
    }

    fn ledger(&self) -> &LedgerId {
        &self.ledger
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn revision(&self) -> Option<String> {
        revision(&self.root.join("policies"))
    }

    fn kept(&self) -> &Kept {
        &self.kept
    }
}

/// Writes to a temporary sibling and renames, so that nobody reads half a file.
pub(super) fn write(path: &Path, text: &str) -> Result<(), WorkspaceError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| file_error(parent, &error))?;
    }
    let temporary = path.with_extension("new");
    let written = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        file_error(path, &error)
    })
}

pub(super) fn file_error(path: &Path, error: &std::io::Error) -> WorkspaceError {
    WorkspaceError::File { path: path.to_owned(), reason: error.to_string() }
}

//! A workspace: the folder with `countersign.toml`, `prompts/`, `tools/` and `policies/`, and the state beside them
//! in `.countersign/`. It reads the files that decisions are made on, again for every decision; it writes nothing
//! but what `init` and `tools pin` ask for.
#![allow(clippy::disallowed_methods, reason = "this file owns laying out a workspace and writing pins")]

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    agent::Prompts,
    artifact::{Blueprint, Digest, EngagementId, YamlError, digest_bytes, from_yaml, to_yaml},
    broker::Sources,
    facts::{AllowedSigners, Identity, IdentityMeans, Inventory, People},
    ledger::{Journal, LedgerError, SqliteStore, Store},
    model::Models,
    policy::{Catalog, Policies, PolicyProblem, PolicyTexts},
    tool::{Kept, Manifest, Pins, SERVERS, Toolbox, filled},
};

use super::{
    found::Derived,
    revision::revision,
    solver::{Solver, SolverSearch},
    stamps::Stamps,
};

/// The layout version that this program writes and reads.
const VERSION: u32 = 1;

/// The files that `init` lays out, relative to the workspace.
const SHIPPED: [(&str, &str); 11] = [
    ("tools/lab.yaml", include_str!("../../tools/lab.yaml")),
    ("prompts/blueprints/vlan.yaml", include_str!("../../prompts/blueprints/vlan.yaml")),
    ("prompts/blueprints/dns.yaml", include_str!("../../prompts/blueprints/dns.yaml")),
    ("prompts/blueprints/address.yaml", include_str!("../../prompts/blueprints/address.yaml")),
    ("policies/guardrails.cedar", include_str!("../../policies/guardrails.cedar")),
    ("policies/stages.cedar", include_str!("../../policies/stages.cedar")),
    ("policies/gates.cedar", include_str!("../../policies/gates.cedar")),
    ("policies/inventory.yaml", include_str!("../../policies/inventory.yaml")),
    ("policies/models.yaml", include_str!("../../policies/models.yaml")),
    ("policies/allowed_signers", include_str!("../../policies/allowed_signers")),
    (".gitignore", "/.countersign/\n"),
];

/// `countersign.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The layout version.
    version: u32,
    /// The solver that proves boundaries, by its whole path.
    #[serde(default)]
    solver: Option<PathBuf>,
}

/// An opened workspace.
pub struct Workspace {
    root: PathBuf,
    program: PathBuf,
    kept: Kept,
    solver: Option<PathBuf>,
    store: Arc<dyn Store>,
    catalog: Mutex<Option<Known>>,
    pub(super) derived: Mutex<Vec<Derived>>,
}

/// A catalog and what it was parsed from.
struct Known {
    stamps: Stamps,
    digest: Digest,
    catalog: Arc<Catalog>,
}

/// A workspace that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// There is none.
    #[error("there is no workspace in {0} or above it; make one with `countersign init DIR` and go there")]
    NotFound(PathBuf),
    /// `init` was asked to write into a workspace.
    #[error("{0} is not empty; `countersign init` wants a new or empty folder")]
    NotEmpty(PathBuf),
    /// A newer program wrote it.
    #[error("this workspace has layout version {found}, this program reads {VERSION}; use a newer countersign")]
    Newer {
        /// The version found.
        found: u32,
    },
    /// A file cannot be read or written.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file says something wrong, at a place.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// Files that do not fit together.
    #[error("{}", .0.join("\n"))]
    Problems(Vec<String>),
    /// The ledger cannot be opened or read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is no such blueprint.
    #[error("there is no blueprint `{name}`; there are {}", .known.join(", "))]
    NoBlueprint {
        /// The name given.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A short id that stands for none or several.
    #[error("{0}")]
    Id(String),
    /// Someone who is not listed.
    #[error("{0} is not in policies/people.yaml; ask an owner to add them")]
    Nobody(String),
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
            return Err(WorkspaceError::Newer { found });
        }
        let config: Config = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text.get(..span.start).unwrap_or_default().lines().count().max(1));
            WorkspaceError::File { path: path.clone(), reason: format!("line {line}: {}", error.message()) }
        })?;
        if config.version != VERSION {
            let reason = format!("version {} is not a layout version; write `version = {VERSION}`", config.version);
            return Err(WorkspaceError::File { path, reason });
        }
        let state = root.join(".countersign");
        for folder in [state.join("claims"), root.join(SERVERS).join("lab")] {
            std::fs::create_dir_all(&folder).map_err(|error| file_error(&folder, &error))?;
        }
        let store = SqliteStore::open(state.join("ledger.db")).await?;
        let kept = Kept::of(&root, std::env::home_dir().as_deref()).resolved(|path| path.canonicalize().ok());
        let solver = config.solver;
        Ok(Self {
            root,
            program,
            kept,
            solver,
            store: Arc::new(store),
            catalog: Mutex::new(None),
            derived: Mutex::default(),
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.root
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

    /// The catalog as its files are now; they are read again where anything about one of them has changed, and parsed
    /// again only where a byte has.
    pub fn load_catalog(&self) -> Result<Arc<Catalog>, WorkspaceError> {
        let mut cached = self.catalog.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = cached.as_ref().filter(|known| known.stamps.hold()) {
            return Ok(Arc::clone(&known.catalog));
        }
        let stamps = Stamps::of(CatalogFiles::paths(&self.root)?);
        let files = CatalogFiles::read(&self.root)?;
        let digest = files.digest();
        let catalog = match cached.as_ref().filter(|known| known.digest == digest) {
            Some(known) => Arc::clone(&known.catalog),
            None => Arc::new(files.parse(&self.root, &self.kept)?),
        };
        *cached = Some(Known { stamps, digest, catalog: Arc::clone(&catalog) });
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

    /// The blueprints, by name.
    pub fn blueprints(&self) -> Result<Vec<Blueprint>, WorkspaceError> {
        let mut found = Vec::new();
        for (path, text) in folder(&self.root, "prompts/blueprints")? {
            found.push(from_yaml::<Blueprint>(&path, &text)?);
        }
        Ok(found)
    }

    /// The blueprint with this name.
    pub fn blueprint(&self, name: &str) -> Result<Blueprint, WorkspaceError> {
        let all = self.blueprints()?;
        let known = all.iter().map(|blueprint| blueprint.name.clone()).collect();
        let found = all.into_iter().find(|blueprint| blueprint.name == name);
        found.ok_or_else(|| WorkspaceError::NoBlueprint { name: name.to_owned(), known })
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
        let mut found = self.store.find(prefix).await?;
        match (found.len(), found.pop()) {
            (1, Some(id)) => Ok(id),
            (0, _) => {
                Err(WorkspaceError::Id(format!("there is no engagement `{prefix}`; see them with `countersign list`")))
            }
            (n, _) => Err(WorkspaceError::Id(format!("`{prefix}` stands for {n} engagements; type more of the id"))),
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

/// The texts that a catalog is parsed from.
struct CatalogFiles {
    tools: Vec<(String, String)>,
    pins: Option<String>,
    guardrails: String,
    stages: String,
    gates: String,
    inventory: String,
    people: String,
}

impl CatalogFiles {
    /// What [`Self::read`] reads: a folder is here for the names in it.
    fn paths(root: &Path) -> Result<Vec<PathBuf>, WorkspaceError> {
        let tools = listed(root, "tools", &["yaml", "yml"])?.into_iter().map(|(_, path)| path);
        let policies = ["guardrails.cedar", "stages.cedar", "gates.cedar", "inventory.yaml", "people.yaml"];
        let policies = policies.into_iter().map(|name| root.join("policies").join(name));
        Ok([root.join("tools"), root.join("policies"), root.join("tools/pins.yaml")]
            .into_iter()
            .chain(tools)
            .chain(policies)
            .collect())
    }

    fn read(root: &Path) -> Result<Self, WorkspaceError> {
        let pins = root.join("tools/pins.yaml");
        let mut tools = folder(root, "tools")?;
        tools.retain(|(path, _)| path != "tools/pins.yaml");
        Ok(Self {
            tools,
            pins: if pins.exists() { Some(read(&pins)?) } else { None },
            guardrails: read(&root.join("policies/guardrails.cedar"))?,
            stages: read(&root.join("policies/stages.cedar"))?,
            gates: read(&root.join("policies/gates.cedar"))?,
            inventory: read(&root.join("policies/inventory.yaml"))?,
            people: read(&root.join("policies/people.yaml"))?,
        })
    }

    /// What manifests want for their servers that no server may touch, each at its line. Where links lead is looked at
    /// when a server starts.
    fn given_away(&self, manifests: &[Manifest], root: &Path, kept: &Kept) -> Vec<String> {
        let mut found = Vec::new();
        for (manifest, (name, text)) in manifests.iter().zip(&self.tools) {
            let files = &manifest.server.files;
            for (key, paths, write) in [("read", &files.read, false), ("write", &files.write, true)] {
                for (at, path) in paths.iter().enumerate() {
                    let filled = filled(path, "/", &root.to_string_lossy());
                    if let Some(place) = kept.given_away(Path::new(&filled), write) {
                        let why = format!("it would give away {}, which no server may touch", place.display());
                        let at = format!("server.files.{key}.{at}");
                        found.push(YamlError::at(name, text, &at, &why).to_string());
                    }
                }
            }
        }
        found
    }

    fn digest(&self) -> Digest {
        let mut bytes = Vec::new();
        let fixed = [&self.guardrails, &self.stages, &self.gates, &self.inventory, &self.people];
        let tools = self.tools.iter().flat_map(|(path, text)| [path, text]);
        for text in tools.chain(self.pins.as_ref()).chain(fixed) {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        digest_bytes(&bytes)
    }

    fn policies(&self) -> PolicyTexts<'_> {
        PolicyTexts { guardrails: &self.guardrails, stages: &self.stages, gates: &self.gates }
    }

    /// The examples of inventory and people that do not hold.
    fn contradicted(&self, inventory: &Inventory, people: &People) -> Vec<String> {
        let place = |file: &str, text: &str, at: usize, instead: String| {
            let message = format!("it does not hold: {instead}; correct the file or the example");
            YamlError::at(file, text, &format!("examples.{at}"), message).to_string()
        };
        let targets = inventory.examples.iter().enumerate().filter_map(|(at, example)| {
            Some(place("policies/inventory.yaml", &self.inventory, at, inventory.contradicts(example)?))
        });
        let people = people.examples.iter().enumerate().filter_map(|(at, example)| {
            Some(place("policies/people.yaml", &self.people, at, people.contradicts(example)?))
        });
        targets.chain(people).collect()
    }

    fn manifests(&self) -> Result<Vec<Manifest>, WorkspaceError> {
        self.tools.iter().map(|(path, text)| Ok(from_yaml(path, text)?)).collect()
    }

    fn toolbox(&self, root: &Path, kept: &Kept) -> Result<Toolbox, WorkspaceError> {
        let manifests = self.manifests()?;
        let given_away = self.given_away(&manifests, root, kept);
        if !given_away.is_empty() {
            return Err(WorkspaceError::Problems(given_away));
        }
        let families: Vec<String> = manifests.iter().map(|manifest| manifest.family.clone()).collect();
        let pins: Pins = parse_or_default("tools/pins.yaml", self.pins.as_deref())?;
        Toolbox::new(manifests, pins).map_err(|problems| {
            let place = |problem: &crate::tool::ManifestProblem| {
                let at = families.iter().position(|family| *family == problem.family);
                match at.and_then(|at| self.tools.get(at)) {
                    Some((path, text)) => YamlError::at(path, text, &problem.path, &problem.message).to_string(),
                    None => problem.to_string(),
                }
            };
            WorkspaceError::Problems(problems.iter().map(place).collect())
        })
    }

    fn parse(&self, root: &Path, kept: &Kept) -> Result<Catalog, WorkspaceError> {
        let toolbox = self.toolbox(root, kept)?;
        let inventory: Inventory = from_yaml("policies/inventory.yaml", &self.inventory)?;
        if let Some(twice) = inventory.duplicates().first() {
            return Err(WorkspaceError::Problems(vec![format!("policies/inventory.yaml: `{twice}` stands twice")]));
        }
        let people: People = from_yaml("policies/people.yaml", &self.people)?;
        let contradicted = self.contradicted(&inventory, &people);
        if !contradicted.is_empty() {
            return Err(WorkspaceError::Problems(contradicted));
        }
        let wrong = inventory.wrong_finders(&toolbox).into_iter();
        let file = "policies/inventory.yaml";
        let wrong = wrong.map(|(at, why)| YamlError::at(file, &self.inventory, &at, &why).to_string());
        let wrong: Vec<String> = wrong.collect();
        if !wrong.is_empty() {
            return Err(WorkspaceError::Problems(wrong));
        }
        let policies = Policies::load(self.policies(), &toolbox).map_err(policy_problems)?;
        Ok(Catalog { toolbox: Arc::new(toolbox), inventory, people, policies: Arc::new(policies) })
    }
}

/// Policy problems with the files that they are in.
fn policy_problems(problems: Vec<PolicyProblem>) -> WorkspaceError {
    WorkspaceError::Problems(problems.iter().map(|problem| format!("policies/{problem}")).collect())
}

fn parse_or_default<T: DeserializeOwned + Default>(name: &str, text: Option<&str>) -> Result<T, YamlError> {
    text.map_or_else(|| Ok(T::default()), |text| from_yaml(name, text))
}

/// Lays out a new workspace with `owner` as its owner, and the simulated lab's network.
pub fn init_files(root: &Path, owner: &str, os_user: &str) -> Result<Vec<String>, WorkspaceError> {
    let occupied = std::fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        return Err(WorkspaceError::NotEmpty(root.to_owned()));
    }
    let mut written = Vec::new();
    let mut put = |name: &str, text: &str| {
        write(&root.join(name), text)?;
        written.push(name.to_owned());
        Ok::<(), WorkspaceError>(())
    };
    for (name, text) in SHIPPED {
        put(name, text)?;
    }
    let people = include_str!("../../policies/people.yaml");
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let name = quoted(owner);
    let owner = format!("people:\n  - name: {name}\n    os_users: [{}]\n    roles: [owner]\n", quoted(os_user));
    let example = format!("examples:\n  - {{who: {name}, may: owner}}\n");
    put("policies/people.yaml", &people.replace("examples:\n", &example).replace("people: []\n", &owner))?;
    let lab = root.join(SERVERS).join("lab/lab.json");
    std::fs::create_dir_all(root.join(SERVERS).join("lab")).map_err(|error| file_error(&lab, &error))?;
    crate::lab::reset(&lab).map_err(|error| WorkspaceError::File { path: lab, reason: error.to_string() })?;
    // Written last: a folder without it is not a workspace, so a half-made one is never taken for one.
    put("countersign.toml", "# A countersign workspace. State is in .countersign/ beside this file.\nversion = 1\n")?;
    Ok(written)
}

/// The YAML files of a folder, by name.
fn folder(root: &Path, name: &str) -> Result<Vec<(String, String)>, WorkspaceError> {
    files(root, name, &["yaml", "yml"])
}

/// The files of a folder with one of these endings, by name.
fn files(root: &Path, name: &str, endings: &[&str]) -> Result<Vec<(String, String)>, WorkspaceError> {
    listed(root, name, endings)?.into_iter().map(|(name, path)| Ok((name, read(&path)?))).collect()
}

/// The same without what is in them.
fn listed(root: &Path, name: &str, endings: &[&str]) -> Result<Vec<(String, PathBuf)>, WorkspaceError> {
    let path = root.join(name);
    let entries = std::fs::read_dir(&path).map_err(|error| file_error(&path, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| file_error(&path, &error))?.path();
        let wanted = entry.extension().is_some_and(|extension| endings.iter().any(|ending| extension == *ending));
        if let (true, Some(file)) = (wanted, entry.file_name().and_then(|file| file.to_str())) {
            files.push((format!("{name}/{file}"), entry.clone()));
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String, WorkspaceError> {
    std::fs::read_to_string(path).map_err(|error| file_error(path, &error))
}

/// Writes to a temporary sibling and renames, so that nobody reads half a file.
fn write(path: &Path, text: &str) -> Result<(), WorkspaceError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| file_error(parent, &error))?;
    }
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, text).map_err(|error| file_error(&temporary, &error))?;
    std::fs::rename(&temporary, path).map_err(|error| file_error(path, &error))
}

fn file_error(path: &Path, error: &std::io::Error) -> WorkspaceError {
    WorkspaceError::File { path: path.to_owned(), reason: error.to_string() }
}

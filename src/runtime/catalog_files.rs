//! The files that a catalog is parsed from: manifests and pins, policies, inventory, people and their keys. A mistake in one is
//! said with its line.

use std::{
    io::{Error, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::de::DeserializeOwned;

use crate::{
    artifact::{Digest, YamlError, digest_bytes, from_yaml},
    facts::{AllowedSigners, Inventory, People},
    policy::{Catalog, CatalogParts, Policies, PolicyProblem, PolicyTexts},
    tool::{Kept, Manifest, Pins, Toolbox, filled},
};

use super::{error::WorkspaceError, unread::unusable};

const PINS: &str = "tools/pins.yaml";

/// The texts that a catalog is parsed from.
pub(super) struct CatalogFiles {
    tools: Vec<(String, String)>,
    pins: Option<String>,
    guardrails: String,
    stages: String,
    gates: String,
    inventory: String,
    people: String,
    /// Nothing is nobody's key.
    signers: String,
}

impl CatalogFiles {
    /// What [`Self::read`] reads: a folder is here for the names in it, and pins whether there are any or not.
    pub(super) fn paths(root: &Path) -> Result<Vec<PathBuf>, WorkspaceError> {
        let mut tools = listed(root, "tools", &["yaml", "yml"])?;
        tools.retain(|(name, _)| name != PINS);
        let tools = tools.into_iter().map(|(_, path)| path);
        let policies =
            ["guardrails.cedar", "stages.cedar", "gates.cedar", "inventory.yaml", "people.yaml", "allowed_signers"];
        let policies = policies.into_iter().map(|name| root.join("policies").join(name));
        Ok([root.join("tools"), root.join("policies"), root.join(PINS)]
            .into_iter()
            .chain(tools)
            .chain(policies)
            .collect())
    }

    pub(super) fn read(root: &Path) -> Result<Self, WorkspaceError> {
        let (pins, signers) = (root.join(PINS), root.join("policies/allowed_signers"));
        let mut tools = folder(root, "tools")?;
        tools.retain(|(path, _)| path != PINS);
        Ok(Self {
            tools,
            pins: if pins.exists() { Some(read(&pins)?) } else { None },
            guardrails: read(&root.join("policies/guardrails.cedar"))?,
            stages: read(&root.join("policies/stages.cedar"))?,
            gates: read(&root.join("policies/gates.cedar"))?,
            inventory: read(&root.join("policies/inventory.yaml"))?,
            people: read(&root.join("policies/people.yaml"))?,
            signers: if signers.exists() { read(&signers)? } else { String::new() },
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

    pub(super) fn digest(&self) -> Digest {
        let mut bytes = Vec::new();
        let fixed = [&self.guardrails, &self.stages, &self.gates, &self.inventory, &self.people, &self.signers];
        let tools = self.tools.iter().flat_map(|(path, text)| [path, text]);
        for text in tools.chain(self.pins.as_ref()).chain(fixed) {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        digest_bytes(&bytes)
    }

    pub(super) fn policies(&self) -> PolicyTexts<'_> {
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

    pub(super) fn manifests(&self) -> Result<Vec<Manifest>, WorkspaceError> {
        self.tools.iter().map(|(path, text)| Ok(from_yaml(path, text)?)).collect()
    }

    pub(super) fn toolbox(&self, root: &Path, kept: &Kept) -> Result<Toolbox, WorkspaceError> {
        let manifests = self.manifests()?;
        let given_away = self.given_away(&manifests, root, kept);
        if !given_away.is_empty() {
            return Err(WorkspaceError::Problems(given_away));
        }
        let families: Vec<String> = manifests.iter().map(|manifest| manifest.family.clone()).collect();
        let pins: Pins = parse_or_default(PINS, self.pins.as_deref())?;
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

    pub(super) fn parse(&self, root: &Path, kept: &Kept) -> Result<Catalog, WorkspaceError> {
        let toolbox = self.toolbox(root, kept)?;
        let inventory: Inventory = from_yaml("policies/inventory.yaml", &self.inventory)?;
        let file = "policies/inventory.yaml";
        let names = inventory.wrong_names().into_iter().map(|(at, why)| (format!("targets.{at}.name"), why));
        let wrong = names.chain(inventory.wrong_environments());
        let wrong = wrong.map(|(at, why)| YamlError::at(file, &self.inventory, &at, &why).to_string());
        let wrong: Vec<String> = wrong.collect();
        if !wrong.is_empty() {
            return Err(WorkspaceError::Problems(wrong));
        }
        let people: People = from_yaml("policies/people.yaml", &self.people)?;
        if let Some((at, twice)) = people.duplicates().first() {
            let why = format!("{twice} stands twice, so it is not clear who somebody is");
            let problem = YamlError::at("policies/people.yaml", &self.people, &format!("people.{at}"), why);
            return Err(WorkspaceError::Problems(vec![problem.to_string()]));
        }
        if people.approvals_last_hours == 0 {
            let (file, why) = ("policies/people.yaml", "an approval that lasts no time is none; write 1 or more");
            let problem = YamlError::at(file, &self.people, "approvals_last_hours", why).to_string();
            return Err(WorkspaceError::Problems(vec![problem]));
        }
        let contradicted = self.contradicted(&inventory, &people);
        if !contradicted.is_empty() {
            return Err(WorkspaceError::Problems(contradicted));
        }
        let wrong = inventory.wrong_finders(&toolbox).into_iter();
        let wrong = wrong.map(|(at, why)| YamlError::at(file, &self.inventory, &at, &why).to_string());
        let wrong: Vec<String> = wrong.collect();
        if !wrong.is_empty() {
            return Err(WorkspaceError::Problems(wrong));
        }
        let policies = Arc::new(Policies::load(self.policies(), &toolbox).map_err(policy_problems)?);
        let signers = AllowedSigners::parse(&self.signers);
        let signers = Arc::new(signers.map_err(|problem| WorkspaceError::Problems(vec![problem.to_string()]))?);
        Ok(CatalogParts { toolbox: Arc::new(toolbox), inventory, people, signers, policies }.into())
    }
}

/// Policy problems with the files that they are in.
pub(super) fn policy_problems(problems: Vec<PolicyProblem>) -> WorkspaceError {
    WorkspaceError::Problems(problems.iter().map(|problem| format!("policies/{problem}")).collect())
}

fn parse_or_default<T: DeserializeOwned + Default>(name: &str, text: Option<&str>) -> Result<T, YamlError> {
    text.map_or_else(|| Ok(T::default()), |text| from_yaml(name, text))
}

/// The YAML files of a folder, by name.
pub(super) fn folder(root: &Path, name: &str) -> Result<Vec<(String, String)>, WorkspaceError> {
    files(root, name, &["yaml", "yml"])
}

/// The files of a folder with one of these endings, by name.
pub(super) fn files(root: &Path, name: &str, endings: &[&str]) -> Result<Vec<(String, String)>, WorkspaceError> {
    listed(root, name, endings)?.into_iter().map(|(name, path)| Ok((name, read(&path)?))).collect()
}

/// The same without what is in them.
fn listed(root: &Path, name: &str, endings: &[&str]) -> Result<Vec<(String, PathBuf)>, WorkspaceError> {
    let path = root.join(name);
    let entries = std::fs::read_dir(&path).map_err(|error| unusable(&path, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unusable(&path, &error))?.path();
        let wanted = entry.extension().is_some_and(|extension| endings.iter().any(|ending| extension == *ending));
        if let (true, Some(file)) = (wanted, entry.file_name().and_then(|file| file.to_str())) {
            files.push((format!("{name}/{file}"), entry.clone()));
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn read(path: &Path) -> Result<String, WorkspaceError> {
    text_of(path).map_err(|error| unusable(path, &error))
}

/// The text of a file. A pipe, which could never end, is refused as a folder is.
pub(super) fn text_of(path: &Path) -> std::io::Result<String> {
    match std::fs::metadata(path)?.is_file() {
        true => std::fs::read_to_string(path),
        false => Err(Error::new(ErrorKind::InvalidInput, "it is not a file but a folder, a pipe or a device")),
    }
}

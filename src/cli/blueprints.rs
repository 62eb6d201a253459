//! The blueprints of a workspace, each by itself: one whose file cannot be used is named, and stops no other.

use crate::{
    artifact::{Blueprint, from_yaml},
    runtime::{Workspace, WorkspaceError},
};

use super::{
    files,
    output::{CliError, aside, plain},
};

/// Where they lie in a workspace.
const FOLDER: &str = "prompts/blueprints";

/// Those that can be used, by the name of their files, and the others.
pub struct Blueprints {
    /// What can be asked for.
    pub usable: Vec<Blueprint>,
    broken: Vec<Broken>,
}

/// A file that is no blueprint.
struct Broken {
    /// What it would be called.
    names: Vec<String>,
    /// What is wrong with it, and where.
    why: String,
}

impl Blueprints {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// An error where their folder cannot be read.
    pub fn read(workspace: &Workspace) -> Result<Self, CliError> {
        let folder = workspace.folder().join(FOLDER);
        let unread = |error: std::io::Error| {
            CliError::from(WorkspaceError::File { path: folder.clone(), reason: error.to_string() })
        };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(unread)? {
            let path = entry.map_err(unread)?.path();
            if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut found = Self { usable: Vec::new(), broken: Vec::new() };
        for path in paths {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let place = format!("{FOLDER}/{file}");
            match std::fs::read_to_string(&path) {
                Err(error) => {
                    let why = files::unread(std::path::Path::new(&place), &error);
                    found.broken.push(Broken { names: vec![stem], why });
                }
                Ok(text) => match from_yaml::<Blueprint>(&place, &text) {
                    Ok(blueprint) => found.usable.push(blueprint),
                    Err(error) => {
                        let names = said_name(&text).into_iter().chain([stem]).collect();
                        found.broken.push(Broken { names, why: error.to_string() });
                    }
                },
            }
        }
        Ok(found)
    }

    /// Reads them, and says beside the answer which cannot be used.
    pub fn read_aloud(workspace: &Workspace) -> Result<Self, CliError> {
        let found = Self::read(workspace)?;
        for why in found.wrong() {
            aside(format!("note: this blueprint is left out until it is put right: {}", plain(why)));
        }
        Ok(found)
    }

    /// What is wrong with those that cannot be used.
    pub fn wrong(&self) -> impl Iterator<Item = &str> {
        self.broken.iter().map(|broken| broken.why.as_str())
    }

    /// The one with this name.
    ///
    /// # Errors
    ///
    /// What is wrong with it where it is one that cannot be used, else that there is none.
    pub fn named(self, name: &str) -> Result<Blueprint, CliError> {
        let known = self.usable.iter().map(|blueprint| blueprint.name.clone()).collect();
        if let Some(found) = self.usable.into_iter().find(|blueprint| blueprint.name == name) {
            return Ok(found);
        }
        match self.broken.into_iter().find(|broken| broken.names.iter().any(|called| called == name)) {
            Some(broken) => Err(CliError::usage(broken.why)),
            None => Err(WorkspaceError::NoBlueprint { name: name.to_owned(), known }.into()),
        }
    }
}

/// The name that the text of a broken blueprint gives itself.
fn said_name(text: &str) -> Option<String> {
    let said = text.lines().find_map(|line| line.strip_prefix("name:"))?;
    let said = said.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    (!said.is_empty()).then(|| said.to_owned())
}

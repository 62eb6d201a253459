//! The blueprints of a workspace, each by itself: one whose file cannot be used is named, and stops no other.

use std::path::Path;

use crate::artifact::{Blueprint, from_yaml};

use super::{
    catalog_files::text_of,
    error::WorkspaceError,
    unread::{unread, unusable},
};

/// Where they lie in a workspace.
const FOLDER: &str = "prompts/blueprints";

/// Those that can be used, by the name of their files, and the others.
#[derive(Debug)]
pub struct Blueprints {
    /// What can be asked for.
    pub usable: Vec<Blueprint>,
    broken: Vec<Broken>,
}

/// A file that is no blueprint.
#[derive(Debug)]
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
    pub(super) fn read(root: &Path) -> Result<Self, WorkspaceError> {
        let folder = root.join(FOLDER);
        let no_folder = |error: std::io::Error| unusable(&folder, &error);
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(no_folder)? {
            let path = entry.map_err(no_folder)?.path();
            if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut found = Self { usable: Vec::new(), broken: Vec::new() };
        let mut places = Vec::new();
        for path in paths {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let place = format!("{FOLDER}/{file}");
            match text_of(&path) {
                Err(error) => found.broken.push(Broken { names: vec![stem], why: unread(&place, &error) }),
                Ok(text) => match from_yaml::<Blueprint>(&place, &text) {
                    Ok(blueprint) => {
                        found.usable.push(blueprint);
                        places.push(place);
                    }
                    Err(error) => {
                        let names = said_name(&text).into_iter().chain([stem]).collect();
                        found.broken.push(Broken { names, why: error.to_string() });
                    }
                },
            }
        }
        found.part_namesakes(&places);
        Ok(found)
    }

    /// None of several with one name can be used: whoever asks for it by that name would get one of them, and not know which.
    fn part_namesakes(&mut self, places: &[String]) {
        let usable = std::mem::take(&mut self.usable);
        let names: Vec<String> = usable.iter().map(|blueprint| blueprint.name.clone()).collect();
        for ((at, blueprint), place) in usable.into_iter().enumerate().zip(places) {
            let others = names
                .iter()
                .zip(places)
                .enumerate()
                .filter(|(other, (name, _))| *other != at && **name == blueprint.name);
            let others: Vec<&str> = others.map(|(_, (_, place))| place.as_str()).collect();
            if others.is_empty() {
                self.usable.push(blueprint);
            } else {
                let why = format!(
                    "{place}: name: `{}` is the name of {} too; give one another",
                    blueprint.name,
                    others.join(", ")
                );
                self.broken.push(Broken { names: vec![blueprint.name], why });
            }
        }
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
    pub fn named(self, name: &str) -> Result<Blueprint, WorkspaceError> {
        let known = self.usable.iter().map(|blueprint| blueprint.name.clone()).collect();
        if let Some(found) = self.usable.into_iter().find(|blueprint| blueprint.name == name) {
            return Ok(found);
        }
        match self.broken.into_iter().find(|broken| broken.names.iter().any(|called| called == name)) {
            Some(broken) => Err(WorkspaceError::Problems(vec![broken.why])),
            None => Err(WorkspaceError::NoBlueprint { name: name.to_owned(), known }),
        }
    }
}

/// The name that the text of a broken blueprint gives itself.
fn said_name(text: &str) -> Option<String> {
    let said = text.lines().find_map(|line| line.strip_prefix("name:"))?;
    let said = said.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    (!said.is_empty()).then(|| said.to_owned())
}

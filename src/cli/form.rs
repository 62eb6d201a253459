//! Inputs from `--set`, a file, or a form on the terminal that asks for what is missing, one checked question at a
//! time.

use std::{collections::BTreeSet, path::Path};

use serde_json::{Map, Value};

use crate::{
    agent::kind_words,
    artifact::{
        Blueprint, InputError, InputSchema, from_yaml,
        value::{as_word, shown},
    },
};

use super::{code::CliError, files, output::say, question::prompt};

/// The inputs that the arguments give, not yet checked.
pub fn given(blueprint: &Blueprint, file: Option<&Path>, set: &[String]) -> Result<Map<String, Value>, CliError> {
    let mut inputs = match file {
        Some(path) => from_yaml::<Map<String, Value>>(&files::name(path), &files::read(path)?)?,
        None => Map::new(),
    };
    let mut named = BTreeSet::new();
    for word in set {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| CliError::usage(format!("`--set {word}` has no `=`; write `--set NAME=VALUE`")))?;
        let input = input(blueprint, name)?;
        if !named.insert(name) {
            return Err(CliError::usage(format!("`--set {name}=…` is given twice; give it once")));
        }
        let value = input.schema.from_word(value).map_err(|why| unfit(input, &why))?;
        inputs.insert(name.to_owned(), value);
    }
    if let Some(name) = inputs.keys().find(|name| input(blueprint, name).is_err()) {
        return Err(input(blueprint, name).err().unwrap_or_else(|| CliError::usage(name.clone())));
    }
    Ok(inputs)
}

/// That a value does not fit: why, what it may be and an example.
pub fn unfit(input: &InputSchema, why: &str) -> CliError {
    let example = input.example.as_ref().map_or_else(String::new, |example| format!(", such as {}", as_word(example)));
    CliError::usage(format!("input `{}`: {why}; it must be {}{example}", input.name, kind_words(&input.schema)))
}

/// Asks for every input that has neither a value nor a default.
pub fn ask_missing(blueprint: &Blueprint, inputs: &mut Map<String, Value>) -> Result<(), CliError> {
    let missing: Vec<InputSchema> = blueprint.missing(inputs).into_iter().cloned().collect();
    if !missing.is_empty() {
        say(format!("{}: {}", blueprint.name, blueprint.title));
    }
    for input in missing {
        let example = input.example.as_ref().map_or_else(String::new, |value| format!(" (such as {})", shown(value)));
        loop {
            let word = prompt(&format!("{}{example}:", input.ask))
                .ok_or_else(|| CliError::usage(InputError::Missing(vec![input.name.clone()]).to_string()))?;
            match input.schema.from_word(&word).and_then(|value| input.schema.normalise(&value)) {
                Ok(value) => {
                    inputs.insert(input.name.clone(), value);
                    break;
                }
                Err(why) => say(format!("  {why}; it must be {}", kind_words(&input.schema))),
            }
        }
    }
    Ok(())
}

fn input<'a>(blueprint: &'a Blueprint, name: &str) -> Result<&'a InputSchema, CliError> {
    blueprint.inputs.iter().find(|input| input.name == name).ok_or_else(|| {
        let known = blueprint.inputs.iter().map(|input| input.name.clone()).collect();
        CliError::usage(InputError::Unknown { name: name.to_owned(), known }.to_string())
    })
}

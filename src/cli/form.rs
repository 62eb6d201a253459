//! Inputs from `--set`, a file, or a form on the terminal that asks for what is missing, one checked question at a
//! time.

use std::{collections::BTreeSet, path::Path};

use serde_json::{Map, Value};

use crate::{
    agent::kind_words,
    artifact::{
        Blueprint, InputError, InputSchema, YamlError, from_yaml,
        value::{as_word, shown},
    },
};

use super::{code::CliError, files, output::say, question::prompt};

/// The inputs that the arguments give; those of a file are checked, and what is wrong with them is told with its line.
pub fn given(blueprint: &Blueprint, file: Option<&Path>, set: &[String]) -> Result<Map<String, Value>, CliError> {
    let (mut inputs, mut named, mut wrong) = (Map::new(), BTreeSet::new(), Vec::new());
    for word in set {
        match set_to(blueprint, word) {
            Ok((name, _)) if !named.insert(name) => {
                wrong.push(format!("`--set {name}=…` is given twice; give it once"))
            }
            Ok((name, value)) => drop(inputs.insert(name.to_owned(), value)),
            Err(error) => wrong.push(error.message),
        }
    }
    if !wrong.is_empty() {
        return Err(CliError::usage(wrong.join("\n")));
    }
    for (name, value) in file.map(|path| of_file(blueprint, path, &inputs)).transpose()?.unwrap_or_default() {
        inputs.entry(name).or_insert(value);
    }
    Ok(inputs)
}

/// The input that a word of `--set` names, and its value.
fn set_to<'a>(blueprint: &Blueprint, word: &'a str) -> Result<(&'a str, Value), CliError> {
    let (name, value) = word
        .split_once('=')
        .ok_or_else(|| CliError::usage(format!("`--set {word}` has no `=`; write `--set NAME=VALUE`")))?;
    let input = input(blueprint, name)?;
    let value = input.schema.from_word(value).and_then(|value| input.schema.normalise(&value));
    Ok((name, value.map_err(|why| unfit(input, &why))?))
}

/// The inputs in a file, of which these are given elsewhere and not looked at.
fn of_file(blueprint: &Blueprint, path: &Path, set: &Map<String, Value>) -> Result<Map<String, Value>, CliError> {
    let (file, text) = (files::name(path), files::read(path)?);
    let inputs = from_yaml::<Map<String, Value>>(&file, &text)?;
    let wrong = |name: &String, value: &Value| match input(blueprint, name) {
        Err(_) => Some(format!("there is no such input; {} has {}", blueprint.name, known(blueprint).join(", "))),
        Ok(_) if set.contains_key(name) => None,
        Ok(input) => input.schema.normalise(value).err().map(|why| may_be(input, &why)),
    };
    let wrong = inputs.iter().filter_map(|(name, value)| Some(YamlError::at(&file, &text, name, wrong(name, value)?)));
    let mut wrong: Vec<YamlError> = wrong.collect();
    wrong.sort_by_key(|wrong| (wrong.line, wrong.column));
    let told: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    if told.is_empty() { Ok(inputs) } else { Err(CliError::usage(told.join("\n"))) }
}

/// That a value does not fit: why, what it may be and an example.
pub fn unfit(input: &InputSchema, why: &str) -> CliError {
    CliError::usage(format!("input `{}`: {}", input.name, may_be(input, why)))
}

fn may_be(input: &InputSchema, why: &str) -> String {
    let example = input.example.as_ref().map_or_else(String::new, |example| format!(", such as {}", as_word(example)));
    format!("{why}; it must be {}{example}", kind_words(&input.schema))
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
        CliError::usage(InputError::Unknown { name: name.to_owned(), known: known(blueprint) }.to_string())
    })
}

fn known(blueprint: &Blueprint) -> Vec<String> {
    blueprint.inputs.iter().map(|input| input.name.clone()).collect()
}

//! The examples that stand above rules, in comments: what a rule must match and what it must not. They are found
//! here; [`super::example_call`] and [`super::gates`] try them, each in the words of its rules.
//!
//! ```text
//! // match: {effect: destructive, target: {environment: production}}
//! // no match: {effect: destructive, target: {environment: production},
//! //   window_open: true}
//! @id("…")
//! ```

use serde::Serialize;

use super::{file::RuleFile, source::PolicyProblem};

/// An example as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Example {
    /// The line that it starts on.
    pub(super) line: u64,
    /// Whether the rule must match it.
    pub(super) matches: bool,
    /// The YAML mapping.
    pub(super) text: String,
}

/// An example of a rule, and what came of trying it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// The file, such as `guardrails.cedar`.
    pub file: String,
    /// The line of the example, from 1.
    pub line: u64,
    /// The rule that it is of.
    pub rule: String,
    /// Whether the rule must match it.
    pub matches: bool,
    /// The example as it is written.
    pub example: String,
    /// What came of it.
    pub outcome: ExampleOutcome,
}

/// What came of trying an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum ExampleOutcome {
    /// The rule answers as the example says.
    Passed,
    /// There is nothing here to try it with.
    Skipped {
        /// What is missing.
        why: String,
    },
    /// The rule answers otherwise, or the example cannot be read.
    Failed {
        /// What was answered instead.
        why: String,
    },
}

/// The examples of a text, with the offsets that they start at.
pub(super) fn examples(text: &str) -> Vec<(usize, Example)> {
    let mut found: Vec<(usize, Example)> = Vec::new();
    let (mut offset, mut open) = (0, false);
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let start = offset;
        offset += line.len();
        let Some(comment) = line.trim().strip_prefix("//") else {
            open = false;
            continue;
        };
        let said = comment.trim_start();
        let begun = [("match:", true), ("no match:", false)]
            .into_iter()
            .find_map(|(word, matches)| Some((said.strip_prefix(word)?, matches)));
        if let Some((text, matches)) = begun {
            let text = text.trim().to_owned();
            found.push((start, Example { line: at as u64 + 1, matches, text }));
            open = true;
        } else if let (true, true, Some((_, last))) = (open, comment.starts_with("   "), found.last_mut()) {
            last.text.push(' ');
            last.text.push_str(said.trim_end());
        } else {
            open = false;
        }
    }
    found
}

/// Tries every example of a file with `answer`, which says whether a rule matches an example.
pub(super) fn try_all(file: &RuleFile, answer: impl Fn(&str, &Example) -> Result<(), ExampleOutcome>) -> Vec<Tried> {
    let each = file.rules.iter().flat_map(|rule| rule.examples.iter().map(move |example| (rule, example)));
    each.map(|(rule, example)| Tried {
        file: file.name.into(),
        line: example.line,
        rule: rule.id.clone(),
        matches: example.matches,
        example: example.text.clone(),
        outcome: answer(&rule.id, example).err().unwrap_or(ExampleOutcome::Passed),
    })
    .collect()
}

/// Rules that lack an example of either kind.
pub(super) fn missing(file: &RuleFile) -> Vec<PolicyProblem> {
    let mut problems = Vec::new();
    for rule in &file.rules {
        for (matches, word, what) in [(true, "match", "that it matches"), (false, "no match", "that it leaves alone")] {
            if rule.examples.iter().all(|example| example.matches != matches) {
                let id = &rule.id;
                let message = format!("`{id}` has no example {what}; write one above it, as in `// {word}: {{…}}`");
                problems.push(PolicyProblem { file: file.name.into(), line: rule.line, message });
            }
        }
    }
    problems
}

impl Tried {
    /// What is wrong, where the example failed.
    pub(super) fn problem(&self) -> Option<PolicyProblem> {
        let ExampleOutcome::Failed { why } = &self.outcome else { return None };
        let word = if self.matches { "match" } else { "no match" };
        let message = format!(
            "`{}`: the example `{word}: {}` does not hold: {why}; correct the rule or the example",
            self.rule, self.example
        );
        Some(PolicyProblem { file: self.file.clone(), line: self.line, message })
    }
}

/// A failure with its reason.
pub(super) fn failed(why: impl Into<String>) -> ExampleOutcome {
    ExampleOutcome::Failed { why: why.into() }
}

/// Holds what a rule answered against what the example says; `to` names what it was asked about.
pub(super) fn judge(
    example: &Example,
    held: bool,
    errors: &[(String, String)],
    to: &str,
) -> Result<(), ExampleOutcome> {
    if let Some((_, why)) = errors.first() {
        return Err(failed(format!("the rule fails{to}: {why}")));
    }
    match (example.matches, held) {
        (true, false) => Err(failed(format!("the rule does not match{to}"))),
        (false, true) => Err(failed(format!("the rule matches{to}"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_found_with_their_lines_and_may_go_on() {
        let text = "// about\n// match: {a: 1,\n//   b: 2}\n//   c\n//no match: {}\n// other\n//   more\n@id(\"x\") // match: {no}\n  // match: {z: 1}\n";
        let found = examples(text);
        let told: Vec<_> = found.iter().map(|(_, e)| (e.line, e.matches, e.text.as_str())).collect();
        assert_eq!(told, [(2, true, "{a: 1, b: 2} c"), (5, false, "{}"), (9, true, "{z: 1}")]);
        assert!(text[found[2].0..].starts_with("  // match: {z"));
    }
}

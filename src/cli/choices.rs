//! What can be answered where a person is asked, each choice in a line; shown for `?`.

use crate::{artifact::OnFailure, engagement::About};

/// What a question offers.
#[derive(Clone, Copy, Debug)]
pub struct Offered<'a> {
    /// What it is about.
    pub about: &'a About,
    /// Some of its calls may be approved and others not yet.
    pub several: bool,
    /// What a model drafts is drafted again after words.
    pub drafted: bool,
    /// In a conversation: the beginning of the digest that a yes names.
    pub named: Option<&'a str>,
}

/// Each choice in a line.
pub fn explained(offered: Offered<'_>) -> Vec<String> {
    let Offered { about, several, drafted, named } = offered;
    let mut lines: Vec<(String, &str)> = Vec::new();
    match about {
        About::Failure { .. } => {
            for (key, choice) in [
                ("stop", OnFailure::Stop),
                ("continue", OnFailure::Continue),
                ("undo-target", OnFailure::UndoTarget),
                ("undo-all", OnFailure::UndoAll),
            ] {
                lines.push((key.into(), choice.words()));
            }
        }
        About::Unknown { undo, .. } => {
            let [yes, no] = match undo {
                false => [
                    "it took effect; the step counts as run and is checked as designed",
                    "it did not take effect; the step fails",
                ],
                true => [
                    "it took effect; the step counts as taken back",
                    "it did not take effect; the step is left as it is, and the record says so",
                ],
            };
            lines.push(("applied".into(), yes));
            lines.push(("not-applied".into(), no));
        }
        About::Gate1 | About::Gate2 | About::Call { .. } | About::Deviation { .. } => {
            let gate = matches!(about, About::Gate1 | About::Gate2);
            let yes = match about {
                About::Gate1 => "this much may be done, and nothing else",
                About::Gate2 => "exactly this is done; a destructive call is asked about by itself",
                About::Deviation { .. } => "it goes on so; you are asked why",
                _ => "exactly this call runs, once",
            };
            let by_name = |word: &str, key: &str| match named {
                Some(digest) => format!("{word} {digest}"),
                None => key.to_owned(),
            };
            lines.push((by_name("approve", "a"), yes));
            if several {
                lines.push((by_name("some", "s"), "choose among its calls; the others are asked about when reached"));
            }
            lines.push(("r".into(), "no; you are asked why"));
            if gate {
                lines.push(("e".into(), "change the draft in your editor; the new version is asked about"));
                lines.push(("d".into(), "show what changed since the version that was shown last"));
            }
            if drafted {
                lines.push(("say …".into(), "have it drafted otherwise; what comes of it is asked about"));
            }
        }
    }
    lines.push(("Enter".into(), "leave it waiting; nothing is approved"));
    let width = lines.iter().map(|(key, _)| key.chars().count()).max().unwrap_or_default();
    lines.into_iter().map(|(key, means)| format!("  {key:<width$}  {means}")).collect()
}

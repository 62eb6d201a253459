//! The screen of each question made once more from what lies beside the chain: whoever verifies sees whether the person who
//! answered was shown what this version shows of the same spec, design, tools and targets. What was shown is a part of what
//! an answer names, so it cannot be changed later; that it is true, only making it again shows.

use serde::Deserialize;

use crate::{
    engagement::{Asked, Blobs, Documents, State, View},
    gate::{ApprovalRequest, Line, Screen, made_again},
    policy::Catalog,
};

/// What comes of making a screen again.
pub(super) enum Shown {
    /// It is the same.
    Alike,
    /// It is another; the first line that is, in words.
    Otherwise(String),
    /// Something that it is made from is not here.
    NotHere,
}

/// Makes the screen of a question after `state` again, on what it was decided on.
pub(super) fn shown(state: &State, asked: &Asked, blobs: &Blobs, catalog: &Catalog) -> Shown {
    let stored = blobs.get(&asked.request).and_then(|request| ApprovalRequest::deserialize(request.as_ref()).ok());
    let mut documents = Documents::default();
    let (Some(stored), Ok(())) = (stored, documents.refresh(state, blobs)) else { return Shown::NotHere };
    // Of an inventory of which not all is here, and of what reads add to it, it cannot be said again what it has.
    if stored.approved_on.unlisted_targets || !stored.approved_on.found_by.is_empty() {
        return Shown::NotHere;
    }
    // Nor of a call that was refused what it was to reach, where its arguments are destroyed.
    if state.calls.values().any(|call| call.refused.is_some() && call.args.read(blobs).is_none()) {
        return Shown::NotHere;
    }
    let view = View { state, documents: &documents, blobs, toolbox: &catalog.toolbox };
    match made_again(&view, catalog, &stored) {
        // Why a gate is asked anew may follow from files that are kept with no question, such as who signs.
        Ok(made) if made.void != stored.void => Shown::NotHere,
        Ok(made) => differs(&stored.screen, &made.screen).map_or(Shown::Alike, Shown::Otherwise),
        Err(_) => Shown::NotHere,
    }
}

/// The first line that differs, as it was shown and as it is made here.
fn differs(was: &Screen, is: &Screen) -> Option<String> {
    if was == is {
        return None;
    }
    let (was, is) = (lines(was), lines(is));
    let at = was.iter().zip(&is).take_while(|(was, is)| was == is).count();
    let line = |lines: &[String]| lines.get(at).map_or_else(|| "nothing more".to_owned(), |line| format!("`{line}`"));
    Some(format!("{}, and this version shows {}", line(&was), line(&is)))
}

fn lines(screen: &Screen) -> Vec<String> {
    let Screen { title, banner, subject, sections, footer } = screen;
    let mut lines = vec![title.clone(), banner.clone().unwrap_or_default(), subject.clone()];
    for section in sections {
        lines.push(section.heading.clone().unwrap_or_default());
        lines.extend(section.lines.iter().map(words));
    }
    lines.push(footer.clone());
    lines
}

fn words(line: &Line) -> String {
    match line {
        Line::Text(text) | Line::Detail(text) | Line::Kept(text) => text.clone(),
        Line::Removed(text) => format!("- {text}"),
        Line::Added(text) => format!("+ {text}"),
        Line::Warning(text) => format!("! {text}"),
        Line::KeyValue { key, value } => format!("{key}: {value}"),
        Line::Call { node, sentence, digest, tick } => {
            format!("{node}: {sentence} ({digest}{})", if *tick { ", by itself" } else { "" })
        }
    }
}

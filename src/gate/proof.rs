//! What a solver proved about a boundary, in plain words. It says what the report says: what is not proven is never
//! worded as if it were, and every call that is shown was decided by the authorizer too.

use serde_json::{Map, Value};

use crate::{
    artifact::{Agent, ToolName},
    policy::{Catalog, Counterexample, Lets, Proof, ProofReport},
};

use super::{
    question::said,
    screen::Section,
    text::{sentence, word},
};

/// The report in sections. `newer` and `older` are what the two versions are called, such as `version 2`.
pub fn proof_sections(report: &ProofReport, catalog: &Catalog, newer: &str, older: &str) -> Vec<Section> {
    let heading = match &report.solver {
        Some(solver) => format!("WHAT IS PROVEN (by {})", word(solver)),
        None => "NOT PROVEN BY A SOLVER".to_owned(),
    };
    let mut section = Section::new(heading);
    if let (None, Proof::NotProven { reason }) = (&report.solver, &report.no_failures) {
        section.text(format!("Nothing is proven: {}.", sentence(reason)));
        return vec![section];
    }
    if let Some(no_wider) = &report.no_wider {
        let told = |by: &Counterexample| {
            let whom = match by.agent {
                Agent::Build => "the build agent",
                _ => "the design agent and the verifier",
            };
            let what = match &by.args {
                Some(args) => call_words(catalog, &by.tool, args),
                None => format!("use {} more often", by.tool),
            };
            [format!("{newer} also lets {whom} {what}"), format!("in {older}: {}", sentence(&by.why))]
        };
        section.proof(no_wider, &format!("{newer} permits nothing that {older} did not"), told);
    }
    let dead: Vec<_> = report.grants.iter().filter(|grant| matches!(grant.lets, Lets::Nothing { .. })).collect();
    for grant in &dead {
        if let Lets::Nothing { reason } = &grant.lets {
            section.warn(format!("{} ({}) lets nothing through", word(&grant.grant), grant.tool));
            section.detail(sentence(reason));
        }
    }
    let unknown: Vec<_> = report
        .grants
        .iter()
        .filter_map(|grant| match &grant.lets {
            Lets::NotProven { reason } => Some((grant, reason)),
            _ => None,
        })
        .collect();
    for (grant, reason) in &unknown {
        section.text(format!("Not proven: the worst call of {} ({}).", word(&grant.grant), grant.tool));
        section.detail(sentence(reason));
    }
    if dead.is_empty() && unknown.is_empty() {
        section.text("Proven: no grant is dead under the guardrails.");
    }
    let told = |by: &Counterexample| {
        let call = by.args.as_ref().map(|args| call_words(catalog, &by.tool, args));
        [sentence(&by.why), format!("for the call: {}", call.unwrap_or_else(|| by.tool.to_string()))]
    };
    section.proof(&report.no_failures, "no policy fails on a call that can be made with these tools", told);
    let mut worst = Section::new("THE WORST CALL THAT EACH GRANT LETS THROUGH");
    let (builds, reads): (Vec<_>, Vec<_>) = report.grants.iter().partition(|grant| grant.grant.starts_with("build"));
    for grant in builds.into_iter().chain(reads) {
        if let Lets::Worst { args } = &grant.lets {
            worst.pair(word(&grant.grant), call_words(catalog, &grant.tool, args));
        }
    }
    if worst.lines.is_empty() { vec![section] } else { vec![section, worst] }
}

fn call_words(catalog: &Catalog, tool: &ToolName, args: &Map<String, Value>) -> String {
    match catalog.toolbox.tool(tool) {
        Some(tool) => said(tool, args),
        None => format!("use `{tool}`, which no manifest describes"),
    }
}

impl Section {
    /// A claim with what became of it.
    fn proof(&mut self, proof: &Proof, claim: &str, told: impl Fn(&Counterexample) -> [String; 2]) {
        match proof {
            Proof::Proven {} => self.text(format!("Proven: {claim}.")),
            Proof::NotProven { reason } => {
                self.text(format!("Not proven: {claim}."));
                self.detail(sentence(reason));
            }
            Proof::Refuted { by } => {
                for counterexample in by {
                    let [what, why] = told(counterexample);
                    self.warn(what);
                    self.detail(why);
                }
            }
        }
    }
}

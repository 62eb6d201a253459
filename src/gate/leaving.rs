//! What of the tools' answers leaves to language models, and to which: said at gate 1, where a model is in use.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    artifact::{Agent, Spec},
    policy::Catalog,
    tool::{Egress, Tool},
};

use super::text::{names, quoted, sentence};

/// A place that a model answers from, and so a place that sees what the model is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Its name in the configuration.
    pub name: String,
    /// Where requests go.
    pub url: String,
    /// The model that is asked for there; requests of old, and what is simulated, name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The headers that go with each request, which may say where it is answered; none of them is secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The agents whose conversations go there. Requests of old name none, and meant the design and
    /// build agents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<Agent>,
}

impl Endpoint {
    /// Whether it is the place that was approved as this one. Where that names no model it was approved with whichever.
    pub fn is_approved_as(&self, approved: &Self) -> bool {
        let same = self.name == approved.name && self.url == approved.url;
        same && (approved.model.is_none() || self.model == approved.model && self.headers == approved.headers)
    }

    /// Whether it sees what this agent sees.
    pub fn is_for(&self, agent: Agent) -> bool {
        self.agents.contains(&agent) || self.agents.is_empty() && agent != Agent::Requirements
    }
}

/// What stands before the names of places.
fn asked(who: &str, places: &[String]) -> String {
    format!("{who} asked at {}", names(places))
}

/// The places of an agent, in the order in which they are asked.
fn places(endpoints: &[Endpoint], agent: Agent) -> Vec<String> {
    let place = |endpoint: &Endpoint| {
        let mut place = format!("{} ({}", quoted(&endpoint.name), quoted(&endpoint.url));
        if let Some(model) = &endpoint.model {
            place += &format!(", model {}", quoted(model));
        }
        for (name, value) in &endpoint.headers {
            place += &format!(", header {}: {}", quoted(name), quoted(value));
        }
        place + ")"
    };
    endpoints.iter().filter(|endpoint| endpoint.is_for(agent)).map(place).collect()
}

/// What a person is told of it, agent by agent; nothing where no model is in use.
pub(super) fn leaving_words(spec: &Spec, catalog: &Catalog, endpoints: &[Endpoint]) -> Vec<String> {
    let mut said = Vec::new();
    let places = |agent: Agent| Some(places(endpoints, agent)).filter(|places| !places.is_empty());
    if let Some(places) = places(Agent::Requirements) {
        said.push(format!(
            "{} and sees the request and what is said, the inventory, the tools, the blueprints, every version of this \
             spec, and what a discovery says in words where it asks for another one.",
            asked("The model of the requirements agent is", &places)
        ));
    }
    match (places(Agent::Design), places(Agent::Build)) {
        (Some(design), Some(build)) if design == build => {
            said.extend(of_answers(spec, catalog, &asked("Models of the design and build agents are", &design)));
        }
        (design, build) => {
            let design = design.map(|places| asked("Models of the design agent are", &places));
            let build = build.map(|places| asked("Models of the build agent are", &places));
            for of in [design, build].into_iter().flatten() {
                said.extend(of_answers(spec, catalog, &of));
            }
        }
    }
    said
}

/// What they are told whatever it rests on.
const HOLDS: &str = "whether each acceptance check holds and each draft comes out";

/// What of the answers of granted tools those see who are `asked`.
fn of_answers(spec: &Spec, catalog: &Catalog, asked: &str) -> Vec<String> {
    let granted: BTreeSet<_> =
        spec.boundary.discover.iter().chain(&spec.boundary.build).map(|grant| &grant.tool).collect();
    let tools: Vec<&Tool> = granted.into_iter().filter_map(|name| catalog.toolbox.tool(name)).collect();
    let full = fields(&tools, Egress::Full);
    let summary = fields(&tools, Egress::Summary);
    let errors: Vec<&str> =
        tools.iter().filter(|tool| tool.errors.model == Egress::Full).map(|tool| tool.name.as_str()).collect();
    if full.is_empty() && summary.is_empty() && errors.is_empty() {
        return vec![format!("{asked}. Nothing that these tools answer is shown to them, but for {HOLDS}.")];
    }
    let mut said = format!("{asked} and see what is answered by {}", or_nothing(&full));
    if !summary.is_empty() {
        said += &format!("; only its type and size of {summary}");
    }
    let mut said = vec![format!("{said}. Of every other field they are told that it was left out, and {HOLDS}.")];
    if !errors.is_empty() {
        said.push(format!("They see the text of the errors of {}.", names(&errors)));
    }
    said
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { "none of these tools" } else { text }
}

/// The fields of these tools that leave so, as `vlan.list: /vlans/*/id, /vlans/*/name`.
fn fields(tools: &[&Tool], model: Egress) -> String {
    let of = |tool: &&Tool| {
        let paths = tool.output.iter().filter(|(_, field)| field.model == model);
        let path = |path: String| if path.is_empty() { "the whole answer".into() } else { sentence(&path) };
        let paths: Vec<String> = paths.map(|(at, _)| path(at.to_string())).collect();
        (!paths.is_empty()).then(|| format!("{} ({})", tool.name, names(&paths)))
    };
    tools.iter().filter_map(of).collect::<Vec<_>>().join(", ")
}

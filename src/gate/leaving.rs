//! What of the tools' answers leaves to language models, and to which: said at gate 1, where a model is in use.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    artifact::Spec,
    policy::Catalog,
    tool::{Egress, Tool},
};

use super::text::{names, quoted, sentence};

/// A place that a model answers from, and so a place that sees what the model is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Its name in the configuration.
    pub name: String,
    /// Where requests go.
    pub url: String,
}

/// What a person is told of it; nothing where no model is in use.
pub(super) fn leaving_words(spec: &Spec, catalog: &Catalog, endpoints: &[Endpoint]) -> Vec<String> {
    if endpoints.is_empty() {
        return Vec::new();
    }
    let places: Vec<String> =
        endpoints.iter().map(|endpoint| format!("{} ({})", quoted(&endpoint.name), quoted(&endpoint.url))).collect();
    let places = names(&places);
    let granted: BTreeSet<_> =
        spec.boundary.discover.iter().chain(&spec.boundary.build).map(|grant| &grant.tool).collect();
    let tools: Vec<&Tool> = granted.into_iter().filter_map(|name| catalog.toolbox.tool(name)).collect();
    let full = fields(&tools, Egress::Full);
    let summary = fields(&tools, Egress::Summary);
    let errors: Vec<&str> =
        tools.iter().filter(|tool| tool.errors.model == Egress::Full).map(|tool| tool.name.as_str()).collect();
    if full.is_empty() && summary.is_empty() && errors.is_empty() {
        return vec![format!("Models are asked at {places}. Nothing that these tools answer is shown to them.")];
    }
    let mut said = format!("Models are asked at {places} and see what is answered by {}", or_nothing(&full));
    if !summary.is_empty() {
        said += &format!("; only its type and size of {summary}");
    }
    let mut said = vec![format!("{said}. Of every other field they are told that it was left out.")];
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

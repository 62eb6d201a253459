//! The tools that an agent is offered. What is not offered is not thereby forbidden and what is offered not allowed:
//! the broker decides each call. An offer only saves a model from asking in vain.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    artifact::{ArtifactKind, ToolName, ValueSchema},
    engagement::AgentAsked,
    model::ToolOffer,
    tool::{Effect, Tool},
};

use super::turn::Desk;

/// The tool with which the requester is asked.
pub const ASK: &str = "ask";
/// The tool with which the rest of a long result is read; no call of a server.
pub const READ_RESULT: &str = "read_result";

/// What the agent that drafts `kind` is offered.
pub(super) fn offers(desk: &Desk<'_>, kind: ArtifactKind) -> Vec<ToolOffer> {
    match kind {
        ArtifactKind::Spec => vec![ask()],
        ArtifactKind::Discovery | ArtifactKind::Design => {
            granted_reads(desk).into_iter().map(offer).chain([read_result()]).collect()
        }
        // Everything was read before gate 2; what is built is not read for by whoever builds it.
        ArtifactKind::Flow => vec![read_result()],
        ArtifactKind::Record => Vec::new(),
    }
}

/// The reading tools that the approved spec grants for discovery.
pub(super) fn granted_reads<'a>(desk: &Desk<'a>) -> Vec<&'a Tool> {
    let Some(spec) = desk.view.documents.spec() else { return Vec::new() };
    let names: BTreeSet<&ToolName> = spec.boundary.discover.iter().map(|grant| &grant.tool).collect();
    let tools = names.into_iter().filter_map(|name| desk.catalog.toolbox.tool(name));
    tools.filter(|tool| tool.effect == Effect::Read).collect()
}

fn offer(tool: &Tool) -> ToolOffer {
    ToolOffer { name: tool.name.to_string(), about: tool.about.clone(), parameters: parameters(tool) }
}

/// The arguments of a tool as one JSON Schema.
pub(super) fn parameters(tool: &Tool) -> Value {
    let schema = |(name, schema): (&String, &ValueSchema)| (name.clone(), schema.json_schema());
    let properties: Map<String, Value> = tool.args.properties.iter().map(schema).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": tool.args.required,
        "additionalProperties": false,
    })
}

fn ask() -> ToolOffer {
    ToolOffer {
        name: ASK.into(),
        about: "Ask the requester what is open. The answers come back as the result.".into(),
        parameters: json!({
            "type": "object",
            "properties": {
                "questions": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": AgentAsked::MOST,
                    "items": {
                        "type": "object",
                        "properties": {
                            "text": {"type": "string", "description": "The question, in one or two sentences"},
                            "choices": {
                                "type": "array",
                                "items": {"type": "string"},
                                "description": "The answers there are, where there are few",
                            },
                            "type": {
                                "type": "string",
                                "enum": ["string", "integer", "boolean"],
                                "description": "What the answer must be; text where left out",
                            },
                        },
                        "required": ["text"],
                        "additionalProperties": false,
                    },
                },
            },
            "required": ["questions"],
            "additionalProperties": false,
        }),
    }
}

fn read_result() -> ToolOffer {
    ToolOffer {
        name: READ_RESULT.into(),
        about: "Read more of a result that was shown in part. Nothing is called for it.".into(),
        parameters: json!({
            "type": "object",
            "properties": {
                "call": {"type": "string", "description": "The id of the call, such as c3"},
                "path": {"type": "string", "description": "A JSON pointer into what was shown of it; all of it where left out"},
                "offset": {"type": "integer", "minimum": 0, "description": "The first item, field or character, from 0"},
                "limit": {"type": "integer", "minimum": 1, "description": "How many"},
            },
            "required": ["call"],
            "additionalProperties": false,
        }),
    }
}

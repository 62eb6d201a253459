//! What a tool is, as a document: what an approval rests on, and what lies beside a chain for whoever verifies it.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::artifact::{ToolName, digest_of};

use super::{
    manifest::{Manifest, ManifestKind, Tool},
    pin::Pins,
    server::Server,
    toolbox::{ManifestProblem, Toolbox},
};

impl Toolbox {
    /// What a tool is, as the document that [`Toolbox::definition`] digests.
    pub fn definition_document(&self, name: &ToolName) -> Value {
        let manifest = self.manifest_of(name);
        let pin = manifest.and_then(|manifest| self.pin(&manifest.family));
        let (server, simulated) =
            (manifest.map(|manifest| &manifest.server), manifest.map(|manifest| manifest.simulated));
        json!({"tool": self.tool(name), "server": server, "pin": pin, "simulated": simulated})
    }

    /// The tools that these documents define, as far as calls are decided on them: how their states are read and how they
    /// are undone is left out, since the tools for that may not be among them. The error says what is wrong with one.
    pub fn of_definitions(documents: &[Value]) -> Result<Self, String> {
        let mut manifests = Vec::new();
        for document in documents {
            let said = |name: &str| document.get(name).cloned().unwrap_or_default();
            let mut tool = said("tool").as_object().cloned().unwrap_or_default();
            for left_out in ["state", "after", "undo"] {
                tool.remove(left_out);
            }
            let manifest = json!({
                "kind": "tools", "family": tool.get("name"), "about": "as it was defined", "simulated": said("simulated"),
                "server": said("server"), "tools": [tool],
            });
            manifests.push(serde_json::from_value(manifest).map_err(|error| error.to_string())?);
        }
        let first = |problems: Vec<ManifestProblem>| problems.first().map(ToString::to_string).unwrap_or_default();
        Self::new(manifests, Pins::default()).map_err(first)
    }

    /// The tools that these documents define, whole, as whoever wrote them had checked them: what is written of their
    /// states can be worked out again. Those with the same server are of one family.
    pub fn as_defined<'a>(documents: impl Iterator<Item = &'a Value>) -> Result<Self, serde_json::Error> {
        let (mut manifests, mut definitions): (Vec<(&Value, Manifest)>, HashMap<_, _>) = Default::default();
        for document in documents {
            let said = |name: &str| document.get(name).unwrap_or(&Value::Null);
            // A spec may grant what no manifest has.
            if said("tool").is_null() {
                continue;
            }
            let tool = Tool::deserialize(said("tool"))?;
            let digest = digest_of(document).map_err(<serde_json::Error as serde::de::Error>::custom)?;
            definitions.insert(tool.name.clone(), digest);
            match manifests.iter_mut().find(|(server, _)| *server == said("server")) {
                Some((_, manifest)) => manifest.tools.push(tool),
                None => {
                    let manifest = Manifest {
                        kind: ManifestKind::Tools,
                        family: tool.name.to_string(),
                        about: "as it was defined".into(),
                        simulated: said("simulated").as_bool().unwrap_or_default(),
                        server: Server::deserialize(said("server"))?,
                        tools: vec![tool],
                    };
                    manifests.push((said("server"), manifest));
                }
            }
        }
        Ok(Self::of(manifests.into_iter().map(|(_, manifest)| manifest).collect(), definitions))
    }
}

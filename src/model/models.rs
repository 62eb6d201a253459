//! The models of a workspace, as `policies/models.yaml` says.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::artifact::{Agent, YamlError};

use super::{
    Model,
    cassette::{Recording, Replay},
    config::{ModelsFile, Use},
    list::{Endpoint, List},
    openai::OpenAi,
    scripted::Scripted,
};

/// The models that each agent asks. Reading them reaches no network and reads no key.
#[derive(Clone, Default)]
pub struct Models {
    agents: Vec<(Agent, Arc<dyn Model>, Vec<ModelEndpoint>)>,
    each: Vec<(ModelEndpoint, Arc<dyn Model>)>,
    currency: Option<String>,
    rooms: BTreeMap<Agent, u64>,
}

/// Where an agent's conversation goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelEndpoint {
    /// The endpoint, as the configuration names it; one that is not asked says so.
    pub name: String,
    /// Its address, or the file that answers instead.
    pub base_url: String,
    /// The model there; nothing where none is asked.
    pub model: Option<String>,
    /// The headers that go with each request; none of them is secret.
    pub headers: BTreeMap<String, String>,
    /// Whether nothing leaves this program.
    pub simulated: bool,
}

impl Models {
    /// Reads the file. There are no models where there is no file or nothing but comments in it.
    pub fn load(path: &Path) -> Result<Self, YamlError> {
        let name = path.display().to_string();
        // A pipe could never end.
        let text = std::fs::metadata(path).and_then(|metadata| match metadata.is_file() {
            true => std::fs::read_to_string(path),
            false => Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a file")),
        });
        match text {
            Ok(text) => Self::parse(&name, &text, path.parent().unwrap_or(Path::new("."))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(YamlError { name, line: 1, column: 1, message: format!("it cannot be read: {error}") }),
        }
    }

    /// Reads a text; what it names stands in `folder`.
    pub fn parse(name: &str, text: &str, folder: &Path) -> Result<Self, YamlError> {
        let Some(file) = ModelsFile::read(name, text)? else { return Ok(Self::default()) };
        let mut agents = Vec::new();
        let mut rooms = BTreeMap::new();
        let mut each: Vec<(ModelEndpoint, Arc<dyn Model>)> = Vec::new();
        for agent in Agent::ALL {
            let Some(role) = file.role(agent) else { continue };
            rooms.extend(role.list.iter().filter_map(Use::room).min().map(|room| (agent, room)));
            let mut asked: Vec<Arc<dyn Endpoint>> = Vec::new();
            let mut shown = Vec::new();
            for used in &role.list {
                let Some(settings) = file.endpoints.get(&used.endpoint) else { continue };
                let (endpoint, name) = (&used.endpoint, used.endpoint.clone());
                let (one, at): (Arc<dyn Endpoint>, ModelEndpoint) = match (&settings.scripted, &settings.replay) {
                    (Some(path), _) => (
                        Arc::new(Scripted::read(endpoint, &folder.join(path))?),
                        simulated(format!("{name} (simulated)"), path),
                    ),
                    (None, Some(path)) => (
                        Arc::new(Replay::read(endpoint, &folder.join(path))?),
                        simulated(format!("{name} (replayed)"), path),
                    ),
                    (None, None) => {
                        let base_url = settings.base().unwrap_or_default();
                        let (model, headers) = (used.model.clone(), settings.headers.clone());
                        let at = ModelEndpoint { name, base_url, model, headers, simulated: false };
                        (Arc::new(OpenAi::new(endpoint, settings, used)), at)
                    }
                };
                if !at.simulated && !each.iter().any(|(other, _)| *other == at) {
                    let alone: Arc<dyn Model> = Arc::new(List::new(vec![Arc::clone(&one)], file.retries));
                    each.push((at.clone(), alone));
                }
                asked.push(one);
                shown.push(at);
            }
            let model: Arc<dyn Model> = Arc::new(List::new(asked, file.retries));
            agents.push((agent, model, shown));
        }
        if let Some(path) = &file.record {
            for (_, model, _) in &mut agents {
                *model = Arc::new(Recording::new(Arc::clone(model), folder.join(path)));
            }
        }
        let prices = file.endpoints.values().filter_map(|endpoint| endpoint.price_per_million.as_ref());
        let currency = prices.map(|price| price.currency.clone()).next();
        Ok(Self { agents, each, currency, rooms })
    }

    /// The model of an agent, with its fallbacks; nothing where none is configured.
    pub fn for_agent(&self, agent: Agent) -> Option<Arc<dyn Model>> {
        self.agents.iter().find(|(of, ..)| *of == agent).map(|(_, model, _)| Arc::clone(model))
    }

    /// Where the conversation of an agent may go, in the order in which it is asked: who sees what the agent sees.
    pub fn endpoints_for(&self, agent: Agent) -> &[ModelEndpoint] {
        self.agents.iter().find(|(of, ..)| *of == agent).map_or(&[], |(_, _, shown)| shown)
    }

    /// How many tokens a request of an agent may have, so that each of its models can take it; none where nothing says.
    pub fn room_for(&self, agent: Agent) -> Option<u64> {
        self.rooms.get(&agent).copied()
    }

    /// Each model that can be asked, by itself: without those that stand in for it, and not recorded.
    pub fn each(&self) -> impl Iterator<Item = (ModelEndpoint, Arc<dyn Model>)> {
        self.each.iter().cloned()
    }

    /// The currency that costs are counted in, where there are prices.
    pub fn currency(&self) -> Option<&str> {
        self.currency.as_deref()
    }

    /// Whether no agent has a model.
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }
}

fn simulated(name: String, path: &str) -> ModelEndpoint {
    ModelEndpoint { name, base_url: path.to_owned(), model: None, headers: BTreeMap::new(), simulated: true }
}

impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.agents.iter().map(|(agent, _, shown)| (agent, shown))).finish()
    }
}

//! Any endpoint that speaks Chat Completions: OpenAI, Azure, vLLM, Ollama, llama.cpp, LiteLLM. The network is reached
//! when a turn is made and not before; the key is read then too.

mod assemble;
mod http;
mod wire;

#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_openai::{Client, config::Config, error::OpenAIError};
use futures::{StreamExt, future::BoxFuture};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::timeout;

use crate::engagement::Finish;

pub(crate) use self::wire::plain;
use self::{
    assemble::{Assembly, Broken},
    http::{Failure, Guarded, Reason, Send},
    wire::{Names, Shape},
};
use super::{
    Answer, Delta, ModelRequest,
    config::{EndpointSettings, KeyHeader, Price, Switch, Use},
    health::{Health, Lack},
    key::Redactor,
    list::{Endpoint, Trouble},
};

/// How long an endpoint may take to take a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long figures are waited for after the end of an answer.
const GRACE: Duration = Duration::from_secs(2);

/// One model at one endpoint.
pub(super) struct OpenAi {
    name: String,
    settings: EndpointSettings,
    used: Use,
    health: Arc<Health>,
    line: OnceLock<Result<Line, String>>,
}

/// What requests go out through; set up when the first one does.
#[derive(Clone)]
struct Line {
    client: reqwest::Client,
    send: Send,
}

impl OpenAi {
    /// It, as it is configured. Nothing is opened.
    pub(super) fn new(name: &str, settings: &EndpointSettings, used: &Use) -> Self {
        let health = Health::of(name, settings);
        Self { name: name.into(), settings: settings.clone(), used: used.clone(), health, line: OnceLock::new() }
    }

    fn model(&self) -> &str {
        self.used.model.as_deref().unwrap_or_default()
    }

    fn line(&self) -> Result<Line, Trouble> {
        let built = || {
            // Whoever came first has set the same one.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT)
                .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")));
            let builder = if self.settings.is_loopback() { builder.no_proxy() } else { builder };
            let client = builder.build().map_err(|error| format!("no connection can be set up: {error}"))?;
            let sends = client.clone();
            Ok(Line { client, send: Arc::new(move |request| Box::pin(sends.execute(request))) })
        };
        self.line.get_or_init(built).clone().map_err(Trouble::Never)
    }

    async fn key(&self) -> Result<Option<SecretString>, Trouble> {
        match &self.settings.key {
            None => Ok(None),
            Some(source) => match source.read().await {
                Ok(key) => Ok(Some(key)),
                Err(why) => Err(Trouble::Never(format!(
                    "its key could not be read: {why}; see endpoints.{}.key of policies/models.yaml",
                    self.name
                ))),
            },
        }
    }

    async fn turn(
        &self,
        request: &ModelRequest,
        watch: &mut (dyn FnMut(Delta) + std::marker::Send),
    ) -> Result<Answer, Trouble> {
        let (key, line) = (self.key().await?, self.line()?);
        let names = Names::of(request);
        let shape = Shape::of(request, &self.settings, self.health.lacks(self.model()));
        let body = wire::body(request, &self.used, &shape, &names);
        let allowed = Duration::from_secs(self.used.timeout_seconds.get().into());
        let exchange = self.exchange(request, &body, &names, key, line, watch);
        let failure = match timeout(allowed, exchange).await {
            Ok(Ok(answer)) => return Ok(self.dressed(answer, request, &shape)),
            Ok(Err(failure)) => failure,
            Err(_) => {
                let limit = allowed.as_secs();
                Failure::Broken(format!("it did not finish its answer within {limit} seconds (`timeout_seconds`)"))
            }
        };
        let (status, says, after) = match failure {
            Failure::Broken(why) => return Err(Trouble::Again { why, after: None, read: true }),
            Failure::Unreached(why) => return Err(Trouble::Again { why, after: None, read: false }),
            Failure::Wrong(why) => return Err(Trouble::Never(why)),
            Failure::Status { status, says, after } => (status, says, after),
        };
        let lack = wire::lacking(status, &says, &body, &self.settings);
        if let Some(lack) = lack.filter(|lack| self.health.remember(self.model(), *lack)) {
            return Err(Trouble::Changed(format!("{}: {}", self.name, lack.says())));
        }
        match status {
            408 | 409 | 429 | 500..=599 => Err(Trouble::Again { why: says, after, read: false }),
            401 | 403 => Err(Trouble::Never(format!(
                "{says}; look at endpoints.{}.key of policies/models.yaml and at what that key may use",
                self.name
            ))),
            404 => Err(Trouble::Never(format!(
                "{says}; look at its `base_url`, which most often ends in `/v1`, and at the name of the model"
            ))),
            _ => Err(Trouble::Never(says)),
        }
    }

    async fn exchange(
        &self,
        request: &ModelRequest,
        body: &Value,
        names: &Names,
        key: Option<SecretString>,
        line: Line,
        watch: &mut (dyn FnMut(Delta) + std::marker::Send),
    ) -> Result<Answer, Failure> {
        let reason = Reason::default();
        let mut assembly = Assembly::new(names, Redactor::new(key.clone()), Redactor::new(key.clone()));
        let config = Address::new(&self.settings, key.clone())
            .ok_or_else(|| Failure::Wrong("its key or its headers have characters that no header takes".to_owned()))?;
        // What the client sends through is replaced, and never asks by itself again.
        let client = Client::build(line.client, config).with_http_service(Guarded {
            send: line.send,
            key,
            reason: reason.clone(),
        });
        // What an event said that could not be read is not repeated.
        let unread = |error: OpenAIError| {
            let what = match error {
                OpenAIError::JSONDeserialize(..) => "it sent an event that is no JSON",
                _ => "what it sent is no stream of events",
            };
            reason.take().unwrap_or_else(|| Failure::Broken(what.into()))
        };
        let broken = |broken: Broken| match broken {
            Broken::Again(why) => Failure::Broken(why),
            Broken::Never(why) => Failure::Wrong(why),
        };
        let mut stream = client.chat().create_stream_byot::<&Value, Value>(body).await.map_err(unread)?;
        loop {
            let next = match assembly.ended() {
                // Some stay on the line after their last word.
                true => timeout(GRACE, stream.next()).await.unwrap_or_default(),
                false => stream.next().await,
            };
            let Some(event) = next else { break };
            assembly.take(&event.map_err(unread)?, watch).map_err(broken)?;
        }
        assembly.finish(request, wire::estimate(request), watch).map_err(broken)
    }

    /// The answer with what the configuration knows: names, the price, and what this endpoint lacks.
    fn dressed(&self, mut answer: Answer, request: &ModelRequest, shape: &Shape) -> Answer {
        answer.endpoint.clone_from(&self.name);
        if answer.model.is_empty() {
            answer.model = self.model().to_owned();
        }
        let usage = &mut answer.usage;
        usage.cost_micros =
            self.settings.price_per_million.as_ref().map(|price| price.micros(usage.input, usage.output));
        let ignored = shape.structured
            && self.settings.structured_output == Switch::Auto
            && answer.finish == Finish::Stop
            && answer.calls.is_empty()
            && serde_json::from_str::<Value>(&answer.text).is_err();
        if ignored {
            let beside = !request.tools.is_empty();
            let lack = if beside { Lack::StructuredOutputBesideTools } else { Lack::StructuredOutput };
            self.health.remember(self.model(), lack);
            answer.notes.push(format!("{}: {}, from the next turn on", self.name, lack.says()));
        }
        let lacks = shape.left_out(request, &self.used);
        answer.notes.extend(lacks.into_iter().map(|lack| format!("{}: {}", self.name, lack.says())));
        answer
    }
}

impl Endpoint for OpenAi {
    fn name(&self) -> &str {
        &self.name
    }

    fn health(&self) -> &Health {
        &self.health
    }

    fn reserve(&self, request: &ModelRequest) -> u64 {
        wire::estimate(request)
    }

    fn price(&self) -> Option<&Price> {
        self.settings.price_per_million.as_ref()
    }

    fn ask<'a>(
        &'a self,
        request: &'a ModelRequest,
        watch: &'a mut (dyn FnMut(Delta) + std::marker::Send),
    ) -> BoxFuture<'a, Result<Answer, Trouble>> {
        Box::pin(self.turn(request, watch))
    }
}

/// Where requests go, and with which headers.
struct Address {
    base: String,
    version: Option<String>,
    headers: HeaderMap,
    key: SecretString,
}

impl Address {
    fn new(settings: &EndpointSettings, key: Option<SecretString>) -> Option<Self> {
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            headers.insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        }
        if let Some(key) = &key {
            let (name, text) = match settings.key_header {
                KeyHeader::Bearer => (AUTHORIZATION, format!("Bearer {}", key.expose_secret())),
                KeyHeader::ApiKey => (HeaderName::from_static("api-key"), key.expose_secret().to_owned()),
            };
            let mut value = HeaderValue::try_from(text).ok()?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let base = settings.base()?;
        Some(Self {
            base,
            version: settings.api_version.clone(),
            headers,
            key: key.unwrap_or_else(|| SecretString::from("")),
        })
    }
}

impl Config for Address {
    fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        self.version.as_deref().map(|version| ("api-version", version)).into_iter().collect()
    }

    fn api_base(&self) -> &str {
        &self.base
    }

    fn api_key(&self) -> &SecretString {
        &self.key
    }
}

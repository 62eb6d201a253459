//! `policies/models.yaml`: the endpoints that models are asked at, and which of them each agent asks, in which order.
//! Pure: text in, settings or an error at its line out.

use std::{collections::BTreeMap, num::NonZeroU32};

use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::artifact::{Agent, YamlError, from_yaml};

use super::key::KeySource;

/// The models of a workspace. A file with nothing but comments means that there is none.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelsFile {
    /// Always `models`.
    pub kind: ModelsKind,
    /// The endpoints, by the names that the roles use.
    #[serde(default)]
    pub endpoints: BTreeMap<String, EndpointSettings>,
    /// Which endpoints each agent asks; an agent that is left out has no model.
    #[serde(default)]
    pub roles: Roles,
    /// How long to go on where an endpoint does not answer.
    #[serde(default)]
    pub retries: Retries,
    /// A cassette, beside this file, that every turn is added to.
    #[serde(default)]
    pub record: Option<String>,
}

/// The `kind` of the models file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelsKind {
    /// Models.
    Models,
}

/// One endpoint. It has exactly one of `base_url`, `scripted` and `replay`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EndpointSettings {
    /// An OpenAI-compatible endpoint, up to what stands before `/chat/completions`; most end in `/v1`.
    pub base_url: Option<String>,
    /// A script of answers, beside this file. Simulated: nothing is asked.
    pub scripted: Option<String>,
    /// A cassette that was recorded, beside this file. Nothing is asked.
    pub replay: Option<String>,
    /// Where its key is; nothing where it wants none.
    pub key: Option<KeySource>,
    /// The header that the key goes in.
    pub key_header: KeyHeader,
    /// What Azure wants as `?api-version=`.
    pub api_version: Option<String>,
    /// Further headers, none of them secret.
    pub headers: BTreeMap<String, String>,
    /// Whether `http://` may be used to another host than this one. Everything can then be read on the way.
    pub allow_plain_http: bool,
    /// Most requests a minute, of all engagements together.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Most tokens a minute, of all engagements together.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// What a million tokens cost.
    pub price_per_million: Option<Price>,
    /// Whether it takes a JSON Schema for the answer.
    pub structured_output: Switch,
    /// Whether several calls may stand in one answer.
    pub parallel_tool_calls: Switch,
}

/// The header that a key goes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyHeader {
    /// `Authorization: Bearer …`.
    #[default]
    Bearer,
    /// `api-key: …`, as Azure has it.
    ApiKey,
}

/// Whether something that not every endpoint can do is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Switch {
    /// Until the endpoint is found not to know it.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// What a million tokens cost.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of tokens read.
    pub input: f64,
    /// Of tokens written.
    pub output: f64,
    /// The currency, such as `USD`; the whole file has one.
    pub currency: String,
}

impl Price {
    /// What tokens cost, in millionths: a price per million is the millionths of one.
    pub fn micros(&self, input: u64, output: u64) -> u64 {
        let micros = input as f64 * self.input + output as f64 * self.output;
        // Prices and figures are checked to be far from where this could overflow.
        micros.round() as u64
    }
}

/// Which endpoints each agent asks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Roles {
    /// The agent that drafts the spec.
    pub requirements: Option<RoleSettings>,
    /// The agent that discovers and designs.
    pub design: Option<RoleSettings>,
    /// The agent that fills what the design leaves open.
    pub build: Option<RoleSettings>,
}

/// The models of one agent.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleSettings {
    /// The models in the order in which they are asked: each is a fallback of those before it.
    #[serde(rename = "use")]
    pub list: Vec<Use>,
}

/// A model at an endpoint.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Use {
    /// The endpoint, by its name above.
    pub endpoint: String,
    /// The model, as the endpoint names it; scripts and cassettes have none.
    #[serde(default)]
    pub model: Option<String>,
    /// The temperature; the endpoint's own where left out.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// Most tokens of one answer; the endpoint's own where left out.
    #[serde(default)]
    pub max_tokens: Option<NonZeroU32>,
    /// How many tokens a request and its answer may have together; requests are cut to that. Left out, nothing is cut, and
    /// an endpoint may drop the beginning of what it is asked without a word.
    #[serde(default)]
    pub context_tokens: Option<NonZeroU32>,
    /// How long one answer may take, from the request to its last byte.
    #[serde(default = "two_minutes")]
    pub timeout_seconds: NonZeroU32,
}

impl Use {
    /// How many tokens a request may have there; no limit where nothing is said.
    pub fn room(&self) -> Option<u64> {
        let context = u64::from(self.context_tokens?.get());
        let answer = self.max_tokens.map_or_else(|| (context / 4).min(ANSWER), |most| most.get().into());
        Some(context.saturating_sub(answer))
    }
}

/// The tokens that are left for an answer where `max_tokens` does not say.
const ANSWER: u64 = 8_192;

fn two_minutes() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(119)
}

/// How long to go on where endpoints do not answer. Status 408, 409, 429 and 5xx and answers that break off are asked
/// for again; what an endpoint refuses is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retries {
    /// The wait before the second attempt, in milliseconds; each further one is twice as long, and shortened by chance.
    pub first_wait_ms: u32,
    /// The longest of these waits, in milliseconds.
    pub longest_wait_ms: u32,
    /// All waits and all attempts in vain of one turn together, in seconds. More than twice `timeout_seconds`, or an attempt
    /// that takes all of its time leaves none for another.
    pub total_wait_seconds: u32,
    /// After this many failures in a row an endpoint is left alone, and the next of the list asked.
    pub failures_until_rest: NonZeroU32,
    /// How long it is left alone, in seconds.
    pub rest_seconds: NonZeroU32,
}

impl Default for Retries {
    fn default() -> Self {
        let at_least_one = |n: u32| NonZeroU32::MIN.saturating_add(n.saturating_sub(1));
        Self {
            first_wait_ms: 500,
            longest_wait_ms: 20_000,
            total_wait_seconds: 300,
            failures_until_rest: at_least_one(3),
            rest_seconds: at_least_one(30),
        }
    }
}

/// Headers that hold keys, or that say what the program says itself.
const OWN_HEADERS: [&str; 9] = [
    "authorization",
    "api-key",
    "x-api-key",
    "proxy-authorization",
    "cookie",
    "host",
    "content-type",
    "content-length",
    "transfer-encoding",
];

impl ModelsFile {
    /// Reads and checks the file; nothing where it holds only comments.
    pub fn read(name: &str, text: &str) -> Result<Option<Self>, YamlError> {
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(None);
        }
        let file: Self = from_yaml(name, text)?;
        match file.problem() {
            None => Ok(Some(file)),
            Some((path, why)) => Err(YamlError::at(name, text, &path, why)),
        }
    }

    /// The settings of an agent.
    pub fn role(&self, agent: Agent) -> Option<&RoleSettings> {
        match agent {
            Agent::Requirements => self.roles.requirements.as_ref(),
            Agent::Design => self.roles.design.as_ref(),
            Agent::Build => self.roles.build.as_ref(),
            Agent::Verifier => None,
        }
    }

    /// The first thing that is wrong: the place, and why.
    fn problem(&self) -> Option<(String, String)> {
        let mut currency: Option<&str> = None;
        for (name, endpoint) in &self.endpoints {
            let under = |field: &str| format!("endpoints.{name}{}{field}", if field.is_empty() { "" } else { "." });
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
                return Some((under(""), format!("`{name}` is no name; use letters, digits, `-`, `_` and `.`")));
            }
            if let Some((field, why)) = endpoint.problem() {
                return Some((under(&field), why));
            }
            if let Some(price) = &endpoint.price_per_million {
                if currency.is_some_and(|other| other != price.currency) {
                    let why = "costs are added up, so the whole file has one currency; convert this price".to_owned();
                    return Some((under("price_per_million.currency"), why));
                }
                currency = Some(&price.currency);
            }
        }
        if self.record.as_deref() == Some("") {
            return Some(("record".into(), "name a file, such as `cassette.jsonl`".into()));
        }
        let agents = [Agent::Requirements, Agent::Design, Agent::Build];
        agents.into_iter().find_map(|agent| {
            let (field, why) = self.role_problem(self.role(agent)?)?;
            Some((format!("roles.{agent}.{field}", agent = agent.as_str()), why))
        })
    }

    fn role_problem(&self, role: &RoleSettings) -> Option<(String, String)> {
        if role.list.is_empty() {
            return Some(("use".into(), "name a model, or leave the role out".into()));
        }
        role.list.iter().enumerate().find_map(|(at, used)| {
            let wrong = |field: &str, why: String| Some((format!("use.{at}.{field}"), why));
            let Some(endpoint) = self.endpoints.get(&used.endpoint) else {
                let known: Vec<&str> = self.endpoints.keys().map(String::as_str).collect();
                return wrong(
                    "endpoint",
                    format!("there is no endpoint `{}`; there are: {}", used.endpoint, known.join(", ")),
                );
            };
            match used.model.as_deref() {
                None | Some("") if endpoint.base_url.is_some() => {
                    return wrong("endpoint", format!("say which `model` of `{}` to ask", used.endpoint));
                }
                Some(_) if endpoint.base_url.is_none() => {
                    return wrong("model", format!("`{}` asks no model; leave this out", used.endpoint));
                }
                _ => {}
            }
            if used.room() == Some(0) {
                return wrong("context_tokens", "`max_tokens` leaves nothing of it for a request".into());
            }
            let temperature = used.temperature.filter(|degree| !(0.0..=2.0).contains(degree));
            temperature.and_then(|_| wrong("temperature", "write a number from 0 to 2".into()))
        })
    }
}

impl EndpointSettings {
    /// The base URL without a slash at its end, where it is one.
    pub fn base(&self) -> Option<String> {
        self.base_url.as_deref().map(|text| text.trim_end_matches('/').to_owned())
    }

    /// Whether its host is this one.
    pub fn is_loopback(&self) -> bool {
        self.base_url.as_deref().and_then(|text| Url::parse(text).ok()).is_some_and(|url| loopback(&url))
    }

    fn problem(&self) -> Option<(String, String)> {
        let wrong = |field: &str, why: &str| Some((field.to_owned(), why.to_owned()));
        let Some(text) = &self.base_url else {
            return match (&self.scripted, &self.replay) {
                (Some(path), None) | (None, Some(path)) if !path.is_empty() => self.superfluous(),
                _ => wrong("", "say exactly one of `base_url`, `scripted` and `replay`"),
            };
        };
        if self.scripted.is_some() || self.replay.is_some() {
            return wrong("", "say exactly one of `base_url`, `scripted` and `replay`");
        }
        let url = match Url::parse(text) {
            Ok(url) if url.host_str().is_some_and(|host| !host.is_empty()) => url,
            _ => return wrong("base_url", "this is no URL; write one such as https://api.example.com/v1"),
        };
        match url.scheme() {
            "https" => {}
            "http" if loopback(&url) || self.allow_plain_http => {}
            "http" => {
                let why =
                    "what goes over `http://` can be read on the way; use `https://`, or say `allow_plain_http: true`";
                return wrong("base_url", why);
            }
            _ => return wrong("base_url", "begin it with `https://`"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("base_url", "a key does not belong into an address; say where it is with `key`");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return wrong(
                "base_url",
                "leave out what stands from `?` or `#` on; Azure's version goes into `api_version`",
            );
        }
        if let Some(why) = self.key.as_ref().and_then(KeySource::problem) {
            return Some(("key".into(), why));
        }
        for (name, value) in &self.headers {
            let field = format!("headers.{name}");
            if OWN_HEADERS.contains(&name.to_lowercase().as_str()) {
                return wrong(&field, "this header is the program's own; say where a key is with `key`");
            }
            if http::HeaderName::try_from(name).is_err() || http::HeaderValue::try_from(value).is_err() {
                return wrong(&field, "this is no header");
            }
        }
        let version = self.api_version.as_deref();
        if version.is_some_and(|text| text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic() && c != '&')) {
            return wrong("api_version", "write a version such as `2024-10-21`");
        }
        let price = self.price_per_million.as_ref();
        let sound = |price: &Price| {
            let number = |n: f64| (0.0..=1e6).contains(&n);
            number(price.input) && number(price.output) && !price.currency.trim().is_empty()
        };
        price.filter(|price| !sound(price)).and_then(|_| {
            wrong("price_per_million", "write what a million tokens cost, 0 or more, and a currency such as `USD`")
        })
    }

    /// A setting that means nothing where nothing is asked.
    fn superfluous(&self) -> Option<(String, String)> {
        let asked_only = [
            ("key", self.key.is_some()),
            ("api_version", self.api_version.is_some()),
            ("headers", !self.headers.is_empty()),
            ("requests_per_minute", self.requests_per_minute.is_some()),
            ("tokens_per_minute", self.tokens_per_minute.is_some()),
            ("price_per_million", self.price_per_million.is_some()),
        ];
        let (field, _) = asked_only.into_iter().find(|(_, given)| *given)?;
        Some((field.into(), "nothing is asked here, so this means nothing; leave it out".into()))
    }
}

fn loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<ModelsFile>, YamlError> {
        ModelsFile::read("models.yaml", text)
    }

    #[test]
    fn a_file_of_comments_means_no_model_and_the_shipped_one_is_such() {
        for text in ["", "# nothing\n\n", include_str!("../../policies/models.yaml")] {
            assert_eq!(read(text).unwrap(), None);
        }
    }

    #[test]
    fn the_shipped_example_holds_once_its_comments_are_taken_away() {
        let shipped = include_str!("../../policies/models.yaml");
        let example: String = shipped
            .lines()
            .skip_while(|line| *line != "# kind: models")
            .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line.trim_start_matches('#'))))
            .collect();
        let file = read(&example).unwrap().unwrap();
        assert!(file.role(Agent::Design).is_some() && file.endpoints.len() >= 3, "{file:?}");
        assert!(file.role(Agent::Verifier).is_none(), "the verifier asks no model");
    }

    #[test]
    fn an_attempt_that_takes_all_of_its_time_leaves_time_for_another() {
        let retries = Retries::default();
        let waits = retries.longest_wait_ms.div_ceil(1_000);
        assert!(retries.total_wait_seconds > 2 * two_minutes().get() + waits, "{retries:?}");
    }

    #[test]
    fn what_is_wrong_is_said_at_its_line() {
        let with = |endpoint: &str| format!("kind: models\nendpoints:\n  a: {endpoint}\n");
        let role =
            |used: &str| format!("{}roles:\n  design: {{use: [{used}]}}\n", with("{base_url: 'https://x.y/v1'}"));
        for (text, line, says) in [
            (with("{base_url: 'https://x.y/v1', keys: 1}"), 3, "there is no field `keys`"),
            (with("{}"), 3, "exactly one of `base_url`"),
            (with("{base_url: 'https://x.y', scripted: s.yaml}"), 3, "exactly one of `base_url`"),
            (with("{base_url: 'x.y/v1'}"), 3, "no URL"),
            (with("{base_url: 'ftp://x.y/v1'}"), 3, "begin it with `https://`"),
            (with("{base_url: 'http://x.y/v1'}"), 3, "allow_plain_http"),
            (with("{base_url: 'http://127.0.0.1.x.y/v1'}"), 3, "allow_plain_http"),
            (with("{base_url: 'https://me:key@x.y/v1'}"), 3, "does not belong into an address"),
            (with("{base_url: 'https://x.y/v1?k=v'}"), 3, "`?`"),
            (with("{base_url: 'https://x.y/v1', key: {env: ''}}"), 3, "empty"),
            (with("{base_url: 'https://x.y/v1', key: {text: sk}}"), 3, "`text` cannot stand here"),
            (with("{base_url: 'https://x.y/v1', headers: {Authorization: x}}"), 3, "program's own"),
            (with("{base_url: 'https://x.y/v1', headers: {'a b': x}}"), 3, "no header"),
            (with("{base_url: 'https://x.y/v1', price_per_million: {input: -1, output: 1, currency: USD}}"), 3, "0 or"),
            (with("{base_url: 'https://x.y/v1', requests_per_minute: 0}"), 3, ""),
            (with("{scripted: s.yaml, key: {env: K}}"), 3, "means nothing"),
            (role("{endpoint: b, model: m}"), 5, "there is no endpoint `b`; there are: a"),
            (role("{endpoint: a}"), 5, "which `model`"),
            (role("{endpoint: a, model: m, temperature: 3}"), 5, "from 0 to 2"),
            (role("{endpoint: a, model: m, max_tokens: 100, context_tokens: 100}"), 5, "leaves nothing"),
            (role(""), 5, "leave the role out"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.line == line && error.message.contains(says), "{text}\n{error}");
        }
        let two = "kind: models\nendpoints:\n  a: {base_url: 'https://x.y/v1', price_per_million: {input: 1, output: 1, \
                   currency: USD}}\n  b: {base_url: 'https://x.y/v1', price_per_million: {input: 1, output: 1, currency: \
                   EUR}}\n";
        assert!(read(two).unwrap_err().to_string().starts_with("models.yaml:4:"), "{}", read(two).unwrap_err());
    }

    #[test]
    fn a_request_leaves_room_for_its_answer() {
        for (used, room) in [
            ("{endpoint: a, model: m}", None),
            ("{endpoint: a, model: m, max_tokens: 500}", None),
            ("{endpoint: a, model: m, context_tokens: 4000, max_tokens: 500}", Some(3_500)),
            ("{endpoint: a, model: m, context_tokens: 4000}", Some(3_000)),
            ("{endpoint: a, model: m, context_tokens: 128000}", Some(119_808)),
        ] {
            let used: Use = from_yaml("use", used).unwrap();
            assert_eq!(used.room(), room, "{used:?}");
        }
    }

    #[test]
    fn plain_http_is_for_this_host() {
        for (base, ok) in [
            ("http://127.0.0.1:11434/v1", true),
            ("http://127.9.9.9/v1", true),
            ("http://localhost:8080/v1/", true),
            ("http://[::1]:8000/v1", true),
            ("http://0.0.0.0/v1", false),
            ("http://localhost.example.com/v1", false),
            ("http://192.0.2.1/v1", false),
            ("https://192.0.2.1/v1", true),
        ] {
            let text = format!("kind: models\nendpoints: {{a: {{base_url: '{base}'}}}}\n");
            assert_eq!(read(&text).is_ok(), ok, "{base}");
        }
        let text = "kind: models\nendpoints: {a: {base_url: 'http://x.y/v1/', allow_plain_http: true}}\n";
        assert_eq!(read(text).unwrap().unwrap().endpoints["a"].base().unwrap(), "http://x.y/v1");
    }
}

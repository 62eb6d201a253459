//! MCP over a child process's standard streams, through `rmcp`. The child is started only as it was pinned; a server
//! whose tools are described otherwise than when they were pinned is not called.

use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, CallToolResponse, RequestMetaObject, RequestParamsMeta},
    service::{ClientCacheConfig, ClientInitializeError, Peer, RunningService, ServiceError},
    transport::TokioChildProcess,
};
use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    artifact::{Digest, digest_of, from_json, strict, value::depth},
    tool::{Manifest, ServerPin, ServerSeen, Toolbox, tool_definition_digest},
};

use super::{
    super::{permit::Permit, sources::Sources},
    Sent,
    life::{Mark, Starter},
    said::{NotStarted, Said},
    secret::Secrets,
    start::Start,
};

/// A larger answer is an error: no tool of a network needs one, and the chain keeps every answer.
const LARGEST_ANSWER: usize = 4 << 20;
/// A deeper answer is an error too.
const DEEPEST_ANSWER: usize = 64;
/// How long a server may take to start and to list its tools.
const START: Duration = Duration::from_secs(20);
/// What is said of an answer that cannot be kept as it is; not what stands in it, which may be a secret.
const UNREADABLE: &str =
    "the answer is not JSON, or not as it can be kept: a key that stands twice, or a number beyond 2^53";
/// How long a server that is no longer needed may take to end by itself.
const END: Duration = Duration::from_secs(3);

/// A running server.
pub(super) struct Session {
    peer: Peer<RoleClient>,
    /// What serves the peer, until the server is ended.
    client: Mutex<Option<RunningService<RoleClient, ()>>>,
    /// The turns that are left; closed when the server is ended.
    turns: Arc<Semaphore>,
    at_once: u32,
    /// How long a call may take.
    seconds: u32,
    family: String,
    mark: Mark,
    pin: ServerPin,
    secrets: Secrets,
    /// Whether the kernel holds it to what it may touch.
    pub(super) confined: bool,
}

/// A call's turn at a server that runs.
pub(in super::super) struct Turn {
    session: Arc<Session>,
    /// Given back when the call is over.
    _turn: OwnedSemaphorePermit,
}

impl Session {
    /// Starts the server if it is exactly what was pinned, with its secrets.
    pub(super) async fn start(
        permit: &Permit,
        manifest: &Manifest,
        pin: &ServerPin,
        (sources, starter): (&dyn Sources, &Starter),
    ) -> Result<Self, NotStarted> {
        let family = &manifest.family;
        let again = "a person must look at it and run `countersign tools pin`";
        let start = Start::of(manifest, sources)?;
        if let Some(differs) = start.differs(manifest, pin) {
            return Err(format!("{differs}; {again}").into());
        }
        let secrets = Secrets::read(permit, manifest, sources).await?;
        let begun = begin(family, &start, &secrets, (sources, starter)).await;
        let (client, mark) =
            begun.map_err(|NotStarted { why, said }| NotStarted { why: secrets.out_of(&why), said })?;
        let (tools, _) = definitions(family, &client).await.map_err(|why| secrets.out_of(&why))?;
        for tool in &manifest.tools {
            let name = tool.name.as_str();
            match (pin.tools.get(name), tools.get(name)) {
                (Some(pinned), Some(now)) if pinned == now => {}
                (_, None) => return Err(format!("the server of `{family}` no longer has `{name}`; {again}").into()),
                _ => {
                    let differs = "otherwise than when it was pinned";
                    return Err(format!("the server of `{family}` describes `{name}` {differs}; {again}").into());
                }
            }
        }
        let at_once = manifest.server.calls_at_once.get();
        Ok(Self {
            peer: client.peer().clone(),
            client: Mutex::new(Some(client)),
            turns: Arc::new(Semaphore::new(at_once.into())),
            at_once: at_once.into(),
            seconds: manifest.server.timeout_seconds,
            family: family.clone(),
            mark,
            pin: pin.clone(),
            secrets,
            confined: start.confined(),
        })
    }

    /// Whether it was started as this pin says and still runs.
    pub(super) fn fits(&self, pin: &ServerPin) -> bool {
        self.pin == *pin && !self.turns.is_closed() && !self.peer.is_transport_closed()
    }

    /// Waits for a call's turn; there is none where the server is ended meanwhile.
    pub(super) async fn turn(self: Arc<Self>) -> Option<Turn> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        (!self.peer.is_transport_closed()).then_some(Turn { session: self, _turn: turn })
    }

    /// Sends the call.
    async fn call(&self, permit: Permit) -> Sent {
        let Some(call) = permit.consume() else {
            return Sent::Held("the permit expired before the call could be sent; run again".into());
        };
        let seconds = self.seconds;
        let mut params = CallToolRequestParams::new(call.tool.to_string()).with_arguments(call.args);
        let mut meta = RequestMetaObject::new();
        meta.insert("countersign/call".to_owned(), Value::String(call.key));
        params.set_meta(meta);
        // `call_tool_once`: `call_tool` would by itself send a call again when a server asks for more input.
        let answer = timeout(Duration::from_secs(u64::from(seconds)), self.peer.call_tool_once(params)).await;
        match answer {
            Err(_) => Sent::Unknown(self.stop(format!("no answer within {seconds} seconds")).await),
            Ok(Ok(CallToolResponse::Complete(result))) => {
                let text: Vec<&str> =
                    result.content.iter().filter_map(|part| part.as_text()).map(|t| t.text.as_str()).collect();
                if result.is_error == Some(true) {
                    return Sent::Error(short(&self.secrets.out_of(&text.join(" "))));
                }
                let value = match &result.structured_content {
                    Some(value) => strict(value),
                    None => from_json("answer", &text.join("")).map_err(|error| error.message),
                };
                let value = value.map(|value| self.secrets.out_of_value(value)).map_err(|_| UNREADABLE.to_owned());
                match answered(value) {
                    // As where nothing is answered: it may still act, and its effect is looked for.
                    Sent::Unknown(why) => Sent::Unknown(self.stop(why).await),
                    answer => answer,
                }
            }
            Ok(Ok(_)) => {
                let asked = "the server asked for something instead of answering".to_owned();
                Sent::Unknown(self.stop(asked).await)
            }
            Ok(Err(ServiceError::McpError(error))) => Sent::Error(short(&self.secrets.out_of(&error.message))),
            Ok(Err(error)) => {
                let why = self.secrets.out_of(&format!("the connection ended before an answer: {}", told(&error)));
                Sent::Unknown(self.stop(short(&why)).await)
            }
        }
    }

    /// Ends the server once the calls that are under way are over; of one that has ended already, whatever is left.
    pub(super) async fn retire(&self) {
        // Nobody gets a turn between.
        let all = self.turns.acquire_many(self.at_once).await;
        if all.is_err() || self.peer.is_transport_closed() {
            self.mark.end().await;
        }
        self.end().await;
    }

    async fn end(&self) {
        self.turns.close();
        if let Some(client) = self.served() {
            // What does not end by itself is ended with this program.
            let _ = timeout(END, client.cancel()).await;
        }
    }

    fn served(&self) -> Option<RunningService<RoleClient, ()>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends the server at once and all that it has started, so that it cannot act any longer when its effect is looked
    /// for; the answer is what is said of the call. Calls beside it find that the connection has ended, and look for what
    /// is left of the server themselves.
    async fn stop(&self, why: String) -> String {
        self.turns.close();
        let ended = self.mark.end().await;
        self.end().await;
        if ended { why } else { format!("{why}, and its server could not be ended: it may still act") }
    }
}

impl Turn {
    /// Whether the server still runs, and as it is pinned now.
    pub(in super::super) fn fits(&self, toolbox: &Toolbox) -> bool {
        toolbox.pin(&self.session.family).is_some_and(|pin| self.session.fits(pin))
    }

    /// Runs exactly what the permit says, and uses it up.
    pub(in super::super) async fn run(self, permit: Permit) -> Sent {
        let mut under_way = UnderWay { session: &self.session, over: false };
        let sent = self.session.call(permit).await;
        under_way.over = true;
        sent
    }
}

/// A call whose answer somebody waits for. Where nobody does any more its server is ended: it could act unseen.
struct UnderWay<'a> {
    session: &'a Session,
    over: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.session.turns.close();
            drop(self.session.served());
        }
    }
}

/// What an answer that is no error says. One that cannot be used is not an error of the tool: it may have acted.
fn answered(value: Result<Value, String>) -> Sent {
    match value {
        Ok(value) if value.to_string().len() > LARGEST_ANSWER => {
            Sent::Unknown("the answer is larger than 4 MiB".into())
        }
        // Documents hold answers, and a JSON reader gives up at 128 levels.
        Ok(value) if depth(&value) > DEEPEST_ANSWER => Sent::Unknown("the answer is nested too deeply".into()),
        Ok(value) => Sent::Result(value),
        Err(why) => Sent::Unknown(why),
    }
}

/// What a server is now: its command, its program's digest and its tools' definitions.
pub(super) async fn inspect(
    manifest: &Manifest,
    sources: &dyn Sources,
    starter: &Starter,
) -> Result<ServerSeen, String> {
    let start = Start::of(manifest, sources)?;
    let begun = begin(&manifest.family, &start, &Secrets::default(), (sources, starter)).await;
    // Whoever looks at a server is a person.
    let (client, _) = begun.map_err(|NotStarted { why, said }| match said {
        Some(said) => format!("{why}; it said: {said}"),
        None => why,
    })?;
    let tools = definitions(&manifest.family, &client).await;
    let _ = timeout(END, client.cancel()).await;
    let (mut tools, mut descriptions) = tools?;
    let known: Vec<&str> = manifest.tools.iter().map(|tool| tool.name.as_str()).collect();
    if let Some(missing) = known.iter().find(|name| !tools.contains_key(**name)) {
        return Err(format!("the server of `{}` has no tool `{missing}`; correct its manifest", manifest.family));
    }
    tools.retain(|name, _| known.contains(&name.as_str()));
    descriptions.retain(|name, _| known.contains(&name.as_str()));
    let written = Some(digest_of(manifest).map_err(|error| error.to_string())?);
    let command = manifest.server.command.clone();
    let confined = start.confined();
    let pin = ServerPin { command, executable: start.executable, files: start.files, tools, manifest: written };
    Ok(ServerSeen { pin, descriptions, confined })
}

async fn begin(
    family: &str,
    start: &Start,
    secrets: &Secrets,
    (sources, starter): (&dyn Sources, &Starter),
) -> Result<(RunningService<RoleClient, ()>, Mark), NotStarted> {
    let failed = |why: String| format!("the server of `{family}` could not be started: {why}");
    let mut child = start.process(sources)?;
    secrets.give(&mut child);
    let mark = Mark::new(sources.ledger(), family);
    mark.put_on(&mut child);
    let server = TokioChildProcess::builder(child).stderr(Stdio::piped());
    let (transport, errors) = starter.start(server).await.map_err(|error| failed(error.to_string()))?;
    let said = Said::hear(errors);
    let last = |said: Said| said.last(|text| secrets.out_of(text));
    let client = match timeout(START, ().serve(transport)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return Err(NotStarted { why: failed(unserved(&error)), said: last(said).await }),
        Err(_) => return Err(NotStarted { why: failed("it did not answer in time".into()), said: last(said).await }),
    };
    // A remembered list of tools could hide that the server has changed them.
    client.peer().set_response_cache_config(ClientCacheConfig::disabled()).await;
    Ok((client, mark))
}

/// Why there is no connection to a server that was started.
fn unserved(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::ConnectionClosed(_) | ClientInitializeError::TransportError { .. } => {
            "it ended before it said that it is ready".into()
        }
        other => other.to_string(),
    }
}

/// What went wrong between here and a server, in words that need no knowledge of the protocol.
fn told(error: &ServiceError) -> String {
    match error {
        ServiceError::McpError(error) => error.message.to_string(),
        ServiceError::TransportClosed | ServiceError::TransportSend(_) => "the server ended".into(),
        ServiceError::UnexpectedResponse => "the server answered something else than was asked".into(),
        ServiceError::Timeout { .. } => "the server did not answer in time".into(),
        other => other.to_string(),
    }
}

async fn definitions(
    family: &str,
    client: &RunningService<RoleClient, ()>,
) -> Result<(BTreeMap<String, Digest>, BTreeMap<String, String>), String> {
    let failed = |why: String| format!("the server of `{family}` did not say what its tools are: {why}");
    let tools = timeout(START, client.list_all_tools()).await.map_err(|_| failed("no answer in time".into()))?;
    let tools = tools.map_err(|error| failed(told(&error)))?;
    let (mut found, mut descriptions) = (BTreeMap::new(), BTreeMap::new());
    for tool in tools {
        let schema = Value::Object(tool.input_schema.as_ref().clone());
        let digest = tool_definition_digest(&tool.name, tool.description.as_deref(), &schema);
        let digest = digest.map_err(|error| failed(error.to_string()))?;
        if found.insert(tool.name.to_string(), digest).is_some() {
            return Err(failed(format!("`{}` stands twice", tool.name)));
        }
        descriptions.insert(tool.name.to_string(), tool.description.as_deref().unwrap_or_default().to_owned());
    }
    Ok((found, descriptions))
}

fn short(text: &str) -> String {
    let text: String = text.chars().take(500).collect();
    if text.is_empty() { "no message".into() } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_that_cannot_be_used_does_not_say_that_nothing_happened() {
        assert_eq!(answered(Ok(json!({"ok": true}))), Sent::Result(json!({"ok": true})));
        assert_eq!(told(&ServiceError::TransportClosed), "the server ended");
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        let rounded = strict(&json!({"at_ns": 1_764_350_000_000_000_123_u64}));
        for useless in [rounded, Ok(json!("x".repeat(LARGEST_ANSWER))), Ok(deep)] {
            assert!(matches!(answered(useless), Sent::Unknown(_)));
        }
    }
}

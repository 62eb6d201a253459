//! What stands between the endpoint's client and the network: it sends nothing that was not asked for, follows no
//! redirect, waits for nothing twice, reads no more than an answer may be, and takes the key out of what comes back.

use std::{
    error::Error,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use async_openai::{error::OpenAIError, middleware::HttpRequestFactory};
use futures::future::BoxFuture;
use jiff::Timestamp;
use reqwest::{
    Body, Request, Response, StatusCode,
    header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER},
};
use secrecy::SecretString;
use serde_json::Value;

use super::super::{clean::short, key::Redactor};

/// The most bytes of a stream: far more than the longest answer, for every piece of it is wrapped in many.
const LONGEST_STREAM: usize = 64 * 1024 * 1024;
/// The longest line of a stream, and the longest answer that is not streamed.
const LONGEST_LINE: usize = 4 * 1024 * 1024;
/// What is read of an error.
const LONGEST_ERROR: usize = 64 * 1024;
/// The longest wait that an endpoint can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It broke off.
    Broken(String),
    /// It could not be reached.
    Unreached(String),
    /// It answered with this status.
    Status {
        /// The status.
        status: u16,
        /// What it said.
        says: String,
        /// How long it asks to be left alone.
        after: Option<Duration>,
    },
    /// It is not what it should be; asking again would not change that.
    Wrong(String),
}

/// Sends one request.
pub(super) type Send = Arc<dyn Fn(Request) -> BoxFuture<'static, reqwest::Result<Response>> + std::marker::Send + Sync>;

/// Where the reason is left: the client between would turn it into text.
#[derive(Clone, Default)]
pub(super) struct Reason(Arc<Mutex<Option<Failure>>>);

impl Reason {
    fn set(&self, failure: Failure) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
    }

    /// The reason, if there is one.
    pub(super) fn take(&self) -> Option<Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The service that a client sends its one request through.
#[derive(Clone)]
pub(super) struct Guarded {
    /// Sends it.
    pub(super) send: Send,
    /// What is taken out of the answer.
    pub(super) key: Option<SecretString>,
    /// Where the reason is left if it fails.
    pub(super) reason: Reason,
}

impl tower_service::Service<HttpRequestFactory> for Guarded {
    type Response = Response;
    type Error = OpenAIError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, OpenAIError>> + std::marker::Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, factory: HttpRequestFactory) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let request = factory.build().await?;
            let redactor = Redactor::new(this.key.clone());
            let outcome = match (this.send)(request).await {
                Ok(response) => judged(response, redactor, this.reason.clone()).await,
                Err(error) if error.is_connect() => Err(Failure::Unreached(redactor.text(&told(error)))),
                Err(error) => Err(Failure::Broken(redactor.text(&told(error)))),
            };
            outcome.map_err(|failure| {
                this.reason.set(failure);
                OpenAIError::InvalidArgument("the reason is left elsewhere".into())
            })
        })
    }
}

/// What a failed exchange says, without the address, which the configuration knows.
fn told(error: reqwest::Error) -> String {
    let what = if error.is_connect() { "it cannot be reached" } else { "the connection broke off" };
    let error = error.without_url();
    let mut inner: &dyn Error = &error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    format!("{what}: {}", short(&inner.to_string(), 200))
}

/// An answer that the client may read as a stream of events, or why there is none.
async fn judged(response: Response, redactor: Redactor, reason: Reason) -> Result<Response, Failure> {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_lowercase();
    if status.is_redirection() {
        let to = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
        let to = redactor.text(&short(to, 200));
        return Err(Failure::Wrong(format!(
            "it redirects to {to}, and no redirect is followed; if that is right, write it as its `base_url`"
        )));
    }
    if !status.is_success() {
        let after = retry_after(response.headers(), Timestamp::now());
        let bytes = read(response, LONGEST_ERROR).await.unwrap_or_else(|(begun, _)| begun);
        let says = redactor.text(&said(status, &kind, &bytes));
        return Err(Failure::Status { status: status.as_u16(), says, after });
    }
    match kind.as_str() {
        "text/event-stream" => Ok(streamed(status, Body::wrap_stream(guarded(response, redactor, reason)))),
        kind if kind == "application/json" || kind.ends_with("+json") => {
            let bytes = read(response, LONGEST_LINE).await.map_err(|(_, failure)| failure)?;
            let whole: Value = serde_json::from_slice(&bytes)
                .map_err(|_| Failure::Broken("its answer is called JSON and is none".into()))?;
            Ok(streamed(status, Body::from(redactor.text(&format!("data: {whole}\n\ndata: [DONE]\n\n")))))
        }
        kind => {
            let kind = if kind.is_empty() { "something without a content type" } else { kind };
            Err(Failure::Wrong(format!(
                "it answered with {}, not with events or JSON; look at its `base_url`, which most often ends in `/v1`",
                redactor.text(&short(kind, 60))
            )))
        }
    }
}

fn streamed(status: StatusCode, body: Body) -> Response {
    let mut response = http::Response::new(body);
    *response.status_mut() = status;
    Response::from(response)
}

/// A body as far as it may be read; the error has what was read until then.
async fn read(mut response: Response, most: usize) -> Result<Vec<u8>, (Vec<u8>, Failure)> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(piece)) if bytes.len() + piece.len() > most => {
                bytes.extend(piece.iter().take(most - bytes.len()));
                return Err((bytes, too_long(most)));
            }
            Ok(Some(piece)) => bytes.extend_from_slice(&piece),
            Ok(None) => return Ok(bytes),
            Err(error) => return Err((bytes, Failure::Broken(told(error)))),
        }
    }
}

fn too_long(most: usize) -> Failure {
    Failure::Wrong(format!("its answer is longer than {} MiB, more than is read", most / (1024 * 1024)))
}

struct Reading {
    response: Response,
    redactor: Redactor,
    reason: Reason,
    total: usize,
    /// A line that has not ended.
    line: Vec<u8>,
    ended: bool,
}

/// The bytes of a stream, as many as may be, without the key. Lines are passed on whole: what reads them begins each time
/// at the beginning of its line, and an endpoint that sends a long one byte by byte would keep it busy.
fn guarded(
    response: Response,
    redactor: Redactor,
    reason: Reason,
) -> impl futures::Stream<Item = io::Result<Vec<u8>>> + std::marker::Send + 'static {
    let reading = Reading { response, redactor, reason, total: 0, line: Vec::new(), ended: false };
    futures::stream::unfold(reading, |mut reading| async move {
        if reading.ended {
            return None;
        }
        let failure = loop {
            match reading.response.chunk().await {
                Ok(Some(piece)) => {
                    reading.total += piece.len();
                    let ends = piece.iter().rposition(|byte| matches!(byte, b'\n' | b'\r')).map_or(0, |at| at + 1);
                    let (lines, begun) = piece.split_at(ends);
                    let mut whole = Vec::new();
                    if !lines.is_empty() {
                        whole.append(&mut reading.line);
                        whole.extend_from_slice(lines);
                    }
                    reading.line.extend_from_slice(begun);
                    if reading.total > LONGEST_STREAM {
                        break too_long(LONGEST_STREAM);
                    }
                    if reading.line.len().max(whole.len()) > LONGEST_LINE {
                        break too_long(LONGEST_LINE);
                    }
                    if !whole.is_empty() {
                        let clean = reading.redactor.pass(&whole);
                        return Some((Ok(clean), reading));
                    }
                }
                Ok(None) => {
                    reading.ended = true;
                    let last = std::mem::take(&mut reading.line);
                    let mut clean = reading.redactor.pass(&last);
                    clean.extend(reading.redactor.rest());
                    return Some((Ok(clean), reading));
                }
                Err(error) => break Failure::Broken(reading.redactor.text(&told(error))),
            }
        };
        reading.ended = true;
        reading.reason.set(failure);
        Some((Err(io::Error::other("the reason is left elsewhere")), reading))
    })
}

/// What an endpoint says about its refusal, in one line.
fn said(status: StatusCode, kind: &str, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let json = serde_json::from_slice::<Value>(bytes).ok();
    let words = json.as_ref().and_then(|json| {
        let error = json.get("error").unwrap_or(json);
        let word = |value: &Value| value.as_str().map(str::to_owned);
        let named = ["message", "detail", "msg", "title"].into_iter().find_map(|name| error.get(name));
        let words = word(error).or_else(|| named.map(|value| word(value).unwrap_or_else(|| value.to_string())))?;
        let also = error.get("param").and_then(word).filter(|also| !words.contains(also.as_str()));
        Some(also.map_or_else(|| words.clone(), |also| format!("{words} ({also})")))
    });
    let page = kind == "text/html" || text.trim_start().starts_with("<!") || text.trim_start().starts_with("<html");
    let what = match words {
        Some(words) => short(&words, 300),
        None if page => {
            let title = text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
            title.map_or("a web page".into(), |(title, _)| format!("a web page called “{}”", short(title, 80)))
        }
        None => short(&text, 300),
    };
    if what.is_empty() { status.to_string() } else { format!("{status}: {what}") }
}

/// How long an endpoint asks to be left alone: in milliseconds, in seconds, or until a time, which is taken against its
/// own clock where it says what that shows.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let date = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp());
    let exact = text("retry-after-ms").and_then(|text| text.parse::<u64>().ok()).map(Duration::from_millis);
    let wait = exact.or_else(|| {
        let after = text(RETRY_AFTER.as_str())?;
        let seconds = after.parse::<f64>().ok().and_then(|n| Duration::try_from_secs_f64(n).ok());
        seconds.or_else(|| {
            let now = text(DATE.as_str()).and_then(date).unwrap_or(now);
            Some(Duration::try_from(date(after)?.duration_since(now)).unwrap_or_default())
        })
    });
    wait.map(|wait| wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_in_seconds_in_milliseconds_and_as_a_date() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let wait = |pairs: &[(&'static str, &str)]| {
            let headers = pairs.iter().map(|(name, value)| ((*name).try_into().unwrap(), (*value).try_into().unwrap()));
            retry_after(&headers.collect::<HeaderMap>(), now).map(|wait| wait.as_millis())
        };
        for (pairs, millis) in [
            (vec![], None),
            (vec![("retry-after", "7")], Some(7_000)),
            (vec![("retry-after", "0.5")], Some(500)),
            (vec![("retry-after", "-3")], None),
            (vec![("retry-after", "soon")], None),
            (vec![("retry-after", "9"), ("retry-after-ms", "1500")], Some(1_500)),
            (vec![("retry-after", "Fri, 02 Jan 2026 03:04:15 GMT")], Some(10_000)),
            (vec![("retry-after", "Fri, 02 Jan 2026 03:04:00 GMT")], Some(0)),
            (
                vec![("retry-after", "Sat, 03 Jan 2026 00:00:03 GMT"), ("date", "Sat, 03 Jan 2026 00:00:00 GMT")],
                Some(3_000),
            ),
            (vec![("retry-after", "99999999999")], Some(86_400_000)),
        ] {
            assert_eq!(wait(&pairs), millis, "{pairs:?}");
        }
    }

    #[test]
    fn an_error_is_said_in_one_line_whatever_it_is_written_in() {
        let bad = StatusCode::BAD_REQUEST;
        for (kind, body, says) in [
            ("application/json", r#"{"error": {"message": "no\nsuch model", "param": "model"}}"#, "no such model"),
            ("application/json", r#"{"error": {"message": "not so", "param": "stop"}}"#, "not so (stop)"),
            ("application/json", r#"{"error": "plain"}"#, "plain"),
            ("application/json", r#"{"detail": [{"msg": "field required"}]}"#, "field required"),
            ("application/json", r#"{"object": "error", "message": "vllm"}"#, "vllm"),
            ("text/html", "<html><title>Bad\nGateway</title>", "a web page called “Bad Gateway”"),
            ("", "<!doctype html><p>x", "a web page"),
            ("text/plain", "nope\u{1b}[2J", "nope\u{fffd}[2J"),
            ("", "", "400 Bad Request"),
        ] {
            let line = said(bad, kind, body.as_bytes());
            assert!(line.starts_with("400 Bad Request") && line.contains(says) && !line.contains('\n'), "{line}");
        }
    }
}

//! Endpoints on this machine that do what they are told, which no server would do by itself.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};

/// What an endpoint does with a connection.
#[derive(Clone)]
pub(super) enum Does {
    /// Sends these bytes and ends.
    Sends(Vec<u8>),
    /// Sends these bytes, and then nothing until the other side goes.
    Stalls(Vec<u8>),
    /// Waits so long, and sends these bytes.
    Waits(Duration, Vec<u8>),
    /// Ends without a word.
    Ends,
}

/// An endpoint that does one thing after another with those who connect; the last again and again.
pub(super) struct Server {
    pub(super) base: String,
    pub(super) requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn new(does: Vec<Does>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for (at, stream) in listener.incoming().enumerate() {
                let (does, seen) = (does[at.min(does.len() - 1)].clone(), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream.unwrap(), &does, &seen));
            }
        });
        Self { base, requests }
    }

    pub(super) fn asked(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

/// Reads a request, then does it. Whoever asked may go at any time.
fn serve(mut stream: TcpStream, does: &Does, seen: &Mutex<Vec<String>>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let length = text
            .to_lowercase()
            .split_once("content-length: ")
            .and_then(|(_, rest)| rest.split_once("\r\n").and_then(|(length, _)| length.parse::<usize>().ok()));
        if let (Some((head, _)), Some(length)) = (text.split_once("\r\n\r\n"), length)
            && bytes.len() >= head.len() + 4 + length
        {
            seen.lock().unwrap().push(text);
            break;
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
        }
    }
    let sends = match does {
        Does::Sends(bytes) | Does::Stalls(bytes) => bytes.as_slice(),
        Does::Waits(time, bytes) => {
            std::thread::sleep(*time);
            bytes.as_slice()
        }
        Does::Ends => &[],
    };
    let sent = stream.write_all(sends).and_then(|()| stream.flush());
    if sent.is_ok() && matches!(does, Does::Stalls(_)) {
        while stream.read(&mut buffer).is_ok_and(|n| n > 0) {}
    }
}

pub(super) fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

pub(super) fn status(status: &str, headers: &str) -> Does {
    let headers = format!("content-type: application/json\r\n{headers}");
    Does::Sends(response(status, &headers, br#"{"error": {"message": "not today", "type": "x"}}"#))
}

pub(super) fn events(chunks: &[Value]) -> Vec<u8> {
    let body: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    response("200 OK", "content-type: text/event-stream\r\n", format!("{body}data: [DONE]\n\n").as_bytes())
}

pub(super) fn delta(delta: Value) -> Value {
    json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

pub(super) fn end(word: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": word}]})
}

pub(super) fn call(index: u8, id: &str, name: &str, arguments: &str) -> Value {
    delta(json!({"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]}))
}

pub(super) fn says(text: &str) -> Vec<u8> {
    events(&[delta(json!({"content": text})), end("stop")])
}

pub(super) fn good() -> Does {
    Does::Sends(says("as it should be"))
}

pub(super) fn cut(bytes: Vec<u8>, at: &str) -> Vec<u8> {
    let found = bytes.windows(at.len()).position(|window| window == at.as_bytes()).unwrap();
    bytes[..found].to_vec()
}

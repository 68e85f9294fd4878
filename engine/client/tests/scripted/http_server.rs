//! A server over HTTP that gives one scripted answer for each request.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request that the server got.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The head, in lower case.
    pub head: String,
    /// The message; null if there is none.
    pub message: Value,
}

impl Request {
    /// The method of the message, or the verb.
    pub(crate) fn name(&self) -> String {
        let verb = self.head.split(' ').next().unwrap_or_default();
        self.message["method"].as_str().unwrap_or(verb).to_owned()
    }
}

/// The requests that a server got.
pub(crate) type Seen = Arc<Mutex<Vec<Request>>>;

/// An answer: status, fields and body. It closes its connection.
pub(crate) struct Answer(pub u16, pub &'static str, pub String);

impl Answer {
    /// A result of the request.
    pub(crate) fn result(request: &Request, result: &Value) -> Answer {
        let id = &request.message["id"];
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        Answer(200, "Content-Type: application/json\r\n", body)
    }

    /// The answer to the first request of either era; none for other requests.
    pub(crate) fn greeting(request: &Request) -> Option<Answer> {
        let result = match &*request.name() {
            "server/discover" => json!({"supportedVersions": ["2026-07-28"], "capabilities": {}}),
            "initialize" => json!({"protocolVersion": "2025-11-25", "capabilities": {}}),
            _ => return None,
        };
        Some(Answer::result(request, &result))
    }

    /// No answer: when the client ends the connection, the message is recorded again, with the head
    /// `closed`.
    pub(crate) fn never() -> Answer {
        Answer::status(0)
    }

    /// A status without a message.
    pub(crate) fn status(status: u16) -> Answer {
        Answer(status, "", String::new())
    }
}

/// Starts a server with a script; returns its URL and the requests that it got.
pub(crate) async fn start(
    script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) -> (String, Seen) {
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/mcp", socket.local_addr().expect("an address"));
    let seen = Seen::default();
    let (record, script) = (Arc::clone(&seen), Arc::new(script));
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let (record, script) = (Arc::clone(&record), Arc::clone(&script));
            tokio::spawn(async move { answer(stream, &record, &*script).await });
        }
    });
    (url, seen)
}

async fn answer(mut stream: TcpStream, seen: &Seen, script: &dyn ScriptFn) -> Option<()> {
    let mut bytes = Vec::new();
    let head_bytes = loop {
        if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break end + 4;
        }
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    };
    let head = String::from_utf8_lossy(&bytes[..head_bytes]).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |digits| digits.parse().expect("digits"));
    while bytes.len() < head_bytes + length {
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    }
    let message = serde_json::from_slice(&bytes[head_bytes..]).unwrap_or_default();
    let request = Request { head, message };
    let Answer(status, fields, body) = script(&request);
    if status == 0 {
        let mut closed = request.clone();
        seen.lock().expect("no panic").push(request);
        while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {}
        closed.head = "closed".to_owned();
        seen.lock().expect("no panic").push(closed);
        return None;
    }
    seen.lock().expect("no panic").push(request);
    let bytes = body.len();
    let head = format!("HTTP/1.1 {status} X\r\n{fields}Content-Length: {bytes}\r\n");
    let answer = format!("{head}Connection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

/// A script.
trait ScriptFn: Fn(&Request) -> Answer + Send + Sync {}

impl<F: Fn(&Request) -> Answer + Send + Sync> ScriptFn for F {}

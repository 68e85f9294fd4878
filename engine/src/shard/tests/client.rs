//! A client of a shard under test: a peer that speaks HTTP.

use std::net::SocketAddr;
use std::ops::Deref;

use corelane_io::ring::fake::FakePeer;
use serde_json::{Value, json};

use crate::mcp::tests::test_endpoint::{MODERN, claim, request};

/// See the module's text.
#[derive(Clone, Debug)]
pub(super) struct Client {
    peer: FakePeer,
    address: SocketAddr,
}

impl Deref for Client {
    type Target = FakePeer;

    fn deref(&self) -> &FakePeer {
        &self.peer
    }
}

impl Client {
    pub(super) fn new(peer: FakePeer, address: SocketAddr) -> Client {
        Client { peer, address }
    }

    /// Sends a modern call of `tool`.
    pub(super) fn calls(&self, tool: &str, arguments: Value) {
        self.sends(&self.call(tool, arguments));
    }

    /// A modern call of `tool`.
    pub(super) fn call(&self, tool: &str, arguments: Value) -> Vec<u8> {
        self.request("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// A modern call of `tool` that wants events.
    pub(super) fn call_with_progress(&self, tool: &str, arguments: Value) -> Vec<u8> {
        let meta = json!({"progressToken": "p"});
        let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
        self.request("tools/call", params)
    }

    /// Sends a `subscriptions/listen` for changes of the list of tools.
    pub(super) fn listens(&self) {
        self.sends(&self.listen());
    }

    /// A `subscriptions/listen` for changes of the list of tools.
    pub(super) fn listen(&self) -> Vec<u8> {
        let params = json!({"notifications": {"toolsListChanged": true}});
        self.request("subscriptions/listen", params)
    }

    /// Sends the handshake of a session of a client with `capabilities`.
    pub(super) fn initializes(&self, capabilities: Value) {
        let accept = "Accept: application/json\r\n";
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": capabilities,
            "clientInfo": {"name": "c", "version": "1"},
        });
        self.sends(&self.post(accept, &request(1, "initialize", params)));
    }

    /// Sends the opening of the stream of a session.
    pub(super) fn opens_stream(&self, session: &str) {
        let host = self.address;
        let get = format!("GET /mcp HTTP/1.1\r\nHost: {host}\r\n{session}");
        self.sends(format!("{get}Accept: text/event-stream\r\n\r\n").as_bytes());
    }

    /// The text that has arrived since the last look.
    pub(super) fn received_text(&self) -> String {
        String::from_utf8_lossy(&self.received()).into_owned()
    }

    /// A modern request.
    pub(super) fn request(&self, method: &str, params: Value) -> Vec<u8> {
        let mut headers = format!("{MODERN}Mcp-Method: {method}\r\n");
        if let Some(name) = params["name"].as_str() {
            headers += &format!("Mcp-Name: {name}\r\n");
        }
        self.post(&headers, &message(method, params))
    }

    /// A head with a verb and a target, and more header lines.
    pub(super) fn head(&self, start: &str, headers: &str) -> Vec<u8> {
        let host = self.address;
        format!("{start} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n").into_bytes()
    }

    /// A POST of `body` with more header lines.
    pub(super) fn post(&self, headers: &str, body: &str) -> Vec<u8> {
        let (host, bytes) = (self.address, body.len());
        format!(
            "POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             {headers}Content-Length: {bytes}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// The message of a modern request.
pub(super) fn message(method: &str, mut params: Value) -> String {
    let token = params["_meta"]["progressToken"].take();
    params["_meta"] = claim();
    if !token.is_null() {
        params["_meta"]["progressToken"] = token;
    }
    request(1, method, params)
}

//! HTTP requests with MCP messages: right by default, and easy to make wrong on purpose.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// Key of the revision in a modern request's `_meta`.
pub const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
/// Key of the client's capabilities in a modern request's `_meta`.
pub const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
/// Key of the wanted log level in a modern request's `_meta`.
pub const LOG_LEVEL_KEY: &str = "io.modelcontextprotocol/logLevel";
/// The modern revision.
pub const MODERN: &str = "2026-07-28";
/// The newest legacy revision.
pub const LEGACY: &str = "2025-11-25";

/// An HTTP request that is not sent yet.
#[derive(Clone, Debug)]
pub struct Request {
    verb: String,
    path: String,
    version: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request with a verb, for the endpoint, without body.
    #[must_use]
    pub fn new(verb: &str) -> Request {
        Request {
            verb: verb.to_owned(),
            path: "/mcp".to_owned(),
            version: "HTTP/1.1".to_owned(),
            fields: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A POST of `body`, with the fields every POST has.
    #[must_use]
    pub fn post(body: impl Into<Vec<u8>>) -> Request {
        Request::new("POST")
            .field("Content-Type", "application/json")
            .field("Accept", "application/json, text/event-stream")
            .body(body)
    }

    /// A legacy message without session.
    #[must_use]
    pub fn legacy(message: &Value) -> Request {
        Request::post(message.to_string())
    }

    /// A legacy handshake with id 0 for `revision`.
    #[must_use]
    pub fn initialize(revision: &str) -> Request {
        Request::legacy(&json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {
                "protocolVersion": revision,
                "capabilities": {},
                "clientInfo": { "name": "corelane-tests", "version": "1" },
            },
        }))
    }

    /// A modern request with its claim and its headers. `params` is an object.
    #[must_use]
    pub fn modern(id: impl Into<Value>, method: &str, mut params: Value) -> Request {
        params["_meta"] = json!({ VERSION_KEY: MODERN, CAPABILITIES_KEY: {} });
        let name = params["name"].as_str().map(str::to_owned);
        let message = json!({
            "jsonrpc": "2.0", "id": id.into(), "method": method, "params": params,
        });
        let request = Request::post(message.to_string())
            .field("MCP-Protocol-Version", MODERN)
            .field("Mcp-Method", method);
        match name {
            Some(name) => request.field("Mcp-Name", &name),
            None => request,
        }
    }

    /// A modern call of a tool with id 1.
    #[must_use]
    pub fn modern_call(tool: &str, arguments: Value) -> Request {
        Request::modern(
            1,
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )
    }

    /// Sets a member of `params._meta`.
    ///
    /// # Panics
    /// If the body is no JSON.
    #[must_use]
    pub fn meta(self, key: &str, value: impl Into<Value>) -> Request {
        let mut message: Value = serde_json::from_slice(&self.body).expect("the body is JSON");
        message["params"]["_meta"][key] = value.into();
        self.body(message.to_string())
    }

    /// Sets a header field.
    #[must_use]
    pub fn field(self, name: &str, value: &str) -> Request {
        self.without(name).repeated_field(name, value)
    }

    /// Adds a header field, be it a second one.
    #[must_use]
    pub fn repeated_field(mut self, name: &str, value: &str) -> Request {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves a header field out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Request {
        self.fields
            .retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self
    }

    /// Replaces the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    /// Replaces the path.
    #[must_use]
    pub fn path(mut self, path: &str) -> Request {
        self.path = path.to_owned();
        self
    }

    /// Replaces the HTTP version.
    #[must_use]
    pub fn version(mut self, version: &str) -> Request {
        self.version = version.to_owned();
        self
    }

    /// The request line and header fields without those of the length, and without the empty
    /// line after them.
    #[must_use]
    pub fn head_start(&self, address: SocketAddr) -> String {
        let mut head = format!("{} {} {}\r\n", self.verb, self.path, self.version);
        if !self
            .fields
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("Host"))
        {
            head.push_str(&format!("Host: {address}\r\n"));
        }
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }

    /// The request as it goes to the server at `address`.
    #[must_use]
    pub fn to_bytes(&self, address: SocketAddr) -> Vec<u8> {
        let mut head = self.head_start(address);
        if !self.body.is_empty() || self.verb == "POST" {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }

    /// The request with its body in chunks of `chunk_bytes`.
    ///
    /// # Panics
    /// If `chunk_bytes` is 0.
    #[must_use]
    pub fn to_chunked_bytes(&self, address: SocketAddr, chunk_bytes: usize) -> Vec<u8> {
        let head = self.head_start(address);
        let mut bytes = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for chunk in self.body.chunks(chunk_bytes) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    }
}

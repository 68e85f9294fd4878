//! A legacy session as its client knows it.

use serde_json::{Value, json};

use crate::connection::Connection;
use crate::request::{LEGACY, Request};

/// A legacy session. It is independent of any connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The id the server gave.
    pub id: String,
}

impl Session {
    /// Makes a session through `connection`.
    ///
    /// # Panics
    /// If the server does not make one, or gives it an id of another form than 36 hex digits, the
    /// seal behind them if it has one, and four of a node before them in a cluster.
    #[must_use]
    pub fn open(connection: &mut Connection) -> Session {
        Session::open_as(connection, &json!({}))
    }

    /// Makes a session of a client with `capabilities` through `connection`.
    ///
    /// # Panics
    /// As [`Session::open`] does.
    #[must_use]
    pub fn open_as(connection: &mut Connection, capabilities: &Value) -> Session {
        let response = connection.exchange(&Request::legacy(&json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {
                "protocolVersion": LEGACY,
                "capabilities": capabilities,
                "clientInfo": { "name": "corelane-tests", "version": "1" },
            },
        })));
        assert_eq!(response.status(), 200, "{response:?}");
        let id = response
            .head
            .field("MCP-Session-Id")
            .expect("a session id")
            .to_owned();
        assert!(
            [36, 70, 74].contains(&id.len()) && id[..36].bytes().all(|it| it.is_ascii_hexdigit()),
            "{id}"
        );
        let session = Session { id };
        let response = connection.exchange(&session.notification("notifications/initialized"));
        assert_eq!(
            (response.status(), response.body.len()),
            (202, 0),
            "{response:?}"
        );
        session
    }

    /// The shard that owns the session: the first four hex digits of its id.
    #[must_use]
    pub fn home(&self) -> usize {
        usize::from_str_radix(&self.id[..4], 16).expect("checked when the session was made")
    }

    /// Any message of this session.
    #[must_use]
    pub fn message(&self, message: &Value) -> Request {
        self.with_headers(Request::legacy(message))
    }

    /// A request of this session. `Value::Null` leaves `params` out.
    #[must_use]
    pub fn request(&self, id: impl Into<Value>, method: &str, params: Value) -> Request {
        let mut message = json!({ "jsonrpc": "2.0", "id": id.into(), "method": method });
        if !params.is_null() {
            message["params"] = params;
        }
        self.message(&message)
    }

    /// A call of a tool with id 1.
    #[must_use]
    pub fn call(&self, tool: &str, arguments: Value) -> Request {
        self.request(
            1,
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )
    }

    /// A notification without parameters.
    #[must_use]
    pub fn notification(&self, method: &str) -> Request {
        self.message(&json!({ "jsonrpc": "2.0", "method": method }))
    }

    /// The notification that cancels the call with this id.
    #[must_use]
    pub fn cancelled(&self, id: impl Into<Value>) -> Request {
        self.message(&json!({
            "jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": { "requestId": id.into() },
        }))
    }

    /// A GET for a stream.
    #[must_use]
    pub fn stream(&self) -> Request {
        self.with_headers(Request::new("GET").field("Accept", "text/event-stream"))
    }

    /// A GET for the rest of a stream after the event with this id.
    #[must_use]
    pub fn stream_after(&self, event_id: &str) -> Request {
        self.stream().field("Last-Event-ID", event_id)
    }

    /// The end of the session.
    #[must_use]
    pub fn delete(&self) -> Request {
        self.with_headers(Request::new("DELETE"))
    }

    fn with_headers(&self, request: Request) -> Request {
        request
            .field("MCP-Session-Id", &self.id)
            .field("MCP-Protocol-Version", LEGACY)
    }
}

//! One connection with all parts that it uses, and the bytes from and to its peer.

use std::mem;
use std::net::SocketAddr;

use corelane_protocol::limits::HttpLimits;
use serde_json::{Value, json};

use super::response::{Response, read_all};
use crate::access::AccessControl;
use crate::connection::context::{BufferPool, Context, Rules, StepEffects};
use crate::connection::cors::Cors;
use crate::connection::http::Connection;
use crate::connection::http_settings::HttpSettings;
use crate::connection::readiness::Readiness;
use crate::connection::request::REFUSAL_WARNING_INTERVAL_MS;
use crate::connection::response::Date;
use crate::connection::source::Source;
use crate::guard::holder::HolderKey;
use crate::guard::origin::OriginPolicy;
use crate::guard::peer::KnownPeers;
use crate::mcp::tests::test_endpoint::{MODERN, TestEndpoint, claim, request};
use crate::mcp::{Exchange, Part};
use crate::meter::throttle::Throttle;
use crate::profile::{Connection as ConnectionProfile, Lines as LineLimits, Server, WebSocket};
use corelane_io::chunk::Chunk;
use corelane_io::slots::SlotKey;

const DATE: &Date = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// The place of every connection under test.
pub(super) const KEY: SlotKey = SlotKey {
    index: 3,
    generation: 4,
};

/// A connection under test.
pub(super) struct TestConnection {
    pub(super) harness: TestEndpoint,
    pub(super) connection: Connection,
    pub(super) pool: BufferPool,
    pub(super) effects: StepEffects,
    /// The holder of the peer, if it is known.
    pub(super) peer: Option<HolderKey>,
    pub(super) peers: KnownPeers,
    pub(super) access: AccessControl,
    pub(super) rules: Rules,
    pub(super) requests_per_turn: u32,
    pub(super) is_draining: bool,
    pub(super) readiness: Readiness,
    pub(super) is_for_probes: bool,
    /// Whether the peer takes output; if not, everything waits behind the first send.
    pub(super) takes_output: bool,
    sent: Vec<u8>,
    /// The send that the peer does not take.
    sending: Option<Chunk>,
}

impl TestConnection {
    /// A connection that was just accepted.
    pub(super) fn new() -> TestConnection {
        TestConnection::on(TestEndpoint::new())
    }

    /// A connection that was just accepted by the shard of `harness`.
    pub(super) fn on(harness: TestEndpoint) -> TestConnection {
        let listen: SocketAddr = "127.0.0.1:80".parse().expect("an address");
        let none: &[&str] = &[];
        TestConnection {
            harness,
            connection: Connection::from(Source::default()),
            pool: BufferPool::default(),
            effects: StepEffects::default(),
            peer: Some(HolderKey::ANONYMOUS),
            peers: KnownPeers::default(),
            access: AccessControl::new(None, Default::default(), None),
            rules: Rules {
                http: HttpLimits::DEFAULT,
                lines: LineLimits::default(),
                websocket: WebSocket::default(),
                connection: ConnectionProfile::default(),
                origins: vec![OriginPolicy::new(listen, none, none).expect("a bound address")],
                refusals: Throttle::new(REFUSAL_WARNING_INTERVAL_MS),
                foreign: Throttle::new(REFUSAL_WARNING_INTERVAL_MS),
                user_is_principal: true,
                http_settings: HttpSettings::of(&Server::default()),
                cors: Cors::default(),
            },
            requests_per_turn: 16,
            is_draining: false,
            readiness: Readiness::default(),
            is_for_probes: false,
            takes_output: true,
            sent: Vec::new(),
            sending: None,
        }
    }

    /// Lets the connection make one step; its output is sent.
    pub(super) fn step<T>(
        &mut self,
        step: impl FnOnce(&mut Connection, &mut Context<'_>) -> T,
    ) -> T {
        let (connection, mut context) = self.parts();
        let value = step(connection, &mut context);
        let out = context.out.take();
        match out {
            Some(out) if self.takes_output => {
                self.sent.extend_from_slice(&out);
                self.pool.chunks.give(out);
            }
            Some(out) if self.sending.is_none() => {
                self.connection.begin_send(&out);
                self.sending = Some(out);
            }
            Some(out) => {
                let (connection, mut context) = self.parts();
                connection.queue_output(out, &mut context);
            }
            None => {}
        }
        value
    }

    /// The peer takes all that waits for it.
    pub(super) fn take_output(&mut self) {
        let buffers = self.connection.buffers.as_mut();
        let queued = buffers.and_then(|buffers| buffers.output.take());
        for chunk in self.sending.take().into_iter().chain(queued) {
            self.sent.extend_from_slice(&chunk);
        }
        self.connection.sending_bytes = 0;
    }

    fn parts(&mut self) -> (&mut Connection, Context<'_>) {
        self.pool.input_bytes_max = self.rules.connection.input_bytes_max;
        let context = Context {
            endpoint: &mut self.harness.endpoint,
            pool: &mut self.pool,
            effects: &mut self.effects,
            access: &mut self.access,
            peer: self.peer,
            recheck_due_ms: None,
            peers: &mut self.peers,
            meter: &self.harness.meter,
            rules: &self.rules,
            date: DATE,
            shard: 0,
            key: KEY,
            is_draining: self.is_draining,
            readiness: &self.readiness,
            is_for_probes: self.is_for_probes,
            requests_left: self.requests_per_turn,
            out: None,
        };
        (&mut self.connection, context)
    }

    /// The peer sends `bytes`, which arrive at once.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        self.step(|connection, context| connection.received(&mut bytes, context));
    }

    /// Handles leftover requests turn by turn; returns the number of turns.
    pub(super) fn finish_leftover(&mut self) -> usize {
        let mut turns = 0;
        while self.connection.has_requests_left_over() {
            self.step(Connection::resume);
            turns += 1;
        }
        turns
    }

    /// Lets handlers run as far as they can and delivers their messages.
    pub(super) async fn settle(&mut self) {
        for (exchange, part) in self.harness.settle().await {
            self.deliver(exchange, part);
        }
    }

    /// Delivers a part of an answer unless it is late; returns whether it was awaited.
    pub(super) fn deliver(&mut self, exchange: Exchange, part: Part) -> bool {
        let is_awaited = self.connection.awaits(exchange.sequence);
        if is_awaited {
            self.step(|connection, context| {
                connection.deliver_to(exchange.sequence, part, context);
            });
        }
        is_awaited
    }

    /// Takes the bytes that were sent.
    pub(super) fn take_sent(&mut self) -> Vec<u8> {
        mem::take(&mut self.sent)
    }

    /// Takes the sent bytes, as a client reads them.
    #[track_caller]
    pub(super) fn responses(&mut self) -> Vec<Response> {
        read_all(&self.take_sent())
    }

    /// Takes the only response that was sent.
    #[track_caller]
    pub(super) fn response(&mut self) -> Response {
        let mut responses = self.responses();
        assert_eq!(responses.len(), 1, "{responses:?}");
        responses.remove(0)
    }

    /// Whether the connection owns nothing, and its buffers are free for reuse.
    pub(super) fn owns_nothing(&self) -> bool {
        self.connection.buffers.is_none()
    }
}

/// Headers that every POST of the tests carries.
pub(super) const JSON: &str = "Content-Type: application/json\r\n";

/// A POST of HTTP/1.1 with the header lines `headers`.
pub(super) fn post(headers: &str, body: &str) -> String {
    post_as("HTTP/1.1", headers, body)
}

/// A POST of HTTP/1.0 or HTTP/1.1.
pub(super) fn post_as(version: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /mcp {version}\r\nHost: localhost\r\n{JSON}{headers}\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

/// A modern call of `tool`, with a progress token, as a whole request.
pub(super) fn call(headers: &str, tool: &str, arguments: Value) -> String {
    call_as("HTTP/1.1", headers, tool, arguments)
}

/// A modern call in HTTP/1.0 or HTTP/1.1.
pub(super) fn call_as(version: &str, headers: &str, tool: &str, arguments: Value) -> String {
    let mut params = json!({"name": tool, "arguments": arguments, "_meta": claim()});
    params["_meta"]["progressToken"] = json!("p");
    let headers = format!("{headers}{MODERN}Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\n");
    post_as(version, &headers, &request(1, "tools/call", params))
}

/// A modern call of `echo` as a whole request.
pub(super) fn echo(message: &str) -> String {
    call("", "echo", json!({"message": message}))
}

/// A legacy call of `tool` in the session of the header line `session`.
pub(super) fn call_legacy(session: &str, tool: &str, arguments: Value) -> String {
    let params = json!({
        "name": tool,
        "arguments": arguments,
        "_meta": {"progressToken": "p"},
    });
    post(session, &request(1, "tools/call", params))
}

/// The text in the result of a tool.
#[track_caller]
pub(super) fn text_of(response: &Response) -> &str {
    let message = response.message();
    let text = &message["result"]["content"][0]["text"];
    text.as_str()
        .unwrap_or_else(|| panic!("no text: {message}"))
}

/// The texts of results, in order.
#[track_caller]
pub(super) fn texts(responses: &[Response]) -> Vec<&str> {
    responses.iter().map(text_of).collect()
}

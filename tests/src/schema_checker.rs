//! Sees all bytes of a connection and checks every message of the server against its schema.
//!
//! The checker reads the sent bytes to know the requests, and the received bytes to know the
//! answers. It does not depend on the functions that a test uses for sending and reading, and
//! checks answers that the test ignores. There is no way to opt out.
//!
//! Invariant: a message is checked against the method of a request only while responses and
//! requests can be counted. Once the sent bytes are ambiguous HTTP, the following responses are
//! checked against the rules for every message of their revision. It deliberately lacks checks of
//! HTTP, which the harness has elsewhere, and of bytes that a test sends past its connection.

mod answered;
mod requested;

use std::collections::VecDeque;

use serde_json::Value;

use crate::http::Head;
use crate::wire_schema::{Revision, check_schema};
use answered::{Incoming, Part};
use requested::{HandlerKind, Outgoing, sessions};

/// The state of the checker for one connection.
#[derive(Debug, Default)]
pub(crate) struct SchemaChecker {
    outgoing: Outgoing,
    incoming: Incoming,
    /// Requests without a response, the oldest first.
    waiting: VecDeque<HandlerKind>,
    /// The request whose response is arriving, and the head of that response.
    current: Option<(HandlerKind, Head)>,
}

impl SchemaChecker {
    /// Bytes go to the server.
    pub(crate) fn sent(&mut self, bytes: &[u8]) {
        self.waiting.extend(self.outgoing.take(bytes));
    }

    /// Records bytes from the server.
    ///
    /// # Panics
    /// If a message among them does not fit its schema.
    pub(crate) fn received(&mut self, bytes: &[u8]) {
        self.incoming.push(bytes);
        self.check(false);
    }

    /// Records that the server has closed, which may end a response.
    ///
    /// # Panics
    /// If a message does not fit its schema.
    pub(crate) fn closed(&mut self) {
        self.check(true);
    }

    fn check(&mut self, is_closed: bool) {
        while let Some(part) = self.incoming.next_part(is_closed) {
            match part {
                Part::Head(head) => self.begin_response(head),
                Part::Message(text) => self.check_message(&text),
            }
        }
    }

    fn begin_response(&mut self, head: Head) {
        if head.status < 200 {
            // An interim response; the final one follows.
            return;
        }
        let requested = self.waiting.pop_front().unwrap_or_else(|| {
            // An answer to an unfinished or unread request: the order of later answers is unknown.
            self.outgoing.give_up();
            HandlerKind::unread()
        });
        self.current = Some((requested, head));
    }

    fn check_message(&mut self, text: &str) {
        let (requested, head) = self.current.as_ref().expect("messages follow their head");
        if head.field("Cache-Control") == Some("no-store") {
            // The answer to a probe, which is no message.
            return;
        }
        let message: Value = serde_json::from_str(text)
            .unwrap_or_else(|error| panic!("no JSON from the server, {error}: {text}"));
        let agreed = requested
            .is_handshake
            .then(|| agreed_in(&message))
            .flatten();
        if let (Some(revision), Some(session)) = (agreed, head.field("MCP-Session-Id")) {
            sessions().insert(session.to_owned(), revision);
        }
        let revision = agreed.unwrap_or(requested.revision);
        if let Err(misfit) = check_schema(&message, revision, requested.method.as_deref()) {
            panic!("{misfit}");
        }
    }
}

/// The revision that a handshake agreed on.
fn agreed_in(message: &Value) -> Option<Revision> {
    Revision::named(message["result"]["protocolVersion"].as_str()?)
}

#[cfg(test)]
mod tests;

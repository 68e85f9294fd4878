//! A client that exchanges messages with a server, over any transport.
//!
//! Every message of the server is held to the official schema of its revision when it is read.

use std::fmt;
use std::io;
use std::time::Instant;

use serde_json::{Value, json};

use crate::channel_checker::ChannelChecker;
use crate::request::{CAPABILITIES_KEY, LEGACY, MODERN, VERSION_KEY};
use crate::timeouts::PATIENCE;

/// A way to exchange messages: all of both sides share it, in any order.
pub trait Channel: fmt::Debug {
    /// Sends a whole message.
    ///
    /// # Errors
    /// The server takes no more.
    fn send(&mut self, message: &[u8]) -> io::Result<()>;

    /// The next message of the server; none when it sends no more.
    ///
    /// # Errors
    /// There is none until `deadline`, or the connection broke.
    fn receive(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>>;

    /// Sends no more; receiving goes on.
    fn finish(&mut self);
}

impl Channel for Box<dyn Channel> {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        (**self).send(message)
    }

    fn receive(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        (**self).receive(deadline)
    }

    fn finish(&mut self) {
        (**self).finish();
    }
}

/// A client over one channel.
#[derive(Debug)]
pub struct Client<C> {
    channel: C,
    checker: ChannelChecker,
}

impl<C: Channel> Client<C> {
    /// A client that has sent nothing.
    pub fn over(channel: C) -> Client<C> {
        Client {
            channel,
            checker: ChannelChecker::default(),
        }
    }

    /// The same over a channel of any kind.
    pub fn boxed(self) -> Client<Box<dyn Channel>>
    where
        C: 'static,
    {
        Client {
            channel: Box::new(self.channel),
            checker: self.checker,
        }
    }

    /// The channel alone.
    pub fn into_channel(self) -> C {
        self.channel
    }

    /// The channel, for operations that this type lacks.
    pub fn channel(&mut self) -> &mut C {
        &mut self.channel
    }

    /// Sends a message.
    ///
    /// # Panics
    /// If the server takes none.
    pub fn send(&mut self, message: &Value) {
        self.checker.sent(message);
        let sent = self.channel.send(message.to_string().as_bytes());
        sent.unwrap_or_else(|error| panic!("cannot send: {error}"));
    }

    /// The next message of the server; nothing at the end of its output.
    ///
    /// # Panics
    /// If none comes within [`PATIENCE`], or what comes is no message of the protocol.
    pub fn receive(&mut self) -> Option<Value> {
        let received = self.try_receive();
        received.unwrap_or_else(|error| panic!("{error} on {:?}", self.channel))
    }

    /// The next message of the server; nothing at the end of its output.
    ///
    /// # Errors
    /// None comes within [`PATIENCE`], or the connection broke.
    ///
    /// # Panics
    /// If what comes is no message of the protocol.
    pub fn try_receive(&mut self) -> io::Result<Option<Value>> {
        let Some(bytes) = self.channel.receive(Instant::now() + PATIENCE)? else {
            return Ok(None);
        };
        let message: Value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&bytes)));
        self.checker.received(&message);
        Ok(Some(message))
    }

    /// The next message, which has to come.
    ///
    /// # Panics
    /// As [`Client::receive`] does, and at the end of output.
    pub fn expect(&mut self) -> Value {
        let message = self.receive();
        message.unwrap_or_else(|| panic!("no message on {:?}", self.channel))
    }

    /// Sends a request and receives its answer, which is the next message.
    ///
    /// # Panics
    /// As [`Client::expect`] does, and if the answer is to another request.
    pub fn exchange(&mut self, request: &Value) -> Value {
        self.send(request);
        let answer = self.expect();
        assert_eq!(answer["id"], request["id"], "{answer}");
        answer
    }

    /// Makes the session of a client with `capabilities`.
    ///
    /// # Panics
    /// If the server makes none.
    pub fn initialize(&mut self, capabilities: &Value) {
        let answer = self.exchange(&initialize(LEGACY, capabilities));
        assert_eq!(answer["result"]["protocolVersion"], LEGACY, "{answer}");
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    }

    /// Sends no more; receiving goes on.
    pub fn finish(&mut self) {
        self.channel.finish();
    }

    /// The server ends the connection without another message.
    ///
    /// # Panics
    /// If it sends one, or does not end the connection within [`PATIENCE`].
    pub fn expect_end(&mut self) {
        assert_eq!(self.receive(), None, "nothing is left");
    }
}

/// A handshake with id 0.
#[must_use]
pub fn initialize(revision: &str, capabilities: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": revision,
        "capabilities": capabilities,
        "clientInfo": { "name": "corelane-tests", "version": "1" },
    }})
}

/// A request of a session.
#[must_use]
pub fn legacy(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

/// A modern request of a client without capabilities. `params` is an object.
#[must_use]
pub fn modern(id: impl Into<Value>, method: &str, mut params: Value) -> Value {
    params["_meta"][VERSION_KEY] = json!(MODERN);
    if params["_meta"].get(CAPABILITIES_KEY).is_none() {
        params["_meta"][CAPABILITIES_KEY] = json!({});
    }
    legacy(id, method, params)
}

/// A legacy or a modern request.
pub type MakeRequest = fn(Value, &str, Value) -> Value;

/// [`legacy`] and [`modern`], for tests of both eras.
pub const ERAS: [MakeRequest; 2] = [legacy, modern];

/// The parameters of a call.
#[must_use]
pub fn call(tool: &str, arguments: Value) -> Value {
    json!({ "name": tool, "arguments": arguments })
}

/// The parameters of a call that is answered with `message`.
#[must_use]
pub fn echo(message: &str) -> Value {
    call("echo", json!({ "message": message }))
}

/// The parameters of a call that takes so long.
#[must_use]
pub fn sleep(ms: u64) -> Value {
    call("sleep", json!({ "ms": ms }))
}

/// The content of the answer to a call begins with exactly this text.
///
/// # Panics
/// If it does not.
#[track_caller]
pub fn check_text(answer: &Value, text: &str) {
    assert_eq!(answer["result"]["content"][0]["text"], text, "{answer}");
}

/// The notification that cancels a request.
#[must_use]
pub fn cancelled(id: impl Into<Value>) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {
        "requestId": id.into(),
    }})
}

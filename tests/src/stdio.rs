//! Server processes on standard input and output: a message on each line, both ways.
//!
//! Every message of the server is held to the official schema of its revision when it is read.

use std::io::{Read, Write};
use std::process::{ChildStdin, ChildStdout, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use crate::channel_checker::ChannelChecker;
use crate::process::Process;
use crate::request::{CAPABILITIES_KEY, LEGACY, MODERN, VERSION_KEY};
use crate::server::Setup;
use crate::timeouts::PATIENCE;

/// A running server and its parent's ends of standard input and output.
#[derive(Debug)]
pub struct StdioServer {
    process: Process,
    input: Option<ChildStdin>,
    output: Option<ChildStdout>,
    /// The bytes read from standard output that are not yet a whole line.
    partial: Vec<u8>,
    checker: ChannelChecker,
}

impl Setup {
    /// Starts a server that speaks on standard input and output.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start_stdio(self) -> StdioServer {
        let (process, input, output) = self.arguments(&["--stdio"]).spawn_piped();
        StdioServer {
            process,
            input: Some(input),
            output: Some(output),
            partial: Vec::new(),
            checker: ChannelChecker::default(),
        }
    }
}

impl StdioServer {
    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// If the server takes none.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("standard input is open");
        let sent = input.write_all(bytes).and_then(|()| input.flush());
        sent.unwrap_or_else(|error| panic!("cannot send: {error}"));
    }

    /// Sends a message on a line of its own.
    pub fn send(&mut self, message: &Value) {
        self.checker.sent(message);
        self.send_bytes(format!("{message}\n").as_bytes());
    }

    /// The next message of the server; nothing at the end of its output.
    ///
    /// # Panics
    /// If none comes within [`PATIENCE`], or what comes is no message of the protocol.
    pub fn receive(&mut self) -> Option<Value> {
        let line = self.read_line()?;
        let message: Value = serde_json::from_slice(&line)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&line)));
        self.checker.received(&message);
        Some(message)
    }

    /// The next message, which has to come.
    ///
    /// # Panics
    /// As [`StdioServer::receive`] does, and at the end of output.
    pub fn expect(&mut self) -> Value {
        let message = self.receive();
        message.unwrap_or_else(|| panic!("no message:\n{}", self.process.log()))
    }

    /// Sends a request and receives its answer, which is the next message.
    ///
    /// # Panics
    /// As [`StdioServer::expect`] does, and if the answer is to another request.
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

    /// Ends standard input.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Closes the parent's end of standard output.
    pub fn close_output(&mut self) {
        self.output = None;
    }

    /// Waits for the process to end by itself, and checks that it has written nothing else.
    ///
    /// # Panics
    /// If it goes on for longer than [`PATIENCE`], or has written something else.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        if self.output.is_some() {
            let message = self.receive();
            assert_eq!(message, None, "nothing is left");
        }
        self.process.wait_for_exit()
    }

    fn read_line(&mut self) -> Option<Vec<u8>> {
        let deadline = Instant::now() + PATIENCE;
        let output = self.output.as_mut().expect("standard output is open");
        let mut piece = vec![0; 1 << 16];
        loop {
            if let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
                let rest = self.partial.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.partial, rest);
                line.pop();
                return Some(line);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(is_readable(output, left), "nothing within {PATIENCE:?}");
            let count = output.read(&mut piece).expect("a pipe");
            if count == 0 {
                let partial = String::from_utf8_lossy(&self.partial);
                assert!(partial.is_empty(), "a line without an end: {partial}");
                return None;
            }
            self.partial.extend_from_slice(&piece[..count]);
        }
    }
}

fn is_readable(output: &ChildStdout, wait: Duration) -> bool {
    let mut polled = [PollFd::new(output, PollFlags::IN)];
    let wait = Timespec::try_from(wait).expect("seconds fit");
    matches!(poll(&mut polled, Some(&wait)), Ok(1))
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

/// The parameters of a call.
#[must_use]
pub fn call(tool: &str, arguments: Value) -> Value {
    json!({ "name": tool, "arguments": arguments })
}

/// The notification that cancels a request.
#[must_use]
pub fn cancelled(id: impl Into<Value>) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {
        "requestId": id.into(),
    }})
}

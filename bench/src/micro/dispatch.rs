//! Benches of one connection's handling, from received bytes to bytes to be sent.
//!
//! One operation is all that a shard does for a call between a receive and a send: framing,
//! decoding, the admission checks, the check of the arguments, the handler, encoding. Not in the
//! number does not show: the kernel, the ring, timers, and a handler that does something. The
//! handler takes the message as its own string and gives it back as content, which allocates twice.

use super::bench::Bench;
use super::bencher::Bencher;
use super::checksum::Checksum;
use super::corpus::{self, ECHO_TEXT};
use corelane::measure::Handling;
use corelane::{Call, Server, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

const SERVER_NAME: &str = "corelane-bench";
const SERVER_VERSION: &str = "1.0.0";

/// The benches of this module.
pub(super) const BENCHES: &[Bench] = &[
    Bench {
        name: "dispatch/echo_26",
        operations: 32,
        cores: 1,
        reference: |operations| Checksum::repeated(folded(expected().as_bytes()), operations),
        perform: |bencher| echo(bencher, Handling::of),
    },
    // The difference is the cost of metrics.
    Bench {
        name: "dispatch/echo_26_measured",
        operations: 32,
        cores: 1,
        reference: |operations| Checksum::repeated(folded(expected().as_bytes()), operations),
        perform: |bencher| echo(bencher, Handling::measured),
    },
];

#[derive(Deserialize, JsonSchema)]
struct Echo {
    /// The text to send back.
    message: String,
}

fn server() -> Server {
    Server::new(SERVER_NAME, SERVER_VERSION).with_tool(Tool::new(
        "echo",
        "Sends the message back.",
        async |_: &Call, Echo { message }| Ok(message),
    ))
}

fn echo(bencher: &mut Bencher, handling: fn(Server) -> Handling) {
    let mut handling = handling(server());
    let mut request = corpus::modern_post();
    bencher.each(|| handling.answer(&mut request, folded));
}

/// Length and the bytes that differ most between a correct answer and a wrong one.
fn folded(answer: &[u8]) -> u64 {
    let sum: u64 = answer.iter().map(|byte| u64::from(*byte)).sum();
    (answer.len() as u64) << 32 | sum
}

fn expected() -> String {
    let server = format!(r#"{{"name":"{SERVER_NAME}","version":"{SERVER_VERSION}"}}"#);
    let content = format!(r#"[{{"type":"text","text":"{ECHO_TEXT}"}}]"#);
    let meta = format!(r#"{{"io.modelcontextprotocol/serverInfo":{server}}}"#);
    let result = format!(r#"{{"content":{content},"resultType":"complete","_meta":{meta}}}"#);
    let body = format!(r#"{{"jsonrpc":"2.0","id":1234567,"result":{result}}}"#);
    let length = body.len();
    let fields = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT";
    format!("HTTP/1.1 200 OK\r\n{fields}{date}\r\n\r\n{body}")
}

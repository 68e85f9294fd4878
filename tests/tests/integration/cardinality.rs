//! Clients that make up names: the series of metrics do not follow them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use corelane_tests::http::Head;
use corelane_tests::{PATIENCE, Request, Scrape};
use serde_json::json;

use crate::metrics::{HTTP, measured};

/// Requests, each with four names of its own: 100,000 names.
const REQUESTS: usize = 25_000;
/// Requests on their way at once: enough for the work of many turns, and few for a socket.
const BATCH: usize = 20;
/// Bytes of a name.
const NAME_BYTES: usize = 400;
/// Samples of a server of two shards.
const SAMPLES_MAX: usize = 1_500;
/// In each name.
const MADE_UP: &str = "made-up";
const OPERATIONS: &str = "mcp_server_operation_duration_seconds_count";

/// A request of a client with a tool, a method, a prompt or a revision that no other has, and with
/// a user agent, a name and a trace that no other has.
fn request(number: usize) -> Request {
    let name = |of: &str| {
        let name = format!("{MADE_UP}-{number}-{of}-");
        format!("{name}{}", "x".repeat(NAME_BYTES - name.len()))
    };
    let request = match number % 4 {
        0 => Request::modern_call(&name("tool"), json!({})),
        1 => Request::modern(1, "prompts/get", json!({ "name": name("prompt") })),
        2 => Request::modern(1, &name("method"), json!({})),
        _ => {
            let request = Request::modern(1, "tools/list", json!({}));
            let request = request.meta("io.modelcontextprotocol/protocolVersion", name("revision"));
            request.field("MCP-Protocol-Version", &name("revision"))
        }
    };
    let client = json!({ "name": name("client"), "version": "1" });
    request
        .field("User-Agent", &name("agent"))
        .meta("io.modelcontextprotocol/clientInfo", client)
        .meta("traceparent", name("trace"))
}

/// A client that looks at the heads of responses only.
struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the server takes connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        Client {
            stream,
            input: Vec::new(),
        }
    }

    /// Sends the requests with these numbers, and reads as many responses.
    fn exchange(&mut self, numbers: std::ops::Range<usize>) {
        let address = self.stream.peer_addr().expect("it is connected");
        let count = numbers.len();
        let requests: Vec<u8> = numbers
            .flat_map(|it| request(it).to_bytes(address))
            .collect();
        self.stream.write_all(&requests).expect("the server reads");
        for _ in 0..count {
            while !self.take_response() {
                let mut bytes = [0; 1 << 16];
                let read = self.stream.read(&mut bytes).expect("the server answers");
                assert!(read > 0, "the server keeps the connection");
                self.input.extend_from_slice(&bytes[..read]);
            }
        }
    }

    /// Whether a whole response was there.
    fn take_response(&mut self) -> bool {
        let Some((head, head_bytes)) = Head::parse(&self.input).expect("a head") else {
            return false;
        };
        let length = head.field("Content-Length").and_then(|it| it.parse().ok());
        let bytes = head_bytes + length.unwrap_or(0_usize);
        if self.input.len() < bytes {
            return false;
        }
        self.input.drain(..bytes);
        true
    }
}

#[test]
fn series_do_not_follow_the_names_of_clients() {
    let server = measured(2).start();
    let mut client = Client::connect(server.address());
    for from in (0..REQUESTS).step_by(BATCH) {
        client.exchange(from..REQUESTS.min(from + BATCH));
    }
    let address = server.metrics_address();
    let scrape = Scrape::wait_for(address, "all requests in the metrics", |scrape| {
        let is_all = scrape.sum(HTTP, &[]) == REQUESTS as f64;
        is_all.then(|| scrape.clone())
    });
    let operations = scrape.sum(OPERATIONS, &[]) as usize;
    assert!(operations >= REQUESTS / 4 * 3, "{operations}");
    assert!(!scrape.text.contains(MADE_UP), "{}", scrape.text);
    let samples = scrape.samples().count();
    assert!(samples < SAMPLES_MAX, "{samples}");
    assert_eq!(scrape.sum("corelane_metrics_overflow_total", &[]), 0.0);
}

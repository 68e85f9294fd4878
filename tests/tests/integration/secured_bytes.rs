//! The same bytes with and without TLS: the answers are the same, wherever records cut the bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::thread;

use corelane_tests::client::{echo, modern};
use corelane_tests::{Authority, PATIENCE, Request, Server, Setup};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use serde_json::json;

use crate::framing::{AMBIGUOUS, FIRST_LINES, NOT_HTTP};
use crate::refused::SMUGGLED;

/// A way from a client to a server.
pub(crate) struct Path<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<&'a Arc<ClientConfig>>,
    /// Pieces of what comes before TLS; the last one is in one segment with what follows.
    pub(crate) preface: Vec<&'a [u8]>,
}

/// How bytes are cut into records, or into writes without TLS.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    Nowhere,
    /// In two records of one segment.
    At(usize),
    /// Each byte is a record and a segment of its own.
    EachByte,
    /// Each byte is a record, all in one segment.
    EachByteTogether,
}

impl Cut {
    /// The records, and whether they arrive together.
    fn of(self, bytes: &[u8]) -> (Vec<&[u8]>, bool) {
        match self {
            Cut::Nowhere => (vec![bytes], true),
            Cut::At(at) => (vec![&bytes[..at], &bytes[at..]], true),
            Cut::EachByte => (bytes.chunks(1).collect(), false),
            Cut::EachByteTogether => (bytes.chunks(1).collect(), true),
        }
    }
}

impl Path<'_> {
    /// Sends `bytes` and, if `ends`, the end; returns all that comes back. With TLS, an end that
    /// the server does not announce fails the test.
    pub(crate) fn exchange(&self, bytes: &[u8], cut: Cut, ends: bool) -> Vec<u8> {
        let mut socket = TcpStream::connect_timeout(&self.address, PATIENCE).expect("it listens");
        socket.set_nodelay(true).expect("it is a TCP socket");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("it is valid");
        let (last, pieces) = match self.preface.split_last() {
            Some((last, pieces)) => (*last, pieces),
            None => (&[][..], &[][..]),
        };
        let sent = pieces.iter().try_for_each(|piece| socket.write_all(piece));
        sent.expect("it is read");
        let (parts, are_together) = cut.of(bytes);
        let mut answer = Vec::new();
        let end = match self.tls {
            None => {
                // The server may close before it has read everything.
                let first = [last, parts[0]].concat();
                let _ = socket.write_all(&first);
                let _ = parts[1..]
                    .iter()
                    .try_for_each(|part| socket.write_all(part));
                if ends {
                    socket.shutdown(Shutdown::Write).expect("it is open");
                }
                socket.read_to_end(&mut answer)
            }
            Some(config) => {
                let name = ServerName::try_from("localhost").expect("a name");
                let tls = ClientConnection::new(Arc::clone(config), name);
                let mut tls = tls.expect("the configuration is valid");
                let mut first = last.to_vec();
                tls.write_tls(&mut first).expect("it is memory");
                socket.write_all(&first).expect("it is read");
                while tls.is_handshaking() {
                    tls.complete_io(&mut socket).expect("a handshake");
                }
                let mut records = Vec::new();
                for part in parts {
                    tls.writer().write_all(part).expect("it is buffered");
                    if !are_together {
                        let _ = tls.write_tls(&mut socket);
                    }
                }
                if ends {
                    tls.send_close_notify();
                }
                while tls.wants_write() {
                    tls.write_tls(&mut records).expect("it is memory");
                }
                let _ = socket.write_all(&records);
                rustls::Stream::new(&mut tls, &mut socket).read_to_end(&mut answer)
            }
        };
        if let Err(error) = end {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        }
        answer
    }
}

/// An answer without the parts that differ from one to the next.
fn stable(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let lines = text.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("Date:")).collect()
}

/// A server with an address without TLS and one with it.
fn start(scheme: &str) -> (Server, SocketAddr, SocketAddr) {
    let server = Setup::shards(1)
        .secured()
        .listen(&format!("{scheme}://127.0.0.1:0"))
        .listen(&format!("{scheme}s://127.0.0.1:0"))
        .start();
    let (plain, secured) = (socket_of(&server, 1), socket_of(&server, 2));
    (server, plain, secured)
}

/// The socket of an address of the server.
pub(crate) fn socket_of(server: &Server, at: usize) -> SocketAddr {
    let (_, address) = server.addresses()[at].split_once("://").expect("a scheme");
    address.parse().expect("an address")
}

/// Bytes, and the places at which they are cut in two.
struct Input {
    bytes: Vec<u8>,
    cuts: Range<usize>,
}

impl Input {
    /// Cut everywhere.
    fn of(bytes: Vec<u8>) -> Input {
        let cuts = 1..bytes.len();
        Input { bytes, cuts }
    }
}

/// Checks that each input is answered alike over both, and in each cut.
fn check_alike(plain: SocketAddr, secured: SocketAddr, inputs: &[Input], ends: bool) {
    const THREADS: usize = 4;
    let client = Authority::shared().client();
    let plain = &Path {
        address: plain,
        tls: None,
        preface: Vec::new(),
    };
    let secured = &Path {
        address: secured,
        tls: Some(&client),
        preface: Vec::new(),
    };
    thread::scope(|scope| {
        for first in 0..THREADS {
            scope.spawn(move || {
                for input in inputs.iter().skip(first).step_by(THREADS) {
                    let name = String::from_utf8_lossy(&input.bytes);
                    let expected = stable(&plain.exchange(&input.bytes, Cut::Nowhere, ends));
                    assert!(!expected.is_empty(), "{name:?}");
                    let cuts = [Cut::Nowhere, Cut::EachByte, Cut::EachByteTogether];
                    let cuts = cuts.into_iter().chain(input.cuts.clone().map(Cut::At));
                    for cut in cuts {
                        let answer = stable(&secured.exchange(&input.bytes, cut, ends));
                        assert_eq!(answer, expected, "{cut:?} of {name:?}");
                    }
                }
            });
        }
    });
}

#[test]
fn hostile_requests_have_the_same_answer_behind_tls_wherever_records_cut_them() {
    let (_server, plain, secured) = start("http");
    let head: &[u8] = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n";
    // Cuts in the parts that all of them have are for `NOT_HTTP`.
    let of_rest = |rest: &&str| Input {
        bytes: [head, rest.as_bytes(), SMUGGLED].concat(),
        cuts: head.len() - 2..head.len() + rest.len() + 2,
    };
    let mut inputs: Vec<Input> = AMBIGUOUS
        .iter()
        .flat_map(|(_, cases)| cases.iter().map(of_rest))
        .collect();
    inputs.extend(
        NOT_HTTP
            .iter()
            .map(|(_, _, bytes)| Input::of([bytes, SMUGGLED].concat())),
    );
    inputs.extend(FIRST_LINES.iter().map(|(_, _, it)| Input::of(it.to_vec())));
    check_alike(plain, secured, &inputs, false);
}

#[test]
fn requests_are_answered_alike_behind_tls_wherever_records_cut_them() {
    let (server, plain, secured) = start("http");
    let call = |message: &str| {
        Request::modern_call("echo", json!({ "message": message })).field("Host", "localhost")
    };
    let last = call("last").field("Connection", "close");
    let address = server.address();
    let coded = call("coded").field("Content-Encoding", "gzip");
    let large = "x".repeat(300);
    // Several requests in a record, heads and bodies that straddle records, a body in chunks, and
    // requests that are refused by their head.
    let inputs = [
        vec![call("first"), last.clone()],
        vec![call("first"), call(&large), last.clone()],
        vec![coded, last.clone()],
        vec![
            Request::new("GET")
                .path("/nowhere")
                .field("Host", "localhost"),
            last.clone(),
        ],
    ];
    let mut inputs: Vec<Input> = inputs
        .iter()
        .map(|requests| {
            let bytes = requests.iter().flat_map(|it| it.to_bytes(address));
            Input::of(bytes.collect())
        })
        .collect();
    let chunked = call("first").to_chunked_bytes(address, 40);
    inputs.push(Input::of([chunked, last.to_bytes(address)].concat()));
    check_alike(plain, secured, &inputs, false);
}

#[test]
fn hostile_lines_have_the_same_answer_behind_tls_wherever_records_cut_them() {
    let (_server, plain, secured) = start("tcp");
    let call = modern(1, "tools/call", echo("m")).to_string();
    let lines = [
        format!("{call}\n"),
        format!("{call}\r\n{call}\n"),
        format!("\n\r\n \n{call}\n"),
        call.clone(),
        format!("{{\"jsonrpc\":\"2.0\"\n{call}\n"),
        format!("{{}}\n[]\n1\n{call}\n"),
        format!("{{\"a\":\"\u{1}\"}}\n{call}\n"),
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"method\":\"ping\"}\n".to_owned(),
    ];
    let mut inputs: Vec<Input> = lines.map(|it| Input::of(it.into_bytes())).into();
    inputs.push(Input::of(
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}\n".to_vec(),
    ));
    check_alike(plain, secured, &inputs, true);
}

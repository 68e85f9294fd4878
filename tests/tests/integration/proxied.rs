//! Headers of the PROXY protocol before TLS, before lines and before HTTP.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use corelane_tests::client::{echo, modern};
use corelane_tests::{Authority, PATIENCE, Request, Server, Setup, Totals};
use rustls::ClientConfig;
use serde_json::json;

use crate::secured_bytes::{Cut, Path, socket_of};

/// Between two bytes of a header that is too slow.
const DRIP_INTERVAL: Duration = Duration::from_millis(20);

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";

/// A header of version 2 with this command, family and rest.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = (rest.len() as u16).to_be_bytes();
    let fixed: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    [fixed, &[command, family], &length, rest].concat()
}

fn v2_ipv4(extension_bytes: usize) -> Vec<u8> {
    let mut rest = vec![192, 0, 2, 1, 198, 51, 100, 1, 1, 2, 3, 4];
    rest.resize(rest.len() + extension_bytes, 0);
    v2(0x21, 0x11, &rest)
}

/// A server whose clients are behind a proxy: `https`, `http`, `tcp` and `tcps`.
fn start(timeouts: &str, tls: &str) -> (Server, Arc<ClientConfig>) {
    let authority = Authority::shared();
    let client = authority.client();
    let profile = format!(
        "[log]\nformat = \"json\"\n[server]\nproxy_protocol_from = [\"127.0.0.0/8\"]\n{timeouts}"
    );
    let server = Setup::shards(1)
        .profile(&profile)
        .secured_for(authority, Arc::clone(&client), tls)
        .listen("http://127.0.0.1:0")
        .listen("tcp://127.0.0.1:0")
        .listen("tcps://127.0.0.1:0");
    (server.start(), client)
}

/// Its addresses, and whether they have TLS and lines.
fn addresses(server: &Server) -> [(SocketAddr, bool, bool); 4] {
    let kinds = [(true, false), (false, false), (false, true), (true, true)];
    let mut at = 0;
    kinds.map(|(has_tls, has_lines)| {
        at += 1;
        (socket_of(server, at - 1), has_tls, has_lines)
    })
}

/// Checks that each address serves a client behind this header, whole and byte by byte.
fn check_served(server: &Server, client: &Arc<ClientConfig>, header: &[u8]) {
    let line = modern(1, "tools/call", echo("behind")).to_string() + "\n";
    let request = Request::modern_call("echo", json!({ "message": "behind" }));
    let request = request
        .field("Host", "localhost")
        .field("Connection", "close");
    for (address, has_tls, has_lines) in addresses(server) {
        for preface in [vec![header], header.chunks(1).collect()] {
            let path = Path {
                address,
                tls: has_tls.then_some(client),
                preface,
            };
            let bytes = match has_lines {
                true => line.clone().into_bytes(),
                false => request.to_bytes(address),
            };
            let answer = path.exchange(&bytes, Cut::Nowhere, has_lines);
            let text = String::from_utf8_lossy(&answer);
            assert!(
                text.contains("\"text\":\"behind\""),
                "{has_tls} {has_lines}: {text}"
            );
        }
    }
}

#[test]
fn a_header_comes_before_tls_and_before_lines() {
    let (server, client) = start("", "");
    let headers = [
        V1.to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        v2_ipv4(0),
        v2_ipv4(200),
        v2(0x20, 0, &[]),
    ];
    for header in headers {
        check_served(&server, &client, &header);
    }
}

/// All that comes back for bytes that are sent as they are.
fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE).expect("it listens");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("it is valid");
    let _ = socket.write_all(bytes);
    read_to_end(&mut socket)
}

fn read_to_end(socket: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    if let Err(error) = socket.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    answer
}

#[test]
fn what_is_no_header_ends_the_connection_without_an_answer() {
    let (server, client) = start("", "");
    let cases = [
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n".to_vec(),
        format!("PROXY UNKNOWN {}", "x".repeat(100)).into_bytes(),
        v2(0x11, 0x11, &[0; 12]),
        v2(0x21, 0x11, &[0; 11]),
        v2_ipv4(4096),
    ];
    for (address, has_tls, has_lines) in addresses(&server) {
        for case in &cases {
            let answer = raw(address, case);
            let name = String::from_utf8_lossy(case);
            assert_eq!(answer, b"", "{has_tls} {has_lines} {name:?}");
        }
    }
    check_served(&server, &client, V1);
}

#[test]
fn a_second_header_is_none() {
    let (server, client) = start("", "");
    for (address, has_tls, has_lines) in addresses(&server) {
        let path = Path {
            address,
            tls: has_tls.then_some(&client),
            preface: vec![V1],
        };
        let answer = path.exchange(V1, Cut::Nowhere, has_lines);
        match has_lines {
            true => assert_eq!(answer, b"", "{has_tls}"),
            false => assert!(answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}"),
        }
    }
}

#[test]
fn a_slow_header_and_silence_behind_one_end_the_connection() {
    let timeouts = "[connection]\nhead_timeout_ms = 400\nidle_timeout_ms = 1000\n\
                    [streams]\nkeep_alive_ms = 1000\n\
                    [lines]\nfirst_message_timeout_ms = 400\n";
    let (server, client) = start(timeouts, "handshake_timeout_ms = 400");
    let addresses = addresses(&server);
    thread::scope(|scope| {
        for (address, has_tls, has_lines) in addresses {
            // Nothing; the start of a header; a header, and then nothing.
            for bytes in [b"", &V1[..20], V1] {
                scope.spawn(move || {
                    let answer = raw(address, bytes);
                    let name = format!("{has_tls} {has_lines} {} bytes", bytes.len());
                    assert_eq!(String::from_utf8_lossy(&answer), "", "{name}");
                });
            }
            scope.spawn(move || {
                let mut socket = TcpStream::connect_timeout(&address, PATIENCE).expect("listens");
                socket
                    .set_read_timeout(Some(DRIP_INTERVAL))
                    .expect("it is valid");
                let began = Instant::now();
                // The header is longer than its time.
                let rest = std::iter::repeat_n(b'x', 4000);
                for byte in b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x0f\xa0"
                    .iter()
                    .copied()
                    .chain(rest)
                {
                    assert!(began.elapsed() < PATIENCE, "it waits for ever");
                    if socket.write_all(&[byte]).is_err() {
                        break;
                    }
                    match socket.read(&mut [0; 64]) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        _ => break,
                    }
                }
            });
        }
    });
    check_served(&server, &client, V1);
    let totals = Totals::of_end(&server, || server.log());
    assert_eq!(totals.value("timeouts", "handshake"), 2, "{totals}");
    // A header each that is silent, stopped or slow, and the first message of lines or of HTTP.
    assert!(totals.value("timeouts", "head") > 4 * 3, "{totals}");
}

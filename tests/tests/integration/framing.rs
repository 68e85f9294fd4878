//! Bytes that are not an HTTP request, or an ambiguous one: refused once, and no byte after them is
//! read as a request.

use corelane_tests::{LivenessProbe, Session, Setup};
use serde_json::{Value, json};

use crate::refused::{SMALL, SMUGGLED, check_all_places_are_free, check_refused};

/// The lines after `Host` in a request with an ambiguous end, by status.
pub(crate) const AMBIGUOUS: &[(u16, &[&str])] = &[
    (
        400,
        &[
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
            "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            "Content-Length: 5, 5\r\n\r\nhello",
            "Content-Length: +5\r\n\r\nhello",
            "Content-Length: -1\r\n\r\n",
            "Content-Length: 0x5\r\n\r\nhello",
            "Content-Length: 18446744073709551616\r\n\r\n",
            "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            "Content-Length : 5\r\n\r\nhello",
            "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
            "A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
            "Content-Length:\r\n 5\r\n\r\nhello",
            "A: b\nContent-Length: 0\r\n\r\n",
            "Content-Length: 0\r\n\n",
            "A: b\rContent-Length: 5\r\n\r\nhello",
            "A: b\0c\r\n\r\n",
            "Content-Length\r\n\r\n",
            ": 5\r\n\r\n",
            "Host: other\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n00000000000000005\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n0\r\nA b: c\r\n\r\n",
        ],
    ),
    (
        501,
        &[
            "Transfer-Encoding: gzip\r\n\r\n",
            "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding: identity\r\n\r\n",
        ],
    ),
    (417, &["Expect: x\r\n\r\n"]),
];

/// Bytes that do not begin like HTTP, with their names and the status of the refusal.
pub(crate) const NOT_HTTP: &[(&str, u16, &[u8])] = &[
    (
        "TLS",
        400,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ),
    ("HTTP/0.9", 400, b"GET /mcp\r\n\r\n"),
    ("HTTP/1.2", 505, b"GET /mcp HTTP/1.2\r\nHost: h\r\n\r\n"),
    (
        "line framing",
        400,
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\r\n\r\n",
    ),
    ("two spaces", 400, b"GET  /mcp HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("no host", 400, b"GET /mcp HTTP/1.1\r\n\r\n"),
    (
        "authority form",
        400,
        b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n",
    ),
    (
        "control byte",
        400,
        b"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
    ),
    ("line feeds", 400, b"GET /mcp HTTP/1.1\nHost: h\n\n"),
    ("nothing but zeros", 400, &[0; 64]),
    ("line ends", 400, b"\r\n\r\n\r\n\r\n"),
];

/// The same, of which the first line says enough.
pub(crate) const FIRST_LINES: &[(&str, u16, &[u8])] = &[
    ("SSH", 400, b"SSH-2.0-OpenSSH_9.6\r\n"),
    ("Redis", 400, b"*1\r\n$4\r\nPING\r\n"),
    ("HTTP/0.9", 400, b"GET /mcp\r\n"),
    ("HTTP/3", 505, b"GET /mcp HTTP/3.0\r\n"),
];

#[test]
fn ambiguous_requests_are_refused_and_smuggle_nothing() {
    let setups = [
        Setup::shards(1),
        Setup::shards(2),
        Setup::shards(1).secured(),
    ];
    for setup in setups {
        let server = setup.profile(SMALL).start();
        let mut probe = LivenessProbe::of(&server);
        for (status, cases) in AMBIGUOUS {
            for rest in *cases {
                let head = format!("POST /mcp HTTP/1.1\r\nHost: {}\r\n", server.address());
                let input = [head.as_bytes(), rest.as_bytes(), SMUGGLED].concat();
                check_refused(&server, rest, &input, *status);
                probe.check(rest);
            }
        }
        check_all_places_are_free(&server);
    }
}

#[test]
fn bytes_that_do_not_begin_like_http_are_refused() {
    for setup in [Setup::shards(1), Setup::shards(1).secured()] {
        let server = setup.profile(SMALL).start();
        let mut probe = LivenessProbe::of(&server);
        for (name, status, bytes) in NOT_HTTP {
            check_refused(&server, name, &[bytes, SMUGGLED].concat(), *status);
            probe.check(name);
        }
    }
}

/// Clients of other protocols send a line and wait for an answer: they get it without sending more.
#[test]
fn the_first_line_of_another_protocol_is_refused_at_once() {
    for setup in [Setup::shards(1), Setup::shards(1).secured()] {
        let server = setup.start();
        for (name, status, bytes) in FIRST_LINES {
            check_refused(&server, name, bytes, *status);
        }
    }
}

#[test]
fn a_client_that_waits_for_permission_gets_it() {
    let server = Setup::shards(1).start();
    let session = Session::open(&mut server.connect());
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let ping = session
        .message(&Value::Null)
        .field("Expect", "100-continue");
    let head = format!(
        "{}Content-Length: {}\r\n\r\n",
        ping.head_start(server.address()),
        body.len()
    );
    let mut connection = server.connect();
    for _ in 0..2 {
        connection.send_bytes(head.as_bytes());
        let interim = connection.read_response();
        assert_eq!(
            (interim.status(), interim.body.len()),
            (100, 0),
            "{interim:?}"
        );
        connection.send_bytes(body.as_bytes());
        assert_eq!(connection.read_response().status(), 200);
    }
    // A client that sends its body at once needs no `100 Continue`, but may get it.
    connection.send_bytes(&[head.as_bytes(), body.as_bytes()].concat());
    let mut response = connection.read_response();
    if response.status() == 100 {
        response = connection.read_response();
    }
    assert_eq!(response.status(), 200, "{response:?}");
    let too_long = ping.head_start(server.address()) + "Content-Length: 99999999999\r\n\r\n";
    check_refused(
        &server,
        "a body nobody has to send",
        too_long.as_bytes(),
        413,
    );
}

#[test]
fn a_connection_ends_when_one_side_says_so() {
    let server = Setup::shards(1).start();
    let session = Session::open(&mut server.connect());
    let ping = session.request(1, "ping", Value::Null);
    let progress = session
        .call("test_tool_with_progress", json!({}))
        .meta("progressToken", 1);
    let (old, recent) = ("HTTP/1.0", "HTTP/1.1");
    for (version, connection_field, is_kept) in [
        (recent, None, true),
        (recent, Some("keep-alive"), true),
        (recent, Some("close"), false),
        (recent, Some("Close"), false),
        (old, None, false),
        (old, Some("keep-alive"), true),
        (old, Some("close"), false),
    ] {
        for (request, is_stream) in [(&ping, false), (&progress, true)] {
            let name = format!("{version} {connection_field:?} {is_stream}");
            let mut request = request.clone().version(version);
            if let Some(value) = connection_field {
                request = request.field("Connection", value);
            }
            let mut connection = server.connect();
            let response = connection.exchange(&request);
            assert_eq!(response.status(), 200, "{name}: {response:?}");
            assert_eq!(
                response.head.is_event_stream(),
                is_stream,
                "{name}: {response:?}"
            );
            assert_eq!(response.answer()["id"], 1, "{name}: {response:?}");
            // A stream to an HTTP/1.0 client ends with its connection only.
            if is_kept && !(is_stream && version == old) {
                assert!(!response.head.says_close(), "{name}: {response:?}");
                assert_eq!(connection.exchange(&ping).status(), 200, "{name}");
            } else {
                assert!(
                    response.head.says_close() || version == old,
                    "{name}: {response:?}"
                );
                connection.expect_close();
            }
        }
    }
}

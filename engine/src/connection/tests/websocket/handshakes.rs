//! Handshakes that are completed, and those that are refused in HTTP.

use serde_json::json;

use super::super::test_connection::{echo as echo_over_http, post};
use super::{TestConnection, check, echo, handshake, messages, opened, text_frame};
use crate::access::AccessControl;
use crate::connection::http::{Connection, Phase};
use crate::connection::source::Source;
use crate::guard::holder::HolderKey;
use crate::guard::network::Networks;
use crate::guard::principal::PrincipalHeader;
use crate::mcp::tests::test_endpoint::{initialize, request, text, with_trailer};
use crate::meter::Counter;
use crate::profile::Binding;

/// The head of the answer, as text.
#[track_caller]
fn head(line: &mut TestConnection) -> String {
    let sent = String::from_utf8(line.take_sent()).expect("a head is text");
    let (head, rest) = sent.split_once("\r\n\r\n").expect("a head");
    assert_eq!(rest, "", "{head}");
    head.to_owned()
}

#[test]
fn a_handshake_is_completed_and_selects_the_subprotocol_if_it_is_offered() {
    let protocol = "Sec-WebSocket-Protocol: mcp";
    for (lines, is_selected) in [
        ("", false),
        ("Sec-WebSocket-Protocol: mcp\r\n", true),
        (
            "Sec-WebSocket-Protocol: a, mcp\r\nOrigin: http://localhost\r\n",
            true,
        ),
        ("Sec-WebSocket-Extensions: permessage-deflate\r\n", false),
    ] {
        let mut line = TestConnection::new();
        line.receive(handshake(lines).as_bytes());
        let head = head(&mut line);
        assert!(
            head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
            "{head}"
        );
        let accept = "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert!(head.contains(accept), "{head}");
        assert!(
            head.contains("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"),
            "{head}"
        );
        assert_eq!(head.contains(protocol), is_selected, "{head}");
        assert!(
            !head.contains("Extensions") && !head.contains("Content-Length"),
            "{head}"
        );
        assert_eq!(line.connection.phase, Phase::Idle);
        assert_eq!(line.harness.count(Counter::WebSocketsOpen), 1);
    }
}

#[test]
fn a_handshake_that_is_refused_leaves_a_connection_of_http() {
    let valid = handshake("");
    let old = valid.replace("Version: 13", "Version: 8");
    for (request, status, part) in [
        (
            valid.replace("localhost", "evil.example"),
            403,
            "evil.example",
        ),
        (
            handshake("Origin: http://evil.example\r\n"),
            403,
            "evil.example",
        ),
        (valid.replace("/mcp", "/other"), 404, "/mcp"),
        (old, 426, "version 13"),
        (valid.replace("==", ""), 400, "Sec-WebSocket-Key"),
        (
            handshake("Sec-WebSocket-Protocol: soap\r\n"),
            400,
            "offer mcp",
        ),
    ] {
        let mut line = TestConnection::new();
        line.receive(request.as_bytes());
        let response = line.response();
        assert_eq!(response.status, status, "{request}");
        let message = response.message()["error"]["message"].to_string();
        assert!(message.contains(part), "{message}");
        let fields = ["upgrade", "connection", "sec-websocket-version"];
        let fields = fields.map(|name| response.field(name));
        let expected = match status {
            426 => [Some("websocket"), Some("Upgrade"), Some("13")],
            _ => [None; 3],
        };
        assert_eq!(fields, expected);
        assert_eq!(line.harness.count(Counter::WebSocketsOpen), 0);
        line.receive(handshake("").as_bytes());
        assert!(head(&mut line).starts_with("HTTP/1.1 101 "));
    }
}

#[test]
fn a_shard_that_drains_or_is_overloaded_upgrades_no_connection() {
    for is_draining in [false, true] {
        let mut line = TestConnection::new();
        line.is_draining = is_draining;
        line.pool.output_bytes = usize::MAX * usize::from(!is_draining);
        line.receive(handshake("").as_bytes());
        assert_eq!(line.response().status, 503);
        assert!(line.connection.channel().is_none());
    }
}

#[test]
fn an_address_for_websocket_serves_nothing_else() {
    let upgrade = handshake("");
    for request in [
        echo_over_http("m"),
        upgrade.replace("GET", "POST"),
        upgrade.replace("Upgrade: websocket", "Upgrade: h2c"),
        "GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
    ] {
        let mut line = TestConnection::new();
        line.connection = Connection::from(Source::new(0, Binding::WebSocket));
        line.receive(request.as_bytes());
        let response = line.response();
        assert_eq!(response.status, 426, "{request}");
        assert_eq!(response.field("upgrade"), Some("websocket"));
        line.receive(upgrade.as_bytes());
        assert!(head(&mut line).starts_with("HTTP/1.1 101 "));
    }
}

#[test]
fn http_1_0_has_no_upgrade() {
    let mut line = TestConnection::new();
    line.receive(handshake("").replace("HTTP/1.1", "HTTP/1.0").as_bytes());
    assert_eq!(line.response().status, 426);
}

#[test]
fn an_anonymous_client_is_upgraded_when_its_address_is_known() {
    for frames in [String::new(), echo(1)] {
        let mut line = TestConnection::new();
        line.peer = None;
        let mut input = handshake("").into_bytes();
        if !frames.is_empty() {
            input.extend_from_slice(&text_frame(&frames));
        }
        let (first, rest) = input.split_at(input.len() - 1);
        line.receive(first);
        line.receive(rest);
        assert!(line.take_sent().is_empty());
        let (_, request) = line.effects.postponed.pop().expect("the handshake waits");
        line.peer = Some(HolderKey::ANONYMOUS);
        line.step(|connection, context| connection.go_on(request, context));
        assert_eq!(line.connection.phase, Phase::Idle);
        let sent = line.take_sent();
        assert!(sent.starts_with(b"HTTP/1.1 101 "));
        assert_eq!(sent.ends_with(b"}"), !frames.is_empty());
        line.receive(&text_frame(&echo(2)));
        check(&mut line, &[with_trailer(2, text("m"))]);
    }
}

#[test]
fn all_messages_are_those_of_the_principal_of_the_handshake() {
    let mut line = TestConnection::new();
    let header = Some(PrincipalHeader::new("x-user"));
    line.access = AccessControl::new(header, Networks::default(), None);
    line.peer = None;
    line.receive(handshake("X-User: ann, bob\r\n").as_bytes());
    assert_eq!(line.response().status, 400);
    line.receive(handshake("X-User: ann\r\n").as_bytes());
    assert!(head(&mut line).starts_with("HTTP/1.1 101 "));
    line.receive(&text_frame(&initialize("2025-11-25")));
    assert!(messages(&mut line)[0]["result"].is_object());
    let session = line
        .connection
        .channel()
        .and_then(|channel| channel.session);
    let session = session.expect("a session").to_text();
    let session = String::from_utf8_lossy(&session).into_owned();
    // The session is a stranger's to anyone else, on any connection.
    let ping = request(1, "ping", json!({}));
    for (user, status) in [("ann", 200), ("bob", 404)] {
        line.connection = Connection::from(Source::default());
        let headers = format!("MCP-Session-Id: {session}\r\nX-User: {user}\r\n");
        line.receive(post(&headers, &ping).as_bytes());
        assert_eq!(line.response().status, status, "{user}");
    }
}

#[test]
fn an_upgraded_connection_is_no_longer_one_of_http() {
    let mut line = opened();
    line.receive(b"GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let sent = line.take_sent();
    // A close frame with the code 1002.
    assert_eq!((sent[0], &sent[2..4]), (0x88, &[0x03, 0xea][..]));
}

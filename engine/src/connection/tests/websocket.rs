//! WebSocket connections: the handshake, messages of both eras, and the ends of a connection.

mod bounds;
mod endings;
mod handshakes;

use corelane_protocol::framing::websocket::{Close, Framer, Kind, Opcode, Role, Step, write_frame};
use serde_json::{Value, json};

use super::lines::{cancelled, check_messages, legacy, listen, modern};
use super::test_connection::TestConnection;
use crate::connection::http::Phase;
use crate::mcp::tests::test_endpoint::{
    TestEndpoint, error, initialize, notification, on_executor, progress, result, text,
    with_trailer,
};

/// A handshake of a client, with further header lines.
pub(super) fn handshake(lines: &str) -> String {
    format!(
        "GET /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    )
}

/// A connection that was upgraded.
fn opened() -> TestConnection {
    let mut line = TestConnection::on(TestEndpoint::new());
    line.receive(handshake("").as_bytes());
    let answer = line.take_sent();
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{answer:?}");
    line
}

/// A connection on which a session of `version` was made.
fn in_session_of(version: &str) -> TestConnection {
    let mut line = opened();
    line.receive(&text_frame(&initialize(version)));
    let answers = messages(&mut line);
    assert_eq!(answers[0]["result"]["protocolVersion"], version);
    line
}

/// A frame of a client.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(&mut out, Opcode::Binary, payload, Some([1, 2, 3, 4]));
    out[0] = first;
    out
}

pub(super) fn text_frame(message: &str) -> Vec<u8> {
    frame(0x81, message.as_bytes())
}

/// The bytes that the client received.
#[derive(Debug, PartialEq)]
enum Received {
    Message(Value),
    Ping,
    Pong(Vec<u8>),
    Close(u16, String),
}

#[track_caller]
fn received(line: &mut TestConnection) -> Vec<Received> {
    read(line.take_sent())
}

#[track_caller]
fn read(mut sent: Vec<u8>) -> Vec<Received> {
    let (mut framer, mut all) = (Framer::new(Role::Client), Vec::new());
    while !sent.is_empty() {
        let consumed = match framer.step(&mut sent, usize::MAX).expect("no fault") {
            Step::Message {
                kind: Kind::Text,
                payload,
                consumed,
            } => {
                let message = serde_json::from_slice(payload).expect("a message");
                all.push(Received::Message(message));
                consumed
            }
            Step::Ping { payload, consumed } => {
                assert_eq!(payload, b"");
                all.push(Received::Ping);
                consumed
            }
            Step::Pong { payload, consumed } => {
                all.push(Received::Pong(payload.to_vec()));
                consumed
            }
            Step::Close(Close { code, reason }) => {
                all.push(Received::Close(code.unwrap_or(0), reason.to_owned()));
                assert!(sent.len() <= 129, "bytes after the close frame");
                break;
            }
            step => panic!("{step:?}"),
        };
        sent.drain(..consumed);
    }
    all
}

/// The messages that the client received, and nothing else was sent.
#[track_caller]
pub(super) fn messages(line: &mut TestConnection) -> Vec<Value> {
    let take = |received| match received {
        Received::Message(message) => message,
        other => panic!("{other:?}"),
    };
    received(line).into_iter().map(take).collect()
}

#[track_caller]
fn check(line: &mut TestConnection, expected: &[Value]) {
    check_messages(&messages(line), expected);
}

fn echo(id: impl Into<Value>) -> String {
    modern(id, "echo", json!({"message": "m"}))
}

#[test]
fn requests_of_both_eras_are_answered_however_their_bytes_are_split() {
    let session = initialize("2025-11-25").replace("\"id\":1", "\"id\":2");
    let legacy = legacy("3", "echo", json!({"message": "🄍"}));
    let (start, rest) = legacy.split_at(legacy.find('🄍').expect("it is there"));
    let input = [
        handshake("").into_bytes(),
        text_frame(&echo(1)),
        frame(0x89, b"p"),
        text_frame(&session),
        text_frame(&notification("notifications/initialized", json!({}))),
        frame(0x01, &[start.as_bytes(), &rest.as_bytes()[..2]].concat()),
        frame(0x89, b"within"),
        frame(0x00, b""),
        frame(0x80, &rest.as_bytes()[2..]),
        frame(0x8a, b""),
        text_frame(&echo(-4)),
    ]
    .concat();
    for piece in [1, 7, 100, input.len()] {
        let mut line = TestConnection::on(TestEndpoint::new());
        for bytes in input.chunks(piece) {
            line.receive(bytes);
            line.finish_leftover();
        }
        let sent = line.take_sent();
        let frames_at = sent.windows(4).position(|it| it == b"\r\n\r\n");
        let frames_at = frames_at.expect("a head") + 4;
        let mut received = read(sent[frames_at..].to_vec()).into_iter();
        let mut next = || received.next().expect("more");
        assert_eq!(next(), Received::Message(with_trailer(1, text("m"))));
        assert_eq!(next(), Received::Pong(b"p".to_vec()));
        let Received::Message(session) = next() else {
            panic!("no session");
        };
        assert_eq!(session["result"]["protocolVersion"], "2025-11-25");
        assert_eq!(next(), Received::Pong(b"within".to_vec()));
        assert_eq!(next(), Received::Message(result("3", text("🄍"))));
        assert_eq!(next(), Received::Message(with_trailer(-4, text("m"))));
        assert_eq!(received.next(), None);
        assert_eq!(line.connection.phase, Phase::Idle);
        assert_eq!(line.pool.input_bytes, 0);
    }
}

#[test]
fn text_that_is_no_message_is_refused_and_the_connection_goes_on() {
    let mut line = opened();
    for (bad, refusal) in [
        ("garbage", error((), -32700)),
        ("", error((), -32700)),
        ("{}\n", error((), -32600)),
        ("{}{}", error((), -32700)),
        ("[]", error((), -32600)),
        (r#"{"id":7,"method":"ping""#, error(7, -32700)),
    ] {
        line.receive(&text_frame(bad));
        line.receive(&text_frame(&echo(9)));
        check(&mut line, &[refusal, with_trailer(9, text("m"))]);
    }
    assert_eq!(line.connection.phase, Phase::Idle);
}

#[test]
fn many_requests_are_in_flight_and_are_cancelled_by_their_ids() {
    on_executor(async {
        let mut line = in_session_of("2025-11-25");
        let steps = json!({"steps": [1.0], "waits": true});
        line.receive(&text_frame(&legacy("a", "steps", steps)));
        line.receive(&text_frame(&modern("b", "wait", json!({}))));
        line.receive(&text_frame(&echo("c")));
        line.settle().await;
        check(&mut line, &[with_trailer("c", text("m")), progress(1.0)]);
        line.receive(&text_frame(&cancelled("a")));
        line.harness.gate.open();
        line.settle().await;
        check(&mut line, &[with_trailer("b", text("passed"))]);
    });
}

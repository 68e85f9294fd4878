//! Messages of channels that are decoded elsewhere.

use serde_json::{Value, json};

use super::large::{connection, decode, long};
use super::lines::{self, cancelled, check_messages, modern};
use super::test_connection::TestConnection;
use super::websocket;
use crate::connection::http::{Connection, Phase};
use crate::connection::source::Source;
use crate::mcp::tests::test_endpoint::{error, on_executor, text, with_trailer};
use crate::meter::Counter;

/// A framing of channels: lines, or WebSocket.
struct Framed {
    line: TestConnection,
    is_websocket: bool,
}

impl Framed {
    fn over(mut line: TestConnection, is_websocket: bool) -> Framed {
        if is_websocket {
            line.receive(websocket::handshake("").as_bytes());
            line.take_sent();
        } else {
            line.connection = Connection::from(Source::STDIO);
        }
        Framed { line, is_websocket }
    }

    /// Both framings, on shards with so many threads that decode.
    fn all(threads: usize) -> [Framed; 2] {
        [false, true].map(|is_websocket| Framed::over(connection(threads), is_websocket))
    }

    fn bytes(&self, messages: &[&str]) -> Vec<u8> {
        let frame = |message: &&str| match self.is_websocket {
            true => websocket::text_frame(message),
            false => format!("{message}\n").into_bytes(),
        };
        messages.iter().flat_map(frame).collect()
    }

    fn send(&mut self, messages: &[&str]) {
        let bytes = self.bytes(messages);
        self.line.receive(&bytes);
        self.line.finish_leftover();
    }

    #[track_caller]
    fn check(&mut self, expected: &[Value]) {
        let found = match self.is_websocket {
            true => websocket::messages(&mut self.line),
            false => lines::messages(&mut self.line),
        };
        check_messages(&found, expected);
    }
}

fn echo(id: u32, message: &str) -> String {
    modern(id, "echo", json!({ "message": message }))
}

/// A call of "wait" that is decoded elsewhere.
fn long_wait(id: u32) -> String {
    modern(id, "wait", json!({ "filler": long() }))
}

#[test]
fn a_large_message_is_answered_as_a_small_one_and_later_ones_wait_for_it() {
    for piece_bytes in [1, 100, 3000, usize::MAX] {
        for mut framed in Framed::all(1) {
            let all = framed.bytes(&[&echo(1, "a"), &echo(2, &long()), &echo(3, "b")]);
            for piece in all.chunks(piece_bytes) {
                framed.line.receive(piece);
            }
            framed.check(&[with_trailer(1, text("a"))]);
            assert_eq!(framed.line.connection.phase, Phase::DecodingMessage);
            assert!(
                framed.line.pool.input_bytes > long().len(),
                "its bytes count"
            );
            assert!(!decode(&mut framed.line));
            framed.check(&[with_trailer(2, text(&long())), with_trailer(3, text("b"))]);
            assert_eq!(framed.line.pool.input_bytes, 0);
            assert_eq!(framed.line.connection.phase, Phase::Idle);
        }
    }
}

#[test]
fn a_cancellation_does_not_overtake_its_request_and_answers_to_others_do() {
    on_executor(async {
        for mut framed in Framed::all(1) {
            framed.send(&[&modern(1, "wait", json!({}))]);
            framed.send(&[
                &long_wait(2),
                &cancelled(2),
                &echo(3, "m"),
                &echo(4, &long()),
            ]);
            assert!(!decode(&mut framed.line));
            framed.check(&[with_trailer(3, text("m"))]);
            framed.line.harness.gate.open();
            framed.line.settle().await;
            framed.check(&[with_trailer(1, text("passed"))]);
            assert_eq!(framed.line.harness.count(Counter::CallsInFlight), 0);
            assert!(!decode(&mut framed.line));
            framed.check(&[with_trailer(4, text(&long()))]);
        }
    });
}

#[test]
fn the_end_of_input_waits_for_the_message_before_it() {
    for mut framed in Framed::all(1) {
        framed.send(&[&echo(1, &long())]);
        assert!(!framed.line.step(Connection::finished));
        assert!(!framed.line.connection.is_input_over());
        assert!(!decode(&mut framed.line));
        framed.check(&[with_trailer(1, text(&long()))]);
        let over = Phase::Flushing { lingers: false };
        assert_eq!(framed.line.connection.phase, over);
    }
}

#[test]
fn the_refusal_of_a_large_message_has_its_id() {
    let malformed = echo(7, &long()).replace("}}", "}");
    for mut framed in Framed::all(1) {
        framed.send(&[&malformed]);
        assert!(!decode(&mut framed.line));
        framed.check(&[error(7, -32700)]);
    }
    // One message waits for a thread that there is not, and the next is one too many.
    for is_websocket in [false, true] {
        let mut waiting = Framed::over(connection(0), is_websocket);
        waiting.send(&[&echo(1, &long())]);
        let mut other = Framed::over(TestConnection::on(waiting.line.harness), is_websocket);
        other.send(&[&echo(2, &long()), &echo(3, "m")]);
        other.check(&[error(2, -32603), with_trailer(3, text("m"))]);
        assert_eq!(other.line.pool.input_bytes, 0);
    }
}

//! Lines on sockets: clients that no one has started, and that may be no clients.

use serde_json::json;

use super::{check, legacy, messages, modern, opened, send};
use crate::connection::http::{Connection, Phase, RecvMode};
use crate::connection::source::Source;
use crate::connection::tests::test_connection::TestConnection;
use crate::connection::timer::Timer;
use crate::mcp::tests::test_endpoint::{initialize, on_executor, text, with_trailer};
use crate::meter::Counter;
use crate::profile::Binding;

const LINES: Source = Source::new(1, Binding::Lines);

fn accepted() -> TestConnection {
    let mut line = opened();
    line.connection = Connection::from(LINES);
    line
}

fn echo(id: u32) -> String {
    modern(id, "echo", json!({"message": "m"}))
}

#[test]
fn a_client_of_another_protocol_is_recognised_by_its_first_byte_and_gets_no_answer() {
    let inner = format!("POST / HTTP/1.1\r\nHost: h\r\n\r\n{}\n", echo(1));
    for input in [
        inner.as_bytes(),
        b"G",
        b"\r\n \tOPTIONS / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0",
        b"\xef\xbb\xbf{}",
        b"7\n",
    ] {
        for piece_bytes in [1, input.len()] {
            let mut line = accepted();
            for piece in input.chunks(piece_bytes) {
                line.receive(piece);
            }
            assert_eq!(line.connection.phase, Phase::Flushing { lingers: false });
            assert!(line.take_sent().is_empty());
            assert_eq!(line.harness.count(Counter::ConnectionsRefusedProtocol), 1);
        }
    }
}

#[test]
fn white_space_and_faults_behind_the_first_message_are_those_of_any_channel() {
    let mut line = accepted();
    send(&mut line, &["", " \t", &echo(1), "garbage", &echo(2)]);
    let found = messages(&mut line);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[1]["error"]["code"], -32700);
    assert_eq!(line.harness.count(Counter::ConnectionsRefusedProtocol), 0);
    // Only the first byte of the first line matters, even of one that is too long.
    let mut line = accepted();
    line.rules.lines.message_bytes_max = 100;
    for piece in [
        &b"[1,"[..],
        &[b'1'; 200],
        b"2]\nx\n",
        echo(3).as_bytes(),
        b"\n",
    ] {
        line.receive(piece);
    }
    let codes: Vec<_> = messages(&mut line)
        .iter()
        .map(|it| it["error"]["code"].clone())
        .collect();
    assert_eq!(codes, [json!(-32600), json!(-32700), json!(-32600)]);
}

#[test]
fn the_deadline_is_that_of_the_first_message_of_the_rest_of_one_and_of_idle_connections() {
    on_executor(async {
        let mut line = accepted();
        line.connection.reading = RecvMode::Poll;
        assert_eq!(line.connection.timer(), Timer::FirstLine);
        line.receive(b"{");
        assert_eq!(line.connection.timer(), Timer::Body);
        line.receive(b"}\n");
        assert_eq!(line.connection.timer(), Timer::NextLine);
        send(&mut line, &[&modern(1, "wait", json!({}))]);
        assert_eq!(
            line.connection.timer(),
            Timer::None,
            "a request is in flight"
        );
        line.receive(b" ");
        assert_eq!(line.connection.timer(), Timer::Body);
        line.receive(b"\n");
        line.harness.gate.open();
        line.settle().await;
        assert_eq!(line.connection.timer(), Timer::NextLine);
        line.take_sent();
        line.receive(b"{");
        line.step(|connection, context| connection.time_out(false, context));
        let refused = messages(&mut line).remove(0);
        assert_eq!(
            refused["error"]["message"],
            "message took longer than 30000 ms (connection.body_timeout_ms)"
        );
        assert_eq!(line.connection.phase, Phase::Flushing { lingers: false });
    });
}

#[test]
fn a_connection_without_a_session_and_without_a_request_has_no_memory_of_its_own() {
    on_executor(async {
        let mut line = accepted();
        assert!(line.connection.buffers.is_none());
        send(&mut line, &[&echo(1)]);
        check(&mut line, &[with_trailer(1, text("m"))]);
        assert!(line.connection.buffers.is_none(), "it was answered at once");
        send(&mut line, &[&modern(2, "wait", json!({}))]);
        assert!(line.connection.buffers.is_some());
        line.harness.gate.open();
        line.settle().await;
        check(&mut line, &[with_trailer(2, text("passed"))]);
        // As the shard does after each step.
        line.step(Connection::give_back_buffers);
        assert!(line.connection.buffers.is_none(), "it was answered later");
        let half = echo(3);
        let (half, rest) = half.split_at(20);
        line.receive(half.as_bytes());
        assert!(line.connection.buffers.is_some());
        line.receive(format!("{rest}\n").as_bytes());
        check(&mut line, &[with_trailer(3, text("m"))]);
        assert!(line.connection.buffers.is_none(), "it came in two parts");
        send(
            &mut line,
            &[&initialize("2025-11-25"), &legacy(4, "ping", json!({}))],
        );
        assert_eq!(messages(&mut line).len(), 2);
        assert!(line.connection.buffers.is_some(), "it knows its session");
    });
}

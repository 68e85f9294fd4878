//! The ends of connections: close frames of either side, faults, deadlines, drains.

use serde_json::json;

use super::{
    Received, TestConnection, cancelled, check, echo, frame, in_session_of, listen, modern, opened,
    received, text_frame,
};
use crate::connection::http::{Connection, Phase, RecvMode};
use crate::connection::timer::Timer;
use crate::mcp::tests::test_endpoint::{error, on_executor, text, with_trailer};

const LINGERS: Phase = Phase::Flushing { lingers: true };
const ENDS: Phase = Phase::Flushing { lingers: false };

#[track_caller]
fn check_close(line: &mut TestConnection, code: u16, part: &str) {
    let received = received(line);
    let [Received::Close(found, reason)] = &received[..] else {
        panic!("{received:?}");
    };
    assert_eq!(*found, code, "{reason}");
    assert!(reason.contains(part), "{reason}");
}

#[test]
fn a_breach_of_the_protocol_closes_the_connection_with_a_code() {
    for (bytes, code, part) in [
        (frame(0x82, b"{}"), 1003, "send JSON as text"),
        (frame(0x02, b"{"), 1003, "send JSON as text"),
        (frame(0x81, b"\xff"), 1007, "UTF-8"),
        (frame(0xc1, b""), 1002, "reserved bit"),
        (frame(0x83, b""), 1002, "opcode 3"),
        (frame(0x80, b"x"), 1002, "continuation"),
        (frame(0x09, b"x"), 1002, "fragment"),
        (b"\x81\x02{}".to_vec(), 1002, "not masked"),
        (frame(0x88, b"\x03"), 1002, "1 byte"),
        (frame(0x88, b"\x03\xed"), 1002, "1005"),
    ] {
        let mut line = opened();
        line.receive(&text_frame(&echo(1)));
        check(&mut line, &[with_trailer(1, text("m"))]);
        line.receive(&[&bytes[..], &text_frame(&echo(2))].concat());
        check_close(&mut line, code, part);
        assert_eq!(line.connection.phase, LINGERS);
        // Nothing after it has a meaning.
        line.receive(&text_frame(&echo(3)));
        assert!(line.take_sent().is_empty());
        assert_eq!(line.pool.input_bytes, 0);
    }
}

#[test]
fn the_close_frame_of_a_client_is_answered_with_its_code() {
    for (payload, code) in [(&b""[..], 0), (b"\x03\xe8bye", 1000), (b"\x0f\xa0", 4000)] {
        let mut line = opened();
        let close = frame(0x88, payload);
        line.receive(&[&text_frame(&echo(1))[..], &close, &text_frame(&echo(2))].concat());
        let answer = Received::Message(with_trailer(1, text("m")));
        let closed = Received::Close(code, String::new());
        assert_eq!(received(&mut line), [answer, closed]);
        assert_eq!(line.connection.phase, ENDS);
    }
}

#[test]
fn nothing_is_answered_after_the_close_frame_of_either_side() {
    on_executor(async {
        for close in [frame(0x88, b""), frame(0x82, b"")] {
            let mut line = opened();
            line.receive(&text_frame(&modern(1, "wait", json!({}))));
            line.receive(&close);
            received(&mut line);
            line.harness.gate.open();
            line.settle().await;
            assert!(line.take_sent().is_empty());
        }
    });
}

#[test]
fn a_client_that_has_gone_is_not_waited_for() {
    on_executor(async {
        let mut line = opened();
        assert!(line.step(Connection::finished));
        let mut line = opened();
        line.receive(&text_frame(&modern(1, "wait", json!({}))));
        assert!(line.step(Connection::finished));
        // The messages from before are handled.
        let mut line = opened();
        line.requests_per_turn = 1;
        let input = [echo(1), echo(2), echo(3)].map(|message| text_frame(&message));
        line.receive(&input.concat());
        assert!(!line.step(Connection::finished));
        line.finish_leftover();
        let answers = [1, 2, 3].map(|id| with_trailer(id, text("m")));
        check(&mut line, &answers);
        assert_eq!(line.connection.phase, ENDS);
    });
}

#[test]
fn a_drain_answers_what_is_in_flight_and_refuses_the_rest_and_closes() {
    on_executor(async {
        let mut line = in_session_of("2025-11-25");
        line.receive(&text_frame(&modern(1, "wait", json!({}))));
        line.receive(&text_frame(&listen(2)));
        line.settle().await;
        received(&mut line);
        line.harness.endpoint.drain();
        line.step(|connection, context| connection.end_when_answered(context));
        line.receive(&text_frame(&echo(3)));
        line.settle().await;
        let messages: Vec<_> = received(&mut line);
        let refused = Received::Message(error(3, -32603));
        assert_eq!(messages.len(), 3, "{messages:?}");
        let is_refusal = |it: &Received| match (it, &refused) {
            (Received::Message(a), Received::Message(b)) => {
                a["error"]["code"] == b["error"]["code"]
            }
            _ => false,
        };
        assert!(messages.iter().any(is_refusal), "{messages:?}");
        line.harness.gate.open();
        line.settle().await;
        let last = received(&mut line);
        let answer = Received::Message(with_trailer(1, text("passed")));
        let closed = Received::Close(1001, "the server shuts down".to_owned());
        assert_eq!(last, [answer, closed]);
        assert_eq!(line.connection.phase, LINGERS);
    });
}

#[test]
fn a_silent_client_is_sent_a_ping_and_any_byte_of_it_is_a_sign_of_life() {
    let pong = frame(0x8a, b"");
    for sign in [
        &pong[..],
        &pong[..1],
        &text_frame(&cancelled(1)),
        &frame(0x89, b""),
    ] {
        let mut line = opened();
        assert_eq!(line.connection.timer(), Timer::Ping);
        line.step(Connection::ping);
        assert_eq!(received(&mut line), [Received::Ping]);
        assert_eq!(line.connection.timer(), Timer::Pong);
        line.receive(sign);
        assert_ne!(line.connection.timer(), Timer::Pong);
    }
}

#[test]
fn a_connection_has_the_one_deadline_of_its_state() {
    let mut line = opened();
    for (phase, reading, timer) in [
        (Phase::Idle, RecvMode::Poll, Timer::Ping),
        (Phase::Idle, RecvMode::Cancelling, Timer::Ping),
        (Phase::Idle, RecvMode::Multishot, Timer::Quiet),
        (Phase::ReadingMessage, RecvMode::Multishot, Timer::Body),
        (LINGERS, RecvMode::Poll, Timer::Linger),
    ] {
        (line.connection.phase, line.connection.reading) = (phase, reading);
        line.connection.sending_bytes = 0;
        assert_eq!(line.connection.timer(), timer);
        line.connection.sending_bytes = 1;
        assert_eq!(line.connection.timer(), Timer::Write);
    }
}

#[test]
fn a_message_that_takes_too_long_closes_the_connection() {
    for start in [&frame(0x01, b"{")[..], b"\x81", &text_frame("{}")[..7]] {
        let mut line = opened();
        line.receive(start);
        assert_eq!(line.connection.timer(), Timer::Body);
        line.step(|connection, context| connection.time_out(false, context));
        check_close(
            &mut line,
            1008,
            "message took longer than 30000 ms (connection.body_timeout_ms)",
        );
        assert_eq!(line.connection.phase, LINGERS);
    }
}

#[test]
fn a_shard_without_memory_closes_a_connection_with_a_long_message() {
    let mut line = opened();
    line.receive(&frame(0x01, &[b' '; 5000]));
    assert!(line.pool.input_bytes >= 5000);
    line.step(Connection::shed_input);
    check_close(&mut line, 1013, "overloaded");
    assert_eq!(line.pool.input_bytes, 0);
}

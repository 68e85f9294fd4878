//! The ends of connections of lines, and the answers that come before.

use corelane_io::ring::Hangup;
use serde_json::json;

use super::{cancelled, check, in_session_of, legacy, modern, opened, send};
use crate::connection::http::{Connection, Phase, RecvMode};
use crate::connection::source::Source;
use crate::connection::timer::Timer;
use crate::mcp::tests::test_endpoint::{error, on_executor, result, text, with_trailer};

#[test]
fn the_end_of_input_ends_its_last_line_and_waits_for_the_answers() {
    on_executor(async {
        let mut line = in_session_of("2025-11-25");
        line.requests_per_turn = 1;
        let echo = legacy(2, "echo", json!({"message": "m"}));
        line.receive(format!("{}\n{echo}\n{}", legacy(1, "wait", json!({})), echo).as_bytes());
        assert!(!line.step(Connection::finished));
        assert!(!line.connection.is_input_over(), "a request is left over");
        line.finish_leftover();
        assert!(line.connection.is_input_over());
        check(&mut line, &[result(2, text("m")), result(2, text("m"))]);
        line.harness.gate.open();
        line.settle().await;
        check(&mut line, &[result(1, text("passed"))]);
        assert_eq!(line.connection.phase, Phase::Flushing { lingers: false });
    });
}

#[test]
fn requests_behind_the_cancellation_of_the_last_one_in_flight_are_answered() {
    on_executor(async {
        let echo = |id| modern(id, "echo", json!({"message": "m"}));
        let behind = [cancelled(1), echo(2), echo(3)].join("\n") + "\n";
        let answers = [with_trailer(2, text("m")), with_trailer(3, text("m"))];
        for requests_per_turn in [1, 2, 16] {
            let mut line = opened();
            send(&mut line, &[&modern(1, "wait", json!({}))]);
            // Others come first, so that all of it is left over when the input ends.
            line.requests_per_turn = 0;
            line.receive(behind.as_bytes());
            assert!(!line.step(Connection::finished));
            line.requests_per_turn = requests_per_turn;
            line.finish_leftover();
            check(&mut line, &answers);
            assert_eq!(line.connection.phase, Phase::Flushing { lingers: false });
        }
        // The same without an end of input, while the server drains.
        let mut line = opened();
        send(&mut line, &[&modern(1, "wait", json!({}))]);
        line.harness.endpoint.drain();
        line.step(|connection, context| connection.end_when_answered(context));
        line.receive(behind.as_bytes());
        line.finish_leftover();
        check(&mut line, &[error(2, -32603), error(3, -32603)]);
        assert_eq!(line.connection.phase, Phase::Flushing { lingers: false });
    });
}

#[test]
fn the_end_of_input_within_a_message_is_an_error_and_without_one_nothing() {
    for (input, expected) in [
        ("", vec![]),
        ("\r", vec![]),
        (" \n", vec![]),
        ("{\"jsonrpc\":", vec![error((), -32700)]),
    ] {
        let mut line = opened();
        line.receive(input.as_bytes());
        assert!(!line.step(Connection::finished));
        line.finish_leftover();
        check(&mut line, &expected);
        assert_eq!(line.connection.phase, Phase::Flushing { lingers: false });
    }
}

#[test]
fn a_channel_whose_peer_is_gone_is_of_no_use() {
    on_executor(async {
        let mut line = in_session_of("2025-11-25");
        send(&mut line, &[&legacy(1, "wait", json!({}))]);
        line.connection.hangup = Hangup::HalfClosed;
        assert!(!line.step(Connection::finished));
        line.connection.hangup = Hangup::Closed;
        assert!(line.step(Connection::finished));
    });
}

#[test]
fn no_request_is_started_while_the_server_drains() {
    on_executor(async {
        let mut line = in_session_of("2025-11-25");
        send(&mut line, &[&legacy(1, "wait", json!({}))]);
        line.harness.endpoint.drain();
        line.step(|connection, context| connection.end_when_answered(context));
        send(&mut line, &[&legacy(2, "echo", json!({"message": "m"}))]);
        check(&mut line, &[error(2, -32603)]);
        line.harness.gate.open();
        line.settle().await;
        check(&mut line, &[result(1, text("passed"))]);
        assert_eq!(line.connection.phase, Phase::Flushing { lingers: false });
    });
}

#[test]
fn a_batch_is_answered_by_one_line_when_its_last_call_ends() {
    on_executor(async {
        let echo = legacy(1, "echo", json!({"message": "m"}));
        let batch = format!(
            "[{echo},{},{}]",
            legacy(2, "wait", json!({})),
            legacy(3, "wait", json!({}))
        );
        let mut line = in_session_of("2025-03-26");
        send(&mut line, &[&format!("[{echo}]")]);
        check(&mut line, &[json!([result(1, text("m"))])]);
        send(&mut line, &[&batch, &cancelled(3)]);
        line.settle().await;
        check(&mut line, &[]);
        line.harness.gate.open();
        line.settle().await;
        check(
            &mut line,
            &[json!([result(1, text("m")), result(2, text("passed"))])],
        );
        // Other revisions have none, and nor have connections without a session.
        for mut line in [in_session_of("2025-11-25"), opened()] {
            send(&mut line, &[&batch]);
            check(&mut line, &[error((), -32600)]);
        }
    });
}

#[test]
fn standard_input_has_no_deadline_but_for_output_that_its_peer_does_not_take() {
    let mut connection = Connection::from(Source::STDIO);
    for (phase, reading, timer) in [
        (Phase::Idle, RecvMode::Poll, Timer::None),
        (Phase::Idle, RecvMode::Multishot, Timer::Quiet),
        (Phase::ReadingMessage, RecvMode::Multishot, Timer::None),
        (
            Phase::Flushing { lingers: false },
            RecvMode::Poll,
            Timer::Linger,
        ),
    ] {
        (connection.phase, connection.reading) = (phase, reading);
        connection.sending_bytes = 0;
        assert_eq!(connection.timer(), timer);
        connection.sending_bytes = 1;
        assert_eq!(connection.timer(), Timer::Write);
    }
}

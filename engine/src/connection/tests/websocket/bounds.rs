//! The memory and the time that a client can take.

use serde_json::json;

use super::{Received, check, echo, frame, listen, messages, modern, opened, received, text_frame};
use crate::connection::buffers::ConnectionBuffers;
use crate::connection::http::{Connection, Phase};
use crate::mcp::tests::test_endpoint::{error, on_executor, text, with_trailer};
use corelane_io::chunk::LARGE_CHUNK_BYTES;

#[test]
fn a_message_is_held_once_and_only_until_it_is_handled() {
    let padded = |spaces: usize| format!("{}{}", echo(1), " ".repeat(spaces));
    for bytes in [100, 10_000, 60_000] {
        let message = padded(bytes);
        for piece in [1500, message.len() * 2] {
            let mut line = opened();
            let input = text_frame(&message);
            let (last, first) = (input.len() - 1, &input[..input.len() - 1]);
            for part in first.chunks(piece) {
                line.receive(part);
                line.finish_leftover();
            }
            assert!(line.pool.input_bytes >= message.len() - 1);
            assert!(line.pool.input_bytes <= 2 * message.len() + LARGE_CHUNK_BYTES);
            assert_eq!(line.connection.phase, Phase::ReadingMessage);
            line.receive(&input[last..]);
            assert_eq!(line.pool.input_bytes, 0);
            check(&mut line, &[with_trailer(1, text("m"))]);
        }
    }
}

#[test]
fn a_message_past_the_limit_is_refused_before_its_bytes_arrive() {
    let mut line = opened();
    line.rules.websocket.message_bytes_max = 2000;
    line.receive(&text_frame(&" ".repeat(2001))[..8]);
    let closed = received(&mut line);
    let text = "message of more than 2000 bytes exceeds limit of 2000";
    assert_eq!(closed, [Received::Close(1009, text.to_owned())]);
    let mut line = opened();
    line.rules.websocket.message_bytes_max = 2000;
    line.receive(&frame(0x01, &[b' '; 1500]));
    for _ in 0..5 {
        line.receive(&frame(0x00, &[b' '; 100]));
    }
    line.receive(&frame(0x00, b" "));
    assert!(matches!(
        received(&mut line)[..],
        [Received::Close(1009, _)]
    ));
    assert_eq!(line.pool.input_bytes, 0);
}

#[test]
fn frames_past_the_budget_of_a_turn_are_handled_in_a_later_one() {
    for flood in [frame(0x89, b"p"), text_frame(&echo(1)), text_frame("")] {
        let mut line = opened();
        line.requests_per_turn = 2;
        line.receive(&flood.repeat(7));
        assert_eq!(received(&mut line).len(), 2);
        assert_eq!(line.finish_leftover(), 3);
        assert_eq!(received(&mut line).len(), 5);
        assert_eq!(line.connection.phase, Phase::Idle);
    }
    // Fragments cost as much.
    let mut line = opened();
    line.requests_per_turn = 2;
    let fragments = [
        frame(0x01, b""),
        frame(0x00, b"").repeat(5),
        frame(0x80, b"{}"),
    ];
    line.receive(&fragments.concat());
    assert_eq!(line.finish_leftover(), 3);
    check(&mut line, &[error((), -32600)]);
    // A message that the budget cut off is awaited.
    let mut line = opened();
    line.requests_per_turn = 1;
    line.receive(&frame(0x01, b"{"));
    assert_eq!(line.connection.phase, Phase::ReadingMessage);
    assert!(!line.connection.has_requests_left_over());
}

#[test]
fn nothing_is_read_for_a_client_that_does_not_read() {
    let mut line = opened();
    line.rules.connection.output_bytes_max = 1000;
    line.takes_output = false;
    let mut pings = 0;
    while !line.step(Connection::pause_if_full) {
        line.receive(&frame(0x89, &[b'p'; 100]));
        pings += 1;
        assert!(pings < 1000, "nothing stops the flood");
    }
    line.take_output();
    line.finish_leftover();
    line.take_output();
    assert_eq!(received(&mut line).len(), pings);
}

#[test]
fn requests_in_flight_are_bounded_and_name_the_knob() {
    on_executor(async {
        let mut line = opened();
        line.rules.websocket.in_flight_max = 2;
        for message in [listen(1), modern(2, "wait", json!({})), echo(3)] {
            line.receive(&text_frame(&message));
        }
        let refused = messages(&mut line);
        assert_eq!(refused[0]["id"], 3);
        let text = refused[0]["error"]["message"].to_string();
        assert!(text.contains("(websocket.in_flight_max)"), "{text}");
    });
}

#[test]
fn an_idle_connection_holds_its_buffers_and_nothing_else() {
    let mut line = opened();
    line.receive(&text_frame(&echo(1)));
    messages(&mut line);
    let buffers = line.connection.buffers.as_ref();
    assert!(buffers.is_some_and(|it| it.input.is_none() && it.output.is_none()));
    assert!(size_of::<ConnectionBuffers>() <= 224);
}

//! The memory that a connection may hold, and how reading stops and continues.

use serde_json::json;

use super::test_connection::{TestConnection, call, call_legacy, echo, post, texts};
use crate::connection::http::{Connection, Phase};
use crate::mcp::Disposition;
use crate::mcp::tests::test_endpoint::{initialize, on_executor, request, result, session_header};
use corelane_io::chunk::Chunk;

#[test]
fn reading_stops_behind_a_bound_of_pipelined_bytes_and_goes_on_after() {
    on_executor(async {
        let mut line = TestConnection::new();
        let next = echo("next");
        line.rules.connection.pipelined_bytes_max = 2 * next.len();
        line.receive(call("", "wait", json!({})).as_bytes());
        for is_full in [false, true, true] {
            line.receive(next.as_bytes());
            assert_eq!(line.connection.is_full(&line.rules.connection), is_full);
            assert_eq!(line.step(Connection::pause_if_full), is_full);
            assert!(!line.step(Connection::resume_reading));
        }
        line.harness.gate.open();
        line.settle().await;
        assert_eq!(texts(&line.responses()), ["passed", "next", "next", "next"]);
        // Data may wait in the socket, so the connection remembers that it stopped.
        assert!(!line.owns_nothing());
        assert!(line.step(Connection::resume_reading));
        assert!(!line.step(Connection::resume_reading));
        assert!(line.owns_nothing());
    });
}

#[test]
fn left_over_requests_count_as_pipelined_bytes() {
    let mut line = TestConnection::new();
    let row = echo("m").repeat(5);
    line.requests_per_turn = 1;
    line.rules.connection.pipelined_bytes_max = row.len() / 2;
    line.receive(row.as_bytes());
    assert!(line.step(Connection::pause_if_full));
    let mut turns = 0;
    while !line.step(Connection::resume_reading) {
        line.step(Connection::resume);
        turns += 1;
    }
    assert_eq!(turns, 2);
    line.finish_leftover();
    assert_eq!(line.responses().len(), 5);
    assert!(line.owns_nothing());
}

#[test]
fn requests_past_the_budget_of_a_turn_are_handled_in_a_later_one() {
    let request = echo("m");
    for cut in [0, 1, 40, request.len() - 1] {
        let mut line = TestConnection::new();
        let (begun, rest) = request.split_at(cut);
        line.receive(begun.as_bytes());
        line.requests_per_turn = 0;
        line.receive(rest.as_bytes());
        // The end of the peer comes after its bytes.
        line.step(Connection::finished);
        assert!(line.take_sent().is_empty(), "cut at {cut}");
        assert!(line.connection.takes_turn(&line.rules.connection));
        assert!(line.step(Connection::pause_if_busy));
        line.requests_per_turn = 1;
        line.connection.begin_turn();
        assert_eq!(line.finish_leftover(), 1, "cut at {cut}");
        assert_eq!(texts(&line.responses()), ["m"]);
        let is_over = line.connection.phase == Phase::Flushing { lingers: false };
        assert!(is_over, "cut at {cut}");
    }
}

#[test]
fn a_connection_that_waits_for_a_turn_takes_none_before_others() {
    let mut line = TestConnection::new();
    line.requests_per_turn = 1;
    line.receive(echo("1").repeat(2).as_bytes());
    assert!(line.connection.takes_turn(&line.rules.connection));
    line.receive(echo("1").as_bytes());
    assert_eq!(line.responses().len(), 1);
    line.connection.begin_turn();
    assert_eq!(line.finish_leftover(), 2);
    assert_eq!(line.responses().len(), 2);
}

#[test]
fn a_partial_request_is_bounded_by_its_framing_alone() {
    let mut line = TestConnection::new();
    line.rules.connection.pipelined_bytes_max = 10;
    let request = echo(&"x".repeat(5000));
    let (begun, rest) = request.split_at(4000);
    line.receive(begun.as_bytes());
    assert_eq!(line.connection.phase, Phase::ReadingBody);
    assert!(!line.step(Connection::pause_if_full));
    line.receive(rest.as_bytes());
    assert_eq!(line.responses().len(), 1);
}

#[test]
fn reading_stops_while_the_peer_takes_no_output() {
    let mut line = TestConnection::new();
    line.rules.connection.output_bytes_max = 20;
    line.connection.sending_bytes = 2;
    for (bytes, is_full) in [(10, false), (7, false), (1, true)] {
        let chunk = Chunk::from(vec![b'x'; bytes]);
        line.step(|connection, context| connection.queue_output(chunk, context));
        assert_eq!(
            line.connection.has_much_output(&line.rules.connection),
            is_full
        );
        assert_eq!(line.step(Connection::pause_if_full), is_full);
    }
    let output = line.connection.buffers.as_mut().unwrap().output.take();
    assert_eq!(output.unwrap().len(), 18);
    assert!(line.step(Connection::resume_reading));
    assert!(line.owns_nothing());
}

#[test]
fn a_later_answer_starts_the_next_request_only_while_output_has_room() {
    on_executor(async {
        let mut line = TestConnection::new();
        line.harness.gate.open();
        line.takes_output = false;
        // The first answer alone is as much as the peer may have unsent.
        line.rules.connection.output_bytes_max = 100;
        let waits = call("", "wait", json!({})).repeat(5);
        line.receive(waits.as_bytes());
        for started in 1..=5 {
            line.settle().await;
            assert_eq!(line.harness.gate.entered(), started);
            // A turn changes nothing while the peer takes nothing.
            line.step(Connection::resume);
            line.settle().await;
            assert_eq!(line.harness.gate.entered(), started);
            line.take_output();
            assert_eq!(texts(&line.responses()), ["passed"]);
            line.step(Connection::resume);
        }
        assert!(!line.connection.has_requests_left_over());
    });
}

#[test]
fn a_part_of_a_request_waits_for_room_and_is_finished_then() {
    let framed = |text: &str| format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
    let plain = echo("next");
    let (head, body) = plain.split_once("\r\n\r\n").expect("a head and a body");
    let head = head
        .split("Content-Length")
        .next()
        .expect("a part before it");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", framed(body));
    for next in [plain, chunked] {
        for cut in [1, 30, next.len() - 20, next.len() - 1] {
            let mut line = TestConnection::new();
            line.rules.connection.output_bytes_max = 100;
            line.receive(&next.as_bytes()[..cut]);
            line.connection.sending_bytes = 100;
            line.receive(&next.as_bytes()[cut..]);
            assert!(line.take_sent().is_empty(), "cut at {cut}");
            line.take_output();
            assert!(line.connection.has_requests_left_over(), "cut at {cut}");
            line.finish_leftover();
            assert_eq!(texts(&line.responses()), ["next"], "cut at {cut}");
            assert!(line.owns_nothing());
        }
    }
}

#[test]
fn requests_are_refused_while_the_shard_has_too_much_unsent_output() {
    let mut line = TestConnection::new();
    let limit = line.rules.connection.output_bytes_per_shard_max;
    for (shard_output_bytes, status) in [(limit - 1, 200), (limit, 503), (0, 200)] {
        line.pool.output_bytes = shard_output_bytes;
        line.receive(echo("next").as_bytes());
        let response = line.response();
        assert_eq!(response.status, status, "{shard_output_bytes}");
        let retry_after = (status == 503).then_some("1");
        assert_eq!(response.field("retry-after"), retry_after);
    }
    assert!(line.owns_nothing());
}

#[test]
fn memory_goes_back_and_forth_and_is_not_lost() {
    on_executor(async {
        let mut line = TestConnection::new();
        line.harness.gate.open();
        let session = line.harness.session();
        let wait = call_legacy(&session, "wait", json!({}));
        let mut free_bytes = None;
        for _ in 0..10 {
            line.receive(&wait.as_bytes()[..30]);
            line.receive(&wait.as_bytes()[30..]);
            line.receive(echo("next").as_bytes());
            line.settle().await;
            assert_eq!(line.responses().len(), 2);
            assert!(line.owns_nothing());
            assert_eq!(line.pool.spare.len(), 1);
            let free = line.pool.chunks.free_bytes();
            assert_eq!(*free_bytes.get_or_insert(free), free);
        }
    });
}

#[test]
fn responses_to_a_batch_are_no_reason_to_give_its_client_up() {
    on_executor(async {
        let mut line = TestConnection::new();
        line.rules.connection.output_bytes_max = 20;
        let handshake = line.harness.post("", &initialize("2025-03-26"));
        let Disposition::Answer { session, .. } = handshake.disposition else {
            panic!(
                "initialize is answered at once: {:?}",
                handshake.disposition
            );
        };
        let session = session_header(session.expect("a session").id);
        let params = json!({ "name": "wait", "arguments": {} });
        let wait = request(1, "tools/call", params);
        let ping = request(2, "ping", json!({}));
        line.receive(post(&session, &format!("[{wait},{ping}]")).as_bytes());
        line.settle().await;
        let pong = result(2, json!({})).to_string().len();
        for (bytes, is_given_up) in [(pong + 39, false), (1, true)] {
            let chunk = Chunk::from(vec![b'x'; bytes]);
            line.step(|connection, context| connection.queue_output(chunk, context));
            let profile = &line.rules.connection;
            assert_eq!(line.connection.has_twice_the_output(profile), is_given_up);
        }
        line.harness.gate.open();
        line.settle().await;
        // An answered request has no more effect on the limit.
        assert!(line.connection.has_twice_the_output(&line.rules.connection));
    });
}

//! Requests with bodies that are decoded elsewhere.

use serde_json::json;

use super::test_connection::{TestConnection, call, call_legacy, echo, post, text_of, texts};
use crate::connection::http::{Connection, Phase};
use crate::handler::offload::PoolThreads;
use crate::mcp::tests::test_endpoint::{TestEndpoint, on_executor};

/// Bytes past which a body is decoded elsewhere.
const INLINE_BYTES_MAX: usize = 1000;

/// A connection of a shard with a pool of `decode` threads for decoding.
pub(super) fn connection(decode: usize) -> TestConnection {
    let threads = PoolThreads {
        decode,
        ..PoolThreads::NONE
    };
    TestConnection::on(TestEndpoint::with_pool(threads, |settings| {
        settings.inline_bytes_max = INLINE_BYTES_MAX;
    }))
}

/// Decodes the next body, and lets the connection continue; returns whether it has no further use.
pub(super) fn decode(connection: &mut TestConnection) -> bool {
    let decoded = connection.harness.next_decoded();
    connection.pool.input_bytes -= decoded.held_bytes;
    assert!(
        connection
            .connection
            .awaits_decoded(decoded.exchange.sequence)
    );
    connection.step(|it, context| it.on_decoded(decoded, context))
}

pub(super) fn long() -> String {
    "a\u{e9}\n".repeat(1000)
}

#[test]
fn a_large_message_is_answered_as_a_small_one() {
    let mut connection = connection(1);
    for (message, is_large) in [("x".to_owned(), false), (long(), true)] {
        connection.receive(echo(&message).as_bytes());
        assert_eq!(connection.connection.phase == Phase::Waiting, is_large);
        if is_large {
            assert!(connection.take_sent().is_empty());
            assert!(
                connection.pool.input_bytes > message.len(),
                "its bytes count"
            );
            assert!(!decode(&mut connection));
        }
        assert_eq!(text_of(&connection.response()), message);
        assert_eq!(connection.pool.input_bytes, 0);
        assert!(connection.owns_nothing());
    }
}

#[test]
fn however_a_large_message_arrives_it_is_the_same() {
    let message = long();
    let whole = echo(&message);
    let (head, body) = whole.split_once("\r\n\r\n").expect("a head and a body");
    let head = head.rsplit_once("\r\n").expect("the length is last").0;
    let (one, other) = body.as_bytes().split_at(777);
    let mut chunked = format!("{head}\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for part in [one, other] {
        chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        chunked.extend_from_slice(part);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let after_an_empty_line = format!("\r\n{whole}").into_bytes();
    for bytes in [whole.into_bytes(), chunked, after_an_empty_line] {
        for piece_bytes in [1, 100, 1000, bytes.len()] {
            let mut connection = connection(1);
            for piece in bytes.chunks(piece_bytes) {
                connection.receive(piece);
            }
            decode(&mut connection);
            assert_eq!(text_of(&connection.response()), message);
            assert_eq!(connection.pool.input_bytes, 0);
        }
    }
}

#[test]
fn requests_of_one_connection_are_answered_in_order() {
    let mut connection = connection(1);
    let message = long();
    let requests = [
        echo("1"),
        echo(&message),
        echo("2"),
        echo(&message),
        echo("3"),
    ];
    connection.receive(requests.concat().as_bytes());
    decode(&mut connection);
    decode(&mut connection);
    let responses = connection.responses();
    assert_eq!(texts(&responses), ["1", &message, "2", &message, "3"]);
    assert_eq!(connection.pool.input_bytes, 0);
}

#[test]
fn an_invalid_message_is_refused_and_the_connection_lives() {
    let mut connection = connection(1);
    for body in [
        " ".repeat(2000),
        format!("[{}", "1,".repeat(2000)),
        "x".repeat(2000),
    ] {
        connection.receive(post("", &body).as_bytes());
        assert!(!decode(&mut connection));
        let response = connection.response();
        assert_eq!(response.status, 400);
        assert_eq!(response.message()["error"]["code"], -32700);
    }
    connection.receive(echo("x").as_bytes());
    assert_eq!(text_of(&connection.response()), "x");
}

#[test]
fn past_the_queue_of_the_pool_a_large_message_is_refused_and_a_small_one_is_not() {
    // No body is ever decoded: one message waits for a thread, and the next is refused.
    let mut waiting = connection(0);
    waiting.receive(echo(&long()).as_bytes());
    let mut other = TestConnection::on(waiting.harness);
    other.receive([echo(&long()), echo("x")].concat().as_bytes());
    other.finish_leftover();
    let responses = other.responses();
    assert_eq!(responses[0].status, 503);
    let error = &responses[0].message()["error"];
    let text = error["message"].as_str().expect("a text");
    assert_eq!(
        text,
        "overloaded: too many large messages wait to be decoded (offload.queue_max); try again \
         later"
    );
    assert_eq!(text_of(&responses[1]), "x");
    assert_eq!(other.pool.input_bytes, 0);
}

#[test]
fn a_peer_that_sends_no_more_gets_its_answer_if_it_is_there_at_once() {
    let mut connection = connection(1);
    let message = long();
    connection.receive(echo(&message).as_bytes());
    assert!(!connection.step(Connection::finished));
    assert!(!decode(&mut connection));
    assert_eq!(text_of(&connection.response()), message);
    assert_eq!(
        connection.connection.phase,
        Phase::Flushing { lingers: false }
    );
}

#[test]
fn a_call_that_waits_ends_with_a_modern_peer_that_left_while_it_was_decoded() {
    on_executor(async {
        let mut connection = connection(1);
        let arguments = json!({"filler": long()});
        connection.receive(call("", "wait", arguments.clone()).as_bytes());
        assert!(!connection.step(Connection::finished));
        assert!(decode(&mut connection), "its call is of no use");

        let mut connection = self::connection(1);
        let session = connection.harness.session();
        connection.receive(call_legacy(&session, "wait", arguments).as_bytes());
        assert!(!connection.step(Connection::finished));
        assert!(!decode(&mut connection), "a legacy call goes on");
        assert_eq!(connection.connection.phase, Phase::Waiting);
    });
}

#[test]
fn the_answer_to_a_message_that_was_decoded_while_draining_is_the_last() {
    let mut connection = connection(1);
    connection.receive(echo(&long()).as_bytes());
    connection.is_draining = true;
    assert!(!decode(&mut connection));
    let response = connection.response();
    assert_eq!(response.field("connection"), Some("close"));
    assert_eq!(
        connection.connection.phase,
        Phase::Flushing { lingers: true }
    );
}

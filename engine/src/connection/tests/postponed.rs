//! Requests that wait for the address of their peer.

use serde_json::json;

use super::test_connection::{TestConnection, call, echo, post, text_of};
use crate::connection::http::{Connection, Phase};
use crate::guard::holder::HolderKey;
use crate::handler::offload::PoolThreads;
use crate::mcp::tests::test_endpoint::{TestEndpoint, initialize, on_executor};

/// The look-up of the peer is over; returns whether the connection is of no use then.
fn peer_known(line: &mut TestConnection) -> bool {
    let (_, request) = line.effects.postponed.pop().expect("a request waits");
    line.peer = Some(HolderKey::ANONYMOUS);
    let is_of_no_use = line.step(|connection, context| connection.go_on(request, context));
    line.peer = None;
    is_of_no_use
}

/// A connection with an unknown peer.
fn unknown() -> TestConnection {
    let mut line = TestConnection::new();
    line.peer = None;
    line
}

#[test]
fn a_plain_request_does_not_wait() {
    let mut line = unknown();
    line.receive(echo("plain").as_bytes());
    assert!(line.effects.postponed.is_empty());
    assert_eq!(text_of(&line.responses()[0]), "plain");
}

#[test]
fn requests_behind_a_waiting_handshake_keep_their_order() {
    let handshake = post("", &initialize("2025-11-25"));
    let pipelined = [handshake.clone(), echo("next"), handshake, echo("last")].concat();
    for cut in [1, 10, pipelined.len() / 2, pipelined.len() - 1] {
        let mut line = unknown();
        line.receive(&pipelined.as_bytes()[..cut]);
        line.receive(&pipelined.as_bytes()[cut..]);
        assert_eq!(line.connection.phase, Phase::Waiting);
        assert!(line.responses().is_empty(), "cut at {cut}");
        while !line.effects.postponed.is_empty() {
            assert!(!peer_known(&mut line));
        }
        let responses = line.responses();
        let sessions: Vec<bool> = responses
            .iter()
            .map(|it| it.field("mcp-session-id").is_some())
            .collect();
        assert_eq!(sessions, [true, false, true, false], "cut at {cut}");
        assert_eq!(text_of(&responses[1]), "next");
        assert_eq!(text_of(&responses[3]), "last");
        assert!(line.owns_nothing());
    }
}

#[test]
fn a_request_in_chunks_waits_like_any_other() {
    let body = initialize("2025-11-25");
    let (first, rest) = body.split_at(7);
    let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Accept: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = |part: &str| format!("{:x}\r\n{part}\r\n", part.len());
    let request = [head, &chunk(first), &chunk(rest), "0\r\n\r\n"].concat();
    let mut line = unknown();
    line.receive(request.as_bytes());
    line.receive(echo("next").as_bytes());
    assert!(!peer_known(&mut line));
    let responses = line.responses();
    assert_eq!(
        responses[0].message()["result"]["protocolVersion"],
        json!("2025-11-25")
    );
    assert_eq!(text_of(&responses[1]), "next");
}

#[test]
fn a_client_that_half_closes_meanwhile_is_answered() {
    let mut line = unknown();
    line.receive(post("", &initialize("2025-11-25")).as_bytes());
    assert!(!line.step(Connection::finished));
    assert!(!peer_known(&mut line));
    assert_eq!(line.responses().len(), 1);
    assert_eq!(line.connection.phase, Phase::Flushing { lingers: false });
}

#[test]
fn a_large_request_waits_for_its_peer_once_it_is_decoded_and_is_handled_once() {
    let threads = PoolThreads {
        decode: 1,
        ..PoolThreads::NONE
    };
    let harness = TestEndpoint::with_pool(threads, |settings| settings.inline_bytes_max = 100);
    let mut line = TestConnection::on(harness);
    line.peer = None;
    let handshake = post("", &initialize("2025-11-25"));
    line.receive([handshake, echo("next")].concat().as_bytes());
    let decoded = line.harness.next_decoded();
    line.pool.input_bytes -= decoded.held_bytes;
    assert!(!line.step(|connection, context| connection.on_decoded(decoded, context)));
    assert_eq!(line.connection.phase, Phase::Waiting);
    assert!(line.responses().is_empty());
    assert!(!peer_known(&mut line));
    let decoded = line.harness.next_decoded();
    line.pool.input_bytes -= decoded.held_bytes;
    assert!(!line.step(|connection, context| connection.on_decoded(decoded, context)));
    assert!(!peer_known(&mut line));
    let responses = line.responses();
    assert!(responses[0].field("mcp-session-id").is_some());
    assert_eq!(text_of(&responses[1]), "next");
    assert_eq!((line.pool.input_bytes, line.owns_nothing()), (0, true));
}

#[test]
fn a_call_that_waits_ends_with_a_modern_peer_that_left_before_it_was_known() {
    on_executor(async {
        let mut line = unknown();
        // So many values are counted in the share of their client.
        let arguments = json!({"filler": vec![0; 10_001]});
        line.receive(call("", "wait", arguments).as_bytes());
        assert!(!line.effects.postponed.is_empty());
        assert!(!line.step(Connection::finished));
        assert!(peer_known(&mut line), "its call is of no use");
    });
}

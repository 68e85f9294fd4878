//! Streams for the messages of a session.

use serde_json::{Value, json};

use super::response::{Body, Item};
use super::test_connection::{TestConnection, echo, text_of};
use crate::connection::http::{Connection, Phase};
use crate::mcp::SessionId;
use crate::mcp::tests::test_endpoint::{TestEndpoint, progress, session_header};
use crate::mcp::{Exchange, Part, StreamOf, StreamOwner};
use crate::meter::Counter;

fn open(session: &str) -> String {
    format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{session}\r\n")
}

/// A stream that was just opened and its session.
fn opened() -> (TestConnection, SessionId) {
    let mut line = TestConnection::new();
    let id = line.harness.session_id();
    line.receive(open(&session_header(id)).as_bytes());
    assert_eq!(line.connection.phase, Phase::Streaming);
    assert_eq!(line.harness.count(Counter::StreamsOpen), 1);
    (line, id)
}

#[test]
fn a_byte_of_the_body_goes_with_the_head_of_a_stream() {
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        let mut line = TestConnection::new();
        let request = open(&line.harness.session()).replace("HTTP/1.1", version);
        line.receive(request.as_bytes());
        let body = Body::Stream(vec![Item::Comment], false);
        assert_eq!(line.response().body, body, "{version}");
    }
}

/// The resource `at`, as one of many that have changed.
fn change(at: u64) -> (Value, Part) {
    let uri = format!("a:{at}");
    let value = json!({"method": "notifications/resources/updated", "params": {"uri": uri}});
    let message = value.to_string().into_bytes();
    (value, Part::Change { id: None, message })
}

/// A stream with a peer that has stopped reading after one event.
fn stopped() -> (TestConnection, SessionId) {
    let (mut line, id) = opened();
    line.takes_output = false;
    let message = progress(1.0).to_string().into_bytes();
    line.step(|it, context| it.deliver(Part::Event { id: None, message }, context));
    assert!(line.connection.is_sending());
    (line, id)
}

#[test]
fn a_peer_that_reads_slowly_gets_each_change_once_after_it_has_read() {
    let (mut line, _) = stopped();
    let held_bytes = line.connection.held_output_bytes();
    for at in [1, 2, 1, 1, 3, 2] {
        line.step(|it, context| it.deliver(change(at).1, context));
    }
    assert_eq!(line.connection.held_output_bytes(), held_bytes);
    line.take_output();
    line.step(Connection::release_changes);
    line.take_output();
    // In the order in which each of them came last.
    let changes = [1, 3, 2].map(|at| Item::Event(change(at).0));
    let mut items = vec![Item::Comment, Item::Event(progress(1.0))];
    items.extend(changes);
    assert_eq!(line.response().body, Body::Stream(items, false));
    assert!(!line.connection.holds_changes());
}

#[test]
fn a_change_comes_at_once_to_a_peer_that_reads() {
    let (mut line, _) = opened();
    for _ in 0..2 {
        line.step(|it, context| it.deliver(change(1).1, context));
    }
    let (first, second) = (Item::Event(change(1).0), Item::Event(change(1).0));
    let items = vec![Item::Comment, first, second];
    assert_eq!(line.response().body, Body::Stream(items, false));
}

#[test]
fn waiting_changes_come_before_later_output() {
    let (mut line, id) = stopped();
    line.step(|it, context| it.deliver(change(1).1, context));
    let message = progress(2.0).to_string().into_bytes();
    line.step(|it, context| it.deliver(Part::Event { id: None, message }, context));
    line.step(|it, context| it.deliver(change(2).1, context));
    // The session ends, and its stream with it.
    line.harness.send("DELETE", &session_header(id));
    deliver_all(&mut line);
    line.take_output();
    let items = vec![
        Item::Comment,
        Item::Event(progress(1.0)),
        Item::Event(change(1).0),
        Item::Event(progress(2.0)),
        Item::Event(change(2).0),
    ];
    assert_eq!(line.response().body, Body::Stream(items, true));
}

#[test]
fn more_changes_than_any_client_subscribes_to_wait_as_other_output() {
    let (mut line, _) = stopped();
    let held_bytes = line.connection.held_output_bytes();
    let mut held_max = 0;
    for at in 0..1000 {
        line.step(|it, context| it.deliver(change(at).1, context));
        let buffers = line.connection.buffers.as_ref().expect("output waits");
        held_max = held_max.max(buffers.changes.len());
    }
    assert!(held_max <= 128, "{held_max} changes are held");
    assert!(line.connection.held_output_bytes() > held_bytes);
}

fn of(session: SessionId) -> StreamOf {
    StreamOf {
        session,
        ends_with_answer: false,
    }
}

fn deliver_all(line: &mut TestConnection) {
    for (exchange, part) in line.harness.deliveries() {
        line.deliver(exchange, part);
    }
}

#[test]
fn a_stream_is_open_until_its_session_ends() {
    let (mut line, id) = opened();
    line.step(|connection, context| {
        let message = progress(1.0).to_string().into_bytes();
        connection.deliver(Part::Event { id: None, message }, context);
    });
    line.step(Connection::keep_alive);
    // Bytes that the client sends meanwhile wait.
    line.receive(echo("next").as_bytes());
    line.harness.send("DELETE", &session_header(id));
    deliver_all(&mut line);
    let responses = line.responses();
    let items = vec![Item::Comment, Item::Event(progress(1.0)), Item::Comment];
    assert_eq!(responses[0].body, Body::Stream(items, true));
    assert_eq!(text_of(&responses[1]), "next");
    assert_eq!(line.harness.count(Counter::StreamsOpen), 0);
    assert!(line.owns_nothing());
}

#[test]
fn a_stream_ends_when_its_shard_drains() {
    let (mut line, _) = opened();
    line.step(Connection::end_after_answer);
    assert_eq!(
        line.response().body,
        Body::Stream(vec![Item::Comment], true)
    );
    assert_eq!(line.connection.phase, Phase::Flushing { lingers: false });
    assert_eq!(line.harness.count(Counter::StreamsOpen), 0);
}

#[test]
fn a_stream_whose_client_sends_no_more_is_over() {
    let (mut line, id) = opened();
    assert!(line.step(Connection::finished));
    let waiting = line.connection.buffers.as_ref().unwrap().waiting();
    assert_eq!(waiting.unwrap().stream, Some(StreamOwner::Session(of(id))));
}

#[test]
fn a_stream_of_another_shard_opens_when_its_home_says_so() {
    let mut line = TestConnection::on(TestEndpoint::with(|settings| settings.shards = 2));
    let id = SessionId { home: 1, random: 1 };
    line.receive(open(&session_header(id)).as_bytes());
    assert_eq!(line.connection.phase, Phase::Waiting);
    // It is not a call, for any delay of its home: it opens or is refused with a status.
    line.step(Connection::begin_slow_answer);
    assert!(line.take_sent().is_empty());
    assert_eq!(line.harness.count(Counter::StreamsOpen), 0);
    let exchange: Exchange = line.effects.forwards.pop().unwrap().1.exchange;
    assert!(line.deliver(exchange, Part::StreamOpen(StreamOwner::Session(of(id)))));
    assert_eq!(line.connection.phase, Phase::Streaming);
    assert_eq!(line.harness.count(Counter::StreamsOpen), 1);
    assert!(line.deliver(exchange, Part::StreamEnd));
    assert_eq!(
        line.response().body,
        Body::Stream(vec![Item::Comment], true)
    );
    assert_eq!(line.harness.count(Counter::StreamsOpen), 0);
    assert!(!line.deliver(exchange, Part::StreamEnd));
}

#[test]
fn a_stream_of_http_1_0_has_no_chunks() {
    let mut line = TestConnection::new();
    let session = line.harness.session();
    line.receive(open(&session).replace("HTTP/1.1", "HTTP/1.0").as_bytes());
    line.step(Connection::keep_alive);
    line.harness.send("DELETE", &session);
    deliver_all(&mut line);
    let response = line.response();
    assert_eq!(response.field("transfer-encoding"), None);
    let items = vec![Item::Comment, Item::Comment];
    assert_eq!(response.body, Body::Stream(items, false));
    assert_eq!(line.connection.phase, Phase::Flushing { lingers: false });
}

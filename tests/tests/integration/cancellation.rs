//! Cancellation of a call: the events that stop it, those that do not, and the silence afterwards.
//!
//! MCP 2025-11-25 basic/utilities/cancellation and basic/transports: a notification cancels, a lost
//! connection does not. MCP 2026-07-28 basic/patterns/cancellation and
//! basic/transports/streamable-http: closing the stream cancels, a notification does not.

use corelane_tests::{Connection, EventStream, Item, Request, Session};
use serde_json::{Value, json};

use crate::fixture::Fixture;

fn hold(label: &str, talks: bool) -> Value {
    json!({ "name": "hold", "arguments": { "label": label, "talks": talks } })
}

/// A call of a session that reports progress until the gate is open.
fn talk(session: &Session, label: &str) -> Request {
    session
        .request(label, "tools/call", hold(label, true))
        .meta("progressToken", label)
}

fn cancel(connection: &mut Connection, request: &Request) {
    let response = connection.exchange(request);
    let said = (response.status(), response.body.len());
    assert_eq!(said, (202, 0), "{response:?}");
}

/// Reads to the end of a stream, which has progress of `token` and nothing else.
fn rest_of_progress(mut stream: EventStream, token: &str) -> Connection {
    loop {
        match stream.next_item() {
            Item::Message(message) => {
                assert_eq!(message["method"], "notifications/progress", "{message}");
                assert_eq!(message["params"]["progressToken"], token, "{message}");
            }
            Item::Comment(_) => {}
            Item::End => return stream.expect_end(),
        }
    }
}

/// A cancelled call stops, for any shards of the call and the cancellation. Its stream ends without
/// an answer, and no later message on the connection or another stream is about it.
#[test]
fn a_cancelled_call_stops_and_is_never_heard_of_again() {
    let server = Fixture::start(2);
    let mut all = server.on_each_shard();
    let sessions: Vec<Session> = all.iter().map(|(_, session)| session.clone()).collect();
    for (at, session) in sessions.iter().enumerate() {
        for (through, (canceller, _)) in all.iter_mut().enumerate() {
            let label = format!("home {at} through {through}");
            let mut other = server.stream(&talk(session, "other"));
            let mut stream = server.stream(&talk(session, &label));
            stream.next_message();
            let id = stream.last_id().expect("an event with an id").to_owned();
            server.wait_for_inside(&[&label, "other"]);
            cancel(canceller, &session.cancelled(label.as_str()));
            server.wait_for_inside(&["other"]);
            // Messages from before may still arrive; an answer may not.
            let mut connection = rest_of_progress(stream, &label);
            let ping = connection.exchange(&session.request(9, "ping", Value::Null));
            assert_eq!(ping.json()["id"], 9, "{ping:?}");
            let resumed = connection.exchange(&session.stream_after(&id));
            assert_eq!(resumed.status(), 204, "nothing to resume: {resumed:?}");
            // The other call is as lively as before.
            other.next_message();
            cancel(canceller, &session.cancelled("other"));
            let _ = rest_of_progress(other, "other");
            server.wait_for_inside(&[]);
        }
    }
}

/// A cancellation that names no call in flight is ignored, and not remembered for a later one:
/// too early, too late, of another session, or malformed.
#[test]
fn a_cancellation_of_nothing_cancels_nothing() {
    let server = Fixture::start(2);
    let mut all = server.on_each_shard();
    let (session, stranger) = (all[0].1.clone(), all[1].1.clone());
    let same_home = Session::open(&mut all[0].0);
    cancel(&mut all[0].0, &session.cancelled("early"));
    let stream = server.stream(&talk(&session, "early"));
    server.wait_for_inside(&["early"]);
    for (connection, _) in &mut all {
        for other in [&stranger, &same_home] {
            cancel(connection, &other.cancelled("early"));
        }
        for id in [
            json!("EARLY"),
            json!(null),
            json!(["early"]),
            json!({}),
            json!(1.5),
        ] {
            cancel(connection, &session.cancelled(id));
        }
        let without = json!({
            "jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": { "reason": "early" },
        });
        cancel(connection, &session.message(&without));
    }
    assert_eq!(server.inside(), ["early"]);
    server.open_gate();
    let mut answer = Value::Null;
    let mut stream = stream;
    while answer.get("result").is_none() {
        answer = stream.next_message();
    }
    assert_eq!(answer["id"], "early", "{answer}");
    let _ = stream.expect_end();
    cancel(&mut all[0].0, &session.cancelled("early"));
    let again = session.request("early", "tools/call", hold("again", false));
    let answer = all[1].0.exchange(&again).answer();
    assert_eq!(answer["result"]["content"][0]["text"], "again", "{answer}");
}

/// A call that waits for its client and is cancelled stops; the late answer of the client has no
/// effect.
#[test]
fn cancelling_a_call_cancels_its_elicitation() {
    let server = corelane_tests::Setup::shards(2).start();
    let mut connection = server.connect();
    for _ in 0..8 {
        let session = Session::open_as(&mut connection, &json!({ "elicitation": {} }));
        let call = session.call("test_streaming_elicitation", json!({}));
        let mut eliciting = server.connect();
        eliciting.send(&call);
        let mut stream = EventStream::begin(eliciting);
        let question = stream.next_message();
        assert_eq!(question["method"], "elicitation/create", "{question}");
        cancel(&mut server.connect(), &session.cancelled(1));
        let mut eliciting = stream.expect_end();
        let accepted = json!({ "action": "accept", "content": { "name": "late" } });
        let late = json!({ "jsonrpc": "2.0", "id": question["id"], "result": accepted });
        cancel(&mut server.connect(), &session.message(&late));
        let ping = eliciting.exchange(&session.request(2, "ping", Value::Null));
        assert_eq!(ping.json()["id"], 2, "{ping:?}");
    }
}

/// A client of the legacy era that loses its connection has not given up (2025-11-25
/// basic/transports: "Disconnection SHOULD NOT be interpreted as the client cancelling its
/// request").
#[test]
fn a_lost_connection_leaves_a_legacy_call_running() {
    let server = Fixture::start(2);
    for (_, session) in server.on_each_shard() {
        for label in ["a", "b"] {
            let mut stream = server.stream(&talk(&session, label));
            stream.next_message();
        }
        let quiet = session.request("c", "tools/call", hold("c", false));
        drop(server.stream(&quiet));
        // Other clients are served meanwhile, often enough that the loss is seen.
        for _ in 0..50 {
            let mut connection = server.connect();
            let ping = connection.exchange(&session.request(1, "ping", Value::Null));
            assert_eq!(ping.status(), 200, "{ping:?}");
        }
        assert_eq!(server.inside(), ["a", "b", "c"]);
        for label in ["a", "b", "c"] {
            cancel(&mut server.connect(), &session.cancelled(label));
        }
        server.wait_for_inside(&[]);
    }
}

/// A modern client that closes cancels its call: before the first byte of an answer, in the middle
/// of a stream, or with a half-closed connection. No other client's call stops.
#[test]
fn closing_stops_a_modern_call_and_no_other() {
    let server = Fixture::start(2);
    let (_, session) = server.on_each_shard().remove(0);
    let mut kept = server.stream(&talk(&session, "kept"));
    let mut modern_kept = server.connect();
    let quiet = Request::modern(1, "tools/call", hold("quiet", false));
    modern_kept.send(&quiet);
    server.wait_for_inside(&["kept", "quiet"]);
    for round in 0..10 {
        let call = Request::modern(1, "tools/call", hold("left", round % 2 == 0));
        let call = call.meta("progressToken", round);
        let mut connection = server.connect();
        connection.send(&call);
        if round % 2 == 0 {
            let mut stream = EventStream::begin(connection);
            stream.next_message();
            server.wait_for_inside(&["kept", "left", "quiet"]);
            drop(stream);
        } else {
            server.wait_for_inside(&["kept", "left", "quiet"]);
            drop(connection);
        }
        server.wait_for_inside(&["kept", "quiet"]);
    }
    kept.next_message();
    server.open_gate();
    let answer = modern_kept.read_response().answer();
    assert_eq!(answer["result"]["content"][0]["text"], "quiet", "{answer}");
    while kept.next_message().get("result").is_none() {}
    let _ = kept.expect_end();
}

/// Over HTTP a modern client cancels by closing: `notifications/cancelled` is accepted and has no
/// meaning, to calls of either era (2026-07-28 basic/patterns/cancellation, "Transport-Specific
/// Cancellation").
#[test]
fn a_modern_notification_cancels_nothing() {
    let server = Fixture::start(2);
    let (_, session) = server.on_each_shard().remove(1);
    let legacy = server.stream(&session.request("same", "tools/call", hold("legacy", false)));
    let mut modern = server.connect();
    modern.send(&Request::modern(
        "same",
        "tools/call",
        hold("modern", false),
    ));
    server.wait_for_inside(&["legacy", "modern"]);
    let mut params = json!({ "requestId": "same" });
    params["_meta"] = json!({
        corelane_tests::request::VERSION_KEY: corelane_tests::request::MODERN,
        corelane_tests::request::CAPABILITIES_KEY: {},
    });
    let message = json!({
        "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params,
    });
    let request = Request::legacy(&message)
        .field("MCP-Protocol-Version", corelane_tests::request::MODERN)
        .field("Mcp-Method", "notifications/cancelled");
    for _ in 0..10 {
        cancel(&mut server.connect(), &request);
        let with_session = request.clone().field("MCP-Session-Id", &session.id);
        cancel(&mut server.connect(), &with_session);
    }
    assert_eq!(server.inside(), ["legacy", "modern"]);
    server.open_gate();
    assert_eq!(modern.read_response().answer()["id"], "same");
    let mut legacy = legacy;
    assert_eq!(legacy.next_message()["id"], "same");
}

/// "If the input is a JSON-RPC request, the server MUST either return `Content-Type:
/// text/event-stream` [..] or `application/json`" (basic/transports since 2025-03-26): a request
/// that is never answered, because it was cancelled or its session ended, gets a stream without an
/// answer, in every revision of the session.
#[test]
fn a_request_that_is_not_answered_gets_an_empty_stream() {
    let server = Fixture::start(2);
    for (mut connection, _) in server.on_each_shard() {
        for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
            for is_deleted in [false, true] {
                let made = connection.exchange(&Request::initialize(revision));
                let id = made.head.field("MCP-Session-Id").expect("a session id");
                let session = Session { id: id.to_owned() };
                let of_revision =
                    |request: Request| request.field("MCP-Protocol-Version", revision);
                let mut waiting = server.connect();
                let call = session.request(1, "tools/call", hold("held", false));
                waiting.send(&of_revision(call));
                server.wait_for_inside(&["held"]);
                let (ends, status) = match is_deleted {
                    false => (session.cancelled(1), 202),
                    true => (session.delete(), 204),
                };
                let ended = server.connect().exchange(&of_revision(ends));
                assert_eq!(ended.status(), status, "{revision}: {ended:?}");
                let response = waiting.read_response();
                assert_eq!(response.status(), 200, "{revision}: {response:?}");
                assert!(response.head.is_event_stream(), "{revision}: {response:?}");
                assert_eq!(response.messages(), [] as [Value; 0], "{revision}");
                server.wait_for_inside(&[]);
            }
        }
    }
}

/// The end of a session ends its running calls: every call of it stops, and its streams end without
/// an answer.
#[test]
fn the_end_of_a_session_stops_its_calls() {
    let server = Fixture::start(2);
    let mut all = server.on_each_shard();
    let sessions: Vec<Session> = all.iter().map(|(_, session)| session.clone()).collect();
    let label = |at: usize| format!("session {at}");
    let mut streams: Vec<EventStream> = (0..2)
        .map(|at| server.stream(&talk(&sessions[at], &label(at))))
        .collect();
    server.wait_for_inside(&[&label(0), &label(1)]);
    // Each through the other's shard.
    assert_eq!(all[1].0.exchange(&sessions[0].delete()).status(), 204);
    server.wait_for_inside(&[&label(1)]);
    let _ = rest_of_progress(streams.remove(0), &label(0));
    streams[0].next_message();
    assert_eq!(all[0].0.exchange(&sessions[1].delete()).status(), 204);
    server.wait_for_inside(&[]);
    let _ = rest_of_progress(streams.remove(0), &label(1));
}

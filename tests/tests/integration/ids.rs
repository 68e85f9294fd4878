//! Ids of requests: they keep their JSON type, they belong to their session, and an answered one
//! may be used again.
//!
//! MCP 2025-11-25 and 2026-07-28 basic, "Requests": a string or an integer, never null; an answer
//! has the id of its request.

use corelane_tests::{Connection, EventStream, Request, Session};
use serde_json::{Value, json};

use crate::fixture::Fixture;

fn hold(label: &str) -> Value {
    json!({ "name": "hold", "arguments": { "label": label } })
}

/// Checks the answer of a call of `hold`.
fn check_answer(answer: &Value, id: &Value, label: &str) {
    assert_eq!(answer["id"], *id, "{answer}");
    assert_eq!(answer["result"]["content"][0]["text"], label, "{answer}");
}

/// Ids that differ in their type or their letters only.
fn look_alikes() -> Vec<Value> {
    let ids = [
        json!(1),
        json!("1"),
        json!(-1),
        json!("-1"),
        json!(0),
        json!("0"),
        json!(""),
    ];
    ids.to_vec()
}

/// Requests of a session with similar ids run side by side, each is answered with its own id, and
/// cancelling one does not affect the others.
#[test]
fn ids_that_look_alike_are_different_requests() {
    let server = Fixture::start(2);
    let all = server.on_each_shard();
    let session = &all[0].1;
    let ids = look_alikes();
    let label = |at: usize| format!("call {at}");
    let mut streams: Vec<EventStream> = (0..ids.len())
        .map(|at| {
            let params = hold(&label(at));
            server.stream(&session.request(ids[at].clone(), "tools/call", params))
        })
        .collect();
    let labels: Vec<String> = (0..ids.len()).map(label).collect();
    let mut labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    server.wait_for_inside(&labels);
    for (mut connection, _) in server.on_each_shard() {
        let cancelled = connection.exchange(&session.cancelled(ids[0].clone()));
        assert_eq!(cancelled.status(), 202, "{cancelled:?}");
    }
    labels.remove(0);
    server.wait_for_inside(&labels);
    server.open_gate();
    let _ = streams.remove(0).expect_end();
    for (at, mut stream) in streams.into_iter().enumerate() {
        check_answer(&stream.next_message(), &ids[at + 1], labels[at]);
        let _ = stream.expect_end();
    }
}

/// Clients of the modern era share nothing, the ids of their requests included.
#[test]
fn modern_clients_use_the_same_id_at_once() {
    const CLIENTS: usize = 6;
    let server = Fixture::start(2);
    for id in [json!(1), json!("one")] {
        let labels: Vec<String> = (0..CLIENTS).map(|at| format!("client {at}")).collect();
        let mut clients: Vec<Connection> = labels
            .iter()
            .map(|label| {
                let mut connection = server.connect();
                let params = hold(label);
                connection.send(&Request::modern(id.clone(), "tools/call", params));
                connection
            })
            .collect();
        if id == json!(1) {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            server.wait_for_inside(&labels);
            server.open_gate();
        }
        for (label, client) in labels.iter().zip(&mut clients) {
            check_answer(&client.read_response().answer(), &id, label);
        }
    }
}

/// Two sessions use the same ids at once, on one shard and on two.
#[test]
fn sessions_use_the_same_id_at_once() {
    let server = Fixture::start(2);
    let mut all = server.on_each_shard();
    let mut sessions: Vec<Session> = all.iter().map(|(_, session)| session.clone()).collect();
    sessions.push(Session::open(&mut all[0].0));
    let labels = ["session 0", "session 1", "session 2"];
    let streams: Vec<EventStream> = sessions
        .iter()
        .zip(labels)
        .map(|(session, label)| server.stream(&session.request(7, "tools/call", hold(label))))
        .collect();
    server.wait_for_inside(&labels);
    server.open_gate();
    for (mut stream, label) in streams.into_iter().zip(labels) {
        check_answer(&stream.next_message(), &json!(7), label);
        let _ = stream.expect_end();
    }
}

/// An id whose request was answered can name the next request: that is legal in the modern era, and
/// a legacy client must not be left without an answer.
#[test]
fn an_id_that_was_answered_may_come_again() {
    let server = Fixture::start(2);
    server.open_gate();
    for (mut connection, session) in server.on_each_shard() {
        for round in 0..5 {
            let label = format!("round {round}");
            for request in [
                session.request("again", "tools/call", hold(&label)),
                Request::modern("again", "tools/call", hold(&label)),
            ] {
                let answer = connection.exchange(&request).answer();
                check_answer(&answer, &json!("again"), &label);
            }
        }
    }
}

/// Every modern answer has the id of its request with its JSON type: a result, an error, a stream
/// and the refusal of a header.
#[test]
fn a_modern_id_comes_back_as_it_was() {
    let server = Fixture::start(2);
    server.open_gate();
    let mut ids = look_alikes();
    ids.extend([
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(9_007_199_254_740_993_u64),
        json!("null"),
        json!("\u{0}\t\n\"\\/"),
        json!("\u{e4}\u{20ac}\u{1f600}\u{2028}"),
        json!("data: x\r\n\r\ndata: y"),
        json!("i".repeat(256)),
    ]);
    let mut connection = server.connect();
    for id in ids {
        let request = |method: &str, params: Value| Request::modern(id.clone(), method, params);
        for (name, request, status) in [
            ("discover", request("server/discover", json!({})), 200),
            ("list", request("tools/list", json!({})), 200),
            ("call", request("tools/call", hold("x")), 200),
            (
                "unknown tool",
                request("tools/call", json!({ "name": "no" })),
                200,
            ),
            ("unknown method", request("no/such", json!({})), 404),
            (
                "other method",
                request("tools/list", json!({})).field("Mcp-Method", "x"),
                400,
            ),
            (
                "stream",
                request("tools/call", hold("x")).field("Accept", "text/event-stream"),
                200,
            ),
        ] {
            let response = connection.exchange(&request);
            assert_eq!(response.status(), status, "{name} {id}: {response:?}");
            assert_eq!(response.answer()["id"], id, "{name}: {response:?}");
        }
    }
}

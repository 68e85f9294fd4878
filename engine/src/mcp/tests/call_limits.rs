//! How many calls may wait, with how much, and what of that one client may have.

use serde_json::{Value, json};

use super::principals::{ANN, BOB};
use super::test_endpoint::{
    Answer, TestEndpoint, error, initialize, on_executor, part_of, request, result, session_header,
    text,
};
use crate::mcp::Disposition;

fn message(answer: &Answer) -> &str {
    let message = answer.body["error"]["message"].as_str();
    message.expect("a refusal has a message")
}

/// Checks that a call was refused, and for which limit.
#[track_caller]
fn check_refused(answer: &Answer, limit: &str) {
    answer.check("503", &error(1, -32603));
    let message = message(answer);
    assert!(message.contains(limit), "{limit}: {message}");
}

/// Calls `wait` in the modern era with so many bytes of arguments.
fn wait_with(harness: &mut TestEndpoint, bytes: usize) -> Answer {
    let arguments = json!({ "filler": "x".repeat(bytes) });
    harness.call_modern("wait", arguments, json!({}))
}

fn wait_in(harness: &mut TestEndpoint, session: &str) -> Answer {
    harness.call_legacy(session, "wait", json!({}))
}

/// A session that takes batches; returns its header line.
fn batch_session(harness: &mut TestEndpoint) -> String {
    match harness.post("", &initialize("2025-03-26")).disposition {
        Disposition::Answer { session, .. } => session_header(session.expect("a session")),
        other => panic!("initialize is answered at once: {other:?}"),
    }
}

fn batch_of_waits(ids: impl IntoIterator<Item = i64>) -> String {
    let wait = |id| {
        let params = json!({"name": "wait", "arguments": {}});
        request(id, "tools/call", params)
    };
    let calls: Vec<String> = ids.into_iter().map(wait).collect();
    format!("[{}]", calls.join(","))
}

#[test]
fn a_session_has_so_many_calls_in_flight_and_no_more() {
    on_executor(async {
        let mut harness = TestEndpoint::with(|settings| settings.calls.per_session_max = 2);
        let (session, other) = (harness.session(), harness.session());
        let first = wait_in(&mut harness, &session);
        first.pending();
        wait_in(&mut harness, &session).pending();
        let refused = wait_in(&mut harness, &session);
        check_refused(&refused, "the session has 2 calls in flight");
        check_refused(&refused, "calls.per_session_max");
        wait_in(&mut harness, &other).pending();
        wait_with(&mut harness, 0).pending();
        assert_eq!(
            harness.gate.entered(),
            4,
            "no handler of a refused call ran"
        );
        harness.gate.open();
        assert_eq!(harness.settle().await.len(), 4);
        wait_in(&mut harness, &session).check("200", &result(1, text("passed")));
    });
}

#[test]
fn a_batch_has_no_more_calls_than_its_session() {
    on_executor(async {
        let mut harness = TestEndpoint::with(|settings| settings.calls.per_session_max = 3);
        let session = batch_session(&mut harness);
        harness
            .post(&session, &batch_of_waits([1, 2]))
            .check("pending", &Value::Null);
        let answer = harness.post(&session, &batch_of_waits([3, 4]));
        answer.check("pending", &Value::Null);
        let delivered = harness.deliveries();
        let [(exchange, part)] = &delivered[..] else {
            panic!("one call of the batch is refused at once: {delivered:?}");
        };
        assert_eq!(*exchange, answer.exchange);
        let (kind, body) = part_of(part);
        assert_eq!((&*kind, &body["id"]), ("response", &json!(4)));
        let text = body["error"]["message"].as_str().expect("a message");
        assert!(text.contains("calls.per_session_max"), "{text}");
        assert_eq!(harness.gate.entered(), 3);
    });
}

#[test]
fn a_principal_has_a_share_of_the_calls_in_whatever_way_it_makes_them() {
    const CALLS_MAX: usize = 90;
    on_executor(async {
        let mut harness = TestEndpoint::with(|settings| settings.calls.calls_max = CALLS_MAX);
        harness.principal = ANN;
        let session = harness.session();
        let batches = batch_session(&mut harness);
        // Eight ninths.
        for _ in 0..20 {
            harness
                .post(&batches, &batch_of_waits([1, 2]))
                .check("pending", &Value::Null);
            wait_in(&mut harness, &session).pending();
            wait_with(&mut harness, 0).pending();
        }
        let refusals = [wait_in(&mut harness, &session), wait_with(&mut harness, 0)];
        for refused in refusals {
            check_refused(
                &refused,
                "the client has 80 calls in flight, its share of the 90",
            );
            check_refused(&refused, "calls.in_flight_max");
        }
        let batch = harness.post(&batches, &batch_of_waits([1]));
        assert_eq!(batch.body[0]["error"]["code"], -32603, "{}", batch.body);
        harness.principal = BOB;
        wait_with(&mut harness, 0).pending();
        let session = harness.session();
        wait_in(&mut harness, &session).pending();
        harness.principal = None;
        wait_with(&mut harness, 0).pending();
        harness.gate.open();
        harness.settle().await;
        assert!(!harness.endpoint.has_calls());
    });
}

#[test]
fn the_bytes_of_arguments_are_bounded_for_the_shard_and_for_each_principal() {
    const BYTES_MAX: usize = 900_000;
    on_executor(async {
        let mut harness = TestEndpoint::with(|settings| settings.calls.bytes_max = BYTES_MAX);
        harness.principal = ANN;
        let bytes = |harness: &mut TestEndpoint| harness.endpoint.services().calls.shares().bytes();
        for already in 0..4 {
            assert!(bytes(&mut harness) >= already * 180_000);
            wait_with(&mut harness, 180_000).pending();
        }
        // It fits into what is left, and then only a ninth would be left to others.
        let refused = wait_with(&mut harness, 100_000);
        check_refused(&refused, "exceed its share of 900000 (calls.bytes_max)");
        harness.principal = BOB;
        wait_with(&mut harness, 100_000).pending();
        let refused = wait_with(&mut harness, 180_000);
        check_refused(
            &refused,
            "left of 900000 for calls in flight (calls.bytes_max)",
        );
        wait_with(&mut harness, 100).pending();
        assert_eq!(
            harness.gate.entered(),
            6,
            "no handler of a refused call ran"
        );
        assert!(bytes(&mut harness) <= BYTES_MAX);
        harness.gate.open();
        harness.settle().await;
        assert_eq!(bytes(&mut harness), 0);
        wait_with(&mut harness, 180_000);
        assert_eq!(
            bytes(&mut harness),
            0,
            "what is answered at once holds nothing"
        );
    });
}

#[test]
fn a_cancelled_call_gives_its_bytes_back() {
    on_executor(async {
        let mut harness = TestEndpoint::new();
        let session = harness.session();
        let legacy = wait_in(&mut harness, &session);
        let modern = wait_with(&mut harness, 1000);
        assert!(harness.endpoint.services().calls.shares().bytes() > 1000);
        let endpoint = &mut harness.endpoint;
        endpoint.handle_client_gone(modern.pending(), modern.exchange);
        endpoint.services().endings().cancel(legacy.pending());
        assert_eq!(harness.endpoint.services().calls.shares().bytes(), 0);
    });
}

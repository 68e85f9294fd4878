//! Limits on waiting calls and their bytes, and the share of one client.

use serde_json::{Value, json};

use super::principals::{ANN, BOB};
use super::test_endpoint::{
    Answer, TestEndpoint, check_parts, error, initialize, on_executor, part_of, request, result,
    session_header, text,
};
use crate::mcp::{Disposition, EventId, Part, StreamOwner};
use crate::meter::Counter;

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
        Disposition::Answer { session, .. } => session_header(session.expect("a session").id),
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
fn a_principal_has_one_share_for_all_kinds_of_calls() {
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
                "the client has at least 80 calls in flight, its share while 80 of the 90 of the \
                 shard are taken",
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
        // It fits into the rest, and then only a ninth would be left to others.
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

/// An endpoint on which Ann has two calls of a session that take all of her bytes, and has left
/// them; returns the session's header line and the calls.
fn with_abandoned_calls() -> (TestEndpoint, String, [Answer; 2]) {
    let mut harness = TestEndpoint::with(|settings| settings.calls.bytes_max = 200_000);
    harness.principal = ANN;
    harness.takes_events = true;
    let session = harness.session();
    let calls = [(), ()].map(|()| {
        let filler = json!({"filler": "x".repeat(80_000)});
        harness.call_legacy(&session, "wait", filler)
    });
    for call in &calls {
        let endpoint = &mut harness.endpoint;
        endpoint.handle_client_gone(call.pending(), call.exchange);
        endpoint.handle_client_gone(call.pending(), call.exchange);
    }
    (harness, session, calls)
}

#[test]
fn calls_that_a_client_left_make_room_for_its_own_others_oldest_first() {
    on_executor(async {
        let (mut harness, session, calls) = with_abandoned_calls();
        assert_eq!(harness.gate.inside(), 2, "leaving is not cancelling");
        harness.principal = BOB;
        check_refused(&wait_with(&mut harness, 80_000), "calls.bytes_max");
        harness.principal = ANN;
        wait_with(&mut harness, 80_000).pending();
        harness.settle().await;
        let services = harness.endpoint.services();
        let [first, second] = [0, 1].map(|at| services.calls.find(calls[at].pending()).is_some());
        assert_eq!((first, second), (false, true));
        assert_eq!(harness.gate.inside(), 2, "its handler was dropped");
        assert_eq!(harness.count(Counter::CallsCancelled), 1);
        wait_in(&mut harness, &session).pending();
        assert_eq!(harness.gate.inside(), 3, "nothing more goes than is needed");
    });
}

/// Requests the stream of a call from its first event on.
fn come_back(harness: &mut TestEndpoint, session: &str, stream: &EventId) -> Answer {
    let after = stream.to_text();
    harness.send("GET", &format!("{session}Last-Event-ID: {after}\r\n"))
}

#[test]
fn a_resuming_client_keeps_its_call_or_gets_its_outcome() {
    on_executor(async {
        let (mut harness, session, calls) = with_abandoned_calls();
        let primed = harness.deliveries();
        let streams: Vec<EventId> = primed
            .iter()
            .filter_map(|(_, part)| match part {
                Part::Event { id, .. } => *id,
                _ => None,
            })
            .collect();
        let [first, second] = &streams[..] else {
            panic!("both calls were primed: {primed:?}");
        };
        come_back(&mut harness, &session, first).check("stream", &Value::Null);
        // The second one is ended, although it was left later, and then there is none.
        wait_with(&mut harness, 80_000).pending();
        check_refused(&wait_with(&mut harness, 80_000), "calls.bytes_max");
        let services = harness.endpoint.services();
        let kept = [0, 1].map(|at| services.calls.find(calls[at].pending()).is_some());
        assert_eq!(kept, [true, false]);
        harness.deliveries();
        let answer = come_back(&mut harness, &session, second);
        answer.check("stream", &Value::Null);
        let expected = [("event", error(1, -32603)), ("end", Value::Null)];
        check_parts(&harness.deliveries(), answer.exchange, &expected);
    });
}

#[test]
fn a_client_that_sends_no_more_is_answered_if_its_call_makes_room() {
    on_executor(async {
        let mut harness = TestEndpoint::with(|settings| settings.calls.per_session_max = 1);
        let session = harness.session();
        let first = wait_in(&mut harness, &session);
        assert!(!harness.endpoint.handle_hang_up(first.pending()));
        let second = wait_in(&mut harness, &session);
        second.pending();
        check_parts(
            &harness.settle().await,
            first.exchange,
            &[("200", error(1, -32603))],
        );
        harness.gate.open();
        let expected = [("200", result(1, text("passed")))];
        check_parts(&harness.settle().await, second.exchange, &expected);
    });
}

#[test]
fn the_calls_of_a_batch_that_a_client_left_make_room() {
    on_executor(async {
        for is_gone in [true, false] {
            let mut harness = TestEndpoint::with(|settings| settings.calls.per_session_max = 2);
            let session = batch_session(&mut harness);
            let batch = harness.post(&session, &batch_of_waits([1, 2]));
            let Disposition::PendingCalls(id) = batch.disposition else {
                panic!("the batch waits: {:?}", batch.disposition);
            };
            let endpoint = &mut harness.endpoint;
            match is_gone {
                true => endpoint.handle_stream_gone(id, batch.exchange),
                false => drop(endpoint.handle_hang_up_of_calls(id, batch.exchange)),
            }
            let [third, fourth] = [(), ()].map(|()| wait_in(&mut harness, &session));
            third.pending();
            fourth.pending();
            check_refused(&wait_in(&mut harness, &session), "calls.per_session_max");
            let delivered = harness.settle().await;
            match is_gone {
                true => assert!(delivered.is_empty(), "{delivered:?}"),
                false => assert_eq!(delivered.len(), 3, "two responses and the end"),
            }
            assert!(harness.endpoint.services().outbox.batches.is_empty());
        }
    });
}

#[test]
fn the_home_shard_of_a_session_hears_that_a_client_sends_no_more() {
    on_executor(async {
        let shard = |number| {
            TestEndpoint::with(|settings| {
                (settings.shard, settings.shards) = (number, 2);
                settings.calls.per_session_max = 1;
            })
        };
        let (mut away, mut home) = (shard(0), shard(1));
        let id = home.session_id();
        let session = session_header(id);
        let answer = wait_in(&mut away, &session);
        let exchange = answer.exchange;
        let Disposition::Forward { request, .. } = answer.disposition else {
            panic!("forwarded to its home: {:?}", answer.disposition);
        };
        assert_eq!(request.answered_by(), Some(StreamOwner::Calls(id)));
        let mut out = Vec::new();
        home.endpoint.handle_forwarded(*request, &mut out);
        check_refused(&wait_in(&mut home, &session), "calls.per_session_max");
        let notice = away.endpoint.handle_hang_up_of_calls(id, exchange);
        let notice = notice.expect("the session lives elsewhere");
        assert!(!notice.wants_answer());
        home.endpoint.handle_forwarded(notice, &mut out);
        wait_in(&mut home, &session).pending();
        check_parts(&home.settle().await, exchange, &[("200", error(1, -32603))]);
    });
}

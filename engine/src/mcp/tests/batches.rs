//! Batches: each message is answered on its own, in one array or a response at a time.

use serde_json::{Value, json};

use super::test_endpoint::{
    TestEndpoint, check_parts, claim, error, initialize, notification, on_executor, part_of,
    request, result, session_header, text,
};
use crate::mcp::{Disposition, Endpoint};

/// Makes a session that takes batches; returns its header line.
fn session(harness: &mut TestEndpoint) -> String {
    match harness.post("", &initialize("2025-03-26")).disposition {
        Disposition::Answer { session, .. } => session_header(session.expect("a session").id),
        other => panic!("initialize is answered at once: {other:?}"),
    }
}

fn batch(messages: &[String]) -> String {
    format!("[{}]", messages.join(","))
}

fn ping(id: i64) -> String {
    request(id, "ping", json!({}))
}

fn call(id: i64, tool: &str, arguments: Value) -> String {
    request(
        id,
        "tools/call",
        json!({"name": tool, "arguments": arguments}),
    )
}

fn cancelled(id: i64) -> String {
    notification("notifications/cancelled", json!({ "requestId": id }))
}

fn passed(id: i64) -> Value {
    result(id, text("passed"))
}

/// Checks the answer to a batch in one session.
#[track_caller]
fn check(messages: &[String], kind: &str, expected: &Value) {
    let mut harness = TestEndpoint::new();
    let session = session(&mut harness);
    harness
        .post(&session, &batch(messages))
        .check(kind, expected);
    assert!(harness.deliveries().is_empty());
}

#[test]
fn immediate_answers_are_one_array_in_order() {
    let echo = call(2, "echo", json!({"message": "m"}));
    let initialized = notification("notifications/initialized", json!({}));
    let expected = json!([result(1, json!({})), result(2, text("m")), error(3, -32601),]);
    let unknown = request(3, "no/method", json!({}));
    check(
        &[ping(1), initialized.clone(), echo, unknown],
        "200",
        &expected,
    );
    check(&[ping(1)], "200", &json!([result(1, json!({}))]));
    let answer = json!({"jsonrpc": "2.0", "id": "0", "result": {}}).to_string();
    check(&[initialized, answer], "accepted", &Value::Null);
}

#[test]
fn a_bad_message_of_a_batch_is_refused_on_its_own() {
    let ping_answer = || result(1, json!({}));
    for (bad, id, code) in [
        ("1".to_owned(), Value::Null, -32600),
        ("[]".to_owned(), Value::Null, -32600),
        ("{}".to_owned(), Value::Null, -32600),
        (
            r#"{"jsonrpc":"2.0","id":2,"method":7}"#.to_owned(),
            json!(2),
            -32600,
        ),
        (r#"{"jsonrpc":"2.0","id":2}"#.to_owned(), json!(2), -32600),
        (request(2, "initialize", json!({})), json!(2), -32600),
        (
            request(2, "tools/list", json!({"_meta": claim()})),
            json!(2),
            -32600,
        ),
        (
            request(2, "tools/list", json!({"_meta": 5})),
            json!(2),
            -32602,
        ),
    ] {
        let refused = error(id, code);
        let expected = json!([ping_answer(), refused, result(3, text("m"))]);
        let echo = call(3, "echo", json!({"message": "m"}));
        check(&[ping(1), bad.clone(), echo], "200", &expected);
        check(&[bad], "200", &json!([refused]));
    }
    // A notification gets no answer.
    let modern = notification("notifications/cancelled", json!({"_meta": claim()}));
    check(&[ping(1), modern.clone()], "200", &json!([ping_answer()]));
    check(&[modern], "accepted", &Value::Null);
}

#[test]
fn a_batch_of_no_messages_or_of_too_many_is_refused_whole() {
    let refused = error((), -32600);
    check(&[], "400", &refused);
    let five: Vec<String> = (1..=5).map(ping).collect();
    check(&five, "400", &refused);
    let mut harness = TestEndpoint::new();
    let session = session(&mut harness);
    harness
        .post(&session, &batch(&[1, 2, 3, 4].map(ping)))
        .check("200", &json!([1, 2, 3, 4].map(|id| result(id, json!({})))));
}

#[test]
fn no_other_revision_takes_batches() {
    let pings = batch(&[ping(1)]);
    for revision in ["2024-11-05", "2025-06-18", "2025-11-25"] {
        let mut harness = TestEndpoint::new();
        let Disposition::Answer { session, .. } =
            harness.post("", &initialize(revision)).disposition
        else {
            panic!("initialize is answered at once");
        };
        let session = session_header(session.expect("a session").id);
        harness
            .post(&session, &pings)
            .check("400", &error((), -32600));
    }
    let mut harness = TestEndpoint::new();
    let session = session(&mut harness);
    harness.post("", &pings).check("400", &error((), -32600));
    harness.send("DELETE", &session);
    harness
        .post(&session, &pings)
        .check("404", &error((), -32001));
}

#[test]
fn responses_come_as_they_are_ready_and_the_end_after_the_last() {
    on_executor(async {
        let mut harness = TestEndpoint::new();
        let session = session(&mut harness);
        let messages = [
            call(1, "wait", json!({})),
            ping(2),
            call(3, "wait", json!({})),
        ];
        let answer = harness.post(&session, &batch(&messages));
        answer.check("pending", &Value::Null);
        let ready = [("response", result(2, json!({})))];
        check_parts(&harness.deliveries(), answer.exchange, &ready);
        assert!(harness.settle().await.is_empty());
        harness.gate.open();
        let mut delivered = harness.settle().await;
        delivered.sort_by_key(|(_, part)| format!("{part:?}").contains("Accepted"));
        let expected = [
            ("response", passed(1)),
            ("response", passed(3)),
            ("accepted", Value::Null),
        ];
        check_parts(&delivered, answer.exchange, &expected);
        assert!(harness.endpoint.is_quiet() && is_forgotten(&mut harness.endpoint));
    });
}

/// Whether no part of the answered batches is left.
fn is_forgotten(endpoint: &mut Endpoint) -> bool {
    endpoint.services().outbox.batches.is_empty()
}

#[test]
fn a_cancelled_call_is_not_waited_for() {
    on_executor(async {
        let mut harness = TestEndpoint::new();
        let session = session(&mut harness);
        let wait = call(1, "wait", json!({}));
        // Within its own batch: nothing waits in the end.
        let both = batch(&[wait.clone(), cancelled(1)]);
        harness
            .post(&session, &both)
            .check("accepted", &Value::Null);
        let with_ping = batch(&[wait.clone(), ping(2), cancelled(1)]);
        let expected = json!([result(2, json!({}))]);
        harness.post(&session, &with_ping).check("200", &expected);
        assert!(harness.settle().await.is_empty());
        // Afterwards, one by one.
        let two = batch(&[wait, call(2, "wait", json!({}))]);
        let answer = harness.post(&session, &two);
        harness
            .post(&session, &cancelled(1))
            .check("accepted", &Value::Null);
        assert!(harness.settle().await.is_empty());
        harness
            .post(&session, &cancelled(2))
            .check("accepted", &Value::Null);
        let end = [("unanswered", Value::Null)];
        check_parts(&harness.settle().await, answer.exchange, &end);
        assert!(is_forgotten(&mut harness.endpoint));
    });
}

#[test]
fn a_call_that_takes_too_long_is_one_response_of_its_batch() {
    on_executor(async {
        let mut harness = TestEndpoint::new();
        let session = session(&mut harness);
        let answer = harness.post(&session, &batch(&[call(1, "wait", json!({}))]));
        harness.expire_at(1000);
        let expected = [("response", error(1, -32603)), ("accepted", Value::Null)];
        check_parts(&harness.settle().await, answer.exchange, &expected);
        assert!(is_forgotten(&mut harness.endpoint));
    });
}

const ANSWERS_BYTES_MAX: usize = 150;

/// The error in place of an answer of a batch that has more than [`ANSWERS_BYTES_MAX`] already.
fn too_long(id: i64) -> Value {
    let message = "the answers of the batch exceed limit of 150 bytes";
    let error = json!({"code": -32603, "message": message});
    json!({"jsonrpc": "2.0", "id": id, "error": error})
}

fn bounded_rig() -> TestEndpoint {
    TestEndpoint::with(|settings| settings.batch_bytes_max = ANSWERS_BYTES_MAX)
}

#[test]
fn past_the_limit_on_bytes_each_answer_of_an_array_is_an_error() {
    let mut harness = bounded_rig();
    let session = session(&mut harness);
    let long = "m".repeat(ANSWERS_BYTES_MAX);
    let echo = |id| call(id, "echo", json!({ "message": long }));
    let echoed = |id| result(id, text(&long));
    let initialized = notification("notifications/initialized", json!({}));
    for (messages, expected) in [
        // The first answer of any size is one that its client can have.
        (vec![echo(1)], vec![echoed(1)]),
        (
            vec![ping(1), echo(2), initialized, echo(3)],
            vec![result(1, json!({})), echoed(2), too_long(3)],
        ),
        (
            vec![echo(1), ping(2), echo(3)],
            vec![echoed(1), too_long(2), too_long(3)],
        ),
        // Each batch has the limit for itself.
        (
            vec![ping(1), ping(2)],
            vec![result(1, json!({})), result(2, json!({}))],
        ),
    ] {
        let answer = harness.post(&session, &batch(&messages));
        answer.check("200", &json!(expected));
        assert!(harness.deliveries().is_empty() && is_forgotten(&mut harness.endpoint));
    }
}

#[test]
fn answers_at_once_and_later_ones_share_the_limit_on_bytes() {
    on_executor(async {
        let mut harness = bounded_rig();
        let session = session(&mut harness);
        let messages = [
            call(1, "wait", json!({})),
            ping(2),
            call(3, "wait", json!({})),
            call(4, "wait", json!({})),
        ];
        // One answer of a tool reaches the limit together with that of the ping, not alone.
        let alone = passed(1).to_string().len();
        let ping = result(2, json!({})).to_string().len();
        assert!(alone < ANSWERS_BYTES_MAX && ping + 2 * alone >= ANSWERS_BYTES_MAX);
        let answer = harness.post(&session, &batch(&messages));
        answer.check("pending", &Value::Null);
        let mut delivered = harness.deliveries();
        harness.gate.open();
        delivered.extend(harness.settle().await);
        let words: Vec<String> = delivered.iter().map(|(_, part)| part_of(part).0).collect();
        let end = "accepted";
        assert_eq!(words, ["response", "response", "response", "response", end]);
        let messages: Vec<Value> = delivered.iter().map(|(_, part)| part_of(part).1).collect();
        let (errors, results): (Vec<&Value>, Vec<&Value>) = messages[..4]
            .iter()
            .partition(|message| message.get("error").is_some());
        assert_eq!((errors.len(), results.len()), (1, 3), "{messages:?}");
        let last = &messages[3];
        assert_eq!(*last, too_long(last["id"].as_i64().expect("its id")));
        let mut ids: Vec<i64> = messages[..4]
            .iter()
            .filter_map(|it| it["id"].as_i64())
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, [1, 2, 3, 4], "every request has its answer");
        assert!(harness.endpoint.is_quiet() && is_forgotten(&mut harness.endpoint));
    });
}

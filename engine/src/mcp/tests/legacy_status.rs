//! Statuses of tasks for sessions of 2025-11-25.

use serde_json::{Value, json};

use super::legacy_tasks::{about, call, session, task};
use super::tasks::harness;
use super::test_endpoint::{
    Answer, TestEndpoint, agrees, on_executor, part_of, result, session_header,
};
use crate::mcp::{Exchange, Part};

fn stream(harness: &mut TestEndpoint, session: &str) -> Answer {
    let stream = harness.send("GET", session);
    stream.check("stream", &Value::Null);
    stream
}

/// Checks the messages about a task on one stream: its states and texts.
#[track_caller]
fn check(delivered: &[(Exchange, Part)], to: Exchange, id: &str, expected: &[(&str, &str)]) {
    assert_eq!(delivered.len(), expected.len(), "{delivered:?}");
    for ((exchange, part), (status, text)) in delivered.iter().zip(expected) {
        let mut params = json!({
            "taskId": id, "status": status, "createdAt": "*", "lastUpdatedAt": "*",
            "ttl": 5000, "pollInterval": 100,
        });
        if !text.is_empty() {
            params["statusMessage"] = json!(text);
        }
        let method = "notifications/tasks/status";
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        let (kind, found) = part_of(part);
        assert_eq!((*exchange, &*kind), (to, "event"));
        assert!(agrees(&found, &message), "{found}\n is not\n{message}");
    }
}

/// Makes a task of the tool that reports its status; returns its id.
fn says(harness: &mut TestEndpoint, session: &str) -> String {
    let created = call(harness, session, "says", Some(json!({})));
    let created = &created.body["result"]["task"];
    assert_eq!(created["statusMessage"], "begun");
    created["taskId"].as_str().unwrap().to_owned()
}

fn answer(harness: &mut TestEndpoint, session: &str, question: &Value) {
    let accepted = json!({"action": "accept", "content": {"name": "Ann"}});
    let answer = result(question["id"].clone(), accepted);
    harness.post(session, &answer.to_string());
}

#[test]
fn a_status_goes_to_the_stream_of_its_own_session_only() {
    on_executor(async {
        let mut harness = harness();
        let (session, other) = (session(&mut harness), session(&mut harness));
        let (own, _others) = (stream(&mut harness, &session), stream(&mut harness, &other));
        let id = says(&mut harness, &session);
        assert!(harness.settle().await.is_empty());
        harness.gate.open();
        let expected = [("working", "half"), ("input_required", "half")];
        check(&harness.settle().await, own.exchange, &id, &expected);
        harness.takes_events = true;
        let waiting = about(&mut harness, &session, "tasks/result", &id);
        let delivered = harness.settle().await;
        let (_, question) = part_of(&delivered[0].1);
        answer(&mut harness, &session, &question);
        check(
            &harness.deliveries(),
            own.exchange,
            &id,
            &[("working", "half")],
        );
        let mut delivered = harness.settle().await;
        let (exchange, result) = delivered.pop().unwrap();
        assert_eq!((exchange, &*part_of(&result).0), (waiting.exchange, "200"));
        check(&delivered, own.exchange, &id, &[("completed", "")]);
    });
}

#[test]
fn without_a_stream_the_last_waiter_for_the_result_gets_the_status() {
    on_executor(async {
        let mut harness = harness();
        let session = session(&mut harness);
        let id = says(&mut harness, &session);
        harness.takes_events = true;
        about(&mut harness, &session, "tasks/result", &id);
        let last = about(&mut harness, &session, "tasks/result", &id);
        assert!(harness.settle().await.is_empty());
        harness.gate.open();
        let mut delivered = harness.settle().await;
        let (_, question) = part_of(&delivered.remove(1).1);
        assert_eq!(question["method"], "elicitation/create");
        let expected = [("working", "half"), ("input_required", "half")];
        check(&delivered, last.exchange, &id, &expected);
        answer(&mut harness, &session, &question);
        let expected = [("working", "half")];
        check(&harness.deliveries(), last.exchange, &id, &expected);
        // The answer itself shows that the task is over.
        let delivered = harness.settle().await;
        let kinds: Vec<_> = delivered.iter().map(|(_, part)| part_of(part).0).collect();
        assert_eq!(kinds, ["200", "200"]);
    });
}

#[test]
fn a_disconnected_session_finds_results_and_no_statuses() {
    on_executor(async {
        let mut harness = harness();
        let id = harness.session_id();
        let session = session_header(id);
        let own = stream(&mut harness, &session);
        // An event begins the stream, or it could not be resumed.
        let other = task(&mut harness, &session, "waits");
        about(&mut harness, &session, "tasks/cancel", &other);
        let delivered = harness.deliveries();
        check(&delivered, own.exchange, &other, &[("cancelled", "")]);
        let Part::Event { id: Some(seen), .. } = &delivered[0].1 else {
            panic!("each event has an id: {delivered:?}");
        };
        let after = format!("{session}Last-Event-ID: {}\r\n", seen.to_text());
        harness.endpoint.handle_stream_gone(id, own.exchange);
        let talking = task(&mut harness, &session, "talks");
        assert!(harness.settle().await.is_empty());
        about(&mut harness, &session, "tasks/cancel", &talking);
        assert!(harness.settle().await.is_empty());
        let back = harness.send("GET", &after);
        let expected = [("cancelled", "")];
        check(&harness.deliveries(), back.exchange, &talking, &expected);
    });
}

#[test]
fn a_session_without_a_stream_gets_no_status() {
    on_executor(async {
        let mut harness = harness();
        let session = session(&mut harness);
        let id = says(&mut harness, &session);
        harness.gate.open();
        assert!(harness.settle().await.is_empty());
        let found = about(&mut harness, &session, "tasks/get", &id);
        assert_eq!(found.body["result"]["statusMessage"], "half");
        assert_eq!(found.body["result"]["status"], "input_required");
    });
}

#[test]
fn every_kind_of_end_of_a_task_is_notified() {
    on_executor(async {
        let mut harness = harness();
        let session = session(&mut harness);
        let own = stream(&mut harness, &session).exchange;
        let cancelled = task(&mut harness, &session, "waits");
        about(&mut harness, &session, "tasks/cancel", &cancelled);
        check(
            &harness.settle().await,
            own,
            &cancelled,
            &[("cancelled", "")],
        );
        let failing = task(&mut harness, &session, "breaks");
        check(
            &harness.settle().await,
            own,
            &failing,
            &[("failed", "broken (7)")],
        );
        let expired = task(&mut harness, &session, "waits");
        harness.expire_at(5000);
        let found = about(&mut harness, &session, "tasks/get", &expired);
        assert_eq!(found.body["error"]["code"], -32602);
        assert!(harness.settle().await.is_empty());
    });
}

#[test]
fn a_slow_session_gets_the_last_status() {
    on_executor(async {
        let mut harness = harness();
        let session = session(&mut harness);
        let own = stream(&mut harness, &session).exchange;
        let created = call(&mut harness, &session, "talks", Some(json!({})));
        let id = created.body["result"]["task"]["taskId"].as_str().unwrap();
        let mut stalled = Default::default();
        assert!(
            harness
                .settle_while(|_| false, &mut stalled)
                .await
                .is_empty()
        );
        assert_eq!(stalled.len(), 1, "put aside once, however often it talks");
        let key = stalled[0];
        assert_eq!(
            harness.endpoint.services().call_events().exchange_of(key),
            Some(own)
        );
        harness.endpoint.pump(key, |_| true);
        check(&harness.deliveries(), own, id, &[("working", "")]);
        harness.endpoint.pump(key, |_| true);
        assert!(harness.deliveries().is_empty());
    });
}

//! Telling a session of 2025-11-25 how its tasks stand.

use serde_json::{Value, json};

use super::legacy_tasks::{about, call, session, task};
use super::rig::{Answer, Rig, agrees, on_executor, part_of, result, session_header};
use super::tasks::rig;
use crate::mcp::{Exchange, Part};

fn stream(rig: &mut Rig, session: &str) -> Answer {
    let stream = rig.send("GET", session);
    stream.check("stream", &Value::Null);
    stream
}

/// Checks that exactly this was told of a task on one stream: its states and texts.
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

/// Makes a task of the tool that says how it stands; returns its id.
fn says(rig: &mut Rig, session: &str) -> String {
    let created = call(rig, session, "says", Some(json!({})));
    let created = &created.body["result"]["task"];
    assert_eq!(created["statusMessage"], "begun");
    created["taskId"].as_str().unwrap().to_owned()
}

fn answer(rig: &mut Rig, session: &str, question: &Value) {
    let accepted = json!({"action": "accept", "content": {"name": "Ann"}});
    let answer = result(question["id"].clone(), accepted);
    rig.post(session, &answer.to_string());
}

#[test]
fn a_session_is_told_on_its_stream_and_no_other_session_is() {
    on_executor(async {
        let mut rig = rig();
        let (session, other) = (session(&mut rig), session(&mut rig));
        let (own, _others) = (stream(&mut rig, &session), stream(&mut rig, &other));
        let id = says(&mut rig, &session);
        assert!(rig.settle().await.is_empty());
        rig.gate.open();
        let expected = [("working", "half"), ("input_required", "half")];
        check(&rig.settle().await, own.exchange, &id, &expected);
        rig.takes_events = true;
        let waiting = about(&mut rig, &session, "tasks/result", &id);
        let delivered = rig.settle().await;
        let (_, question) = part_of(&delivered[0].1);
        answer(&mut rig, &session, &question);
        check(&rig.deliveries(), own.exchange, &id, &[("working", "half")]);
        let mut delivered = rig.settle().await;
        let (exchange, result) = delivered.pop().unwrap();
        assert_eq!((exchange, &*part_of(&result).0), (waiting.exchange, "200"));
        check(&delivered, own.exchange, &id, &[("completed", "")]);
    });
}

#[test]
fn without_a_stream_the_last_who_waits_for_the_result_is_told() {
    on_executor(async {
        let mut rig = rig();
        let session = session(&mut rig);
        let id = says(&mut rig, &session);
        rig.takes_events = true;
        about(&mut rig, &session, "tasks/result", &id);
        let last = about(&mut rig, &session, "tasks/result", &id);
        assert!(rig.settle().await.is_empty());
        rig.gate.open();
        let mut delivered = rig.settle().await;
        let (_, question) = part_of(&delivered.remove(1).1);
        assert_eq!(question["method"], "elicitation/create");
        let expected = [("working", "half"), ("input_required", "half")];
        check(&delivered, last.exchange, &id, &expected);
        answer(&mut rig, &session, &question);
        let expected = [("working", "half")];
        check(&rig.deliveries(), last.exchange, &id, &expected);
        // The answer itself says that the task is over.
        let delivered = rig.settle().await;
        let kinds: Vec<_> = delivered.iter().map(|(_, part)| part_of(part).0).collect();
        assert_eq!(kinds, ["200", "200"]);
    });
}

#[test]
fn a_session_that_is_away_finds_what_happened_and_not_what_was_said() {
    on_executor(async {
        let mut rig = rig();
        let id = rig.session_id();
        let session = session_header(id);
        let own = stream(&mut rig, &session);
        // An event begins the stream, or there is nothing to come back for.
        let other = task(&mut rig, &session, "waits");
        about(&mut rig, &session, "tasks/cancel", &other);
        let delivered = rig.deliveries();
        check(&delivered, own.exchange, &other, &[("cancelled", "")]);
        let Part::Event { id: Some(seen), .. } = &delivered[0].1 else {
            panic!("each event has an id: {delivered:?}");
        };
        let after = format!("{session}Last-Event-ID: {}\r\n", seen.to_text());
        rig.endpoint.core().stream_gone(id, own.exchange);
        let talking = task(&mut rig, &session, "talks");
        assert!(rig.settle().await.is_empty());
        about(&mut rig, &session, "tasks/cancel", &talking);
        assert!(rig.settle().await.is_empty());
        let back = rig.send("GET", &after);
        let expected = [("cancelled", "")];
        check(&rig.deliveries(), back.exchange, &talking, &expected);
    });
}

#[test]
fn a_session_without_a_stream_is_told_nothing() {
    on_executor(async {
        let mut rig = rig();
        let session = session(&mut rig);
        let id = says(&mut rig, &session);
        rig.gate.open();
        assert!(rig.settle().await.is_empty());
        let found = about(&mut rig, &session, "tasks/get", &id);
        assert_eq!(found.body["result"]["statusMessage"], "half");
        assert_eq!(found.body["result"]["status"], "input_required");
    });
}

#[test]
fn the_end_of_a_task_is_told_however_it_comes() {
    on_executor(async {
        let mut rig = rig();
        let session = session(&mut rig);
        let own = stream(&mut rig, &session).exchange;
        let cancelled = task(&mut rig, &session, "waits");
        about(&mut rig, &session, "tasks/cancel", &cancelled);
        check(&rig.settle().await, own, &cancelled, &[("cancelled", "")]);
        let failing = task(&mut rig, &session, "breaks");
        check(&rig.settle().await, own, &failing, &[("failed", "")]);
        let expired = task(&mut rig, &session, "waits");
        rig.expire_at(5000);
        let found = about(&mut rig, &session, "tasks/get", &expired);
        assert_eq!(found.body["error"]["code"], -32602);
        assert!(rig.settle().await.is_empty());
    });
}

#[test]
fn a_session_that_reads_slowly_is_told_what_was_said_last() {
    on_executor(async {
        let mut rig = rig();
        let session = session(&mut rig);
        let own = stream(&mut rig, &session).exchange;
        let created = call(&mut rig, &session, "talks", Some(json!({})));
        let id = created.body["result"]["task"]["taskId"].as_str().unwrap();
        let mut stalled = Default::default();
        assert!(rig.settle_while(|_| false, &mut stalled).await.is_empty());
        assert_eq!(stalled.len(), 1, "put aside once, however often it talks");
        let key = stalled[0];
        assert_eq!(rig.endpoint.core().exchange_of(key), Some(own));
        rig.endpoint.core().pump_events(key);
        check(&rig.deliveries(), own, id, &[("working", "")]);
        rig.endpoint.core().pump_events(key);
        assert!(rig.deliveries().is_empty());
    });
}

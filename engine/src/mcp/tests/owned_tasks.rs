//! Tasks of principals: no other principal can fetch, end or subscribe to them.

use serde_json::{Value, json};

use super::principals::{
    ANN, BOB, OTHERS, at_home, check_unknown, endpoint_with, harness, modern, modern_call, pair,
    session,
};
use super::test_endpoint::{Answer, TestEndpoint, error, kind_of, on_executor, part_of, request};
use crate::meter::Counter;

fn about(harness: &mut TestEndpoint, method: &str, id: &str) -> Answer {
    let params = json!({"taskId": id, "inputResponses": {}});
    modern(harness, method, id, (params, ""))
}

fn begin(harness: &mut TestEndpoint) -> String {
    let body = modern_call(harness, "task", "x-tenant: t\r\n").body;
    assert_eq!(body["result"]["resultType"], "task", "{body}");
    body["result"]["taskId"].as_str().unwrap().to_owned()
}

#[test]
fn a_modern_task_is_unknown_to_every_other_principal() {
    on_executor(async {
        let (mut front, mut home) = pair();
        let ids = [ANN, None].map(|owner| {
            home.principal = owner;
            (owner, begin(&mut home))
        });
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            for (owner, id) in &ids {
                let strangers = OTHERS.into_iter().chain([ANN]);
                for stranger in strangers.filter(|stranger| stranger != owner) {
                    (front.principal, home.principal) = (stranger, stranger);
                    about(&mut home, method, id).check("200", &error(1, -32602));
                    let forwarded = about(&mut front, method, id);
                    at_home(&mut home, forwarded).check("200", &error(1, -32602));
                }
            }
        }
        home.gate.open();
        home.settle().await;
        for (owner, id) in &ids {
            (front.principal, home.principal) = (*owner, *owner);
            let here = about(&mut home, "tasks/get", id).body;
            let seen = &here["result"]["result"]["content"][0]["text"];
            assert_eq!(*seen, format!("{owner:?} Some(\"t\") None"), "{here}");
            let forwarded = about(&mut front, "tasks/get", id);
            assert_eq!(at_home(&mut home, forwarded).body, here);
        }
    });
}

#[test]
fn a_principal_fills_its_own_room_for_tasks_only() {
    on_executor(async {
        let mut harness = endpoint_with(|settings| settings.tasks.per_owner_max = 1);
        begin(&mut harness);
        modern_call(&mut harness, "task", "").check("503", &error(1, -32603));
        harness.principal = BOB;
        begin(&mut harness);
        harness.principal = None;
        begin(&mut harness);
        begin(&mut harness);
    });
}

#[test]
fn a_legacy_task_stays_with_its_session() {
    on_executor(async {
        let mut harness = harness();
        let [own, other] = [(); 2].map(|()| session(&mut harness, "2025-11-25"));
        let params = json!({"name": "task", "arguments": {}, "task": {}});
        let called = harness.post(&own, &request(1, "tools/call", params));
        let id = called.body["result"]["task"]["taskId"].clone();
        assert!(id.is_string(), "{}", called.body);
        let get = request(2, "tasks/get", json!({"taskId": id}));
        harness.post(&other, &get).check("200", &error(2, -32602));
        about(&mut harness, "tasks/get", id.as_str().unwrap()).check("200", &error(1, -32602));
        harness.principal = BOB;
        check_unknown(&harness.post(&own, &get), true);
        harness.principal = ANN;
        harness.gate.open();
        harness.settle().await;
        let listed = harness
            .post(&own, &request(2, "tasks/list", json!({})))
            .body;
        assert_eq!(listed["result"]["tasks"][0]["status"], "completed");
        let fetch = request(3, "tasks/result", json!({"taskId": id}));
        let fetched = harness.post(&own, &fetch).body;
        let said = &fetched["result"]["content"][0]["text"];
        assert_eq!(*said, r#"Some("ann") None None"#, "{fetched}");
    });
}

#[test]
fn a_session_that_makes_room_takes_its_tasks_with_it() {
    on_executor(async {
        let mut harness = endpoint_with(|settings| settings.sessions_per_principal_max = 1);
        harness.gate.open();
        let session = session(&mut harness, "2025-11-25");
        let params = json!({"name": "task", "arguments": {}, "task": {}});
        let called = harness.post(&session, &request(1, "tools/call", params));
        assert_eq!(called.body["result"]["task"]["status"], "working");
        harness.settle().await;
        assert_eq!(harness.count(Counter::TasksKept), 1);
        harness.session();
        assert_eq!(harness.count(Counter::SessionsEvicted), 1);
        assert_eq!(harness.count(Counter::TasksKept), 0);
    });
}

/// Brings the messages of either shard to the other, until there are none.
fn exchange_notes(front: &mut TestEndpoint, home: &mut TestEndpoint) {
    loop {
        let to_home = front.next_task_watch();
        let to_front = home.next_task_watch();
        if to_home.is_none() && to_front.is_none() {
            return;
        }
        if let Some((1, note)) = to_home {
            home.endpoint.handle_task_watch(note);
        }
        if let Some((0, note)) = to_front {
            front.endpoint.handle_task_watch(note);
        }
    }
}

/// Subscribes to a task of `home` at `front`; returns the params of the first message.
fn listen(front: &mut TestEndpoint, home: &mut TestEndpoint, id: &str) -> (Answer, Value) {
    let params = json!({"notifications": {"taskIds": [id]}});
    let lines = "Accept: text/event-stream\r\n";
    let stream = modern(front, "subscriptions/listen", "x", (params, lines));
    assert_eq!(kind_of(&stream.disposition), "stream");
    exchange_notes(front, home);
    let said = front.deliveries();
    let [(_, part)] = &said[..] else {
        panic!("the acknowledgement: {said:?}");
    };
    let params = part_of(part).1["params"].clone();
    (stream, params)
}

#[test]
fn only_its_own_principal_subscribes_to_a_task() {
    on_executor(async {
        let (mut front, mut home) = pair();
        let ids = [ANN, None].map(|owner| {
            home.principal = owner;
            (owner, begin(&mut home))
        });
        let mut streams = Vec::new();
        for (owner, id) in &ids {
            for who in OTHERS.into_iter().chain([ANN]) {
                front.principal = who;
                let (stream, said) = listen(&mut front, &mut home, id);
                let is_heard = said["notifications"]["taskIds"] == json!([id]);
                assert_eq!(is_heard, who == *owner, "{owner:?} {who:?} {said}");
                if is_heard {
                    streams.push(stream.exchange);
                }
            }
        }
        home.gate.open();
        home.settle().await;
        exchange_notes(&mut front, &mut home);
        front.broadcast(|_| true);
        let received: Vec<_> = front.deliveries();
        assert_eq!(received.len(), streams.len(), "{received:?}");
        for (to, part) in received {
            assert!(streams.contains(&to));
            let status = part_of(&part).1["params"]["status"].clone();
            assert_eq!(status, "completed");
        }
    });
}

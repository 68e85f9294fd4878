//! Anonymous clients: each address has a share of every table, and is looked up for no more than
//! that.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::principals::ANN;
use super::task_status::{leave, listen_as};
use super::tasks::{call as start_task, endpoint_with as harness_with_tasks};
use super::test_endpoint::{
    Answer, TestEndpoint, error, initialize, kind_of, on_executor, part_of,
};
use crate::guard::holder::HolderKey;
use crate::mcp::Part;
use crate::meter::Counter;

/// The holder of a peer at this address.
fn peer(harness: &TestEndpoint, address: &str) -> Option<HolderKey> {
    let address: IpAddr = address.parse().expect("an address");
    Some(harness.endpoint.holder_of(Some(address.into())))
}

#[track_caller]
fn check_refused(answer: &Answer, limit: &str) {
    let code = json!(-32603);
    assert_eq!(kind_of(&answer.disposition), "503", "{}", answer.body);
    assert_eq!(answer.body["error"]["code"], code);
    let message = answer.body["error"]["message"].as_str().expect("a text");
    assert!(message.contains(limit), "{limit}: {message}");
}

fn listen(harness: &mut TestEndpoint) -> Answer {
    listen_as(harness, true, json!({"toolsListChanged": true}))
}

#[test]
fn only_requests_that_take_a_place_need_the_peer() {
    on_executor(async {
        let mut harness = harness_with_tasks(|_| ());
        let session = harness.session();
        harness.peer = None;
        let legacy = harness.count(Counter::RequestsLegacy);
        let modern = harness.count(Counter::RequestsModern);
        let handshake = harness.post("", &initialize("2025-11-25"));
        handshake.check("peer needed", &Value::Null);
        listen(&mut harness).check("peer needed", &Value::Null);
        start_task(&mut harness, "waits").check("peer needed", &Value::Null);
        assert_eq!(harness.count(Counter::RequestsLegacy), legacy);
        assert_eq!(
            harness.count(Counter::RequestsModern),
            modern,
            "counted when served"
        );
        assert_eq!(harness.count(Counter::SessionsCreated), 1);
        // A session knows its holder, a principal is one, and a plain call needs none.
        harness.send("GET", &session).check("stream", &Value::Null);
        harness.principal = ANN;
        let handshake = harness.post("", &initialize("2025-11-25"));
        assert_eq!(kind_of(&handshake.disposition), "200");
        assert_eq!(kind_of(&listen(&mut harness).disposition), "stream");
        harness.principal = None;
        harness.peer = peer(&harness, "192.0.2.1");
        assert_eq!(kind_of(&listen(&mut harness).disposition), "stream");
    });
}

#[test]
fn a_call_needs_the_peer_only_where_much_is_taken() {
    on_executor(async {
        let mut harness = TestEndpoint::with(|settings| settings.calls.calls_max = 90);
        harness.peer = None;
        let wait = |harness: &mut TestEndpoint| harness.call_modern("wait", json!({}), json!({}));
        for _ in 0..45 {
            wait(&mut harness).pending();
        }
        wait(&mut harness).check("peer needed", &Value::Null);
        harness.peer = peer(&harness, "192.0.2.1");
        let mut count = 0;
        let refused = loop {
            let answer = wait(&mut harness);
            if kind_of(&answer.disposition) != "pending" {
                break answer;
            }
            count += 1;
        };
        // It has 85, of which 45 began before its address was looked up.
        let truth = "at least 40 calls in flight, its share while 85 of the 90 of the shard";
        check_refused(&refused, truth);
        assert_eq!(count, 40, "eight ninths of the other half");
        harness.peer = peer(&harness, "192.0.2.2");
        wait(&mut harness).pending();
    });
}

#[test]
fn a_call_needs_the_peer_while_offloaded_work_waits() {
    on_executor(async {
        let mut harness = TestEndpoint::new();
        let session = harness.session();
        harness.peer = None;
        let echo = |harness: &mut TestEndpoint| {
            let arguments = json!({"message": "m"});
            kind_of(
                &harness
                    .call_modern("echo", arguments, json!({}))
                    .disposition,
            )
        };
        assert_eq!(echo(&mut harness), "200");
        let first = harness.call_modern("offloads", json!({}), json!({}));
        let first = first.pending();
        assert_eq!(echo(&mut harness), "peer needed");
        let of_session = harness.call_legacy(&session, "echo", json!({"message": "m"}));
        assert_eq!(kind_of(&of_session.disposition), "200");
        harness.peer = peer(&harness, "192.0.2.1");
        assert_eq!(echo(&mut harness), "200");
        harness.peer = None;
        harness.endpoint.handle_cancel(first);
        harness.settle().await;
        assert_eq!(echo(&mut harness), "200", "nothing waits any more");
    });
}

#[test]
fn an_address_has_a_share_of_the_sessions() {
    let mut harness = TestEndpoint::with(|settings| settings.sessions_max = 90);
    harness.peer = peer(&harness, "2001:db8::1");
    let first = harness.session();
    harness.peer = peer(&harness, "2001:db8:0:1::1");
    for _ in 0..200 {
        harness.session();
    }
    let open = harness.count(Counter::SessionsOpen);
    assert!((76..=81).contains(&open), "{open}");
    assert_eq!(harness.count(Counter::SessionsEvicted), 201 - open);
    assert_eq!(kind_of(&harness.send("GET", &first).disposition), "stream");
}

#[test]
fn an_address_has_a_share_of_the_streams() {
    let mut harness = TestEndpoint::with(|settings| settings.connections_max = 90);
    harness.peer = peer(&harness, "192.0.2.1");
    let streams: Vec<Answer> = (0..80).map(|_| listen(&mut harness)).collect();
    for stream in &streams {
        assert_eq!(kind_of(&stream.disposition), "stream");
    }
    check_refused(&listen(&mut harness), "its share of the 90 connections");
    let address = harness.peer;
    harness.peer = peer(&harness, "192.0.2.2");
    let other = listen(&mut harness);
    assert_eq!(kind_of(&other.disposition), "stream");
    leave(&mut harness, &other);
    harness.peer = address;
    leave(&mut harness, &streams[0]);
    leave(&mut harness, &streams[0]);
    assert_eq!(kind_of(&listen(&mut harness).disposition), "stream");
    check_refused(&listen(&mut harness), "ring.descriptors");
    // So have the sessions of an address.
    let sessions: Vec<String> = (0..41).map(|_| harness.session()).collect();
    for at in 0..80 {
        let opened = harness.send("GET", &sessions[at / 2]);
        assert_eq!(kind_of(&opened.disposition), "stream", "{at}");
    }
    let refused = harness.send("GET", &sessions[40]);
    refused.check("503", &error((), -32603));
}

#[test]
fn an_address_has_a_share_of_the_tasks_with_and_without_sessions() {
    on_executor(async {
        let mut harness = harness_with_tasks(|settings| {
            settings.tasks.tasks_max = 90;
            settings.tasks.per_owner_max = 90;
        });
        harness.peer = peer(&harness, "192.0.2.1");
        for _ in 0..80 {
            let made = start_task(&mut harness, "waits");
            assert_eq!(kind_of(&made.disposition), "200", "{}", made.body);
        }
        let refused = start_task(&mut harness, "waits");
        check_refused(
            &refused,
            "the client has 80 running tasks, its share of the 90",
        );
        harness.peer = peer(&harness, "192.0.2.2");
        let made = start_task(&mut harness, "waits");
        assert_eq!(kind_of(&made.disposition), "200", "{}", made.body);
    });
}

#[test]
fn sessions_of_one_address_drop_no_events_of_another() {
    on_executor(async {
        let mut harness = TestEndpoint::with(|settings| settings.events.bytes_max = 30_000);
        harness.takes_events = true;
        harness.gate.open();
        let call_at = |harness: &mut TestEndpoint, address: &str| {
            harness.peer = peer(harness, address);
            let session = harness.session();
            let answer = harness.call_legacy(&session, "steps", json!({"steps": [1.0, 2.0]}));
            (session, answer)
        };
        let (session, _) = call_at(&mut harness, "192.0.2.1");
        let primed = match harness.deliveries().as_slice() {
            [(_, Part::Event { id: Some(id), .. }), ..] => id.to_text(),
            other => panic!("no event to resume from: {other:?}"),
        };
        harness.settle().await;
        for _ in 0..60 {
            call_at(&mut harness, "192.0.2.2");
            harness.settle().await;
        }
        assert!(harness.count(Counter::EventStreamsDropped) > 0);
        harness.send("GET", &format!("{session}Last-Event-ID: {primed}\r\n"));
        let kinds: Vec<_> = harness.deliveries();
        let kinds: Vec<_> = kinds.iter().map(|it| part_of(&it.1).0).collect();
        assert_eq!(kinds, ["event", "event", "event", "end"]);
    });
}

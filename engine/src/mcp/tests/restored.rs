//! Sessions that are made again from their ids: by another process with the same keys, and by the
//! same one after it let them go.

use std::sync::Arc;

use corelane_protocol::request_state::Sealer;
use serde_json::{Value, json};

use super::test_endpoint::{TestEndpoint, agrees, error, kind_of, on_executor, request, result};
use crate::mcp::{Disposition, EndpointSettings};
use crate::meter::Counter;

const MAX_AGE_S: u64 = 60;

/// A process with the keys of all processes here.
fn process(change: impl FnOnce(&mut EndpointSettings)) -> TestEndpoint {
    TestEndpoint::with(|settings| {
        settings.parts.sealer = Arc::new(Sealer::new(&[[5; 32]]));
        settings.session_id_max_age_s = MAX_AGE_S;
        change(settings);
    })
}

#[track_caller]
fn check(harness: &mut TestEndpoint, session: &str, lives: bool) {
    let (kind, message) = match lives {
        true => ("200", result(2, json!({}))),
        false => ("404", error(2, -32001)),
    };
    let ping = request(2, "ping", json!({}));
    harness.post(session, &ping).check(kind, &message);
}

#[test]
fn the_next_process_serves_a_session_from_its_id() {
    let session = process(|_| ()).session();
    for verb in ["POST", "GET", "DELETE"] {
        let mut next = process(|_| ());
        match verb {
            "POST" => check(&mut next, &session, true),
            "GET" => {
                let opened = next.send("GET", &session);
                assert_eq!(kind_of(&opened.disposition), "stream");
            }
            _ => next.send("DELETE", &session).check("done", &Value::Null),
        }
        check(&mut next, &session, verb != "DELETE");
        assert_eq!(next.count(Counter::SessionsRestored), 1, "{verb}");
        let open = u64::from(verb != "DELETE");
        assert_eq!(next.count(Counter::SessionsOpen), open, "{verb}");
    }
    // Without the keys, and without the setting.
    let mut other = process(|settings| settings.parts.sealer = Arc::new(Sealer::random()));
    check(&mut other, &session, false);
    let mut off = process(|settings| settings.session_id_max_age_s = 0);
    check(&mut off, &session, false);
    assert!(off.session().len() < session.len());
}

#[test]
fn what_the_handshake_fixed_is_there_again() {
    let mut before = process(|_| ());
    let params = json!({
        "protocolVersion": "2025-06-18",
        "capabilities": {"elicitation": {}, "roots": {}},
        "clientInfo": {"name": "c", "version": "1"},
    });
    let answer = before.post("", &request(1, "initialize", params));
    let Disposition::Answer {
        session: Some(new), ..
    } = answer.disposition
    else {
        panic!("initialize makes a session");
    };
    let text = String::from_utf8_lossy(&new.text);
    let mut next = process(|_| ());
    check(&mut next, &format!("MCP-Session-Id: {text}\r\n"), true);
    let terms = |endpoint: &mut TestEndpoint| {
        let session = endpoint.endpoint.services().sessions.find(new.id);
        let session = session.expect("the session is there");
        (session.revision, session.capabilities, session.lists)
    };
    assert_eq!(terms(&mut next), terms(&mut before));
}

#[test]
fn a_process_with_fewer_shards_has_a_home_for_every_session() {
    let mut before = process(|settings| (settings.shard, settings.shards) = (7, 8));
    let sessions: Vec<String> = (0..16).map(|_| before.session()).collect();
    let mut only = process(|_| ());
    for session in &sessions {
        check(&mut only, session, true);
    }
    let mut shards: Vec<TestEndpoint> = (0..3)
        .map(|shard| process(|settings| (settings.shard, settings.shards) = (shard, 3)))
        .collect();
    for (at, session) in sessions.iter().enumerate() {
        let front = at % 3;
        let answer = shards[front].post(session, &request(2, "ping", json!({})));
        let Disposition::Forward { home, request } = answer.disposition else {
            answer.check("200", &result(2, json!({})));
            continue;
        };
        assert!(request.seal.is_some());
        assert_ne!(usize::from(home), front);
        let endpoint = &mut shards[usize::from(home)].endpoint;
        let mut out = Vec::new();
        assert_eq!(
            kind_of(&endpoint.handle_forwarded(*request, &mut out)),
            "200"
        );
        let body = serde_json::from_slice(&out).expect("an answer");
        assert!(agrees(&body, &result(2, json!({}))), "{body}");
    }
    let restored = |shard: &TestEndpoint| shard.count(Counter::SessionsRestored);
    assert_eq!(shards.iter().map(restored).sum::<u64>(), 16);
}

#[test]
fn an_id_is_for_its_principal_until_it_is_too_old() {
    let mut before = process(|_| ());
    before.principal = Some("ann");
    let session = before.session();
    let mut next = process(|_| ());
    for (principal, lives) in [(None, false), (Some("bob"), false), (Some("ann"), true)] {
        next.principal = principal;
        check(&mut next, &session, lives);
    }
    let mut late = process(|_| ());
    late.principal = Some("ann");
    late.expire_at(MAX_AGE_S * 1000 + 2000);
    check(&mut late, &session, false);
    assert_eq!(late.count(Counter::SessionsRestored), 0);
}

#[test]
fn idle_and_evicted_sessions_come_back_and_ended_and_changed_ones_do_not() {
    let mut harness = process(|settings| settings.sessions_max = 2);
    let (idle, changed) = (harness.session(), harness.session());
    let set = request(2, "logging/setLevel", json!({"level": "alert"}));
    harness
        .post(&changed, &set)
        .check("200", &result(2, json!({})));
    harness.expire_at(10_000);
    assert_eq!(harness.count(Counter::SessionsExpired), 2);
    check(&mut harness, &idle, true);
    check(&mut harness, &changed, false);
    let other = harness.session();
    let third = harness.session();
    assert_eq!(harness.count(Counter::SessionsEvicted), 1);
    check(&mut harness, &idle, true);
    harness.send("DELETE", &third).check("done", &Value::Null);
    check(&mut harness, &third, false);
    harness
        .send("DELETE", &third)
        .check("404", &error((), -32001));
    check(&mut harness, &other, true);
}

#[test]
fn a_session_that_has_no_room_is_refused_and_nothing_is_executed() {
    on_executor(async {
        let session = process(|_| ()).session();
        let mut next = process(|settings| settings.sessions_max = 1);
        let own = next.session();
        next.call_legacy(&own, "wait", json!({})).pending();
        let call = next.call_legacy(&session, "wait", json!({}));
        call.check("503", &error(1, -32603));
        assert_eq!(next.count(Counter::SessionsRestored), 0);
        next.gate.open();
        assert_eq!(next.settle().await.len(), 1);
        check(&mut next, &session, true);
        let mut draining = process(|_| ());
        draining.endpoint.drain();
        let ping = request(2, "ping", json!({}));
        draining
            .post(&session, &ping)
            .check("503", &error(2, -32603));
        // The session counts for the address of its client, wherever it is made.
        let elsewhere = process(|settings| (settings.shard, settings.shards) = (1, 2)).session();
        for session in [session, elsewhere] {
            let mut unknown = process(|settings| settings.shards = 2);
            unknown.peer = None;
            let answer = unknown.post(&session, &ping);
            assert!(matches!(answer.disposition, Disposition::PeerNeeded));
        }
    });
}

#[test]
fn a_stream_of_the_process_before_is_not_resumed() {
    on_executor(async {
        let mut before = process(|_| ());
        before.takes_events = true;
        let session = before.session();
        before.call_legacy(&session, "wait", json!({})).pending();
        let mut next = process(|_| ());
        next.takes_events = true;
        let mut ids = Vec::new();
        for harness in [&mut before, &mut next] {
            harness.call_legacy(&session, "wait", json!({})).pending();
            for (_, part) in harness.settle().await {
                if let crate::mcp::Part::Event { id: Some(id), .. } = part {
                    ids.push(id);
                }
            }
        }
        let after =
            |id: crate::mcp::EventId| format!("{session}Last-Event-ID: {}\r\n", id.to_text());
        let [own_before, .., own_next] = ids[..] else {
            panic!("each call begins a stream: {ids:?}");
        };
        next.send("GET", &after(own_before))
            .check("400", &error((), -32600));
        assert_eq!(
            kind_of(&next.send("GET", &after(own_next)).disposition),
            "stream"
        );
    });
}

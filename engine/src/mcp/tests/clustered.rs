//! Sessions of a node of a cluster: looked up before they are served, and left as they change.

use std::sync::{Arc, Mutex};

use corelane_protocol::request_state::Sealer;
use serde_json::{Value, json};

use super::test_endpoint::{TestEndpoint, agrees, error, kind_of, request, result};
use crate::cluster::{ClusterBoard, ClusterEvent, ClusterState};
use crate::mcp::{Disposition, Forwarded, NamedSession};
use crate::meter::Counter;

type Left = Arc<Mutex<Vec<ClusterEvent>>>;

/// A node, and the events that it left.
fn node(number: u16, has_room: bool) -> (TestEndpoint, Left) {
    let left = Left::default();
    let events = Arc::clone(&left);
    let harness = TestEndpoint::with(|settings| {
        let board = ClusterBoard::new(number, move |event| match has_room {
            true => {
                events.lock().expect("no panic").push(event);
                Ok(())
            }
            false => Err(event),
        });
        settings.parts.cluster = Some(Arc::new(board));
        settings.parts.sealer = Arc::new(Sealer::new(&[[5; 32]]));
        settings.session_id_max_age_s = 3_600;
    });
    (harness, left)
}

fn take(left: &Left) -> Vec<ClusterEvent> {
    std::mem::take(&mut *left.lock().expect("no panic"))
}

fn ping() -> String {
    request(2, "ping", json!({}))
}

/// The random bits of the session in header lines.
fn random_of(session: &str) -> u128 {
    let id = session.trim().split_once(": ").expect("a header").1;
    let named = NamedSession::parse(id.as_bytes()).expect("an id");
    { named.id }.random
}

/// A request that is looked up, as its connection passes it on.
fn passed_on(harness: &mut TestEndpoint, session: &str, message: &str) -> Box<Forwarded> {
    let answer = harness.post(session, message);
    let Disposition::Forward { home: 0, request } = answer.disposition else {
        panic!("it is not looked up: {:?}", answer.disposition);
    };
    request
}

/// The answers to the requests that waited for a session.
fn arrive(harness: &mut TestEndpoint, random: u128, state: Option<ClusterState>) -> Vec<Value> {
    let endpoint = &mut harness.endpoint;
    let waiting = endpoint.begin_arrival(random, state.map(Box::new));
    let answers = waiting.into_iter().map(|request| {
        let mut out = Vec::new();
        endpoint.handle_forwarded(request, &mut out);
        serde_json::from_slice(&out).unwrap_or(Value::Null)
    });
    let answers = answers.collect();
    endpoint.end_arrival();
    answers
}

#[test]
fn a_session_of_another_node_is_looked_up_once_and_served_in_its_state() {
    let session = node(1, true).0.session();
    let random = random_of(&session);
    let (mut two, left) = node(2, true);
    for _ in 0..3 {
        let request = passed_on(&mut two, &session, &ping());
        assert!(two.endpoint.look_up(request).is_none());
    }
    let events = take(&left);
    let [ClusterEvent::LookUp(0, named)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((named.random, named.node, named.home), (random, 1, 0));
    let state = ClusterState {
        level: Some(7),
        uris: vec!["test://nowhere".into()],
    };
    let answers = arrive(&mut two, random, Some(state));
    assert_eq!(answers.len(), 3);
    assert!(
        answers.iter().all(|it| agrees(it, &result(2, json!({})))),
        "{answers:?}"
    );
    assert_eq!(two.count(Counter::SessionsRestored), 1);
    // From here on it is served without the cluster.
    two.post(&session, &ping())
        .check("200", &result(2, json!({})));
    assert!(take(&left).is_empty());
    // Its own ones are from the beginning.
    let own = two.session();
    two.post(&own, &ping()).check("200", &result(2, json!({})));
    assert!(take(&left).is_empty());
}

#[test]
fn a_session_that_others_may_have_is_looked_up_again() {
    let (mut one, left) = node(1, true);
    let session = one.session();
    let random = random_of(&session);
    for doubt in [true, false] {
        match doubt {
            true => one.endpoint.handle_doubt(),
            // One that is busy stays until its calls have ended; this one goes.
            false => one.endpoint.handle_leave(random),
        }
        let request = passed_on(&mut one, &session, &ping());
        assert!(one.endpoint.look_up(request).is_none());
        assert!(matches!(take(&left)[..], [ClusterEvent::LookUp(..)]));
        assert_eq!(arrive(&mut one, random, None).len(), 1);
        one.post(&session, &ping())
            .check("200", &result(2, json!({})));
    }
    let counts = [Counter::SessionsMoved, Counter::SessionsRestored];
    assert_eq!(counts.map(|it| one.count(it)), [1, 1]);
}

#[test]
fn changes_are_left_as_the_state_that_they_lead_to() {
    let (mut one, left) = node(1, true);
    let session = one.session();
    let set = request(3, "logging/setLevel", json!({ "level": "error" }));
    one.post(&session, &set).check("200", &result(3, json!({})));
    let events = take(&left);
    let [ClusterEvent::Changed(changed)] = &events[..] else {
        panic!("{events:?}");
    };
    let (named, state) = &**changed;
    assert_eq!((named.node, named.random), (1, random_of(&session)));
    assert_eq!((state.level, state.uris.len()), (Some(4), 0));
    // One that the cluster knows is missed when it goes.
    one.expire_at(10_000_000);
    let expected = |event: &ClusterEvent| {
        matches!(
            event,
            ClusterEvent::Gone {
                has_expired: true,
                ..
            }
        )
    };
    let events = take(&left);
    assert!(
        matches!(&events[..], [event] if expected(event)),
        "{events:?}"
    );
}

#[test]
fn an_end_waits_for_the_cluster() {
    let (mut one, left) = node(1, true);
    let session = one.session();
    let deleted = one.send("DELETE", &session);
    assert_eq!(kind_of(&deleted.disposition), "pending");
    assert!(matches!(take(&left)[..], [ClusterEvent::Delete(0, _)]));
    one.post(&session, &ping())
        .check("200", &result(2, json!({})));
    let random = random_of(&session);
    one.endpoint.handle_leave(random);
    one.endpoint.handle_ended(random);
    assert_eq!(one.count(Counter::SessionsDeleted), 1);
    let request = passed_on(&mut one, &session, &ping());
    assert!(one.endpoint.look_up(request).is_none());
    one.endpoint.handle_missing(random);
    assert!(arrive(&mut one, random, None).is_empty());
}

#[test]
fn what_the_cluster_does_not_take_is_refused_and_nothing_was_done() {
    let session = node(1, true).0.session();
    let (mut two, _) = node(2, false);
    let request = passed_on(&mut two, &session, &ping());
    assert!(two.endpoint.look_up(request).is_none(), "it is answered");
    assert_eq!(two.count(Counter::SessionsRestored), 0);
    let own = two.session();
    two.send("DELETE", &own)
        .check("503", &error(Value::Null, -32_603));
    two.post(&own, &ping()).check("200", &result(2, json!({})));
}

//! Streams for the messages of a session.

use serde_json::Value;

use super::test_endpoint::{MODERN, TestEndpoint, check_parts, error, progress, session_header};
use crate::mcp::{Disposition, Part, StreamOwner};

#[test]
fn past_the_limit_a_new_stream_of_a_session_ends_its_oldest() {
    let mut harness = TestEndpoint::new();
    let id = harness.session_id();
    let session = session_header(id);
    let first = harness.send("GET", &session);
    let Disposition::Stream(StreamOwner::Session(of)) = first.disposition else {
        panic!("no stream of a session: {:?}", first.disposition);
    };
    assert_eq!(of.session, id);
    let second = harness.send("GET", &session);
    second.check("stream", &Value::Null);
    assert!(harness.deliveries().is_empty(), "two may be open");
    let end = [("end", Value::Null)];
    harness.send("GET", &session).check("stream", &Value::Null);
    check_parts(&harness.deliveries(), first.exchange, &end);
    harness.endpoint.handle_stream_gone(id, first.exchange);
    harness.send("GET", &session).check("stream", &Value::Null);
    check_parts(&harness.deliveries(), second.exchange, &end);
}

#[test]
fn a_message_goes_to_the_newest_stream_of_its_session() {
    let mut harness = TestEndpoint::new();
    let id = harness.session_id();
    let session = session_header(id);
    let notify = |harness: &mut TestEndpoint, step: f64, is_change: bool| {
        let message = progress(step).to_string().into_bytes();
        let mut broadcasting = harness.endpoint.services().broadcasting();
        match is_change {
            true => broadcasting.notifier.notify_change(id, message),
            false => assert!(broadcasting.notifier.notify(id, message)),
        }
    };
    let [older, newer] = [(), ()].map(|()| harness.send("GET", &session).exchange);
    for is_change in [true, false] {
        notify(&mut harness, 1.0, is_change);
        let delivered = harness.deliveries();
        assert_eq!((delivered.len(), delivered[0].0), (1, newer));
    }
    harness.endpoint.handle_stream_gone(id, newer);
    notify(&mut harness, 2.0, false);
    let delivered = harness.deliveries();
    assert_eq!(delivered[0].0, older);
    // A stream that is resumed is the newest.
    let Part::Event { id: Some(seen), .. } = &delivered[0].1 else {
        panic!("no event: {delivered:?}");
    };
    let beside = harness.send("GET", &session).exchange;
    let last_event_id = format!("{session}Last-Event-ID: {}\r\n", seen.to_text());
    let resumed = harness.send("GET", &last_event_id).exchange;
    check_parts(&harness.deliveries(), older, &[("end", Value::Null)]);
    notify(&mut harness, 3.0, false);
    assert_eq!(harness.deliveries()[0].0, resumed);
    harness.endpoint.handle_stream_gone(id, resumed);
    notify(&mut harness, 4.0, false);
    assert_eq!(harness.deliveries()[0].0, beside);
}

#[test]
fn an_ended_session_ends_its_streams() {
    let mut harness = TestEndpoint::new();
    let session = harness.session();
    let stream = harness.send("GET", &session);
    harness.send("DELETE", &session).check("done", &Value::Null);
    check_parts(
        &harness.deliveries(),
        stream.exchange,
        &[("end", Value::Null)],
    );
}

#[test]
fn a_session_with_a_stream_neither_expires_nor_makes_room() {
    let mut harness = TestEndpoint::with(|settings| settings.sessions_max = 1);
    let id = harness.session_id();
    let stream = harness.send("GET", &session_header(id));
    harness.expire_at(10_000);
    let refused = harness.post("", &super::test_endpoint::initialize("2025-11-25"));
    refused.check("503", &error(1, -32603));
    harness.endpoint.handle_stream_gone(id, stream.exchange);
    harness.expire_at(30_000);
    assert!(harness.endpoint.services().sessions.find(id).is_none());
    assert!(harness.deliveries().is_empty());
}

#[test]
fn a_stream_needs_a_session_and_the_legacy_era() {
    let mut harness = TestEndpoint::new();
    let session = harness.session();
    harness.send("GET", "").check("400", &error((), -32600));
    harness
        .send("GET", "MCP-Session-Id: x\r\n")
        .check("404", &error((), -32001));
    for verb in ["GET", "DELETE"] {
        let answer = harness.send(verb, &format!("{session}{MODERN}"));
        answer.check("405", &error((), -32600));
    }
}

#[test]
fn what_did_not_reach_a_stream_goes_to_the_next_in_order_and_is_not_replayed() {
    for seen in [0, 1] {
        let mut harness = TestEndpoint::new();
        let id = harness.session_id();
        let session = session_header(id);
        let [older, newer] = [(), ()].map(|()| harness.send("GET", &session).exchange);
        let steps = [1.0, 2.0, 3.0, 4.0];
        for step in steps {
            let message = progress(step).to_string().into_bytes();
            let mut broadcasting = harness.endpoint.services().broadcasting();
            assert!(broadcasting.notifier.notify(id, message));
        }
        let mut delivered = harness.deliveries();
        assert!(delivered.iter().all(|(exchange, _)| *exchange == newer));
        // Its client got the first ones.
        let undelivered = delivered.split_off(seen);
        harness.endpoint.handle_stream_gone(id, newer);
        for (_, part) in undelivered {
            let Part::Event {
                id: Some(event),
                message,
            } = part
            else {
                panic!("no event: {part:?}");
            };
            harness.endpoint.handle_undelivered(event, message);
        }
        let expected = steps[seen..].iter().map(|step| ("event", progress(*step)));
        let expected: Vec<_> = expected.collect();
        check_parts(&harness.deliveries(), older, &expected);
        if let Some((_, Part::Event { id: Some(last), .. })) = delivered.last() {
            let last_event_id = format!("{session}Last-Event-ID: {}\r\n", last.to_text());
            let resumed = harness.send("GET", &last_event_id);
            resumed.check("stream", &Value::Null);
            assert!(harness.deliveries().is_empty(), "it is not sent twice");
        }
    }
}

#[test]
fn what_did_not_reach_the_only_stream_of_a_session_waits_for_its_client() {
    let mut harness = TestEndpoint::new();
    let id = harness.session_id();
    let session = session_header(id);
    let only = harness.send("GET", &session).exchange;
    for step in [1.0, 2.0] {
        let message = progress(step).to_string().into_bytes();
        let mut broadcasting = harness.endpoint.services().broadcasting();
        broadcasting.notifier.notify(id, message);
    }
    let delivered = harness.deliveries();
    harness.endpoint.handle_stream_gone(id, only);
    let events: Vec<_> = delivered
        .iter()
        .filter_map(|(_, part)| match part {
            Part::Event { id, .. } => *id,
            _ => None,
        })
        .collect();
    let [seen, lost] = events[..] else {
        panic!("two events: {delivered:?}");
    };
    harness.endpoint.handle_undelivered(lost, b"{}".to_vec());
    assert!(harness.deliveries().is_empty());
    let last_event_id = format!("{session}Last-Event-ID: {}\r\n", seen.to_text());
    let resumed = harness.send("GET", &last_event_id).exchange;
    let expected = [("event", progress(2.0))];
    check_parts(&harness.deliveries(), resumed, &expected);
}

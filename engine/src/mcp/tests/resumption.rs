//! Streams that are lost and resumed: every event once, to its own client, while it is kept.

use serde_json::{Value, json};

use super::test_endpoint::{
    Answer, TestEndpoint, agrees, check_parts, error, initialize, on_executor, part_of, progress,
    result, session_header, text,
};
use crate::mcp::EventId;
use crate::mcp::{Disposition, Exchange, Part, StreamOwner};
use crate::meter::Counter;

/// An endpoint whose clients take streams.
fn harness() -> TestEndpoint {
    let mut harness = TestEndpoint::new();
    harness.takes_events = true;
    harness
}

/// Calls a tool that reports two steps of progress and then waits for the gate.
fn call(harness: &mut TestEndpoint, session: &str) -> Answer {
    let arguments = json!({"steps": [1.0, 2.0], "waits": true});
    harness.call_legacy(session, "steps", arguments)
}

/// The ids of the events among `delivered`, each of which has one.
#[track_caller]
fn ids(delivered: &[(Exchange, Part)]) -> Vec<EventId> {
    let ids = delivered.iter().filter_map(|(_, part)| match part {
        Part::Event { id, .. } => Some(id.expect("each event has an id")),
        _ => None,
    });
    ids.collect()
}

/// Requests the events after one.
fn resume(harness: &mut TestEndpoint, session: &str, after: &str) -> Answer {
    harness.send("GET", &format!("{session}Last-Event-ID: {after}\r\n"))
}

#[track_caller]
fn check_refused(harness: &mut TestEndpoint, session: &str, after: &str, says: &str) {
    let answer = resume(harness, session, after);
    answer.check("400", &error((), -32600));
    let message = answer.body["error"]["message"].as_str().expect("a text");
    assert!(message.contains(says), "{message}");
    assert!(harness.deliveries().is_empty());
}

fn done() -> Value {
    result(1, text("walked"))
}

#[test]
fn a_call_that_waits_is_primed_and_its_events_and_answer_have_ids() {
    on_executor(async {
        let mut harness = harness();
        let session = harness.session();
        let answer = call(&mut harness, &session);
        answer.pending();
        let primed = harness.deliveries();
        check_parts(&primed, answer.exchange, &[("event", Value::Null)]);
        harness.gate.open();
        let rest = harness.settle().await;
        let expected = [
            ("event", progress(1.0)),
            ("event", progress(2.0)),
            ("event", done()),
            ("end", Value::Null),
        ];
        check_parts(&rest, answer.exchange, &expected);
        let ids: Vec<_> = ids(&primed).into_iter().chain(ids(&rest)).collect();
        assert!(ids.iter().all(|id| id.stream == ids[0].stream));
        let sequences: Vec<u64> = ids.iter().map(|id| id.sequence).collect();
        assert_eq!(sequences, [0, 1, 2, 3]);
    });
}

#[test]
fn immediate_and_json_answers_keep_no_events() {
    on_executor(async {
        let mut harness = harness();
        let session = harness.session();
        harness
            .call_legacy(&session, "echo", json!({"message": "m"}))
            .check("200", &result(1, text("m")));
        harness.takes_events = false;
        let answer = call(&mut harness, &session);
        harness.gate.open();
        let delivered = harness.settle().await;
        assert_eq!(delivered.last().map(|last| last.0), Some(answer.exchange));
        let is_kept = |part: &Part| matches!(part, Part::Event { id: Some(_), .. });
        assert!(!delivered.iter().any(|(_, part)| is_kept(part)));
        assert_eq!(part_of(&delivered[2].1), ("200".to_owned(), done()));
        assert_eq!(harness.count(Counter::EventsBytes), 0);
    });
}

#[test]
fn a_client_of_an_older_revision_is_not_primed_and_resumes_after_its_first_event() {
    on_executor(async {
        let mut harness = harness();
        let answer = harness.post("", &initialize("2025-06-18"));
        let Disposition::Answer {
            session: Some(new), ..
        } = answer.disposition
        else {
            panic!("a session is made: {}", answer.body);
        };
        let session = session_header(new.id);
        let answer = call(&mut harness, &session);
        assert!(harness.deliveries().is_empty());
        let delivered = harness.settle().await;
        let ids = ids(&delivered);
        assert_eq!(ids.len(), 2);
        harness
            .endpoint
            .handle_client_gone(answer.pending(), answer.exchange);
        harness.gate.open();
        assert!(harness.settle().await.is_empty());
        let resumed = resume(&mut harness, &session, &ids[0].to_text());
        let expected = [
            ("event", progress(2.0)),
            ("event", done()),
            ("end", Value::Null),
        ];
        check_parts(&harness.deliveries(), resumed.exchange, &expected);
    });
}

#[test]
fn a_call_whose_client_left_is_resumed_while_it_runs_and_after() {
    on_executor(async {
        let mut harness = harness();
        let session = harness.session();
        let answer = call(&mut harness, &session);
        let primed = ids(&harness.settle().await)[0].to_text();
        harness
            .endpoint
            .handle_client_gone(answer.pending(), answer.exchange);
        let first = resume(&mut harness, &session, &primed);
        let steps = [("event", progress(1.0)), ("event", progress(2.0))];
        assert!(matches!(first.disposition, Disposition::Stream(_)));
        check_parts(&harness.deliveries(), first.exchange, &steps);
        // The late loss of the old connection does not end the new one.
        harness
            .endpoint
            .handle_client_gone(answer.pending(), answer.exchange);
        let second = resume(&mut harness, &session, &primed);
        assert_eq!(harness.count(Counter::StreamsResumed), 2);
        // One stream, one connection.
        let delivered = harness.deliveries();
        let end = [("end", Value::Null)];
        check_parts(&delivered[..1], first.exchange, &end);
        check_parts(&delivered[1..], second.exchange, &steps);
        harness.gate.open();
        let live = harness.settle().await;
        let rest = [("event", done()), ("end", Value::Null)];
        check_parts(&live, second.exchange, &rest);
        let third = resume(&mut harness, &session, &primed);
        let all: Vec<_> = steps.into_iter().chain(rest).collect();
        check_parts(&harness.deliveries(), third.exchange, &all);
        let last = ids(&live)[0].to_text();
        resume(&mut harness, &session, &last).check("done", &Value::Null);
        assert!(harness.deliveries().is_empty());
    });
}

#[test]
fn a_resumed_stream_that_is_lost_again_keeps_the_answer() {
    on_executor(async {
        let mut harness = harness();
        let id = harness.session_id();
        let session = session_header(id);
        let answer = call(&mut harness, &session);
        let seen = ids(&harness.settle().await)[2].to_text();
        harness
            .endpoint
            .handle_client_gone(answer.pending(), answer.exchange);
        let resumed = resume(&mut harness, &session, &seen);
        harness.endpoint.handle_stream_gone(id, resumed.exchange);
        harness.gate.open();
        assert!(harness.settle().await.is_empty());
        let again = resume(&mut harness, &session, &seen);
        let rest = [("event", done()), ("end", Value::Null)];
        check_parts(&harness.deliveries(), again.exchange, &rest);
    });
}

#[test]
fn ids_that_name_nothing_of_the_session_are_refused_and_say_why() {
    on_executor(async {
        let mut harness = TestEndpoint::with(|settings| settings.events.events_per_stream_max = 1);
        harness.takes_events = true;
        let (session, other) = (harness.session(), harness.session());
        call(&mut harness, &session);
        let own = ids(&harness.settle().await);
        for text in ["x", "0000-0", "0000-0-0-0", "00000000-0-0"] {
            check_refused(&mut harness, &session, text, "no id that this server gives");
        }
        let unknown = "unknown or its stream is no longer kept";
        for (session, text) in [
            (&session, "0000-0-9"),
            (&session, "0000-ff-0"),
            (&session, "0001-0-0"),
            (&other, &own[1].to_text()),
        ] {
            check_refused(&mut harness, session, text, unknown);
        }
        check_refused(&mut harness, &session, &own[0].to_text(), "were dropped");
        assert_eq!(harness.count(Counter::EventsDropped), 1);
        let twice = format!("{session}Last-Event-ID: a\r\nLast-Event-ID: b\r\n");
        harness.send("GET", &twice).check("400", &error((), -32600));
        resume(&mut harness, "MCP-Session-Id: x\r\n", "0000-0-0").check("404", &error((), -32001));
        let resumed = resume(&mut harness, &session, &own[1].to_text());
        check_parts(
            &harness.deliveries()[1..],
            resumed.exchange,
            &[("event", progress(2.0))],
        );
    });
}

/// Ends a session in `end` while a stream of it is kept, and checks that nothing is left.
fn check_forgotten(end: impl FnOnce(&mut TestEndpoint, &str)) {
    on_executor(async {
        let mut harness = TestEndpoint::with(|settings| settings.sessions_max = 1);
        harness.takes_events = true;
        harness.gate.open();
        let session = harness.session();
        call(&mut harness, &session).pending();
        assert_eq!(ids(&harness.settle().await).len(), 4);
        assert!(harness.count(Counter::EventsBytes) > 0);
        end(&mut harness, &session);
        assert_eq!(harness.count(Counter::EventsBytes), 0);
        assert_eq!(harness.count(Counter::EventsDropped), 0);
        resume(&mut harness, &session, "0000-0-1").check("404", &error((), -32001));
    });
}

#[test]
fn the_end_of_a_session_forgets_its_events() {
    check_forgotten(|harness, session| {
        harness.send("DELETE", session).check("done", &Value::Null);
    });
    check_forgotten(|harness, _| harness.expire_at(10_000));
    check_forgotten(|harness, _| {
        harness.session();
        assert_eq!(harness.count(Counter::SessionsEvicted), 1);
    });
}

#[test]
fn a_cancelled_call_keeps_no_events() {
    on_executor(async {
        let mut harness = harness();
        let session = harness.session();
        let key = call(&mut harness, &session).pending();
        let primed = ids(&harness.settle().await)[0].to_text();
        let kept_bytes = harness.count(Counter::EventsBytes);
        harness.endpoint.services().endings().cancel(key);
        assert!(harness.count(Counter::EventsBytes) < kept_bytes);
        assert_eq!(harness.count(Counter::EventsDropped), 0);
        harness.deliveries();
        resume(&mut harness, &session, &primed).check("done", &Value::Null);
        assert!(harness.deliveries().is_empty());
    });
}

#[test]
fn a_client_whose_answer_was_dropped_learns_it_when_it_resumes() {
    on_executor(async {
        let mut harness =
            TestEndpoint::with(|settings| settings.events.streams_per_session_max = 1);
        harness.takes_events = true;
        harness.gate.open();
        let session = harness.session();
        let answer = call(&mut harness, &session);
        let primed = ids(&harness.deliveries())[0].to_text();
        harness
            .endpoint
            .handle_client_gone(answer.pending(), answer.exchange);
        harness.settle().await;
        call(&mut harness, &session).pending();
        harness.settle().await;
        assert_eq!(harness.count(Counter::EventStreamsDropped), 1);
        let says = "make the request again if its answer is missing";
        check_refused(&mut harness, &session, &primed, says);
    });
}

#[test]
fn of_a_stream_that_is_over_there_is_nothing_to_resume() {
    on_executor(async {
        let mut harness = harness();
        harness.gate.open();
        let session = harness.session();
        call(&mut harness, &session).pending();
        let answered = ids(&harness.settle().await);
        let [.., before, last] = answered.as_slice() else {
            panic!("a call with progress has events: {answered:?}");
        };
        for _ in 0..2 {
            resume(&mut harness, &session, &last.to_text()).check("done", &Value::Null);
            assert!(harness.deliveries().is_empty());
        }
        let resumed = resume(&mut harness, &session, &before.to_text());
        let rest = [("event", done()), ("end", Value::Null)];
        check_parts(&harness.deliveries(), resumed.exchange, &rest);

        let key = call(&mut harness, &session).pending();
        let primed = ids(&harness.deliveries())[0];
        harness.endpoint.services().endings().cancel(key);
        harness.deliveries();
        resume(&mut harness, &session, &primed.to_text()).check("done", &Value::Null);
        assert!(harness.deliveries().is_empty());
    });
}

#[test]
fn a_call_that_pauses_ends_its_stream_and_goes_on() {
    on_executor(async {
        let mut harness = harness();
        let session = harness.session();
        let answer = harness.call_legacy(&session, "pauses", json!({}));
        let delivered = harness.settle().await;
        let expected = [
            ("event", Value::Null),
            ("event", progress(1.0)),
            ("pause", json!(1500)),
        ];
        check_parts(&delivered, answer.exchange, &expected);
        harness.gate.open();
        assert!(harness.settle().await.is_empty());
        let seen = ids(&delivered)[0].to_text();
        let resumed = resume(&mut harness, &session, &seen);
        let rest = harness.deliveries();
        let expected = [
            ("event", progress(1.0)),
            ("event", progress(2.0)),
            ("event", result(1, text("paused"))),
            ("end", Value::Null),
        ];
        check_parts(&rest, resumed.exchange, &expected);
    });
}

#[test]
fn a_client_that_cannot_come_back_is_not_sent_away() {
    on_executor(async {
        for (takes_events, kept_bytes) in [(false, 1_000_000), (true, 0)] {
            let mut harness = TestEndpoint::with(|settings| settings.events.bytes_max = kept_bytes);
            harness.takes_events = takes_events;
            harness.gate.open();
            let session = harness.session();
            harness.call_legacy(&session, "pauses", json!({})).pending();
            let delivered = harness.settle().await;
            let paused = delivered.iter().any(|it| part_of(&it.1).0 == "pause");
            assert!(!paused, "{delivered:?}");
            let answered = delivered
                .iter()
                .any(|it| agrees(&part_of(&it.1).1, &result(1, text("paused"))));
            assert!(answered, "{delivered:?}");
        }
        let mut harness = harness();
        harness.gate.open();
        let token = json!({"progressToken": "p"});
        harness.call_modern("pauses", json!({}), token).pending();
        let kinds: Vec<_> = harness.settle().await;
        let kinds: Vec<_> = kinds.iter().map(|it| part_of(&it.1).0).collect();
        assert_eq!(kinds, ["event", "event", "200"]);
    });
}

#[test]
fn a_stand_alone_stream_is_resumed_with_the_events_since() {
    let mut harness = harness();
    let id = harness.session_id();
    let session = session_header(id);
    let report_step = |harness: &mut TestEndpoint, step: f64| {
        let message = progress(step).to_string().into_bytes();
        harness
            .endpoint
            .services()
            .broadcasting()
            .notifier
            .notify(id, message);
    };
    // No stream is open.
    report_step(&mut harness, 1.0);
    assert!(harness.deliveries().is_empty());
    let opened = harness.send("GET", &session);
    assert!(harness.deliveries().is_empty());
    assert_eq!(harness.count(Counter::EventsBytes), 0);
    report_step(&mut harness, 2.0);
    let delivered = harness.deliveries();
    let expected = [("event", progress(2.0))];
    check_parts(&delivered, opened.exchange, &expected);
    harness.endpoint.handle_stream_gone(id, opened.exchange);
    report_step(&mut harness, 3.0);
    assert!(harness.deliveries().is_empty());
    let seen = ids(&delivered)[0].to_text();
    let resumed = resume(&mut harness, &session, &seen);
    report_step(&mut harness, 4.0);
    let expected = [("event", progress(3.0)), ("event", progress(4.0))];
    check_parts(&harness.deliveries(), resumed.exchange, &expected);
    // A silent one that is lost beside it does not take its place.
    let silent = harness.send("GET", &session);
    harness.endpoint.handle_stream_gone(id, silent.exchange);
    // It counts as the stream it is.
    harness.send("GET", &session).check("stream", &Value::Null);
    harness.send("GET", &session).check("stream", &Value::Null);
    let end = [("end", Value::Null)];
    check_parts(&harness.deliveries(), resumed.exchange, &end);
    let moved = resume(&mut harness, &session, &seen);
    let Disposition::Stream(StreamOwner::Session(of)) = moved.disposition else {
        panic!("no stream of a session: {:?}", moved.disposition);
    };
    assert_eq!(of.session, id);
}

//! Streams that are lost and resumed: every event once, to whom it belongs, while it is kept.

use serde_json::{Value, json};

use super::rig::{
    Answer, Rig, agrees, check_parts, error, initialize, on_executor, part_of, progress, result,
    session_header, text,
};
use crate::mcp::event_store::EventId;
use crate::mcp::{Disposition, Exchange, Part, StreamOwner};
use crate::meter::Counter;

/// A rig whose clients take streams.
fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.takes_events = true;
    rig
}

/// Calls a tool that reports two steps of progress and then waits for the gate.
fn call(rig: &mut Rig, session: &str) -> Answer {
    let arguments = json!({"steps": [1.0, 2.0], "waits": true});
    rig.call_legacy(session, "steps", arguments)
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

/// Asks for what came after an event.
fn resume(rig: &mut Rig, session: &str, after: &str) -> Answer {
    rig.send("GET", &format!("{session}Last-Event-ID: {after}\r\n"))
}

#[track_caller]
fn check_refused(rig: &mut Rig, session: &str, after: &str, says: &str) {
    let answer = resume(rig, session, after);
    answer.check("400", &error((), -32600));
    let message = answer.body["error"]["message"].as_str().expect("a text");
    assert!(message.contains(says), "{message}");
    assert!(rig.deliveries().is_empty());
}

fn done() -> Value {
    result(1, text("walked"))
}

#[test]
fn a_call_that_waits_is_primed_and_its_events_and_answer_have_ids() {
    on_executor(async {
        let mut rig = rig();
        let session = rig.session();
        let answer = call(&mut rig, &session);
        answer.pending();
        let primed = rig.deliveries();
        check_parts(&primed, answer.exchange, &[("event", Value::Null)]);
        rig.gate.open();
        let rest = rig.settle().await;
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
fn what_is_answered_at_once_or_as_json_keeps_nothing() {
    on_executor(async {
        let mut rig = rig();
        let session = rig.session();
        rig.call_legacy(&session, "echo", json!({"message": "m"}))
            .check("200", &result(1, text("m")));
        rig.takes_events = false;
        let answer = call(&mut rig, &session);
        rig.gate.open();
        let delivered = rig.settle().await;
        assert_eq!(delivered.last().map(|last| last.0), Some(answer.exchange));
        let is_kept = |part: &Part| matches!(part, Part::Event { id: Some(_), .. });
        assert!(!delivered.iter().any(|(_, part)| is_kept(part)));
        assert_eq!(part_of(&delivered[2].1), ("200".to_owned(), done()));
        assert_eq!(rig.count(Counter::EventsBytes), 0);
    });
}

#[test]
fn a_client_of_an_older_revision_is_not_primed_and_resumes_after_its_first_event() {
    on_executor(async {
        let mut rig = rig();
        let answer = rig.post("", &initialize("2025-06-18"));
        let Disposition::Answer {
            session: Some(id), ..
        } = answer.disposition
        else {
            panic!("a session is made: {}", answer.body);
        };
        let session = session_header(id);
        let answer = call(&mut rig, &session);
        assert!(rig.deliveries().is_empty());
        let delivered = rig.settle().await;
        let ids = ids(&delivered);
        assert_eq!(ids.len(), 2);
        rig.endpoint
            .core()
            .client_gone(answer.pending(), answer.exchange);
        rig.gate.open();
        assert!(rig.settle().await.is_empty());
        let resumed = resume(&mut rig, &session, &ids[0].to_text());
        let expected = [
            ("event", progress(2.0)),
            ("event", done()),
            ("end", Value::Null),
        ];
        check_parts(&rig.deliveries(), resumed.exchange, &expected);
    });
}

#[test]
fn a_call_whose_client_left_is_resumed_while_it_runs_and_after() {
    on_executor(async {
        let mut rig = rig();
        let session = rig.session();
        let answer = call(&mut rig, &session);
        let primed = ids(&rig.settle().await)[0].to_text();
        rig.endpoint
            .core()
            .client_gone(answer.pending(), answer.exchange);
        let first = resume(&mut rig, &session, &primed);
        let steps = [("event", progress(1.0)), ("event", progress(2.0))];
        assert!(matches!(first.disposition, Disposition::Stream(_)));
        check_parts(&rig.deliveries(), first.exchange, &steps);
        // The connection that is seen to go late does not take the new one with it.
        rig.endpoint
            .core()
            .client_gone(answer.pending(), answer.exchange);
        let second = resume(&mut rig, &session, &primed);
        assert_eq!(rig.count(Counter::StreamsResumed), 2);
        // One stream, one connection.
        let delivered = rig.deliveries();
        let end = [("end", Value::Null)];
        check_parts(&delivered[..1], first.exchange, &end);
        check_parts(&delivered[1..], second.exchange, &steps);
        rig.gate.open();
        let live = rig.settle().await;
        let rest = [("event", done()), ("end", Value::Null)];
        check_parts(&live, second.exchange, &rest);
        let third = resume(&mut rig, &session, &primed);
        let all: Vec<_> = steps.into_iter().chain(rest).collect();
        check_parts(&rig.deliveries(), third.exchange, &all);
        let last = ids(&live)[0].to_text();
        let fourth = resume(&mut rig, &session, &last);
        check_parts(&rig.deliveries(), fourth.exchange, &end);
    });
}

#[test]
fn a_resumed_stream_that_is_lost_again_keeps_the_answer() {
    on_executor(async {
        let mut rig = rig();
        let id = rig.session_id();
        let session = session_header(id);
        let answer = call(&mut rig, &session);
        let seen = ids(&rig.settle().await)[2].to_text();
        rig.endpoint
            .core()
            .client_gone(answer.pending(), answer.exchange);
        let resumed = resume(&mut rig, &session, &seen);
        rig.endpoint.core().stream_gone(id, resumed.exchange);
        rig.gate.open();
        assert!(rig.settle().await.is_empty());
        let again = resume(&mut rig, &session, &seen);
        let rest = [("event", done()), ("end", Value::Null)];
        check_parts(&rig.deliveries(), again.exchange, &rest);
    });
}

#[test]
fn ids_that_name_nothing_of_the_session_are_refused_and_say_why() {
    on_executor(async {
        let mut rig = Rig::with(|settings| settings.events.events_per_stream_max = 1);
        rig.takes_events = true;
        let (session, other) = (rig.session(), rig.session());
        call(&mut rig, &session);
        let own = ids(&rig.settle().await);
        for text in ["x", "0000-0", "0000-0-0-0", "00000000-0-0"] {
            check_refused(&mut rig, &session, text, "no id that this server gives");
        }
        let unknown = "unknown or its stream is no longer kept";
        for text in ["0000-ff-0", "0000-0-9", "0001-0-0"] {
            check_refused(&mut rig, &session, text, unknown);
        }
        check_refused(&mut rig, &other, &own[1].to_text(), unknown);
        check_refused(&mut rig, &session, &own[0].to_text(), "were dropped");
        assert_eq!(rig.count(Counter::EventsDropped), 1);
        let twice = format!("{session}Last-Event-ID: a\r\nLast-Event-ID: b\r\n");
        rig.send("GET", &twice).check("400", &error((), -32600));
        resume(&mut rig, "MCP-Session-Id: x\r\n", "0000-0-0").check("404", &error((), -32001));
        let resumed = resume(&mut rig, &session, &own[1].to_text());
        check_parts(
            &rig.deliveries()[1..],
            resumed.exchange,
            &[("event", progress(2.0))],
        );
    });
}

/// Ends a session in `end` while a stream of it is kept, and checks that nothing is left.
fn check_forgotten(end: impl FnOnce(&mut Rig, &str)) {
    on_executor(async {
        let mut rig = Rig::with(|settings| settings.sessions_max = 1);
        rig.takes_events = true;
        rig.gate.open();
        let session = rig.session();
        call(&mut rig, &session).pending();
        assert_eq!(ids(&rig.settle().await).len(), 4);
        assert!(rig.count(Counter::EventsBytes) > 0);
        end(&mut rig, &session);
        assert_eq!(rig.count(Counter::EventsBytes), 0);
        assert_eq!(rig.count(Counter::EventsDropped), 0);
        resume(&mut rig, &session, "0000-0-1").check("404", &error((), -32001));
    });
}

#[test]
fn the_end_of_a_session_forgets_its_events() {
    check_forgotten(|rig, session| {
        rig.send("DELETE", session).check("done", &Value::Null);
    });
    check_forgotten(|rig, _| rig.expire_at(10_000));
    check_forgotten(|rig, _| {
        rig.session();
        assert_eq!(rig.count(Counter::SessionsEvicted), 1);
    });
}

#[test]
fn a_cancelled_call_is_forgotten() {
    on_executor(async {
        let mut rig = rig();
        let session = rig.session();
        let key = call(&mut rig, &session).pending();
        rig.settle().await;
        rig.endpoint.core().cancel(key);
        assert_eq!(rig.count(Counter::EventsBytes), 0);
    });
}

#[test]
fn a_call_that_pauses_ends_its_stream_and_goes_on() {
    on_executor(async {
        let mut rig = rig();
        let session = rig.session();
        let answer = rig.call_legacy(&session, "pauses", json!({}));
        let delivered = rig.settle().await;
        let expected = [
            ("event", Value::Null),
            ("event", progress(1.0)),
            ("pause", json!(1500)),
        ];
        check_parts(&delivered, answer.exchange, &expected);
        rig.gate.open();
        assert!(rig.settle().await.is_empty());
        let seen = ids(&delivered)[0].to_text();
        let resumed = resume(&mut rig, &session, &seen);
        let rest = rig.deliveries();
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
            let mut rig = Rig::with(|settings| settings.events.bytes_max = kept_bytes);
            rig.takes_events = takes_events;
            rig.gate.open();
            let session = rig.session();
            rig.call_legacy(&session, "pauses", json!({})).pending();
            let delivered = rig.settle().await;
            let paused = delivered.iter().any(|it| part_of(&it.1).0 == "pause");
            assert!(!paused, "{delivered:?}");
            let answered = delivered
                .iter()
                .any(|it| agrees(&part_of(&it.1).1, &result(1, text("paused"))));
            assert!(answered, "{delivered:?}");
        }
        let mut rig = rig();
        rig.gate.open();
        let token = json!({"progressToken": "p"});
        rig.call_modern("pauses", json!({}), token).pending();
        let kinds: Vec<_> = rig.settle().await;
        let kinds: Vec<_> = kinds.iter().map(|it| part_of(&it.1).0).collect();
        assert_eq!(kinds, ["event", "event", "200"]);
    });
}

#[test]
fn a_stand_alone_stream_is_resumed_with_what_came_meanwhile() {
    let mut rig = rig();
    let id = rig.session_id();
    let session = session_header(id);
    let tell = |rig: &mut Rig, step: f64| {
        let message = progress(step).to_string().into_bytes();
        rig.endpoint.core().tell_session(id, message);
    };
    // Nobody has opened a stream.
    tell(&mut rig, 1.0);
    assert!(rig.deliveries().is_empty());
    let opened = rig.send("GET", &session);
    assert!(rig.deliveries().is_empty());
    assert_eq!(rig.count(Counter::EventsBytes), 0);
    tell(&mut rig, 2.0);
    let delivered = rig.deliveries();
    let expected = [("event", progress(2.0))];
    check_parts(&delivered, opened.exchange, &expected);
    rig.endpoint.core().stream_gone(id, opened.exchange);
    tell(&mut rig, 3.0);
    assert!(rig.deliveries().is_empty());
    let seen = ids(&delivered)[0].to_text();
    let resumed = resume(&mut rig, &session, &seen);
    tell(&mut rig, 4.0);
    let expected = [("event", progress(3.0)), ("event", progress(4.0))];
    check_parts(&rig.deliveries(), resumed.exchange, &expected);
    // A silent one that is lost beside it does not take its place.
    let silent = rig.send("GET", &session);
    rig.endpoint.core().stream_gone(id, silent.exchange);
    // It counts as the stream it is.
    rig.send("GET", &session).check("stream", &Value::Null);
    rig.send("GET", &session).check("503", &error((), -32603));
    let moved = resume(&mut rig, &session, &seen);
    let Disposition::Stream(StreamOwner::Session(of)) = moved.disposition else {
        panic!("no stream of a session: {:?}", moved.disposition);
    };
    assert_eq!(of.session, id);
}

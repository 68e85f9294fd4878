//! Answers that come later, and peers that leave before them.

use corelane_protocol::binding::refusal::Category;
use serde_json::{Value, json};

use super::response::{Body, Item, read_all};
use super::test_connection::{
    KEY, TestConnection, call, call_as, call_legacy, echo, post, text_of, texts,
};
use crate::connection::http::{Connection, Phase};
use crate::connection::source::Source;
use crate::connection::timer::Timer;
use crate::mcp::tests::test_endpoint::{
    TestEndpoint, initialize, on_executor, progress, request, result, session_header, text,
    with_trailer,
};
use crate::mcp::{Exchange, ForwardedKind, Part};

const JSON_ONLY: &str = "Accept: application/json\r\n";
const STREAM_ONLY: &str = "Accept: text/event-stream\r\n";

/// The exchange that the current request of `line` has.
fn exchange_of(line: &TestConnection) -> Exchange {
    Exchange {
        shard: 0,
        slot: KEY,
        sequence: line.connection.sequence,
        takes_events: true,
        is_on_channel: false,
    }
}

fn event(message: Value) -> Part {
    Part::Event {
        id: None,
        message: message.to_string().into_bytes(),
    }
}

fn done() -> Part {
    Part::Final {
        refused: None,
        body: result(1, json!({})).to_string().into_bytes(),
    }
}

#[test]
fn requests_behind_one_that_waits_are_answered_after_it() {
    on_executor(async {
        let mut line = TestConnection::new();
        let row = [call("", "wait", json!({})), echo("a"), echo("b")].concat();
        line.receive(row.as_bytes());
        line.receive(&echo("c").as_bytes()[..50]);
        line.receive(&echo("c").as_bytes()[50..]);
        line.settle().await;
        assert!(line.take_sent().is_empty());
        assert_eq!(line.connection.phase, Phase::Waiting);
        line.harness.gate.open();
        line.settle().await;
        assert_eq!(texts(&line.responses()), ["passed", "a", "b", "c"]);
        assert_eq!(line.connection.phase, Phase::Idle);
        assert!(line.owns_nothing());
        assert_eq!(line.pool.spare.len(), 1);
    });
}

#[test]
fn the_first_event_turns_an_answer_into_a_stream() {
    on_executor(async {
        let mut line = TestConnection::new();
        let arguments = json!({"steps": [1.0, 2.0], "waits": true});
        line.receive(
            [&call("", "steps", arguments), &echo("next")[..]]
                .concat()
                .as_bytes(),
        );
        assert_eq!(line.connection.phase, Phase::Waiting);
        assert!(line.take_sent().is_empty());
        line.settle().await;
        assert_eq!(line.connection.phase, Phase::Streaming);
        let mut sent = line.take_sent();
        let begun = read_all(&sent).remove(0);
        let mut items = vec![Item::Event(progress(1.0)), Item::Event(progress(2.0))];
        assert_eq!(begun.status, 200);
        assert_eq!(begun.field("cache-control"), Some("no-cache"));
        assert_eq!(begun.field("content-length"), None);
        assert!(matches!(&begun.body, Body::Stream(found, false) if *found == items));
        line.step(Connection::keep_alive);
        line.harness.gate.open();
        line.settle().await;
        sent.extend(line.take_sent());
        let responses = read_all(&sent);
        items.push(Item::Comment);
        items.push(Item::Event(with_trailer(1, text("walked"))));
        assert_eq!(responses[0].body, Body::Stream(items, true));
        assert_eq!(text_of(&responses[1]), "next");
        assert!(line.owns_nothing());
    });
}

#[test]
fn a_client_that_takes_json_only_gets_the_answer_and_no_events() {
    on_executor(async {
        let mut line = TestConnection::new();
        let arguments = json!({"steps": [1.0, 2.0], "waits": true});
        line.receive(call(JSON_ONLY, "steps", arguments).as_bytes());
        line.settle().await;
        assert_eq!(line.connection.phase, Phase::Waiting);
        assert!(line.take_sent().is_empty());
        line.harness.gate.open();
        line.settle().await;
        let response = line.response();
        assert_eq!(response.body, Body::Json(with_trailer(1, text("walked"))));
        assert!(line.owns_nothing());
    });
}

#[test]
fn a_client_that_takes_streams_only_gets_a_stream_of_one_event() {
    on_executor(async {
        let mut line = TestConnection::new();
        line.receive(call(STREAM_ONLY, "echo", json!({"message": "m"})).as_bytes());
        let expected = |value: Value| Body::Stream(vec![Item::Event(value)], true);
        assert_eq!(line.response().body, expected(with_trailer(1, text("m"))));
        line.receive(call(STREAM_ONLY, "wait", json!({})).as_bytes());
        line.harness.gate.open();
        line.settle().await;
        assert_eq!(
            line.response().body,
            expected(with_trailer(1, text("passed")))
        );
        line.receive(post(STREAM_ONLY, &initialize("2025-11-25")).as_bytes());
        let response = line.response();
        assert!(matches!(response.body, Body::Stream(_, true)));
        assert!(response.field("mcp-session-id").is_some());
        // A status other than 200 says that there is no stream.
        line.receive(post(STREAM_ONLY, "{").as_bytes());
        let response = line.response();
        assert_eq!(response.status, 400);
        assert!(matches!(response.body, Body::Json(_)));
        assert!(line.owns_nothing());
    });
}

#[test]
fn a_stream_of_http_1_0_ends_with_its_connection() {
    on_executor(async {
        let keep = "Connection: keep-alive\r\n";
        let arguments = json!({"steps": [1.0]});
        for (accept, tool, arguments) in [
            ("", "steps", arguments.clone()),
            (STREAM_ONLY, "steps", arguments),
            (STREAM_ONLY, "wait", json!({})),
            (STREAM_ONLY, "echo", json!({"message": "m"})),
        ] {
            let mut line = TestConnection::new();
            line.harness.gate.open();
            let headers = format!("{keep}{accept}");
            line.receive(call_as("HTTP/1.0", &headers, tool, arguments).as_bytes());
            line.settle().await;
            let response = line.response();
            assert_eq!(response.field("transfer-encoding"), None);
            assert_eq!(response.field("connection"), Some("close"));
            assert!(matches!(response.body, Body::Stream(..)), "{tool}");
            let closing = Phase::Flushing { lingers: false };
            assert_eq!(line.connection.phase, closing, "{accept}{tool}");
        }
    });
}

/// A call that waits, with a slow answer that has begun, and a pipelined request.
fn slow(version: &str, accept: &str) -> TestConnection {
    let mut line = TestConnection::new();
    line.receive(call_as(version, accept, "wait", json!({})).as_bytes());
    assert_eq!(line.connection.phase, Phase::Waiting);
    assert!(line.take_sent().is_empty());
    line.step(Connection::begin_slow_answer);
    line.step(Connection::keep_alive);
    line.receive(echo("next").as_bytes());
    line
}

#[test]
fn a_slow_call_answers_with_a_stream_if_its_client_takes_one() {
    on_executor(async {
        for accept in ["", STREAM_ONLY] {
            let mut line = slow("HTTP/1.1", accept);
            assert_eq!(line.connection.phase, Phase::Streaming);
            line.harness.gate.open();
            line.settle().await;
            let responses = line.responses();
            let answer = Item::Event(with_trailer(1, text("passed")));
            let items = vec![Item::Comment, Item::Comment, answer];
            assert_eq!(responses[0].body, Body::Stream(items, true));
            assert_eq!(text_of(&responses[1]), "next");
            assert!(line.owns_nothing());
        }
    });
}

#[test]
fn a_slow_call_sends_spaces_before_its_answer_to_a_client_that_takes_json_only() {
    on_executor(async {
        let mut line = slow("HTTP/1.1", JSON_ONLY);
        assert_eq!(line.connection.phase, Phase::Padding);
        let begun = line.take_sent();
        assert_eq!(read_all(&begun)[0].body, Body::Spaces(2, false));
        // Only clients that take streams get messages before the answer.
        line.deliver(exchange_of(&line), event(progress(1.0)));
        assert!(line.take_sent().is_empty());
        line.harness.gate.open();
        line.settle().await;
        let responses = read_all(&[begun, line.take_sent()].concat());
        assert_eq!(responses[0].status, 200);
        assert_eq!(responses[0].field("content-type"), Some("application/json"));
        assert_eq!(responses[0].field("x-accel-buffering"), Some("no"));
        assert_eq!(
            responses[0].body,
            Body::Json(with_trailer(1, text("passed")))
        );
        assert_eq!(text_of(&responses[1]), "next");
        assert!(line.owns_nothing());
    });
}

#[test]
fn a_slow_answer_to_http_1_0_ends_with_its_connection() {
    on_executor(async {
        let answer = || with_trailer(1, text("passed"));
        let items = vec![Item::Comment, Item::Comment, Item::Event(answer())];
        for (accept, body) in [
            (JSON_ONLY, Body::Json(answer())),
            (STREAM_ONLY, Body::Stream(items, false)),
        ] {
            let mut line = slow("HTTP/1.0", &format!("Connection: keep-alive\r\n{accept}"));
            line.harness.gate.open();
            line.settle().await;
            let response = line.response();
            assert_eq!(response.field("transfer-encoding"), None);
            assert_eq!(response.field("connection"), Some("close"));
            assert_eq!(response.body, body);
            let closing = Phase::Flushing { lingers: false };
            assert_eq!(line.connection.phase, closing, "{accept}");
        }
    });
}

#[test]
fn a_slow_call_without_an_answer_ends_its_response() {
    on_executor(async {
        for (accept, part) in [
            ("", Part::Unanswered),
            ("", Part::Accepted),
            (JSON_ONLY, Part::Unanswered),
            (JSON_ONLY, Part::Accepted),
        ] {
            let mut line = slow("HTTP/1.1", accept);
            line.deliver(exchange_of(&line), part);
            let responses = line.responses();
            let expected = match accept {
                JSON_ONLY => Body::Spaces(2, true),
                _ => Body::Stream(vec![Item::Comment, Item::Comment], true),
            };
            assert_eq!(responses[0].body, expected);
            assert_eq!(text_of(&responses[1]), "next");
        }
        // An error has a status of its own only before the answer has begun.
        let mut line = slow("HTTP/1.1", JSON_ONLY);
        let (refused, body) = (Some(Category::Invalid), b"{}".to_vec());
        line.deliver(exchange_of(&line), Part::Final { refused, body });
        let response = line.responses().remove(0);
        assert_eq!(
            (response.status, response.body),
            (200, Body::Json(json!({})))
        );
    });
}

#[test]
fn a_call_that_is_refused_later_says_when_it_may_be_made_again() {
    on_executor(async {
        let mut line = TestConnection::new();
        line.receive(call("", "wait", json!({})).as_bytes());
        let refused = Some(Category::Unavailable { retry_after_s: 7 });
        let body = b"{}".to_vec();
        line.deliver(exchange_of(&line), Part::Final { refused, body });
        let response = line.response();
        assert_eq!(response.status, 503);
        assert_eq!(response.field("retry-after"), Some("7"));
    });
}

#[test]
fn late_answers_are_not_awaited() {
    on_executor(async {
        let mut line = TestConnection::new();
        assert!(!line.deliver(exchange_of(&line), done()));
        line.receive(call("", "wait", json!({})).as_bytes());
        let first = exchange_of(&line);
        assert!(line.deliver(first, done()));
        assert!(!line.deliver(first, done()));
        line.receive(call("", "wait", json!({})).as_bytes());
        assert!(!line.deliver(first, done()));
        assert_eq!(line.connection.phase, Phase::Waiting);
        assert_eq!(line.responses().len(), 1);
        let second = exchange_of(&line);
        assert!(line.deliver(second, event(progress(1.0))));
        assert!(!line.deliver(first, done()));
        assert!(line.deliver(second, done()));
        assert!(!line.deliver(second, done()));
    });
}

#[test]
fn answers_without_a_message_have_a_status() {
    on_executor(async {
        for (part, status) in [(Part::Accepted, 202), (Part::Done, 204)] {
            let mut line = TestConnection::new();
            line.receive(call("", "wait", json!({})).as_bytes());
            assert!(line.deliver(exchange_of(&line), part));
            let response = line.response();
            assert_eq!((response.status, response.body), (status, Body::None));
            assert_eq!(line.connection.phase, Phase::Idle);
        }
        for part in [Part::Accepted, Part::Unanswered, Part::Done] {
            let mut line = TestConnection::new();
            line.receive(call("", "wait", json!({})).as_bytes());
            let exchange = exchange_of(&line);
            line.deliver(exchange, event(progress(1.0)));
            line.deliver(exchange, part);
            let items = vec![Item::Event(progress(1.0))];
            assert_eq!(line.response().body, Body::Stream(items, true));
            assert_eq!(line.connection.phase, Phase::Idle);
        }
    });
}

#[test]
fn a_request_without_an_answer_gets_a_stream_of_nothing_if_its_client_takes_one() {
    on_executor(async {
        for (accept, status, body) in [
            ("", 200, Body::Stream(Vec::new(), true)),
            (STREAM_ONLY, 200, Body::Stream(Vec::new(), true)),
            (JSON_ONLY, 202, Body::None),
        ] {
            let mut line = TestConnection::new();
            line.receive(call(accept, "wait", json!({})).as_bytes());
            assert!(line.deliver(exchange_of(&line), Part::Unanswered));
            let response = line.response();
            assert_eq!((response.status, response.body), (status, body));
            assert_eq!(line.connection.phase, Phase::Idle);
        }
    });
}

#[test]
fn a_request_for_another_shard_waits_for_its_answer() {
    let mut line = TestConnection::on(TestEndpoint::with(|settings| settings.shards = 2));
    let elsewhere = crate::mcp::SessionId { home: 1, random: 1 };
    let session = session_header(elsewhere);
    let ping = request(1, "ping", json!({}));
    line.receive([post(&session, &ping), echo("next")].concat().as_bytes());
    assert_eq!(line.connection.phase, Phase::Waiting);
    let (home, forwarded) = line.effects.forwards.pop().unwrap();
    assert_eq!(home, 1);
    assert_eq!(forwarded.session, elsewhere);
    assert_eq!(forwarded.exchange, exchange_of(&line));
    assert!(
        matches!(&forwarded.kind, ForwardedKind::Post(body) if body.text() == Some(ping.as_bytes()))
    );
    assert!(line.deliver(forwarded.exchange, done()));
    let responses = line.responses();
    assert_eq!(responses[0].body, Body::Json(result(1, json!({}))));
    assert_eq!(text_of(&responses[1]), "next");
}

#[test]
fn a_peer_that_sends_no_more_still_gets_its_answer_unless_that_means_cancel() {
    on_executor(async {
        for is_modern in [false, true] {
            let mut line = TestConnection::new();
            let session = line.harness.session();
            let request = match is_modern {
                true => call("", "wait", json!({})),
                false => call_legacy(&session, "wait", json!({})),
            };
            line.receive(request.as_bytes());
            line.settle().await;
            assert_eq!(line.step(Connection::finished), is_modern);
            if is_modern {
                continue;
            }
            line.harness.gate.open();
            line.settle().await;
            assert_eq!(text_of(&line.response()), "passed");
            assert_eq!(line.connection.phase, Phase::Flushing { lingers: false });
        }
    });
}

#[test]
fn a_peer_that_sends_no_more_ends_a_connection_that_does_nothing() {
    let flushing = Phase::Flushing { lingers: false };
    for (phase, is_useless, after) in [
        (Phase::Idle, false, flushing),
        (Phase::ReadingHead, false, flushing),
        (Phase::ReadingBody, false, flushing),
        (Phase::Flushing { lingers: true }, false, flushing),
        (flushing, false, flushing),
        (Phase::Lingering, true, Phase::Lingering),
    ] {
        let mut line = TestConnection::new();
        line.connection.phase = phase;
        assert_eq!(line.step(Connection::finished), is_useless, "{phase:?}");
        assert_eq!(line.connection.phase, after, "{phase:?}");
        assert!(line.take_sent().is_empty());
    }
}

#[test]
fn a_draining_shard_lets_the_current_answer_be_the_last() {
    on_executor(async {
        let mut line = TestConnection::new();
        line.receive(
            [call("", "wait", json!({})), echo("late")]
                .concat()
                .as_bytes(),
        );
        line.step(Connection::end_after_answer);
        line.harness.gate.open();
        line.settle().await;
        let response = line.response();
        assert_eq!(text_of(&response), "passed");
        assert_eq!(response.field("connection"), Some("close"));
        assert_eq!(line.connection.phase, Phase::Flushing { lingers: false });
    });
}

#[test]
fn a_connection_has_the_one_deadline_of_its_state() {
    let mut connection = Connection::from(Source::default());
    for (phase, timer) in [
        (Phase::Idle, Timer::Idle),
        (Phase::ReadingHead, Timer::Head),
        (Phase::ReadingBody, Timer::Body),
        (Phase::Waiting, Timer::Slow),
        (Phase::Streaming, Timer::KeepAlive),
        (Phase::Padding, Timer::KeepAlive),
        (Phase::Flushing { lingers: true }, Timer::Linger),
        (Phase::Lingering, Timer::Linger),
    ] {
        connection.phase = phase;
        connection.sending_bytes = 0;
        assert_eq!(connection.timer(), timer);
        connection.sending_bytes = 1;
        assert_eq!(connection.timer(), Timer::Write);
    }
}

#[test]
fn requests_that_arrived_before_a_peer_sent_no_more_are_answered() {
    on_executor(async {
        // Left over by a turn's budget.
        let mut line = TestConnection::new();
        line.requests_per_turn = 2;
        line.receive([echo("1"), echo("2"), echo("3")].concat().as_bytes());
        assert!(!line.step(Connection::finished));
        line.finish_leftover();
        assert_eq!(texts(&line.responses()), ["1", "2", "3"]);
        // Behind a request that waits.
        let mut line = TestConnection::new();
        let session = line.harness.session();
        let wait = call_legacy(&session, "wait", json!({}));
        line.receive([wait, echo("next")].concat().as_bytes());
        assert!(!line.step(Connection::finished));
        line.harness.gate.open();
        line.settle().await;
        assert_eq!(texts(&line.responses()), ["passed", "next"]);
    });
}

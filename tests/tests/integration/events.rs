//! Answers as JSON and as event streams: the form that each client gets, and the order of messages.

use corelane_tests::request::LOG_LEVEL_KEY;
use corelane_tests::{Request, Response, Session, Setup};
use serde_json::{Value, json};

const PROGRESS: &str = "test_tool_with_progress";
const LOGGING: &str = "test_tool_with_logging";

fn methods(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message["method"].as_str().unwrap_or("answer"))
        .collect()
}

/// A call of `tool` with a progress token, in the given session or modern.
fn call(session: Option<&Session>, tool: &str, token: &Value) -> Request {
    let params = json!({ "name": tool, "arguments": {} });
    match session {
        None => Request::modern(1, "tools/call", params).meta("progressToken", token.clone()),
        Some(session) => session
            .request(1, "tools/call", params)
            .meta("progressToken", token.clone()),
    }
}

fn check_progress(response: &Response, token: &Value) {
    assert!(response.head.is_event_stream(), "{response:?}");
    let messages = response.messages();
    let (answer, notifications) = messages.split_last().expect("at least an answer");
    assert_eq!(answer["id"], 1, "{answer}");
    assert!(answer["result"]["content"].is_array(), "{answer}");
    assert!(!notifications.is_empty(), "{messages:?}");
    let mut last = f64::NEG_INFINITY;
    for notification in notifications {
        assert_eq!(
            notification["method"], "notifications/progress",
            "{notification}"
        );
        assert_eq!(
            &notification["params"]["progressToken"], token,
            "{notification}"
        );
        let progress = notification["params"]["progress"]
            .as_f64()
            .expect("a number");
        assert!(
            progress > last,
            "progress has to increase: {notifications:?}"
        );
        last = progress;
    }
}

#[test]
fn progress_comes_in_order_before_the_answer_and_echoes_its_token() {
    for shards in [1, 4] {
        let server = Setup::shards(shards).start();
        let mut connection = server.connect();
        let session = Session::open(&mut connection);
        for token in [json!("token"), json!(0), json!(-7), json!("")] {
            for session in [None, Some(&session)] {
                let response = connection.exchange(&call(session, PROGRESS, &token));
                assert_eq!(response.status(), 200, "{response:?}");
                check_progress(&response, &token);
            }
        }
    }
}

#[test]
fn without_a_token_there_is_no_progress() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    for request in [
        session.call(PROGRESS, json!({})),
        Request::modern_call(PROGRESS, json!({})),
    ] {
        let response = connection.exchange(&request);
        assert_eq!(methods(&response.messages()), ["answer"], "{response:?}");
    }
}

#[test]
fn log_messages_come_before_the_answer_when_their_level_is_wanted() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    // The level that a session starts with, and the number of messages at info for every level.
    let mut wanted = vec![(None, 3)];
    for level in ["debug", "info"] {
        wanted.push((Some(level), 3));
    }
    for level in [
        "notice",
        "warning",
        "error",
        "critical",
        "alert",
        "emergency",
    ] {
        wanted.push((Some(level), 0));
    }
    for (level, expected) in wanted {
        if let Some(level) = level {
            let request = session.request(1, "logging/setLevel", json!({ "level": level }));
            let answer = connection.exchange(&request).json();
            assert_eq!(answer["result"], json!({}), "{level}");
        }
        let messages = connection
            .exchange(&session.call(LOGGING, json!({})))
            .messages();
        let (answer, logged) = messages.split_last().expect("at least an answer");
        assert!(answer["result"]["content"].is_array(), "{answer}");
        assert_eq!(logged.len(), expected, "{level:?}: {messages:?}");
        for message in logged {
            assert_eq!(message["method"], "notifications/message", "{message}");
            assert_eq!(message["params"]["level"], "info", "{message}");
        }
    }
}

#[test]
fn a_level_that_does_not_exist_is_refused_and_changes_nothing() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    for level in [json!("loud"), json!("INFO"), json!(1), json!(null)] {
        let request = session.request(1, "logging/setLevel", json!({ "level": level }));
        let answer = connection.exchange(&request).json();
        assert_eq!(answer["error"]["code"], -32602, "{level}: {answer}");
    }
    let messages = connection
        .exchange(&session.call(LOGGING, json!({})))
        .messages();
    assert_eq!(messages.len(), 4, "{messages:?}");
}

#[test]
fn modern_calls_get_log_messages_only_with_a_level() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let request = Request::modern_call(LOGGING, json!({}));
    for (level, expected) in [
        (None, 0),
        (Some("debug"), 3),
        (Some("info"), 3),
        (Some("error"), 0),
    ] {
        let request = match level {
            None => request.clone(),
            Some(level) => request.clone().meta(LOG_LEVEL_KEY, level),
        };
        let messages = connection.exchange(&request).messages();
        assert_eq!(messages.len(), expected + 1, "{level:?}: {messages:?}");
        assert!(messages[expected]["result"].is_object(), "{messages:?}");
    }
}

#[test]
fn the_client_gets_a_form_it_takes() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let (json_only, stream_only) = ("application/json", "text/event-stream");
    for (accept, tool, status, is_stream) in [
        (
            Some("application/json, text/event-stream"),
            "test_simple_text",
            200,
            false,
        ),
        (
            Some("application/json, text/event-stream"),
            PROGRESS,
            200,
            true,
        ),
        (Some(json_only), "test_simple_text", 200, false),
        (Some(json_only), PROGRESS, 200, false),
        (Some(stream_only), "test_simple_text", 200, true),
        (Some(stream_only), PROGRESS, 200, true),
        (Some("*/*"), PROGRESS, 200, true),
        (None, PROGRESS, 200, true),
        (Some("text/html"), "test_simple_text", 406, false),
        (Some("application/json;q=0"), "test_simple_text", 406, false),
    ] {
        for session in [None, Some(&session)] {
            let request = call(session, tool, &json!(1));
            let request = match accept {
                Some(accept) => request.field("Accept", accept),
                None => request.without("Accept"),
            };
            let response = connection.exchange(&request);
            assert_eq!(response.status(), status, "{accept:?} {tool}: {response:?}");
            assert_eq!(
                response.head.is_event_stream(),
                is_stream,
                "{accept:?} {response:?}"
            );
            let messages = response.messages();
            let has_events = tool == PROGRESS && is_stream;
            assert_eq!(
                messages.len() > 1,
                has_events,
                "{accept:?} {tool}: {messages:?}"
            );
        }
    }
}

#[test]
fn a_client_that_takes_streams_only_gets_every_answer_as_one() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    for request in [
        session.request(1, "ping", Value::Null),
        session.request(1, "no/such", Value::Null),
        session.call("no_such_tool", json!({})),
        Request::modern(1, "tools/list", json!({})),
    ] {
        let response = connection.exchange(&request.field("Accept", "text/event-stream"));
        assert_eq!(response.status(), 200, "{response:?}");
        assert!(response.head.is_event_stream(), "{response:?}");
        assert_eq!(response.messages().len(), 1, "{response:?}");
    }
}

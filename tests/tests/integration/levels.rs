//! Log levels: eight of them, a session's own in the legacy era and a request's own in the modern.
//!
//! MCP 2025-11-25 and 2026-07-28 server/utilities/logging. The tool logs once at every level.

use corelane_tests::request::LOG_LEVEL_KEY;
use corelane_tests::{Connection, Request, Session};
use serde_json::{Value, json};

use crate::fixture::{Fixture, tool};

/// From the least severe to the most.
const LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

/// The levels that were logged before the answer to a call, in order.
fn logged(connection: &mut Connection, call: &Request) -> Vec<String> {
    let mut messages = connection.exchange(call).messages();
    let answer = messages.pop().expect("an answer");
    assert_eq!(answer["result"]["content"][0]["text"], "logged", "{answer}");
    messages.iter().map(level_of).collect()
}

fn level_of(message: &Value) -> String {
    assert_eq!(message["method"], "notifications/message", "{message}");
    let level = message["params"]["level"].as_str().expect("a level");
    assert_eq!(message["params"]["data"]["said"], level, "{message}");
    level.to_owned()
}

fn set_level(connection: &mut Connection, session: &Session, level: &str) {
    let request = session.request(1, "logging/setLevel", json!({ "level": level }));
    let answer = connection.exchange(&request).json();
    assert_eq!(answer["result"], json!({}), "{level}: {answer}");
}

/// Each level passes itself and more severe ones, and no others, on every shard.
#[test]
fn a_level_passes_itself_and_more_severe_ones() {
    let server = Fixture::start(2);
    let mut all = server.on_each_shard();
    for at in 0..2 {
        // Set through one shard, used through the other: the level belongs to the session, not to a
        // shard.
        let session = all[at].1.clone();
        for (least, level) in LEVELS.iter().enumerate() {
            set_level(&mut all[(at + least) % 2].0, &session, level);
            let connection = &mut all[(at + least + 1) % 2].0;
            let found = logged(connection, &session.call("logs", json!({})));
            assert_eq!(found, LEVELS[least..], "{level} of a session");
            let call = Request::modern_call("logs", json!({})).meta(LOG_LEVEL_KEY, *level);
            assert_eq!(logged(connection, &call), LEVELS[least..], "{level}");
        }
    }
}

/// A level that does not exist is refused with the request (2026-07-28, "Error Handling").
#[test]
fn a_modern_request_with_another_level_is_refused() {
    let server = Fixture::start(1);
    let mut connection = server.connect();
    for level in [
        json!("loud"),
        json!("INFO"),
        json!("warn"),
        json!(""),
        json!(6),
        json!(["info"]),
    ] {
        let call = Request::modern_call("logs", json!({})).meta(LOG_LEVEL_KEY, level.clone());
        let response = connection.exchange(&call);
        let messages = response.messages();
        assert_eq!(messages.len(), 1, "{level}: {messages:?}");
        assert_eq!(
            messages[0]["error"]["code"], -32602,
            "{level}: {messages:?}"
        );
    }
}

/// A request without a level gets no log messages, even if another request or a session of the same
/// connection wants some (2026-07-28: "MUST NOT emit `notifications/message` for a request that
/// does not include this field").
#[test]
fn a_modern_request_without_a_level_gets_no_log_messages() {
    let server = Fixture::start(2);
    for (mut connection, session) in server.on_each_shard() {
        set_level(&mut connection, &session, "debug");
        let plain = Request::modern_call("logs", json!({}));
        let wants = plain.clone().meta(LOG_LEVEL_KEY, "debug");
        for _ in 0..3 {
            assert_eq!(logged(&mut connection, &wants), LEVELS);
            assert_eq!(logged(&mut connection, &plain), [] as [&str; 0]);
            let of_session = session.call("logs", json!({}));
            assert_eq!(logged(&mut connection, &of_session), LEVELS);
        }
    }
}

/// A level belongs to one session: it neither affects another session nor a later one.
#[test]
fn sessions_on_all_shards_have_levels_of_their_own() {
    let server = Fixture::start(2);
    let mut all = server.on_each_shard();
    let quiet: Vec<Session> = all.iter().map(|(_, session)| session.clone()).collect();
    for session in &quiet {
        set_level(&mut all[0].0, session, "emergency");
    }
    for (connection, _) in &mut all {
        let fresh = Session::open(connection);
        let default = logged(connection, &fresh.call("logs", json!({})));
        set_level(connection, &fresh, "debug");
        assert_eq!(logged(connection, &fresh.call("logs", json!({}))), LEVELS);
        for session in &quiet {
            let found = logged(connection, &session.call("logs", json!({})));
            assert_eq!(found, ["emergency"]);
        }
        let again = Session::open(connection);
        assert_eq!(logged(connection, &again.call("logs", json!({}))), default);
    }
}

/// Messages about a request go on its own stream, never on a listen stream (2026-07-28, "Log
/// Level") and never on the stand-alone stream of a session.
#[test]
fn nothing_is_logged_on_streams_for_changes() {
    let filter = json!({ "notifications": { "toolsListChanged": true } });
    let listen = Request::modern("l", "subscriptions/listen", filter);
    for home in 0..2 {
        let server = Fixture::start(2);
        let (mut connection, session) = server.on_each_shard().remove(home);
        set_level(&mut connection, &session, "debug");
        let mut listener = server.stream(&listen.clone().meta(LOG_LEVEL_KEY, "debug"));
        let received = listener.next_message();
        assert_eq!(
            received["method"],
            "notifications/subscriptions/acknowledged"
        );
        let mut stream = server.stream(&session.stream());
        let modern = Request::modern_call("logs", json!({})).meta(LOG_LEVEL_KEY, "debug");
        assert_eq!(logged(&mut connection, &modern), LEVELS);
        let of_session = session.call("logs", json!({}));
        assert_eq!(logged(&mut connection, &of_session), LEVELS);
        let progress = session.call("walk", json!({ "steps": 3 }));
        let progress = progress.meta("progressToken", 1);
        let messages = connection.exchange(&progress).messages();
        assert_eq!(messages.len(), 4, "{messages:?}");
        // The first message on either stream is the last change.
        server.handle().add_tool(tool("fence")).expect("a change");
        for stream in [&mut listener, &mut stream] {
            let received = stream.next_message();
            assert_eq!(
                received["method"], "notifications/tools/list_changed",
                "{received}"
            );
        }
    }
}

//! Connections of lines: both eras and many requests on one channel.

mod endings;
mod sockets;

use corelane_protocol::mcp::subscription::ListKind;
use serde_json::{Value, json};

use super::test_connection::TestConnection;
use crate::catalog::pending_updates::Changes;
use crate::connection::http::{Connection, Phase};
use crate::connection::source::Source;
use crate::mcp::tests::test_endpoint::{
    TestEndpoint, agrees, claim, error, initialize, notification, on_executor, progress, request,
    result, text, with_trailer,
};
use crate::meter::Counter;
use corelane_io::chunk::SMALL_CHUNK_BYTES;

fn opened() -> TestConnection {
    let mut line = TestConnection::on(TestEndpoint::new());
    line.connection = Connection::from(Source::STDIO);
    line
}

/// A connection whose client has made a session of `version`.
fn in_session_of(version: &str) -> TestConnection {
    let mut line = opened();
    send(&mut line, &[&initialize(version)]);
    let messages = messages(&mut line);
    assert_eq!(messages[0]["result"]["protocolVersion"], version);
    line
}

/// The peer sends messages, each on its line and all of them at once.
fn send(line: &mut TestConnection, messages: &[&str]) {
    let lines: String = messages.iter().map(|it| format!("{it}\n")).collect();
    line.receive(lines.as_bytes());
    line.finish_leftover();
}

/// The messages that the peer received, one on each line.
#[track_caller]
pub(super) fn messages(line: &mut TestConnection) -> Vec<Value> {
    let sent = line.take_sent();
    let lines = sent.split_inclusive(|byte| *byte == b'\n');
    let parse = |line: &[u8]| {
        assert!(line.ends_with(b"\n"), "{}", String::from_utf8_lossy(line));
        serde_json::from_slice(line).expect("a message on each line")
    };
    lines.map(parse).collect()
}

#[track_caller]
fn check(line: &mut TestConnection, expected: &[Value]) {
    check_messages(&messages(line), expected);
}

/// The messages are the expected ones, in this order.
#[track_caller]
pub(super) fn check_messages(messages: &[Value], expected: &[Value]) {
    let same = messages.len() == expected.len()
        && messages.iter().zip(expected).all(|(a, b)| agrees(a, b));
    assert!(same, "{messages:#?}\n is not\n{expected:#?}");
}

pub(super) fn legacy(id: impl Into<Value>, tool: &str, arguments: Value) -> String {
    let meta = json!({"progressToken": "p"});
    let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
    request(id, "tools/call", params)
}

pub(super) fn modern(id: impl Into<Value>, tool: &str, arguments: Value) -> String {
    let mut params = json!({"name": tool, "arguments": arguments, "_meta": claim()});
    params["_meta"]["progressToken"] = json!("p");
    request(id, "tools/call", params)
}

pub(super) fn cancelled(id: impl Into<Value>) -> String {
    let id = id.into();
    notification("notifications/cancelled", json!({ "requestId": id }))
}

pub(super) fn listen(id: impl Into<Value>) -> String {
    let filter = json!({"toolsListChanged": true});
    let params = json!({"notifications": filter, "_meta": claim()});
    request(id, "subscriptions/listen", params)
}

/// A notification of the stream of a `subscriptions/listen` request.
fn of_stream(id: impl Into<Value>, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({"io.modelcontextprotocol/subscriptionId": id.into()});
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

pub(super) fn acknowledged(id: impl Into<Value>) -> Value {
    let honoured = json!({"notifications": {"toolsListChanged": true}});
    of_stream(id, "notifications/subscriptions/acknowledged", honoured)
}

const LIST_CHANGED: &str = "notifications/tools/list_changed";

/// Changes the tools of the server and broadcasts that.
async fn change_tools(line: &mut TestConnection) {
    let mut changes = Changes::default();
    changes.lists.insert(ListKind::Tools);
    line.harness.endpoint.handle_changes(changes);
    line.settle().await;
}

#[test]
fn requests_of_both_eras_are_answered_on_one_channel_however_they_are_split() {
    let requests = [
        modern(1, "echo", json!({"message": "modern"})),
        initialize("2025-11-25").replace("\"id\":1", "\"id\":2"),
        notification("notifications/initialized", json!({})),
        legacy("3", "echo", json!({"message": "legacy"})),
        String::new(),
        modern(-4, "echo", json!({"message": "modern"})),
    ];
    let input = requests.join("\r\n") + "\n";
    for piece in [1, 7, input.len()] {
        let mut line = opened();
        for bytes in input.as_bytes().chunks(piece) {
            line.receive(bytes);
        }
        let messages = messages(&mut line);
        assert_eq!(messages.len(), 4, "{messages:?}");
        assert_eq!(messages[0], with_trailer(1, text("modern")));
        assert_eq!(messages[1]["result"]["protocolVersion"], "2025-11-25");
        assert_eq!(messages[2], result("3", text("legacy")));
        assert_eq!(messages[3], with_trailer(-4, text("modern")));
        assert_eq!(line.connection.phase, Phase::Idle);
        assert_eq!(line.pool.input_bytes, 0);
    }
}

#[test]
fn bytes_that_are_no_message_are_refused_and_the_channel_goes_on() {
    let echo = || modern(9, "echo", json!({"message": "m"}));
    let long = "x".repeat(2000);
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let request_of = |id: Value, arguments: &str| {
        format!(r#"{{"method":"tools/call","params":{{"arguments":{arguments}}},"id":{id}}}"#)
    };
    let cases = [
        ("garbage".to_owned(), error((), -32700)),
        ("{\"jsonrpc\":\"2.0\"".to_owned(), error((), -32700)),
        ("\u{1}\u{2}".to_owned(), error((), -32700)),
        ("[]".to_owned(), error((), -32600)),
        ("{}".to_owned(), error((), -32600)),
        ("7".to_owned(), error((), -32600)),
        (request(Value::Null, "ping", json!({})), error((), -32600)),
        (long.clone(), error((), -32600)),
        // The refusal of a request has its id, at any place of the text.
        (
            modern(1, "echo", json!({"message": long})),
            error(1, -32600),
        ),
        (
            request_of(json!("a"), &json!(long).to_string()),
            error("a", -32600),
        ),
        (request_of(json!(2), &deep), error(2, -32600)),
        (request_of(json!(3), r#""\ud83d""#), error(3, -32700)),
        (request_of(json!(4), "tru"), error(4, -32700)),
    ];
    for (bad, refusal) in cases {
        let mut line = opened();
        line.rules.lines.message_bytes_max = 1500;
        send(&mut line, &[&bad, &echo()]);
        check(&mut line, &[refusal.clone(), with_trailer(9, text("m"))]);
        // Byte by byte, nothing of a line that is too long is kept.
        let input = format!("{bad}\n{}\n", echo());
        for byte in input.as_bytes().chunks(1) {
            line.receive(byte);
            assert!(
                line.pool.input_bytes <= SMALL_CHUNK_BYTES,
                "{}",
                line.pool.input_bytes
            );
        }
        check(&mut line, &[refusal, with_trailer(9, text("m"))]);
    }
}

#[test]
fn a_client_without_a_session_may_ping_and_initialize_and_nothing_else() {
    let mut line = opened();
    let list = request(1, "tools/list", json!({}));
    let discover = request(2, "server/discover", json!({}));
    send(
        &mut line,
        &[&list, &discover, &request(3, "ping", json!({}))],
    );
    check(
        &mut line,
        &[error(1, -32600), error(2, -32602), result(3, json!({}))],
    );
    send(
        &mut line,
        &[&initialize("2025-06-18"), &request(4, "ping", json!({}))],
    );
    let answers = messages(&mut line);
    assert_eq!(answers[0]["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(answers[1], result(4, json!({})));
    send(
        &mut line,
        &[
            &initialize("2025-11-25"),
            &legacy(5, "echo", json!({"message": "m"})),
        ],
    );
    check(&mut line, &[error(1, -32600), result(5, text("m"))]);
    assert_eq!(line.harness.count(Counter::SessionsOpen), 1);
}

#[test]
fn removed_methods_do_not_exist_in_the_modern_era() {
    let mut line = in_session_of("2025-11-25");
    for method in ["initialize", "ping", "logging/setLevel"] {
        send(&mut line, &[&request(1, method, json!({"_meta": claim()}))]);
        check(&mut line, &[error(1, -32601)]);
    }
    let mut params = json!({"_meta": claim()});
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
    send(&mut line, &[&request(1, "tools/list", params)]);
    assert_eq!(messages(&mut line)[0]["error"]["code"], -32022);
}

#[test]
fn neither_a_notification_nor_a_response_is_answered() {
    let of_tomorrow = json!({"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2099-01-01",
        "io.modelcontextprotocol/clientCapabilities": {},
    }});
    let silent = [
        notification("notifications/initialized", json!({})),
        notification("no/such", json!({})),
        notification("no/such", of_tomorrow),
        notification("notifications/cancelled", json!({})),
        notification("notifications/cancelled", json!({"requestId": null})),
        cancelled(7),
        json!({"jsonrpc": "2.0", "id": 1, "result": {}}).to_string(),
        json!({"jsonrpc": "2.0", "id": "q", "error": {"code": 1, "message": "m"}}).to_string(),
    ];
    for mut line in [opened(), in_session_of("2025-11-25")] {
        for message in &silent {
            send(&mut line, &[message]);
            check(&mut line, &[]);
        }
    }
}

#[test]
fn calls_wait_side_by_side_and_later_requests_are_answered_before_them() {
    on_executor(async {
        let mut line = in_session_of("2025-11-25");
        let echo = modern(3, "echo", json!({"message": "m"}));
        let steps = json!({"steps": [1.0, 2.0], "waits": true});
        send(
            &mut line,
            &[
                &legacy(1, "steps", steps),
                &modern(2, "wait", json!({})),
                &echo,
            ],
        );
        line.settle().await;
        check(
            &mut line,
            &[with_trailer(3, text("m")), progress(1.0), progress(2.0)],
        );
        line.harness.gate.open();
        line.settle().await;
        let mut answers = messages(&mut line);
        answers.sort_by_key(|answer| answer["id"].as_i64());
        assert_eq!(
            answers,
            [result(1, text("walked")), with_trailer(2, text("passed"))]
        );
        assert_eq!(line.connection.phase, Phase::Idle);
        // A client of a channel does not come back for lost messages.
        assert_eq!(line.harness.kept_event_bytes(), 0);
    });
}

#[test]
fn nothing_is_sent_for_a_cancelled_request_of_either_era() {
    on_executor(async {
        for call in [legacy, modern] {
            let mut line = in_session_of("2025-11-25");
            let steps = || json!({"steps": [1.0], "waits": true});
            send(&mut line, &[&call(json!(1), "steps", steps())]);
            line.settle().await;
            check(&mut line, &[progress(1.0)]);
            // Ids of another type, and of no request, cancel nothing.
            send(&mut line, &[&cancelled("1"), &cancelled(2)]);
            line.settle().await;
            assert_eq!(line.harness.gate.inside(), 1);
            send(&mut line, &[&cancelled(1)]);
            line.settle().await;
            assert_eq!(line.harness.gate.inside(), 0, "the handler is stopped");
            line.harness.gate.open();
            line.settle().await;
            check(&mut line, &[]);
            // The id is free again.
            send(&mut line, &[&call(json!(1), "wait", json!({}))]);
            line.settle().await;
            let answers = messages(&mut line);
            assert_eq!(answers.len(), 1, "{answers:?}");
            assert_eq!(answers[0]["result"]["content"][0]["text"], "passed");
        }
    });
}

#[test]
fn events_of_a_call_that_is_cancelled_in_the_same_turn_are_dropped() {
    on_executor(async {
        let mut line = in_session_of("2025-11-25");
        let steps = json!({"steps": [1.0, 2.0], "waits": true});
        send(&mut line, &[&modern(1, "steps", steps), &cancelled(1)]);
        line.settle().await;
        check(&mut line, &[]);
        assert_eq!(line.harness.count(Counter::CallsInFlight), 0);
    });
}

#[test]
fn requests_in_flight_are_bounded_and_no_answer_is_kept_back() {
    on_executor(async {
        let mut line = in_session_of("2025-11-25");
        line.rules.lines.in_flight_max = 2;
        let wait = |id| modern(id, "wait", json!({}));
        let echo = modern(9, "echo", json!({"message": "m"}));
        send(&mut line, &[&listen(1), &wait(2), &wait(3), &echo]);
        line.settle().await;
        let (overloaded, echo_overloaded) = (error(3, -32603), error(9, -32603));
        check(&mut line, &[overloaded, echo_overloaded, acknowledged(1)]);
        send(&mut line, &[&cancelled(1), &echo]);
        check(&mut line, &[with_trailer(9, text("m"))]);
        line.harness.gate.open();
        line.settle().await;
        check(&mut line, &[with_trailer(2, text("passed"))]);
    });
}

#[test]
fn a_listen_stream_has_its_id_in_each_message_until_it_is_cancelled() {
    on_executor(async {
        let mut line = opened();
        send(&mut line, &[&listen(1), &listen("1")]);
        line.settle().await;
        check(&mut line, &[acknowledged(1), acknowledged("1")]);
        assert_eq!(line.harness.count(Counter::StreamsOpen), 2);
        change_tools(&mut line).await;
        let changed = |id: Value| of_stream(id, LIST_CHANGED, json!({}));
        check(&mut line, &[changed(json!(1)), changed(json!("1"))]);
        send(&mut line, &[&cancelled("1")]);
        change_tools(&mut line).await;
        check(&mut line, &[changed(json!(1))]);
        assert_eq!(line.harness.count(Counter::StreamsOpen), 1);
    });
}

#[test]
fn a_listen_stream_that_the_server_ends_is_cancelled_and_then_answered() {
    on_executor(async {
        let mut line = opened();
        send(&mut line, &[&listen(1)]);
        line.settle().await;
        messages(&mut line);
        line.harness.endpoint.drain();
        line.step(|connection, context| connection.end_when_answered(context));
        assert_eq!(line.connection.phase, Phase::Idle);
        line.settle().await;
        let params = json!({"requestId": 1});
        let cancelled = json!({
            "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params,
        });
        let messages = messages(&mut line);
        assert_eq!(messages[0], cancelled);
        assert_eq!(messages[1]["id"], 1);
        assert_eq!(messages[1]["result"]["resultType"], "complete");
        assert_eq!(line.connection.phase, Phase::Flushing { lingers: false });
    });
}

#[test]
fn a_session_hears_of_changes_on_its_channel_and_a_slow_reader_of_each_once() {
    on_executor(async {
        let mut line = in_session_of("2025-11-25");
        let changed = json!({"jsonrpc": "2.0", "method": LIST_CHANGED, "params": {}});
        change_tools(&mut line).await;
        check(&mut line, std::slice::from_ref(&changed));
        send(&mut line, &[&listen(1)]);
        line.settle().await;
        messages(&mut line);
        line.takes_output = false;
        send(&mut line, &[&modern(2, "echo", json!({"message": "m"}))]);
        for _ in 0..3 {
            change_tools(&mut line).await;
        }
        // Nothing may be sent for a cancelled request, not even messages that waited before.
        send(&mut line, &[&cancelled(1)]);
        line.take_output();
        line.step(Connection::release_changes);
        line.take_output();
        check(&mut line, &[with_trailer(2, text("m")), changed]);
        assert_eq!(line.harness.kept_event_bytes(), 0);
    });
}

#[test]
fn answers_behind_a_slow_reader_do_not_count_against_it() {
    on_executor(async {
        let mut line = opened();
        line.rules.connection.output_bytes_max = 1000;
        line.takes_output = false;
        let steps = || json!({"steps": [], "waits": true});
        let calls: Vec<String> = (0..30).map(|id| modern(id, "steps", steps())).collect();
        for call in &calls {
            send(&mut line, &[call]);
        }
        send(&mut line, &[&listen("l")]);
        line.settle().await;
        line.harness.gate.open();
        line.settle().await;
        assert!(line.connection.held_output_bytes() > 2000);
        let profile = line.rules.connection;
        assert!(line.connection.has_much_output(&profile));
        assert!(!line.connection.has_twice_the_output(&profile));
        // With that much unsent, no further request is taken.
        line.receive(format!("{}\n", modern("e", "echo", json!({"message": "m"}))).as_bytes());
        assert!(line.step(Connection::pause_if_full));
        assert!(line.connection.has_requests_left_over());
        line.take_output();
        line.finish_leftover();
        line.take_output();
        let last = messages(&mut line).pop();
        assert_eq!(last, Some(with_trailer("e", text("m"))));
    });
}

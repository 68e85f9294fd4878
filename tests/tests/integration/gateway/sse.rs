//! Upstreams of HTTP+SSE: their streams, the messages to them, and hostile ones.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use corelane_tests::certificates::Authority;
use corelane_tests::mock_upstream::{Act, MockUpstream, Received};
use corelane_tests::{Connection, Request, Session, Setup, wait_until};
use rustls::version::TLS13;
use serde_json::{Value, json};

use super::Gateway;

/// The start of a stream.
const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                      Connection: keep-alive\r\n\r\n";

/// The answer to a GET: a stream whose messages go to `/in` with the number of its connection.
fn stream(received: &Received) -> Act {
    let number = received.connection;
    Act::SendAndWait(format!("{STREAM}event: endpoint\ndata: /in?s={number}\n\n").into_bytes())
}

fn status(status: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// The connection whose stream a message names.
fn of(received: &Received) -> usize {
    let line = received.head.lines().next().unwrap_or_default();
    let number = line.split_once("s=").map(|(_, rest)| rest);
    let number = number.and_then(|it| it.split(' ').next());
    number.and_then(|it| it.parse().ok()).expect("a number")
}

/// Takes a message, and sends this text as an event.
fn event(received: &Received, text: &str) -> Act {
    let event = format!("event: message\ndata: {text}\n\n");
    Act::SendAlso(status("202 Accepted"), of(received), event.into_bytes())
}

fn result(received: &Received, result: &Value) -> Act {
    let id = &received.message()["id"];
    let message = json!({ "jsonrpc": "2.0", "id": id, "result": result });
    event(received, &message.to_string())
}

/// The answers of an ordinary server, but for the calls of its tool.
fn described(received: &Received, call: impl Fn(&Received) -> Act) -> Act {
    if received.body.is_empty() {
        return stream(received);
    }
    let message = received.message();
    match message["method"].as_str().unwrap_or_default() {
        "initialize" => {
            let described = json!({
                "protocolVersion": "2024-11-05", "capabilities": { "tools": {} },
                "serverInfo": { "name": "old", "version": "1" },
            });
            result(received, &described)
        }
        "tools/list" => {
            let tool = json!({ "name": "call", "inputSchema": { "type": "object" } });
            result(received, &json!({ "tools": [tool] }))
        }
        "tools/call" => call(received),
        _ => Act::Send(status("202 Accepted")),
    }
}

fn mock(call: impl Fn(&Received) -> Act + Send + Sync + 'static) -> MockUpstream {
    MockUpstream::start(move |received| described(received, &call))
}

fn section(mock: &MockUpstream) -> String {
    mock.section("up").replace("\"http", "\"sse+http")
}

fn before(mock: &MockUpstream) -> Gateway {
    let gateway = Gateway::start(&section(mock));
    gateway.wait_for("up_call");
    gateway
}

/// A result with the number of the stream of its call.
fn named(received: &Received) -> Act {
    let text = of(received).to_string();
    result(
        received,
        &json!({ "content": [{ "type": "text", "text": text }] }),
    )
}

fn call(connection: &mut Connection, session: Option<&Session>) -> Value {
    let request = match session {
        Some(session) => session.call("up_call", json!({})),
        None => Request::modern_call("up_call", json!({})),
    };
    connection.exchange(&request).answer()
}

fn text(answer: &Value) -> String {
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn each_client_has_a_stream_of_its_own_which_ends_with_its_session() {
    let mock = mock(named);
    let gateway = before(&mock);
    let mut connection = gateway.connect();
    let first = Session::open(&mut connection);
    let second = Session::open(&mut connection);
    let mut seen = vec![
        text(&call(&mut connection, Some(&first))),
        text(&call(&mut connection, Some(&second))),
        text(&call(&mut connection, None)),
    ];
    assert_eq!(text(&call(&mut connection, Some(&first))), seen[0]);
    assert_eq!(text(&call(&mut connection, None)), seen[2]);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3, "{seen:?}");
    connection.exchange(&first.delete());
    mock.wait_for_left(1);
    assert_eq!(text(&call(&mut connection, Some(&second))).len(), 1);
    // A message is no message of another transport.
    let calls = mock.received_of("tools/call");
    let head = &calls[0].head;
    assert!(head.starts_with("POST /in?s="), "{head}");
    assert_eq!(calls[0].field("Content-Type"), Some("application/json"));
    for field in ["Mcp-Session-Id", "Mcp-Method"] {
        assert_eq!(calls[0].field(field), None, "{head}");
    }
}

#[test]
fn a_session_opens_before_its_first_call_is_sent() {
    let mock = mock(named);
    let gateway = before(&mock);
    let mut connection = gateway.connect();
    let stream = text(&call(&mut connection, None));
    let received = mock.received();
    let of_stream = received.iter().filter(|it| !it.body.is_empty());
    let of_stream = of_stream.filter(|it| of(it).to_string() == stream);
    let methods: Vec<_> = of_stream.map(|it| it.message()["method"].clone()).collect();
    assert_eq!(
        methods,
        ["initialize", "notifications/initialized", "tools/call"]
    );
}

#[test]
fn an_endpoint_of_another_origin_gets_nothing() {
    let other = MockUpstream::start(|_| Act::Send(status("202 Accepted")));
    for endpoint in [
        format!("http://{}/in", other.address()),
        format!("//{}/in", other.address()),
        "http://".to_owned(),
    ] {
        let mock = MockUpstream::start(move |_| {
            Act::SendAndWait(format!("{STREAM}event: endpoint\ndata: {endpoint}\n\n").into_bytes())
        });
        let gateway = Gateway::start(&section(&mock));
        mock.wait_for_left(1);
        wait_until("the log has the cause", || {
            let log = gateway.server.log();
            log.contains("the endpoint for messages").then_some(())
        });
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn a_stream_that_ends_fails_its_calls_and_the_next_call_opens_another_one() {
    let calls = AtomicUsize::new(0);
    let mock = mock(
        move |received| match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Act::SendAlso(status("202 Accepted"), of(received), Vec::new()),
            _ => named(received),
        },
    );
    let gateway = before(&mock);
    let mut connection = gateway.connect();
    let answer = call(&mut connection, None);
    let expected = json!({ "upstream": "up", "reason": "closed", "executed": "unknown" });
    assert_eq!(answer["error"]["data"], expected, "{answer}");
    text(&call(&mut connection, None));
    assert_eq!(
        mock.received_of("tools/call").len(),
        2,
        "none is sent again"
    );
}

#[test]
fn a_message_that_is_refused_fails_its_call_and_a_lost_stream_is_opened_again() {
    for (refusal, reason, executed, opens) in [
        ("400 Bad Request", "protocol", "no", 0),
        ("404 Not Found", "protocol", "no", 1),
        ("401 Unauthorized", "credential", "no", 0),
        ("500 Internal Server Error", "unavailable", "unknown", 0),
    ] {
        let calls = AtomicUsize::new(0);
        let mock = mock(
            move |received| match calls.fetch_add(1, Ordering::Relaxed) {
                1 => Act::Send(status(refusal)),
                _ => named(received),
            },
        );
        let gateway = before(&mock);
        let mut connection = gateway.connect();
        let before = text(&call(&mut connection, None));
        let answer = call(&mut connection, None);
        let data = &answer["error"]["data"];
        assert_eq!(data["reason"], reason, "{refusal}: {answer}");
        assert_eq!(data["executed"], executed, "{refusal}: {answer}");
        let after = text(&call(&mut connection, None));
        assert_eq!(usize::from(before != after), opens, "{refusal}");
        assert_eq!(mock.received_of("tools/call").len(), 3, "{refusal}");
    }
}

#[test]
fn a_cancelled_call_is_cancelled_at_the_upstream_and_the_stream_goes_on() {
    let calls = AtomicUsize::new(0);
    let mock = mock(
        move |received| match calls.fetch_add(1, Ordering::Relaxed) {
            1 => Act::Send(status("202 Accepted")),
            _ => named(received),
        },
    );
    let gateway = before(&mock);
    let before = text(&call(&mut gateway.connect(), None));
    let mut leaving = gateway.connect();
    leaving.send(&Request::modern_call("up_call", json!({})));
    let called = wait_until("the call arrives", || {
        mock.received_of("tools/call").get(1).cloned()
    });
    drop(leaving);
    let cancelled = wait_until("it is cancelled", || {
        mock.received_of("notifications/cancelled").first().cloned()
    });
    let id = &called.message()["id"];
    assert_eq!(&cancelled.message()["params"]["requestId"], id);
    assert_eq!(text(&call(&mut gateway.connect(), None)), before);
}

#[test]
fn requests_of_the_upstream_are_answered_and_events_without_use_are_passed_over() {
    let mock = mock(|received| {
        let ping = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;
        let id = &received.message()["id"];
        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [] } });
        let others = [
            ": a comment\n\n".to_owned(),
            // It is named once.
            "event: endpoint\ndata: /other\n\n".to_owned(),
            format!("data: {ping}\n\n"),
            r#"data: {"jsonrpc":"2.0","id":987654,"result":{}}"#.to_owned() + "\n\n",
            format!("data: {answer}\n\n"),
        ];
        let others = others.concat().into_bytes();
        Act::SendAlso(status("202 Accepted"), of(received), others)
    });
    let gateway = before(&mock);
    let answer = call(&mut gateway.connect(), None);
    assert_eq!(answer["result"]["content"], json!([]), "{answer}");
    wait_until("the ping is answered", || {
        let received = mock.received();
        let mut answers = received.iter().filter(|it| it.body.contains(r#""id":"p""#));
        answers
            .any(|it| it.message()["result"] == json!({}))
            .then_some(())
    });
}

#[test]
fn an_event_past_the_bound_and_text_that_is_no_message_end_the_stream() {
    for text in ["x".repeat(70_000), "no message".to_owned()] {
        let mock = mock(move |received| event(received, &text));
        let profile = "[gateway]\nmessage_bytes_max = 65536\n";
        let gateway = Gateway::start_with(&section(&mock), Setup::shards(1).profile(profile));
        gateway.wait_for("up_call");
        let answer = call(&mut gateway.connect(), None);
        assert_eq!(answer["error"]["data"]["executed"], "unknown", "{answer}");
        mock.wait_for_left(1);
    }
}

#[test]
fn a_server_without_stream_and_one_without_endpoint_are_tried_again() {
    let opened = AtomicUsize::new(0);
    let mock = MockUpstream::start(move |received| {
        if !received.body.is_empty() {
            return described(received, named);
        }
        match opened.fetch_add(1, Ordering::Relaxed) {
            0 => Act::Send(status("405 Method Not Allowed")),
            1 => Act::SendAndWait(STREAM.as_bytes().to_vec()),
            2 => Act::SendAndClose(STREAM.as_bytes().to_vec()),
            _ => stream(received),
        }
    });
    let profile = "[gateway]\nlist_ms = 100\nconnect_ms = 100\n";
    let gateway = Gateway::start_with(&section(&mock), Setup::shards(1).profile(profile));
    gateway.wait_for("up_call");
    text(&call(&mut gateway.connect(), None));
}

#[test]
fn a_call_is_answered_while_the_server_drains() {
    let (arrive, arrived) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let mock = mock(move |received| {
        arrive.send(()).expect("the test waits");
        let _ = released.lock().expect("no panic").recv();
        named(received)
    });
    let gateway = before(&mock);
    let mut connection = gateway.connect();
    let request = Request::modern_call("up_call", json!({}));
    connection.send(&request);
    arrived.recv().expect("the call arrives");
    gateway.server.signal("TERM");
    wait_until("the drain", || {
        Connection::open(gateway.server.address()).err()
    });
    release.send(()).expect("the mock waits");
    text(&connection.read_response().answer());
    drop(connection);
    assert!(gateway.server.wait_for_exit().success());
}

#[test]
fn a_list_that_changes_is_read_again() {
    let has_grown = AtomicBool::new(false);
    let reader = AtomicUsize::new(0);
    let mock = MockUpstream::start(move |received| {
        let grown = || has_grown.load(Ordering::Relaxed);
        if received.is("initialize") {
            let described = json!({
                "protocolVersion": "2024-11-05",
                "capabilities": { "tools": { "listChanged": true } },
                "serverInfo": { "name": "old", "version": "1" },
            });
            return result(received, &described);
        }
        if received.is("tools/list") {
            reader.store(of(received), Ordering::Relaxed);
            let names = ["call", "new"].into_iter().take(1 + usize::from(grown()));
            let tools = names.map(|it| json!({ "name": it, "inputSchema": { "type": "object" } }));
            return result(received, &json!({ "tools": tools.collect::<Vec<_>>() }));
        }
        // The stream of the lists gets the change, and the call no answer.
        described(received, |_| {
            has_grown.store(true, Ordering::Relaxed);
            let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
            let event = format!("data: {changed}\n\n").into_bytes();
            Act::SendAlso(
                status("202 Accepted"),
                reader.load(Ordering::Relaxed),
                event,
            )
        })
    });
    let gateway = before(&mock);
    wait_until("the changes are subscribed to", || {
        (mock.received_of("tools/list").len() == 2).then_some(())
    });
    let mut connection = gateway.connect();
    connection.send(&Request::modern_call("up_call", json!({})));
    gateway.wait_for("up_new");
}

#[test]
fn streams_and_messages_are_secured() {
    let authority = Authority::shared();
    let tls = authority.server("127.0.0.1", &[&TLS13]);
    let mock = MockUpstream::start_with(Some(tls), |received| described(received, named));
    let ca_file = format!("ca_files = [{:?}]\n", authority.file());
    let gateway = Gateway::start(&(section(&mock) + &ca_file));
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let stream = text(&call(&mut connection, None));
    assert_eq!(text(&call(&mut connection, None)), stream);
}

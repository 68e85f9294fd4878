//! Upstreams of the legacy era: their sessions, and clients of both eras in front of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use corelane_tests::mock_upstream::{
    Act, MockUpstream, Received, json_answer, result_of, session_opened,
};
use corelane_tests::{Connection, Request, Session, wait_until};
use serde_json::{Value, json};

use super::Gateway;

/// A mock of revision 2025-11-25 whose sessions are `s-0`, `s-1` and so on. Calls are answered by
/// `call`.
fn with_sessions(call: impl Fn(&Received) -> Act + Send + Sync + 'static) -> MockUpstream {
    MockUpstream::start(script(call))
}

/// The answers of that mock.
pub(super) fn script(
    call: impl Fn(&Received) -> Act + Send + Sync + 'static,
) -> impl Fn(&Received) -> Act + Send + Sync + 'static {
    let opened = AtomicUsize::new(0);
    move |received| {
        if received.body.is_empty() {
            let status = match received.head.starts_with("DELETE") {
                true => "200 OK",
                false => "405 Method Not Allowed",
            };
            return empty(status);
        }
        let message = received.message();
        match message["method"].as_str().unwrap_or_default() {
            "initialize" => {
                let session = opened.fetch_add(1, Ordering::Relaxed);
                Act::Send(session_opened(received, &format!("s-{session}")))
            }
            "tools/list" => {
                let tool = json!({ "name": "call", "inputSchema": { "type": "object" } });
                Act::Send(result_of(received, &json!({ "tools": [tool] }).to_string()))
            }
            "tools/call" => call(received),
            method if method.starts_with("notifications/") => empty("202 Accepted"),
            _ => empty("400 Bad Request"),
        }
    }
}

fn empty(status: &str) -> Act {
    Act::Send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes())
}

/// A result with the session of its call.
pub(super) fn named(received: &Received) -> Act {
    let session = received.field("Mcp-Session-Id").unwrap_or("none");
    let result = json!({ "content": [{ "type": "text", "text": session }] });
    Act::Send(result_of(received, &result.to_string()))
}

fn text(answer: &Value) -> String {
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// The session in which the upstream sees a call.
fn call(connection: &mut Connection, session: Option<&Session>) -> String {
    let request = match session {
        Some(session) => session.call("up_call", json!({})),
        None => Request::modern_call("up_call", json!({})),
    };
    text(&connection.exchange(&request).answer())
}

#[test]
fn each_client_has_a_session_of_its_own_in_either_era() {
    let mock = with_sessions(named);
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    let first = Session::open(&mut connection);
    let second = Session::open(&mut connection);
    let mut seen = vec![
        call(&mut connection, Some(&first)),
        call(&mut connection, Some(&second)),
        call(&mut connection, None),
    ];
    assert_eq!(call(&mut connection, Some(&first)), seen[0], "it stays");
    assert_eq!(call(&mut connection, None), seen[2]);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3, "{seen:?}");
    let calls = mock.received_of("tools/call");
    let head = &calls[0].head;
    assert!(
        !head.contains("Mcp-Method") && !head.contains("Mcp-Name"),
        "{head}"
    );
    assert_eq!(calls[0].field("MCP-Protocol-Version"), Some("2025-11-25"));
    let meta = &calls[2].message()["params"]["_meta"];
    let version = "io.modelcontextprotocol/protocolVersion";
    assert_eq!(meta[version], Value::Null, "the session has it");
}

#[test]
fn a_session_ends_at_the_upstream_with_that_of_its_client() {
    let mock = with_sessions(named);
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    let session = Session::open(&mut connection);
    let id = call(&mut connection, Some(&session));
    connection.exchange(&session.delete());
    wait_until("the session ends", || {
        let received = mock.received();
        let mut deleted = received.iter().filter(|it| it.head.starts_with("DELETE"));
        deleted
            .any(|it| it.field("Mcp-Session-Id") == Some(&id))
            .then_some(())
    });
}

#[test]
fn a_session_that_the_upstream_forgets_is_opened_again_and_the_call_made_once() {
    let has_forgotten = AtomicBool::new(false);
    let mock = with_sessions(move |received| {
        let is_old = received.field("Mcp-Session-Id") == Some("s-1");
        match is_old && has_forgotten.swap(true, Ordering::Relaxed) {
            true => empty("404 Not Found"),
            false => named(received),
        }
    });
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    assert_eq!(
        call(&mut connection, None),
        "s-1",
        "s-0 is that of the lists"
    );
    assert_eq!(call(&mut connection, None), "s-2");
    assert_eq!(call(&mut connection, None), "s-2");
    let initialized = mock.received_of("notifications/initialized");
    assert_eq!(initialized.len(), 3);
}

#[test]
fn a_session_that_an_error_says_to_be_lost_is_opened_again_and_the_call_is_not_repeated() {
    for (status, code, message) in [
        ("200 OK", -32600, "Session terminated"),
        ("400 Bad Request", -32001, "unknown SESSION"),
    ] {
        let mock = with_sessions(move |received| {
            if received.field("Mcp-Session-Id") != Some("s-1") {
                return named(received);
            }
            let id = &received.message()["id"];
            let error = json!({ "code": code, "message": message });
            let body = json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string();
            let bytes = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n");
            Act::Send(format!("{head}Content-Length: {bytes}\r\n\r\n{body}").into_bytes())
        });
        let gateway = Gateway::before(&mock);
        let mut connection = gateway.connect();
        let request = Request::modern_call("up_call", json!({}));
        let answer = connection.exchange(&request).answer();
        let expected = json!({ "upstream": "up", "reason": "lost", "executed": "unknown" });
        assert_eq!(answer["error"]["data"], expected, "{answer}");
        assert_eq!(mock.received_of("tools/call").len(), 1);
        assert_eq!(call(&mut connection, None), "s-2");
    }
}

#[test]
fn an_error_about_something_else_keeps_the_session() {
    let mock = with_sessions(|received| {
        let id = &received.message()["id"];
        let error = json!({ "code": -32600, "message": "no such thing" });
        let body = json!({ "jsonrpc": "2.0", "id": id, "error": error });
        Act::Send(json_answer(&body.to_string()))
    });
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    for _ in 0..2 {
        let request = Request::modern_call("up_call", json!({}));
        let answer = connection.exchange(&request).answer();
        assert_eq!(answer["error"]["message"], "no such thing", "{answer}");
    }
    assert_eq!(
        mock.received_of("initialize").len(),
        2,
        "of the lists and of the client"
    );
}

#[test]
fn a_cancelled_call_is_cancelled_in_its_session() {
    let mock = with_sessions(|_| Act::SendAndWait(Vec::new()));
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    connection.send(&Request::modern_call("up_call", json!({})));
    let called = wait_until("the call arrives", || {
        mock.received_of("tools/call").first().cloned()
    });
    drop(connection);
    let cancelled = wait_until("it is cancelled", || {
        mock.received_of("notifications/cancelled").first().cloned()
    });
    let id = &called.message()["id"];
    assert_eq!(&cancelled.message()["params"]["requestId"], id);
    let session = called.field("Mcp-Session-Id");
    assert_eq!(cancelled.field("Mcp-Session-Id"), session);
}

#[test]
fn a_modern_client_gets_results_of_its_era_from_a_legacy_upstream() {
    let mock = with_sessions(named);
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    let request = Request::modern_call("up_call", json!({}));
    let answer = connection.exchange(&request).answer();
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    let session = Session::open(&mut connection);
    let answer = connection
        .exchange(&session.call("up_call", json!({})))
        .answer();
    assert_eq!(answer["result"]["resultType"], Value::Null, "{answer}");
}

#[test]
fn all_clients_share_a_session_only_if_the_configuration_says_so() {
    for (sessions, expected) in [("shared", 1), ("call", 3)] {
        let mock = with_sessions(named);
        let section = mock.section("up") + &format!("sessions = \"{sessions}\"\n");
        let gateway = Gateway::start(&section);
        gateway.wait_for("up_call");
        let mut connection = gateway.connect();
        let session = Session::open(&mut connection);
        let mut seen = vec![
            call(&mut connection, Some(&session)),
            call(&mut connection, Some(&session)),
            call(&mut connection, None),
        ];
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), expected, "{sessions}: {seen:?}");
    }
}

#[test]
fn a_page_that_an_upstream_requires_is_the_result_for_a_modern_client() {
    let has_been_there = AtomicBool::new(false);
    let mock = with_sessions(move |received| {
        if has_been_there.swap(true, Ordering::Relaxed) {
            return named(received);
        }
        let page = json!({
            "mode": "url", "elicitationId": "1", "url": "https://a.example/", "message": "Log in.",
        });
        let error = json!({
            "code": -32042, "message": "a page is required", "data": { "elicitations": [page] },
        });
        let id = &received.message()["id"];
        let body = json!({ "jsonrpc": "2.0", "id": id, "error": error });
        Act::Send(json_answer(&body.to_string()))
    });
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    let call = |more: Value| {
        let mut params = json!({ "name": "up_call", "arguments": {} });
        for (name, value) in more.as_object().into_iter().flatten() {
            params[name] = value.clone();
        }
        let declared = json!({ "elicitation": { "url": {} } });
        Request::modern(1, "tools/call", params)
            .meta(corelane_tests::request::CAPABILITIES_KEY, declared)
    };
    let first = connection.exchange(&call(json!({}))).answer();
    let question = &first["result"]["inputRequests"]["0"];
    assert_eq!(question["params"]["url"], "https://a.example/", "{first}");
    let visited = json!({ "inputResponses": { "0": { "action": "accept" } } });
    let done = connection.exchange(&call(visited)).answer();
    assert_eq!(done["result"]["resultType"], "complete", "{done}");
    assert_eq!(mock.received_of("tools/call").len(), 2);
}

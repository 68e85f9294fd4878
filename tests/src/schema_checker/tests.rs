//! Conversations without a fault, and with a fault that must be reported.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};

use super::SchemaChecker;
use crate::request::{MODERN, Request};
use crate::session::Session;

const POLITE: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

fn bytes_of(request: &Request) -> Vec<u8> {
    request.to_bytes("127.0.0.1:1".parse().unwrap())
}

fn send(checker: &mut SchemaChecker, request: &Request) {
    checker.sent(&bytes_of(request));
}

fn legacy(method: &str) -> Request {
    Request::legacy(&json!({ "jsonrpc": "2.0", "id": 1, "method": method }))
}

fn result(result: Value) -> String {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string();
    format!("{POLITE}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// The checker's complaint about `bytes`; none if they are sound.
fn complaint(checker: &mut SchemaChecker, bytes: &str) -> Option<String> {
    let received = catch_unwind(AssertUnwindSafe(|| checker.received(bytes.as_bytes())));
    let panic = received.err()?;
    Some(panic.downcast_ref::<String>().expect("a text").clone())
}

/// The checker reports nothing, or `fault`.
fn check(checker: &mut SchemaChecker, bytes: &str, fault: Option<&str>) {
    let said = complaint(checker, bytes);
    match (&said, fault) {
        (None, None) => {}
        (Some(said), Some(fault)) if said.contains(fault) => {}
        _ => panic!("expected {fault:?}, found {said:?} in {bytes}"),
    }
}

#[test]
fn each_answer_is_held_to_its_own_request() {
    let mut sound = SchemaChecker::default();
    let mut swapped = SchemaChecker::default();
    for checker in [&mut sound, &mut swapped] {
        let notification = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let requests = [
            legacy("ping"),
            Request::legacy(&notification),
            Request::modern(1, "tools/list", json!({})),
            legacy("tools/call"),
        ];
        let bytes: Vec<u8> = requests.iter().flat_map(bytes_of).collect();
        for piece in bytes.chunks(7) {
            checker.sent(piece);
        }
    }
    let list = json!({
        "resultType": "complete", "tools": [], "ttlMs": 0, "cacheScope": "private",
    });
    let accepted = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_owned();
    let before = [result(json!({})), accepted].concat();
    let call = result(json!({ "content": [] }));
    check(
        &mut sound,
        &[before.as_str(), &result(list.clone()), &call].concat(),
        None,
    );
    let modern_list = Some("ListToolsResult: \"tools\" is a required");
    check(
        &mut swapped,
        &[before.as_str(), &call].concat(),
        modern_list,
    );
    check(
        &mut swapped,
        &result(list),
        Some("\"content\" is a required"),
    );
}

#[test]
fn answers_are_read_byte_by_byte() {
    for (text, is_sound) in [
        (result(json!({ "content": [] })), true),
        (result(json!({ "content": {} })), false),
        (
            result(json!({ "content": [] })).replace("200 OK", "400 Bad Request"),
            true,
        ),
        (
            result(json!({ "content": 1 })).replace("application/json", "text/plain"),
            true,
        ),
    ] {
        let mut checker = SchemaChecker::default();
        send(&mut checker, &legacy("tools/call"));
        let (last, before) = text.as_bytes().split_last().unwrap();
        for byte in before {
            checker.received(&[*byte]);
        }
        let fault = (!is_sound).then_some("at /result/content");
        check(&mut checker, &char::from(*last).to_string(), fault);
    }
}

#[test]
fn events_are_checked_when_they_are_whole() {
    let mut checker = SchemaChecker::default();
    send(&mut checker, &legacy("tools/call"));
    let progress = |token: Value| {
        let params = json!({ "progressToken": token, "progress": 1 });
        let method = "notifications/progress";
        json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string()
    };
    check(&mut checker, STREAM, None);
    check(&mut checker, &chunk(": alive\n\nid: 1\ndata:\n\n"), None);
    let event = format!("data: {}\n\n", progress(json!("ü")));
    let (start, end) = event.split_at(20);
    check(&mut checker, &[chunk(start), chunk(end)].concat(), None);
    let tokenless = format!("data: {}", progress(Value::Null));
    check(&mut checker, &chunk(&tokenless), None);
    check(&mut checker, &chunk("\n"), None);
    check(&mut checker, &chunk("\n"), Some("at /params/progressToken"));
    let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": {} });
    let answer = chunk(&format!("data: {answer}\n\n"));
    check(&mut checker, &answer, Some("\"content\" is a required"));
    check(&mut checker, "0\r\n\r\n", None);
    send(&mut checker, &legacy("ping"));
    check(&mut checker, &result(json!({})), None);
}

#[test]
fn a_session_has_the_revision_of_its_handshake() {
    let status = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tasks/status\"}\n\n";
    for (revision, fault) in [
        ("2025-06-18", "this revision has no TaskStatusNotification"),
        ("2025-11-25", "\"params\" is a required property"),
    ] {
        let mut checker = SchemaChecker::default();
        send(&mut checker, &Request::initialize("1900-01-01"));
        let id = format!("session of {revision}");
        let agreed = result(json!({
            "protocolVersion": revision,
            "capabilities": {},
            "serverInfo": { "name": "a", "version": "1" },
        }));
        let agreed = agreed.replacen("\r\n", &format!("\r\nMCP-Session-Id: {id}\r\n"), 1);
        check(&mut checker, &agreed, None);
        let mut another = SchemaChecker::default();
        // The header decides only where the session is unknown.
        send(&mut another, &Session { id }.stream());
        check(&mut another, STREAM, None);
        check(&mut another, &chunk(status), Some(fault));
    }
    let mut stranger = SchemaChecker::default();
    let id = "nobody's".to_owned();
    let stream = Session { id }
        .stream()
        .field("MCP-Protocol-Version", MODERN);
    send(&mut stranger, &stream);
    let fault = "notifications/tasks/status is not for a server";
    check(
        &mut stranger,
        &[STREAM, &chunk(status)].concat(),
        Some(fault),
    );
}

#[test]
fn interim_responses_answer_nothing() {
    let mut checker = SchemaChecker::default();
    send(&mut checker, &legacy("tools/call"));
    check(&mut checker, "HTTP/1.1 100 Continue\r\n\r\n", None);
    check(
        &mut checker,
        &result(json!({})),
        Some("\"content\" is a required"),
    );
}

#[test]
fn unreadable_requests_leave_the_check_of_the_envelope() {
    let host = "Host: a\r\n";
    for doubtful in [
        "garbage\r\n\r\n".to_owned(),
        format!("POST /mcp HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
        format!("POST /mcp HTTP/1.1\r\n{host}Content-Length: +1\r\n\r\nx"),
        format!("POST /mcp HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\nx"),
        format!("POST /mcp HTTP/1.1\r\n{host} folded\r\n\r\n"),
    ] {
        let mut checker = SchemaChecker::default();
        send(&mut checker, &legacy("ping"));
        checker.sent(doubtful.as_bytes());
        send(&mut checker, &legacy("tools/call"));
        check(&mut checker, &result(json!({})), None);
        check(&mut checker, &result(json!({})), None);
        check(&mut checker, &result(json!([])), Some("at /result"));
    }
}

#[test]
fn an_early_answer_ends_the_counting() {
    let mut checker = SchemaChecker::default();
    let bytes = bytes_of(&legacy("tools/call"));
    let (start, end) = bytes.split_at(bytes.len() - 5);
    checker.sent(start);
    check(&mut checker, &result(json!({})), None);
    checker.sent(end);
    check(&mut checker, &result(json!({})), None);
}

#[test]
fn the_end_of_the_connection_ends_a_response() {
    let open = format!("{POLITE}\r\n{{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":{{}}}}");
    let mut checker = SchemaChecker::default();
    send(&mut checker, &legacy("ping"));
    check(&mut checker, &open, None);
    let closed = catch_unwind(AssertUnwindSafe(|| checker.closed()));
    let panic = closed.expect_err("the id is null");
    assert!(panic.downcast_ref::<String>().unwrap().contains("at /id"));
}

#[test]
fn bodies_in_chunks_are_read() {
    let mut checker = SchemaChecker::default();
    let request = legacy("tools/call");
    for piece in request
        .to_chunked_bytes("127.0.0.1:1".parse().unwrap(), 3)
        .chunks(5)
    {
        checker.sent(piece);
    }
    check(
        &mut checker,
        &result(json!({})),
        Some("\"content\" is a required"),
    );
}

#[test]
fn a_body_that_says_json_and_is_none_is_a_fault() {
    let mut checker = SchemaChecker::default();
    send(&mut checker, &legacy("ping"));
    let text = format!("{POLITE}Content-Length: 1\r\n\r\nx");
    check(&mut checker, &text, Some("no JSON from the server"));
}

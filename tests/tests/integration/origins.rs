//! Requests from pages of other sites: `Origin` is hostile while everything else, `Host` included,
//! is correct.
//!
//! MCP 2025-11-25 basic/transports, "Security Warning", and 2026-07-28
//! basic/transports/streamable-http, "Security & Endpoint": `Origin` is validated on all incoming
//! connections; present and invalid is 403, with at most an error that has no `id`.

use corelane_tests::request::LEGACY;
use corelane_tests::timeouts::wait_until;
use corelane_tests::{Connection, Request, Server, Session, Setup};
use serde_json::{Value, json};

/// Every kind of request, each in a form that is served without `Origin`.
fn requests(session: &Session) -> Vec<(&'static str, Request)> {
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let subscribe = json!({ "uri": "test://watched-resource" });
    vec![
        ("handshake", Request::initialize(LEGACY)),
        ("ping", session.request(1, "ping", Value::Null)),
        (
            "legacy call",
            session.call("test_trigger_tool_change", json!({})),
        ),
        (
            "modern call",
            Request::modern_call("test_trigger_tool_change", json!({})),
        ),
        ("discover", Request::modern(1, "server/discover", json!({}))),
        ("listen", Request::modern(1, "subscriptions/listen", listen)),
        (
            "subscribe",
            session.request(1, "resources/subscribe", subscribe),
        ),
        (
            "notification",
            session.notification("notifications/initialized"),
        ),
        ("cancellation", session.cancelled(1)),
        (
            "answer",
            session.message(&json!({ "jsonrpc": "2.0", "id": 7, "result": {} })),
        ),
        ("no JSON", Request::post("{")),
        ("stream", session.stream()),
        ("end of the session", session.delete()),
        ("preflight", Request::new("OPTIONS")),
        ("other path", Request::new("GET").path("/")),
    ]
}

/// Origins a browser sends for pages that are not the server's own.
fn hostile_origins(server: &Server) -> Vec<String> {
    let port = server.address().port();
    vec![
        "http://evil.example".to_owned(),
        format!("http://evil.example:{port}"),
        format!("http://127.0.0.1.evil.example:{port}"),
        format!("http://localhost.evil.example:{port}"),
        format!("http://evil.example/127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}@evil.example"),
        format!("http://127.0.0.1:{port}, http://evil.example"),
        "null".to_owned(),
        String::new(),
        "evil".to_owned(),
        "file://".to_owned(),
        "chrome-extension://abcdefghijklmnop".to_owned(),
    ]
}

fn tool_count(connection: &mut Connection) -> usize {
    let list = Request::modern(1, "tools/list", json!({}));
    let answer = connection.exchange(&list).answer();
    answer["result"]["tools"].as_array().expect("tools").len()
}

/// A hostile page gets 403 for every request, gets no information, and has no effect.
#[test]
fn a_hostile_page_is_refused_for_every_request() {
    let server = Setup::shards(2).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let tools = tool_count(&mut connection);
    for origin in hostile_origins(&server) {
        for (name, request) in requests(&session) {
            let response = server.connect().exchange(&request.field("Origin", &origin));
            assert_eq!(response.status(), 403, "{name} of {origin:?}: {response:?}");
            for field in ["MCP-Session-Id", "Access-Control-Allow-Origin"] {
                assert_eq!(response.head.field(field), None, "{name} of {origin:?}");
            }
            if !response.body.is_empty() {
                let body = response.json();
                assert_eq!(body.get("id"), None, "{name} of {origin:?}: {body}");
                assert!(body["error"]["code"].is_i64(), "{name}: {body}");
            }
        }
    }
    let ping = connection.exchange(&session.request(1, "ping", Value::Null));
    assert_eq!(ping.status(), 200, "the session lives: {ping:?}");
    assert_eq!(tool_count(&mut connection), tools, "no call was made");
}

/// Two origins are refused, even if one of them is the server's own.
#[test]
fn a_second_origin_does_not_hide_the_first() {
    let server = Setup::shards(1).start();
    let own = format!("http://{}", server.address());
    let session = Session::open(&mut server.connect());
    for (first, second) in [
        ("http://evil.example", &*own),
        (&*own, "http://evil.example"),
    ] {
        let ping = session.request(1, "ping", Value::Null);
        let ping = ping.field("Origin", first).repeated_field("origin", second);
        assert_eq!(server.connect().exchange(&ping).status(), 403);
    }
}

/// A request without `Origin` comes from no page and is served, and so is one of the server's own
/// pages.
#[test]
fn programs_and_own_pages_are_served() {
    let server = Setup::shards(1).start();
    let own = format!("http://{}", server.address());
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    for (name, request) in [
        ("ping", session.request(1, "ping", Value::Null)),
        ("discover", Request::modern(1, "server/discover", json!({}))),
    ] {
        for request in [request.clone(), request.field("Origin", &own)] {
            let response = connection.exchange(&request);
            assert_eq!(response.status(), 200, "{name}: {response:?}");
        }
    }
}

/// The answer and the log name a refused host and the setting that allows it.
#[test]
fn a_host_is_allowed_with_a_flag_and_a_refused_one_is_named() {
    let server = Setup::shards(1)
        .arguments(&[
            "--allow-host",
            "mcp.example",
            "--allow-host",
            "two.example:81",
        ])
        .start();
    let mut connection = server.connect();
    let ping = |host: &str| Request::modern(1, "server/discover", json!({})).field("Host", host);
    for host in [
        "mcp.example",
        "mcp.example:9000",
        "two.example:81",
        "localhost:9000",
    ] {
        let response = connection.exchange(&ping(host));
        assert_eq!(response.status(), 200, "{host}: {response:?}");
    }
    for host in ["evil.example", "two.example:82"] {
        let response = connection.exchange(&ping(host));
        assert_eq!(response.status(), 403, "{host}: {response:?}");
        let message = response.json()["error"]["message"].clone();
        let message = message.as_str().expect("a text");
        assert!(
            message.contains(&format!("host {host:?} is not allowed")),
            "{message}"
        );
        assert!(message.contains("allowed_hosts"), "{message}");
    }
    wait_until("the warning", || {
        let log = server.log();
        (log.contains("evil.example") && log.contains("allowed_hosts")).then_some(())
    });
}

/// The browser of an allowed page learns that it may show every answer to the page.
#[test]
fn a_page_of_an_allowed_origin_can_call() {
    let origin = "http://page.example:6274";
    let profile = format!("[server]\nallowed_origins = [\"{origin}\"]");
    let server = Setup::shards(2).profile(&profile).start();
    let preflight = Request::new("OPTIONS")
        .field("Access-Control-Request-Method", "POST")
        .field("Access-Control-Request-Headers", "mcp-session-id");
    let call = Request::modern_call("test_simple_text", json!({}));
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    for (name, request, status) in [
        ("preflight", preflight, 204),
        ("call", call, 200),
        (
            "legacy call",
            session.call("test_simple_text", json!({})),
            200,
        ),
        ("no JSON", Request::post("{"), 400),
        ("other path", Request::new("GET").path("/"), 404),
        ("end of the session", session.delete(), 204),
        (
            "ended session",
            session.request(1, "ping", Value::Null),
            404,
        ),
    ] {
        let response = server.connect().exchange(&request.field("Origin", origin));
        assert_eq!(response.status(), status, "{name}: {response:?}");
        let allowed = response.head.field("Access-Control-Allow-Origin");
        assert_eq!(allowed, Some(origin), "{name}: {response:?}");
        assert_eq!(response.head.field("Vary"), Some("Origin"), "{name}");
        let headers = response.head.field("Access-Control-Allow-Headers");
        assert_eq!(headers.is_some(), name == "preflight", "{response:?}");
    }
    // No page, no fields.
    let ping = Request::modern(1, "server/discover", json!({}));
    let response = connection.exchange(&ping);
    assert_eq!(response.head.field("Access-Control-Allow-Origin"), None);
}

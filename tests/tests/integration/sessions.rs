//! The life of a legacy session: made, used, ended, and never confused with another.

use corelane_tests::request::LEGACY;
use corelane_tests::{Connection, LivenessProbe, Request, Response, Session, Setup};
use serde_json::{Value, json};

fn check_error(response: &Response, status: u16, code: i64, name: &str) {
    assert_eq!(response.status(), status, "{name}: {response:?}");
    assert_eq!(
        response.json()["error"]["code"],
        code,
        "{name}: {response:?}"
    );
    assert!(
        response.json().get("id") != Some(&Value::Null),
        "{name}: {response:?}"
    );
}

/// Every way to use a session.
fn uses(session: &Session) -> [(&'static str, Request); 5] {
    [
        ("ping", session.request(1, "ping", Value::Null)),
        ("call", session.call("echo", json!({ "message": "x" }))),
        (
            "notification",
            session.notification("notifications/initialized"),
        ),
        ("stream", session.stream()),
        ("delete", session.delete()),
    ]
}

#[test]
fn a_deleted_session_is_unknown() {
    for shards in [1, 4] {
        let server = Setup::shards(shards).start();
        let mut probe = LivenessProbe::of(&server);
        let mut connection = server.connect();
        let session = Session::open(&mut connection);
        let response = connection.exchange(&session.delete());
        assert_eq!(
            (response.status(), response.body.len()),
            (204, 0),
            "{response:?}"
        );
        for (name, request) in uses(&session) {
            let response = connection.exchange(&request);
            check_error(&response, 404, -32001, name);
            probe.check(name);
        }
    }
}

#[test]
fn a_session_that_was_never_made_is_unknown() {
    let server = Setup::shards(2).start();
    let mut probe = LivenessProbe::of(&server);
    let mut connection = server.connect();
    let zeros = "0".repeat(32);
    for id in [
        format!("0000{zeros}"),
        format!("0001{zeros}"),
        format!("0002{zeros}"),
        format!("ffff{}", "f".repeat(32)),
        "0".to_owned(),
        "x".repeat(36),
        "0".repeat(35),
        "0".repeat(37),
        "9".repeat(4000),
    ] {
        for (name, request) in uses(&Session { id: id.clone() }) {
            let response = connection.exchange(&request);
            check_error(&response, 404, -32001, &format!("{name} of {id}"));
        }
        probe.check(&id);
    }
}

#[test]
fn a_message_without_session_is_refused() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    for (name, request) in uses(&session) {
        let missing = request.clone().without("MCP-Session-Id");
        check_error(&connection.exchange(&missing), 400, -32600, name);
        let other = format!("{}0", session.id);
        let repeated = request.repeated_field("MCP-Session-Id", &other);
        check_error(&connection.exchange(&repeated), 400, -32600, name);
    }
    let ping = connection.exchange(&session.request(1, "ping", Value::Null));
    assert_eq!(
        ping.status(),
        200,
        "none of this used the session: {ping:?}"
    );
}

#[test]
fn a_handshake_with_a_stale_session_makes_another() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let stale = Session::open(&mut connection);
    connection.exchange(&stale.delete());
    for id in [stale.id.as_str(), "nonsense", ""] {
        let request = Request::initialize(LEGACY).field("MCP-Session-Id", id);
        let response = connection.exchange(&request);
        assert_eq!(response.status(), 200, "{response:?}");
        let made = response.head.field("MCP-Session-Id").expect("a session id");
        assert_ne!(made, id);
    }
}

#[test]
fn sessions_do_not_share_their_log_level() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let quiet = Session::open(&mut connection);
    let talkative = Session::open(&mut connection);
    assert_ne!(quiet, talkative);
    let level = json!({ "level": "emergency" });
    connection.exchange(&quiet.request(1, "logging/setLevel", level));
    let mut messages = |session: &Session| {
        let call = session.call("test_tool_with_logging", json!({}));
        connection.exchange(&call).messages().len()
    };
    assert_eq!((messages(&quiet), messages(&talkative)), (1, 4));
}

#[test]
fn a_handshake_needs_its_parameters() {
    let server = Setup::shards(1).start();
    let mut probe = LivenessProbe::of(&server);
    let mut connection = server.connect();
    for params in [
        Value::Null,
        json!({}),
        json!({ "protocolVersion": 1, "capabilities": {} }),
        json!([LEGACY]),
    ] {
        let mut message = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize" });
        if !params.is_null() {
            message["params"] = params.clone();
        }
        let response = connection.exchange(&Request::legacy(&message));
        assert!(
            response.json()["error"]["code"].is_i64(),
            "{params}: {response:?}"
        );
        assert_eq!(
            response.head.field("MCP-Session-Id"),
            None,
            "{params}: {response:?}"
        );
        probe.check(&params.to_string());
    }
}

#[test]
fn notifications_and_answers_are_accepted_without_a_word() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    for message in [
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "method": "notifications/no_such", "params": { "a": 1 } }),
        json!({ "jsonrpc": "2.0", "method": "tools/call" }),
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled" }),
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": {} }),
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
                "params": { "requestId": 99 } }),
        json!({ "jsonrpc": "2.0", "id": 7, "result": {} }),
        json!({ "jsonrpc": "2.0", "id": 7, "error": { "code": -1, "message": "no" } }),
    ] {
        let response = connection.exchange(&session.message(&message));
        assert_eq!(
            (response.status(), response.body.len()),
            (202, 0),
            "{message}: {response:?}"
        );
    }
}

#[test]
fn the_oldest_idle_session_makes_room_for_another() {
    let profile = "[sessions]\nper_shard_max = 3";
    let server = Setup::shards(1).profile(profile).start();
    let mut connection = server.connect();
    let sessions: Vec<Session> = (0..4).map(|_| Session::open(&mut connection)).collect();
    for (at, session) in sessions.iter().enumerate() {
        let response = connection.exchange(&session.request(1, "ping", Value::Null));
        assert_eq!(
            response.status(),
            if at == 0 { 404 } else { 200 },
            "{at}: {response:?}"
        );
    }
}

#[test]
fn other_paths_and_verbs_are_refused() {
    let server = Setup::shards(1).start();
    let mut probe = LivenessProbe::of(&server);
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let ping = session.request(1, "ping", Value::Null);
    for path in ["/", "/mcp//", "/MCP", "/mcp2", "/../mcp", "//mcp"] {
        check_error(
            &connection.exchange(&ping.clone().path(path)),
            404,
            -32600,
            path,
        );
    }
    // The query is no part of the path, and a slash at its end makes no difference.
    for path in ["/mcp?a=b", "/mcp/", "/mcp/?a=b"] {
        let response = connection.exchange(&ping.clone().path(path));
        assert_eq!(response.status(), 200, "{path}: {response:?}");
    }
    for verb in ["PUT", "PATCH", "BREW"] {
        let response = connection.exchange(&Request::new(verb));
        check_error(&response, 405, -32600, verb);
        assert!(
            response
                .head
                .field("Allow")
                .is_some_and(|allow| allow.contains("POST"))
        );
        probe.check(verb);
    }
    let modern = corelane_tests::request::MODERN;
    for request in [session.stream(), session.delete()] {
        let response = connection.exchange(&request.field("MCP-Protocol-Version", modern));
        check_error(&response, 405, -32600, "a session verb of the modern era");
        assert_eq!(response.head.field("Allow"), Some("POST, OPTIONS"));
    }
}

/// The status of a ping with a `Host` and an `Origin`.
fn status_from(connection: &mut Connection, session: &Session, fields: &[(&str, &str)]) -> u16 {
    let ping = session.request(1, "ping", Value::Null);
    let request = fields
        .iter()
        .fold(ping, |request, (name, value)| request.field(name, value));
    connection.exchange(&request).status()
}

#[test]
fn strangers_are_refused_by_host_and_origin() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let own = format!("http://{}", server.address());
    let localhost = format!("localhost:{}", server.address().port());
    for (name, value, status) in [
        ("Origin", "http://evil.example", 403),
        ("Origin", "null", 403),
        ("Origin", "", 403),
        ("Origin", "http://127.0.0.1.evil.example", 403),
        ("Origin", own.as_str(), 200),
        ("Host", "evil.example", 403),
        ("Host", "127.0.0.1.evil.example", 403),
        ("Host", localhost.as_str(), 200),
    ] {
        let found = status_from(&mut connection, &session, &[(name, value)]);
        assert_eq!(found, status, "{name}: {value}");
    }
}

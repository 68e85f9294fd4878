//! Wrong `MCP-Protocol-Version`: 400 for every kind of request, without an effect.

use corelane_tests::request::VERSION_KEY;
use corelane_tests::{Request, Session, Setup};
use serde_json::{Value, json};

/// Versions that were never published.
const WRONG: [&str; 7] = [
    "1900-01-01",
    "2025-11-24",
    "latest",
    "2025-11-25 ; q=1",
    "2025-11-25, 2025-06-18",
    "20251125",
    "",
];

/// MCP 2025-11-25 basic/transports, "Protocol Version Header": a request with an invalid or
/// unsupported version is answered with 400, for every method and content.
#[test]
fn a_wrong_version_is_refused_in_every_use_of_a_session() {
    let server = Setup::shards(2).start();
    let session = Session::open(&mut server.connect());
    let level = json!({ "level": "emergency" });
    for version in WRONG {
        for (name, request) in [
            ("ping", session.request(1, "ping", Value::Null)),
            ("call", session.call("test_simple_text", json!({}))),
            (
                "level",
                session.request(1, "logging/setLevel", level.clone()),
            ),
            (
                "notification",
                session.notification("notifications/initialized"),
            ),
            (
                "answer",
                session.message(&json!({ "jsonrpc": "2.0", "id": 7, "result": {} })),
            ),
            ("stream", session.stream()),
            ("end of the session", session.delete()),
        ] {
            let request = request.field("MCP-Protocol-Version", version);
            let response = server.connect().exchange(&request);
            assert_eq!(response.status(), 400, "{name} {version:?}: {response:?}");
        }
    }
    // The session lives, and its level is unchanged.
    let call = session.call("test_tool_with_logging", json!({}));
    assert_eq!(server.connect().exchange(&call).messages().len(), 4);
}

/// The version is sent once, or it is not valid.
#[test]
fn two_versions_are_none() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    for request in [
        session.request(1, "ping", Value::Null),
        session.stream(),
        session.delete(),
    ] {
        let request = request.repeated_field("mcp-protocol-version", "2025-06-18");
        assert_eq!(connection.exchange(&request).status(), 400);
    }
    let ping = connection.exchange(&session.request(1, "ping", Value::Null));
    assert_eq!(ping.status(), 200);
}

/// MCP 2026-07-28 basic/transports/streamable-http, "Protocol Version Header": a version that is
/// not implemented is 400 with the implemented versions.
#[test]
fn a_modern_version_that_is_not_served_is_refused_with_those_that_are() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    for version in ["2099-01-01", "2026-07-29", "2025-11-25", "1900-01-01", "x"] {
        for method in ["server/discover", "tools/list", "no/such"] {
            let request = Request::modern("v", method, json!({}))
                .meta(VERSION_KEY, version)
                .field("MCP-Protocol-Version", version);
            let response = connection.exchange(&request);
            assert_eq!(response.status(), 400, "{version} {method}: {response:?}");
            let answer = response.json();
            assert_eq!(answer["id"], "v", "{answer}");
            assert_eq!(answer["error"]["code"], -32022, "{version}: {answer}");
            assert_eq!(answer["error"]["data"]["requested"], version, "{answer}");
            let supported = &answer["error"]["data"]["supported"];
            assert_eq!(*supported, json!(["2026-07-28"]), "{answer}");
        }
    }
}

/// The same for a notification, whose refusal has no `id`.
#[test]
fn a_notification_of_a_version_that_is_not_served_is_refused() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let plain = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled" });
    for (name, request) in [
        ("without session", Request::legacy(&plain)),
        ("in a session", session.message(&plain)),
    ] {
        let request = request.field("MCP-Protocol-Version", "2099-01-01");
        let response = connection.exchange(&request);
        assert_eq!(response.status(), 400, "{name}: {response:?}");
        assert_eq!(response.json().get("id"), None, "{name}: {response:?}");
    }
}

//! Both eras on one server: the same catalog, encoded for each era.

use corelane_tests::request::{LEGACY, MODERN};
use corelane_tests::{Connection, Request, Session, Setup};
use serde_json::{Value, json};

/// Shard counts with different behaviour: one, as many as cores, more than cores.
const SHARDS: [usize; 3] = [1, 2, 4];

/// The answer to a request that must get status 200.
fn served(connection: &mut Connection, request: &Request) -> Value {
    let response = connection.exchange(request);
    assert_eq!(response.status(), 200, "{response:?}");
    let answer = response.answer();
    assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
    answer
}

fn tool_names(result: &Value) -> Vec<&str> {
    let tools = result["tools"].as_array().expect("a list of tools");
    tools
        .iter()
        .map(|tool| tool["name"].as_str().expect("a name"))
        .collect()
}

#[test]
fn both_eras_are_served_on_one_connection() {
    for shards in SHARDS {
        let server = Setup::shards(shards).start();
        for _ in 0..2 * shards {
            let mut connection = server.connect();
            let session = Session::open(&mut connection);
            assert!(session.home() < shards, "{session:?} of {shards} shards");
            let legacy = served(
                &mut connection,
                &session.request(7, "tools/list", json!({})),
            );
            let modern = served(
                &mut connection,
                &Request::modern(7, "tools/list", json!({})),
            );
            assert_eq!(legacy["id"], 7);
            assert_eq!(modern["id"], 7);
            assert_eq!(tool_names(&legacy["result"]), tool_names(&modern["result"]));

            let call = json!({ "name": "add", "arguments": { "a": 19, "b": 23 } });
            for request in [
                session.request("seven", "tools/call", call.clone()),
                Request::modern("seven", "tools/call", call),
            ] {
                let answer = served(&mut connection, &request);
                assert_eq!(answer["id"], "seven");
                let sum = answer["result"]["content"][0]["text"]
                    .as_str()
                    .map(str::parse);
                assert_eq!(sum, Some(Ok(42.0)), "{answer}");
            }
        }
        server.assert_alive();
    }
}

#[test]
fn a_handshake_agrees_on_a_legacy_revision_for_any_request() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    for (requested, agreed) in [
        (LEGACY, LEGACY),
        ("2025-06-18", "2025-06-18"),
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        (MODERN, LEGACY),
        ("1900-01-01", LEGACY),
        ("", LEGACY),
    ] {
        let response = connection.exchange(&Request::initialize(requested));
        assert_eq!(response.status(), 200, "{requested}: {response:?}");
        let result = &response.json()["result"];
        assert_eq!(result["protocolVersion"], agreed, "asked for {requested}");
        assert!(result["capabilities"]["tools"].is_object(), "{result}");
        assert!(result["serverInfo"]["name"].is_string(), "{result}");
        assert!(result["serverInfo"]["version"].is_string(), "{result}");
    }
}

#[test]
fn a_session_keeps_the_revision_it_agreed_on() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let response = connection.exchange(&Request::initialize("2025-06-18"));
    let id = response
        .head
        .field("MCP-Session-Id")
        .expect("a session id")
        .to_owned();
    let session = Session { id };
    let ping = session.request(1, "ping", Value::Null);
    for (version, status) in [
        (Some("2025-06-18"), 200),
        (None, 200),
        (Some("2024-01-01"), 400),
        (Some("not a date"), 400),
        (Some(""), 400),
    ] {
        let request = match version {
            Some(version) => ping.clone().field("MCP-Protocol-Version", version),
            None => ping.clone().without("MCP-Protocol-Version"),
        };
        let response = connection.exchange(&request);
        assert_eq!(response.status(), status, "{version:?}: {response:?}");
        if status == 400 {
            assert_eq!(
                response.json()["error"]["code"],
                -32600,
                "{version:?}: {response:?}"
            );
        }
    }
}

#[test]
fn discover_names_modern_revisions_only_and_is_modern_only() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let answer = served(
        &mut connection,
        &Request::modern(1, "server/discover", json!({})),
    );
    let result = &answer["result"];
    assert_eq!(result["supportedVersions"], json!([MODERN]));
    assert!(result["capabilities"]["tools"].is_object(), "{result}");
    assert_eq!(result["resultType"], "complete");
    assert!(
        result["ttlMs"].is_u64() && result["cacheScope"].is_string(),
        "{result}"
    );

    let session = Session::open(&mut connection);
    let response = connection.exchange(&session.request(1, "server/discover", json!({})));
    assert_eq!(response.status(), 400, "{response:?}");
    assert_eq!(response.json()["error"]["code"], -32602, "{response:?}");
}

#[test]
fn modern_results_are_stamped_and_legacy_results_are_not() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let echo = json!({ "name": "echo", "arguments": { "message": "x" } });
    for (method, params) in [("tools/list", json!({})), ("tools/call", echo)] {
        let modern = served(&mut connection, &Request::modern(1, method, params.clone()));
        let result = &modern["result"];
        assert_eq!(result["resultType"], "complete", "{method}: {result}");
        let info = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
        assert!(info["name"].is_string(), "{method}: {result}");
        assert_eq!(
            result["ttlMs"].is_u64(),
            method == "tools/list",
            "{method}: {result}"
        );
        let legacy = served(&mut connection, &session.request(1, method, params));
        for member in ["resultType", "_meta", "ttlMs", "cacheScope"] {
            assert!(
                legacy["result"].get(member).is_none(),
                "{method}, {member}: {legacy}"
            );
        }
    }
    // Clients compare these two with the empty object.
    for (method, params) in [
        ("ping", Value::Null),
        ("logging/setLevel", json!({ "level": "error" })),
    ] {
        let answer = served(&mut connection, &session.request(1, method, params));
        assert_eq!(answer["result"], json!({}), "{method}");
    }
}

/// A modern request on `connection` gets this status and code, with its id.
fn check_refused(connection: &mut Connection, name: &str, request: &Request, expected: (u16, i64)) {
    let response = connection.exchange(request);
    assert_eq!(response.status(), expected.0, "{name}: {response:?}");
    let answer = response.json();
    assert_eq!(answer["error"]["code"], expected.1, "{name}: {answer}");
    assert_eq!(answer["id"], 5, "{name}: {answer}");
}

#[test]
fn a_modern_request_needs_headers_that_agree_with_its_body() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let call = json!({ "name": "echo", "arguments": { "message": "x" } });
    let call = Request::modern(5, "tools/call", call);
    let version = "MCP-Protocol-Version";
    let custom = |value: &str| {
        let arguments = json!({ "value": value });
        let params = json!({ "name": "test_custom_header", "arguments": arguments });
        Request::modern(5, "tools/call", params)
    };
    let claiming = |claim: &str| {
        call.clone()
            .meta(corelane_tests::request::VERSION_KEY, claim)
            .field(version, claim)
    };
    for (name, request, expected) in [
        ("no version", call.clone().without(version), (400, -32020)),
        (
            "other version",
            call.clone().field(version, LEGACY),
            (400, -32020),
        ),
        (
            "two versions",
            call.clone().repeated_field(version, LEGACY),
            (400, -32020),
        ),
        (
            "no method",
            call.clone().without("Mcp-Method"),
            (400, -32020),
        ),
        (
            "other method",
            call.clone().field("Mcp-Method", "tools/list"),
            (400, -32020),
        ),
        (
            "method in upper case",
            call.clone().field("Mcp-Method", "TOOLS/CALL"),
            (400, -32020),
        ),
        ("no name", call.clone().without("Mcp-Name"), (400, -32020)),
        (
            "other name",
            call.clone().field("Mcp-Name", "add"),
            (400, -32020),
        ),
        (
            "bad base64",
            call.clone().field("Mcp-Name", "=?base64?ZWNobw?="),
            (400, -32020),
        ),
        ("no param header", custom("x"), (400, -32020)),
        (
            "other param header",
            custom("x").field("Mcp-Param-Value", "y"),
            (400, -32020),
        ),
        ("old claim", claiming(LEGACY), (400, -32022)),
        ("unknown claim", claiming("1900-01-01"), (400, -32022)),
    ] {
        check_refused(&mut connection, name, &request, expected);
    }
}

#[test]
fn headers_may_be_encoded_or_carry_more_than_is_needed() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let call = Request::modern_call("echo", json!({ "message": "x" }));
    let custom =
        |value: &str| Request::modern_call("test_custom_header", json!({ "value": value }));
    for request in [
        call.clone().field("Mcp-Name", "=?base64?ZWNobw==?="),
        call.clone().repeated_field("MCP-Protocol-Version", MODERN),
        call.clone()
            .field("MCP-Protocol-Version", "2026-07-28, 2026-07-28"),
        call.clone().field("mcp-session-id", "ignored"),
        custom("x").field("mcp-param-value", "x"),
        custom("\u{e4}").field("Mcp-Param-Value", "=?base64?w6Q=?="),
    ] {
        served(&mut connection, &request);
    }
}

#[test]
fn a_modern_request_needs_a_method_and_capabilities_of_its_era() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    for (name, request, expected) in [
        (
            "initialize",
            Request::modern(5, "initialize", json!({})),
            (404, -32601),
        ),
        ("ping", Request::modern(5, "ping", json!({})), (404, -32601)),
        (
            "setLevel",
            Request::modern(5, "logging/setLevel", json!({})),
            (404, -32601),
        ),
        (
            "unknown method",
            Request::modern(5, "no/such", json!({})),
            (404, -32601),
        ),
        (
            "no capability",
            Request::modern(
                5,
                "tools/call",
                json!({ "name": "test_missing_capability" }),
            ),
            (400, -32021),
        ),
    ] {
        check_refused(&mut connection, name, &request, expected);
    }
}

#[test]
fn a_version_that_is_not_served_is_answered_with_those_that_are() {
    let server = Setup::shards(1).start();
    let request = Request::modern(1, "tools/list", json!({}))
        .meta(corelane_tests::request::VERSION_KEY, "v999.0.0")
        .field("MCP-Protocol-Version", "v999.0.0");
    let data = &server.connect().exchange(&request).json()["error"]["data"];
    assert_eq!(data["supported"], json!([MODERN]));
    assert_eq!(data["requested"], "v999.0.0");
}

#[test]
fn an_envelope_that_is_incomplete_or_wrong_is_refused() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let list = Request::modern(5, "tools/list", json!({}));
    let plain = |method: &str| {
        let message = json!({ "jsonrpc": "2.0", "id": 5, "method": method, "params": {} });
        Request::legacy(&message)
    };
    let capabilities = corelane_tests::request::CAPABILITIES_KEY;
    for (name, request, expected) in [
        (
            "no claim",
            plain("tools/list").field("MCP-Protocol-Version", MODERN),
            (400, -32602),
        ),
        ("bare discover", plain("server/discover"), (400, -32602)),
        (
            "capabilities null",
            list.clone().meta(capabilities, Value::Null),
            (400, -32602),
        ),
        (
            "capabilities list",
            list.clone().meta(capabilities, json!([])),
            (400, -32602),
        ),
        (
            "claim number",
            list.clone().meta(corelane_tests::request::VERSION_KEY, 1),
            (400, -32602),
        ),
        (
            "log level",
            list.clone()
                .meta(corelane_tests::request::LOG_LEVEL_KEY, "loud"),
            (400, -32602),
        ),
        (
            "handshake with a modern header",
            plain("initialize").field("MCP-Protocol-Version", MODERN),
            (400, -32020),
        ),
        (
            "neither claim nor session",
            plain("tools/list"),
            (400, -32600),
        ),
    ] {
        check_refused(&mut connection, name, &request, expected);
    }
}

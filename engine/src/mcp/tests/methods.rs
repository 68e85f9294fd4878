//! Methods that are answered at once, as tables of requests and answers in both eras.

use serde_json::{Value, json};

use super::test_endpoint::{
    MODERN, TestEndpoint, claim, error, failure, initialize, notification, request, result, text,
    with_trailer,
};
use super::tools::{self, ECHO_SCHEMA};
use crate::mcp::Disposition;
use crate::meter::Counter;

/// Posts `body` in a session of its own and checks the answer.
#[track_caller]
fn check_session(body: &str, kind: &str, message: &Value) {
    let mut harness = TestEndpoint::new();
    let session = harness.session();
    harness.post(&session, body).check(kind, message);
}

/// Posts a modern request with headers that agree with it and checks the answer.
#[track_caller]
fn check_modern(method: &str, mut params: Value, kind: &str, message: &Value) {
    let mut headers = format!("{MODERN}Mcp-Method: {method}\r\n");
    if let Some(name) = params["name"].as_str() {
        headers.push_str(&format!("Mcp-Name: {name}\r\n"));
    }
    params["_meta"] = claim();
    let mut harness = TestEndpoint::new();
    harness
        .post(&headers, &request("m", method, params))
        .check(kind, message);
}

#[test]
fn methods_of_a_session_are_answered_in_band() {
    let check = |method: &str, params: Value, message: Value| {
        check_session(&request(2, method, params), "200", &message);
    };
    check("ping", json!({}), result(2, json!({})));
    check(
        "logging/setLevel",
        json!({"level": "error"}),
        result(2, json!({})),
    );
    check(
        "logging/setLevel",
        json!({"level": "Error"}),
        error(2, -32602),
    );
    check("logging/setLevel", json!({"level": 3}), error(2, -32602));
    check("logging/setLevel", json!({}), error(2, -32602));
    check("tools/list", json!({"cursor": "x"}), error(2, -32602));
    check("tools/list", json!({"cursor": 1}), error(2, -32602));
    check("server/unknown", json!({}), error(2, -32601));
    check_session(
        &request(2, "server/discover", json!({})),
        "400",
        &error(2, -32602),
    );
}

#[test]
fn methods_of_the_modern_era_are_stamped() {
    let discovered = json!({
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"logging": {}, "tools": {"listChanged": true}},
        "ttlMs": 0,
        "cacheScope": "private",
    });
    check_modern(
        "server/discover",
        json!({}),
        "200",
        &with_trailer("m", discovered),
    );
    check_modern(
        "tools/list",
        json!({"cursor": "x"}),
        "200",
        &error("m", -32602),
    );
    for legacy_only in ["ping", "logging/setLevel", "initialize", "server/unknown"] {
        check_modern(legacy_only, json!({}), "404", &error("m", -32601));
    }
}

#[test]
fn lists_have_every_tool_and_its_schema_byte_for_byte() {
    let mut harness = TestEndpoint::new();
    let session = harness.session();
    let legacy = harness
        .post(&session, &request(1, "tools/list", json!({})))
        .body;
    let headers = format!("{MODERN}Mcp-Method: tools/list\r\n");
    let body = request(1, "tools/list", json!({"_meta": claim()}));
    let modern = harness.post(&headers, &body).body;
    let names: Vec<&str> = legacy["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names[..3], ["echo", "wait", "steps"]);
    assert_eq!(names.len(), 13);
    let of_modern = modern["result"]["tools"].as_array().unwrap();
    let of_legacy = legacy["result"]["tools"].as_array().unwrap();
    for (modern, legacy) in of_modern.iter().zip(of_legacy) {
        for member in ["name", "description", "inputSchema"] {
            assert_eq!(modern[member], legacy[member]);
        }
        let wrapped = &legacy["outputSchema"]["properties"]["result"]["type"];
        assert_eq!(*wrapped, modern["outputSchema"]["type"]);
    }
    assert_eq!(legacy["result"].as_object().unwrap().len(), 1);
    assert_eq!(modern["result"]["ttlMs"], 0);
    let mut out = Vec::new();
    let session = super::test_endpoint::session_header(harness.session_id());
    super::test_endpoint::with_head("POST", &session, |head| {
        let exchange = harness.post("", "{}").exchange;
        let body = request(1, "tools/list", json!({}));
        let claims = corelane_protocol::binding::claims::Claims::of_head(head);
        let requester = &crate::mcp::Requester::Here {
            claims,
            identity: None,
            address: None,
            peer: None,
        };
        let inbound = crate::mcp::Inbound::new(requester, exchange);
        harness
            .endpoint
            .handle_message(inbound, body.as_bytes(), &mut out)
    });
    assert!(String::from_utf8(out).unwrap().contains(ECHO_SCHEMA));
}

#[test]
fn following_cursors_lists_every_tool_once() {
    let mut harness = TestEndpoint::with(|settings| {
        settings.parts.plan = std::sync::Arc::new(tools::plan(&tools::Gate::default(), 4));
    });
    let session = harness.session();
    let (mut cursor, mut sizes) = (Value::Null, Vec::new());
    loop {
        let params = match &cursor {
            Value::Null => json!({}),
            cursor => json!({"cursor": cursor}),
        };
        let page = harness
            .post(&session, &request(1, "tools/list", params))
            .body;
        sizes.push(page["result"]["tools"].as_array().unwrap().len());
        cursor = page["result"]["nextCursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(sizes, [4, 4, 4, 1]);
}

#[test]
fn a_handshake_agrees_on_a_served_legacy_revision() {
    for (requested, agreed) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        ("2024-11-05", "2024-11-05"),
        ("2026-07-28", "2025-11-25"),
        ("1.0", "2025-11-25"),
    ] {
        let mut harness = TestEndpoint::new();
        let answer = harness.post("", &initialize(requested));
        let expected = json!({
            "protocolVersion": agreed,
            "capabilities": {"logging": {}, "tools": {"listChanged": true}},
            "serverInfo": {"name": "harness", "version": "1"},
        });
        answer.check("200", &result(1, expected));
        let Disposition::Answer { session, .. } = answer.disposition else {
            unreachable!("checked above");
        };
        assert_eq!(session.map(|new| new.id.home), Some(0));
        assert_eq!(harness.count(Counter::SessionsOpen), 1);
    }
}

#[test]
fn an_unusable_handshake_makes_no_session() {
    let info = json!({"name": "n", "version": "1"});
    for params in [
        json!({}),
        json!({"protocolVersion": 1, "capabilities": {}, "clientInfo": info}),
        json!({"protocolVersion": "2025-11-25", "clientInfo": info}),
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}}),
    ] {
        let mut harness = TestEndpoint::new();
        let answer = harness.post("", &request(1, "initialize", params));
        answer.check("200", &error(1, -32602));
        assert_eq!(harness.count(Counter::SessionsCreated), 0);
    }
}

#[test]
fn an_invalid_message_of_a_session_is_refused_with_a_status() {
    let ping = request(1, "ping", json!({}));
    let no_session = SessionText("0000", 'a');
    let foreign_shard = SessionText("0001", 'a');
    for (headers, body, kind, message) in [
        ("", "{", "400", error((), -32700)),
        ("", "[]", "400", error((), -32600)),
        ("", "[1]", "400", error((), -32600)),
        ("", "1", "400", error((), -32600)),
        (
            "",
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            "400",
            error((), -32600),
        ),
        (
            "",
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            "400",
            error((), -32600),
        ),
        ("", &ping, "400", error(1, -32600)),
        ("MCP-Session-Id: x\r\n", &ping, "404", error(1, -32001)),
        (&no_session.header(), &ping, "404", error(1, -32001)),
        (&foreign_shard.header(), &ping, "404", error(1, -32001)),
        (MODERN, &ping, "400", error(1, -32602)),
    ] {
        let mut harness = TestEndpoint::new();
        harness.post(headers, body).check(kind, &message);
        let refused = [Counter::RefusedMessage, Counter::RefusedSession];
        let refused: u64 = refused.map(|counter| harness.count(counter)).iter().sum();
        assert_eq!(refused, 1, "{headers} {body}");
    }
}

/// A well-formed session id that was never given out.
struct SessionText(&'static str, char);

impl SessionText {
    fn header(&self) -> String {
        let random = self.1.to_string().repeat(32);
        format!("MCP-Session-Id: {}{random}\r\n", self.0)
    }
}

#[test]
fn notifications_and_responses_are_accepted_and_not_answered() {
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned();
    for body in [
        notification("notifications/initialized", json!({})),
        notification("notifications/unknown", json!({})),
        notification("notifications/cancelled", json!({"requestId": 99})),
        notification("notifications/cancelled", json!({"requestId": {}})),
        notification("notifications/cancelled", json!({})),
        response,
    ] {
        check_session(&body, "accepted", &Value::Null);
    }
    let mut harness = TestEndpoint::new();
    let body = notification("notifications/initialized", json!({"_meta": claim()}));
    harness.post("", &body).check("accepted", &Value::Null);
}

#[test]
fn tools_that_do_not_wait_are_answered_at_once() {
    let sampling = "the client lacks the capability sampling, which this request needs";
    let cases = [
        ("echo", json!({"message": "hi"}), text("hi")),
        ("digit", json!({"digit": 7}), text("7")),
        ("fails", json!({}), failure("no luck")),
    ];
    for (tool, arguments, expected) in cases {
        let params = json!({"name": tool, "arguments": arguments});
        check_session(
            &request(2, "tools/call", params.clone()),
            "200",
            &result(2, expected.clone()),
        );
        check_modern("tools/call", params, "200", &with_trailer("m", expected));
    }
    let errors = [
        ("refuses", 7, "200"),
        ("panics", -32603, "200"),
        ("absent", -32602, "200"),
    ];
    for (tool, code, kind) in errors {
        let params = json!({"name": tool});
        check_session(
            &request(2, "tools/call", params.clone()),
            kind,
            &error(2, code),
        );
        check_modern("tools/call", params, kind, &error("m", code));
    }
    let params = json!({"name": "samples"});
    let mut lacking = error(2, -32600);
    lacking["error"]["message"] = json!(sampling);
    check_session(&request(2, "tools/call", params.clone()), "200", &lacking);
    let mut lacking = error("m", -32021);
    lacking["error"]["data"] = json!({"requiredCapabilities": {"sampling": {}}});
    check_modern("tools/call", params, "400", &lacking);
}

#[test]
fn structured_content_is_wrapped_for_the_legacy_era_only() {
    let params = json!({"name": "list"});
    let mut expected = text("[1,2]");
    expected["structuredContent"] = json!({"result": [1, 2]});
    check_session(
        &request(2, "tools/call", params.clone()),
        "200",
        &result(2, expected.clone()),
    );
    expected["structuredContent"] = json!([1, 2]);
    check_modern("tools/call", params, "200", &with_trailer("m", expected));
}

#[test]
fn bad_arguments_are_a_tool_error_and_bad_parameters_a_protocol_error() {
    for (tool, arguments) in [
        ("echo", json!({})),
        ("echo", json!({"message": 1})),
        ("digit", json!({})),
        ("digit", json!({"digit": 256})),
        ("digit", json!({"digit": "7"})),
    ] {
        let params = json!({"name": tool, "arguments": arguments});
        check_session(
            &request(2, "tools/call", params.clone()),
            "200",
            &result(2, failure("*")),
        );
        check_modern(
            "tools/call",
            params,
            "200",
            &with_trailer("m", failure("*")),
        );
    }
    for params in [
        json!({}),
        json!({"name": 1}),
        json!({"name": "echo", "arguments": []}),
        json!({"name": "echo", "arguments": "m"}),
    ] {
        check_session(&request(2, "tools/call", params), "200", &error(2, -32602));
    }
}

#[test]
fn absent_arguments_are_an_empty_object() {
    let params = json!({"name": "list"});
    let mut harness = TestEndpoint::new();
    let session = harness.session();
    let absent = harness
        .post(&session, &request(1, "tools/call", params))
        .body;
    assert_eq!(
        absent,
        harness.call_legacy(&session, "list", json!({})).body
    );
}

#[test]
fn a_draining_shard_makes_no_sessions_and_no_streams_but_serves_those_it_has() {
    let mut harness = TestEndpoint::new();
    let session = harness.session();
    harness.endpoint.drain();
    harness
        .post("", &initialize("2025-11-25"))
        .check("503", &error(1, -32603));
    harness
        .send("GET", &session)
        .check("503", &error((), -32603));
    let ping = request(2, "ping", json!({}));
    harness
        .post(&session, &ping)
        .check("200", &result(2, json!({})));
}

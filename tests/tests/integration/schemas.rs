//! Every tool in every revision: the connection checks the answers against the schema of the
//! revision.

use corelane_tests::request::LOG_LEVEL_KEY;
use corelane_tests::wire_schema::Revision;
use corelane_tests::{Request, Session, Setup};
use serde_json::{Value, json};

/// Arguments of the tools that need some.
fn arguments_of(tool: &str) -> Value {
    match tool {
        "echo" => json!({ "message": "ü" }),
        "add" => json!({ "a": 1, "b": 0.5 }),
        "fibonacci" => json!({ "n": 10 }),
        "sleep" => json!({ "ms": 1 }),
        "test_custom_header" => json!({ "value": "Value" }),
        _ => json!({}),
    }
}

/// Lists the tools and calls each of them with its arguments, with none and with a wrong one;
/// returns their number.
fn call_all(mut answer: impl FnMut(&str, Value) -> Value) -> usize {
    let listed = answer("tools/list", json!({}));
    let tools = listed["result"]["tools"].as_array().expect("a list");
    for tool in tools {
        let name = tool["name"].as_str().expect("a name");
        for arguments in [arguments_of(name), json!({}), json!({ "message": 1 })] {
            let params = json!({
                "name": name, "arguments": arguments, "_meta": { "progressToken": 1 },
            });
            let called = answer("tools/call", params);
            let kinds = [called.get("result"), called.get("error")];
            assert_eq!(kinds.iter().flatten().count(), 1, "{name}: {called}");
        }
    }
    tools.len()
}

#[test]
fn every_tool_answers_in_the_words_of_every_legacy_revision() {
    let server = Setup::shards(1).start();
    for requested in Revision::ALL {
        let mut connection = server.connect();
        let handshake = connection.exchange(&Request::initialize(requested.name()));
        let agreed = handshake.json()["result"]["protocolVersion"].clone();
        let agreed = agreed.as_str().expect("the revision is a text");
        let id = handshake
            .head
            .field("MCP-Session-Id")
            .expect("a session id");
        let session = Session { id: id.to_owned() };
        let mut query = |method: &str, params: Value| {
            let request = session.request(1, method, params);
            let request = request.field("MCP-Protocol-Version", agreed);
            let mut response = connection.exchange(&request);
            if response.messages().is_empty() {
                // The tool sent its client away.
                let id = response.last_event_id().expect("an event to come back to");
                let request = session.stream_after(&id);
                let request = request.field("MCP-Protocol-Version", agreed);
                response = connection.exchange(&request);
            }
            response.answer()
        };
        query("ping", Value::Null);
        query("logging/setLevel", json!({ "level": "debug" }));
        assert!(call_all(query) > 0, "tools of {agreed}");
    }
}

#[test]
fn every_tool_answers_in_the_words_of_the_modern_revision() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let mut query = |method: &str, params: Value| {
        let request = Request::modern(1, method, params);
        let request = request
            .meta(LOG_LEVEL_KEY, "debug")
            .meta("progressToken", 1);
        connection.exchange(&request).answer()
    };
    query("server/discover", json!({}));
    assert!(call_all(query) > 0);
}

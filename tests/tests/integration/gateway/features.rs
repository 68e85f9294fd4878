//! Prompts, resources and completion of upstreams.

use corelane_tests::mock_upstream::{Act, MockUpstream, Received, result_of};
use corelane_tests::{Connection, Request, Session, wait_until};
use serde_json::{Value, json};

use super::Gateway;

/// A result of `resources/read`.
const READ: &str = r#"{"contents":[],"resultType":"complete","ttlMs":5,"cacheScope":"public"}"#;
const DIGITS: &str = "1234567890123456789012345678901234567890";

/// A mock with one entry of each kind.
fn with_features(script: impl Fn(&Received) -> Act + Send + Sync + 'static) -> MockUpstream {
    let prompt = json!({ "name": "ask it", "arguments": [{ "name": "a", "required": true }] });
    let resource = json!({ "uri": "docs://up/start", "name": "start" });
    let template = json!({ "uriTemplate": "docs://up/page/{n}", "name": "page" });
    let lists = [
        ("prompts/list", "prompts", json!([prompt])),
        ("resources/list", "resources", json!([resource])),
        (
            "resources/templates/list",
            "resourceTemplates",
            json!([template]),
        ),
    ];
    MockUpstream::with_lists(&lists, script)
}

fn exchange(connection: &mut Connection, method: &str, params: Value) -> Value {
    let uri = params["uri"].as_str().map(str::to_owned);
    let mut request = Request::modern(1, method, params);
    if let Some(uri) = uri {
        request = request.field("Mcp-Name", &uri);
    }
    connection.exchange(&request).answer()
}

/// The entries of upstreams in a list.
fn listed(connection: &mut Connection, method: &str, member: &str) -> Vec<Value> {
    let answer = exchange(connection, method, json!({}));
    let entries = answer["result"][member].as_array().cloned();
    let mut entries = entries.expect("a list");
    // The others are of this server.
    entries.retain(|entry| {
        let key = ["uri", "uriTemplate", "name"].map(|key| entry[key].as_str());
        let key = key.into_iter().flatten().next().unwrap_or_default();
        key.starts_with("docs://") || key.starts_with("up_") || key.starts_with("two_")
    });
    entries
}

/// A gateway in front of the mock, which was read.
fn before(mock: &MockUpstream) -> Gateway {
    let gateway = Gateway::start(&mock.section("up"));
    let mut connection = gateway.connect();
    wait_until("the upstream is read", || {
        let templates = listed(
            &mut connection,
            "resources/templates/list",
            "resourceTemplates",
        );
        (!templates.is_empty()).then_some(())
    });
    gateway
}

#[test]
fn prompts_are_listed_and_filled_in_by_their_upstream() {
    let result = format!(
        "{{\"messages\":[],\r\n\"x\":{DIGITS},\"resultType\":\"complete\",\"description\":\"d\"}}"
    );
    let sent = result.replace("\r\n", "  ");
    let mock = with_features(move |received| Act::Send(result_of(received, &result)));
    let gateway = before(&mock);
    let mut connection = gateway.connect();
    let prompts = listed(&mut connection, "prompts/list", "prompts");
    assert_eq!(prompts[0]["name"], "up_ask_it");
    let params = json!({ "name": "up_ask_it", "arguments": { "a": "x" } });
    let request = Request::modern(1, "prompts/get", params);
    let text = connection.exchange(&request).text();
    assert!(text.ends_with(&format!(r#""result":{sent}}}"#)), "{text}");
    let received = &mock.received_of("prompts/get")[0];
    assert_eq!(received.field("Mcp-Name"), Some("ask it"));
    let params = &received.message()["params"];
    assert_eq!(params["name"], "ask it");
    assert_eq!(params["arguments"], json!({ "a": "x" }));
    let unknown = exchange(&mut connection, "prompts/get", json!({ "name": "ask it" }));
    assert_eq!(unknown["error"]["code"], -32602, "not its name here");
}

#[test]
fn resources_keep_their_uris_and_each_read_is_for_its_client() {
    let mock = with_features(|received| Act::Send(result_of(received, READ)));
    let gateway = before(&mock);
    let mut connection = gateway.connect();
    let resources = listed(&mut connection, "resources/list", "resources");
    assert_eq!(resources[0]["uri"], "docs://up/start");
    // One of the list, one of the template, and one that only its authority leads to.
    let uris = ["docs://up/start", "docs://up/page/3", "docs://up/other?x=1"];
    for uri in uris {
        let answer = exchange(&mut connection, "resources/read", json!({ "uri": uri }));
        let expected = json!({
            "contents": [], "resultType": "complete", "ttlMs": 5, "cacheScope": "private",
        });
        assert_eq!(answer["result"], expected, "{uri}: {answer}");
    }
    let reads = mock.received_of("resources/read");
    let sent: Vec<_> = reads.iter().map(|it| it.field("Mcp-Name")).collect();
    assert_eq!(sent, uris.map(Some));
    let elsewhere = json!({ "uri": "docs://elsewhere/start" });
    let answer = exchange(&mut connection, "resources/read", elsewhere);
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    assert_eq!(mock.received_of("resources/read").len(), 3);
}

#[test]
fn arguments_are_completed_by_the_upstream_of_the_entry() {
    let mock = with_features(|received| {
        let result = r#"{"completion":{"values":["x1"]},"resultType":"complete"}"#;
        Act::Send(result_of(received, result))
    });
    let gateway = before(&mock);
    let mut connection = gateway.connect();
    for (reference, expected) in [
        (
            json!({ "type": "ref/prompt", "name": "up_ask_it" }),
            json!({ "type": "ref/prompt", "name": "ask it" }),
        ),
        (
            json!({ "type": "ref/resource", "uri": "docs://up/page/{n}" }),
            json!({ "type": "ref/resource", "uri": "docs://up/page/{n}" }),
        ),
    ] {
        let argument = json!({ "name": "a", "value": "x" });
        let params = json!({ "ref": reference, "argument": argument });
        let answer = exchange(&mut connection, "completion/complete", params);
        assert_eq!(answer["result"]["completion"]["values"], json!(["x1"]));
        let received = mock.received_of("completion/complete");
        let received = received.last().expect("a request").message();
        assert_eq!(received["params"]["ref"], expected);
        assert_eq!(received["params"]["argument"], argument);
    }
}

#[test]
fn a_legacy_client_gets_prompts_and_resources_of_a_modern_upstream() {
    let mock = with_features(|received| {
        let result = match received.is("prompts/get") {
            true => r#"{"messages":[],"resultType":"complete"}"#,
            false => r#"{"contents":[],"ttlMs":5,"cacheScope":"public"}"#,
        };
        Act::Send(result_of(received, result))
    });
    let gateway = before(&mock);
    let mut connection = gateway.connect();
    let session = Session::open(&mut connection);
    for (method, params, expected) in [
        (
            "prompts/get",
            json!({ "name": "up_ask_it" }),
            json!({ "messages": [] }),
        ),
        (
            "resources/read",
            json!({ "uri": "docs://up/start" }),
            json!({ "contents": [] }),
        ),
    ] {
        let response = connection.exchange(&session.request(1, method, params));
        assert_eq!(response.answer()["result"], expected, "{method}");
    }
}

#[test]
fn the_first_upstream_of_the_file_keeps_a_uri_that_two_have() {
    let answer = |name: &'static str| {
        move |received: &Received| {
            let mut result: Value = serde_json::from_str(READ).expect("JSON");
            result["from"] = json!(name);
            Act::Send(result_of(received, &result.to_string()))
        }
    };
    let (first, second) = (
        with_features(answer("first")),
        with_features(answer("second")),
    );
    let sections = first.section("up") + &second.section("two");
    let gateway = Gateway::start(&sections);
    let mut connection = gateway.connect();
    wait_until("both are read", || {
        let prompts = listed(&mut connection, "prompts/list", "prompts");
        (prompts.len() == 2).then_some(())
    });
    let read = json!({ "uri": "docs://up/start" });
    wait_until("the first one has it", || {
        let answer = exchange(&mut connection, "resources/read", read.clone());
        (answer["result"]["from"] == "first").then_some(())
    });
    let resources = listed(&mut connection, "resources/list", "resources");
    assert_eq!(resources.len(), 1);
}

#[test]
fn a_read_whose_connection_ends_is_made_again() {
    let mock = with_features(|received| match received.connection {
        0 => Act::Reset,
        _ => Act::Send(result_of(received, READ)),
    });
    let gateway = before(&mock);
    let mut connection = gateway.connect();
    let read = json!({ "uri": "docs://up/start" });
    let answer = exchange(&mut connection, "resources/read", read);
    assert_eq!(answer["result"]["contents"], json!([]), "{answer}");
    let links: Vec<usize> = mock
        .received_of("resources/read")
        .iter()
        .map(|read| read.connection)
        .collect();
    assert_eq!(links.len(), 2, "{links:?}");
}

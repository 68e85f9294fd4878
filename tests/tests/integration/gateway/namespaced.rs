//! Upstreams with the same URIs, which have the names of their upstreams in them.

use std::time::Duration;

use corelane_tests::mock_upstream::{Act, MockUpstream, result_of};
use corelane_tests::{Connection, EventStream, Item, Request, Session, Setup, wait_until};
use serde_json::{Value, json};

use super::Gateway;

fn exchange(connection: &mut Connection, method: &str, params: Value) -> Value {
    let uri = params["uri"].as_str().map(str::to_owned);
    let mut request = Request::modern(1, method, params);
    if let Some(uri) = uri {
        request = request.field("Mcp-Name", &uri);
    }
    connection.exchange(&request).answer()
}

fn uris(connection: &mut Connection, (method, list, member): (&str, &str, &str)) -> Vec<String> {
    let answer = exchange(connection, method, json!({}));
    let entries = answer["result"][list].as_array().expect("a list");
    let uris = entries.iter().filter_map(|entry| entry[member].as_str());
    uris.map(str::to_owned).collect()
}

/// The next update, if it is there by now.
fn updated(stream: &mut EventStream) -> Option<Value> {
    match stream.try_next_item(Duration::from_millis(20)) {
        Ok(Item::Message(message)) => {
            let is_update = message["method"] == "notifications/resources/updated";
            is_update.then(|| message["params"]["uri"].clone())
        }
        _ => None,
    }
}

#[test]
fn two_upstreams_with_the_same_uris_are_distinct_in_both_eras() {
    for era in ["modern", "legacy"] {
        let upstream = Setup::shards(1).start();
        let section = |name| {
            let url = format!("http://{}/mcp", upstream.address());
            format!(
                "[[upstream]]\nname = \"{name}\"\nurl = \"{url}\"\nera = \"{era}\"\n\
                 uris = \"namespaced\"\n"
            )
        };
        let sections = section("one") + &section("two");
        let gateway = Gateway::start_with(&sections, Setup::shards(1).demo("basic"));
        let mut connection = gateway.connect();
        let watched = ["test://one/watched-resource", "test://two/watched-resource"];
        wait_until("both are read", || {
            let listed = ("resources/list", "resources", "uri");
            let listed = uris(&mut connection, listed);
            watched
                .iter()
                .all(|uri| listed.iter().any(|it| it == uri))
                .then_some(())
        });
        let listed = (
            "resources/templates/list",
            "resourceTemplates",
            "uriTemplate",
        );
        let templates = uris(&mut connection, listed);
        for template in [
            "test://one/template/{id}/data",
            "test://two/template/{id}/data",
        ] {
            assert!(templates.iter().any(|it| it == template), "{templates:?}");
        }
        for uri in [watched[0], watched[1], "test://two/template/7/data"] {
            let answer = exchange(&mut connection, "resources/read", json!({ "uri": uri }));
            assert_eq!(
                answer["result"]["contents"][0]["uri"], uri,
                "{era}: {answer}"
            );
        }
        for uri in ["test://watched-resource", "test://three/watched-resource"] {
            let answer = exchange(&mut connection, "resources/read", json!({ "uri": uri }));
            assert_eq!(answer["error"]["code"], -32602, "{era}: {answer}");
        }
        let call = Request::modern_call("two_test_embedded_resource", json!({}));
        let answer = connection.exchange(&call).answer();
        let resource = &answer["result"]["content"][0]["resource"];
        assert_eq!(
            resource["uri"], "test://two/embedded-resource",
            "{era}: {answer}"
        );

        updates_have_the_name(&gateway, watched, era);
    }
}

/// Clients of both eras subscribe to the second resource, whose upstream reports an update.
fn updates_have_the_name(gateway: &Gateway, watched: [&str; 2], era: &str) {
    let mut connection = gateway.connect();
    let params = json!({ "notifications": { "resourceSubscriptions": [watched[1]] } });
    let mut listening = gateway.connect();
    listening.send(&Request::modern("l", "subscriptions/listen", params));
    let mut modern = EventStream::begin(listening);
    let acknowledged = modern.next_message();
    let accepted = &acknowledged["params"]["notifications"]["resourceSubscriptions"];
    assert_eq!(*accepted, json!([watched[1]]), "{era}");
    let mut legacy = gateway.connect();
    let session = Session::open(&mut legacy);
    let subscribe = session.request(1, "resources/subscribe", json!({ "uri": watched[1] }));
    assert_eq!(
        legacy.exchange(&subscribe).answer()["result"],
        json!({}),
        "{era}"
    );
    let read = session.request(2, "resources/read", json!({ "uri": watched[0] }));
    let answer = legacy.exchange(&read).answer();
    assert_eq!(
        answer["result"]["contents"][0]["uri"], watched[0],
        "{era}: {answer}"
    );
    legacy.send(&session.stream());
    let mut legacy = EventStream::begin(legacy);
    for stream in [&mut modern, &mut legacy] {
        // The upstream may learn of the subscription after the first update.
        let uri = wait_until("the update arrives", || {
            let call = Request::modern_call("two_test_trigger_resource_change", json!({}));
            let answer = connection.exchange(&call).answer();
            assert_eq!(answer["error"], Value::Null, "{era}: {answer}");
            updated(stream)
        });
        assert_eq!(uri, watched[1], "{era}");
    }
}

/// A server with a template and a tool, whose result has a link.
fn linking() -> MockUpstream {
    let lists = [
        ("resources/list", "resources", json!([])),
        (
            "resources/templates/list",
            "resourceTemplates",
            json!([{ "uriTemplate": "docs://page/{n}", "name": "page" }]),
        ),
        (
            "tools/list",
            "tools",
            json!([{
                "name": "call", "inputSchema": { "type": "object" },
                "_meta": { "ui": { "resourceUri": "ui://app/1" } },
            }]),
        ),
    ];
    MockUpstream::with_lists(&lists, |received| {
        let result = match received.message()["method"].as_str() {
            Some("completion/complete") => {
                r#"{"completion":{"values":["x1"]},"resultType":"complete"}"#
            }
            Some("resources/read") => {
                r#"{"contents":[],"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#
            }
            _ => {
                r#"{"content":[{"type":"resource_link","uri":"docs://page/1","name":"n"},
                    {"type":"text","text":"docs://page/1"}],"resultType":"complete"}"#
            }
        };
        Act::Send(result_of(received, result))
    })
}

#[test]
fn links_and_references_have_the_name_on_one_side_only() {
    let mock = linking();
    let section = mock.section("up") + "uris = \"namespaced\"\n";
    let gateway = Gateway::start(&section);
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let tools = super::tools(&mut connection);
    let tool = tools.iter().find(|tool| tool["name"] == "up_call");
    let uri = tool.map(|tool| &tool["_meta"]["ui"]["resourceUri"]);
    assert_eq!(uri, Some(&json!("ui://up/app/1")));
    let call = Request::modern_call("up_call", json!({}));
    let content = connection.exchange(&call).answer()["result"]["content"].take();
    assert_eq!(content[0]["uri"], "docs://up/page/1");
    assert_eq!(content[1]["text"], "docs://page/1");
    let template = "docs://up/page/{n}";
    wait_until("the template is listed", || {
        let listed = (
            "resources/templates/list",
            "resourceTemplates",
            "uriTemplate",
        );
        let listed = uris(&mut connection, listed);
        listed.iter().any(|it| it == template).then_some(())
    });
    let params = json!({
        "ref": { "type": "ref/resource", "uri": template },
        "argument": { "name": "n", "value": "x" },
    });
    let answer = exchange(&mut connection, "completion/complete", params);
    assert_eq!(
        answer["result"]["completion"]["values"],
        json!(["x1"]),
        "{answer}"
    );
    let received = mock.received_of("completion/complete");
    assert_eq!(
        received[0].message()["params"]["ref"]["uri"],
        "docs://page/{n}"
    );
    let read = json!({ "uri": "docs://up/page/5" });
    exchange(&mut connection, "resources/read", read);
    let reads = mock.received_of("resources/read");
    assert_eq!(reads[0].message()["params"]["uri"], "docs://page/5");
    assert_eq!(reads[0].field("Mcp-Name"), Some("docs://page/5"));
}

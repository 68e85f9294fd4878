//! Updates of resources of upstreams, and the subscriptions to them.

use std::time::Duration;

use corelane_tests::mock_upstream::{Act, MockUpstream, event_answer};
use corelane_tests::{Connection, EventStream, Item, Request, Session, Setup, wait_until};
use serde_json::{Value, json};

use super::Gateway;

const URI: &str = "test://watched-resource";

/// A gateway with no resource of the tests' own.
fn gateway(section: &str) -> Gateway {
    Gateway::start_with(section, Setup::shards(1).demo("basic"))
}

fn wait_for_resource(connection: &mut Connection, uri: &str) {
    wait_until("the resource is listed", || {
        let request = Request::modern(1, "resources/list", json!({}));
        let answer = connection.exchange(&request).answer();
        let resources = answer["result"]["resources"].as_array()?.clone();
        resources.iter().any(|it| it["uri"] == uri).then_some(())
    });
}

/// A modern client's stream of updates, and the resources that are in its acknowledgement.
fn listen(gateway: &Gateway, uris: &[&str]) -> (EventStream, Value) {
    let params = json!({ "notifications": { "resourceSubscriptions": uris } });
    let mut connection = gateway.connect();
    connection.send(&Request::modern("l", "subscriptions/listen", params));
    let mut stream = EventStream::begin(connection);
    let acknowledged = stream.next_message();
    let accepted = acknowledged["params"]["notifications"]["resourceSubscriptions"].clone();
    (stream, accepted)
}

/// A legacy client's stream, and the answer to its subscription.
fn subscribe(gateway: &Gateway, uri: &str) -> (EventStream, Value) {
    let mut connection = gateway.connect();
    let session = Session::open(&mut connection);
    let request = session.request(1, "resources/subscribe", json!({ "uri": uri }));
    let answer = connection.exchange(&request).answer();
    let mut stream = gateway.connect();
    stream.send(&session.stream());
    (EventStream::begin(stream), answer)
}

/// The next message, if it is there by now.
fn message(stream: &mut EventStream) -> Option<Value> {
    match stream.try_next_item(Duration::from_millis(20)) {
        Ok(Item::Message(message)) => Some(message),
        _ => None,
    }
}

#[test]
fn an_update_of_an_upstream_reaches_the_clients_that_subscribed_in_all_eras() {
    for era in ["modern", "legacy"] {
        let upstream = Setup::shards(1).start();
        let url = format!("http://{}/mcp", upstream.address());
        let section = format!("[[upstream]]\nname = \"up\"\nurl = \"{url}\"\nera = \"{era}\"\n");
        let gateway = gateway(&section);
        let mut connection = gateway.connect();
        wait_for_resource(&mut connection, URI);
        let (mut modern, accepted) = listen(&gateway, &[URI]);
        assert_eq!(accepted, json!([URI]), "{era}");
        let (mut legacy, answer) = subscribe(&gateway, URI);
        assert_eq!(answer["result"], json!({}), "{era}: {answer}");
        for stream in [&mut modern, &mut legacy] {
            // The upstream may learn of the subscription after the first update.
            // And a list may be refreshed meanwhile.
            let update = wait_until("the update arrives", || {
                let tool = "up_test_trigger_resource_change";
                let call = Request::modern_call(tool, json!({}));
                let answer = connection.exchange(&call).answer();
                assert_eq!(answer["result"]["isError"], Value::Null, "{answer}");
                message(stream).filter(|it| it["method"] == "notifications/resources/updated")
            });
            assert_eq!(update["params"]["uri"], URI, "{era}");
        }
    }
}

fn resources() -> Value {
    json!([{ "uri": "a:1", "name": "1" }, { "uri": "a:2", "name": "2" }])
}

#[test]
fn an_upstream_that_reports_no_updates_has_no_subscriptions() {
    let lists = [
        ("resources/list", "resources", resources()),
        ("resources/templates/list", "resourceTemplates", json!([])),
    ];
    let mock = MockUpstream::with_lists(&lists, |_| Act::Reset);
    let gateway = gateway(&mock.section("up"));
    wait_for_resource(&mut gateway.connect(), "a:1");
    let (_stream, accepted) = listen(&gateway, &["a:1"]);
    assert!(accepted.is_null() || accepted == json!([]), "{accepted}");
    let (_stream, answer) = subscribe(&gateway, "a:1");
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
}

#[test]
fn updates_of_other_resources_reach_nobody_and_one_subscription_has_all_resources() {
    let mock = MockUpstream::start(|received| {
        let message = received.message();
        let result = match message["method"].as_str() {
            Some("server/discover") => json!({
                "supportedVersions": ["2026-07-28"],
                "capabilities": { "resources": { "subscribe": true } },
            }),
            Some("resources/list") => json!({ "resources": resources() }),
            Some("subscriptions/listen") => {
                let accepted = &message["params"]["notifications"];
                let notification = |method: &str, params: Value| {
                    let method = format!("notifications/{method}");
                    json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string()
                };
                let accepted = json!({ "notifications": accepted });
                let mut answer = event_answer(&[
                    notification("subscriptions/acknowledged", accepted),
                    notification("resources/updated", json!({ "uri": "a:3" })),
                    notification("resources/updated", json!({ "uri": "a:2" })),
                    notification("resources/updated", json!({ "uri": "a:1" })),
                ]);
                // The stream stays open.
                answer.truncate(answer.len() - "0\r\n\r\n".len());
                return Act::SendAndWait(answer);
            }
            _ => json!({ "resourceTemplates": [] }),
        };
        Act::Send(corelane_tests::mock_upstream::result_of(
            received,
            &result.to_string(),
        ))
    });
    let gateway = gateway(&mock.section("up"));
    wait_for_resource(&mut gateway.connect(), "a:1");
    let (mut first, _) = listen(&gateway, &["a:1"]);
    let update = first.next_message();
    assert_eq!(
        update["params"]["uri"], "a:1",
        "a:2 has no subscription: {update}"
    );
    let (mut second, _) = listen(&gateway, &["a:2", "a:3"]);
    let update = second.next_message();
    assert_eq!(
        update["params"]["uri"], "a:2",
        "a:3 does not exist: {update}"
    );
    let listens = mock.received_of("subscriptions/listen");
    let last = listens.last().expect("one").message();
    let subscribed = &last["params"]["notifications"]["resourceSubscriptions"];
    assert_eq!(*subscribed, json!(["a:1", "a:2"]));
    // The subscription of before has ended.
    mock.wait_for_left(listens.len() - 1);
    drop((first, second));
    mock.wait_for_left(listens.len());
}

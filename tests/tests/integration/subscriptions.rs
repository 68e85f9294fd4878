//! Notifications of changes: listen streams and GET streams, on every shard, for changes from any
//! source.

use corelane_tests::{EventStream, Request, Server, Session, Setup};
use serde_json::{Value, json};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// Opens a listen stream; the acknowledgement is checked and consumed.
fn listen(server: &Server, id: impl Into<Value>, wanted: Value, honoured: &Value) -> EventStream {
    let id = id.into();
    let params = json!({ "notifications": wanted });
    let mut connection = server.connect();
    connection.send(&Request::modern(id.clone(), "subscriptions/listen", params));
    let mut stream = EventStream::begin(connection);
    let first = stream.next_message();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["notifications"], *honoured);
    assert_eq!(first["params"]["_meta"][SUBSCRIPTION], id, "{first}");
    stream
}

/// Calls a tool of the demo that makes a change.
fn trigger(server: &Server, tool: &str) {
    let response = server
        .connect()
        .exchange(&Request::modern_call(tool, json!({})));
    assert_eq!(response.status(), 200, "{response:?}");
    assert!(
        response.answer()["result"]["isError"].is_null(),
        "{response:?}"
    );
}

fn names(server: &Server) -> Vec<String> {
    let list = Request::modern(1, "tools/list", json!({}));
    let answer = server.connect().exchange(&list).answer();
    let tools = answer["result"]["tools"].as_array().expect("tools").clone();
    let name = |tool: &Value| tool["name"].as_str().expect("a name").to_owned();
    tools.iter().map(name).collect()
}

#[test]
fn a_change_reaches_exactly_the_subscribed_streams() {
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        let tools = json!({ "toolsListChanged": true });
        let prompts = json!({ "promptsListChanged": true, "toolsListChanged": false });
        let mut hearing: Vec<EventStream> = (0..2 * shards)
            .map(|id| listen(&server, id, tools.clone(), &tools))
            .collect();
        let kept = json!({ "promptsListChanged": true });
        let mut others: Vec<EventStream> = (0..2 * shards)
            .map(|id| listen(&server, id.to_string(), prompts.clone(), &kept))
            .collect();
        for is_added in [true, false] {
            trigger(&server, "test_trigger_tool_change");
            for (id, stream) in hearing.iter_mut().enumerate() {
                let received = stream.next_message();
                assert_eq!(received["method"], "notifications/tools/list_changed");
                assert_eq!(received["params"]["_meta"][SUBSCRIPTION], id, "{received}");
            }
            // Every shard lists the same by the time it has sent the notification.
            for _ in 0..2 * shards {
                let has = names(&server).contains(&"test_dynamic_tool".to_owned());
                assert_eq!(has, is_added);
            }
        }
        // The first message of the others is for their own subscription.
        trigger(&server, "test_trigger_prompt_change");
        for (id, stream) in others.iter_mut().enumerate() {
            let received = stream.next_message();
            assert_eq!(received["method"], "notifications/prompts/list_changed");
            assert_eq!(received["params"]["_meta"][SUBSCRIPTION], id.to_string());
        }
    }
}

#[test]
fn resources_are_watched_by_their_uri() {
    let server = Setup::shards(2).start();
    let wanted = json!({
        "resourceSubscriptions": ["test://watched-resource", "test://nothing"],
    });
    let kept = json!({ "resourceSubscriptions": ["test://watched-resource"] });
    let mut listener = listen(&server, 1, wanted, &kept);
    let other = json!({ "resourceSubscriptions": ["test://static-text"] });
    let mut deaf = listen(&server, 2, other.clone(), &other);

    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let uri = json!({ "uri": "test://watched-resource" });
    let subscribe = session.request(1, "resources/subscribe", uri.clone());
    assert_eq!(
        connection.exchange(&subscribe).answer()["result"],
        json!({})
    );
    let mut get = server.connect();
    get.send(&session.stream());
    let mut stream = EventStream::begin(get);

    trigger(&server, "test_trigger_resource_change");
    let received = listener.next_message();
    assert_eq!(received["method"], "notifications/resources/updated");
    assert_eq!(received["params"]["uri"], "test://watched-resource");
    let received = stream.next_message();
    assert_eq!(received["method"], "notifications/resources/updated");
    assert_eq!(
        received["params"], uri,
        "a session's message has no subscription"
    );

    let unsubscribe = session.request(2, "resources/unsubscribe", uri);
    assert_eq!(
        connection.exchange(&unsubscribe).answer()["result"],
        json!({})
    );
    trigger(&server, "test_trigger_resource_change");
    trigger(&server, "test_trigger_tool_change");
    assert_eq!(
        stream.next_message()["method"],
        "notifications/tools/list_changed"
    );
    server.signal("TERM");
    // The unsubscribed stream gets only the end, which is the answer to its request.
    let end = deaf.next_message();
    assert_eq!(end["id"], 2, "{end}");
    assert_eq!(end["result"]["resultType"], "complete");
    assert_eq!(end["result"]["_meta"][SUBSCRIPTION], 2);
    let _ = deaf.expect_end();
}

#[test]
fn each_message_goes_to_one_stream_of_a_session() {
    for shards in [1, 4] {
        let server = Setup::shards(shards).start();
        let session = Session::open(&mut server.connect());
        let open = || {
            let mut connection = server.connect();
            connection.send(&session.stream());
            EventStream::begin(connection)
        };
        let (first, mut second) = (open(), open());
        trigger(&server, "test_trigger_tool_change");
        let received = second.next_message();
        assert_eq!(received["method"], "notifications/tools/list_changed");
        trigger(&server, "test_trigger_prompt_change");
        let received = second.next_message();
        assert_eq!(received["method"], "notifications/prompts/list_changed");
        assert_eq!(server.connect().exchange(&session.delete()).status(), 204);
        // The older stream got no message.
        let _ = first.expect_end();
        let _ = second.expect_end();
    }
}

#[test]
fn a_filter_that_makes_no_sense_is_refused() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    for params in [
        json!({}),
        json!({ "notifications": [] }),
        json!({ "notifications": { "toolsListChanged": 1 } }),
        json!({ "notifications": { "resourceSubscriptions": [1] } }),
    ] {
        let response = connection.exchange(&Request::modern(1, "subscriptions/listen", params));
        assert_eq!(response.answer()["error"]["code"], -32602, "{response:?}");
    }
    let params = json!({ "notifications": {} });
    let json_only = Request::modern(1, "subscriptions/listen", params)
        .without("Accept")
        .field("Accept", "application/json");
    assert_eq!(connection.exchange(&json_only).status(), 406);
}

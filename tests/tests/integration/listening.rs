//! Listen streams from their head to their graceful end: each is answered as a request.
//!
//! MCP 2026-07-28 basic/patterns/subscriptions, "Graceful Closure".

use corelane_tests::{EventStream, Request, Setup};
use serde_json::{Value, json};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A server that ends answers every listen stream with the result of its request, with the original
/// `id` and subscription id, type included; then the stream ends, the connection closes, and the
/// process ends.
#[test]
fn a_server_that_ends_answers_every_listener() {
    for shards in [1, 2] {
        let server = Setup::shards(shards).start();
        let ids = [
            json!(0),
            json!("0"),
            json!(-5),
            json!(u64::MAX),
            json!(""),
            json!("\u{e4}\""),
        ];
        let mut streams: Vec<(Value, EventStream)> = Vec::new();
        for round in 0..3 {
            for id in &ids {
                let filter = match round {
                    0 => json!({}),
                    1 => json!({ "toolsListChanged": true, "promptsListChanged": true }),
                    _ => json!({ "resourceSubscriptions": ["test://watched-resource"] }),
                };
                let params = json!({ "notifications": filter });
                let mut connection = server.connect();
                let request = Request::modern(id.clone(), "subscriptions/listen", params);
                connection.send(&request);
                let mut stream = EventStream::begin(connection);
                let first = stream.next_message();
                assert_eq!(first["params"]["_meta"][SUBSCRIPTION], *id, "{first}");
                assert_eq!(first["params"]["notifications"], filter, "{first}");
                streams.push((id.clone(), stream));
            }
        }
        server.signal("TERM");
        for (id, mut stream) in streams {
            let result = stream.next_message();
            assert_eq!(result["id"], id, "{result}");
            assert_eq!(result["result"]["resultType"], "complete", "{result}");
            assert_eq!(result["result"]["_meta"][SUBSCRIPTION], id, "{result}");
            stream.expect_end().expect_close();
        }
        assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.log());
    }
}

/// Changes from before the end are delivered before the result: none is lost.
#[test]
fn changes_before_the_end_are_delivered_before_it() {
    let server = Setup::shards(2).start();
    let params = json!({ "notifications": { "promptsListChanged": true } });
    let mut streams: Vec<EventStream> = (0..6)
        .map(|id| {
            let mut connection = server.connect();
            connection.send(&Request::modern(id, "subscriptions/listen", params.clone()));
            let mut stream = EventStream::begin(connection);
            stream.next_message();
            stream
        })
        .collect();
    let change = Request::modern_call("test_trigger_prompt_change", json!({}));
    assert_eq!(server.connect().exchange(&change).status(), 200);
    // One stream has it, so the change is on its way to all.
    let received = streams[0].next_message();
    assert_eq!(received["method"], "notifications/prompts/list_changed");
    for stream in &mut streams[1..] {
        let received = stream.next_message();
        assert_eq!(
            received["method"], "notifications/prompts/list_changed",
            "{received}"
        );
    }
    server.signal("TERM");
    for (id, mut stream) in streams.into_iter().enumerate() {
        assert_eq!(stream.next_message()["id"], id);
        stream.expect_end().expect_close();
    }
}

/// Streams of modern requests instruct proxies not to hold them back (MCP 2026-07-28
/// basic/transports/streamable-http, "Receiving Messages").
#[test]
fn modern_streams_are_not_to_be_buffered() {
    let server = Setup::shards(1).start();
    let filter = json!({ "notifications": {} });
    let call = Request::modern_call("test_tool_with_progress", json!({}));
    for request in [
        Request::modern(1, "subscriptions/listen", filter),
        call.meta("progressToken", 1),
    ] {
        let mut connection = server.connect();
        connection.send(&request);
        let stream = EventStream::begin(connection);
        let head = stream.head();
        assert_eq!(head.field("X-Accel-Buffering"), Some("no"), "{head:?}");
    }
}

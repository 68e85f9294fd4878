//! Lists of upstreams that change: when they are read again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use corelane_tests::mock_upstream::{Act, MockUpstream, Received, event_answer, result_of};
use corelane_tests::wait_until;
use serde_json::json;

use super::{Gateway, names};

/// A mock whose list has one tool, with another name each time, and which answers
/// `subscriptions/listen` with `listening`.
fn changing(
    ttl_ms: Option<u64>,
    listening: impl Fn() -> Act + Send + Sync + 'static,
) -> MockUpstream {
    let reads = AtomicUsize::new(0);
    MockUpstream::start(move |received| {
        let message = received.message();
        let result = match message["method"].as_str() {
            Some("server/discover") => json!({
                "supportedVersions": ["2026-07-28"],
                "capabilities": { "tools": { "listChanged": true } },
            }),
            Some("tools/list") => {
                let read = reads.fetch_add(1, Ordering::Relaxed);
                let name = format!("read{read}");
                let tool = json!({ "name": name, "inputSchema": { "type": "object" } });
                match ttl_ms {
                    Some(ttl_ms) => json!({ "tools": [tool], "ttlMs": ttl_ms }),
                    None => json!({ "tools": [tool] }),
                }
            }
            _ => return listening(),
        };
        Act::Send(result_of(received, &result.to_string()))
    })
}

/// Waits for the tool of this read, or of a later one.
fn wait_for_read(gateway: &Gateway, least: usize) {
    let mut connection = gateway.connect();
    wait_until("the list is read", || {
        let names = names(&mut connection);
        let reads = names
            .iter()
            .filter_map(|it| it.strip_prefix("up_read")?.parse().ok());
        reads
            .into_iter()
            .any(|read: usize| read >= least)
            .then_some(())
    });
}

/// The answer of a server with one tool.
fn with_tool(received: &Received, name: &str) -> Act {
    let result = json!({
        "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
        "tools": [{ "name": name, "inputSchema": { "type": "object" } }],
    });
    Act::Send(result_of(received, &result.to_string()))
}

fn acknowledged() -> Vec<u8> {
    let acknowledged = json!({
        "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
        "params": { "notifications": { "toolsListChanged": true } },
    });
    event_answer(&[acknowledged.to_string()])
}

#[test]
fn a_subscription_that_ends_is_begun_again_and_the_lists_are_read_again() {
    let mock = changing(None, || Act::SendAndClose(acknowledged()));
    let gateway = Gateway::start(&mock.section("up"));
    // Without a report of a change they would be read again after minutes only.
    wait_for_read(&gateway, 2);
    let listens = mock.received_of("subscriptions/listen");
    assert!(listens.len() >= 2, "{}", listens.len());
    let params = &listens[0].message()["params"];
    assert_eq!(params["notifications"], json!({ "toolsListChanged": true }));
}

#[test]
fn a_list_that_has_expired_is_read_again_when_a_client_uses_it() {
    let mock = changing(Some(0), || Act::SendAndWait(Vec::new()));
    let gateway = Gateway::start(&mock.section("up"));
    wait_for_read(&gateway, 2);
}

#[test]
fn an_upstream_without_subscriptions_is_served_too() {
    let mock = changing(None, || {
        Act::Send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec())
    });
    let gateway = Gateway::start(&mock.section("up"));
    gateway.wait_for("up_read0");
    wait_until("it is refused", || {
        let listens = mock.received_of("subscriptions/listen");
        (!listens.is_empty()).then_some(())
    });
    gateway.wait_for("up_read0");
}

#[test]
fn entries_are_in_the_order_of_the_file_whichever_upstream_answers_first() {
    let is_up = Arc::new(AtomicBool::new(false));
    let of_mock = Arc::clone(&is_up);
    let late = MockUpstream::start(move |received| match of_mock.load(Ordering::Relaxed) {
        true => with_tool(received, "call"),
        false => Act::Send(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_vec()),
    });
    let early = MockUpstream::start(|received| with_tool(received, "call"));
    let gateway = Gateway::start(&(late.section("late") + &early.section("early")));
    gateway.wait_for("early_call");
    is_up.store(true, Ordering::Relaxed);
    gateway.wait_for("late_call");
    let mut names = names(&mut gateway.connect());
    // The others are of this server.
    names.retain(|name| name.ends_with("_call"));
    assert_eq!(names, ["late_call", "early_call"]);
}

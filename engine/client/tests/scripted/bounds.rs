//! Many calls on one client, and handlers that are slow. Time is virtual.

use std::sync::Arc;
use std::time::Duration;

use corelane_client::{Client, Elicit, Era, Error, json};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::lines::{Seen, greeting, result, serve};

/// Calls at the same time, and those that may be on the wire.
const CALLS: usize = 100_000;
const CALLS_MAX: usize = 1024;

fn ids(seen: &Seen, method: &str, id: &str) -> Vec<u64> {
    let seen = seen.lock().expect("no panic");
    let all = seen.iter().filter(|message| message["method"] == method);
    let ids = all.map(|message| message.pointer(id).and_then(Value::as_u64));
    ids.map(|id| id.expect("a number")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_calls_wait_for_their_turns() {
    let (pipe, seen) = serve(|message| greeting(message).unwrap_or_default());
    let client = Client::builder().connect(pipe).await.expect("a server");
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        calls.spawn(std::future::IntoFuture::into_future(
            client.call("never", Value::Null),
        ));
    }
    // The pipe is in memory: when time moves, every task is idle.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let sent = ids(&seen, "tools/call", "/id");
    assert_eq!(sent.len(), CALLS_MAX);
    calls.shutdown().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut sent = ids(&seen, "tools/call", "/id");
    let mut cancelled = ids(&seen, "notifications/cancelled", "/params/requestId");
    sent.sort_unstable();
    cancelled.sort_unstable();
    assert_eq!(
        cancelled, sent,
        "each call that is on the wire is cancelled, and no other"
    );
    assert!(sent.len() < CALLS, "{}", sent.len());
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_the_bound_are_refused_on_request() {
    let (pipe, seen) = serve(|message| greeting(message).unwrap_or_default());
    let builder = Client::builder().calls_max(3).refuse_excess_calls();
    let client = builder.connect(pipe).await.expect("a server");
    let mut calls = JoinSet::new();
    for _ in 0..3 {
        calls.spawn(std::future::IntoFuture::into_future(
            client.call("never", Value::Null),
        ));
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let refused = client.call("more", Value::Null).idempotent().await;
    let Err(Error::NotExecuted { reason, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(reason.contains("3 requests are in flight"), "{reason}");
    assert_eq!(ids(&seen, "tools/call", "/id").len(), 3);
    calls.shutdown().await;
    let late = client
        .call("more", Value::Null)
        .timeout(Duration::from_secs(1))
        .await;
    assert!(matches!(late, Err(Error::Timeout(_))), "{late:?}");
}

/// A server that elicits input for the tool `asks`, and answers other tools.
fn eliciting(message: &Value) -> Vec<Value> {
    let schema = json!({"type": "object", "properties": {}});
    let params = json!({"message": "?", "requestedSchema": schema});
    let done = json!({"content": []});
    match (
        message["method"].as_str(),
        message["params"]["name"].as_str(),
    ) {
        (Some("initialize"), _) => {
            let version = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
            result(message, version)
        }
        (Some("tools/call"), Some("asks")) => {
            let is_modern = message["params"]["_meta"]
                .get("io.modelcontextprotocol/protocolVersion")
                .is_some();
            let is_answered = message["params"].get("inputResponses").is_some();
            let request = json!({"method": "elicitation/create", "params": params});
            match (is_modern, is_answered) {
                (true, true) => result(message, done),
                (true, false) => {
                    let requests = json!({"k": request});
                    let needed = json!({"resultType": "input_required", "inputRequests": requests});
                    result(message, needed)
                }
                (false, _) => {
                    let id = format!("of {}", message["id"]);
                    vec![
                        json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create",
                        "params": params}),
                    ]
                }
            }
        }
        (Some("tools/call"), _) => result(message, done),
        // The answer to the request in the legacy era ends the call that it is of.
        (None, _) => {
            let id = message["id"].as_str().unwrap_or_default();
            let id: u64 = id.trim_start_matches("of ").parse().expect("a number");
            vec![json!({"jsonrpc": "2.0", "id": id, "result": done})]
        }
        _ => greeting(message).unwrap_or_default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_holds_up_its_own_call_and_no_other() {
    for era in [Era::Modern, Era::Legacy] {
        let (pipe, _) = serve(eliciting);
        let (is_reached, goes_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (reached, waits) = (Arc::clone(&is_reached), Arc::clone(&goes_on));
        let builder = Client::builder().era(era).on_elicit(move |form: Elicit| {
            let (reached, waits) = (Arc::clone(&reached), Arc::clone(&waits));
            async move {
                reached.notify_one();
                waits.notified().await;
                form.accept_defaults()
            }
        });
        let client = builder.connect(pipe).await.expect("a server");
        let slow = client.call("asks", json!({}));
        let slow = tokio::spawn(std::future::IntoFuture::into_future(slow));
        is_reached.notified().await;
        for _ in 0..100 {
            client.call("plain", json!({})).await.expect("a result");
        }
        assert!(!slow.is_finished(), "{era:?}");
        goes_on.notify_one();
        slow.await.expect("no panic").expect("a result");
    }
}

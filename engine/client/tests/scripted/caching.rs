//! Lists that are fresh, over a pipe in memory. Time is virtual.

use std::time::Duration;

use corelane_client::{CachePolicy, Change, Client, Filter, json};
use serde_json::Value;

use crate::lines::{Seen, greeting, methods, result, serve};

/// A server of lists and resources that are fresh for a second.
async fn connect(policy: CachePolicy) -> (Client, Seen) {
    let (pipe, seen) = serve(|message| {
        let meta = json!({"io.modelcontextprotocol/subscriptionId": message["id"]});
        match message["method"].as_str() {
            Some("tools/list") => result(message, json!({"tools": [], "ttlMs": 1000})),
            Some("prompts/list") => result(message, json!({"prompts": []})),
            Some("resources/read") => result(message, json!({"contents": [], "ttlMs": 1000})),
            Some("subscriptions/listen") => {
                let accepted = json!({"notifications": {"toolsListChanged": true}, "_meta": meta});
                let notification = |method: &str, params: Value| {
                    let mut message = json!({"jsonrpc": "2.0", "method": method});
                    message["params"] = params;
                    message
                };
                vec![
                    notification("notifications/subscriptions/acknowledged", accepted),
                    notification("notifications/tools/list_changed", json!({"_meta": meta})),
                ]
            }
            _ => greeting(message).unwrap_or_default(),
        }
    });
    let builder = Client::builder().cache(policy);
    (builder.connect(pipe).await.expect("a server"), seen)
}

fn count(seen: &Seen, method: &str) -> usize {
    methods(seen)
        .iter()
        .filter(|found| *found == method)
        .count()
}

#[tokio::test(start_paused = true)]
async fn a_list_is_requested_again_when_it_is_old_or_has_changed() {
    let (client, seen) = connect(CachePolicy::default()).await;
    for _ in 0..3 {
        client.tools().await.expect("a list");
        client.prompts().await.expect("a list");
        client.read("x:y").await.expect("a resource");
    }
    assert_eq!(count(&seen, "tools/list"), 1);
    // It says nothing of its time, and resources are not kept.
    assert_eq!(count(&seen, "prompts/list"), 3);
    assert_eq!(count(&seen, "resources/read"), 3);
    tokio::time::sleep(Duration::from_millis(1001)).await;
    client.tools().await.expect("a list");
    assert_eq!(count(&seen, "tools/list"), 2);
    let mut changes = client
        .listen(Filter::tools())
        .await
        .expect("a subscription");
    assert_eq!(changes.next().await, Some(Change::Tools));
    client.tools().await.expect("a list");
    assert_eq!(count(&seen, "tools/list"), 3);
}

#[tokio::test(start_paused = true)]
async fn the_policy_of_the_client_decides() {
    for (policy, lists, reads) in [
        (CachePolicy::Off, 2, 2),
        (CachePolicy::Lists, 1, 2),
        (CachePolicy::ListsAndReads, 1, 1),
    ] {
        let (client, seen) = connect(policy).await;
        for _ in 0..2 {
            client.tools().await.expect("a list");
            client.read("x:y").await.expect("a resource");
        }
        assert_eq!(count(&seen, "tools/list"), lists, "{policy:?}");
        assert_eq!(count(&seen, "resources/read"), reads, "{policy:?}");
    }
}

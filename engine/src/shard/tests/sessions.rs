//! Sessions and their calls, beyond the connections of their clients.

use serde_json::json;

use super::test_shard::{Setup, with_shard};
use crate::mcp::tests::test_endpoint::request;
use crate::meter::Counter;

#[test]
fn an_unused_session_expires_and_a_used_one_stays() {
    const IDLE_MS: u64 = 10_000;
    let change = |setup: &mut Setup| setup.profile.sessions.idle_timeout_ms = IDLE_MS;
    with_shard(change, async |shard| {
        let (unused, used) = (shard.session().await, shard.session().await);
        let ping = request(1, "ping", json!({}));
        for time_ms in [IDLE_MS - 1, IDLE_MS / 2] {
            shard.advance(time_ms).await;
            let (client, _) = shard.client().await;
            client.sends(&client.post(&used, &ping));
            shard.settle().await;
            assert!(client.received().starts_with(b"HTTP/1.1 200 "));
        }
        let (client, _) = shard.client().await;
        client.sends(&client.post(&unused, &ping));
        shard.settle().await;
        assert!(client.received().starts_with(b"HTTP/1.1 404 "));
    });
}

#[test]
fn a_legacy_call_outlives_its_connection_and_a_modern_one_ends_with_it() {
    let none = |_: &mut Setup| ();
    with_shard(none, async |shard| {
        let session = shard.session().await;
        let (legacy, _) = shard.client().await;
        let params = json!({"name": "wait", "arguments": {}});
        let headers = format!("{session}Accept: application/json\r\n");
        legacy.sends(&legacy.post(&headers, &request(1, "tools/call", params)));
        let (modern, _) = shard.client().await;
        modern.calls("wait", json!({}));
        shard.settle().await;
        assert_eq!(shard.gate.inside(), 2);
        legacy.resets();
        modern.resets();
        shard.settle().await;
        shard.check_given_back();
        assert_eq!(shard.gate.inside(), 1);
        assert_eq!(shard.count(Counter::CallsInFlight), 1);
        shard.gate.open();
        shard.settle().await;
        assert_eq!(shard.count(Counter::CallsInFlight), 0);
    });
}

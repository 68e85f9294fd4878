//! Requests that do not become whole, and the memory that they take.

use super::client::Client;
use super::test_shard::{Setup, TestShard, with_shard};
use crate::meter::Counter;
use corelane_io::chunk::LARGE_CHUNK_BYTES;
use corelane_io::slots::SlotKey;
use serde_json::json;

const LIMIT_BYTES: usize = 16 * LARGE_CHUNK_BYTES;

fn small(setup: &mut Setup) {
    setup.profile.connection.input_bytes_max = LIMIT_BYTES;
    // Bodies are decoded on the shard.
    setup.profile.json.inline_bytes_max = LIMIT_BYTES;
}

/// A client that has sent `bytes` of a request, which has more.
async fn unfinished_client(shard: &mut TestShard, bytes: usize) -> (Client, SlotKey) {
    let (client, key) = shard.client().await;
    let mut request = client.call("echo", json!({"message": "m".repeat(bytes)}));
    request.truncate(bytes);
    for piece in request.chunks(16 * 1024) {
        client.sends(piece);
        shard.settle().await;
    }
    (client, key)
}

fn held(shard: &TestShard) -> usize {
    shard.shard.handling.pool.input_bytes
}

#[test]
fn the_memory_of_unfinished_requests_is_counted_and_not_their_bytes() {
    with_shard(small, async |shard| {
        let (client, key) = unfinished_client(shard, LARGE_CHUNK_BYTES + 1).await;
        assert_eq!(held(shard), 2 * LARGE_CHUNK_BYTES);
        client.finishes();
        shard.settle().await;
        assert_eq!((shard.phase(key), held(shard)), (None, 0));
    });
}

#[test]
fn the_rest_behind_a_long_request_takes_memory_of_its_own_size() {
    with_shard(small, async |shard| {
        let (client, _) = shard.client().await;
        let mut requests = client.call("echo", json!({"message": "m".repeat(LARGE_CHUNK_BYTES)}));
        let next = client.call("echo", json!({"message": "n"}));
        requests.extend_from_slice(&next[..next.len() - 1]);
        for piece in requests.chunks(16 * 1024) {
            client.sends(piece);
            shard.settle().await;
        }
        assert!(held(shard) <= LARGE_CHUNK_BYTES, "{}", held(shard));
        client.sends(&next[next.len() - 1..]);
        shard.settle().await;
        assert_eq!(client.received_text().matches("HTTP/1.1 200").count(), 2);
        assert_eq!(held(shard), 0);
    });
}

#[test]
fn requests_that_arrive_for_long_are_refused_before_those_of_others_must_be() {
    with_shard(small, async |shard| {
        let mut slow = Vec::new();
        for waits_ms in [0, 500, 400] {
            shard.advance(waits_ms).await;
            slow.push(unfinished_client(shard, 4 * LARGE_CHUNK_BYTES).await);
        }
        // Seven eighths are reached: the one that has been arriving for longest is refused.
        let (other, other_key) = unfinished_client(shard, 2 * LARGE_CHUNK_BYTES).await;
        assert_eq!(held(shard), LIMIT_BYTES / 8 * 7);
        shard.advance(200).await;
        let texts: Vec<String> = slow.iter().map(|(it, _)| it.received_text()).collect();
        assert!(texts[0].starts_with("HTTP/1.1 503"), "{}", texts[0]);
        assert!(
            texts[0].contains("connection.input_bytes_max"),
            "{}",
            texts[0]
        );
        assert_eq!([&texts[1], &texts[2]], ["", ""]);
        assert_eq!(held(shard), LIMIT_BYTES / 8 * 5);
        // A request in two pieces has the memory that it needs.
        let (client, _) = shard.client().await;
        let call = client.call("echo", json!({"message": "hello"}));
        let (start, end) = call.split_at(call.len() / 2);
        for piece in [start, end] {
            client.sends(piece);
            shard.settle().await;
        }
        assert!(client.received_text().starts_with("HTTP/1.1 200"));
        shard.advance(1000).await;
        assert!(shard.phase(other_key).is_some(), "enough is free");
        assert_eq!(other.received_text(), "");
        assert_eq!(shard.count(Counter::ConnectionsShed), 1);
    });
}

//! Peers that leave, at the worst times.

use serde_json::json;

use super::rig::{Client, TestShard, with_shard};
use crate::connection::http::RecvMode;
use crate::io::slots::SlotKey;
use crate::meter::Counter;

/// Makes a connection with a stream: by two requests one after the other.
async fn streamed_client(shard: &mut TestShard) -> (Client, SlotKey) {
    let (mut client, key) = shard.client().await;
    for round in 1..=2 {
        let echo = client.call("echo", json!({"message": "hello"}));
        client.send(&echo);
        let is_answered = |shard: &mut TestShard| {
            let connection = shard.shard.slots.get(key).expect("it is open");
            connection.sequence == round && !connection.is_sending
        };
        shard.turn_until("an answer", is_answered).await;
        assert!(client.read().starts_with(b"HTTP/1.1 200 "));
    }
    let connection = shard.shard.slots.get(key).expect("it is open");
    assert_eq!(connection.reading, RecvMode::Multishot);
    (client, key)
}

#[test]
fn buffers_of_connections_that_are_gone_come_back() {
    with_shard("", async |shard| {
        for is_streamed in [false, true] {
            let (mut client, key) = match is_streamed {
                false => shard.client().await,
                true => streamed_client(shard).await,
            };
            let echo = client.call("echo", json!({"message": "late"}));
            client.send(&echo);
            // The bytes are received, but not seen before the close.
            shard.shard.ring.receive(key);
            shard
                .shard
                .ring
                .enter(crate::io::ring::Wait::No)
                .expect("it enters");
            assert!(shard.shard.ring.has_completions());
            shard.shard.close(key);
            let is_closed = |it: &mut TestShard| it.count(Counter::ConnectionsOpen) == 0;
            shard.turn_until("a close", is_closed).await;
            assert_eq!(shard.shard.ring.buffers().held(), 0);
        }
    });
}

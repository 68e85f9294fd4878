//! A shard that polls its rings for a while before it waits.

use serde_json::json;

use super::test_shard::{Setup, TestShard, with_shard};

/// Makes turns until one does nothing. Returns whether the shard then polls.
async fn polls(shard: &mut TestShard) -> bool {
    for _ in 0..100 {
        let turn = shard.turn().await;
        if !turn.did {
            return turn.has_work;
        }
    }
    panic!("the shard is busy without a cause");
}

#[test]
fn a_shard_polls_for_its_time_after_work_and_waits_then() {
    let change = |setup: &mut Setup| setup.profile.executor.spin_us = 5000;
    with_shard(change, async |shard| {
        shard.pass(100);
        assert!(!polls(shard).await, "there was no work yet");
        let client = shard.connect();
        assert!(polls(shard).await);
        shard.pass(4);
        assert!(polls(shard).await);
        shard.pass(1);
        assert!(!polls(shard).await, "its time is over");
        client.calls("add", json!({ "a": 1, "b": 2 }));
        assert!(polls(shard).await, "another request begins the time anew");
        assert!(!client.received_text().is_empty());
        shard.shard.profile.executor.spin_us = 0;
    });
}

#[test]
fn a_shard_whose_handlers_wait_does_not_poll() {
    let change = |setup: &mut Setup| setup.profile.executor.spin_us = 5000;
    with_shard(change, async |shard| {
        let client = shard.connect();
        client.calls("wait", json!({}));
        assert!(!polls(shard).await);
        assert_eq!(shard.gate.inside(), 1);
        shard.shard.profile.executor.spin_us = 0;
    });
}

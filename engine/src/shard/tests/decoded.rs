//! Large messages, which leave the shard while they are decoded.

use serde_json::json;

use super::client::Client;
use super::test_shard::{Setup, TestShard, with_shard};
use crate::connection::http::Phase;
use crate::mcp::tests::test_endpoint::request;
use crate::meter::Counter;
use crate::profile::Binding;
use corelane_io::slots::SlotKey;

fn decode_elsewhere(setup: &mut Setup) {
    setup.profile.json.inline_bytes_max = 1024;
}

/// A client that has sent a large message, which the shard has received.
async fn client_with_large(shard: &mut TestShard) -> (Client, SlotKey) {
    let (client, key) = shard.client().await;
    client.calls("echo", json!({"message": "x".repeat(2000)}));
    // No turn handles the decoded message.
    while shard.phase(key) != Some(Phase::Waiting) {
        shard.shard.enter(true).expect("the model never fails");
        shard.shard.handle_completions();
    }
    assert!(shard.shard.handling.pool.input_bytes > 2000);
    (client, key)
}

#[test]
fn small_messages_pass_a_large_one() {
    // Without a thread the large one is never decoded.
    with_shard(decode_elsewhere, async |shard| {
        let (first, key) = client_with_large(shard).await;
        let (second, _) = shard.client().await;
        second.calls("echo", json!({"message": "x"}));
        shard.settle().await;
        assert!(second.received().starts_with(b"HTTP/1.1 200 "));
        assert_eq!(shard.phase(key), Some(Phase::Waiting));
        assert!(first.received().is_empty());
    });
}

#[test]
fn a_large_message_of_a_channel_keeps_no_other_client_waiting() {
    let change = |setup: &mut Setup| {
        decode_elsewhere(setup);
        setup.bindings.push(Binding::Lines);
    };
    with_shard(change, async |shard| {
        let large = request(1, "ping", json!({"filler": "x".repeat(2000)}));
        let lines = shard.connect_to(1);
        shard.settle().await;
        let on_lines = shard.key(&lines);
        lines.sends(format!("{large}\n").as_bytes());
        let (other, _) = shard.client().await;
        other.calls("echo", json!({"message": "x"}));
        shard.settle().await;
        assert!(other.received().starts_with(b"HTTP/1.1 200 "));
        assert_eq!(shard.phase(on_lines), Some(Phase::DecodingMessage));
        // Its bytes are given back with its connection.
        assert!(shard.shard.handling.pool.input_bytes > 2000);
        lines.resets();
        shard.settle().await;
        assert_eq!(shard.shard.handling.pool.input_bytes, 0);
    });
}

#[test]
fn a_client_that_leaves_takes_back_its_large_message() {
    with_shard(decode_elsewhere, async |shard| {
        // One may wait for a thread: the place is free again each time.
        for _ in 0..3 {
            let (client, _) = client_with_large(shard).await;
            client.resets();
            shard.settle().await;
            shard.check_given_back();
        }
    });
}

#[test]
fn a_large_message_is_handled_in_a_later_turn_unless_its_client_left() {
    let change = |setup: &mut Setup| {
        decode_elsewhere(setup);
        setup.threads.decode = 1;
    };
    for leaves in [false, true] {
        with_shard(change, async |shard| {
            let (client, key) = client_with_large(shard).await;
            while !shard.shard.handling.endpoint.has_decoded() {
                std::thread::yield_now();
            }
            if leaves {
                shard.shard.close(key, Counter::ClosedPeer);
            }
            assert!(shard.shard.handling.pool.input_bytes > 2000);
            assert!(shard.shard.has_work());
            shard.settle().await;
            assert_eq!(shard.shard.handling.pool.input_bytes, 0);
            let is_answered = client.received().starts_with(b"HTTP/1.1 200 ");
            assert_eq!(is_answered, !leaves);
        });
    }
}

//! Peers that leave, at the worst times.

use serde_json::json;

use super::client::Client;
use super::test_shard::{Setup, TestShard, with_shard};
use crate::connection::http::RecvMode;
use crate::meter::Counter;
use corelane_io::ring::fake::Operation::{Receive, RecvMultishot, Send, Shutdown, Watch};
use corelane_io::slots::SlotKey;

/// A client whose connection receives by multishot: it made two requests one after the other.
pub(super) async fn streamed_client(shard: &mut TestShard) -> (Client, SlotKey) {
    let (client, key) = shard.client().await;
    for _ in 0..2 {
        client.calls("echo", json!({"message": "hello"}));
        shard.settle().await;
        assert!(client.received().starts_with(b"HTTP/1.1 200 "));
    }
    assert_eq!(shard.connection(key).reading, RecvMode::Multishot);
    assert_eq!(shard.network.operations_on(key.index), [RecvMultishot]);
    (client, key)
}

/// The slot of the only connection is free, and its handler was dropped.
async fn check_gone(shard: &mut TestShard, what: &str) {
    shard.settle().await;
    assert_eq!(shard.gate.inside(), 0, "{what}");
    assert_eq!(shard.count(Counter::CallsInFlight), 0, "{what}");
    shard.check_given_back();
}

#[test]
fn a_reset_that_comes_with_bytes_frees_the_slot_and_drops_the_handler() {
    let none = |_: &mut Setup| ();
    with_shard(none, async |shard| {
        for is_streamed in [false, true] {
            for (name, cut) in [
                ("part of a head", 20),
                ("part of a body", 250),
                ("all", 1000),
            ] {
                let (client, _) = match is_streamed {
                    false => shard.client().await,
                    true => streamed_client(shard).await,
                };
                let call = client.call("wait", json!({}));
                client.sends(&call[..cut.min(call.len())]);
                client.resets();
                let what = format!("{name} and a reset, streamed {is_streamed}");
                check_gone(shard, &what).await;
            }
        }
        assert_eq!(shard.gate.entered(), 2, "whole calls were begun");
    });
}

#[test]
fn a_stream_that_brought_a_call_to_wait_for_is_read_to_its_end() {
    let none = |_: &mut Setup| ();
    with_shard(none, async |shard| {
        let (client, key) = streamed_client(shard).await;
        client.calls("wait", json!({}));
        client.resets();
        shard.turn().await;
        assert_eq!(shard.connection(key).reading, RecvMode::Multishot);
        shard.shard.enter(true).expect("the model never fails");
        let under_way = shard.network.operations_on(key.index);
        assert!(under_way.contains(&Receive), "{under_way:?}");
        check_gone(shard, "a reset").await;
    });
}

/// A call that waits, and so many bytes behind it that the shard reads no more.
async fn paused_client(shard: &mut TestShard) -> Client {
    let (client, key) = shard.client().await;
    client.calls("wait", json!({}));
    let behind = client.call("echo", json!({"message": "behind"})).repeat(4);
    for _ in 0..100 {
        let buffers = shard.connection(key).buffers.as_ref();
        if buffers.is_some_and(|buffers| buffers.is_paused) {
            assert_eq!(shard.gate.inside(), 1);
            return client;
        }
        client.sends(&behind);
        shard.settle().await;
    }
    panic!("the connection is never full");
}

#[test]
fn a_peer_that_leaves_while_reading_is_paused_ends_its_call() {
    let change = |setup: &mut Setup| {
        setup.profile.http.head_bytes_max = 4096;
        setup.profile.connection.pipelined_bytes_max = 4096;
    };
    with_shard(change, async |shard| {
        let client = paused_client(shard).await;
        client.resets();
        check_gone(shard, "a reset").await;
        // The bytes before the end are not read, so the end of sending counts as well.
        let client = paused_client(shard).await;
        client.finishes();
        check_gone(shard, "an end of sending").await;
    });
}

#[test]
fn buffers_of_connections_that_are_gone_come_back() {
    let none = |_: &mut Setup| ();
    with_shard(none, async |shard| {
        for is_streamed in [false, true] {
            let (client, key) = match is_streamed {
                false => shard.client().await,
                true => streamed_client(shard).await,
            };
            client.calls("echo", json!({"message": "late"}));
            // The bytes are received, but not seen before the close.
            shard.shard.rings.of(key).receive(key);
            shard.shard.enter(true).expect("the model never fails");
            assert!(shard.shard.rings.has_completions());
            shard.shard.close(key, Counter::ClosedPeer);
            check_gone(shard, "closed with bytes received").await;
        }
    });
}

#[test]
fn a_descriptor_is_closed_when_the_last_operation_on_it_has_completed() {
    for held in [Watch, Send, Shutdown, Receive, RecvMultishot] {
        let change = |setup: &mut Setup| setup.profile.connection.linger_timeout_ms = 100;
        with_shard(change, async |shard| {
            let (client, key) = match held {
                RecvMultishot => streamed_client(shard).await,
                _ => shard.client().await,
            };
            client.takes(0);
            shard.network.hold(held);
            shard.sends(key, 1000);
            match held {
                Shutdown => shard.shard.rings.of(key).shutdown_write(key),
                Receive => shard.shard.rings.of(key).receive(key),
                _ => {}
            }
            shard.turn().await;
            shard.shard.close(key, Counter::ClosedPeer);
            shard.settle().await;
            assert_eq!(shard.connections(), 0);
            assert_eq!(shard.network.operations_on(key.index), [held]);
            assert_eq!(client.descriptor(), Some(key.index), "it is open");
            // The next connection has another place meanwhile.
            let (_, next) = shard.client().await;
            assert_ne!(next.index, key.index);
            shard.network.release();
            shard.settle().await;
            assert_eq!(shard.network.descriptors(), 1);
            assert!(client.end().is_some());
            let (_, again) = shard.client().await;
            assert_eq!(again.index, key.index);
            assert_ne!(again.generation, key.generation);
        });
    }
}

//! Peers that leave, at the worst times.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::live_shard::{Client, TestShard, with_shard};
use crate::connection::http::RecvMode;
use crate::meter::Counter;
use corelane_io::slots::SlotKey;

/// Makes a connection with a stream: by two requests one after the other.
async fn streamed_client(shard: &mut TestShard) -> (Client, SlotKey) {
    let (mut client, key) = shard.client().await;
    for round in 1..=2 {
        let echo = client.call("echo", json!({"message": "hello"}));
        client.send(&echo);
        let is_answered = |shard: &mut TestShard| {
            let connection = shard.shard.slots.get(key).expect("it is open");
            connection.sequence == round && !connection.is_sending()
        };
        shard.turn_until("an answer", is_answered).await;
        assert!(client.read().starts_with(b"HTTP/1.1 200 "));
    }
    let connection = shard.shard.slots.get(key).expect("it is open");
    assert_eq!(connection.reading, RecvMode::Multishot);
    (client, key)
}

/// The slot of the only connection is free, and its handler was dropped.
async fn check_gone(shard: &mut TestShard, what: &str) {
    shard.turn_until(what, |it| it.connections() == 0).await;
    assert_eq!(shard.gate.inside(), 0, "{what}");
    assert_eq!(shard.count(Counter::CallsInFlight), 0, "{what}");
    let is_closed = |it: &mut TestShard| it.count(Counter::ConnectionsOpen) == 0;
    shard.turn_until("a close", is_closed).await;
}

#[test]
fn a_reset_that_comes_with_bytes_frees_the_slot_and_drops_the_handler() {
    with_shard("", async |shard| {
        for is_streamed in [false, true] {
            for (name, cut) in [
                ("part of a head", 20),
                ("part of a body", 250),
                ("all", 1000),
            ] {
                let (mut client, _) = match is_streamed {
                    false => shard.client().await,
                    true => streamed_client(shard).await,
                };
                let call = client.call("wait", json!({}));
                client.send(&call[..cut.min(call.len())]);
                client.reset();
                let what = format!("{name} and a reset, streamed {is_streamed}");
                check_gone(shard, &what).await;
            }
        }
        assert_eq!(shard.gate.entered(), 2, "whole calls were begun");
    });
}

#[test]
fn a_connection_whose_call_waits_still_sees_the_end_of_its_peer() {
    with_shard("", async |shard| {
        let (mut client, key) = streamed_client(shard).await;
        let in_flight = shard.shard.ring.in_flight();
        let call = client.call("wait", json!({}));
        client.send(&call);
        shard
            .turn_until("the call", |it| it.gate.inside() == 1)
            .await;
        let connection = shard.shard.slots.get(key).expect("it is open");
        assert_eq!(connection.reading, RecvMode::Multishot);
        assert_eq!(shard.shard.ring.in_flight(), in_flight + 1, "a receive");
        shard.turn().await;
        assert_eq!(shard.shard.ring.in_flight(), in_flight);
        client.reset();
        check_gone(shard, "a reset").await;
    });
}

/// A call that waits, and so many bytes behind it that the shard reads no more.
async fn paused_client(shard: &mut TestShard) -> Client {
    let (mut client, key) = shard.client().await;
    let call = client.call("wait", json!({}));
    client.send(&call);
    let echo = client.call("echo", json!({"message": "behind"}));
    let behind = echo.repeat(4);
    let is_paused = |shard: &TestShard| {
        let connection = shard.shard.slots.get(key).expect("it is open");
        let buffers = connection.buffers.as_ref();
        buffers.is_some_and(|buffers| buffers.is_paused)
    };
    for _ in 0..100 {
        if is_paused(shard) {
            assert_eq!(shard.gate.inside(), 1);
            return client;
        }
        client.send_some(&behind);
        shard.turn().await;
    }
    panic!("the connection is never full");
}

#[test]
fn a_peer_that_leaves_while_reading_is_paused_ends_its_call() {
    let toml = "[http]\nhead_bytes_max = 4096\n[connection]\npipelined_bytes_max = 4096";
    with_shard(toml, async |shard| {
        let client = paused_client(shard).await;
        client.reset();
        check_gone(shard, "a reset").await;
        // No later read finds the end, so the end of sending counts as well.
        let client = paused_client(shard).await;
        client.finish();
        check_gone(shard, "an end of sending").await;
    });
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
                .enter(corelane_io::ring::Wait::No)
                .expect("it enters");
            assert!(shard.shard.ring.has_completions());
            shard.shard.close(key);
            let is_closed = |it: &mut TestShard| it.count(Counter::ConnectionsOpen) == 0;
            shard.turn_until("a close", is_closed).await;
            assert_eq!(shard.shard.ring.buffers().held(), 0);
        }
    });
}

#[test]
fn a_drained_shard_has_closed_every_connection() {
    with_shard("", async |shard| {
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(shard.client().await);
        }
        shard.shard.control.begin_drain();
        while !shard.turn().await {}
        assert_eq!(shard.count(Counter::ConnectionsOpen), 0);
        assert_eq!(shard.count(Counter::ConnectionsClosed), 20);
        // No other shard wakes a ring that is about to go.
        assert_eq!(shard.shard.ring_fds[0].load(Ordering::Relaxed), -1);
    });
}

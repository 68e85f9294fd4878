//! Readers that are too slow, and the memory that their output takes.

use serde_json::json;

use super::client::Client;
use super::test_shard::{Setup, TestShard, with_shard};
use crate::meter::Counter;
use corelane_io::ring::fake::Operation::{Send, Watch};
use corelane_io::slots::SlotKey;

/// A client that takes nothing of a chunk of `bytes`.
async fn stalled_client(shard: &mut TestShard, bytes: usize) -> (Client, SlotKey) {
    let (client, key) = shard.client().await;
    client.takes(0);
    shard.sends(key, bytes);
    shard.settle().await;
    (client, key)
}

/// Ten seconds to write, and 1000 bytes in them.
fn slow(setup: &mut Setup) {
    setup.profile.connection.write_timeout_ms = 10_000;
    setup.profile.connection.write_bytes_per_second_min = 100;
}

#[test]
fn a_peer_has_to_take_the_minimum_rate_and_not_just_any_byte() {
    for (bytes_each_time, closes_at_s) in [(0, 10), (110, 10), (112, 18), (2000, 18)] {
        with_shard(slow, async |shard| {
            let (client, key) = stalled_client(shard, 100_000).await;
            // Takes some each second for nine of them, and nothing after that.
            for second in 1..=40 {
                let is_open = shard.phase(key).is_some();
                let what = format!("{bytes_each_time}, {second} s");
                assert_eq!(is_open, second <= closes_at_s, "{what}");
                if is_open && second < 10 && bytes_each_time > 0 {
                    client.takes(bytes_each_time);
                    shard.settle().await;
                    assert_eq!(client.received().len(), bytes_each_time, "{what}");
                }
                let first_ms = if second == 1 { 1100 } else { 1000 };
                shard.advance(first_ms).await;
            }
            assert_eq!(shard.count(Counter::TimeoutsWrite), 1);
        });
    }
}

#[test]
fn output_behind_a_send_must_be_taken_in_the_same_time() {
    with_shard(slow, async |shard| {
        let (client, key) = stalled_client(shard, 10).await;
        // A peer that takes one small event after the other, and never all there is.
        for second in 1..=9 {
            shard.advance(1000).await;
            shard.sends(key, 10);
            client.takes(10);
            shard.settle().await;
            assert!(shard.phase(key).is_some(), "{second} s");
        }
        shard.advance(1100).await;
        assert_eq!(shard.phase(key), None);
        // One that takes all has its whole time for the next.
        let (client, key) = stalled_client(shard, 10).await;
        shard.advance(9900).await;
        client.takes(10);
        shard.settle().await;
        shard.sends(key, 10);
        shard.advance(9900).await;
        assert!(shard.phase(key).is_some());
    });
}

#[test]
fn a_request_gives_a_peer_no_more_time_to_read() {
    with_shard(slow, async |shard| {
        let (client, key) = stalled_client(shard, 1000).await;
        for _ in 1..=9 {
            shard.advance(1000).await;
            client.sends(b"DELETE /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n");
            shard.settle().await;
        }
        shard.advance(1100).await;
        assert_eq!(shard.phase(key), None);
    });
}

#[test]
fn a_short_send_goes_on_behind_what_was_taken() {
    let none = |_: &mut Setup| ();
    with_shard(none, async |shard| {
        let (client, key) = stalled_client(shard, 1000).await;
        let index = key.index;
        for bytes in [1, 500, 498] {
            client.takes(bytes);
            shard.settle().await;
            assert_eq!(client.received().len(), bytes);
            assert_eq!(shard.network.operations_on(index), [Watch, Send]);
            assert_eq!(shard.count(Counter::OutputBytes), 1000);
        }
        client.takes(5);
        shard.settle().await;
        assert_eq!(client.received().len(), 1);
        assert_eq!(shard.network.operations_on(index), [Watch]);
        assert_eq!(shard.count(Counter::BytesOut), 1000);
    });
}

#[test]
fn the_longest_stalled_readers_are_closed_when_output_takes_too_much_memory() {
    let limit = 1 << 20;
    let change = |setup: &mut Setup| {
        setup.profile.connection.output_bytes_per_shard_max = limit;
    };
    with_shard(change, async |shard| {
        let mut open = Vec::new();
        for waits_ms in [0, 500, 1000] {
            shard.advance(waits_ms).await;
            open.push(stalled_client(shard, 400_000).await.1);
        }
        shard.advance(500).await;
        let is_open = |shard: &TestShard| [0, 1, 2].map(|at| shard.phase(open[at]).is_some());
        assert_eq!(is_open(shard), [false, true, true]);
        assert_eq!(shard.shard.handling.pool.output_bytes, 800_000);
        // Between the last seven eighths and the limit no reader is closed.
        stalled_client(shard, limit - 800_001).await;
        shard.advance(1000).await;
        assert_eq!(is_open(shard), [false, true, true]);
        stalled_client(shard, 1).await;
        assert_eq!(is_open(shard), [false, false, true]);
        // One that has not stalled for long enough is not closed before there is twice the limit.
        shard.advance(100).await;
        let (_, fresh) = stalled_client(shard, limit).await;
        shard.advance(900).await;
        assert!(shard.phase(fresh).is_some());
        assert_eq!(is_open(shard), [false, false, false]);
        shard.advance(200).await;
        assert_eq!(shard.phase(fresh), None);
        assert_eq!(shard.count(Counter::ConnectionsShed), 6);
        assert_eq!(shard.shard.handling.pool.output_bytes, 0);
    });
}

#[test]
fn those_that_hold_most_are_closed_at_once_when_answers_reach_twice_the_limit() {
    let limit = 1 << 20;
    let change = |setup: &mut Setup| {
        setup.profile.connection.output_bytes_per_shard_max = limit;
    };
    with_shard(change, async |shard| {
        let (_, small) = stalled_client(shard, 1000).await;
        let mut callers = Vec::new();
        for _ in 0..40 {
            let (caller, key) = shard.client().await;
            caller.takes(0);
            caller.calls("wait", json!({ "padding_bytes": 100_000 }));
            callers.push(key);
        }
        shard.settle().await;
        assert_eq!(shard.gate.inside(), callers.len());
        shard.gate.open();
        shard.settle().await;
        let closed = shard.count(Counter::ConnectionsShed);
        assert!((10..40).contains(&closed), "{closed}");
        assert!(shard.phase(small).is_some(), "it holds little");
        assert!(shard.shard.handling.pool.output_bytes < 2 * limit);
    });
}

#[test]
fn the_memory_of_output_is_counted_until_it_is_sent_or_its_connection_ends() {
    let none = |_: &mut Setup| ();
    with_shard(none, async |shard| {
        let (first_client, first) = stalled_client(shard, 1000).await;
        shard.sends(first, 500);
        let (second_client, _) = stalled_client(shard, 100).await;
        let held = |shard: &TestShard| shard.count(Counter::OutputBytes);
        assert_eq!(held(shard), 1600);
        first_client.takes(999);
        shard.settle().await;
        assert_eq!(held(shard), 1600, "the chunk is held whole");
        first_client.takes(1);
        shard.settle().await;
        assert_eq!(held(shard), 600);
        shard.shard.close(first, Counter::ClosedPeer);
        shard.settle().await;
        assert_eq!(held(shard), 100);
        second_client.takes(100);
        shard.settle().await;
        assert_eq!(held(shard), 0);
    });
}

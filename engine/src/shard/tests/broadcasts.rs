//! Broadcasts to readers of every speed.

use std::collections::HashMap;

use corelane_protocol::mcp::subscription::ListKind;

use super::client::Client;
use super::test_shard::{Setup, TestShard, settle_all, with_shard, with_shards};
use crate::catalog::pending_updates::Changes;
use crate::connection::http::Phase;
use crate::shard::ShardMessage;

/// The list of tools changes, and every subscription gets the change.
fn broadcast(shard: &mut TestShard) {
    let mut changes = Changes::default();
    changes.lists.insert(ListKind::Tools);
    shard.shard.handling.endpoint.handle_changes(changes);
}

/// Changes that a client has received since the last look.
fn changes(client: &Client) -> usize {
    let text = client.received_text();
    text.matches("notifications/tools/list_changed").count()
}

#[test]
fn a_reader_that_stops_costs_nothing_and_gets_the_last_change() {
    with_shard(
        |_| (),
        async |shard| {
            let ((slow, key), (fast, _)) = (shard.client().await, shard.client().await);
            for client in [&slow, &fast] {
                client.listens();
                shard.settle().await;
                client.received();
            }
            slow.takes(0);
            broadcast(shard);
            shard.settle().await;
            let held_bytes = shard.shard.handling.pool.output_bytes;
            assert_eq!(changes(&fast), 1);
            for _ in 0..1000 {
                broadcast(shard);
                shard.settle().await;
                assert_eq!(changes(&fast), 1, "each change at once");
            }
            assert!(shard.phase(key).is_some());
            assert_eq!(shard.shard.handling.pool.output_bytes, held_bytes);
            // The first change that it did not take, and the last one.
            slow.takes(usize::MAX);
            shard.settle().await;
            assert_eq!(changes(&slow), 2);
        },
    );
}

#[test]
fn broadcasts_to_another_shard_wait_while_its_lane_is_full_and_reach_every_stream() {
    const STREAMS: usize = 20;
    let narrow = |setup: &mut Setup| {
        setup.profile.lanes.request = 1;
        setup.profile.lanes.reply = 1;
    };
    with_shards(2, narrow, async |shards| {
        for _ in 0..STREAMS {
            let session = shards[1].session().await;
            let (client, key) = shards[0].client().await;
            client.opens_stream(&session);
            settle_all(shards).await;
            assert_eq!(shards[0].phase(key), Some(Phase::Streaming));
        }
        let (near, home) = shards.split_at_mut(1);
        let (near, home) = (&mut near[0], &mut home[0]);
        for _ in 0..1000 {
            broadcast(home);
            home.turn().await;
        }
        // One broadcast is on its way, and one more waits behind it.
        let mut arrived: HashMap<u32, usize> = HashMap::new();
        for _ in 0..1000 {
            home.turn().await;
            for message in near.messages() {
                let ShardMessage::Deliver(delivery) = message else {
                    panic!("not a part of a stream: {message:?}");
                };
                *arrived.entry(delivery.exchange.slot.index).or_default() += 1;
            }
        }
        assert!(!home.shard.has_work(), "all of it has been sent");
        assert_eq!(arrived.len(), STREAMS);
        assert!(arrived.values().all(|times| *times <= 2), "{arrived:?}");
    });
}

#[test]
fn a_reader_that_takes_every_change_has_its_whole_time_for_the_next() {
    let change = |setup: &mut Setup| {
        setup.profile.connection.write_timeout_ms = 10_000;
    };
    with_shard(change, async |shard| {
        let (client, key) = shard.client().await;
        client.listens();
        shard.settle().await;
        client.received();
        broadcast(shard);
        shard.settle().await;
        let change_bytes = client.received().len();
        client.takes(0);
        broadcast(shard);
        shard.settle().await;
        // One change is always on its way while the next one waits.
        for second in 1..=40 {
            broadcast(shard);
            shard.advance(1000).await;
            client.takes(change_bytes);
            shard.settle().await;
            assert_eq!(changes(&client), 1, "{second} s");
            assert!(shard.connection(key).is_sending(), "{second} s");
        }
        shard.advance(9900).await;
        assert!(shard.phase(key).is_some());
        shard.advance(200).await;
        assert_eq!(shard.phase(key), None);
    });
}

#[test]
fn a_change_that_the_newest_stream_of_a_session_does_not_take_goes_to_the_next() {
    let change = |setup: &mut Setup| setup.profile.connection.output_bytes_max = 1000;
    with_shard(change, async |shard| {
        let session = shard.session().await;
        let ((older, _), (newer, newer_key)) = (shard.client().await, shard.client().await);
        for client in [&older, &newer] {
            client.opens_stream(&session);
            shard.settle().await;
            client.received();
        }
        // The output that waits behind the unread bytes of the newer one's peer.
        newer.takes(0);
        shard.sends(newer_key, 10);
        shard.settle().await;
        shard.sends(newer_key, 2000);
        broadcast(shard);
        shard.settle().await;
        assert_eq!(shard.phase(newer_key), None, "it is closed");
        assert_eq!(changes(&older), 1);
    });
}

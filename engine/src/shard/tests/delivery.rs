//! Messages of one shard to another, and their effects there.

use corelane_protocol::binding::refusal::Category;
use serde_json::json;

use super::test_shard::{Setup, settle_all, with_shard, with_shards};
use crate::connection::http::Phase;
use crate::mcp::{
    Delivery, Exchange, Forwarded, ForwardedKind, Opening, Output, Part, SessionId, StreamOf,
    StreamOwner,
};
use crate::meter::Counter;
use crate::shard::ShardMessage;
use corelane_io::ring::fake::Operation::Watch;
use corelane_io::slots::SlotKey;

/// More than are looked at in one turn.
const STALLED: usize = 600;

fn answer(exchange: Exchange) -> Delivery {
    Delivery::answer(exchange, b"{}".to_vec())
}

/// Lanes of one message each.
fn narrow(setup: &mut Setup) {
    setup.profile.lanes.reply = 1;
    setup.profile.lanes.request = 1;
}

#[test]
fn each_answer_to_another_shard_arrives_once_though_its_lane_is_full() {
    with_shards(2, narrow, async |shards| {
        let (_, key) = shards[0].client().await;
        let mut exchange = shards[0].exchange(key);
        for sequence in 0..5 {
            exchange.sequence = sequence;
            let endpoint = &mut shards[1].shard.handling.endpoint;
            endpoint.queue_delivery(answer(exchange));
        }
        let mut arrived = Vec::new();
        for _ in 0..10 {
            shards[1].turn().await;
            let messages = shards[0].messages().into_iter();
            arrived.extend(messages.map(|message| match message {
                ShardMessage::Deliver(delivery) => delivery.exchange.sequence,
                other => panic!("not an answer: {other:?}"),
            }));
        }
        assert_eq!(arrived, [0, 1, 2, 3, 4]);
        assert!(shards[1].shard.overflow.is_empty());
        assert_eq!(shards[1].count(Counter::LanesFull), 4);
    });
}

#[test]
fn an_answer_to_an_earlier_request_is_dropped() {
    with_shards(2, narrow, async |shards| {
        let (client, key) = shards[0].client().await;
        client.calls("wait", json!({}));
        settle_all(shards).await;
        assert_eq!(shards[0].phase(key), Some(Phase::Waiting));
        let current = shards[0].exchange(key);
        for (sequence, is_answered) in [(current.sequence - 1, false), (current.sequence, true)] {
            let exchange = Exchange {
                sequence,
                ..current
            };
            let endpoint = &mut shards[1].shard.handling.endpoint;
            endpoint.queue_delivery(answer(exchange));
            settle_all(shards).await;
            let text = client.received_text();
            assert_eq!(text.ends_with("{}"), is_answered, "{text}");
            assert_eq!(shards[0].phase(key) == Some(Phase::Idle), is_answered);
        }
    });
}

#[test]
fn an_answer_to_a_connection_that_is_gone_does_not_reach_the_next_one_in_its_slot() {
    with_shards(2, narrow, async |shards| {
        let (gone, key) = shards[0].client().await;
        gone.calls("wait", json!({}));
        settle_all(shards).await;
        let late = shards[0].exchange(key);
        gone.resets();
        settle_all(shards).await;
        let (next, next_key) = shards[0].client().await;
        assert_eq!(next_key.index, key.index);
        next.calls("wait", json!({}));
        settle_all(shards).await;
        assert_eq!(shards[0].exchange(next_key).sequence, late.sequence);
        let endpoint = &mut shards[1].shard.handling.endpoint;
        endpoint.queue_delivery(answer(late));
        settle_all(shards).await;
        assert_eq!(next.received_text(), "");
        assert_eq!(shards[0].phase(next_key), Some(Phase::Waiting));
        let index = next_key.index;
        assert_eq!(shards[0].network.operations_on(index), [Watch]);
    });
}

#[test]
fn a_stream_that_is_gone_is_not_overtaken_by_the_next_one_of_its_session() {
    let session = SessionId { home: 1, random: 1 };
    let owner = StreamOwner::Session(StreamOf {
        session,
        ends_with_answer: false,
    });
    with_shards(2, narrow, async |shards| {
        let mut exchanges = Vec::new();
        for _ in 0..3 {
            let (_, key) = shards[0].client().await;
            exchanges.push(shards[0].exchange(key));
        }
        let [first, second, third] = exchanges[..] else {
            unreachable!("three were pushed");
        };
        // The second finds the lane full. There is room when the third stream is opened.
        shards[0].shard.stream_gone(owner, first);
        shards[0].shard.stream_gone(owner, second);
        shards[0].shard.flush_lanes();
        assert_eq!(shards[1].messages().len(), 1);
        let opening = Forwarded {
            exchange: third,
            session,
            seal: None,
            id: None,
            revision: None,
            caller_info: None,
            trace: None,
            kind: ForwardedKind::OpenStream(Opening::Fresh),
        };
        let near = &mut shards[0].shard;
        near.handling.effects.forwards.push((1, Box::new(opening)));
        near.send_forwards();
        near.flush_lanes();
        let arrived = shards[1].messages();
        assert!(
            arrived.is_empty(),
            "the second stream comes first: {arrived:?}"
        );
        // Its client is refused as by a full lane, and may try again.
        let near = &mut shards[0].shard;
        let refused = match near.handling.endpoint.poll_output() {
            Some(Output::Delivery(refused)) => refused,
            other => panic!("not an answer: {other:?}"),
        };
        assert_eq!(refused.exchange, third);
        let unavailable = Some(Category::Unavailable { retry_after_s: 1 });
        assert!(matches!(refused.part, Part::Final { refused, .. } if refused == unavailable));
        near.deliver_all();
        near.flush_lanes();
        let arrived = shards[1].messages();
        let [ShardMessage::Forward(gone)] = &arrived[..] else {
            panic!("one message: {arrived:?}");
        };
        assert_eq!(gone.exchange, second);
        assert!(matches!(gone.kind, ForwardedKind::StreamGone));
    });
}

#[test]
fn a_slow_call_begins_its_answer_in_time_and_is_kept_alive() {
    let change = |setup: &mut Setup| {
        setup.profile.calls.slow_after_ms = 10_000;
        setup.profile.streams.keep_alive_ms = 15_000;
    };
    with_shard(change, async |shard| {
        let (client, key) = shard.client().await;
        client.sends(&client.call_with_progress("wait", json!({})));
        shard.settle().await;
        for (silent_ms, sends_after_ms) in [(9900, 200), (14_800, 300)] {
            shard.advance(silent_ms).await;
            assert_eq!(client.received_text(), "");
            shard.advance(sends_after_ms).await;
            assert_ne!(client.received_text(), "", "after {silent_ms} ms");
        }
        assert_eq!(shard.phase(key), Some(Phase::Streaming));
    });
}

#[test]
fn a_call_whose_client_reads_again_goes_on_however_many_others_have_stalled() {
    const BYTES: usize = 1000;
    let change = |setup: &mut Setup| {
        setup.profile.connection.output_bytes_max = BYTES;
    };
    with_shard(change, async |shard| {
        let mut clients = Vec::new();
        for _ in 0..STALLED {
            let (client, key) = shard.client().await;
            client.takes(0);
            clients.push((client, key));
        }
        for (client, _) in &clients {
            let steps = json!({"steps": [1.0], "waits": true});
            client.sends(&client.call_with_progress("steps", steps));
        }
        // The calls begin, and have events, before anything is sent to their peers.
        while shard.count(Counter::CallsInFlight) < STALLED as u64 {
            shard.shard.enter(true).expect("the model never fails");
            shard.shard.handle_completions();
        }
        for (_, key) in &clients {
            shard.sends(*key, BYTES);
        }
        shard.settle().await;
        assert_eq!(shard.shard.stalled.len(), STALLED);
        let (reader, key) = &clients[STALLED - 1];
        reader.takes(usize::MAX);
        // The shard does not sleep before the reader has its event.
        shard.settle().await;
        let streams = |key: &SlotKey| shard.phase(*key) == Some(Phase::Streaming);
        let streaming = clients
            .iter()
            .map(|(_, key)| key)
            .filter(|key| streams(key));
        assert_eq!(streaming.collect::<Vec<_>>(), [key]);
        assert!(reader.received_text().contains("notifications/progress"));
    });
}

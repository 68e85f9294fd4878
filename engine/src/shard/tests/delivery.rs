//! Messages of one shard to another, and their effects there.

use corelane_protocol::binding::refusal::Category;
use serde_json::{Value, json};

use super::test_shard::TestShard;
use crate::connection::http::Phase;
use crate::mcp::tests::test_endpoint::{MODERN, claim, on_executor, request};
use crate::mcp::{
    Delivery, Exchange, Forwarded, ForwardedKind, Opening, Output, Part, SessionId, StreamOf,
    StreamOwner,
};
use crate::shard::ShardMessage;
use corelane_io::executor::yield_now;

/// More than are looked at in one turn.
const STALLED: u32 = 600;

/// A modern call of `tool` with a progress token.
fn call(tool: &str, arguments: Value) -> String {
    let mut params = json!({"name": tool, "arguments": arguments, "_meta": claim()});
    params["_meta"]["progressToken"] = json!("p");
    let body = request(1, "tools/call", params);
    let length = body.len();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         {MODERN}Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn answer(exchange: Exchange) -> Delivery {
    Delivery::answer(exchange, b"{}".to_vec())
}

fn pair(lane_messages: usize) -> Vec<TestShard> {
    TestShard::several(2, |profile| {
        profile.lanes.reply = lane_messages;
        profile.lanes.request = lane_messages;
    })
}

#[test]
fn each_answer_to_another_shard_arrives_once_though_its_lane_is_full() {
    let mut shards = pair(1);
    let key = shards[0].insert(3);
    let mut exchange = shards[0].exchange(key);
    let (near, far) = shards.split_at_mut(1);
    let mut arrived = Vec::new();
    for sequence in 0..5 {
        exchange.sequence = sequence;
        far[0]
            .shard
            .handling
            .endpoint
            .queue_delivery(answer(exchange));
    }
    for _ in 0..10 {
        far[0].shard.deliver_all();
        far[0].shard.flush_lanes();
        arrived.extend(near[0].messages().into_iter().map(|message| match message {
            ShardMessage::Deliver(delivery) => delivery.exchange.sequence,
            other => panic!("not an answer: {other:?}"),
        }));
    }
    assert_eq!(arrived, [0, 1, 2, 3, 4]);
    assert!(far[0].shard.overflow.is_empty());
}

#[test]
fn an_answer_to_an_earlier_request_is_dropped() {
    on_executor(async {
        let mut shards = pair(8);
        let key = shards[0].insert(3);
        shards[0].receive(key, &call("wait", json!({})));
        assert_eq!(shards[0].phase(key), Some(Phase::Waiting));
        let current = shards[0].exchange(key);
        for (sequence, is_answered) in [(current.sequence - 1, false), (current.sequence, true)] {
            let exchange = Exchange {
                sequence,
                ..current
            };
            shards[1]
                .shard
                .handling
                .endpoint
                .queue_delivery(answer(exchange));
            shards[1].shard.deliver_all();
            shards[1].shard.flush_lanes();
            assert!(shards[0].shard.handle_messages());
            let connection = shards[0].shard.slots.get(key).expect("it is open");
            assert_eq!(connection.is_sending(), is_answered);
            assert_eq!(connection.phase == Phase::Idle, is_answered);
        }
    });
}

#[test]
fn a_stream_that_is_gone_is_not_overtaken_by_the_next_one_of_its_session() {
    let mut shards = pair(1);
    let session = SessionId { home: 1, random: 1 };
    let owner = StreamOwner::Session(StreamOf {
        session,
        ends_with_answer: false,
    });
    let [first, second, third] = [3, 4, 5].map(|index| {
        let key = shards[0].insert(index);
        shards[0].exchange(key)
    });
    // The second finds the lane full. It has capacity when the third stream is opened.
    shards[0].shard.stream_gone(owner, first);
    shards[0].shard.stream_gone(owner, second);
    shards[0].shard.flush_lanes();
    assert_eq!(shards[1].messages().len(), 1);
    let opening = Forwarded {
        exchange: third,
        session,
        id: None,
        revision: None,
        caller_info: None,
        kind: ForwardedKind::OpenStream(Opening::Fresh),
    };
    shards[0]
        .shard
        .handling
        .forwards
        .push((1, Box::new(opening)));
    shards[0].shard.send_forwards();
    shards[0].shard.flush_lanes();
    let arrived = shards[1].messages();
    assert!(
        arrived.is_empty(),
        "the second stream comes first: {arrived:?}"
    );
    // Its client is refused as by a full lane, and may try again.
    let refused = match shards[0].shard.handling.endpoint.poll_output() {
        Some(Output::Delivery(refused)) => refused,
        other => panic!("not an answer: {other:?}"),
    };
    assert_eq!(refused.exchange, third);
    let unavailable = Some(Category::Unavailable);
    assert!(matches!(refused.part, Part::Final { refused, .. } if refused == unavailable));
    shards[0].shard.deliver_all();
    shards[0].shard.flush_lanes();
    let arrived = shards[1].messages();
    let [ShardMessage::Forward(gone)] = &arrived[..] else {
        panic!("one message: {arrived:?}");
    };
    assert_eq!(gone.exchange, second);
    assert!(matches!(gone.kind, ForwardedKind::StreamGone));
}

#[test]
fn a_slow_call_begins_its_answer_in_time_and_is_kept_alive() {
    on_executor(async {
        let mut shard = TestShard::single(|profile| {
            profile.calls.slow_after_ms = 10_000;
            profile.streams.keep_alive_ms = 15_000;
        });
        let key = shard.insert(3);
        shard.receive(key, &call("wait", json!({})));
        for (silent_until_ms, sends_at_ms) in [(9_900, 10_100), (25_000, 25_150)] {
            shard.advance_to(silent_until_ms);
            let is_sending = |shard: &TestShard| {
                let connection = shard.shard.slots.get(key).expect("it is open");
                connection.is_sending()
            };
            assert!(!is_sending(&shard), "{silent_until_ms} ms");
            shard.advance_to(sends_at_ms);
            assert!(is_sending(&shard), "{sends_at_ms} ms");
            shard.take(key, 1, 1);
        }
        assert_eq!(shard.phase(key), Some(Phase::Streaming));
    });
}

#[test]
fn a_call_whose_client_reads_again_goes_on_however_many_others_have_stalled() {
    const BYTES: usize = 1000;
    on_executor(async {
        let mut shard = TestShard::single(|profile| profile.connection.output_bytes_max = BYTES);
        let steps = call("steps", json!({"steps": [1.0], "waits": true}));
        let keys: Vec<_> = (0..STALLED)
            .map(|index| {
                let key = shard.insert_sending(index, BYTES);
                // Sent before the peer stopped reading.
                let connection = shard.shard.slots.get_mut(key).expect("it is open");
                let held = std::mem::take(&mut connection.sending_bytes);
                shard.receive(key, &steps);
                let connection = shard.shard.slots.get_mut(key).expect("it is open");
                connection.sending_bytes = held;
                key
            })
            .collect();
        yield_now().await;
        assert!(shard.shard.handle_call_events());
        assert_eq!(shard.shard.stalled.len(), keys.len());
        let reader = keys[keys.len() - 1];
        shard.take(reader, BYTES, BYTES);
        // The shard does not sleep before the reader has its event.
        for _ in 0..STALLED {
            if shard.shard.has_work() {
                shard.shard.handle_call_events();
            }
        }
        let streaming = keys
            .iter()
            .filter(|key| shard.phase(**key) == Some(Phase::Streaming));
        assert_eq!(streaming.collect::<Vec<_>>(), [&reader]);
        assert!(!shard.shard.has_work(), "the others wait for their readers");
    });
}

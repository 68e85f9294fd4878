//! Broadcasts to readers of every speed.

use std::collections::HashMap;
use std::io::Write;
use std::rc::Rc;

use corelane_io::slots::SlotKey;
use corelane_protocol::mcp::subscription::ListKind;
use serde_json::json;
use socket2::SockRef;

use super::test_shard::{TestShard, chunk};
use crate::catalog::pending_updates::Changes;
use crate::connection::http::Phase;
use crate::mcp::tests::test_endpoint::{MODERN, claim, on_executor, request};
use crate::meter::Counter;
use crate::shard::ShardMessage;

/// A `subscriptions/listen` for changes of the list of tools.
pub(super) fn listen() -> String {
    let params = json!({"notifications": {"toolsListChanged": true}, "_meta": claim()});
    let body = request(1, "subscriptions/listen", params);
    let length = body.len();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         {MODERN}Mcp-Method: subscriptions/listen\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// The list of tools changes, and every subscription gets the change.
fn broadcast(shard: &mut TestShard) {
    let mut changes = Changes::default();
    changes.lists.insert(ListKind::Tools);
    shard.shard.handling.endpoint.handle_changes(changes);
    while shard.shard.handling.endpoint.has_broadcasts() {
        shard.shard.handling.endpoint.continue_broadcasts();
        shard.shard.deliver_all();
    }
}

/// Lets the peer of a connection take all it is sent; returns how many sends that took.
fn take_all(shard: &mut TestShard, key: SlotKey) -> usize {
    let mut sends = 0;
    while is_sending(shard, key) {
        shard.take(key, 1, 1);
        sends += 1;
    }
    sends
}

fn is_sending(shard: &TestShard, key: SlotKey) -> bool {
    let connection = shard.shard.slots.get(key).expect("it is open");
    connection.is_sending()
}

#[test]
fn a_reader_that_stops_costs_nothing_and_gets_the_last_change() {
    let mut shard = TestShard::single(|_| ());
    let [slow, fast] = [3, 4].map(|index| {
        let key = shard.insert(index);
        shard.receive(key, &listen());
        shard.shard.deliver_all();
        take_all(&mut shard, key);
        key
    });
    broadcast(&mut shard);
    let held_bytes = shard.shard.handling.output_bytes;
    for _ in 0..1000 {
        assert_eq!(take_all(&mut shard, fast), 1, "each change at once");
        broadcast(&mut shard);
    }
    assert!(shard.phase(slow).is_some());
    assert_eq!(shard.shard.handling.output_bytes, held_bytes);
    // The first change that it did not take, and the last one.
    assert_eq!(take_all(&mut shard, slow), 2);
}

#[test]
fn broadcasts_to_another_shard_wait_while_its_lane_is_full_and_reach_every_stream() {
    const STREAMS: u32 = 20;
    let mut shards = TestShard::several(2, |profile| {
        profile.lanes.request = 1;
        profile.lanes.reply = 1;
    });
    let (near, home) = shards.split_at_mut(1);
    let (near, home) = (&mut near[0], &mut home[0]);
    for index in 1..=STREAMS {
        let (key, session) = (near.insert(index), home.session());
        let open = "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n";
        near.receive(key, &format!("{open}{session}\r\n"));
        near.shard.flush_lanes();
        home.shard.handle_messages();
        home.shard.deliver_all();
        home.shard.flush_lanes();
        near.shard.handle_messages();
        assert_eq!(near.phase(key), Some(Phase::Streaming));
    }
    for _ in 0..1000 {
        let mut changes = Changes::default();
        changes.lists.insert(ListKind::Tools);
        home.shard.handling.endpoint.handle_changes(changes);
        home.shard.handle_changes();
        home.shard.deliver_all();
    }
    // One broadcast is on its way, and one more waits behind it.
    let mut arrived: HashMap<u32, usize> = HashMap::new();
    for _ in 0..1000 {
        home.shard.handle_changes();
        home.shard.deliver_all();
        home.shard.flush_lanes();
        for message in near.messages() {
            let ShardMessage::Deliver(delivery) = message else {
                panic!("not a part of a stream: {message:?}");
            };
            *arrived.entry(delivery.exchange.slot.index).or_default() += 1;
        }
    }
    assert!(!home.shard.has_work(), "all of it has been sent");
    assert_eq!(arrived.len(), STREAMS as usize);
    assert!(arrived.values().all(|times| *times <= 2), "{arrived:?}");
}

#[test]
fn a_reader_that_takes_every_change_has_its_whole_time_for_the_next() {
    let mut shard = TestShard::single(|profile| profile.connection.write_timeout_ms = 10_000);
    let key = shard.insert(3);
    shard.receive(key, &listen());
    shard.shard.deliver_all();
    take_all(&mut shard, key);
    broadcast(&mut shard);
    // One change is always on its way while the next one waits.
    for second in 1..=40 {
        shard.advance_to(second * 1000);
        broadcast(&mut shard);
        shard.take(key, 1, 1);
        assert!(is_sending(&shard, key), "{second} s");
    }
    shard.advance_to(49_900);
    assert!(shard.phase(key).is_some());
    shard.advance_to(50_100);
    assert_eq!(shard.phase(key), None);
}

#[test]
fn a_peer_that_reads_nothing_is_noticed_before_the_kernel_holds_much_for_it() {
    on_executor(async {
        let mut shard = TestShard::single(|_| ());
        let mut client = shard.connect();
        let small = SockRef::from(&client).set_recv_buffer_size(4096);
        small.expect("a socket that is open");
        client
            .write_all(listen().as_bytes())
            .expect("a peer that reads");
        let meter = Rc::clone(&shard.shard.handling.meter);
        shard.turn_until(|_| meter.value(Counter::StreamsOpen) == 1);
        let key = shard.shard.slots.keys().next().expect("one connection");
        // More than the kernel takes by itself, were all of it sent.
        for _ in 0..50_000 {
            broadcast(&mut shard);
            if !is_sending(&shard, key) {
                continue;
            }
            shard.shard.enter(true).expect("the ring works");
            shard.shard.turn().expect("the ring works");
        }
        assert!(is_sending(&shard, key), "the last change waits");
        let sent = shard.count(Counter::BytesOut);
        assert!(sent < 256 * 1024, "the kernel has taken {sent} bytes");
    });
}

#[test]
fn a_change_that_the_newest_stream_of_a_session_does_not_take_goes_to_the_next() {
    let mut shard = TestShard::single(|profile| profile.connection.output_bytes_max = 1000);
    let session = shard.session();
    let request = format!(
        "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{session}\r\n"
    );
    let [older, newer] = [3, 4].map(|index| {
        let key = shard.insert(index);
        shard.receive(key, &request);
        assert_eq!(shard.phase(key), Some(Phase::Streaming));
        key
    });
    take_all(&mut shard, older);
    // So much waits behind what the peer of the newer one does not take.
    shard.shard.finish_step(newer, Some(chunk(2000)));
    assert!(!is_sending(&shard, older));
    broadcast(&mut shard);
    assert_eq!(shard.phase(newer), None, "it is given up");
    assert!(is_sending(&shard, older), "the change");
}

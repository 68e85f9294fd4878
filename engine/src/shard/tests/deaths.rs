//! A shard and the death of another one. The model lets the other one live, so that its late
//! answers come as well.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;

use super::client::Client;
use super::test_shard::{Setup, TestShard, settle_all, with_shards};
use crate::connection::http::Phase;
use crate::mcp::tests::test_endpoint::request;
use crate::meter::Counter;

fn no_change(_: &mut Setup) {}

/// Sends a call of `session` that waits at the gate.
fn waits(client: &Client, session: &str) {
    let params = json!({ "name": "wait", "arguments": {} });
    let headers = format!("{session}Accept: application/json\r\n");
    client.sends(&client.post(&headers, &request(1, "tools/call", params)));
}

/// The second shard died, and each shard looks.
async fn second_dies(shards: &mut [TestShard]) {
    let lives = Arc::clone(shards[0].shard.deaths.lives());
    lives.record_death(1);
    settle_all(shards).await;
}

#[test]
fn requests_that_were_forwarded_to_a_dead_shard_are_refused_and_others_go_on() {
    with_shards(2, no_change, async |shards| {
        let (own, of_dead) = (shards[0].session().await, shards[1].session().await);
        let (lost, lost_key) = shards[0].client().await;
        let (stays, stays_key) = shards[0].client().await;
        waits(&lost, &of_dead);
        waits(&stays, &own);
        settle_all(shards).await;
        assert_eq!(shards[0].gate.inside(), 2);

        second_dies(shards).await;
        let text = lost.received_text();
        assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
        assert!(text.contains("begin a new session"), "{text}");
        assert_eq!(shards[0].phase(lost_key), Some(Phase::Idle));
        assert_eq!(shards[0].phase(stays_key), Some(Phase::Waiting));

        // The answer of the earlier life finds no request; that of the own session does.
        shards[0].gate.open();
        settle_all(shards).await;
        assert_eq!(lost.received_text(), "");
        let text = stays.received_text();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    });
}

#[test]
fn a_stream_of_a_session_that_lived_on_a_dead_shard_ends() {
    with_shards(2, no_change, async |shards| {
        let (own, of_dead) = (shards[0].session().await, shards[1].session().await);
        let (lost, lost_key) = shards[0].client().await;
        let (stays, stays_key) = shards[0].client().await;
        lost.opens_stream(&of_dead);
        stays.opens_stream(&own);
        settle_all(shards).await;
        for key in [lost_key, stays_key] {
            assert_eq!(shards[0].phase(key), Some(Phase::Streaming));
        }
        second_dies(shards).await;
        assert!(lost.received_text().ends_with("0\r\n\r\n"));
        assert_eq!(shards[0].phase(lost_key), Some(Phase::Idle));
        assert_eq!(shards[0].phase(stays_key), Some(Phase::Streaming));
    });
}

#[test]
fn more_requests_than_end_in_one_turn_are_all_refused() {
    const CLIENTS: usize = 300;
    with_shards(2, no_change, async |shards| {
        let of_dead = shards[1].session().await;
        let clients: Vec<Client> = (0..CLIENTS).map(|_| shards[0].connect()).collect();
        settle_all(shards).await;
        for client in &clients {
            waits(client, &of_dead);
        }
        settle_all(shards).await;
        assert_eq!(shards[0].gate.inside(), CLIENTS);
        second_dies(shards).await;
        for client in clients {
            let text = client.received_text();
            assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
        }
        shards[0].gate.open();
    });
}

#[test]
fn requests_for_a_shard_that_is_down_are_refused_at_once() {
    with_shards(2, no_change, async |shards| {
        let of_dead = shards[1].session().await;
        drop(shards[1].shard.announcement.take());
        let (client, _) = shards[0].client().await;
        waits(&client, &of_dead);
        shards[0].settle().await;
        let text = client.received_text();
        assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
        assert!(text.contains("is being restarted"), "{text}");
        assert_eq!(shards[1].messages().len(), 0);
        assert_eq!(shards[0].count(Counter::LanesFull), 0);
    });
}

#[test]
fn no_shard_is_ready_while_another_one_is_down_or_the_server_is_to_drain() {
    with_shards(2, no_change, async |shards| {
        let (client, _) = shards[0].client().await;
        let check = async |shards: &mut [TestShard], status: u16, condition: &str| {
            client.sends(b"GET /ready HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n");
            shards[0].settle().await;
            let text = client.received_text();
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
            assert!(text.contains(condition), "{text}");
        };
        check(shards, 200, "ready").await;
        let announcement = shards[1].shard.announcement.take();
        drop(announcement);
        check(shards, 503, "[\"shard_down\"]").await;
        let control = &shards[1].shard.control;
        control.readiness.shards_down.store(0, Ordering::Relaxed);
        control.begin_notice();
        check(shards, 503, "[\"draining\"]").await;
    });
}

#[test]
fn a_session_gives_up_its_stream_to_a_connection_of_a_dead_shard() {
    with_shards(2, no_change, async |shards| {
        let of_first = shards[0].session().await;
        let (client, _) = shards[1].client().await;
        client.opens_stream(&of_first);
        settle_all(shards).await;
        let open_streams = |shard: &TestShard| shard.shard.handling.endpoint.open_streams();
        assert_eq!(open_streams(&shards[0]), 1);
        second_dies(shards).await;
        assert_eq!(open_streams(&shards[0]), 0);
    });
}

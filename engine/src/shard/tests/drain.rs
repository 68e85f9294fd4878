//! The end of a shard.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::test_shard::{DRAIN_TIMEOUT_MS, Setup, settle_all, with_shard, with_shards};
use crate::mcp::tests::test_endpoint::request;
use crate::meter::Counter;
use crate::shard::drain::LAST_OUTPUT_MS;

#[test]
fn a_shard_that_has_drained_has_no_open_connection() {
    const CLIENTS: usize = 40;
    // Far fewer completions a turn than connections that end at once.
    let change = |setup: &mut Setup| {
        setup.profile.budget.completions_per_turn = 4;
        setup.profile.connection.linger_timeout_ms = 0;
    };
    with_shard(change, async |shard| {
        for _ in 0..CLIENTS {
            let (listening, _) = shard.client().await;
            listening.listens();
            shard.client().await;
        }
        shard.settle().await;
        assert_eq!(shard.count(Counter::StreamsOpen), CLIENTS as u64);
        shard.shard.control.begin_drain();
        // Their connections linger until the next tick of the timing wheel.
        shard.settle().await;
        shard.advance(100).await;
        assert!(shard.turn().await.has_drained);
        assert_eq!(shard.count(Counter::ConnectionsOpen), 0);
        assert_eq!(shard.count(Counter::ConnectionsClosed), 2 * CLIENTS as u64);
        assert_eq!(shard.count(Counter::OutputBytes), 0);
        assert!(shard.network.accepts().is_empty());
        // Nothing is left to be done by clients.
        shard.check_given_back();
        // No other shard wakes a ring that is about to go.
        assert_eq!(shard.shard.ring_fds[0].load(Ordering::Relaxed), -1);
    });
}

#[test]
fn a_draining_shard_answers_what_it_has_received_and_waits_for_calls() {
    with_shard(
        |_| (),
        async |shard| {
            let ((calling, _), (reading, _)) = (shard.client().await, shard.client().await);
            let ((idle, _), (listening, _)) = (shard.client().await, shard.client().await);
            listening.listens();
            calling.calls("wait", json!({}));
            let echo = reading.call("echo", json!({"message": "late"}));
            reading.sends(&echo[..20]);
            shard.settle().await;
            shard.shard.control.begin_drain();
            shard.settle().await;
            // An idle connection is closed at once, and a stream with its end.
            assert_eq!(idle.descriptor(), None);
            assert!(listening.received_text().ends_with("0\r\n\r\n"));
            listening.finishes();
            shard.settle().await;
            assert_eq!(shard.connections(), 2);
            reading.sends(&echo[20..]);
            shard.settle().await;
            let answer = reading.received_text();
            assert!(answer.contains("onnection: close"), "{answer}");
            shard.gate.open();
            shard.settle().await;
            let answer = calling.received_text();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            // They linger until their peers have seen the answers.
            calling.finishes();
            reading.finishes();
            shard.settle().await;
            assert!(shard.turn().await.has_drained);
        },
    );
}

/// The text of the error of a call that the drain ended.
const CUT: &str = "calls in flight get 10000 ms to end (server.drain_timeout_ms)";

fn long_calls(setup: &mut Setup) {
    setup.profile.calls.timeout_ms = 2 * DRAIN_TIMEOUT_MS;
    setup.profile.connection.head_timeout_ms = 4 * DRAIN_TIMEOUT_MS;
    setup.profile.connection.write_timeout_ms = 4 * DRAIN_TIMEOUT_MS;
}

#[test]
fn a_drain_answers_calls_at_its_deadline_with_an_error_that_names_the_limit() {
    with_shard(long_calls, async |shard| {
        let ((client, _), (late, _)) = (shard.client().await, shard.client().await);
        client.calls("wait", json!({}));
        let wait = late.call("wait", json!({}));
        late.sends(&wait[..20]);
        shard.settle().await;
        shard.shard.control.begin_drain();
        shard.settle().await;
        shard.advance(DRAIN_TIMEOUT_MS - 1).await;
        assert_eq!(client.received_text(), "");
        assert!(!shard.turn().await.has_drained);
        shard.advance(1).await;
        let answer = client.received_text();
        assert!(answer.contains(CUT), "{answer}");
        // A call that comes after that is answered in the same way.
        late.sends(&wait[20..]);
        shard.settle().await;
        let answer = late.received_text();
        assert!(answer.contains(CUT), "{answer}");
        client.finishes();
        late.finishes();
        shard.settle().await;
        assert!(shard.turn().await.has_drained);
    });
}

#[test]
fn a_call_of_another_shard_is_answered_at_the_deadline_too() {
    with_shards(2, long_calls, async |shards| {
        let session = shards[1].session().await;
        let client = shards[0].connect();
        settle_all(shards).await;
        let params = json!({"name": "wait", "arguments": {}});
        let headers = format!("{session}Accept: application/json\r\n");
        client.sends(&client.post(&headers, &request(1, "tools/call", params)));
        settle_all(shards).await;
        for shard in &mut *shards {
            shard.shard.control.begin_drain();
        }
        settle_all(shards).await;
        for shard in &mut *shards {
            shard.pass(DRAIN_TIMEOUT_MS);
        }
        settle_all(shards).await;
        let answer = client.received_text();
        assert!(answer.contains(CUT), "{answer}");
    });
}

#[test]
fn a_client_that_does_not_read_delays_a_drain_by_the_time_for_the_last_output() {
    with_shard(long_calls, async |shard| {
        let (client, _) = shard.client().await;
        client.takes(0);
        client.calls("wait", json!({}));
        shard.settle().await;
        shard.shard.control.begin_drain();
        shard.settle().await;
        shard.advance(DRAIN_TIMEOUT_MS).await;
        shard.advance(LAST_OUTPUT_MS - 1).await;
        assert!(!shard.turn().await.has_drained);
        shard.pass(1);
        assert!(shard.turn().await.has_drained);
    });
}

#[test]
fn a_drain_whose_time_is_over_elsewhere_answers_calls_at_once() {
    with_shard(long_calls, async |shard| {
        let (client, _) = shard.client().await;
        client.calls("wait", json!({}));
        shard.settle().await;
        let control = &shard.shard.control;
        control.is_overdue.store(true, Ordering::Relaxed);
        control.begin_drain();
        shard.settle().await;
        let answer = client.received_text();
        assert!(answer.contains(CUT), "{answer}");
    });
}

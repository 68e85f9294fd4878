//! How a connection receives.

use serde_json::json;

use super::client::Client;
use super::departures::streamed_client;
use super::test_shard::{Setup, TestShard, with_shard};
use crate::connection::http::RecvMode;
use crate::meter::Counter;
use corelane_io::ring::fake::Operation::{RecvMultishot, Watch};
use corelane_io::slots::SlotKey;

const QUIET_AFTER_MS: u64 = 1000;

fn quiet(setup: &mut Setup) {
    setup.profile.connection.quiet_after_ms = QUIET_AFTER_MS;
}

/// The client calls and is answered.
async fn check_answered(shard: &mut TestShard, client: &Client) {
    client.calls("echo", json!({"message": "hello"}));
    shard.settle().await;
    assert!(client.received().starts_with(b"HTTP/1.1 200 "));
}

/// Checks how the shard reads, and the operations under way.
#[track_caller]
fn check_reads(shard: &TestShard, key: SlotKey, mode: RecvMode) {
    assert_eq!(shard.connection(key).reading, mode);
    let operation = match mode {
        RecvMode::Poll | RecvMode::PollThenMultishot => Watch,
        RecvMode::Multishot | RecvMode::Cancelling => RecvMultishot,
    };
    assert_eq!(shard.network.operations_on(key.index), [operation]);
}

#[test]
fn a_connection_is_streamed_from_its_second_request_until_it_has_been_quiet() {
    with_shard(quiet, async |shard| {
        let (client, key) = shard.client().await;
        check_reads(shard, key, RecvMode::Poll);
        check_answered(shard, &client).await;
        check_reads(shard, key, RecvMode::PollThenMultishot);
        check_answered(shard, &client).await;
        check_reads(shard, key, RecvMode::Multishot);
        shard.advance(QUIET_AFTER_MS - 100).await;
        check_answered(shard, &client).await;
        shard.advance(QUIET_AFTER_MS - 100).await;
        check_reads(shard, key, RecvMode::Multishot);
        shard.advance(200).await;
        check_reads(shard, key, RecvMode::Poll);
        check_answered(shard, &client).await;
    });
}

#[test]
fn a_request_after_a_quiet_time_leads_to_no_stream() {
    with_shard(quiet, async |shard| {
        let (client, key) = shard.client().await;
        for _ in 0..3 {
            check_answered(shard, &client).await;
            check_reads(shard, key, RecvMode::PollThenMultishot);
            shard.advance(QUIET_AFTER_MS + 100).await;
            check_reads(shard, key, RecvMode::Poll);
        }
    });
}

#[test]
fn what_a_stream_brings_between_its_stop_and_its_end_is_answered() {
    with_shard(quiet, async |shard| {
        let (client, key) = streamed_client(shard).await;
        shard.network.hold(RecvMultishot);
        client.calls("echo", json!({"message": "late"}));
        // The bytes are received, the end of the stream behind them, and neither is seen.
        shard.advance(QUIET_AFTER_MS + 100).await;
        check_reads(shard, key, RecvMode::Cancelling);
        shard.network.release();
        shard.settle().await;
        assert!(client.received().starts_with(b"HTTP/1.1 200 "));
        assert!(shard.network.operations_on(key.index).contains(&Watch));
        check_answered(shard, &client).await;
    });
}

#[test]
fn a_stream_that_ends_for_want_of_a_buffer_loses_nothing() {
    with_shard(quiet, async |shard| {
        let (client, key) = streamed_client(shard).await;
        shard.network.fail_next(RecvMultishot, libc::ENOBUFS);
        check_answered(shard, &client).await;
        assert_eq!(shard.count(Counter::RingBuffersExhausted), 0);
        check_reads(shard, key, RecvMode::Multishot);
    });
}

#[test]
fn a_connection_whose_stream_ended_without_bytes_has_its_whole_idle_time() {
    let change = |setup: &mut Setup| {
        quiet(setup);
        setup.profile.connection.idle_timeout_ms = 10 * QUIET_AFTER_MS;
    };
    with_shard(change, async |shard| {
        let (client, key) = streamed_client(shard).await;
        shard.network.fail_next(RecvMultishot, libc::ENOBUFS);
        // The kernel looks at the connection without new bytes.
        client.takes(usize::MAX);
        shard.settle().await;
        check_reads(shard, key, RecvMode::Multishot);
        shard.advance(9 * QUIET_AFTER_MS).await;
        assert!(shard.phase(key).is_some());
        check_answered(shard, &client).await;
    });
}

#[test]
fn a_stream_that_the_kernel_ends_goes_on_as_a_watch() {
    with_shard(quiet, async |shard| {
        let (client, key) = streamed_client(shard).await;
        shard.network.end_next(RecvMultishot);
        check_answered(shard, &client).await;
        check_reads(shard, key, RecvMode::Poll);
        check_answered(shard, &client).await;
    });
}

#[test]
fn a_connection_whose_output_is_not_taken_is_streamed_no_more() {
    let change = |setup: &mut Setup| setup.profile.connection.output_bytes_max = 1000;
    with_shard(change, async |shard| {
        let (client, key) = streamed_client(shard).await;
        client.takes(0);
        let echo = client.call("echo", json!({"message": "x"}));
        client.sends(&echo.repeat(20));
        shard.settle().await;
        assert_eq!(shard.connection(key).reading, RecvMode::Poll);
        let under_way = shard.network.operations_on(key.index);
        assert!(!under_way.contains(&RecvMultishot), "{under_way:?}");
        client.takes(usize::MAX);
        shard.settle().await;
        assert_eq!(client.received_text().matches("HTTP/1.1 200 ").count(), 20);
    });
}

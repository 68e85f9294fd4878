//! Deadlines of connections and calls, on a clock that the test moves.

use std::time::Duration;

use serde_json::json;

use super::test_shard::{Setup, with_shard};
use crate::meter::Counter;
use corelane_io::ring::fake::PeerEnd;

#[test]
fn a_connection_that_lingers_is_closed_when_its_time_is_over() {
    let change = |setup: &mut Setup| setup.profile.connection.linger_timeout_ms = 60_000;
    with_shard(change, async |shard| {
        let (client, _) = shard.client().await;
        client.sends(b"nonsense\r\n\r\n");
        shard.settle().await;
        assert!(client.received().starts_with(b"HTTP/1.1 400 "));
        // The end of sending; the client keeps its side open.
        assert_eq!(client.end(), Some(PeerEnd::Finished));
        shard.advance(59_900).await;
        assert_eq!(shard.connections(), 1);
        shard.advance(200).await;
        assert_eq!(shard.connections(), 0);
    });
}

#[test]
fn a_shard_parks_no_longer_than_until_the_next_deadline() {
    // The shortest of each: of a connection, and of a call.
    let change = |setup: &mut Setup| {
        setup.profile.connection.head_timeout_ms = 100;
        setup.profile.calls.timeout_ms = 100;
    };
    with_shard(change, async |shard| {
        let long = shard.shard.time_until_due();
        assert_eq!(long, Duration::from_secs(1));
        let (client, _) = shard.client().await;
        client.sends(b"POST /mcp");
        shard.settle().await;
        // A wheel of ticks of 50 ms is late by no more than one.
        assert!(shard.shard.time_until_due() <= Duration::from_millis(150));
        client.resets();
        shard.settle().await;
        assert_eq!(shard.shard.time_until_due(), long);

        let (client, _) = shard.client().await;
        client.calls("wait", json!({}));
        shard.settle().await;
        assert_eq!(shard.gate.inside(), 1);
        assert!(shard.shard.time_until_due() <= Duration::from_millis(150));
        shard.advance(200).await;
        assert_eq!(shard.count(Counter::TimeoutsCall), 1);
        assert_eq!(shard.gate.inside(), 0);
    });
}

#[test]
fn each_part_of_a_request_has_a_deadline_of_its_own_and_so_has_a_connection_without_one() {
    let change = |setup: &mut Setup| {
        let connection = &mut setup.profile.connection;
        connection.head_timeout_ms = 1000;
        connection.body_timeout_ms = 2000;
        connection.idle_timeout_ms = 4000;
        connection.quiet_after_ms = 500;
    };
    with_shard(change, async |shard| {
        let head_bytes = |bytes: &[u8]| bytes.windows(4).position(|it| it == b"\r\n\r\n");
        for (part, timeout_ms, counter) in [
            ("head", 1000, Counter::TimeoutsHead),
            ("body", 2000, Counter::TimeoutsBody),
            ("nothing", 4000, Counter::TimeoutsIdle),
        ] {
            let (client, key) = shard.client().await;
            let echo = client.call("echo", json!({"message": "x"}));
            let head_bytes = head_bytes(&echo).expect("a head ends") + 4;
            let bytes = match part {
                "head" => head_bytes - 1,
                "body" => echo.len() - 1,
                _ => echo.len(),
            };
            client.sends(&echo[..bytes]);
            shard.settle().await;
            client.received();
            shard.advance(timeout_ms - 1).await;
            assert_eq!(client.received_text(), "", "{part}");
            assert!(shard.phase(key).is_some(), "{part}");
            // A wheel of ticks of 50 ms is late by no more than one, and a quiet connection by two.
            shard.advance(101).await;
            assert_eq!(shard.count(counter), 1, "{part}");
            let is_refused = client.received().starts_with(b"HTTP/1.1 408 ");
            assert_eq!(is_refused, part != "nothing", "{part}");
        }
    });
}

//! Deadlines of connections and calls, on a clock that the test moves.

use std::time::Duration;

use serde_json::json;

use super::live_shard::{TestShard, with_shard};
use crate::meter::Counter;

#[test]
fn a_connection_that_lingers_is_closed_when_its_time_is_over() {
    let toml = "[server]\ndrain_timeout_ms = 60_000\n[connection]\nlinger_timeout_ms = 60_000";
    with_shard(toml, async |shard| {
        let (mut client, _) = shard.client().await;
        client.send(b"nonsense\r\n\r\n");
        // The answer and the end of sending; the client keeps its side open.
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            shard.turn().await;
            answer.extend(client.read());
        }
        assert!(answer.starts_with(b"HTTP/1.1 400 "));
        shard.pass_ms(59_000);
        shard.turn().await;
        assert_eq!(shard.connections(), 1);
        shard.pass_ms(2000);
        let is_closed = |it: &mut TestShard| it.connections() == 0;
        shard.turn_until("the end of lingering", is_closed).await;
    });
}

#[test]
fn a_shard_parks_no_longer_than_until_the_next_deadline() {
    // The shortest of each: of a connection, and of a call.
    let toml = "[connection]\nhead_timeout_ms = 100\n[calls]\ntimeout_ms = 100";
    with_shard(toml, async |shard| {
        let long = shard.shard.time_until_due();
        assert_eq!(long, Duration::from_secs(1));
        let (mut client, _) = shard.client().await;
        client.send(b"POST /mcp");
        shard
            .turn_until("part of a head", |it| it.count(Counter::BytesIn) > 0)
            .await;
        // A wheel of ticks of 50 ms is late by no more than one.
        assert!(shard.shard.time_until_due() <= Duration::from_millis(150));
        drop(client);
        let is_closed = |it: &mut TestShard| it.connections() == 0;
        shard.turn_until("a close", is_closed).await;
        assert_eq!(shard.shard.time_until_due(), long);

        let (mut client, _) = shard.client().await;
        let call = client.call("wait", json!({}));
        client.send(&call);
        shard
            .turn_until("the call", |it| it.gate.inside() == 1)
            .await;
        assert!(shard.shard.time_until_due() <= Duration::from_millis(150));
        shard.pass_ms(200);
        let is_over = |it: &mut TestShard| it.count(Counter::TimeoutsCall) == 1;
        shard.turn_until("the end of the call", is_over).await;
    });
}

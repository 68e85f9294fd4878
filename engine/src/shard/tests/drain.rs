//! The end of a shard.

use std::io::Write;
use std::sync::atomic::Ordering;

use serde_json::json;

use super::test_shard::TestShard;
use crate::mcp::tests::test_endpoint::{MODERN, claim, on_executor, request};
use crate::meter::Counter;

#[test]
fn a_shard_that_has_drained_has_no_open_connection() {
    const CLIENTS: u64 = 40;
    on_executor(async {
        // Far fewer completions a turn than connections that end at once.
        let mut shard = TestShard::single(|profile| {
            profile.budget.completions_per_turn = 4;
            profile.connection.linger_timeout_ms = 0;
        });
        let params = json!({"notifications": {"toolsListChanged": true}, "_meta": claim()});
        let body = request(1, "subscriptions/listen", params);
        let length = body.len();
        let listen = format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             {MODERN}Mcp-Method: subscriptions/listen\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let mut client = shard.connect();
                client
                    .write_all(listen.as_bytes())
                    .expect("a peer that reads");
                client
            })
            .collect();
        let meter = std::rc::Rc::clone(&shard.shard.handling.meter);
        shard.turn_until(|_| meter.value(Counter::StreamsOpen) == CLIENTS);
        shard.shard.control.drain.store(true, Ordering::Relaxed);
        shard.turn_until(|shard| shard.drain_step().expect("the ring works"));
        assert_eq!(shard.count(Counter::ConnectionsOpen), 0);
        assert_eq!(shard.count(Counter::ConnectionsClosed), CLIENTS);
        assert_eq!(shard.count(Counter::StreamsOpen), 0);
        assert_eq!(shard.count(Counter::OutputBytes), 0);
        drop(clients);
    });
}

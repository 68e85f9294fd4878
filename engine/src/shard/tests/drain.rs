//! The end of a shard.

use std::io::Write;
use std::sync::atomic::Ordering;

use super::broadcasts::listen;
use super::test_shard::TestShard;
use crate::mcp::tests::test_endpoint::on_executor;
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
        let listen = listen();
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

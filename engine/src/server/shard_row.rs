//! The figures of a shard as JSON, for the control socket.

use serde_json::{Value, json};

use crate::meter::Counter;
use crate::meter::shard_reading::ShardReading;

/// The figures of a shard.
pub(super) fn shard_row(number: usize, shard: &ShardReading) -> Value {
    let count = |counter| shard.counter(counter);
    let refused = [
        Counter::RefusedOverload,
        Counter::RefusedRate,
        Counter::RefusedCredential,
        Counter::RefusedAccess,
    ];
    let calls = [
        Counter::CallsOk,
        Counter::CallsFailed,
        Counter::CallsCancelled,
        Counter::CallsPanicked,
    ];
    json!({
        "shard": number,
        "up": shard.is_up,
        "stalled": shard.is_stalled,
        "stalls": shard.stalls,
        "restarts": shard.restarts,
        "counters_age_ms": shard.page_age_us().unwrap_or_default() / 1000,
        "cpu_ms": shard.cpu_ns.map(|cpu_ns| cpu_ns / 1_000_000),
        "connections": count(Counter::ConnectionsOpen),
        "connections_max": count(Counter::ConnectionsCapacity),
        "requests": count(Counter::RequestsLegacy) + count(Counter::RequestsModern),
        "refused": refused.map(count).iter().sum::<u64>(),
        "calls": calls.map(count).iter().sum::<u64>(),
        "calls_failed": count(Counter::CallsFailed) + count(Counter::CallsPanicked),
        "calls_in_flight": count(Counter::CallsInFlight),
        "sessions": count(Counter::SessionsOpen),
        "streams": count(Counter::StreamsOpen),
        "tasks": count(Counter::TasksKept),
        "memory_bytes": count(Counter::MemoryBytes),
        "delay_us": shard.delay_us(),
    })
}

//! Relations between two knobs.

use super::check;
use super::error::ProfileError;
use super::shard::{Budget, Ring};

/// So many times the first knob is at most the second one.
pub(super) const RELATIONS: &[(u64, &str, &str)] = &[
    // Some output of one connection must fit beside that of another.
    (
        2,
        "connection.output_bytes_max",
        "connection.output_bytes_per_shard_max",
    ),
    // The target is part of the head: a larger bound could never be reached.
    (1, "http.target_bytes_max", "http.head_bytes_max"),
    (
        1,
        "streams.kept_bytes_per_session_max",
        "streams.kept_bytes_max",
    ),
    (1, "tasks.per_owner_max", "tasks.per_shard_max"),
    (1, "tasks.ttl_default_ms", "tasks.ttl_max_ms"),
    (1, "tasks.result_bytes_max", "tasks.bytes_max"),
    // Each accepted request comes back as one reply.
    (1, "lanes.request", "lanes.reply"),
    // A shard drains its connections one linger each; a longer one would outlive the drain.
    (1, "connection.linger_timeout_ms", "server.drain_timeout_ms"),
    // All calls together have no more places.
    (1, "tools.in_flight_max", "calls.in_flight_max"),
    // Two of the largest requests must fit, or none of them ever would beside another.
    (2, "http.body_bytes_max", "connection.input_bytes_max"),
    (2, "lines.message_bytes_max", "connection.input_bytes_max"),
    (
        2,
        "websocket.message_bytes_max",
        "connection.input_bytes_max",
    ),
    // The arguments of one call must fit beside those of another.
    (2, "http.body_bytes_max", "calls.bytes_max"),
    (2, "lines.message_bytes_max", "calls.bytes_max"),
    (2, "websocket.message_bytes_max", "calls.bytes_max"),
    // A pipelined head must fit whole, or a connection could wait for itself.
    (1, "http.head_bytes_max", "connection.pipelined_bytes_max"),
    // The keep-alives of a stream show that an idle stream's peer is alive.
    (1, "streams.keep_alive_ms", "connection.idle_timeout_ms"),
    (1, "streams.keep_alive_ms", "sessions.idle_timeout_ms"),
];

/// The sizes of a ring fit each other and the budget of a turn; errors put `core` before the keys.
pub(super) fn check_turn(core: &str, budget: &Budget, ring: &Ring) -> Result<(), ProfileError> {
    let completions = u64::from(ring.completion_entries);
    let completion_entries = ("ring.completion_entries", completions);
    // io_uring_setup(2) refuses a completion queue smaller than the submission queue.
    let key = format!("{core}ring.submission_entries");
    check::at_most(
        1,
        (&key, u64::from(ring.submission_entries)),
        completion_entries,
    )?;
    // A turn cannot reap more completions than the ring can hold.
    let key = format!("{core}budget.completions_per_turn");
    check::at_most(
        1,
        (&key, u64::from(budget.completions_per_turn)),
        completion_entries,
    )
}

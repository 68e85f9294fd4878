//! Knobs of tasks: requests whose results are fetched later.

use serde::{Deserialize, Serialize};

use super::ProfileError;
use super::check::{DAY_MS, Section};

/// `[tasks]`: how many tasks there are, how long, and how much they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tasks {
    /// Tasks of a shard, 1 to 1,000,000; default 10,000. Past it the one that ended first goes;
    /// while all are running, another one is refused. A client has a share as of
    /// `calls.in_flight_max`; past that, one of its own goes.
    pub per_shard_max: usize,
    /// Tasks of one session or principal, 1 to 1,000,000 and at most `per_shard_max`; default 1000:
    /// no client takes the room of all others.
    pub per_owner_max: usize,
    /// Milliseconds a task is kept whose client does not say, counted from its creation, 1000 to
    /// 86,400,000; default 3,600,000: a result outlives a pause of its client. A handler that is
    /// at work when they are over is stopped.
    pub ttl_default_ms: u64,
    /// Milliseconds a task is kept at most, whatever its client says, 1000 to 86,400,000; default
    /// 86,400,000.
    pub ttl_max_ms: u64,
    /// Milliseconds between two looks at a task that clients are told to keep, 10 to 60,000;
    /// default 1000.
    pub poll_interval_ms: u64,
    /// Bytes of one result, and of anything else a task holds in one piece, 1 KiB to 1 GiB;
    /// default 16 MiB, the default of `http.body_bytes_max`. A larger result fails its task.
    pub result_bytes_max: usize,
    /// Bytes of all tasks of a shard together, 1 MiB to 2 GiB and at least `result_bytes_max`;
    /// default 256 MiB. Past it tasks that are over go.
    pub bytes_max: usize,
    /// Tasks that one `subscriptions/listen` may name, 0 to 1024; default 64: those that a client
    /// follows at once. A longer list is refused.
    pub per_listen_max: usize,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            per_shard_max: 10_000,
            per_owner_max: 1000,
            ttl_default_ms: 3_600_000,
            ttl_max_ms: DAY_MS,
            poll_interval_ms: 1000,
            result_bytes_max: 16 << 20,
            bytes_max: 256 << 20,
            per_listen_max: 64,
        }
    }
}

impl Tasks {
    pub(super) fn check(&self) -> Result<(), ProfileError> {
        let section = Section::named("tasks");
        section.range("per_shard_max", self.per_shard_max, 1..=1_000_000)?;
        section.range("per_owner_max", self.per_owner_max, 1..=1_000_000)?;
        section.range("ttl_default_ms", self.ttl_default_ms, 1000..=DAY_MS)?;
        section.range("ttl_max_ms", self.ttl_max_ms, 1000..=DAY_MS)?;
        section.range("poll_interval_ms", self.poll_interval_ms, 10..=60_000)?;
        section.range("result_bytes_max", self.result_bytes_max, 1 << 10..=1 << 30)?;
        section.range("bytes_max", self.bytes_max, 1 << 20..=2 << 30)?;
        section.range("per_listen_max", self.per_listen_max, 0..=1024)?;
        section.at_most(
            ("per_owner_max", self.per_owner_max),
            ("tasks.per_shard_max", self.per_shard_max),
        )?;
        section.at_most(
            ("ttl_default_ms", self.ttl_default_ms),
            ("tasks.ttl_max_ms", self.ttl_max_ms),
        )?;
        section.at_most(
            ("result_bytes_max", self.result_bytes_max),
            ("tasks.bytes_max", self.bytes_max),
        )
    }
}

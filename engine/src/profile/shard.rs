//! Knobs of one shard that may differ from core to core: its ring, its executor, its budget.
//!
//! Each section has an override with the same keys, all optional, for `[[core]]`; a test compares
//! the two lists of keys.

use serde::{Deserialize, Serialize};

use super::ProfileError;
use super::check::Section;
use super::descriptors::TABLE_ENTRIES_MAX;

/// `[ring]`: the io_uring that moves a shard's socket bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ring {
    /// Submissions of one turn, a power of two from 64 to 32,768 (the kernel's most); default
    /// 2048: a full budget of completions with up to four submissions each.
    pub submission_entries: u32,
    /// Completions waiting to be reaped, a power of two from 128 to 65,536 (the kernel's most);
    /// default 16,384: a burst of wake-ups of mostly idle connections fits without overflow.
    pub completion_entries: u32,
    /// Provided receive buffers, a power of two from 16 to 32,768 (the kernel's most); default
    /// 4096. A shard that runs out reads later, it drops nothing.
    pub buffer_count: u32,
    /// Bytes of one receive buffer, 512 to 65,536; default 2048: a call with its head in one
    /// receive, 8 MiB a shard in all.
    pub buffer_bytes: u32,
    /// Sockets in the ring's file table, 16 to 1,048,576; default the process's limit of open
    /// files less a headroom, see [`super::descriptors`].
    pub descriptors: Option<u32>,
}

impl Default for Ring {
    fn default() -> Self {
        Self {
            submission_entries: 2048,
            completion_entries: 16_384,
            buffer_count: 4096,
            buffer_bytes: 2048,
            descriptors: None,
        }
    }
}

impl Ring {
    pub(super) fn check(&self, section: &Section) -> Result<(), ProfileError> {
        section.power_of_two("submission_entries", self.submission_entries, 64..=32_768)?;
        section.power_of_two("completion_entries", self.completion_entries, 128..=65_536)?;
        section.power_of_two("buffer_count", self.buffer_count, 16..=32_768)?;
        section.range("buffer_bytes", self.buffer_bytes, 512..=65_536)?;
        if let Some(descriptors) = self.descriptors {
            section.range(
                "descriptors",
                descriptors,
                16..=u64::from(TABLE_ENTRIES_MAX),
            )?;
        }
        // io_uring_setup(2) refuses a completion queue smaller than the submission queue.
        section.at_most(
            ("submission_entries", self.submission_entries),
            ("ring.completion_entries", self.completion_entries),
        )
    }
}

/// `[executor]`: the executor that runs a shard's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Executor {
    /// Entries of each of the executor's own rings, a power of two from 16 to 4096; default 128:
    /// they carry files and timers only, and each entry is locked memory.
    pub ring_depth: u32,
    /// Bytes of the executor's registered buffers, 65,536 (its least) to 1 GiB, whole pages of
    /// 4096; default 65,536: sockets do not use them, and the executor's own default is 10 MiB.
    pub io_memory_bytes: usize,
    /// Microseconds between two yields of a busy shard to handlers that wait, while there are
    /// any, 100 to 100,000; default 1000: what they wait for is noticed no later than
    /// that.
    pub yield_interval_us: u64,
    /// Microseconds without work after which a shard parks, 0 to 1,000,000; default 10,000: a park
    /// costs several system calls, which traffic above 100/s never pays, and a busy shard notices
    /// the timer behind this no more than 100 times a second. While handlers wait, an idle shard
    /// parks at once.
    pub idle_wait_us: u64,
}

impl Default for Executor {
    fn default() -> Self {
        Self {
            ring_depth: 128,
            io_memory_bytes: 65_536,
            yield_interval_us: 1000,
            idle_wait_us: 10_000,
        }
    }
}

impl Executor {
    pub(super) fn check(&self, section: &Section) -> Result<(), ProfileError> {
        section.power_of_two("ring_depth", self.ring_depth, 16..=4096)?;
        section.range("io_memory_bytes", self.io_memory_bytes, 65_536..=1 << 30)?;
        section.multiple("io_memory_bytes", self.io_memory_bytes, 4096)?;
        section.range("yield_interval_us", self.yield_interval_us, 100..=100_000)?;
        section.range("idle_wait_us", self.idle_wait_us, 0..=1_000_000)
    }
}

/// `[budget]`: how much one turn of a shard may do before others get theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Completions handled in one turn, 1 to 65,536; default 512: some 2 ms of small calls, after
    /// which tasks and timers get the core.
    pub completions_per_turn: u32,
    /// Pipelined requests of one connection in one turn, 1 to 1024; default 16, so that a
    /// pipelining client does not starve the others.
    pub requests_per_connection_per_turn: u32,
    /// Messages taken from the lanes in one turn, 4 (one a tier) to 4096; default 256, where a
    /// lane moves tens of millions of messages a second.
    pub lane_batch: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            completions_per_turn: 512,
            requests_per_connection_per_turn: 16,
            lane_batch: 256,
        }
    }
}

impl Budget {
    pub(super) fn check(&self, section: &Section) -> Result<(), ProfileError> {
        section.range(
            "completions_per_turn",
            self.completions_per_turn,
            1..=65_536,
        )?;
        section.range(
            "requests_per_connection_per_turn",
            self.requests_per_connection_per_turn,
            1..=1024,
        )?;
        section.range("lane_batch", self.lane_batch, 4..=4096)
    }
}

/// `[[core]]`: what deviates on one core, such as the one that also serves the network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CoreProfile {
    /// The core, 0 to 1023, as the kernel numbers it.
    pub id: usize,
    /// Deviations from `[ring]`.
    #[serde(default)]
    pub ring: RingOverride,
    /// Deviations from `[executor]`.
    #[serde(default)]
    pub executor: ExecutorOverride,
    /// Deviations from `[budget]`.
    #[serde(default)]
    pub budget: BudgetOverride,
}

/// `[core.ring]`: see [`Ring`] for each knob.
#[expect(missing_docs, reason = "each knob is described once, in Ring")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RingOverride {
    pub submission_entries: Option<u32>,
    pub completion_entries: Option<u32>,
    pub buffer_count: Option<u32>,
    pub buffer_bytes: Option<u32>,
    pub descriptors: Option<u32>,
}

impl RingOverride {
    pub(super) fn over(self, base: Ring) -> Ring {
        Ring {
            submission_entries: self.submission_entries.unwrap_or(base.submission_entries),
            completion_entries: self.completion_entries.unwrap_or(base.completion_entries),
            buffer_count: self.buffer_count.unwrap_or(base.buffer_count),
            buffer_bytes: self.buffer_bytes.unwrap_or(base.buffer_bytes),
            descriptors: self.descriptors.or(base.descriptors),
        }
    }
}

/// `[core.executor]`: see [`Executor`] for each knob.
#[expect(missing_docs, reason = "each knob is described once, in Executor")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecutorOverride {
    pub ring_depth: Option<u32>,
    pub io_memory_bytes: Option<usize>,
    pub yield_interval_us: Option<u64>,
    pub idle_wait_us: Option<u64>,
}

impl ExecutorOverride {
    pub(super) fn over(self, base: Executor) -> Executor {
        Executor {
            ring_depth: self.ring_depth.unwrap_or(base.ring_depth),
            io_memory_bytes: self.io_memory_bytes.unwrap_or(base.io_memory_bytes),
            yield_interval_us: self.yield_interval_us.unwrap_or(base.yield_interval_us),
            idle_wait_us: self.idle_wait_us.unwrap_or(base.idle_wait_us),
        }
    }
}

/// `[core.budget]`: see [`Budget`] for each knob.
#[expect(missing_docs, reason = "each knob is described once, in Budget")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetOverride {
    pub completions_per_turn: Option<u32>,
    pub requests_per_connection_per_turn: Option<u32>,
    pub lane_batch: Option<u32>,
}

impl BudgetOverride {
    pub(super) fn over(self, base: Budget) -> Budget {
        Budget {
            completions_per_turn: self
                .completions_per_turn
                .unwrap_or(base.completions_per_turn),
            requests_per_connection_per_turn: self
                .requests_per_connection_per_turn
                .unwrap_or(base.requests_per_connection_per_turn),
            lane_batch: self.lane_batch.unwrap_or(base.lane_batch),
        }
    }
}

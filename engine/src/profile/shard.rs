//! Knobs of one shard that may differ from core to core: its ring, its executor, its budget.

use corelane_io::ring::RingSettings;
use serde::{Deserialize, Serialize};

use super::descriptors::TABLE_ENTRIES_MAX;
use super::error::ProfileError;
use super::knobs::{knobs, multiples_of, overrides, powers_of_two, within};
use super::role::CoreRole;

knobs! {
    per core RingOverride;
    /// The io_uring that moves a shard's socket bytes.
    #[derive(Copy, Eq)]
    Ring as "ring" {
        /// Submissions of one turn: a full budget of completions with up to four submissions each.
        submission_entries: u32 = 2048, powers_of_two(64..=32_768), restart;
        /// Completions waiting to be reaped: a burst of wake-ups of mostly idle connections fits
        /// without overflow.
        completion_entries: u32 = 16_384, powers_of_two(128..=65_536), restart;
        /// Provided receive buffers. A shard that runs out reads later, it drops nothing.
        buffer_count: u32 = 4096, powers_of_two(16..=32_768), restart;
        /// Bytes of one receive buffer: a call with its head in one receive, 8 MiB a shard in all.
        buffer_bytes: u32 = 2048, within(512..=65_536), restart;
        /// Sockets of a shard; default the process's limit of open files less a headroom. A ring
        /// has no more than that: a shard with more has further, small rings, up to 64 in all.
        descriptors: Option<u32> = None, within(16..=TABLE_ENTRIES_MAX as u64), restart;
        /// Microseconds for which the kernel polls the queues of the network card before a shard
        /// sleeps (SO_BUSY_POLL of socket(7); from Linux 6.9 on also IORING_REGISTER_NAPI of
        /// io_uring_register(2)): less latency for the time of a core. It needs CAP_NET_ADMIN, and
        /// a card whose driver has NAPI; loopback has none. 0 never polls.
        busy_poll_us: u32 = 0, within(0..=10_000), restart;
    }
}

impl Ring {
    /// The sizes of a ring with `descriptors` sockets.
    pub(crate) fn settings(&self, descriptors: u32) -> RingSettings {
        RingSettings {
            submission_entries: self.submission_entries,
            completion_entries: self.completion_entries,
            descriptors,
            dialled: 0,
            buffer_count: self.buffer_count as u16,
            buffer_bytes: self.buffer_bytes,
        }
    }
}

knobs! {
    per core ExecutorOverride;
    /// The executor that runs a shard's tasks.
    #[derive(Copy, Eq)]
    Executor as "executor" {
        /// Entries of each of the executor's own rings: they carry files and timers only, and each
        /// entry is locked memory.
        ring_depth: u32 = 128, powers_of_two(16..=4096), restart;
        /// Bytes of the executor's registered buffers: its least, because sockets do not use them,
        /// where its own default is 10 MiB.
        io_memory_bytes: usize = 65_536, multiples_of(4096, 65_536..=1 << 30), restart;
        /// Microseconds between two yields of a busy shard to handlers that wait, while there are
        /// any: their wake-ups are noticed no later than that.
        yield_interval_us: u64 = 1000, within(100..=100_000), restart;
        /// Microseconds without work after which a shard parks: a park costs several system calls,
        /// which traffic above 100/s never pays, and a busy shard notices the timer behind this no
        /// more than 100 times a second. While handlers wait, an idle shard parks at once.
        idle_wait_us: u64 = 10_000, within(0..=1_000_000), restart;
        /// Microseconds without work for which a shard polls its rings before it waits in one of
        /// them. The next request then finds it awake, and the core has no other work meanwhile: so
        /// only for a core that the shard has to itself. 0 never polls. While handlers wait, it
        /// does not poll.
        spin_us: u64 = 0, within(0..=1_000_000), restart;
    }
}

knobs! {
    per core BudgetOverride;
    /// The work that one turn of a shard may do before other work continues.
    #[derive(Copy, Eq)]
    Budget as "budget" {
        /// Completions taken from the rings in one turn; timers and tasks get the core after it.
        completions_per_turn: u32 = 512, within(1..=65_536), live;
        /// Microseconds for which a turn answers requests: some 40 small calls, which take up to
        /// four times as long to send. The connections with further requests take turns, and pings,
        /// notifications and responses that arrive meanwhile go before them. Half as much costs 6 %
        /// of the throughput.
        request_time_us: u64 = 60, within(10..=1_000_000), live;
        /// Pipelined requests of one connection in one turn: a pipelining client does not starve
        /// the others.
        requests_per_connection_per_turn: u32 = 16, within(1..=1024), live;
        /// Messages taken from the lanes in one turn, at least one a tier: a lane moves tens of
        /// millions of messages a second.
        lane_batch: u32 = 256, within(4..=4096), live;
    }
}

/// `[[core]]`: different values on one core, such as the one that also serves the network card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CoreProfile {
    /// The core, 0 to 1023, as the kernel numbers it.
    pub id: usize,
    /// Its work; a shard unless it is set.
    #[serde(default, skip_serializing_if = "CoreRole::is_shard")]
    pub role: CoreRole,
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

impl CoreProfile {
    /// A section with a role of another kind than a shard has nothing of a shard.
    pub(super) fn check_role(&self, is_named: bool) -> Result<(), ProfileError> {
        let (id, role) = (self.id, self.role.as_str());
        let of_shard = (self.ring, self.executor, self.budget);
        let nothing = (
            RingOverride::default(),
            ExecutorOverride::default(),
            BudgetOverride::default(),
        );
        match self.role {
            CoreRole::Shard => Ok(()),
            _ if is_named => Err(ProfileError::CoreRoleUsed { id, role }),
            _ if of_shard != nothing => Err(ProfileError::CoreRoleTuned { id, role }),
            _ => Ok(()),
        }
    }
}

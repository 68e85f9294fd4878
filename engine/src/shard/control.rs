//! The controls that other threads have over a shard.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use corelane_io::wake::Waker;

/// The controls that other threads have over a shard.
#[derive(Debug, Default)]
pub(crate) struct ShardControl {
    /// Set to make the shard drain.
    pub(crate) drain: AtomicBool,
    /// Set when the time for calls is over before the shard would notice.
    pub(crate) is_overdue: AtomicBool,
    /// How long calls get to end while the shard drains, in milliseconds.
    pub(crate) drain_timeout_ms: u64,
    /// Shards of this server that drain and have nothing left to do.
    pub(crate) quiet_shards: Arc<AtomicUsize>,
    /// Whether this shard is among them.
    pub(crate) is_quiet: AtomicBool,
    /// Wakes the shard, once it runs.
    pub(crate) waker: OnceLock<Waker>,
}

impl ShardControl {
    /// Makes the shard drain.
    pub(crate) fn begin_drain(&self) {
        self.drain.store(true, Ordering::Relaxed);
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    /// Counts the shard among those that have nothing left to do, as one that has ended or never
    /// ran does not. Returns how many those are, unless it was counted before.
    pub(crate) fn count_quiet(&self) -> Option<usize> {
        let was_counted = self.is_quiet.swap(true, Ordering::AcqRel);
        (!was_counted).then(|| self.quiet_shards.fetch_add(1, Ordering::AcqRel) + 1)
    }
}

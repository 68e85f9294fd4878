//! Counts of what the control thread did, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counts. They only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Fetches of keys that succeeded.
    pub fetches_succeeded: Counter,
    /// Fetches of keys that failed.
    pub fetches_failed: Counter,
    /// Requests for unknown keys that began or joined a fetch.
    pub key_requests: Counter,
    /// Requests for unknown keys that were refused.
    pub key_requests_refused: Counter,
    /// Introspections with an answer.
    pub introspections_succeeded: Counter,
    /// Introspections without an answer.
    pub introspections_failed: Counter,
    /// Configurations that were taken, with the first.
    pub configurations: Counter,
    /// Configurations that were refused.
    pub configurations_refused: Counter,
}

/// One count.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The count.
    ///
    /// ```
    /// assert_eq!(corelane_control::counters::Counter::default().value(), 0);
    /// ```
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

//! Knobs of the limits on clients: sizes and times. The configuration decides on rates and quotas.

use super::knobs::{DAY_MS, knobs, within};

knobs! {
    /// Limits on clients, which `[limits]` of the access file sets. A shard counts for itself.
    #[derive(Copy, Eq)]
    ClientLimits as "limits" {
        /// Rates, quotas and sources with failed credentials that are counted, of each kind. A full
        /// table forgets the client with the most credit left. Each takes about 150 bytes.
        buckets_max: usize = 65_536, within(16..=10_000_000), restart;
        /// Milliseconds between two writes of the sums of quotas: a crash loses the use since the
        /// last one, and a stop none.
        quota_write_interval_ms: u64 = 60_000, within(100..=DAY_MS), restart;
    }
}

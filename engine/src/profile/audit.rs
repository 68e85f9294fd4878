//! Knobs of the audit log: sizes and times. The configuration decides on events and files.

use super::knobs::{DAY_MS, knobs, within};

knobs! {
    /// The audit log, which `[audit]` of the configuration turns on.
    #[derive(Copy, Eq)]
    Audit as "audit" {
        /// Bytes of records that wait for the writer, of each shard: some 5000 records, or the
        /// time of a slow disk. A record past it is lost and counted, or else calls are refused, as
        /// `audit.on_failure` of the configuration sets.
        queue_bytes: usize = 1 << 20, within(65_536..=1 << 30), restart;
        /// Bytes after which a new file begins: a file of this size is copied and verified in some
        /// seconds.
        segment_bytes: u64 = 256 << 20, within(4096..=1 << 31), restart;
        /// Milliseconds after which a new file begins with the next record.
        segment_ms: u64 = DAY_MS, within(1000..=DAY_MS), restart;
        /// Milliseconds from a record to the signature over it: the time that an intruder has to
        /// change it.
        checkpoint_ms: u64 = 10_000, within(10..=DAY_MS), restart;
        /// Records after which a signature is due earlier. A signature takes some 20 us.
        checkpoint_records: u64 = 10_000, within(1..=10_000), restart;
        /// Milliseconds from a write to the disk having it, unless `audit.sync` of the
        /// configuration is "always": the records that a power failure takes.
        sync_interval_ms: u64 = 1000, within(10..=60_000), restart;
    }
}

//! Knobs of the supervision of shards.

use super::knobs::{DAY_MS, knobs, within};

knobs! {
    /// Restarts of shards that fail, and stalls.
    #[derive(Copy, Eq)]
    Supervision as "supervision" {
        /// Shards that are started again after a failure within `restart_window_ms`, of all shards
        /// together. One more failure means that restarting does not help: the process then drains
        /// its other shards and exits with an error, so that its own supervisor acts. 0 never
        /// restarts.
        restarts_max: u32 = 5, within(0..=1000), restart;
        /// Milliseconds in which restarts are counted.
        restart_window_ms: u64 = 60_000, within(1000..=DAY_MS), restart;
        /// Milliseconds that a shard may be inside one handler without a break before that is
        /// logged, as a handler that blocks holds up every client of its shard. A shard that is
        /// stuck elsewhere is found a second later.
        stall_after_ms: u64 = 1000, within(50..=600_000), restart;
    }
}

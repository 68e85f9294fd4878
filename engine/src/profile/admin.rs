//! Knobs of administration.

use std::path::PathBuf;

use super::knobs::{anything, knobs, within};

knobs! {
    /// The control socket of a running server, for `corelane status` and its like.
    #[derive(Eq)]
    Admin as "admin" {
        /// The path of a Unix socket for administration, such as "/run/corelane/control.sock", with
        /// the permissions 0600; default none. The kernel names the user of each client: only root
        /// and the user of the server are served. It needs the feature `metrics`, which the binary
        /// has, and durations are measured as for `metrics.listen`.
        socket: Option<PathBuf> = None, anything(), restart;
        /// Microseconds from which on a request is slow: `corelane slow` shows it with its parts. 0
        /// shows each.
        slow_request_us: u64 = 100_000, within(0..=3_600_000_000), restart;
        /// Slow requests of all shards that are kept, 1 KB each; 0 keeps none.
        slow_requests_max: usize = 256, within(0..=10_000), restart;
    }
}

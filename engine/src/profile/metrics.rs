//! Knobs of metrics.

use std::net::SocketAddr;

use super::knobs::{Value, anything, knobs, within};

knobs! {
    /// The listener that metrics are read from, and what a shard measures for them.
    #[derive(Copy, Eq)]
    Metrics as "metrics" {
        /// Where Prometheus reads /metrics, such as "127.0.0.1:9464"; default nowhere: then no
        /// durations are measured. It needs the feature `metrics`, which the binary has.
        listen: Option<SocketAddr> = None, anything(), restart;
        /// Whether this may be an address that other hosts reach. Metrics show the names of tools
        /// and how the server is used, to everyone who reaches it, without encryption.
        public_without_auth: bool = false, anything(), restart;
        /// Milliseconds between two copies of a busy shard's counters for those who read them. A
        /// shard that has nothing to do copies them before it sleeps.
        publish_interval_ms: u64 = 250, within(50..=5000), restart;
        /// Sets of labels for the durations of operations that a shard distinguishes, 200 bytes
        /// each: methods, tools, and ways to fail. Operations past that are counted together.
        label_sets_max: usize = 256, within(16..=4096), restart;
        /// Whether each shard has series of its own. Without it they are merged, but for those
        /// that find a shard in trouble: about 100 series instead of 120 for each shard.
        per_shard: bool = true, anything(), restart;
    }
}

impl Value for SocketAddr {}

//! Knobs of metrics and traces.

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

knobs! {
    /// Spans of requests, exported to a collector of OpenTelemetry.
    #[derive(Eq)]
    Trace as "trace" {
        /// Where spans are sent, as OTLP over HTTP with protobuf, such as
        /// "http://127.0.0.1:4318/v1/traces"; default as the variable OTEL_EXPORTER_OTLP_ENDPOINT
        /// has it, and without that nowhere: then there are no spans. It needs the feature
        /// `metrics`, which the binary has.
        endpoint: Option<String> = None, anything(), restart;
        /// One trace in so many that begin here is sampled: 100 are a hundredth; 0 is none. A
        /// request that names its parent is sampled as the parent is.
        one_in: u64 = 100, within(0..=1_000_000), restart;
        /// Spans of a shard each second for sampled parents; past that they are sampled as traces
        /// that begin here. So no client makes the server trace everything.
        parents_per_s_max: u32 = 100, within(0..=1_000_000), restart;
        /// Failed requests of a shard each second whose spans are exported although they are not
        /// sampled, and as many that take `admin.slow_request_us` or longer.
        kept_per_s_max: u32 = 10, within(0..=1_000_000), restart;
        /// Spans that wait for the collector, about 1 KB each. Past it they are dropped, and
        /// counted in corelane_spans_total.
        queue_max: usize = 4096, within(1..=1_000_000), restart;
    }
}

impl Value for SocketAddr {}

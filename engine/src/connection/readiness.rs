//! The state of all shards of a server that probes read.

use std::sync::atomic::{AtomicBool, AtomicUsize};

/// Whether the shards of a server take new clients. Written when a shard or an
/// upstream comes or goes, and read by probes.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    /// Shards that do not run.
    pub(crate) shards_down: AtomicUsize,
    /// Required upstreams whose lists could not be read.
    pub(crate) upstreams_down: AtomicUsize,
    /// The program of an upstream keeps ending before it answers. Read by metrics only.
    pub(crate) has_crash_loop: AtomicBool,
    /// The server is to drain soon: new clients should go to another one.
    pub(crate) is_leaving: AtomicBool,
}

//! A request for an upgrade, and its result.

use std::path::PathBuf;
use std::time::Duration;

use crate::handover::steps::Fault;

/// The time for the new process to be ready, without another one in the request.
const START_TIME: Duration = Duration::from_secs(30);
/// The most that can be given for that: the control socket waits for its answer no longer.
#[cfg(feature = "metrics")]
pub(super) const START_TIME_MAX: Duration = Duration::from_secs(45);
/// The time for the rest of the work of this process, without another one in the request.
const LINGER_TIME: Duration = Duration::from_secs(600);
/// The most that can be given for that.
#[cfg(feature = "metrics")]
pub(super) const LINGER_TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// A request for an upgrade.
#[derive(Debug, Clone)]
pub(super) struct UpgradeRequest {
    /// The program, if it is another file than that of this process.
    pub(super) binary: Option<PathBuf>,
    /// How long the new process gets to be ready.
    pub(super) timeout: Duration,
    /// The time that this process gives the rest of its work.
    pub(super) linger: Duration,
    /// The new process ends when it is ready, and nothing changes.
    pub(super) is_dry_run: bool,
}

impl Default for UpgradeRequest {
    fn default() -> UpgradeRequest {
        UpgradeRequest {
            binary: None,
            timeout: START_TIME,
            linger: LINGER_TIME,
            is_dry_run: false,
        }
    }
}

/// The result of an upgrade.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct UpgradeReport {
    /// The new process, and its release.
    pub(super) pid: u32,
    pub(super) release: String,
    /// Connections that it has taken over.
    pub(super) connections_moved: usize,
    /// Those that the old process keeps until they end.
    pub(super) connections_left: usize,
    pub(super) sessions: usize,
    /// Connections and sessions that the new process did not take: they are among those left, and
    /// lost.
    pub(super) connections_refused: usize,
    pub(super) sessions_refused: usize,
    /// From the start of the new process until it was ready.
    pub(super) start_ms: u64,
    /// From the last accept of the old process to the first of the new one: connections that moved
    /// were silent for that time at most.
    pub(super) stall_us: u64,
}

/// Why there was no upgrade.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpgradeError {
    #[error("an upgrade or a reload is under way: try again")]
    UnderWay,
    #[error("the server is draining")]
    Draining,
    #[error(
        "the server has {part}, which only one process may have: restart it instead \
         (systemctl restart corelane, or corelane stop and another start)"
    )]
    SingleWriter { part: &'static str },
    #[error("cannot start {}: {error}", path.display())]
    Program {
        path: PathBuf,
        error: std::io::Error,
    },
    /// Nothing has changed.
    #[error("nothing changed: {0}")]
    Refused(Fault),
    /// Connections were silent for a moment.
    #[error("rolled back, this process goes on with everything: {0}")]
    RolledBack(Fault),
}

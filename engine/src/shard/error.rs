//! Why a shard does not start, or ends.

use std::io;

use corelane_io::executor::ExecutorError;
use corelane_io::ring::RingError;

/// The least limit on locked memory with which the executor starts, in KiB: glommio checks it.
pub(super) const LOCKED_KIB_MIN: usize = 512;

/// Why a shard does not start.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The thread cannot be made.
    #[error("shard {shard}: cannot start its thread: {error}")]
    Thread {
        /// The shard.
        shard: u16,
        /// The system's error.
        error: io::Error,
    },
    /// The executor cannot be made.
    #[error("shard {shard}: cannot make its executor: {error}")]
    Executor {
        /// The shard.
        shard: u16,
        /// The executor's error.
        error: ExecutorError,
    },
    /// The limit on locked memory is too low, or used up.
    #[error(
        "shard {shard} needs {needed_kib} KiB of locked memory, and a limit of \
         {LOCKED_KIB_MIN} KiB at least; the limit (RLIMIT_MEMLOCK) is {limit_kib} KiB for all \
         processes of the user together: raise it with ulimit -l {least_kib} or more, or with \
         LimitMEMLOCK={least_kib}K of a systemd unit, or {other_remedy}"
    )]
    LockedMemory {
        /// The shard.
        shard: u16,
        /// What the shard locks, in KiB.
        needed_kib: usize,
        /// The limit, in KiB.
        limit_kib: u64,
        /// The least limit for all shards of the server, in KiB.
        least_kib: usize,
        /// What helps as well.
        other_remedy: &'static str,
    },
    /// The ring cannot be opened.
    #[error("shard {shard}: {error}")]
    Ring {
        /// The shard.
        shard: u16,
        /// The ring's error.
        error: RingError,
    },
    /// The only connection of the shard cannot be taken over.
    #[error("shard {shard}: cannot take over its connection: {error}")]
    Channel {
        /// The shard.
        shard: u16,
        /// The system's error.
        error: io::Error,
    },
    /// The ring stopped working.
    #[error("shard {shard}: its ring failed: {error}")]
    Broken {
        /// The shard.
        shard: u16,
        /// The system's error.
        error: io::Error,
    },
    /// The shard panicked.
    #[error("shard {shard} panicked; the log has the message")]
    Panicked {
        /// The shard.
        shard: u16,
    },
}

#[cfg(feature = "cli")]
impl ShardError {
    /// Whether the host never lets the process have its rings or pin its threads: seccomp, a
    /// setting of the kernel, its version, the limit on locked memory, or no sysfs. Memory that is
    /// used up may be free later.
    pub(crate) fn is_of_host(&self) -> bool {
        use RingError::{KernelTooOld, Unavailable};
        let error = match self {
            ShardError::Ring { error, .. } => error,
            ShardError::LockedMemory {
                limit_kib,
                least_kib,
                ..
            } => return *limit_kib < *least_kib as u64,
            ShardError::Executor { error, .. } => return matches!(error, ExecutorError::Cores(_)),
            _ => return false,
        };
        matches!(error, Unavailable { .. } | KernelTooOld { .. })
    }
}

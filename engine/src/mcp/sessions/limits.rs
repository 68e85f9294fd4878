//! How many sessions there may be, and what is said where there is no room.

/// How many sessions there are, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionLimits {
    /// Sessions of the shard.
    pub(crate) sessions_max: usize,
    /// Sessions of a principal.
    pub(crate) per_principal_max: usize,
    /// Open streams of all sessions.
    pub(crate) streams_max: usize,
    /// After so many milliseconds without use a session ends.
    pub(crate) idle_timeout_ms: u64,
}

/// Why there is no new session. Those that could make room for it have calls in flight or streams
/// open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRoom {
    /// Of the whole shard.
    #[error("all {max} sessions of the shard are in use (sessions.per_shard_max)")]
    Shard {
        /// Sessions there may be.
        max: usize,
    },
    /// Of the principal.
    #[error("all {max} sessions of the principal are in use (sessions.per_principal_max)")]
    Principal {
        /// Sessions it may have.
        max: usize,
    },
    /// Of the holder.
    #[error(
        "the client has {held} sessions in use, its share of the {max} of the shard \
         (sessions.per_shard_max)"
    )]
    Holder {
        /// Sessions it has.
        held: usize,
        /// Sessions there may be.
        max: usize,
    },
}

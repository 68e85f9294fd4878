//! The limits on sessions, and the error when they are reached.

/// The limits on sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionLimits {
    /// Sessions of the shard.
    pub(crate) sessions_max: usize,
    /// Sessions of a principal.
    pub(crate) per_principal_max: usize,
    /// Open streams of all sessions.
    pub(crate) streams_max: usize,
    /// Milliseconds without use after which a session ends.
    pub(crate) idle_timeout_ms: u64,
    /// Seconds after its handshake for which a session is made again from its id; 0 for never.
    pub(crate) id_max_age_s: u64,
    /// Ended sessions that are remembered.
    pub(crate) ended_max: usize,
}

/// Why there is no new session. All sessions that could be evicted have calls in flight or streams
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

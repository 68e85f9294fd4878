//! Bounds on tasks.

/// How many tasks there are, how long, and how much they hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskLimits {
    /// Tasks of the shard.
    pub(crate) tasks_max: usize,
    /// Tasks of a principal or a session.
    pub(crate) per_owner_max: usize,
    /// How long a task is kept whose client does not say, in milliseconds.
    pub(crate) ttl_default_ms: u64,
    /// How long a task is kept at most, in milliseconds.
    pub(crate) ttl_max_ms: u64,
    /// Bytes of a result, and of anything else that a task holds in one piece.
    pub(crate) result_bytes_max: usize,
    /// Bytes of all tasks together, overhead included.
    pub(crate) bytes_max: usize,
    /// How often a client should ask for a task's state, in milliseconds.
    pub(crate) poll_interval_ms: u64,
}

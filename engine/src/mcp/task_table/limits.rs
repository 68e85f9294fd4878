//! Bounds on tasks.

/// The limits on tasks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskLimits {
    /// Tasks of the shard.
    pub(crate) tasks_max: usize,
    /// Tasks of a principal or a session.
    pub(crate) per_owner_max: usize,
    /// The lifetime of a task without a request of its client, in milliseconds.
    pub(crate) ttl_default_ms: u64,
    /// The longest lifetime of a task, in milliseconds.
    pub(crate) ttl_max_ms: u64,
    /// Bytes of a result, and of any other single value of a task.
    pub(crate) result_bytes_max: usize,
    /// Bytes of all tasks together, overhead included.
    pub(crate) bytes_max: usize,
    /// The recommended interval between two fetches of a task's state, in milliseconds.
    pub(crate) poll_interval_ms: u64,
}

//! What the table refuses, and why.

use super::status::TaskStatus;

/// Why there is no new task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CreateError {
    /// All tasks of the owner are running.
    #[error("owner has {tasks_max} running tasks, which is the limit")]
    OwnerFull {
        /// Tasks an owner may have.
        tasks_max: usize,
    },
    /// All tasks of the holder are running.
    #[error(
        "the client has {held} running tasks, its share of the {tasks_max} of the shard \
         (tasks.per_shard_max)"
    )]
    HolderFull {
        /// Tasks it has.
        held: usize,
        /// Tasks there may be.
        tasks_max: usize,
    },
    /// All tasks are running.
    #[error("server has {tasks_max} running tasks, which is the limit")]
    Full {
        /// Tasks there may be.
        tasks_max: usize,
    },
    /// Running tasks hold the memory.
    #[error(transparent)]
    NotKept(#[from] NotKept),
}

/// Why something is not done to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TaskError {
    /// There is no such task, or none that this peer may know of.
    #[error("task is unknown")]
    Unknown,
    /// The state does not follow.
    #[error("task cannot go from {from} to {to}")]
    Transition {
        /// The state of the task.
        from: TaskStatus,
        /// The one that was wanted.
        to: TaskStatus,
    },
    /// The handler asked under this key before.
    #[error("key of an input request was used before in this task")]
    KeyUsed,
    /// The handler asked too often.
    #[error("task has made {asks_max} input requests, which is the limit")]
    TooManyAsks {
        /// Requests a task may make in its life.
        asks_max: usize,
    },
    /// Too many wait for the end.
    #[error("task has {waiters_max} waiters, which is the limit")]
    TooManyWaiters {
        /// Waiters a task may have at once.
        waiters_max: usize,
    },
    /// There is no room for it.
    #[error(transparent)]
    NotKept(#[from] NotKept),
}

/// Why bytes are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotKept {
    /// More than a task may hold in one piece.
    #[error("content of {bytes} bytes exceeds limit of {bytes_max}")]
    TooLarge {
        /// What was to be kept.
        bytes: usize,
        /// What may be.
        bytes_max: usize,
    },
    /// More than is left beside the running tasks.
    #[error("content of {bytes} bytes exceeds the {bytes_free} that running tasks leave")]
    NoRoom {
        /// What was to be kept.
        bytes: usize,
        /// What is left.
        bytes_free: usize,
    },
}

/// A cursor that this table never made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cursor is unknown")]
pub(crate) struct UnknownCursor;

//! The refusals of the table, and their reasons.

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
        /// The requested state.
        to: TaskStatus,
    },
    /// The handler has used this key before.
    #[error("key of an input request was used before in this task")]
    KeyUsed,
    /// The handler has made too many requests.
    #[error("task has made {inputs_max} input requests, which is the limit")]
    TooManyInputs {
        /// Requests a task may make in its life.
        inputs_max: usize,
    },
    /// Too many wait for the end.
    #[error("task has {waiters_max} waiters, which is the limit")]
    TooManyWaiters {
        /// Waiters a task may have at once.
        waiters_max: usize,
    },
    /// It does not fit.
    #[error(transparent)]
    NotKept(#[from] NotKept),
}

/// Why bytes are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotKept {
    /// More than a task may hold in one piece.
    #[error("content of {bytes} bytes exceeds limit of {bytes_max}")]
    TooLarge {
        /// The bytes to keep.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// More than is left beside the running tasks.
    #[error("content of {bytes} bytes exceeds the {bytes_free} that running tasks leave")]
    NoRoom {
        /// The bytes to keep.
        bytes: usize,
        /// The free bytes.
        bytes_free: usize,
    },
}

/// A cursor that this table never made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cursor is unknown")]
pub(crate) struct UnknownCursor;

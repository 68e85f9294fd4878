//! The states of a task and how they follow each other.

use std::fmt;

/// State of a task, in both eras (MCP 2025-11-25 basic/utilities/tasks, SEP-2663).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskStatus {
    /// At work.
    Working,
    /// Waits for answers of the client.
    InputRequired,
    /// Over, with a result.
    Completed,
    /// Over, with an error.
    Failed,
    /// Over, by the client's wish.
    Cancelled,
}

/// State of a task that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunningStatus {
    /// At work.
    Working,
    /// Waits for answers of the client.
    InputRequired,
}

impl TaskStatus {
    /// Whether the task is over; it stays in this state then.
    pub(crate) fn is_terminal(self) -> bool {
        match self {
            TaskStatus::Working | TaskStatus::InputRequired => false,
            TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled => true,
        }
    }

    /// The state as it is on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            TaskStatus::Working => "working",
            TaskStatus::InputRequired => "input_required",
            TaskStatus::Completed => "completed",
            TaskStatus::Failed => "failed",
            TaskStatus::Cancelled => "cancelled",
        }
    }

    /// Whether `next` may follow. All transitions are here: no state follows itself, and none
    /// follows the end.
    pub(super) fn may_become(self, next: TaskStatus) -> bool {
        !self.is_terminal() && self != next
    }
}

impl From<RunningStatus> for TaskStatus {
    fn from(status: RunningStatus) -> TaskStatus {
        match status {
            RunningStatus::Working => TaskStatus::Working,
            RunningStatus::InputRequired => TaskStatus::InputRequired,
        }
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::TaskStatus;

    #[test]
    fn exactly_the_transitions_of_the_specification_are_legal() {
        use TaskStatus::{Cancelled, Completed, Failed, InputRequired, Working};
        let legal = [
            (Working, InputRequired),
            (Working, Completed),
            (Working, Failed),
            (Working, Cancelled),
            (InputRequired, Working),
            (InputRequired, Completed),
            (InputRequired, Failed),
            (InputRequired, Cancelled),
        ];
        let all = [Working, InputRequired, Completed, Failed, Cancelled];
        for from in all {
            for to in all {
                let expected = legal.contains(&(from, to));
                assert_eq!(from.may_become(to), expected, "{from} to {to}");
            }
        }
    }
}

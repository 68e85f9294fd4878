//! Changes of tasks, sent to the clients that wait for them or subscribed to them.
//!
//! Modern clients subscribe by task id (`tasks::watchers`). A legacy session gets statuses on one
//! of its streams (MCP 2025-11-25 basic/utilities/tasks, "Task Status Notification"): on its
//! stand-alone stream, or else on that of the last request that waits for the result of the task.

use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::tasks::write_status;

use super::context::Context;
use super::exchange::Exchange;
use super::notifier::Notifier;
use super::session_id::SessionId;
use super::task_id::TaskId;
use super::task_table::{TaskOwner, TaskStatus};
use super::tasks::Tasks;

/// Sends the changes of tasks.
pub(super) struct TaskUpdates<'a> {
    pub(super) context: &'a Context,
    pub(super) tasks: &'a mut Tasks,
    pub(super) notifier: Notifier<'a>,
}

impl TaskUpdates<'_> {
    /// Sends the status of a task of `owner` that changed.
    pub(super) fn changed(&mut self, task: TaskId, owner: &TaskOwner) {
        match owner {
            TaskOwner::Session(session) => self.notify_session(task, *session),
            TaskOwner::Principal(_) | TaskOwner::Nobody => self.tasks.watchers.changed(task),
        }
    }

    fn notify_session(&mut self, task: TaskId, session: SessionId) {
        let mut message = Vec::new();
        let owner = TaskOwner::Session(session);
        let now_ms = self.context.unix_now_ms();
        self.tasks
            .view_task((task, &owner), Era::Legacy, now_ms, |_, view| {
                write_status(&mut message, view);
            });
        if message.is_empty() {
            return;
        }
        match self.status_exchange(task, session) {
            Some((exchange, true)) => self.notifier.outbox.push_message(exchange, message),
            _ => {
                self.notifier.notify(session, message);
            }
        }
    }

    /// The places for messages of a session's task: the request that waits for its result, and the
    /// session's own stream.
    pub(super) fn exchanges(&mut self, task: TaskId, session: SessionId) -> [Option<Exchange>; 2] {
        let (owner, now_ms) = (TaskOwner::Session(session), self.context.unix_now_ms());
        let waiter = self.tasks.last_waiter(task, &owner, now_ms);
        [waiter, self.notifier.exchange_of(session)]
    }

    /// The place for statuses of a session's task, if a stream is open, and whether that is the
    /// stream of a request for its result.
    pub(super) fn status_exchange(
        &mut self,
        task: TaskId,
        session: SessionId,
    ) -> Option<(Exchange, bool)> {
        let [waiter, own] = self.exchanges(task, session);
        if let Some(own) = own {
            return Some((own, false));
        }
        let waiter = waiter.filter(|exchange| exchange.takes_events);
        waiter.map(|exchange| (exchange, true))
    }

    /// Records that a legacy client answered an input request of a task.
    pub(super) fn answered(&mut self, task: TaskId, session: SessionId, question_id: &str) {
        let (owner, now_ms) = (TaskOwner::Session(session), self.context.unix_now_ms());
        // An expired task needs no record.
        if self.tasks.note_answer(task, &owner, question_id, now_ms) {
            let found = self.tasks.table.get(task, &owner, now_ms);
            if found.is_some_and(|task| task.status == TaskStatus::Working) {
                self.changed(task, &owner);
            }
        }
    }
}

//! How a task stands: what its handler says of it, and who is told when that or its state changes.
//!
//! Modern listeners are told by name (`watchers`). A legacy session is told on one of its streams
//! (MCP 2025-11-25 basic/utilities/tasks, "Task Status Notification"): where whatever belongs to
//! no call goes, or else that of the last request that waits for the result of the task.

use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::tasks::write_status;

use crate::handler::Call;
use crate::handler::event_queue::CallKey;
use crate::mcp::endpoint::Core;
use crate::mcp::session_id::SessionId;
use crate::mcp::task_id::TaskId;
use crate::mcp::task_table::{RunningStatus, TaskOwner, TaskStatus};
use crate::mcp::{Delivery, Exchange, Part};

impl Core {
    /// Tells whoever listens to a task of `owner` that it has changed.
    pub(super) fn task_changed(&mut self, task: TaskId, owner: &TaskOwner) {
        match owner {
            TaskOwner::Session(session) => self.notify_session_of_task(task, *session),
            TaskOwner::Principal(_) | TaskOwner::Nobody => self.tasks.watchers.changed(task),
        }
    }

    fn notify_session_of_task(&mut self, task: TaskId, session: SessionId) {
        let mut message = Vec::new();
        let owner = TaskOwner::Session(session);
        self.view_task(task, &owner, Era::Legacy, |_, _, view| {
            write_status(&mut message, view);
        });
        if message.is_empty() {
            return;
        }
        match self.status_exchange(task, session) {
            Some((exchange, true)) => self.deliveries.push_back(Delivery {
                exchange,
                part: Part::message(message),
            }),
            _ => self.notify_session(session, message),
        }
    }

    /// Where messages of a task of a session may go: to who waits for its result, and on the
    /// session's own stream.
    pub(in crate::mcp) fn task_exchanges(
        &mut self,
        task: TaskId,
        session: SessionId,
    ) -> [Option<Exchange>; 2] {
        let (owner, now_ms) = (TaskOwner::Session(session), self.tasks_now_ms());
        let waiter = self.tasks.last_waiter(task, &owner, now_ms);
        let found = self.sessions.find(session);
        let own = found.and_then(|found| found.streams().first().map(|open| open.exchange));
        [waiter, own]
    }

    /// Where a session is told how a task of it stands, if a stream is open, and whether that is
    /// the stream of a request for its result.
    pub(in crate::mcp) fn status_exchange(
        &mut self,
        task: TaskId,
        session: SessionId,
    ) -> Option<(Exchange, bool)> {
        let [waiter, own] = self.task_exchanges(task, session);
        if let Some(own) = own {
            return Some((own, false));
        }
        let waiter = waiter.filter(|exchange| exchange.takes_events);
        waiter.map(|exchange| (exchange, true))
    }

    /// Takes over what the handler of a task said of it before there was one.
    pub(super) fn take_over_status(&mut self, call: &Call, task: TaskId, owner: &TaskOwner) {
        if let Some(text) = call.take_status() {
            self.set_task_status(task, owner, &text);
        }
    }

    /// Keeps what the handler of a task says of it; whether that is anything else than before.
    pub(in crate::mcp) fn keep_status(&mut self, key: CallKey) -> bool {
        let Some(entry) = self.calls.find(key) else {
            return false;
        };
        let (Some(task), owner) = (entry.made_task, entry.task_owner()) else {
            return false;
        };
        let text = entry.call.take_status();
        text.is_some_and(|text| self.set_task_status(task, &owner, &text))
    }

    /// Tells of what was kept. Says whether that is done: a session that reads slower than its
    /// handler talks is told later, and only the last that was said. One without a stream is told
    /// nothing: what it comes back for is rather what happened than what was said.
    pub(in crate::mcp) fn send_status(
        &mut self,
        key: CallKey,
        has_room: impl Fn(Exchange) -> bool,
    ) -> bool {
        let exchange = self.exchange_of(key);
        let Some(entry) = self.calls.find(key) else {
            return true;
        };
        let (Some(task), owner) = (entry.made_task, entry.task_owner()) else {
            return true;
        };
        if exchange.is_none() && entry.era == Era::Legacy {
            return true;
        }
        if !exchange.is_none_or(has_room) {
            // Whoever was put aside before is told with what is kept by then.
            return std::mem::replace(&mut entry.has_unsent_status, true);
        }
        entry.has_unsent_status = false;
        self.task_changed(task, &owner);
        true
    }

    /// Sets the text beside the state of a task; whether it is another one. What handlers say is
    /// no reason to end them: a text without room is not kept.
    fn set_task_status(&mut self, task: TaskId, owner: &TaskOwner, text: &str) -> bool {
        let now_ms = self.tasks_now_ms();
        let Some(found) = self.tasks.table.get(task, owner, now_ms) else {
            return false;
        };
        let text = (!text.is_empty()).then_some(text);
        if found.message.as_deref() == text {
            return false;
        }
        let state = match found.status {
            TaskStatus::InputRequired => RunningStatus::InputRequired,
            _ => RunningStatus::Working,
        };
        let set = self.tasks.table.set_status(task, state, text, now_ms);
        set.is_ok()
    }
}

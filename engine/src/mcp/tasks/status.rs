//! How a task stands: what its handler says of it, and who is told when that or its state changes.
//!
//! Modern listeners are told by name (`watchers`). A legacy session is told on one of its streams
//! (MCP 2025-11-25 basic/utilities/tasks, "Task Status Notification"): that of a request that
//! waits for the result of the task, or else where whatever belongs to no call goes.

use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::tasks::write_status;

use crate::handler::Call;
use crate::handler::mailbox::CallKey;
use crate::mcp::endpoint::Core;
use crate::mcp::session_id::SessionId;
use crate::mcp::task_id::TaskId;
use crate::mcp::task_table::{RunningStatus, TaskOwner, TaskStatus};
use crate::mcp::{Delivery, Exchange, Part};

impl Core {
    /// Tells whoever listens to a task of `owner` that it has changed.
    pub(super) fn task_changed(&mut self, task: TaskId, owner: &TaskOwner) {
        match owner {
            TaskOwner::Session(session) => self.tell_session_of(task, *session),
            TaskOwner::Principal(_) | TaskOwner::Nobody => self.tasks.watchers.changed(task),
        }
    }

    fn tell_session_of(&mut self, task: TaskId, session: SessionId) {
        let mut message = Vec::new();
        let owner = TaskOwner::Session(session);
        self.view_task(task, &owner, Era::Legacy, |_, _, view| {
            write_status(&mut message, view);
        });
        if message.is_empty() {
            return;
        }
        match self.waiting_stream(task, session) {
            Some(exchange) => self.deliveries.push_back(Delivery {
                exchange,
                part: Part::message(message),
            }),
            None => self.tell_session(session, message),
        }
    }

    /// The stream of a request that waits for the result of a task.
    fn waiting_stream(&self, task: TaskId, session: SessionId) -> Option<Exchange> {
        let (owner, now_ms) = (TaskOwner::Session(session), self.tasks_now_ms());
        let waiter = self.tasks.first_waiter(task, &owner, now_ms);
        waiter.filter(|exchange| exchange.takes_events)
    }

    /// Where a session is told how a task of it stands, if a stream is open.
    pub(in crate::mcp) fn status_exchange(
        &mut self,
        task: TaskId,
        session: SessionId,
    ) -> Option<Exchange> {
        self.waiting_stream(task, session).or_else(|| {
            let found = self.sessions.find(session)?;
            found.streams.first().map(|open| open.exchange)
        })
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
        let (Some(task), owner) = (entry.made_task, TaskOwner::of(entry.session)) else {
            return false;
        };
        let text = entry.call.take_status();
        text.is_some_and(|text| self.set_task_status(task, &owner, &text))
    }

    /// Tells of what was kept. Says whether somebody was told or need not be: a session that reads
    /// slower than its handler talks is told later, and only the last that was said.
    pub(in crate::mcp) fn tell_status(
        &mut self,
        key: CallKey,
        has_room: impl Fn(Exchange) -> bool,
    ) -> bool {
        let has_room = self.exchange_of(key).is_none_or(has_room);
        let Some(entry) = self.calls.find(key) else {
            return true;
        };
        let (Some(task), owner) = (entry.made_task, TaskOwner::of(entry.session)) else {
            return true;
        };
        if !has_room {
            // Whoever was put aside before is told with what is kept by then.
            return std::mem::replace(&mut entry.has_untold_status, true);
        }
        entry.has_untold_status = false;
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

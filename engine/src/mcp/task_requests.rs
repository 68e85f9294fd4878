//! Requests about tasks: their state, their result, their end.

use corelane_protocol::jsonrpc::{Id, Value, encode};
use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::method::Method;
use corelane_protocol::mcp::tasks;

use super::audit::Actor;
use super::context::invalid_params;
use super::cursor::{NO_SUCH_CURSOR, cursor_of};
use super::disposition::Disposition;
use super::endings::Endings;
use super::exchange::Exchange;
use super::inbound::Inbound;
use super::questions::UNREACHABLE;
use super::session_id::SessionId;
use super::task_id::TaskId;
use super::task_table::{ListCursor, TaskOwner};
use super::tasks::{unknown_task, write_outcome_members};
use crate::guard::audit::Event;
use crate::handler::call::questions::parse_question_id;
use crate::meter::Counter;

/// Tasks on one page of a list.
const PAGE_TASKS_MAX: usize = 50;

/// A request about tasks.
pub(super) struct TaskRequest<'a> {
    pub(super) id: Id<'a>,
    pub(super) method: Method,
    pub(super) params: Option<Value<'a>>,
    /// The session of a legacy request.
    pub(super) session: Option<SessionId>,
    /// The capabilities of its client.
    pub(super) capabilities: ClientCapabilities,
    pub(super) inbound: Inbound<'a>,
}

/// Serves requests about tasks of this shard.
pub(super) struct TaskRequests<'a> {
    pub(super) endings: Endings<'a>,
}

impl TaskRequests<'_> {
    /// Serves one request.
    pub(super) fn serve(&mut self, request: TaskRequest<'_>, out: &mut Vec<u8>) -> Disposition {
        let owner = TaskOwner::of(request.session, request.inbound.principal());
        let id = request.id;
        if request.method == Method::TasksList {
            return self.list(id, request.params, &owner, out);
        }
        let task = match tasks::task_id(request.params) {
            Ok(task) => TaskId::parse(task.as_bytes()),
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        let now_ms = self.now_ms();
        let table = &self.endings.updates.tasks.table;
        let known = task.filter(|task| table.get(*task, &owner, now_ms).is_some());
        let Some(task) = known else {
            return unknown_task(id, out);
        };
        match request.method {
            Method::TasksCancel => self.cancel(request, task, &owner, out),
            Method::TasksUpdate => self.update(request, task, &owner, out),
            Method::TasksResult => self.wait(request, task, &owner, out),
            _ => self.write_state(id, task, &owner, out),
        }
    }

    fn now_ms(&self) -> u64 {
        self.endings.updates.context.unix_now_ms()
    }

    /// `tasks/get`, and the answer to a legacy `tasks/cancel`.
    fn write_state(
        &self,
        id: Id<'_>,
        task: TaskId,
        owner: &TaskOwner,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let era = owner.era();
        let updates = &self.endings.updates;
        let trailer = &updates.context.trailer;
        updates
            .tasks
            .view_task((task, owner), era, self.now_ms(), |task, view| {
                view.write_state(out, era, id, trailer, |out| {
                    if era == Era::Modern {
                        write_outcome_members(out, task);
                    }
                });
            });
        Disposition::ok()
    }

    /// `tasks/cancel`.
    fn cancel(
        &mut self,
        request: TaskRequest<'_>,
        task: TaskId,
        owner: &TaskOwner,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let now_ms = self.now_ms();
        match self.endings.updates.tasks.table.cancel(task, owner, now_ms) {
            Ok(waiters) => {
                let context = self.endings.updates.context;
                context.meter.count(Counter::TasksCancelled);
                let actor = Actor::of(request.inbound.requester, request.session);
                let audit = &context.audit;
                audit.task(Event::TaskCancelled, task, actor, (None, None));
                self.endings.stop_task(task);
                let updates = &mut self.endings.updates;
                updates.changed(task, owner);
                updates
                    .tasks
                    .answer_waiters(waiters, now_ms, updates.notifier.outbox);
            }
            // In the modern era, cancelling a task that is over is not an error.
            Err(_) if request.session.is_none() => {}
            Err(error) => return invalid_params(request.id, &error.to_string(), out),
        }
        if request.session.is_some() {
            return self.write_state(request.id, task, owner, out);
        }
        self.write_empty(request.id, out)
    }

    /// `tasks/update`: responses under unknown keys are ignored.
    fn update(
        &mut self,
        request: TaskRequest<'_>,
        task: TaskId,
        owner: &TaskOwner,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let responses = match tasks::responses(request.params) {
            Ok(responses) => responses,
            Err(error) => return invalid_params(request.id, &error.to_string(), out),
        };
        let now_ms = self.now_ms();
        let mut has_answers = false;
        for (key, response) in responses {
            if self
                .endings
                .updates
                .tasks
                .note_answer(task, owner, key, now_ms)
            {
                self.hand_over(task, key, (response, request.inbound));
                has_answers = true;
            }
        }
        if has_answers {
            self.endings.updates.changed(task, owner);
        }
        self.write_empty(request.id, out)
    }

    fn write_empty(&self, id: Id<'_>, out: &mut Vec<u8>) -> Disposition {
        let trailer = &self.endings.updates.context.trailer;
        trailer.write_empty(out, Era::Modern, id);
        Disposition::ok()
    }

    /// Gives the handler of a task the client's response.
    fn hand_over(
        &mut self,
        task: TaskId,
        key: &str,
        (response, inbound): (Value<'_>, Inbound<'_>),
    ) {
        let Some(call) = self.endings.updates.tasks.call_of(task) else {
            return;
        };
        let calls = &mut self.endings.calls;
        let entry = calls.find(call);
        if let Some(place) = entry.and_then(|entry| entry.call.place_of(key)) {
            calls.answer((call, place), response, inbound);
        }
    }

    /// `tasks/result`: waits for the end of the task, and meanwhile takes its input requests.
    fn wait(
        &mut self,
        request: TaskRequest<'_>,
        task: TaskId,
        owner: &TaskOwner,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (id, exchange, now_ms) = (request.id, request.inbound.exchange, self.now_ms());
        let updates = &mut self.endings.updates;
        let (tasks, outbox) = (&mut updates.tasks, &mut updates.notifier.outbox);
        if !tasks.wait_for_result((task, owner), (id, exchange), now_ms, outbox) {
            tasks.write_result(out, id, (task, owner), now_ms);
            return Disposition::ok();
        }
        if let TaskOwner::Session(session) = owner {
            self.pass_on_questions(task, *session, exchange);
        }
        Disposition::Pending(None)
    }

    /// Sends the open requests of a task's handler, now that its client waits for the result.
    fn pass_on_questions(&mut self, task: TaskId, session: SessionId, exchange: Exchange) {
        let (owner, now_ms) = (TaskOwner::Session(session), self.now_ms());
        let updates = &mut self.endings.updates;
        let found = updates.tasks.table.get(task, &owner, now_ms);
        let requests = found.into_iter().flat_map(|found| found.requests());
        let open: Vec<(String, Vec<u8>)> = requests
            .map(|(name, request)| (name.to_owned(), request.to_vec()))
            .collect();
        for (name, request) in open {
            if updates.notifier.request((session, exchange), request) {
                continue;
            }
            updates.tasks.note_answer(task, &owner, &name, now_ms);
            if let Some((key, place)) = parse_question_id(&name)
                && let Some(entry) = self.endings.calls.find(key)
            {
                entry.call.answer(place, || Err(UNREACHABLE.to_owned()));
            }
        }
    }

    /// `tasks/list`.
    fn list(
        &self,
        id: Id<'_>,
        params: Option<Value<'_>>,
        owner: &TaskOwner,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let cursor = match cursor_of(params) {
            Ok(cursor) => cursor,
            Err(text) => return invalid_params(id, text, out),
        };
        let read = cursor.map(|cursor| ListCursor::parse(cursor.as_bytes()));
        let tasks = &self.endings.updates.tasks;
        let page = match read {
            Some(None) => None,
            read => {
                let (cursor, now_ms) = (read.flatten(), self.now_ms());
                let listed = tasks.table.list(owner, cursor, PAGE_TASKS_MAX, now_ms);
                listed.ok()
            }
        };
        let Some(page) = page else {
            return invalid_params(id, NO_SUCH_CURSOR, out);
        };
        encode::begin_result(out, id);
        out.extend_from_slice(br#"{"tasks":["#);
        for (at, task) in page.tasks.iter().enumerate() {
            out.extend_from_slice(if at > 0 { b",{" } else { b"{" });
            tasks.view(task, Era::Legacy, |view| {
                view.write_members(out, Era::Legacy);
            });
            out.push(b'}');
        }
        out.push(b']');
        if let Some(next) = page.next {
            out.extend_from_slice(br#","nextCursor":"#);
            encode::write_string(out, &next.to_text());
        }
        out.extend_from_slice(b"}}");
        Disposition::ok()
    }
}

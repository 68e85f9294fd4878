//! What clients ask of tasks: their state, their result, their end.

use corelane_protocol::binding::http::ModernRequest;
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::{Id, Message, OwnedId, Value, encode};
use corelane_protocol::mcp::capability::ClientCapability;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::method::Method;
use corelane_protocol::mcp::tasks::{
    self, AnswerPart, KEPT_ANSWER_ID, TaskView, write_related_result,
};

use super::Waiting;
use crate::handler::event_queue::CallKey;
use crate::mcp::dispatch::invalid_params;
use crate::mcp::endpoint::Core;
use crate::mcp::session_id::SessionId;
use crate::mcp::task_id::TaskId;
use crate::mcp::task_table::{
    ListCursor, NotKept, Outcome, Task, TaskError, TaskOwner, TaskStatus, Wait, Waiter,
};
use crate::mcp::timestamp::rfc3339;
use crate::mcp::{Delivery, Disposition, Exchange, Part};
use crate::meter::Counter;

/// Tasks on one page of a list.
const PAGE_TASKS_MAX: usize = 50;

/// A request about tasks.
pub(crate) struct TaskRequest<'a> {
    pub(crate) id: Id<'a>,
    pub(crate) method: Method,
    pub(crate) params: Option<Value<'a>>,
    /// The session of a legacy request.
    pub(crate) session: Option<SessionId>,
    /// Who asks.
    pub(crate) principal: Option<&'a str>,
    pub(crate) exchange: Exchange,
}

impl Core {
    /// The other shard where the task lives that a modern request is about, if it is about one
    /// and its client may ask.
    pub(crate) fn task_home(&self, request: &ModernRequest<'_>) -> Option<u16> {
        let capabilities = request.envelope.capabilities;
        if !request.method.is_of_tasks() || !capabilities.contains(ClientCapability::Tasks) {
            return None;
        }
        let id = tasks::task_id(request.params).ok()?;
        let home = TaskId::parse(id.as_bytes())?.home;
        (home != self.settings.shard && home < self.settings.shards).then_some(home)
    }

    /// Serves a modern request of `principal` about a task. Its client must know tasks, whatever it
    /// names.
    pub(crate) fn modern_task_request(
        &mut self,
        principal: Option<&str>,
        request: &ModernRequest<'_>,
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let needed = ClientCapability::Tasks;
        if !request.envelope.capabilities.contains(needed) {
            let reason = Reason::MissingCapability(needed);
            return self.refuse(Some(request.id), reason, out);
        }
        let request = TaskRequest {
            id: request.id,
            method: request.method,
            params: request.params,
            session: None,
            principal,
            exchange,
        };
        self.task_request(request, out)
    }

    /// Serves a modern request of `principal` about a task that another shard sent here.
    pub(crate) fn forwarded_task(
        &mut self,
        principal: Option<&str>,
        message: Option<Message<'_>>,
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let Some(Message::Request { id, method, params }) = message else {
            return self.refuse(None, Reason::SessionUnknown, out);
        };
        self.meter.count(Counter::RequestsModern);
        let Some(method) = Method::lookup(Era::Modern, method) else {
            return self.refuse(Some(id), Reason::MethodNotFound(method), out);
        };
        let request = TaskRequest {
            id,
            method,
            params,
            session: None,
            principal,
            exchange,
        };
        self.task_request(request, out)
    }

    /// Serves a request about tasks of this shard.
    pub(crate) fn task_request(
        &mut self,
        request: TaskRequest<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (id, owner) = (
            request.id,
            TaskOwner::of(request.session, request.principal),
        );
        if request.method == Method::TasksList {
            return self.list_tasks(id, request.params, &owner, out);
        }
        let task = match tasks::task_id(request.params) {
            Ok(task) => TaskId::parse(task.as_bytes()),
            Err(error) => return invalid_params(id, &error.to_string(), out),
        };
        let now_ms = self.tasks_now_ms();
        let known = task.filter(|task| self.tasks.table.get(*task, &owner, now_ms).is_some());
        let Some(task) = known else {
            return unknown_task(id, out);
        };
        match request.method {
            Method::TasksCancel => self.cancel_task(request, task, &owner, out),
            Method::TasksUpdate => self.update_task(request, task, &owner, out),
            Method::TasksResult => self.await_task(request, task, owner, out),
            _ => self.write_task(id, task, &owner, out),
        }
    }

    /// `tasks/get`, and the legacy `tasks/cancel` behind what it does.
    fn write_task(
        &mut self,
        id: Id<'_>,
        task: TaskId,
        owner: &TaskOwner,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let era = era_of(owner);
        self.view_task(task, owner, era, |core, task, view| {
            view.write_state(out, era, id, &core.trailer, |out| {
                if era == Era::Modern {
                    write_outcome_members(out, task);
                }
            });
        });
        Disposition::ok()
    }

    fn cancel_task(
        &mut self,
        request: TaskRequest<'_>,
        task: TaskId,
        owner: &TaskOwner,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let now_ms = self.tasks_now_ms();
        match self.tasks.table.cancel(task, owner, now_ms) {
            Ok(waiters) => {
                self.meter.count(Counter::TasksCancelled);
                self.stop_task(task);
                self.task_changed(task, owner);
                self.answer_waiters(waiters);
            }
            // To cancel what is over is no fault in the modern era.
            Err(_) if request.session.is_none() => {}
            Err(error) => return invalid_params(request.id, &error.to_string(), out),
        }
        if request.session.is_some() {
            return self.write_task(request.id, task, owner, out);
        }
        self.trailer.write_empty(out, Era::Modern, request.id);
        Disposition::ok()
    }

    /// `tasks/update`: answers under keys that wait for none are ignored.
    fn update_task(
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
        let now_ms = self.tasks_now_ms();
        let key = self.tasks.running.get(&task).copied();
        let mut has_answers = false;
        for (name, response) in responses {
            if self.tasks.take_note(task, owner, name, now_ms) {
                self.hand_over(key, name, response);
                has_answers = true;
            }
        }
        if has_answers {
            self.task_changed(task, owner);
        }
        self.trailer.write_empty(out, Era::Modern, request.id);
        Disposition::ok()
    }

    fn hand_over(&mut self, key: Option<CallKey>, name: &str, response: Value<'_>) {
        let Some(entry) = key.and_then(|key| self.calls.find(key)) else {
            return;
        };
        if let Some(place) = entry.call.place_of(name) {
            entry.call.answer(place, Ok(response.to_serde()));
        }
    }

    /// `tasks/result`: waits for the end of the task, and meanwhile takes what it asks.
    fn await_task(
        &mut self,
        request: TaskRequest<'_>,
        task: TaskId,
        owner: TaskOwner,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (id, exchange) = (request.id, request.exchange);
        let now_ms = self.tasks_now_ms();
        let place = self.tasks.waiting.insert(Waiting {
            exchange,
            id: OwnedId::from(id),
            task,
            owner: owner.clone(),
        });
        let waiter = Waiter(place as u64);
        let mut wait = self.tasks.table.wait(task, &owner, waiter, now_ms);
        if let Err(TaskError::TooManyWaiters { .. }) = wait {
            self.dismiss_waiter(task, &owner);
            wait = self.tasks.table.wait(task, &owner, waiter, now_ms);
        }
        if wait != Ok(Wait::Registered) {
            self.tasks.waiting.remove(place);
            self.write_task_result(out, id, task, &owner);
            return Disposition::ok();
        }
        if let Some(task) = self.tasks.table.get(task, &owner, now_ms) {
            for (_, request) in task.requests() {
                let part = Part::message(request.to_vec());
                self.deliveries.push_back(Delivery { exchange, part });
            }
        }
        Disposition::Pending(None)
    }

    /// Lets the first who waits for a task wait no longer: whoever asks again and again has
    /// probably left the requests before.
    fn dismiss_waiter(&mut self, task: TaskId, owner: &TaskOwner) {
        let found = self.tasks.table.get(task, owner, self.tasks_now_ms());
        let Some(waiter) = found.and_then(|task| task.waiters().first().copied()) else {
            return;
        };
        self.tasks.table.leave(task, waiter);
        if let Some(waiting) = self.tasks.waiting.try_remove(waiter.0 as usize) {
            let mut body = Vec::new();
            let text = "too many requests wait for the result of the task";
            let id = Some(waiting.id.as_id());
            encode::write_error(&mut body, id, error_code::INTERNAL_ERROR, text);
            self.deliveries
                .push_back(Delivery::answer(waiting.exchange, body));
        }
    }

    /// Writes the answer to `tasks/result` of a task that is over: that of its request.
    pub(super) fn write_task_result(
        &self,
        out: &mut Vec<u8>,
        id: Id<'_>,
        task: TaskId,
        owner: &TaskOwner,
    ) {
        let Some(found) = self.tasks.table.get(task, owner, self.tasks_now_ms()) else {
            unknown_task(id, out);
            return;
        };
        match &found.outcome {
            Some(Outcome::Result { result, .. }) => {
                encode::begin_result(out, id);
                write_related_result(out, result, str_of(&task.to_text()));
                encode::end(out);
            }
            Some(Outcome::Error(error)) => AnswerPart::Error(error).write(out, id),
            Some(Outcome::Lost(not_kept)) => {
                let text = text_of_lost(*not_kept);
                encode::write_error(out, Some(id), error_code::INTERNAL_ERROR, &text);
            }
            None => {
                let text = "the task was cancelled and has no result";
                encode::write_error(out, Some(id), error_code::INVALID_PARAMS, text);
            }
        }
    }

    fn list_tasks(
        &self,
        id: Id<'_>,
        params: Option<Value<'_>>,
        owner: &TaskOwner,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let cursor = params
            .and_then(|params| params.as_object())
            .and_then(|object| object.get("cursor"));
        let read = cursor.map(|cursor| ListCursor::parse(cursor.as_str()?.as_bytes()));
        let now_ms = self.tasks_now_ms();
        let page = match read {
            Some(None) => None,
            read => {
                let listed = self
                    .tasks
                    .table
                    .list(owner, read.flatten(), PAGE_TASKS_MAX, now_ms);
                listed.ok()
            }
        };
        let Some(page) = page else {
            return invalid_params(id, "no such cursor: list again without one", out);
        };
        encode::begin_result(out, id);
        out.extend_from_slice(br#"{"tasks":["#);
        for (at, task) in page.tasks.iter().enumerate() {
            out.extend_from_slice(if at > 0 { b",{" } else { b"{" });
            self.view(task, Era::Legacy, |view| {
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

    /// Lets `use_view` see a task that its owner knows.
    pub(super) fn view_task(
        &self,
        task: TaskId,
        owner: &TaskOwner,
        era: Era,
        use_view: impl FnOnce(&Core, &Task, &TaskView<'_>),
    ) {
        if let Some(task) = self.tasks.table.get(task, owner, self.tasks_now_ms()) {
            self.view(task, era, |view| use_view(self, task, view));
        }
    }

    fn view(&self, task: &Task, era: Era, use_view: impl FnOnce(&TaskView<'_>)) {
        let (created_at, updated_at) = (rfc3339(task.created_ms), rfc3339(task.updated_ms));
        use_view(&TaskView {
            id: str_of(&task.id.to_text()),
            status: status_in(era, task),
            message: task.message.as_deref(),
            created_at: &created_at.to_string(),
            updated_at: &updated_at.to_string(),
            ttl_ms: task.ttl_ms,
            poll_interval_ms: self.tasks.table.poll_interval_ms(),
        });
    }
}

/// Appends what is known of how a modern task stands, behind its members.
pub(super) fn write_outcome_members(out: &mut Vec<u8>, task: &Task) {
    match &task.outcome {
        Some(Outcome::Result { result, .. }) => {
            out.extend_from_slice(br#","result":"#);
            out.extend_from_slice(result);
        }
        Some(Outcome::Error(error)) => {
            out.extend_from_slice(br#","error":"#);
            out.extend_from_slice(error);
        }
        Some(Outcome::Lost(not_kept)) => {
            write_error_member(out, &text_of_lost(*not_kept));
        }
        None if task.status == TaskStatus::InputRequired => {
            out.extend_from_slice(br#","inputRequests":{"#);
            for (at, (key, request)) in task.requests().enumerate() {
                out.extend_from_slice(if at > 0 { b"," } else { b"" });
                encode::write_string(out, key);
                out.push(b':');
                out.extend_from_slice(request);
            }
            out.push(b'}');
        }
        None => {}
    }
}

/// The state as it is called: a tool that failed at its job fails its task in the legacy era, and
/// completes it in the modern one.
fn status_in(era: Era, task: &Task) -> &'static str {
    match (era, &task.outcome) {
        (Era::Legacy, Some(Outcome::Result { is_error: true, .. })) => TaskStatus::Failed.as_str(),
        _ => task.status.as_str(),
    }
}

/// The era of an owner's requests: only sessions own tasks in the legacy one.
fn era_of(owner: &TaskOwner) -> Era {
    match owner {
        TaskOwner::Session(_) => Era::Legacy,
        TaskOwner::Principal(_) | TaskOwner::Nobody => Era::Modern,
    }
}

fn text_of_lost(not_kept: NotKept) -> String {
    format!("the result was not kept: {not_kept}")
}

/// Appends that a modern task failed for a reason of the server.
pub(super) fn write_error_member(out: &mut Vec<u8>, text: &str) {
    let mut answer = Vec::new();
    let code = error_code::INTERNAL_ERROR;
    encode::write_error(&mut answer, Some(KEPT_ANSWER_ID), code, text);
    if let Some(AnswerPart::Error(error)) = AnswerPart::of(&answer) {
        out.extend_from_slice(br#","error":"#);
        out.extend_from_slice(error);
    }
}

fn unknown_task(id: Id<'_>, out: &mut Vec<u8>) -> Disposition {
    invalid_params(id, "no such task, or its time is over", out)
}

pub(super) fn str_of(text: &[u8]) -> &str {
    str::from_utf8(text).expect("an id is hex digits")
}

//! Calls that become tasks: how a task is made, asks its client, and ends.
//!
//! A task is a call in flight whose client was answered already. Its handler runs on as that of
//! any call; what comes of it goes to the [`TaskTable`] instead of a connection, and no connection
//! that closes cancels it: only its client does, by name, or the end of its time.

mod requests;
mod status;
mod watchers;

pub(super) use requests::TaskRequest;

use std::collections::HashMap;

use corelane_protocol::binding::refusal::{Reason, clip};
use corelane_protocol::jsonrpc::{OwnedId, encode};
use corelane_protocol::mcp::capability::ClientCapability;
use corelane_protocol::mcp::content::Content;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::input_required::write_input_request;
use corelane_protocol::mcp::tasks::{
    AnswerPart, KEPT_ANSWER_ID, RELATED_TASK, TaskOptions, TaskSupport,
};
use corelane_protocol::mcp::tools::ToolResult;
use slab::Slab;

use super::call_table::InFlight;
use super::dispatch::{Caller, invalid_params};
use super::endpoint::Core;
use super::session_id::SessionId;
use super::task_id::TaskId;
use super::task_table::{TaskLimits, TaskOwner, TaskStatus, TaskTable, Waiter};
use super::{Delivery, Disposition, Exchange, Part};
use crate::handler::Call;
use crate::handler::call::Event;
use crate::handler::error::Kind;
use crate::handler::event_queue::CallKey;
use crate::handler::runner::{Answer, Outcome, Started};
use crate::meter::Counter;
use watchers::Watchers;

/// Tasks forgotten in one turn because their time is over; the others wait for the next one.
const TASKS_EXPIRED_PER_TURN: usize = 64;

/// The tasks of a shard, and what the table does not know of them.
pub(super) struct Tasks {
    pub(super) table: TaskTable,
    /// The calls of tasks that run.
    running: HashMap<TaskId, CallKey>,
    /// Who waits in `tasks/result`; a [`Waiter`] is a place in here.
    waiting: Slab<Waiting>,
    /// Who listens to modern tasks.
    pub(super) watchers: Watchers,
    /// When the shard started, in milliseconds since 1970: tasks show their times.
    started_unix_ms: u64,
    /// Tasks and evictions of the table that were counted.
    counted: (usize, u64),
}

/// A `tasks/result` whose task is not over.
struct Waiting {
    exchange: Exchange,
    id: OwnedId,
    task: TaskId,
    owner: TaskOwner,
}

impl Tasks {
    /// No tasks, on the shard `home` that started at `started_unix_ms`.
    pub(super) fn new(home: u16, limits: TaskLimits, started_unix_ms: u64) -> Tasks {
        Tasks {
            table: TaskTable::new(home, limits),
            running: HashMap::new(),
            waiting: Slab::new(),
            watchers: Watchers::default(),
            started_unix_ms,
            counted: (0, 0),
        }
    }

    /// When the next task is forgotten, in milliseconds since the shard started.
    pub(super) fn next_expiry_ms(&self) -> Option<u64> {
        let expiry_ms = self.table.next_expiry_ms()?;
        Some(expiry_ms.saturating_sub(self.started_unix_ms))
    }
}

impl TaskOwner {
    /// Whose the tasks of a request are: a session's, which is of one principal; without one, in
    /// the modern era, those of a principal, or of nobody.
    pub(super) fn of(session: Option<SessionId>, principal: Option<&str>) -> TaskOwner {
        match (session, principal) {
            (Some(session), _) => TaskOwner::Session(session),
            (None, Some(principal)) => TaskOwner::Principal(principal.into()),
            (None, None) => TaskOwner::Nobody,
        }
    }
}

impl InFlight {
    /// Whose task it is, if it is one.
    fn task_owner(&self) -> TaskOwner {
        TaskOwner::of(self.session, self.call.principal().as_deref())
    }
}

impl Core {
    /// The time that tasks show, in milliseconds since 1970.
    pub(super) fn tasks_now_ms(&self) -> u64 {
        self.tasks.started_unix_ms + self.now_ms
    }

    /// The task that a call of a tool with `support` is to become, if any.
    ///
    /// # Errors
    /// The refusal that was written.
    pub(super) fn task_options(
        &self,
        support: Option<TaskSupport>,
        caller: &Caller<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<TaskOptions>, Disposition> {
        let (era, id) = (caller.era, caller.id);
        if era == Era::Modern {
            let needed = ClientCapability::Tasks;
            return match support {
                Some(_) if caller.options.capabilities.contains(needed) => {
                    Ok(Some(TaskOptions::default()))
                }
                Some(TaskSupport::Required) => {
                    Err(self.refuse(Some(id), Reason::MissingCapability(needed), out))
                }
                _ => Ok(None),
            };
        }
        let wish = match TaskOptions::read(caller.params) {
            // A server that declares no tasks passes over what is wished (2025-11-25 tasks).
            _ if !caller.has_tasks || !self.catalog.offer().tasks => None,
            Ok(wish) => wish,
            Err(error) => return Err(invalid_params(id, &error.to_string(), out)),
        };
        let fault = match (support, wish) {
            (None, Some(_)) => "the tool cannot be called as a task",
            (Some(TaskSupport::Required), None) => "the tool can be called as a task only",
            _ => return Ok(wish),
        };
        encode::write_error(out, Some(id), error_code::METHOD_NOT_FOUND, fault);
        Err(Disposition::ok())
    }

    /// Makes a call a task, and tells its client. There is room for it.
    pub(super) fn begin_task(
        &mut self,
        caller: Caller<'_>,
        (call, started): (Call, Started),
        wish: TaskOptions,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (era, id) = (caller.era, caller.id);
        let owner = TaskOwner::of(caller.session, caller.requester.principal());
        let now_ms = self.tasks_now_ms();
        let made = self.tasks.table.create(owner.clone(), wish.ttl_ms, now_ms);
        let Ok(task) = made else {
            let reason = Reason::Overloaded("too many tasks are running");
            return self.refuse(Some(id), reason, out);
        };
        let rest = match started {
            Started::Waiting(waiting) => Ok(waiting),
            Started::Ready(outcome) => Err(outcome),
            Started::BadArguments(text) => {
                let text = format!("invalid arguments: {text}");
                Err(Ok(Answer::Tool(ToolResult::error(text))))
            }
        };
        call.become_task();
        self.take_over_status(&call, task, &owner);
        let key = self.keep(caller, call, rest);
        if let Some(entry) = self.calls.find(key) {
            entry.made_task = Some(task);
            entry.exchange = None;
        }
        self.tasks.running.insert(task, key);
        self.meter.count(Counter::TasksCreated);
        self.count_tasks();
        self.view_task(task, &owner, era, |core, _, view| {
            view.write_created(out, era, id, &core.trailer);
        });
        Disposition::ok()
    }

    /// Passes on what the handler of a task asks.
    pub(super) fn ask_in_task(&mut self, key: CallKey) {
        let now_ms = self.tasks_now_ms();
        let Some(entry) = self.calls.find(key) else {
            return;
        };
        let Some(task) = entry.made_task else { return };
        let (era, owner) = (entry.era, entry.task_owner());
        let mut has_asked = false;
        for (place, id, name, request) in entry.call.questions_to_pass_on() {
            let mut encoded = Vec::new();
            let (name, request) = match era {
                Era::Modern => {
                    write_input_request(&mut encoded, &request);
                    (name, encoded)
                }
                Era::Legacy => {
                    request.write_request(&mut encoded, &id);
                    (id, related(encoded, task))
                }
            };
            let asked = self.tasks.table.ask(task, &name, request.clone(), now_ms);
            has_asked |= asked.is_ok();
            match asked {
                Err(error) => entry.call.answer(place, Err(error.to_string())),
                Ok(()) if era == Era::Modern => {}
                // One who waits for the result is asked at once, others when they come.
                Ok(()) => {
                    let waiter = self.tasks.last_waiter(task, &owner, now_ms);
                    self.deliveries.extend(waiter.map(|exchange| Delivery {
                        exchange,
                        part: Part::message(request),
                    }));
                }
            }
        }
        if has_asked {
            self.task_changed(task, &owner);
        }
    }

    /// Notes that a legacy client answered a task.
    pub(super) fn note_answered(&mut self, task: TaskId, session: SessionId, question_id: &str) {
        let (owner, now_ms) = (TaskOwner::Session(session), self.tasks_now_ms());
        // A task whose time is over needs no note.
        if self.tasks.take_note(task, &owner, question_id, now_ms) {
            let found = self.tasks.table.get(task, &owner, now_ms);
            if found.is_some_and(|task| task.status == TaskStatus::Working) {
                self.task_changed(task, &owner);
            }
        }
    }

    /// Moves the messages of a legacy task to whoever waits for its result, or to the session's
    /// stream. Without either nobody hears them: a handler does not wait for a client that left.
    pub(super) fn pump_task_events(&mut self, key: CallKey) {
        let now_ms = self.tasks_now_ms();
        let Some(entry) = self.calls.find(key) else {
            return;
        };
        let (Some(task), session) = (entry.made_task, entry.session) else {
            return;
        };
        let owner = entry.task_owner();
        let call = entry.call.clone();
        if std::mem::take(&mut entry.has_unsent_status) {
            self.task_changed(task, &owner);
        }
        let waiter = self.tasks.last_waiter(task, &owner, now_ms);
        while let Some(event) = call.take_event() {
            // A task has no stream of its own that could be closed for a while.
            let Event::Message(message) = event else {
                continue;
            };
            let message = related(message, task);
            match (waiter, session) {
                (Some(exchange), _) => self.deliveries.push_back(Delivery {
                    exchange,
                    part: Part::message(message),
                }),
                (None, Some(session)) => self.notify_session(session, message),
                (None, None) => {}
            }
        }
    }

    /// Notes how the call of a task ended; it was cancelled or its time was over if there is no
    /// outcome, and the table knows.
    pub(super) fn end_task(&mut self, task: TaskId, entry: &InFlight, outcome: Option<Outcome>) {
        self.tasks.running.remove(&task);
        let Some(outcome) = outcome else { return };
        let is_error = match &outcome {
            Ok(Answer::Tool(result)) => result.is_error,
            Ok(_) => false,
            Err(error) => matches!(error.kind(), Kind::Failed(_)),
        };
        let fault = fault_of(&outcome, entry.era);
        let mut answer = Vec::new();
        self.write_outcome(&mut answer, entry.era, KEPT_ANSWER_ID, entry.asked, outcome);
        let now_ms = self.tasks_now_ms();
        let table = &mut self.tasks.table;
        let ended = match AnswerPart::of(&answer) {
            Some(AnswerPart::Result(result)) => {
                table.complete(task, result.to_vec(), is_error, now_ms)
            }
            Some(AnswerPart::Error(error)) => table.fail(task, error.to_vec(), now_ms),
            None => unreachable!("an answer has a result or an error"),
        };
        if let Some(text) = fault {
            table.explain(task, clip(&text));
        }
        self.count_tasks();
        // A task that was forgotten meanwhile has nobody to tell.
        if let Ok(waiters) = ended {
            self.task_changed(task, &entry.task_owner());
            self.answer_waiters(waiters);
        }
    }

    /// Forgets tasks whose time is over, and stops their handlers.
    pub(super) fn expire_tasks(&mut self) {
        let now_ms = self.tasks_now_ms();
        let removed = self.tasks.table.expire(now_ms, TASKS_EXPIRED_PER_TURN);
        for removed in removed {
            self.meter.count(Counter::TasksExpired);
            self.stop_task(removed.id);
            self.tasks.watchers.changed(removed.id);
            self.answer_waiters(removed.waiters);
        }
        self.count_tasks();
    }

    /// Forgets the tasks of a session that ended. Its calls were stopped.
    pub(super) fn forget_tasks(&mut self, session: SessionId) {
        let removed = self.tasks.table.forget_owner(&TaskOwner::Session(session));
        for removed in removed {
            self.answer_waiters(removed.waiters);
        }
        self.count_tasks();
    }

    /// Stops the handler of a task, if it runs.
    fn stop_task(&mut self, task: TaskId) {
        if let Some(key) = self.tasks.running.get(&task).copied() {
            self.cancel(key);
        }
    }

    fn answer_waiters(&mut self, waiters: Vec<Waiter>) {
        for waiter in waiters {
            let Some(waiting) = self.tasks.waiting.try_remove(waiter.0 as usize) else {
                continue;
            };
            let mut body = Vec::new();
            let id = waiting.id.as_id();
            self.write_task_result(&mut body, id, waiting.task, &waiting.owner);
            self.deliveries
                .push_back(Delivery::answer(waiting.exchange, body));
        }
    }

    /// Brings the counters up to what the table says.
    fn count_tasks(&mut self) {
        let (kept, evicted) = (self.tasks.table.len(), self.tasks.table.evicted());
        let (kept_before, evicted_before) = self.tasks.counted;
        for _ in kept_before..kept {
            self.meter.count(Counter::TasksKept);
        }
        for _ in kept..kept_before {
            self.meter.uncount(Counter::TasksKept);
        }
        let since = evicted - evicted_before;
        self.meter.add(Counter::TasksEvicted, since);
        self.tasks.counted = (kept, evicted);
    }
}

impl Tasks {
    /// Notes that a request of a task was answered; whether it waited for that. The handler is here
    /// and takes the answer itself: nothing of it is kept.
    fn take_note(&mut self, task: TaskId, owner: &TaskOwner, name: &str, now_ms: u64) -> bool {
        let is_awaited = self.table.answer(task, owner, name, Vec::new(), now_ms) == Ok(true);
        if is_awaited {
            self.table.take_answers(task);
        }
        is_awaited
    }

    /// Where the last one who waits for the result of a task is reached, who is the most likely to
    /// be there still.
    fn last_waiter(&self, task: TaskId, owner: &TaskOwner, now_ms: u64) -> Option<Exchange> {
        let waiter = self.table.get(task, owner, now_ms)?.waiters().last()?;
        let waiting = self.waiting.get(waiter.0 as usize)?;
        Some(waiting.exchange)
    }
}

/// A legacy message with the name of its task in `params._meta`.
fn related(message: Vec<u8>, task: TaskId) -> Vec<u8> {
    let Ok(mut related) = serde_json::from_slice::<serde_json::Value>(&message) else {
        return message;
    };
    let id = task.to_text();
    let id = String::from_utf8_lossy(&id);
    related["params"]["_meta"][RELATED_TASK] = serde_json::json!({ "taskId": id });
    serde_json::to_vec(&related).unwrap_or(message)
}

/// Why a task has failed, for people (MCP 2025-11-25 basic/utilities/tasks, "Task Execution
/// Errors"). In the modern era a tool that failed completes its task.
fn fault_of(outcome: &Outcome, era: Era) -> Option<String> {
    let result = match outcome {
        Ok(Answer::Tool(result)) => result,
        Ok(_) => return None,
        Err(error) if era == Era::Modern && matches!(error.kind(), Kind::Failed(_)) => return None,
        Err(error) => return Some(error.to_string()),
    };
    if era == Era::Modern || !result.is_error {
        return None;
    }
    let text = result.content.iter().find_map(|content| match content {
        Content::Text(text) => Some(text.clone().into_owned()),
        _ => None,
    });
    text.or_else(|| Some("the tool failed: its result says why".to_owned()))
}

//! Tasks of a shard: calls whose client was answered already and fetches the result later.
//!
//! A task is a call in flight. Its handler runs like that of any call; its result goes to the
//! [`TaskTable`] instead of a connection, and no closed connection cancels it: only its client
//! does, by its id, or its expiry.

mod view;
mod watchers;

pub(super) use view::{unknown_task, write_outcome_members};
pub(super) use watchers::{WatchedTask, Watchers};

use std::collections::HashMap;
use std::rc::Rc;

use corelane_protocol::jsonrpc::{Id, OwnedId, encode};
use corelane_protocol::mcp::error_code;
use slab::Slab;

use super::delivery::{Delivery, Part};
use super::exchange::Exchange;
use super::outbox::Outbox;
use super::task_id::TaskId;
use super::task_table::{
    RunningStatus, TaskError, TaskLimits, TaskOwner, TaskStatus, TaskTable, Wait, Waiter,
};
use crate::handler::event_queue::CallKey;
use crate::meter::{Counter, ShardMeter};

/// The tasks of a shard, the calls that run them, and the clients that wait for them.
pub(super) struct Tasks {
    pub(super) table: TaskTable,
    /// Subscriptions to modern tasks.
    pub(super) watchers: Watchers,
    /// The calls of tasks that run.
    running: HashMap<TaskId, CallKey>,
    /// Requests that wait in `tasks/result`; a [`Waiter`] is a place in here.
    waiting: Slab<Waiting>,
    /// Tasks and evictions of the table that were counted.
    counted: (usize, u64),
    meter: Rc<ShardMeter>,
}

/// A `tasks/result` whose task is not over.
struct Waiting {
    exchange: Exchange,
    id: OwnedId,
    task: TaskId,
    owner: TaskOwner,
}

impl Tasks {
    /// No tasks, on the shard `home`.
    pub(super) fn new(home: u16, limits: TaskLimits, meter: Rc<ShardMeter>) -> Tasks {
        Tasks {
            table: TaskTable::new(home, limits),
            watchers: Watchers::new(Rc::clone(&meter)),
            running: HashMap::new(),
            waiting: Slab::new(),
            counted: (0, 0),
            meter,
        }
    }

    /// Records that the call `key` runs as a task that was just made.
    pub(super) fn run(&mut self, task: TaskId, key: CallKey) {
        self.running.insert(task, key);
        self.meter.count(Counter::TasksCreated);
        self.measure();
    }

    /// The call that runs a task, while it does.
    pub(super) fn call_of(&self, task: TaskId) -> Option<CallKey> {
        self.running.get(&task).copied()
    }

    /// Notes that the call of a task ended.
    pub(super) fn stop_running(&mut self, task: TaskId) {
        self.running.remove(&task);
    }

    /// Sets the message of a task; returns whether it changed. A handler does not fail for its
    /// message: one that does not fit is dropped.
    pub(super) fn set_message(
        &mut self,
        task: TaskId,
        owner: &TaskOwner,
        text: &str,
        now_ms: u64,
    ) -> bool {
        let Some(found) = self.table.get(task, owner, now_ms) else {
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
        self.table.set_status(task, state, text, now_ms).is_ok()
    }

    /// Records that an input request of a task was answered; returns whether it waited for that.
    /// The handler takes the response itself: the table keeps none of it.
    pub(super) fn note_answer(
        &mut self,
        task: TaskId,
        owner: &TaskOwner,
        key: &str,
        now_ms: u64,
    ) -> bool {
        let is_awaited = self.table.answer(task, owner, key, Vec::new(), now_ms) == Ok(true);
        if is_awaited {
            self.table.take_answers(task);
        }
        is_awaited
    }

    /// The place of the last request that waits for the result of a task: its client is the most
    /// likely to be there still.
    pub(super) fn last_waiter(
        &self,
        task: TaskId,
        owner: &TaskOwner,
        now_ms: u64,
    ) -> Option<Exchange> {
        let waiter = self.table.get(task, owner, now_ms)?.waiters().last()?;
        let waiting = self.waiting.get(waiter.0 as usize)?;
        Some(waiting.exchange)
    }

    /// Lets the request `id` wait for the result of a task; returns whether it must. When too many
    /// requests wait, the oldest is answered with an error: a client that sends it again and again
    /// has probably left the earlier ones.
    pub(super) fn wait_for_result(
        &mut self,
        (task, owner): (TaskId, &TaskOwner),
        (id, exchange): (Id<'_>, Exchange),
        now_ms: u64,
        outbox: &mut Outbox,
    ) -> bool {
        let place = self.waiting.insert(Waiting {
            exchange,
            id: OwnedId::from(id),
            task,
            owner: owner.clone(),
        });
        let waiter = Waiter(place as u64);
        let mut wait = self.table.wait(task, owner, waiter, now_ms);
        if let Err(TaskError::TooManyWaiters { .. }) = wait {
            self.dismiss_oldest_waiter(task, owner, now_ms, outbox);
            wait = self.table.wait(task, owner, waiter, now_ms);
        }
        let is_waiting = wait == Ok(Wait::Registered);
        if !is_waiting {
            self.waiting.remove(place);
        }
        is_waiting
    }

    /// Ends the request `id` of `owner` for the result of a task, if it waits, without an answer.
    pub(super) fn cancel_wait(
        &mut self,
        (owner, id): (&TaskOwner, Id<'_>),
        now_ms: u64,
        outbox: &mut Outbox,
    ) {
        let tasks = self.table.list(owner, None, usize::MAX, now_ms);
        let tasks = tasks.map_or(Vec::new(), |page| page.tasks);
        let mut waiters = tasks.iter().flat_map(|task| task.waiters().iter().copied());
        let waiter = waiters.find(|waiter| {
            let waiting = self.waiting.get(waiter.0 as usize);
            waiting.is_some_and(|it| it.id == id)
        });
        if let Some(waiter) = waiter
            && let Some(waiting) = self.waiting.try_remove(waiter.0 as usize)
        {
            self.table.leave(waiting.task, waiter);
            outbox.end_call(waiting.exchange, waiting.id.as_id(), Part::Unanswered);
        }
    }

    fn dismiss_oldest_waiter(
        &mut self,
        task: TaskId,
        owner: &TaskOwner,
        now_ms: u64,
        outbox: &mut Outbox,
    ) {
        let found = self.table.get(task, owner, now_ms);
        let Some(waiter) = found.and_then(|task| task.waiters().first().copied()) else {
            return;
        };
        self.table.leave(task, waiter);
        if let Some(waiting) = self.waiting.try_remove(waiter.0 as usize) {
            let mut body = Vec::new();
            let text = "too many requests wait for the result of the task";
            let id = Some(waiting.id.as_id());
            encode::write_error(&mut body, id, error_code::INTERNAL_ERROR, text);
            let Delivery { exchange, part } = Delivery::answer(waiting.exchange, body);
            outbox.push(exchange, part);
        }
    }

    /// Answers requests that waited for the end of a task.
    pub(super) fn answer_waiters(
        &mut self,
        waiters: Vec<Waiter>,
        now_ms: u64,
        outbox: &mut Outbox,
    ) {
        for waiter in waiters {
            let Some(waiting) = self.waiting.try_remove(waiter.0 as usize) else {
                continue;
            };
            let mut body = Vec::new();
            let id = waiting.id.as_id();
            self.write_result(&mut body, id, (waiting.task, &waiting.owner), now_ms);
            let Delivery { exchange, part } = Delivery::answer(waiting.exchange, body);
            outbox.push(exchange, part);
        }
    }

    /// Updates the counters from the table.
    pub(super) fn measure(&mut self) {
        let (kept, evicted) = (self.table.len(), self.table.evicted());
        let (kept_before, evicted_before) = self.counted;
        for _ in kept_before..kept {
            self.meter.count(Counter::TasksKept);
        }
        for _ in kept..kept_before {
            self.meter.uncount(Counter::TasksKept);
        }
        let since = evicted - evicted_before;
        self.meter.add(Counter::TasksEvicted, since);
        self.counted = (kept, evicted);
    }
}

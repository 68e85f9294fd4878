//! Tasks of one home shard, in both eras: requests whose results are fetched later.
//!
//! A task belongs to a principal, to a session or has no owner; to all others it is unknown, as is
//! an expired one. It is kept for a time that counts from its creation, or until it is over and
//! evicted for others: the one that ended first is evicted first. A holder past its share of places
//! or bytes loses its own before another does. A running task is never evicted; if only such tasks
//! are left, another one is refused.
//!
//! Functions for handlers take an id alone; functions for requests of peers take the owner and the
//! time too. Time is an argument: milliseconds since 1970, because tasks show it. The table stores
//! encoded values and never reads them, runs nothing and wakes nothing: when a task ends, its
//! waiters are returned to the caller.

mod error;
mod limits;
mod page;
mod status;
mod store;
mod task;
#[cfg(test)]
mod tests;

pub(crate) use error::{CreateError, NotKept, TaskError, UnknownCursor};
pub(crate) use limits::TaskLimits;
pub(crate) use page::{ListCursor, Page};
pub(crate) use status::{RunningStatus, TaskStatus};
pub(crate) use task::{Outcome, Task, TaskOwner, Waiter};

use super::age_list::Links;
use super::home_id::RandomBits;
use super::task_id::TaskId;
use crate::guard::holder::HolderKey;
use store::{INPUT_OVERHEAD_BYTES, TaskStore, WAITERS_MAX};
use task::{InputProgress, InputRequest};

/// Input requests that a task may make in its life: their keys are remembered.
const INPUTS_MAX: usize = 128;

/// A task that is no longer kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Removed {
    /// Its name.
    pub(crate) id: TaskId,
    /// Whether its handler still runs, for no client. The caller that stops handlers knows.
    #[cfg(test)]
    pub(crate) was_running: bool,
    /// The clients that wait for an end that will not come.
    pub(crate) waiters: Vec<Waiter>,
}

/// Whether a waiter has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The task is over.
    Over,
    /// The waiter is handed back when it is.
    Registered,
}

/// The tasks of a shard; see the module's text.
#[derive(Debug)]
pub(crate) struct TaskTable {
    home: u16,
    random: RandomBits,
    store: TaskStore,
    next_ordinal: u64,
}

impl TaskTable {
    /// A table of the shard `home` without tasks.
    pub(crate) fn new(home: u16, limits: TaskLimits) -> TaskTable {
        TaskTable {
            home,
            random: RandomBits::default(),
            store: TaskStore::new(limits),
            next_ordinal: 0,
        }
    }

    /// Changes the limits. Past a lower one [`TaskTable::shrink`] evicts finished tasks.
    pub(crate) fn set_limits(&mut self, limits: TaskLimits) {
        self.store.set_limits(limits);
    }

    /// Whether there are finished tasks past a limit that was lowered.
    pub(crate) fn is_shrinking(&self) -> bool {
        self.store.is_shrinking()
    }

    /// Evicts one of them.
    pub(crate) fn shrink(&mut self) {
        self.store.shrink();
    }

    /// How many tasks are kept.
    pub(crate) fn len(&self) -> usize {
        self.store.tasks.len()
    }

    /// Counted bytes of all tasks, overhead included.
    pub(crate) fn bytes(&self) -> usize {
        self.store.bytes()
    }

    /// The number of finished tasks that were evicted.
    pub(crate) fn evicted(&self) -> u64 {
        self.store.evicted()
    }

    /// The recommended interval between two fetches of a task's state, in milliseconds.
    pub(crate) fn poll_interval_ms(&self) -> u64 {
        self.store.limits.poll_interval_ms
    }

    /// No task's time is over before this.
    pub(crate) fn next_expiry_ms(&self) -> Option<u64> {
        self.store.next_expiry_ms()
    }

    /// Makes a task, which is working and counts for `holder`. It is kept for `ttl_ms` or the
    /// default, within the limit; never for less than the recommended interval between two fetches.
    ///
    /// # Errors
    /// When running tasks take all places of the owner, the holder or the shard.
    pub(crate) fn create(
        &mut self,
        owner: TaskOwner,
        holder: HolderKey,
        ttl_ms: Option<u64>,
        now_ms: u64,
    ) -> Result<TaskId, CreateError> {
        self.store.admit(&owner, holder)?;
        let limits = &self.store.limits;
        let ttl_ms = ttl_ms
            .unwrap_or(limits.ttl_default_ms)
            .max(limits.poll_interval_ms)
            .min(limits.ttl_max_ms);
        let id = TaskId {
            home: self.home,
            random: self.random.draw(),
        };
        self.store.insert(Task {
            id,
            status: TaskStatus::Working,
            message: None,
            created_ms: now_ms,
            updated_ms: now_ms,
            ttl_ms,
            outcome: None,
            owner,
            holder,
            ordinal: self.next_ordinal,
            inputs: Vec::new(),
            waiters: Vec::new(),
            bytes: 0,
            in_shard: Links::LOOSE,
            in_owner: Links::LOOSE,
            in_holder: Links::LOOSE,
        });
        self.next_ordinal += 1;
        Ok(id)
    }

    /// Evicts finished tasks for another task of `owner`: until the next change, its creation
    /// succeeds.
    ///
    /// # Errors
    /// When running tasks take all places of the owner, the holder or the shard.
    pub(crate) fn admit(
        &mut self,
        owner: &TaskOwner,
        holder: HolderKey,
    ) -> Result<(), CreateError> {
        self.store.admit(owner, holder)
    }

    /// The task called `id`, unless it is unknown to `owner`.
    pub(crate) fn get(&self, id: TaskId, owner: &TaskOwner, now_ms: u64) -> Option<&Task> {
        let index = self.known(id, owner, now_ms).ok()?;
        Some(&self.store.tasks[index as usize])
    }

    /// At most `page_max` tasks of `owner`, from the oldest on or from the end of a page. Tasks
    /// without an owner are not listed: their ids are their only protection.
    ///
    /// # Errors
    /// When the table never made the cursor.
    pub(crate) fn list(
        &self,
        owner: &TaskOwner,
        cursor: Option<ListCursor>,
        page_max: usize,
        now_ms: u64,
    ) -> Result<Page<'_>, UnknownCursor> {
        if cursor.is_some_and(|cursor| cursor.ordinal >= self.next_ordinal) {
            return Err(UnknownCursor);
        }
        let after = cursor.map(|cursor| cursor.ordinal);
        let tasks = self.store.of_owner(owner, after).map(|(_, task)| task);
        let mut tasks = tasks.filter(|task| !task.is_expired(now_ms));
        let page: Vec<&Task> = tasks.by_ref().take(page_max.max(1)).collect();
        let more = tasks.next().and(page.last());
        Ok(Page {
            next: more.map(|last| ListCursor {
                ordinal: last.ordinal,
            }),
            tasks: page,
        })
    }

    /// Sets the state of a running task, and its message. Requests of a task that continues to work
    /// are withdrawn.
    ///
    /// # Errors
    /// When the task is unknown or over, or the message does not fit.
    pub(crate) fn set_status(
        &mut self,
        id: TaskId,
        status: RunningStatus,
        message: Option<&str>,
        now_ms: u64,
    ) -> Result<(), TaskError> {
        let status = TaskStatus::from(status);
        let index = self.running(id, status)?;
        let task = &self.store.tasks[index as usize];
        let freed_bytes = task.message.as_ref().map_or(0, |message| message.len());
        let bytes = message.map_or(0, str::len);
        self.store.check_size(bytes)?;
        let more_bytes = bytes.saturating_sub(freed_bytes);
        self.store.make_room(index, more_bytes)?;
        let task = &mut self.store.tasks[index as usize];
        task.message = message.map(Box::from);
        if status == TaskStatus::Working {
            task.withdraw_requests();
        }
        task.become_at(status, now_ms);
        self.store.recount(index);
        Ok(())
    }

    /// Adds a request to the client, under a new `key`. The task requires input until all its
    /// requests are answered.
    ///
    /// # Errors
    /// When the task is unknown or over, has used the key or made too many requests, or the request
    /// does not fit.
    pub(crate) fn request(
        &mut self,
        id: TaskId,
        key: &str,
        request: Vec<u8>,
        now_ms: u64,
    ) -> Result<(), TaskError> {
        let index = self.running(id, TaskStatus::InputRequired)?;
        let inputs = &self.store.tasks[index as usize].inputs;
        if inputs.iter().any(|request| *request.key == *key) {
            return Err(TaskError::KeyUsed);
        }
        if inputs.len() >= INPUTS_MAX {
            return Err(TaskError::TooManyInputs {
                inputs_max: INPUTS_MAX,
            });
        }
        let bytes = key.len() + request.len();
        self.store.check_size(bytes)?;
        self.store.make_room(index, INPUT_OVERHEAD_BYTES + bytes)?;
        let task = &mut self.store.tasks[index as usize];
        task.inputs.push(InputRequest {
            key: key.into(),
            progress: InputProgress::Outstanding(request.into()),
        });
        task.become_at(TaskStatus::InputRequired, now_ms);
        self.store.recount(index);
        Ok(())
    }

    /// Takes the client's response to the request under `key`; returns whether there was such a
    /// request. With its last request answered, the task continues to work.
    ///
    /// # Errors
    /// When the task is unknown, or the response does not fit.
    pub(crate) fn answer(
        &mut self,
        id: TaskId,
        owner: &TaskOwner,
        key: &str,
        response: Vec<u8>,
        now_ms: u64,
    ) -> Result<bool, TaskError> {
        let index = self.known(id, owner, now_ms)?;
        let mut inputs = self.store.tasks[index as usize].inputs.iter();
        let Some(at) = inputs.position(|request| *request.key == *key && request.is_outstanding())
        else {
            return Ok(false);
        };
        let freed_bytes = self.store.tasks[index as usize].inputs[at].content_bytes();
        self.store.check_size(response.len())?;
        let more_bytes = response.len().saturating_sub(freed_bytes);
        self.store.make_room(index, more_bytes)?;
        let task = &mut self.store.tasks[index as usize];
        task.inputs[at].progress = InputProgress::Answered(response.into());
        if !task.inputs.iter().any(InputRequest::is_outstanding) {
            task.become_at(TaskStatus::Working, now_ms);
        }
        self.store.recount(index);
        Ok(true)
    }

    /// Moves the new responses to the handler, each with its key.
    pub(crate) fn take_answers(&mut self, id: TaskId) -> Vec<(Box<str>, Box<[u8]>)> {
        let Some(index) = self.store.index_of(id) else {
            return Vec::new();
        };
        let inputs = self.store.tasks[index as usize].inputs.iter_mut();
        let answers = inputs.filter_map(InputRequest::take_answer).collect();
        self.store.recount(index);
        answers
    }

    /// Ends a task with the result of its request; `is_error` means the result of a tool that
    /// failed. Returns the waiters. A result that does not fit is lost, and the task has failed.
    ///
    /// # Errors
    /// When the task is unknown or over.
    pub(crate) fn complete(
        &mut self,
        id: TaskId,
        result: Vec<u8>,
        is_error: bool,
        now_ms: u64,
    ) -> Result<Vec<Waiter>, TaskError> {
        let index = self.running(id, TaskStatus::Completed)?;
        let (status, outcome) = match self.make_last_room(index, result.len()) {
            Ok(()) => {
                let result = result.into();
                let outcome = Outcome::Result { result, is_error };
                (TaskStatus::Completed, outcome)
            }
            Err(not_kept) => (TaskStatus::Failed, Outcome::Lost(not_kept)),
        };
        Ok(self.end(index, status, Some(outcome), now_ms))
    }

    /// Ends a task with the error of its request. Returns the waiters. An error that does not fit
    /// is lost.
    ///
    /// # Errors
    /// When the task is unknown or over.
    pub(crate) fn fail(
        &mut self,
        id: TaskId,
        error: Vec<u8>,
        now_ms: u64,
    ) -> Result<Vec<Waiter>, TaskError> {
        let index = self.running(id, TaskStatus::Failed)?;
        let outcome = match self.make_last_room(index, error.len()) {
            Ok(()) => Outcome::Error(error.into()),
            Err(not_kept) => Outcome::Lost(not_kept),
        };
        Ok(self.end(index, TaskStatus::Failed, Some(outcome), now_ms))
    }

    /// Sets why a finished task has failed, if the text fits.
    pub(crate) fn explain(&mut self, id: TaskId, text: &str) {
        let index = self.store.index_of(id);
        let is_over = |index: &u32| self.store.tasks[*index as usize].status.is_terminal();
        if let Some(index) = index.filter(is_over) {
            self.store.explain(index, text);
        }
    }

    /// Ends a task at the request of its client. Returns the waiters.
    ///
    /// # Errors
    /// When the task is unknown or over.
    pub(crate) fn cancel(
        &mut self,
        id: TaskId,
        owner: &TaskOwner,
        now_ms: u64,
    ) -> Result<Vec<Waiter>, TaskError> {
        self.known(id, owner, now_ms)?;
        let index = self.running(id, TaskStatus::Cancelled)?;
        self.store.tasks[index as usize].clear();
        Ok(self.end(index, TaskStatus::Cancelled, None, now_ms))
    }

    /// Lets `waiter` wait for the end of a task.
    ///
    /// # Errors
    /// When the task is unknown, or too many wait already.
    pub(crate) fn wait(
        &mut self,
        id: TaskId,
        owner: &TaskOwner,
        waiter: Waiter,
        now_ms: u64,
    ) -> Result<Wait, TaskError> {
        let index = self.known(id, owner, now_ms)?;
        let task = &mut self.store.tasks[index as usize];
        if task.status.is_terminal() {
            return Ok(Wait::Over);
        }
        if task.waiters.len() >= WAITERS_MAX {
            return Err(TaskError::TooManyWaiters {
                waiters_max: WAITERS_MAX,
            });
        }
        task.waiters.push(waiter);
        Ok(Wait::Registered)
    }

    /// Removes `waiter` from the waiters of a task.
    pub(crate) fn leave(&mut self, id: TaskId, waiter: Waiter) {
        if let Some(index) = self.store.index_of(id) {
            let waiters = &mut self.store.tasks[index as usize].waiters;
            waiters.retain(|other| *other != waiter);
        }
    }

    /// Removes at most `budget` expired tasks, running or not.
    pub(crate) fn expire(&mut self, now_ms: u64, budget: usize) -> Vec<Removed> {
        let mut removed = Vec::new();
        while removed.len() < budget {
            let Some(index) = self.store.first_expired(now_ms) else {
                break;
            };
            removed.push(Removed::from(self.store.remove(index)));
        }
        removed
    }

    /// Removes every task of an owner that will not come back, such as an ended session.
    pub(crate) fn forget_owner(&mut self, owner: &TaskOwner) -> Vec<Removed> {
        let owned = self.store.of_owner(owner, None);
        let owned: Vec<u32> = owned.map(|(index, _)| index).collect();
        let removed = owned.into_iter().map(|index| self.store.remove(index));
        removed.map(Removed::from).collect()
    }

    /// The index of the task called `id`, if it is known to a peer.
    fn known(&self, id: TaskId, owner: &TaskOwner, now_ms: u64) -> Result<u32, TaskError> {
        let index = self.store.index_of(id).ok_or(TaskError::Unknown)?;
        let is_known = self.store.tasks[index as usize].is_known_to(owner, now_ms);
        is_known.then_some(index).ok_or(TaskError::Unknown)
    }

    /// The index of the task called `id`, if it can change to the state `to`.
    fn running(&self, id: TaskId, to: TaskStatus) -> Result<u32, TaskError> {
        let index = self.store.index_of(id).ok_or(TaskError::Unknown)?;
        let from = self.store.tasks[index as usize].status;
        if from.is_terminal() {
            return Err(TaskError::Transition { from, to });
        }
        Ok(index)
    }

    /// Drops the values that a task needs only while it runs, and evicts others for its outcome.
    fn make_last_room(&mut self, index: u32, bytes: usize) -> Result<(), NotKept> {
        self.store.tasks[index as usize].clear();
        self.store.recount(index);
        self.store.check_size(bytes)?;
        self.store.make_room(index, bytes)
    }

    fn end(
        &mut self,
        index: u32,
        status: TaskStatus,
        outcome: Option<Outcome>,
        now_ms: u64,
    ) -> Vec<Waiter> {
        let task = &mut self.store.tasks[index as usize];
        task.outcome = outcome;
        task.become_at(status, now_ms);
        let waiters = std::mem::take(&mut task.waiters);
        self.store.retire(index);
        waiters
    }
}

impl From<Task> for Removed {
    fn from(task: Task) -> Removed {
        Removed {
            id: task.id,
            #[cfg(test)]
            was_running: !task.status.is_terminal(),
            waiters: task.waiters,
        }
    }
}

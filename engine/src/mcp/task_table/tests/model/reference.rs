//! The model: a vector of tasks that is searched from end to end.

use super::super::{
    CreateError, NotKept, Outcome, RunningStatus, TaskError, TaskId, TaskLimits, TaskOwner,
    TaskStatus, Waiter, holder_of,
};
use crate::guard::shares::share_of;
use crate::mcp::task_table::store::{INPUT_OVERHEAD_BYTES, TASK_OVERHEAD_BYTES};

pub(super) struct Model {
    pub(super) limits: TaskLimits,
    /// In the order they were made.
    pub(super) tasks: Vec<ModelTask>,
    pub(super) endings: u64,
    pub(super) evicted: u64,
}

pub(super) struct ModelTask {
    pub(super) id: TaskId,
    pub(super) owner: TaskOwner,
    pub(super) status: TaskStatus,
    pub(super) expires_ms: u64,
    pub(super) updated_ms: u64,
    pub(super) message: Option<String>,
    /// Key, content, and whether it is an answer; a taken one has no content.
    pub(super) inputs: Vec<(String, Option<Vec<u8>>, bool)>,
    pub(super) waiters: Vec<Waiter>,
    pub(super) outcome: Option<Outcome>,
    pub(super) ended: Option<u64>,
}

impl ModelTask {
    pub(super) fn bytes(&self) -> usize {
        let inputs = self.inputs.iter().map(|(key, content, _)| {
            INPUT_OVERHEAD_BYTES + key.len() + content.as_ref().map_or(0, Vec::len)
        });
        let outcome = match &self.outcome {
            Some(Outcome::Result { result: bytes, .. } | Outcome::Error(bytes)) => bytes.len(),
            Some(Outcome::Lost(_)) | None => 0,
        };
        let message = self.message.as_ref().map_or(0, String::len);
        cost_of(&self.owner) + inputs.sum::<usize>() + outcome + message
    }

    pub(super) fn requests(&self) -> Vec<(&str, &[u8])> {
        let outstanding = self.inputs.iter().filter(|(_, _, is_answer)| !is_answer);
        outstanding
            .filter_map(|(key, content, _)| Some((key.as_str(), content.as_deref()?)))
            .collect()
    }
}

fn cost_of(owner: &TaskOwner) -> usize {
    match owner {
        TaskOwner::Principal(name) => TASK_OVERHEAD_BYTES + 2 * name.len(),
        _ => TASK_OVERHEAD_BYTES,
    }
}

impl Model {
    pub(super) fn bytes(&self) -> usize {
        self.tasks.iter().map(ModelTask::bytes).sum()
    }

    pub(super) fn at(&self, id: TaskId) -> Option<usize> {
        self.tasks.iter().position(|task| task.id == id)
    }

    pub(super) fn oldest_over(&self, owner: Option<&TaskOwner>) -> Option<usize> {
        let tasks = self.tasks.iter().enumerate();
        let own = tasks.filter(|(_, task)| owner.is_none_or(|owner| task.owner == *owner));
        let over = own.filter(|(_, task)| task.ended.is_some());
        over.min_by_key(|(_, task)| task.ended).map(|(at, _)| at)
    }

    pub(super) fn evict(&mut self, owner: Option<&TaskOwner>) {
        let at = self.oldest_over(owner).expect("one was seen");
        self.tasks.remove(at);
        self.evicted += 1;
    }

    pub(super) fn check_room(&self, bytes: usize) -> Result<(), NotKept> {
        let running = self.tasks.iter().filter(|task| task.ended.is_none());
        let running_bytes = running.map(ModelTask::bytes).sum();
        let bytes_free = self.limits.bytes_max.saturating_sub(running_bytes);
        let no_room = NotKept::NoRoom { bytes, bytes_free };
        (bytes <= bytes_free).then_some(()).ok_or(no_room)
    }

    pub(super) fn room(&mut self, owner: &TaskOwner, bytes: usize) -> Result<(), NotKept> {
        self.check_room(bytes)?;
        let bytes_max = self.limits.bytes_max;
        let exceeds = |model: &Model| {
            let used = bytes_max.min(model.bytes() + bytes);
            model.bytes_of(owner) + bytes > share_of(bytes_max, used)
        };
        while exceeds(self) && self.oldest_over(Some(owner)).is_some() {
            self.evict(Some(owner));
        }
        while self.bytes() + bytes > bytes_max {
            let share = share_of(bytes_max, bytes_max);
            let owner = self.largest_past(share, Model::bytes_of);
            self.evict(owner.as_ref());
        }
        Ok(())
    }

    /// The owner with a finished task that holds the most, if that is more than `share`.
    pub(super) fn largest_past(
        &self,
        share: usize,
        held: fn(&Model, &TaskOwner) -> usize,
    ) -> Option<TaskOwner> {
        let owners = self.tasks.iter().map(|task| &task.owner);
        let owners = owners.filter(|it| held(self, it) > share);
        owners
            .filter(|it| self.oldest_over(Some(it)).is_some())
            .max_by_key(|it| (held(self, it), holder_of(it)))
            .cloned()
    }

    pub(super) fn bytes_of(&self, owner: &TaskOwner) -> usize {
        let own = self.tasks.iter().filter(|task| task.owner == *owner);
        own.map(ModelTask::bytes).sum()
    }

    pub(super) fn tasks_of(&self, owner: &TaskOwner) -> usize {
        self.tasks.iter().filter(|it| it.owner == *owner).count()
    }

    pub(super) fn piece(
        &mut self,
        owner: &TaskOwner,
        size: usize,
        more: usize,
    ) -> Result<(), NotKept> {
        let bytes_max = self.limits.result_bytes_max;
        if size > bytes_max {
            return Err(NotKept::TooLarge {
                bytes: size,
                bytes_max,
            });
        }
        self.room(owner, more)
    }

    /// Admits a task after evictions, or returns why not; removes nothing then.
    pub(super) fn admit(&mut self, owner: &TaskOwner) -> Result<(), CreateError> {
        let own = |model: &Model| model.tasks_of(owner);
        let tasks_max = self.limits.per_owner_max;
        let owner_is_full = *owner != TaskOwner::Nobody && own(self) >= tasks_max;
        if owner_is_full && self.oldest_over(Some(owner)).is_none() {
            return Err(CreateError::OwnerFull { tasks_max });
        }
        let tasks_max = self.limits.tasks_max;
        if self.tasks.len() >= tasks_max && self.oldest_over(None).is_none() {
            return Err(CreateError::Full { tasks_max });
        }
        let share = |model: &Model| share_of(tasks_max, tasks_max.min(model.tasks.len() + 1));
        let held = own(self);
        if held >= share(self) && self.oldest_over(Some(owner)).is_none() {
            return Err(CreateError::HolderFull { held, tasks_max });
        }
        let bytes = cost_of(owner);
        self.check_room(bytes)?;
        if owner_is_full {
            self.evict(Some(owner));
        }
        if own(self) >= share(self) && self.oldest_over(Some(owner)).is_some() {
            self.evict(Some(owner));
        }
        if self.tasks.len() >= tasks_max {
            let owner = self.largest_past(share(self), Model::tasks_of);
            self.evict(owner.as_ref());
        }
        self.room(owner, bytes).map_err(CreateError::from)
    }

    pub(super) fn running(
        &mut self,
        id: TaskId,
        to: TaskStatus,
    ) -> Result<&mut ModelTask, TaskError> {
        let at = self.at(id).ok_or(TaskError::Unknown)?;
        let from = self.tasks[at].status;
        match from {
            TaskStatus::Working | TaskStatus::InputRequired => Ok(&mut self.tasks[at]),
            _ => Err(TaskError::Transition { from, to }),
        }
    }

    pub(super) fn set_status(
        &mut self,
        id: TaskId,
        status: RunningStatus,
        message: &str,
        now_ms: u64,
    ) -> Result<(), TaskError> {
        let task = self.running(id, status.into())?;
        let (held, owner) = (task.message.clone(), task.owner.clone());
        let more = message.len().saturating_sub(held.map_or(0, |it| it.len()));
        self.piece(&owner, message.len(), more)?;
        let task = self.running(id, status.into())?;
        task.message = Some(message.to_owned());
        if status == RunningStatus::Working {
            for request in task.inputs.iter_mut().filter(|request| !request.2) {
                request.1 = None;
            }
        }
        task.status = status.into();
        task.updated_ms = task.updated_ms.max(now_ms);
        Ok(())
    }

    pub(super) fn request(
        &mut self,
        id: TaskId,
        key: &str,
        request: &[u8],
        now_ms: u64,
    ) -> Result<(), TaskError> {
        let task = self.running(id, TaskStatus::InputRequired)?;
        if task.inputs.iter().any(|request| request.0 == key) {
            return Err(TaskError::KeyUsed);
        }
        let (bytes, owner) = (key.len() + request.len(), task.owner.clone());
        self.piece(&owner, bytes, INPUT_OVERHEAD_BYTES + bytes)?;
        let task = self.running(id, TaskStatus::InputRequired)?;
        task.inputs
            .push((key.to_owned(), Some(request.to_vec()), false));
        task.status = TaskStatus::InputRequired;
        task.updated_ms = task.updated_ms.max(now_ms);
        Ok(())
    }

    pub(super) fn answer(
        &mut self,
        id: TaskId,
        owner: &TaskOwner,
        (key, response): (&str, &[u8]),
        now_ms: u64,
    ) -> Result<bool, TaskError> {
        let known = self.known(id, owner, now_ms).ok_or(TaskError::Unknown)?;
        let request = known.requests().into_iter().find(|(made, _)| *made == key);
        let Some(held) = request.map(|(_, request)| request.len()) else {
            return Ok(false);
        };
        self.piece(owner, response.len(), response.len().saturating_sub(held))?;
        let at = self.at(id).expect("it runs");
        let task = &mut self.tasks[at];
        let request = task.inputs.iter_mut().find(|request| request.0 == key);
        let request = request.expect("it was asked");
        (request.1, request.2) = (Some(response.to_vec()), true);
        if task.requests().is_empty() {
            task.status = TaskStatus::Working;
            task.updated_ms = task.updated_ms.max(now_ms);
        }
        Ok(true)
    }

    pub(super) fn take_answers(&mut self, id: TaskId) -> Vec<(Box<str>, Box<[u8]>)> {
        let Some(at) = self.at(id) else {
            return Vec::new();
        };
        let answers = self.tasks[at].inputs.iter_mut().filter(|request| request.2);
        answers
            .filter_map(|request| Some((request.0.as_str().into(), request.1.take()?.into())))
            .collect()
    }

    /// Ends a task: `content` makes its outcome, if there is one and it is kept.
    pub(super) fn end(
        &mut self,
        id: TaskId,
        status: TaskStatus,
        content: Option<&[u8]>,
        now_ms: u64,
    ) -> Result<Vec<Waiter>, TaskError> {
        let task = self.running(id, status)?;
        (task.inputs, task.message) = (Vec::new(), None);
        let owner = task.owner.clone();
        let room = content.map(|content| self.piece(&owner, content.len(), content.len()));
        let (status, outcome) = match (status, content, room) {
            (_, _, Some(Err(not_kept))) => (TaskStatus::Failed, Some(Outcome::Lost(not_kept))),
            (TaskStatus::Completed, Some(content), _) => {
                let result = content.into();
                let is_error = content.len() % 2 == 1;
                (status, Some(Outcome::Result { result, is_error }))
            }
            (_, content, _) => (status, content.map(|error| Outcome::Error(error.into()))),
        };
        let ended = self.endings;
        self.endings += 1;
        let at = self.at(id).expect("a running task makes no room");
        let task = &mut self.tasks[at];
        task.ended = Some(ended);
        (task.status, task.outcome) = (status, outcome);
        task.updated_ms = task.updated_ms.max(now_ms);
        Ok(std::mem::take(&mut task.waiters))
    }

    pub(super) fn known(&self, id: TaskId, owner: &TaskOwner, now_ms: u64) -> Option<&ModelTask> {
        let task = &self.tasks[self.at(id)?];
        (task.owner == *owner && task.expires_ms > now_ms).then_some(task)
    }
}

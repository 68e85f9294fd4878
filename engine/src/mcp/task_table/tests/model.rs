//! The table against a model of it: a vector that is searched from end to end.

use super::{
    CreateError, NotKept, Outcome, RunningStatus, TaskError, TaskId, TaskLimits, TaskOwner,
    TaskStatus, TaskTable, Waiter, holder_of, principal, session, table,
};
use crate::mcp::shares::share_of;
use crate::mcp::task_table::store::{INPUT_OVERHEAD_BYTES, TASK_OVERHEAD_BYTES};
use corelane_io::rng::Rng;

struct Model {
    limits: TaskLimits,
    /// In the order they were made.
    tasks: Vec<ModelTask>,
    endings: u64,
    evicted: u64,
}

struct ModelTask {
    id: TaskId,
    owner: TaskOwner,
    status: TaskStatus,
    expires_ms: u64,
    updated_ms: u64,
    message: Option<String>,
    /// Key, content, and whether it is an answer; a taken one has no content.
    inputs: Vec<(String, Option<Vec<u8>>, bool)>,
    waiters: Vec<Waiter>,
    outcome: Option<Outcome>,
    ended: Option<u64>,
}

impl ModelTask {
    fn bytes(&self) -> usize {
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

    fn requests(&self) -> Vec<(&str, &[u8])> {
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
    fn bytes(&self) -> usize {
        self.tasks.iter().map(ModelTask::bytes).sum()
    }

    fn at(&self, id: TaskId) -> Option<usize> {
        self.tasks.iter().position(|task| task.id == id)
    }

    fn oldest_over(&self, owner: Option<&TaskOwner>) -> Option<usize> {
        let tasks = self.tasks.iter().enumerate();
        let own = tasks.filter(|(_, task)| owner.is_none_or(|owner| task.owner == *owner));
        let over = own.filter(|(_, task)| task.ended.is_some());
        over.min_by_key(|(_, task)| task.ended).map(|(at, _)| at)
    }

    fn evict(&mut self, owner: Option<&TaskOwner>) {
        let at = self.oldest_over(owner).expect("one was seen");
        self.tasks.remove(at);
        self.evicted += 1;
    }

    fn check_room(&self, bytes: usize) -> Result<(), NotKept> {
        let running = self.tasks.iter().filter(|task| task.ended.is_none());
        let running_bytes = running.map(ModelTask::bytes).sum();
        let bytes_free = self.limits.bytes_max.saturating_sub(running_bytes);
        let no_room = NotKept::NoRoom { bytes, bytes_free };
        (bytes <= bytes_free).then_some(()).ok_or(no_room)
    }

    fn room(&mut self, owner: &TaskOwner, bytes: usize) -> Result<(), NotKept> {
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
    fn largest_past(
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

    fn bytes_of(&self, owner: &TaskOwner) -> usize {
        let own = self.tasks.iter().filter(|task| task.owner == *owner);
        own.map(ModelTask::bytes).sum()
    }

    fn tasks_of(&self, owner: &TaskOwner) -> usize {
        self.tasks.iter().filter(|it| it.owner == *owner).count()
    }

    fn piece(&mut self, owner: &TaskOwner, size: usize, more: usize) -> Result<(), NotKept> {
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
    fn admit(&mut self, owner: &TaskOwner) -> Result<(), CreateError> {
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

    fn running(&mut self, id: TaskId, to: TaskStatus) -> Result<&mut ModelTask, TaskError> {
        let at = self.at(id).ok_or(TaskError::Unknown)?;
        let from = self.tasks[at].status;
        match from {
            TaskStatus::Working | TaskStatus::InputRequired => Ok(&mut self.tasks[at]),
            _ => Err(TaskError::Transition { from, to }),
        }
    }

    fn set_status(
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

    fn request(
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

    fn answer(
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

    fn take_answers(&mut self, id: TaskId) -> Vec<(Box<str>, Box<[u8]>)> {
        let Some(at) = self.at(id) else {
            return Vec::new();
        };
        let answers = self.tasks[at].inputs.iter_mut().filter(|request| request.2);
        answers
            .filter_map(|request| Some((request.0.as_str().into(), request.1.take()?.into())))
            .collect()
    }

    /// Ends a task: `content` makes its outcome, if there is one and it is kept.
    fn end(
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

    fn known(&self, id: TaskId, owner: &TaskOwner, now_ms: u64) -> Option<&ModelTask> {
        let task = &self.tasks[self.at(id)?];
        (task.owner == *owner && task.expires_ms > now_ms).then_some(task)
    }
}

/// The table and the model, with the same calls.
struct Pair {
    table: TaskTable,
    model: Model,
    now_ms: u64,
    ids: Vec<TaskId>,
}

impl Pair {
    fn create(&mut self, owner: TaskOwner, ttl_ms: u64) {
        let (holder, now_ms) = (holder_of(&owner), self.now_ms);
        let created = self
            .table
            .create(owner.clone(), holder, Some(ttl_ms), now_ms);
        let admitted = self.model.admit(&owner);
        assert_eq!(created.err(), admitted.err());
        let Ok(id) = created else {
            return;
        };
        self.ids.push(id);
        self.model.tasks.push(ModelTask {
            id,
            owner,
            status: TaskStatus::Working,
            expires_ms: self.now_ms + ttl_ms,
            updated_ms: self.now_ms,
            message: None,
            inputs: Vec::new(),
            waiters: Vec::new(),
            outcome: None,
            ended: None,
        });
    }

    fn end(&mut self, id: TaskId, owner: &TaskOwner, how: u64, content: &[u8]) {
        let Pair {
            table,
            model,
            now_ms,
            ..
        } = self;
        let now_ms = *now_ms;
        let (got, expected) = match how {
            0 => {
                let is_error = content.len() % 2 == 1;
                let got = table.complete(id, content.to_vec(), is_error, now_ms);
                let expected = model.end(id, TaskStatus::Completed, Some(content), now_ms);
                (got, expected)
            }
            1 => {
                let got = table.fail(id, content.to_vec(), now_ms);
                (
                    got,
                    model.end(id, TaskStatus::Failed, Some(content), now_ms),
                )
            }
            _ => {
                let expected = match model.known(id, owner, now_ms) {
                    Some(_) => model.end(id, TaskStatus::Cancelled, None, now_ms),
                    None => Err(TaskError::Unknown),
                };
                (table.cancel(id, owner, now_ms), expected)
            }
        };
        assert_eq!(got, expected);
    }

    fn wait(&mut self, id: TaskId, owner: &TaskOwner, waiter: Waiter) {
        let waits = self.table.wait(id, owner, waiter, self.now_ms);
        let known = self.model.known(id, owner, self.now_ms);
        let is_running = known.is_some_and(|task| task.ended.is_none());
        assert_eq!(waits.is_ok(), known.is_some());
        if let Some(at) = self.model.at(id).filter(|_| is_running) {
            self.model.tasks[at].waiters.push(waiter);
            if self.model.tasks[at].waiters.len() > 4 {
                let first = self.model.tasks[at].waiters[0];
                self.model.tasks[at].waiters.retain(|other| *other != first);
                self.table.leave(id, first);
            }
        }
    }

    fn expire(&mut self, budget: usize) {
        let removed = self.table.expire(self.now_ms, budget);
        assert!(removed.len() <= budget);
        let is_due = |task: &ModelTask| task.expires_ms <= self.now_ms;
        let due = self.model.tasks.iter().filter(|task| is_due(task)).count();
        assert_eq!(removed.len(), due.min(budget));
        for gone in removed {
            let at = self.model.at(gone.id).expect("the model has it too");
            let task = self.model.tasks.remove(at);
            assert!(task.expires_ms <= self.now_ms);
            assert_eq!(gone.was_running, task.ended.is_none());
            assert_eq!(gone.waiters, task.waiters);
        }
    }

    fn agree(&self, owners: &[TaskOwner]) {
        let Pair {
            table,
            model,
            now_ms,
            ids,
        } = self;
        let now_ms = *now_ms;
        assert_eq!(table.len(), model.tasks.len());
        assert_eq!(table.bytes(), model.bytes());
        assert_eq!(table.evicted(), model.evicted);
        assert!(table.bytes() <= model.limits.bytes_max);
        assert!(table.len() <= model.limits.tasks_max);
        let expiries = model.tasks.iter().map(|task| task.expires_ms);
        assert_eq!(table.next_expiry_ms(), expiries.min());
        for id in ids {
            for owner in owners {
                let known = model.known(*id, owner, now_ms);
                let got = table.get(*id, owner, now_ms);
                assert_eq!(got.is_some(), known.is_some());
                let (Some(got), Some(known)) = (got, known) else {
                    continue;
                };
                assert_eq!(got.status, known.status);
                assert_eq!(got.updated_ms, known.updated_ms);
                assert_eq!(got.message.as_deref(), known.message.as_deref());
                assert_eq!(got.outcome, known.outcome);
                assert_eq!(got.waiters(), known.waiters);
                assert_eq!(got.requests().collect::<Vec<_>>(), known.requests());
            }
        }
    }

    fn agree_on_lists(&self, owners: &[TaskOwner], page_max: usize) {
        for owner in owners.iter().filter(|owner| **owner != TaskOwner::Nobody) {
            let mut listed = Vec::new();
            let mut cursor = None;
            loop {
                let page = self.table.list(owner, cursor, page_max, self.now_ms);
                let page = page.expect("the table made the cursor");
                assert!(page.tasks.len() <= page_max);
                listed.extend(page.tasks.iter().map(|task| task.id));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            let tasks = self.model.tasks.iter().map(|task| task.id);
            let theirs = tasks.filter(|id| self.model.known(*id, owner, self.now_ms).is_some());
            assert_eq!(listed, theirs.collect::<Vec<_>>());
        }
    }
}

fn step(pair: &mut Pair, rng: &mut Rng, owners: &[TaskOwner]) {
    let owner = &owners[rng.below(owners.len() as u64) as usize];
    let recent = pair.ids.len().saturating_sub(12);
    pair.ids.drain(..recent);
    let chosen = rng.below(12) as usize;
    let Some(id) = pair.ids.get(chosen % pair.ids.len().max(1)).copied() else {
        return pair.create(owner.clone(), 500 + rng.below(2_000));
    };
    let mut content = vec![b'x'; (rng.below(30) * rng.below(30)) as usize];
    let key = rng.below(6).to_string();
    let now_ms = pair.now_ms;
    match rng.below(22) {
        0..5 => pair.create(owner.clone(), 500 + rng.below(2_000)),
        5..8 => pair.end(id, owner, rng.below(4), &content),
        8..10 => {
            let status = match rng.below(2) {
                0 => RunningStatus::Working,
                _ => RunningStatus::InputRequired,
            };
            content.truncate(40);
            let message = String::from_utf8(content).expect("letters only");
            let got = pair.table.set_status(id, status, Some(&message), now_ms);
            assert_eq!(got, pair.model.set_status(id, status, &message, now_ms));
        }
        10..14 => {
            let got = pair.table.request(id, &key, content.clone(), now_ms);
            assert_eq!(got, pair.model.request(id, &key, &content, now_ms));
        }
        14..17 => {
            let got = pair.table.answer(id, owner, &key, content.clone(), now_ms);
            let expected = pair.model.answer(id, owner, (&key, &content), now_ms);
            assert_eq!(got, expected);
        }
        17 => assert_eq!(pair.table.take_answers(id), pair.model.take_answers(id)),
        18 => pair.wait(id, owner, Waiter(rng.below(1_000))),
        19 => pair.expire(rng.below(4) as usize),
        20 if rng.below(10) == 0 => {
            let removed = pair.table.forget_owner(owner).len();
            let before = pair.model.tasks.len();
            let stays = |task: &ModelTask| task.owner != *owner || *owner == TaskOwner::Nobody;
            pair.model.tasks.retain(stays);
            assert_eq!(removed, before - pair.model.tasks.len());
        }
        _ => pair.now_ms += rng.below(400),
    }
}

#[test]
fn agrees_with_the_model_under_random_use() {
    let mut rng = Rng::printed();
    let owners = [principal("ann"), session(1), session(2), TaskOwner::Nobody];
    for _ in 0..60 {
        let limits = TaskLimits {
            tasks_max: 1 + rng.below(12) as usize,
            per_owner_max: 1 + rng.below(4) as usize,
            ttl_default_ms: 0,
            ttl_max_ms: 10_000,
            result_bytes_max: 100 + rng.below(900) as usize,
            bytes_max: (1 + rng.below(16) as usize) * TASK_OVERHEAD_BYTES,
            poll_interval_ms: 500,
        };
        let mut pair = Pair {
            table: table(limits),
            model: Model {
                limits,
                tasks: Vec::new(),
                endings: 0,
                evicted: 0,
            },
            now_ms: 1_000_000,
            ids: Vec::new(),
        };
        for _ in 0..300 {
            step(&mut pair, &mut rng, &owners);
            pair.agree(&owners);
            if rng.below(10) == 0 {
                pair.agree_on_lists(&owners, 1 + rng.below(4) as usize);
            }
        }
        pair.now_ms += limits.ttl_max_ms;
        pair.expire(usize::MAX);
        pair.agree(&owners);
        assert_eq!((pair.table.len(), pair.table.bytes()), (0, 0));
    }
}

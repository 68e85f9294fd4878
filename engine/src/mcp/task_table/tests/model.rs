//! The table against a model of it.

mod reference;

use super::{
    RunningStatus, TaskError, TaskId, TaskLimits, TaskOwner, TaskStatus, TaskTable, Waiter,
    holder_of, principal, session, table,
};
use crate::mcp::task_table::store::TASK_OVERHEAD_BYTES;
use corelane_io::rng::Rng;
use reference::{Model, ModelTask};

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

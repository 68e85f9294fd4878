//! Who listens to the tasks of this shard, and telling them how the tasks stand.
//!
//! A watcher is one listen stream of any shard. What changed waits here, as the name of a task
//! and nothing else, until the watcher is ready for one status; it is told the newest one then,
//! and one task has its turn after the other. A task that is over is watched no longer; a watcher
//! without tasks is none. One that is forgotten before its end was told has failed as far as its
//! watchers go (the extension, "Response" of `tasks/get`): none of them waits for ever.

use std::collections::{HashMap, VecDeque};

use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::tasks::TaskView;

use super::requests::{str_of, write_error_member, write_outcome_members};
use crate::mcp::endpoint::Core;
use crate::mcp::task_id::TaskId;
use crate::mcp::task_table::{TaskOwner, TaskStatus};
use crate::mcp::task_watch::{SubscriptionId, TaskWatchMessage};
use crate::mcp::timestamp::rfc3339;
use crate::meter::Counter;

/// Listen streams that hear of one task: whoever it belongs to can open them, or whoever knows its
/// id if it is nobody's.
const WATCHERS_PER_TASK_MAX: usize = 32;

/// Who listens to the tasks of a shard.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    watchers: HashMap<SubscriptionId, Watcher>,
    of_task: HashMap<TaskId, Vec<SubscriptionId>>,
    /// Those who are ready and have something to hear, each once.
    due: VecDeque<SubscriptionId>,
    /// How many pairs of a watcher and a task there are.
    count: usize,
}

#[derive(Debug, Default)]
struct Watcher {
    /// Whose tasks they are.
    principal: Option<Box<str>>,
    /// What it hears of; whoever was told last stands last.
    tasks: Vec<Watched>,
    /// Whether it takes a status now.
    is_ready: bool,
    /// Whether it stands among those who are due.
    is_due: bool,
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    task: TaskId,
    /// When it was made, in milliseconds since 1970, and for how long.
    created_ms: u64,
    ttl_ms: u64,
    /// Whether it changed since the watcher was told.
    has_changed: bool,
}

impl Watchers {
    /// Whether somebody can be told something.
    pub(crate) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Lets a listener hear of a task from now on. Says whether there is room.
    fn watch(
        &mut self,
        (listener, principal): (SubscriptionId, &Option<Box<str>>),
        watched: Watched,
    ) -> bool {
        let of_task = self.of_task.entry(watched.task).or_default();
        if of_task.len() >= WATCHERS_PER_TASK_MAX {
            return false;
        }
        of_task.push(listener);
        self.count += 1;
        let watcher = self.watchers.entry(listener).or_insert_with(|| Watcher {
            principal: principal.clone(),
            ..Watcher::default()
        });
        watcher.tasks.push(watched);
        true
    }

    /// Notes that a task has changed.
    pub(super) fn changed(&mut self, task: TaskId) {
        for listener in self.of_task.get(&task).into_iter().flatten() {
            if let Some(watcher) = self.watchers.get_mut(listener) {
                let mut watched = watcher.tasks.iter_mut();
                if let Some(watched) = watched.find(|it| it.task == task) {
                    watched.has_changed = true;
                }
                make_due(&mut self.due, *listener, watcher);
            }
        }
    }

    /// Notes that a listener takes a status.
    pub(crate) fn ready(&mut self, listener: SubscriptionId) {
        if let Some(watcher) = self.watchers.get_mut(&listener) {
            watcher.is_ready = true;
            make_due(&mut self.due, listener, watcher);
        }
    }

    /// The next one to be told, and of which task of whom. It is not ready after that.
    fn next_due(&mut self) -> Option<(SubscriptionId, Watched, TaskOwner)> {
        while let Some(listener) = self.due.pop_front() {
            let Some(watcher) = self.watchers.get_mut(&listener) else {
                continue;
            };
            watcher.is_due = false;
            let Some(at) = watcher.tasks.iter().position(|it| it.has_changed) else {
                continue;
            };
            let mut watched = watcher.tasks.remove(at);
            watched.has_changed = false;
            watcher.tasks.push(watched);
            watcher.is_ready = false;
            let owner = TaskOwner::of(None, watcher.principal.as_deref());
            return Some((listener, watched, owner));
        }
        None
    }

    /// Lets a listener hear of a task no longer.
    fn unwatch(&mut self, listener: SubscriptionId, task: TaskId) {
        self.leave_task(listener, task);
        if let Some(watcher) = self.watchers.get_mut(&listener) {
            watcher.tasks.retain(|it| it.task != task);
            if watcher.tasks.is_empty() {
                self.watchers.remove(&listener);
            }
        }
    }

    /// Lets a listener hear of nothing any more.
    fn forget(&mut self, listener: SubscriptionId) {
        let watcher = self.watchers.remove(&listener).unwrap_or_default();
        for watched in watcher.tasks {
            self.leave_task(listener, watched.task);
        }
        // One that is due is passed over when its turn comes, which is soon.
    }

    fn leave_task(&mut self, listener: SubscriptionId, task: TaskId) {
        if let Some(of_task) = self.of_task.get_mut(&task) {
            let before = of_task.len();
            of_task.retain(|other| *other != listener);
            self.count -= before - of_task.len();
            if of_task.is_empty() {
                self.of_task.remove(&task);
            }
        }
    }
}

fn make_due(due: &mut VecDeque<SubscriptionId>, listener: SubscriptionId, watcher: &mut Watcher) {
    let has_call_events = watcher.tasks.iter().any(|it| it.has_changed);
    if watcher.is_ready && has_call_events && !watcher.is_due {
        watcher.is_due = true;
        due.push_back(listener);
    }
}

impl Core {
    /// A listener wants to hear of tasks of this shard. One that does not just work on is told at
    /// once: what the client waits for may have happened before it listened.
    pub(in crate::mcp) fn watch_tasks(
        &mut self,
        (listener, principal): (SubscriptionId, Option<Box<str>>),
        tasks: Vec<TaskId>,
    ) {
        let owner = TaskOwner::of(None, principal.as_deref());
        let now_ms = self.tasks_now_ms();
        let mut known = tasks;
        known.retain(|task| {
            let found = self.tasks.table.get(*task, &owner, now_ms);
            found.is_some_and(|found| {
                let watched = Watched {
                    task: *task,
                    created_ms: found.created_ms,
                    ttl_ms: found.ttl_ms,
                    has_changed: found.status != TaskStatus::Working,
                };
                let watcher = (listener, &principal);
                self.tasks.watchers.watch(watcher, watched)
            })
        });
        self.measure_watchers();
        let note = TaskWatchMessage::Subscribed {
            listener,
            home: self.settings.shard,
            tasks: known,
        };
        self.post_task_watch(listener.exchange.shard, note);
    }

    /// A listener is no more.
    pub(in crate::mcp) fn forget_watcher(&mut self, listener: SubscriptionId) {
        self.tasks.watchers.forget(listener);
        self.measure_watchers();
    }

    /// Tells those who listen to tasks and are ready, one status each, until the budget is spent.
    pub(in crate::mcp) fn notify_watchers(&mut self, budget: &mut usize) {
        while *budget > 0
            && let Some((listener, watched, owner)) = self.tasks.watchers.next_due()
        {
            *budget -= 1;
            let mut members = Vec::new();
            let mut is_over = true;
            let task = watched.task;
            self.view_task(task, &owner, Era::Modern, |_, task, view| {
                view.write_members(&mut members, Era::Modern);
                write_outcome_members(&mut members, task);
                is_over = task.status.is_terminal();
            });
            if is_over {
                self.tasks.watchers.unwatch(listener, task);
                self.measure_watchers();
            }
            if members.is_empty() {
                self.write_forgotten(&mut members, watched);
            }
            let note = TaskWatchMessage::Update {
                listener,
                home: self.settings.shard,
                members,
            };
            self.post_task_watch(listener.exchange.shard, note);
        }
    }

    /// Appends the members of a task that is not kept any more.
    fn write_forgotten(&self, members: &mut Vec<u8>, watched: Watched) {
        let (id, now_ms) = (watched.task.to_text(), self.tasks_now_ms());
        let (created_at, updated_at) = (rfc3339(watched.created_ms), rfc3339(now_ms));
        let (created_at, updated_at) = (created_at.to_string(), updated_at.to_string());
        let view = TaskView {
            id: str_of(&id),
            status: TaskStatus::Failed.as_str(),
            message: None,
            created_at: &created_at,
            updated_at: &updated_at,
            ttl_ms: watched.ttl_ms,
            poll_interval_ms: self.tasks.table.poll_interval_ms(),
        };
        view.write_members(members, Era::Modern);
        let text = "the task is not kept: its time is over, or others needed the room";
        write_error_member(members, text);
    }

    fn measure_watchers(&self) {
        let count = self.tasks.watchers.count as u64;
        self.meter.set(Counter::TasksWatched, count);
    }
}

#[cfg(test)]
impl Watchers {
    /// Whether nothing is left of anybody who listened.
    pub(in crate::mcp) fn is_empty(&self) -> bool {
        let (watchers, tasks) = (self.watchers.len(), self.of_task.len());
        watchers + tasks + self.due.len() + self.count == 0
    }
}

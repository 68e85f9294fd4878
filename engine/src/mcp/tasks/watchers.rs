//! Subscriptions to the tasks of this shard, from listen streams of any shard.
//!
//! A change waits here, as the id of a task only, until its subscription has credit for one status;
//! the newest status is sent then, and the tasks of a subscription take turns. A finished task is
//! removed from it; a subscription without tasks is removed. A task that was removed before its end
//! was sent counts as failed (the extension, "Response" of `tasks/get`), so that no subscription
//! waits for ever.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use crate::mcp::task_id::TaskId;
use crate::mcp::task_table::TaskOwner;
use crate::mcp::task_watch::SubscriptionId;
use crate::meter::{Counter, ShardMeter};

/// The most listen streams of one task: its owner can open them, or any client with its id if it
/// has no owner.
const WATCHERS_PER_TASK_MAX: usize = 32;

/// The subscriptions to the tasks of a shard.
#[derive(Debug)]
pub(crate) struct Watchers {
    watchers: HashMap<SubscriptionId, Watcher>,
    of_task: HashMap<TaskId, Vec<SubscriptionId>>,
    /// Subscriptions with credit and a waiting status, each once.
    due: VecDeque<SubscriptionId>,
    /// The number of pairs of a subscription and a task.
    count: usize,
    meter: Rc<ShardMeter>,
}

#[derive(Debug, Default)]
struct Watcher {
    /// The principal of the tasks.
    principal: Option<Box<str>>,
    /// Its tasks; the one whose status was sent last comes last.
    tasks: Vec<WatchedTask>,
    /// Whether it takes a status now.
    is_ready: bool,
    /// Whether it is in `due`.
    is_due: bool,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::mcp) struct WatchedTask {
    pub(in crate::mcp) task: TaskId,
    /// When it was made, in milliseconds since 1970, and its lifetime.
    pub(in crate::mcp) created_ms: u64,
    pub(in crate::mcp) ttl_ms: u64,
    /// Whether it changed since its last status was sent.
    pub(in crate::mcp) has_changed: bool,
}

impl Watchers {
    /// No watchers.
    pub(in crate::mcp) fn new(meter: Rc<ShardMeter>) -> Watchers {
        Watchers {
            watchers: HashMap::new(),
            of_task: HashMap::new(),
            due: VecDeque::new(),
            count: 0,
            meter,
        }
    }

    /// Whether a status can be sent.
    pub(crate) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Subscribes a listen stream to a task. Returns whether the limits allow it.
    pub(in crate::mcp) fn watch(
        &mut self,
        (subscription, principal): (SubscriptionId, &Option<Box<str>>),
        watched: WatchedTask,
    ) -> bool {
        let of_task = self.of_task.entry(watched.task).or_default();
        if of_task.len() >= WATCHERS_PER_TASK_MAX {
            return false;
        }
        of_task.push(subscription);
        self.count += 1;
        self.measure();
        let watcher = self
            .watchers
            .entry(subscription)
            .or_insert_with(|| Watcher {
                principal: principal.clone(),
                ..Watcher::default()
            });
        watcher.tasks.push(watched);
        true
    }

    /// Notes that a task has changed.
    pub(in crate::mcp) fn changed(&mut self, task: TaskId) {
        for subscription in self.of_task.get(&task).into_iter().flatten() {
            if let Some(watcher) = self.watchers.get_mut(subscription) {
                let mut watched = watcher.tasks.iter_mut();
                if let Some(watched) = watched.find(|it| it.task == task) {
                    watched.has_changed = true;
                }
                make_due(&mut self.due, *subscription, watcher);
            }
        }
    }

    /// Notes that a subscription takes a status.
    pub(crate) fn ready(&mut self, subscription: SubscriptionId) {
        if let Some(watcher) = self.watchers.get_mut(&subscription) {
            watcher.is_ready = true;
            make_due(&mut self.due, subscription, watcher);
        }
    }

    /// The next subscription that is due, with its task and its principal. Its credit is used then.
    pub(in crate::mcp) fn next_due(&mut self) -> Option<(SubscriptionId, WatchedTask, TaskOwner)> {
        while let Some(subscription) = self.due.pop_front() {
            let Some(watcher) = self.watchers.get_mut(&subscription) else {
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
            return Some((subscription, watched, owner));
        }
        None
    }

    /// Lets a subscription hear of a task no longer.
    pub(in crate::mcp) fn unwatch(&mut self, subscription: SubscriptionId, task: TaskId) {
        self.leave_task(subscription, task);
        if let Some(watcher) = self.watchers.get_mut(&subscription) {
            watcher.tasks.retain(|it| it.task != task);
            if watcher.tasks.is_empty() {
                self.watchers.remove(&subscription);
            }
        }
    }

    /// Lets a subscription hear of nothing any more.
    pub(in crate::mcp) fn forget(&mut self, subscription: SubscriptionId) {
        let watcher = self.watchers.remove(&subscription).unwrap_or_default();
        for watched in watcher.tasks {
            self.leave_task(subscription, watched.task);
        }
        // A due one is skipped when its turn comes, which is soon.
    }

    /// Removes the subscriptions of the shard `shard`, which died.
    pub(in crate::mcp) fn forget_shard(&mut self, shard: u16) {
        let subscriptions = self.watchers.keys();
        let of_shard = subscriptions.filter(|subscription| subscription.exchange.shard == shard);
        for subscription in of_shard.copied().collect::<Vec<_>>() {
            self.forget(subscription);
        }
    }

    fn measure(&self) {
        self.meter.set(Counter::TasksWatched, self.count as u64);
    }

    fn leave_task(&mut self, subscription: SubscriptionId, task: TaskId) {
        let Some(of_task) = self.of_task.get_mut(&task) else {
            return;
        };
        let before = of_task.len();
        of_task.retain(|other| *other != subscription);
        self.count -= before - of_task.len();
        if of_task.is_empty() {
            self.of_task.remove(&task);
        }
        self.measure();
    }
}

fn make_due(
    due: &mut VecDeque<SubscriptionId>,
    subscription: SubscriptionId,
    watcher: &mut Watcher,
) {
    let has_call_events = watcher.tasks.iter().any(|it| it.has_changed);
    if watcher.is_ready && has_call_events && !watcher.is_due {
        watcher.is_due = true;
        due.push_back(subscription);
    }
}

#[cfg(test)]
impl Watchers {
    /// Whether no part of any subscription is left.
    pub(in crate::mcp) fn is_empty(&self) -> bool {
        let (watchers, tasks) = (self.watchers.len(), self.of_task.len());
        watchers + tasks + self.due.len() + self.count == 0
    }
}

//! The home shard's side of subscriptions to tasks: the existing tasks, and their statuses.

use corelane_protocol::mcp::era::Era;

use super::context::Context;
use super::outbox::Outbox;
use super::task_id::TaskId;
use super::task_table::{TaskOwner, TaskStatus};
use super::task_watch::{SubscriptionId, TaskWatchMessage};
use super::tasks::{Tasks, WatchedTask, write_outcome_members};

/// Subscribes to the tasks of this shard.
pub(super) struct TaskWatching<'a> {
    pub(super) context: &'a Context,
    pub(super) tasks: &'a mut Tasks,
    pub(super) outbox: &'a mut Outbox,
}

impl TaskWatching<'_> {
    /// Subscribes to tasks of this shard, and sends the subscription those that exist. The status
    /// of a task that is not just working is sent at once: the change that the client waits for may
    /// have happened before it subscribed.
    pub(super) fn subscribe(
        &mut self,
        subscription: SubscriptionId,
        principal: Option<Box<str>>,
        mut tasks: Vec<TaskId>,
    ) {
        let owner = TaskOwner::of(None, principal.as_deref());
        let now_ms = self.context.unix_now_ms();
        tasks.retain(|task| {
            let found = self.tasks.table.get(*task, &owner, now_ms);
            found.is_some_and(|found| {
                let watched = WatchedTask {
                    task: *task,
                    created_ms: found.created_ms,
                    ttl_ms: found.ttl_ms,
                    has_changed: found.status != TaskStatus::Working,
                };
                let watcher = (subscription, &principal);
                self.tasks.watchers.watch(watcher, watched)
            })
        });
        let home = self.context.settings.shard;
        let message = TaskWatchMessage::Subscribed {
            subscription,
            home,
            tasks,
        };
        self.outbox
            .send_task_watch(subscription.exchange.shard, message);
    }

    /// Sends one status to each subscription that has credit, until the budget is spent.
    pub(super) fn send_statuses(&mut self, budget: &mut usize) {
        while *budget > 0
            && let Some((subscription, watched, owner)) = self.tasks.watchers.next_due()
        {
            *budget -= 1;
            let now_ms = self.context.unix_now_ms();
            let mut members = Vec::new();
            let mut is_over = true;
            let task = watched.task;
            self.tasks
                .view_task((task, &owner), Era::Modern, now_ms, |task, view| {
                    view.write_members(&mut members, Era::Modern);
                    write_outcome_members(&mut members, task);
                    is_over = task.status.is_terminal();
                });
            if is_over {
                self.tasks.watchers.unwatch(subscription, task);
            }
            if members.is_empty() {
                let times = (watched.created_ms, watched.ttl_ms);
                self.tasks
                    .write_forgotten(&mut members, task, times, now_ms);
            }
            let home = self.context.settings.shard;
            let message = TaskWatchMessage::Update {
                subscription,
                home,
                members,
            };
            self.outbox
                .send_task_watch(subscription.exchange.shard, message);
        }
    }
}

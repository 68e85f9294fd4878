//! What the shard of a listen stream and the home shard of a task say to each other.
//!
//! A listener asks every home at most once, hears from each which tasks there are, and is
//! acknowledged when all have said so. From then on it lets each home send one status at a time:
//! the next one when there was room for the last. So a status waits at home, where a newer one
//! takes its place, and no queue between the two holds more than one note for each of them.
//!
//! Both ends may be one shard: it hands the note over at once, and the rest is the same.

use super::Exchange;
use super::endpoint::Core;
use super::task_id::TaskId;

/// Names a listen stream on whatever shard it is; never names another one later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SubscriptionId {
    /// Its place on its shard, which is that of the exchange.
    pub(crate) place: u32,
    /// Its request, which only it answers.
    pub(crate) exchange: Exchange,
}

/// A note of one shard to another.
#[derive(Debug)]
pub(crate) enum TaskWatchMessage {
    /// To the home of tasks: a listener wants to hear of them.
    Subscribe {
        /// Who.
        listener: SubscriptionId,
        /// The principal who listens.
        principal: Option<Box<str>>,
        /// Of which.
        tasks: Vec<TaskId>,
    },
    /// To the shard of a listener, which asked: it will hear of these.
    Subscribed {
        /// Who asked.
        listener: SubscriptionId,
        /// Who answers.
        home: u16,
        /// What of it is there.
        tasks: Vec<TaskId>,
    },
    /// To the home of tasks: a listener takes a status.
    Credit {
        /// Who.
        listener: SubscriptionId,
    },
    /// To the shard of a listener, which is ready: a task has changed.
    Update {
        /// Who listens.
        listener: SubscriptionId,
        /// Whose task it is.
        home: u16,
        /// How it stands, as `tasks/get` says it.
        members: Vec<u8>,
    },
    /// To the home of tasks: a listener is no more.
    Unsubscribe {
        /// Who.
        listener: SubscriptionId,
    },
}

impl TaskWatchMessage {
    /// Whether it is for a shard where tasks live, in the order in which such notes are sent.
    pub(crate) fn is_for_home(&self) -> bool {
        match self {
            TaskWatchMessage::Subscribe { .. }
            | TaskWatchMessage::Credit { .. }
            | TaskWatchMessage::Unsubscribe { .. } => true,
            TaskWatchMessage::Subscribed { .. } | TaskWatchMessage::Update { .. } => false,
        }
    }
}

impl Core {
    /// Sends a note, which this shard takes at once if it is for itself.
    pub(super) fn post_task_watch(&mut self, to: u16, note: TaskWatchMessage) {
        match to == self.settings.shard {
            true => self.on_task_watch(note),
            false => self.notes.push_back((to, note)),
        }
    }

    /// Takes the next note that is for another shard, and which one.
    pub(crate) fn next_task_watch(&mut self) -> Option<(u16, TaskWatchMessage)> {
        self.notes.pop_front()
    }

    /// Takes over what a note says.
    pub(crate) fn on_task_watch(&mut self, note: TaskWatchMessage) {
        match note {
            TaskWatchMessage::Subscribe {
                listener,
                principal,
                tasks,
            } => self.watch_tasks((listener, principal), tasks),
            TaskWatchMessage::Subscribed {
                listener,
                home,
                tasks,
            } => self.note_watched(listener, home, &tasks),
            TaskWatchMessage::Credit { listener } => self.tasks.watchers.ready(listener),
            TaskWatchMessage::Update {
                listener,
                home,
                members,
            } => self.hold_status(listener, home, members),
            TaskWatchMessage::Unsubscribe { listener } => self.forget_watcher(listener),
        }
    }
}

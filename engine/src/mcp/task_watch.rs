//! Messages between the shard of a listen stream and the home shard of a task.
//!
//! A subscription sends one request to each home, gets from each the tasks that exist, and is
//! acknowledged when all have answered. From then on it gives each home credit for one status at a
//! time: the next one when the last was sent. So a status waits at home, where a newer one replaces
//! it, and no queue between the two holds more than one message for each of them.
//!
//! Both ends may be one shard: the messages then go through its own outbox.

use super::exchange::Exchange;
use super::task_id::TaskId;

/// The id of a listen stream on any shard; it is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SubscriptionId {
    /// Its place on its shard, which is that of the exchange.
    pub(crate) place: u32,
    /// Its request, which only it answers.
    pub(crate) exchange: Exchange,
}

/// A message of one shard to another.
#[derive(Debug)]
pub(crate) enum TaskWatchMessage {
    /// To the home of tasks: a subscription requests their statuses.
    Subscribe {
        /// The subscription.
        subscription: SubscriptionId,
        /// The principal of its client.
        principal: Option<Box<str>>,
        /// The tasks.
        tasks: Vec<TaskId>,
    },
    /// To the shard of a subscription, as the answer: the tasks that exist.
    Subscribed {
        /// The subscription.
        subscription: SubscriptionId,
        /// The shard that answers.
        home: u16,
        /// The tasks that exist and belong to the client.
        tasks: Vec<TaskId>,
    },
    /// To the home of tasks: a subscription takes one more status.
    Credit {
        /// The subscription.
        subscription: SubscriptionId,
    },
    /// To the shard of a subscription, which has credit: a task has changed.
    Update {
        /// The subscription.
        subscription: SubscriptionId,
        /// The home of the task.
        home: u16,
        /// The state of the task, as `tasks/get` has it.
        members: Vec<u8>,
    },
    /// To the home of tasks: a subscription is over.
    Unsubscribe {
        /// The subscription.
        subscription: SubscriptionId,
    },
}

impl TaskWatchMessage {
    /// Whether it goes to the home of tasks; such messages keep their order.
    pub(crate) fn is_for_home(&self) -> bool {
        match self {
            TaskWatchMessage::Subscribe { .. }
            | TaskWatchMessage::Credit { .. }
            | TaskWatchMessage::Unsubscribe { .. } => true,
            TaskWatchMessage::Subscribed { .. } | TaskWatchMessage::Update { .. } => false,
        }
    }
}

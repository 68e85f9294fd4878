//! Listeners that ask for tasks: which there are, and how they stand.
//!
//! What of the tasks is there is known at their homes only: all of them have answered before the
//! stream is acknowledged. The ids of tasks are secrets; one that is not there, not the client's
//! or over for long looks the same, and is left out.

use std::collections::VecDeque;

use corelane_protocol::mcp::subscription::{Filter, write_acknowledged, write_task};

use super::{Listener, Subscriptions};
use crate::mcp::endpoint::Core;
use crate::mcp::task_id::TaskId;
use crate::mcp::task_watch::{SubscriptionId, TaskWatchMessage};
use crate::mcp::{Delivery, Exchange, Part};

/// Questions to other shards, one for each listener and home, that are not answered yet, at most.
///
/// Who listens may leave at once and come back, and what was asked for them stays in the lanes: so
/// these are counted, and not only the listeners. With them the notes of both ends are bounded,
/// because each end keeps its order: what was said of a listener who left has gone before the
/// question of the next one is answered.
pub(in crate::mcp) const ASKED_MAX: usize = 1024;

/// The tasks that a listener asks for.
#[derive(Debug)]
pub(super) struct TaskSubscription {
    tasks: Vec<Wanted>,
    /// Where these tasks live; only homes that know one, once they have answered.
    homes: Vec<u16>,
    /// Homes that have not answered.
    unanswered: usize,
    /// Statuses that wait for room on the stream, each with the home that waits too: at most one
    /// of each home.
    held: VecDeque<(u16, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy)]
struct Wanted {
    task: TaskId,
    is_watched: bool,
}

impl TaskSubscription {
    /// Interest in what `ids` name on one of `shards`; nothing if none of them names anything.
    pub(super) fn of(ids: &[Box<str>], shards: u16) -> Option<Box<TaskSubscription>> {
        let tasks = ids.iter().filter_map(|id| TaskId::parse(id.as_bytes()));
        let tasks = tasks.filter(|task| task.home < shards);
        let tasks: Vec<Wanted> = tasks
            .map(|task| Wanted {
                task,
                is_watched: false,
            })
            .collect();
        let mut homes: Vec<u16> = tasks.iter().map(|wanted| wanted.task.home).collect();
        homes.sort_unstable();
        homes.dedup();
        (!tasks.is_empty()).then(|| {
            Box::new(TaskSubscription {
                tasks,
                unanswered: homes.len(),
                homes,
                held: VecDeque::new(),
            })
        })
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        self.unanswered == 0
    }

    fn of_home(&self, home: u16) -> Vec<TaskId> {
        let tasks = self.tasks.iter().map(|wanted| wanted.task);
        tasks.filter(|task| task.home == home).collect()
    }
}

impl Subscriptions {
    fn listener(&mut self, name: SubscriptionId) -> Option<&mut Listener> {
        let listener = self.listeners.get_mut(name.place as usize)?;
        (listener.exchange == name.exchange).then_some(listener)
    }

    fn interest(&mut self, name: SubscriptionId) -> Option<&mut TaskSubscription> {
        self.listener(name)?.tasks.as_deref_mut()
    }
}

impl Core {
    /// Whether the homes of all these tasks can be asked without their notes piling up.
    pub(super) fn can_ask_homes(&self, interest: &TaskSubscription) -> bool {
        let homes = interest.homes.iter();
        let far = homes.filter(|home| **home != self.settings.shard).count();
        let subscriptions = &self.subscriptions;
        far == 0 || !subscriptions.has_full_lane && subscriptions.asked + far <= ASKED_MAX
    }

    /// Notes whether what is sent to other shards waits for room. Called once per turn.
    pub(crate) fn note_full_lane(&mut self, has_full_lane: bool) {
        self.subscriptions.has_full_lane = has_full_lane;
    }

    /// Asks the homes of the tasks that a listener of `principal` asks for; without any it is
    /// acknowledged.
    pub(super) fn begin_to_listen(&mut self, name: SubscriptionId, principal: Option<&str>) {
        let Some(interest) = self.subscriptions.interest(name) else {
            return self.acknowledge_named(name);
        };
        let asked = interest.homes.iter();
        let asked: Vec<_> = asked.map(|home| (*home, interest.of_home(*home))).collect();
        for (home, tasks) in asked {
            if home != self.settings.shard {
                self.subscriptions.asked += 1;
            }
            let note = TaskWatchMessage::Subscribe {
                listener: name,
                principal: principal.map(Box::from),
                tasks,
            };
            self.post_task_watch(home, note);
        }
    }

    /// A home says which tasks there are. The last one to say so is who the client waits for.
    pub(in crate::mcp) fn note_watched(
        &mut self,
        name: SubscriptionId,
        home: u16,
        known: &[TaskId],
    ) {
        if home != self.settings.shard {
            self.subscriptions.asked -= 1;
        }
        let Some(interest) = self.subscriptions.interest(name) else {
            return;
        };
        for wanted in &mut interest.tasks {
            wanted.is_watched |= known.contains(&wanted.task);
        }
        if known.is_empty() {
            interest.homes.retain(|other| *other != home);
        }
        interest.unanswered -= 1;
        if !interest.is_acknowledged() {
            return;
        }
        let homes = interest.homes.clone();
        self.acknowledge_named(name);
        for home in homes {
            self.post_task_watch(home, TaskWatchMessage::Credit { listener: name });
        }
    }

    fn acknowledge_named(&mut self, name: SubscriptionId) {
        if let Some(listener) = self.subscriptions.listener(name) {
            self.deliveries.push_back(acknowledgement(listener));
        }
    }

    /// Says what of the filter of a listener is honoured, the first message of its stream.
    pub(super) fn acknowledge(&mut self, listener: &Listener) {
        self.deliveries.push_back(acknowledgement(listener));
    }

    /// Tells the homes of tasks that a listener is no more.
    pub(super) fn unsubscribe_from_tasks(&mut self, place: u32, listener: &Listener) {
        let Some(interest) = &listener.tasks else {
            return;
        };
        let exchange = listener.exchange;
        let listener = SubscriptionId { place, exchange };
        for home in &interest.homes {
            self.post_task_watch(*home, TaskWatchMessage::Unsubscribe { listener });
        }
    }

    /// Holds how a task stands until there is room on the stream of its listener.
    pub(in crate::mcp) fn hold_status(
        &mut self,
        name: SubscriptionId,
        home: u16,
        members: Vec<u8>,
    ) {
        if let Some(interest) = self.subscriptions.interest(name) {
            interest.held.push_back((home, members));
            self.subscriptions.holding.push_back(name);
        }
    }

    /// How many statuses of tasks wait for room.
    pub(crate) fn statuses_held(&self) -> usize {
        self.subscriptions.holding.len()
    }

    /// Delivers the next status that waits if the connection of its listener has room, or lets it
    /// wait behind the others. With one delivered, its home may send another.
    pub(crate) fn pass_on_status(&mut self, has_room: impl Fn(Exchange) -> bool) {
        let Some(name) = self.subscriptions.holding.pop_front() else {
            return;
        };
        let Some(listener) = self.subscriptions.listener(name) else {
            return;
        };
        let exchange = listener.exchange;
        if !has_room(exchange) {
            return self.subscriptions.holding.push_back(name);
        }
        let held = listener.tasks.as_mut().and_then(|it| it.held.pop_front());
        if let Some((home, members)) = held {
            let mut message = Vec::with_capacity(members.len() + 128);
            write_task(&mut message, &members, listener.id.as_id());
            let part = Part::message(message);
            self.deliveries.push_back(Delivery { exchange, part });
            self.post_task_watch(home, TaskWatchMessage::Credit { listener: name });
        }
    }
}

fn acknowledgement(listener: &Listener) -> Delivery {
    let tasks = listener.tasks.iter().flat_map(|it| it.tasks.iter());
    let task_ids = tasks.filter(|wanted| wanted.is_watched).map(|wanted| {
        let id = wanted.task.to_text();
        String::from_utf8_lossy(&id).into()
    });
    let honoured = Filter {
        lists: listener.lists,
        uris: listener.uris.to_vec(),
        task_ids: task_ids.collect(),
    };
    let mut message = Vec::new();
    write_acknowledged(&mut message, listener.id.as_id(), &honoured);
    Delivery {
        exchange: listener.exchange,
        part: Part::message(message),
    }
}

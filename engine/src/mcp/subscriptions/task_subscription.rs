//! The tasks of one subscription: those that exist, and statuses that wait for capacity.
//!
//! Only the home shards know the existing tasks: all of them answer before the stream is
//! acknowledged. Ids of tasks are secrets: a task that does not exist, belongs to another client or
//! ended long ago looks the same, and is left out.

use std::collections::VecDeque;

use crate::mcp::task_id::TaskId;

/// The most requests to other shards without an answer: one for each subscription and home.
///
/// A client may leave at once and come back while its requests stay in the lanes: so requests are
/// counted, and not only subscriptions. That bounds the messages of both ends, because each end
/// keeps its order: messages about a subscription that ended have gone before the request of the
/// next one is answered.
pub(in crate::mcp) const TASK_REQUESTS_MAX: usize = 1024;

/// The tasks that a subscription names.
#[derive(Debug)]
pub(in crate::mcp) struct TaskSubscription {
    tasks: Vec<NamedTask>,
    /// The home shards of these tasks; only those that know one, once they have answered.
    homes: Vec<u16>,
    /// Homes that have not answered.
    unanswered: usize,
    /// Statuses that wait for capacity on the stream, each with the home that waits too: at most
    /// one of each home.
    pub(in crate::mcp) held: VecDeque<(u16, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy)]
struct NamedTask {
    task: TaskId,
    is_watched: bool,
}

impl TaskSubscription {
    /// A subscription to the tasks that `ids` name on one of `shards`; `None` if none is an id.
    pub(in crate::mcp) fn of(ids: &[Box<str>], shards: u16) -> Option<Box<TaskSubscription>> {
        let tasks = ids.iter().filter_map(|id| TaskId::parse(id.as_bytes()));
        let tasks = tasks.filter(|task| task.home < shards);
        let tasks: Vec<NamedTask> = tasks
            .map(|task| NamedTask {
                task,
                is_watched: false,
            })
            .collect();
        let mut homes: Vec<u16> = tasks.iter().map(|named| named.task.home).collect();
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

    /// Whether every home has answered.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.unanswered == 0
    }

    /// The home shards of the tasks.
    pub(in crate::mcp) fn homes(&self) -> &[u16] {
        &self.homes
    }

    /// The tasks that live on the shard `home`.
    pub(in crate::mcp) fn tasks_at(&self, home: u16) -> Vec<TaskId> {
        let tasks = self.tasks.iter().map(|named| named.task);
        tasks.filter(|task| task.home == home).collect()
    }

    /// Ids of the tasks that exist.
    pub(super) fn watched_ids(&self) -> impl Iterator<Item = Box<str>> {
        let watched = self.tasks.iter().filter(|named| named.is_watched);
        watched.map(|named| {
            let id = named.task.to_text();
            String::from_utf8_lossy(&id).into()
        })
    }

    /// Takes the answer of the shard `home`: the tasks that exist. Returns whether it was the last
    /// one to answer.
    pub(in crate::mcp) fn on_answer(&mut self, home: u16, known: &[TaskId]) -> bool {
        for named in &mut self.tasks {
            named.is_watched |= known.contains(&named.task);
        }
        if known.is_empty() {
            self.homes.retain(|other| *other != home);
        }
        self.unanswered -= 1;
        self.is_acknowledged()
    }
}

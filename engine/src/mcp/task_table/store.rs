//! The storage of tasks: by owner, in the order of eviction, with the memory of all.
//!
//! Invariants: after each call there are no more tasks and bytes than the limits allow, and no
//! running task was removed for that. A refusal removes nothing: finished tasks are evicted only
//! where that suffices. A store without tasks owns no memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use hashbrown::HashTable;
use slab::Slab;

use super::error::{CreateError, NotKept};
use super::limits::TaskLimits;
use super::task::{IN_HOLDER, IN_OWNER, IN_SHARD, InputRequest, Task, TaskOwner, Waiter};
use crate::guard::holder::HolderKey;
use crate::guard::shares::Shares;
use crate::mcp::age_list::AgeList;
use crate::mcp::holder_lists::HolderLists;
use crate::mcp::task_id::TaskId;

/// The tasks of a shard; see the module's text.
#[derive(Debug)]
pub(super) struct TaskStore {
    pub(super) limits: TaskLimits,
    pub(super) tasks: Slab<Task>,
    /// The indexes of tasks by the random bits of their ids, which stand in the tasks.
    by_id: HashTable<u32>,
    /// Tasks with an owner. Peers choose the names of principals, so the hash must withstand chosen
    /// names.
    owners: HashMap<TaskOwner, Owned>,
    /// When tasks are forgotten, and their indexes.
    expiries: BTreeSet<(u64, u32)>,
    /// Tasks that are over, in the order they ended.
    over: AgeList,
    /// Tasks of each holder, and those of them that are over.
    shares: Shares,
    over_by_holder: HolderLists,
    /// Counted bytes of each holder's tasks.
    bytes: Shares,
    /// The part of `bytes` that belongs to tasks that are over.
    over_bytes: usize,
    evicted: u64,
}

/// The tasks of an owner.
#[derive(Debug)]
struct Owned {
    /// Their indexes in the order they were made.
    by_ordinal: BTreeMap<u64, u32>,
    /// Those that are over, in the order they ended.
    over: AgeList,
}

/// The most waiters of a task.
pub(super) const WAITERS_MAX: usize = 8;

/// The cost of a task beside its values: its places in tables and trees that may be half empty, its
/// owner's, which has a leaf of eleven for a single task too, and its waiters.
pub(super) const TASK_OVERHEAD_BYTES: usize = 2
    * (size_of::<Task>()
        + size_of::<(TaskOwner, Owned)>()
        + 2 * size_of::<(HolderKey, usize)>()
        + size_of::<(HolderKey, AgeList)>()
        + size_of::<(u64, u32)>() * 8
        + size_of::<u32>() * 2
        + WAITERS_MAX * size_of::<Waiter>());

/// The cost of an input request beside its key and content.
pub(super) const INPUT_OVERHEAD_BYTES: usize = 2 * size_of::<InputRequest>() + 32;

impl TaskStore {
    pub(super) fn new(limits: TaskLimits) -> TaskStore {
        TaskStore {
            limits,
            tasks: Slab::new(),
            by_id: HashTable::new(),
            owners: HashMap::new(),
            expiries: BTreeSet::new(),
            over: AgeList::new(),
            shares: Shares::new(limits.tasks_max),
            over_by_holder: HolderLists::default(),
            bytes: Shares::new(limits.bytes_max),
            over_bytes: 0,
            evicted: 0,
        }
    }

    /// Changes the limits. Past a lower one [`TaskStore::shrink`] evicts finished tasks.
    pub(super) fn set_limits(&mut self, limits: TaskLimits) {
        self.limits = limits;
        self.shares.set_max(limits.tasks_max);
        self.bytes.set_max(limits.bytes_max);
    }

    /// The finished task that is evicted next because there are more than a lowered limit allows.
    fn first_past_limits(&self) -> Option<u32> {
        let limits = &self.limits;
        let is_past = self.tasks.len() > limits.tasks_max || self.bytes() > limits.bytes_max;
        self.over.oldest().filter(|_| is_past)
    }

    /// Whether [`TaskStore::shrink`] has work.
    pub(super) fn is_shrinking(&self) -> bool {
        self.first_past_limits().is_some()
    }

    /// Evicts a finished task past a limit that was lowered.
    pub(super) fn shrink(&mut self) {
        if let Some(index) = self.first_past_limits() {
            self.evict(index);
        }
    }

    /// The counted bytes of everything kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.used()
    }

    /// The number of evicted tasks.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// When the first task is forgotten.
    pub(super) fn next_expiry_ms(&self) -> Option<u64> {
        self.expiries.first().map(|(expires_ms, _)| *expires_ms)
    }

    /// The task that expired first.
    pub(super) fn first_expired(&self, now_ms: u64) -> Option<u32> {
        let (expires_ms, index) = self.expiries.first()?;
        (*expires_ms <= now_ms).then_some(*index)
    }

    pub(super) fn index_of(&self, id: TaskId) -> Option<u32> {
        let is_it = |index: &u32| self.tasks[*index as usize].id == id;
        self.by_id.find(hash_of(id), is_it).copied()
    }

    /// The tasks of an owner that were made after the one with ordinal `after`, in that order.
    pub(super) fn of_owner(
        &self,
        owner: &TaskOwner,
        after: Option<u64>,
    ) -> impl Iterator<Item = (u32, &Task)> {
        let owned = self.owners.get(owner);
        let from = after.map_or(0, |after| after.saturating_add(1));
        let later = owned.map(|owned| owned.by_ordinal.range(from..));
        later
            .into_iter()
            .flatten()
            .map(|(_, index)| (*index, &self.tasks[*index as usize]))
    }

    /// Evicts finished tasks for one more task of `owner`, which counts for `holder`.
    pub(super) fn admit(
        &mut self,
        owner: &TaskOwner,
        holder: HolderKey,
    ) -> Result<(), CreateError> {
        let TaskLimits {
            tasks_max,
            per_owner_max,
            ..
        } = self.limits;
        let owned = self.owners.get(owner);
        let own_count = owned.map_or(0, |owned| owned.by_ordinal.len());
        let own_oldest = owned.and_then(|owned| owned.over.oldest());
        // `Nobody` is not one owner but every client without a name.
        let owner_is_full = own_count >= per_owner_max && *owner != TaskOwner::Nobody;
        if owner_is_full && own_oldest.is_none() {
            return Err(CreateError::OwnerFull {
                tasks_max: per_owner_max,
            });
        }
        if self.tasks.len() >= tasks_max && self.over.oldest().is_none() {
            return Err(CreateError::Full { tasks_max });
        }
        let has_over = self.over_by_holder.oldest(holder).is_some();
        if self.shares.is_at_share(holder) && !has_over {
            let held = self.shares.held_by(holder);
            return Err(CreateError::HolderFull { held, tasks_max });
        }
        let cost = TASK_OVERHEAD_BYTES + 2 * owner.name_bytes();
        self.check_room(cost)?;
        if let Some(index) = own_oldest.filter(|_| owner_is_full) {
            self.evict(index);
        }
        if self.shares.is_at_share(holder)
            && let Some(index) = self.over_by_holder.oldest(holder)
        {
            self.evict(index);
        }
        if self.tasks.len() >= tasks_max
            && let Some(index) = self.first_to_go(&self.shares, 1)
        {
            self.evict(index);
        }
        self.make_room_of(holder, cost)?;
        Ok(())
    }

    /// Keeps a task that was admitted.
    pub(super) fn insert(&mut self, task: Task) {
        let (id, ordinal, expires_ms) = (task.id, task.ordinal, task.expires_ms());
        let owner = (task.owner != TaskOwner::Nobody).then(|| task.owner.clone());
        self.shares.take(task.holder, 1);
        let index = self.tasks.insert(task) as u32;
        let tasks = &self.tasks;
        self.by_id.insert_unique(hash_of(id), index, |index| {
            hash_of(tasks[*index as usize].id)
        });
        if let Some(owner) = owner {
            let owned = self.owners.entry(owner).or_insert(Owned {
                by_ordinal: BTreeMap::new(),
                over: AgeList::new(),
            });
            owned.by_ordinal.insert(ordinal, index);
        }
        self.expiries.insert((expires_ms, index));
        self.recount(index);
    }

    /// Takes a task out.
    pub(super) fn remove(&mut self, index: u32) -> Task {
        let task = &self.tasks[index as usize];
        let (id, is_over) = (task.id, task.status.is_terminal());
        self.expiries.remove(&(task.expires_ms(), index));
        let holder = task.holder;
        self.shares.give_back(holder, 1);
        if is_over {
            self.over.remove(&mut self.tasks, index, IN_SHARD);
            let place = (&mut self.tasks, index);
            self.over_by_holder.remove(holder, place, IN_HOLDER);
        }
        let task = &self.tasks[index as usize];
        let (ordinal, bytes) = (task.ordinal, task.bytes);
        if let Some(owned) = self.owners.get_mut(&task.owner) {
            owned.by_ordinal.remove(&ordinal);
            if is_over {
                owned.over.remove(&mut self.tasks, index, IN_OWNER);
            }
            if owned.by_ordinal.is_empty() {
                self.owners.remove(&self.tasks[index as usize].owner);
            }
        }
        if let Ok(entry) = self.by_id.find_entry(hash_of(id), |other| *other == index) {
            entry.remove();
        }
        self.bytes.give_back(holder, bytes);
        self.over_bytes -= if is_over { bytes } else { 0 };
        let task = self.tasks.remove(index as usize);
        if self.tasks.is_empty() {
            self.tasks = Slab::new();
            self.by_id = HashTable::new();
            self.owners = HashMap::new();
            self.expiries = BTreeSet::new();
            self.shares = Shares::new(self.limits.tasks_max);
            self.bytes = Shares::new(self.limits.bytes_max);
            self.over_by_holder = HolderLists::default();
        }
        task
    }

    /// Puts a task that has just ended behind the other finished ones. Its bytes stay the same from
    /// here on.
    pub(super) fn retire(&mut self, index: u32) {
        self.recount(index);
        let task = &self.tasks[index as usize];
        self.over_bytes += task.bytes;
        if let Some(owned) = self.owners.get_mut(&task.owner) {
            owned.over.push(&mut self.tasks, index, IN_OWNER);
        }
        self.over.push(&mut self.tasks, index, IN_SHARD);
        let holder = self.tasks[index as usize].holder;
        let place = (&mut self.tasks, index);
        self.over_by_holder.push(holder, place, IN_HOLDER);
    }

    /// Counts the bytes of a running task again; their limit was checked before.
    pub(super) fn recount(&mut self, index: u32) {
        let task = &mut self.tasks[index as usize];
        self.bytes.give_back(task.holder, task.bytes);
        task.bytes = bytes_of(task);
        self.bytes.take(task.holder, task.bytes);
    }

    /// Sets the message of a finished task, if it fits without evicting another.
    pub(super) fn explain(&mut self, index: u32, text: &str) {
        if self.bytes() + text.len() > self.limits.bytes_max {
            return;
        }
        let task = &mut self.tasks[index as usize];
        let bytes_before = task.bytes;
        task.message = Some(text.into());
        self.recount(index);
        self.over_bytes += self.tasks[index as usize].bytes - bytes_before;
    }

    /// Whether a single value of a task may have `bytes`.
    pub(super) fn check_size(&self, bytes: usize) -> Result<(), NotKept> {
        let bytes_max = self.limits.result_bytes_max;
        if bytes > bytes_max {
            return Err(NotKept::TooLarge { bytes, bytes_max });
        }
        Ok(())
    }

    /// Frees `bytes` for a running task, if finished ones hold enough.
    pub(super) fn make_room(&mut self, index: u32, bytes: usize) -> Result<(), NotKept> {
        self.make_room_of(self.tasks[index as usize].holder, bytes)
    }

    /// Frees `bytes` for `holder`: past its share it loses its own finished tasks first.
    fn make_room_of(&mut self, holder: HolderKey, bytes: usize) -> Result<(), NotKept> {
        self.check_room(bytes)?;
        while self.bytes.exceeds_share(holder, bytes)
            && let Some(index) = self.over_by_holder.oldest(holder)
        {
            self.evict(index);
        }
        while self.bytes() + bytes > self.limits.bytes_max
            && let Some(index) = self.first_to_go(&self.bytes, bytes)
        {
            self.evict(index);
        }
        Ok(())
    }

    /// The finished task that is evicted for `amount` more of what `shares` counts: of the holder
    /// that is furthest past its share, or of any if none is.
    fn first_to_go(&self, shares: &Shares, amount: usize) -> Option<u32> {
        let oldest = |holder| self.over_by_holder.oldest(holder);
        shares
            .largest_past_share(amount, |holder| oldest(holder).is_some())
            .map_or(self.over.oldest(), oldest)
    }

    fn check_room(&self, bytes: usize) -> Result<(), NotKept> {
        let running_bytes = self.bytes() - self.over_bytes;
        let bytes_free = self.limits.bytes_max.saturating_sub(running_bytes);
        if bytes > bytes_free {
            return Err(NotKept::NoRoom { bytes, bytes_free });
        }
        Ok(())
    }

    fn evict(&mut self, index: u32) {
        self.remove(index);
        self.evicted += 1;
    }

    #[cfg(test)]
    pub(super) fn owns_nothing(&self) -> bool {
        let places = self.tasks.capacity() + self.by_id.capacity() + self.owners.capacity();
        places == 0 && self.expiries.is_empty() && self.over_bytes == 0
    }
}

/// The counted bytes of a task: its cost, and its values. An owner's name is stored twice.
fn bytes_of(task: &Task) -> usize {
    let inputs = task.inputs.iter();
    let inputs = inputs.map(|input| INPUT_OVERHEAD_BYTES + input.key.len() + input.content_bytes());
    TASK_OVERHEAD_BYTES
        + 2 * task.owner.name_bytes()
        + task.message.as_ref().map_or(0, |message| message.len())
        + inputs.sum::<usize>()
        + task.outcome.as_ref().map_or(0, |outcome| outcome.bytes())
}

/// Ids are random bits of our own making: they are their own hash.
fn hash_of(id: TaskId) -> u64 {
    id.random as u64
}

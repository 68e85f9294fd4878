//! Changes of the catalog while the server runs, and their way to every shard.
//!
//! The author of a change makes a new [`Plan`] and puts it into the pending updates of each shard.
//! A shard takes them at the start of its turn, so that it has one catalog or the next and never a
//! part of one. Pending updates hold the latest plan, the changed lists and the changed resources.
//! They coalesce, so they are bounded for any rate of changes; that is why changes do not go
//! through the lanes, which could be full. Changed resources wait while a shard still broadcasts
//! earlier ones; changes that come faster are refused.
//!
//! Other settings of the server go the same way: see [`Live`].
//!
//! A node of a cluster has one more receiver, which gets changed lists and resources for the other
//! nodes; the changes of those come back by [`PendingUpdates::leave`], to the shards alone.
//!
//! A changed list is broadcast in a second step, when every shard has its plan: see [`Rollout`].
//!
//! Invariant: an accepted change reaches every shard that runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use corelane_protocol::mcp::subscription::{ListKind, ListKinds};

use super::changed_resources::{ChangedResources, UPDATES_MAX};
use super::rollout::Rollout;
use super::{CatalogError, Plan};
use crate::live::{Live, NewLive, RolloutBarrier};
use corelane_io::wake::Waker;

/// The changes since a shard last took them.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// The catalog from now on, if it changed.
    pub(crate) plan: Option<Arc<Plan>>,
    /// Dropped once the shard uses the plan, and not before.
    pub(crate) new_plan: Option<NewPlan>,
    /// Lists that changed, in plans that every shard uses.
    pub(crate) lists: ListKinds,
    /// Resources that changed.
    pub(crate) resources: ChangedResources,
    /// The settings from now on, if they changed.
    pub(crate) live: Option<NewLive>,
}

/// A plan that a shard does not use yet; dropped when it does.
#[derive(Debug)]
pub(crate) struct NewPlan {
    broadcaster: Arc<Broadcaster>,
    shard: usize,
    version: u64,
    is_superseded: bool,
}

impl NewPlan {
    /// The shard gets a later plan instead, which reports the changes of this one too.
    fn supersede(mut self) {
        self.is_superseded = true;
    }
}

impl Drop for NewPlan {
    fn drop(&mut self) {
        if !self.is_superseded {
            self.broadcaster.plan_used(self.shard, self.version);
        }
    }
}

/// Broadcasts changed lists when every shard has them. Plans on their way keep it, as the handle
/// that made a change may be gone; it does not keep the shards.
#[derive(Debug)]
struct Broadcaster {
    rollout: Mutex<Rollout>,
    shards: Vec<Weak<ShardUpdates>>,
    /// That of the cluster, which gets no plans.
    cluster: Weak<ShardUpdates>,
}

impl Broadcaster {
    fn rollout(&self) -> MutexGuard<'_, Rollout> {
        self.rollout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Broadcasts the changes that every shard has now that `shard` uses `version`.
    fn plan_used(&self, shard: usize, version: u64) {
        let lists = self.rollout().take_ready(shard, version);
        if lists.is_empty() {
            return;
        }
        let receivers = self.shards.iter().chain([&self.cluster]);
        for receiver in receivers.filter_map(Weak::upgrade) {
            receiver.leave(|changes| changes.lists.extend(lists));
        }
    }
}

/// The pending updates of one shard.
#[derive(Debug, Default)]
pub(crate) struct ShardUpdates {
    changes: Mutex<Changes>,
    is_new: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// The pending updates of all shards of one server, and the catalog that the next change starts
/// from.
#[derive(Debug, Default)]
pub(crate) struct PendingUpdates {
    /// Those for the other nodes of a cluster.
    cluster: OnceLock<Weak<ShardUpdates>>,
    server: OnceLock<Running>,
}

#[derive(Debug)]
struct Running {
    latest: Mutex<Arc<Plan>>,
    /// The settings of the last reload, if there was one.
    live: Mutex<Option<Arc<Live>>>,
    shards: Vec<Arc<ShardUpdates>>,
    broadcaster: Arc<Broadcaster>,
}

/// Why something cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The server has not been started.
    #[error("the server does not run yet: add it to the server itself")]
    NotRunning,
    /// The entry is not usable.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Changes come faster than they are broadcast.
    #[error("{UPDATES_MAX} changed resources wait to be broadcast; try again later")]
    TooMany,
}

impl ShardUpdates {
    /// Sets the waker with which a change wakes the shard, in the place of that of its life before.
    pub(crate) fn set_waker(&self, waker: Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
    }

    /// Takes the changes, if there are any; resources only if `takes_uris`, otherwise they stay.
    /// Costs one load when there are none.
    pub(crate) fn take(&self, takes_uris: bool) -> Option<Changes> {
        if !self.has_changes() || !self.is_new.swap(false, Ordering::Acquire) {
            return None;
        }
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = std::mem::take(&mut *changes);
        if !takes_uris && !taken.resources.is_empty() {
            changes.resources = std::mem::take(&mut taken.resources);
            // No change wakes the shard for these again: it does not sleep while it has changes.
            self.is_new.store(true, Ordering::Release);
        }
        Some(taken)
    }

    /// Whether changes wait for the shard, which must not sleep before it took them.
    pub(crate) fn has_changes(&self) -> bool {
        self.is_new.load(Ordering::Relaxed)
    }

    fn leave(&self, change: impl FnOnce(&mut Changes)) {
        change(&mut self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        if !self.is_new.swap(true, Ordering::Release)
            && let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner)
        {
            waker.wake();
        }
    }
}

impl PendingUpdates {
    /// Starts with `plan` on `shards` shards; returns their pending updates.
    pub(crate) fn open(&self, plan: &Arc<Plan>, shards: usize) -> Vec<Arc<ShardUpdates>> {
        let boards: Vec<_> = (0..shards).map(|_| Arc::default()).collect();
        let _ = self.server.set(Running {
            latest: Mutex::new(Arc::clone(plan)),
            live: Mutex::default(),
            broadcaster: Arc::new(Broadcaster {
                rollout: Mutex::new(Rollout::new(shards)),
                shards: boards.iter().map(Arc::downgrade).collect(),
                cluster: self.cluster.get().cloned().unwrap_or_default(),
            }),
            shards: boards.clone(),
        });
        boards
    }

    /// The pending updates for the other nodes, of a server that is yet to start. They end with the
    /// last reference to them.
    #[cfg(feature = "cluster")]
    pub(crate) fn for_cluster(&self) -> Arc<ShardUpdates> {
        let updates = Arc::default();
        let _ = self.cluster.set(Arc::downgrade(&updates));
        updates
    }

    /// Leaves changes of other nodes for every shard.
    #[cfg(feature = "cluster")]
    pub(crate) fn leave(&self, change: impl Fn(&mut Changes)) {
        for shard in self.server.get().iter().flat_map(|it| &it.shards) {
            shard.leave(&change);
        }
    }

    /// The catalog that a shard starts with; none before the server starts.
    pub(crate) fn latest(&self) -> Option<Arc<Plan>> {
        let latest = &self.server.get()?.latest;
        let latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&latest))
    }

    /// The settings of the last reload; none before the first.
    pub(crate) fn live(&self) -> Option<Arc<Live>> {
        let live = &self.server.get()?.live;
        let live = live.lock().unwrap_or_else(PoisonError::into_inner);
        live.clone()
    }

    /// Leaves other settings for every shard. Returns the wait for them; none before the start.
    pub(crate) fn publish(&self, live: &Arc<Live>) -> Option<Arc<RolloutBarrier>> {
        let server = self.server.get()?;
        // Locked until every shard has them: the shards get settings in one order.
        let mut latest = server.live.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = Some(Arc::clone(live));
        let barrier = RolloutBarrier::begin(server.shards.len());
        for (at, shard) in server.shards.iter().enumerate() {
            let new = barrier.of(live, at);
            shard.leave(|changes| changes.live = Some(new));
        }
        Some(barrier)
    }

    /// Changes the catalog: `edit` makes the next one, or none if it changes nothing.
    pub(crate) fn change(
        &self,
        kind: ListKind,
        edit: impl FnOnce(&Plan) -> Result<Option<Plan>, CatalogError>,
    ) -> Result<bool, ChangeError> {
        let mut lists = ListKinds::default();
        lists.insert(kind);
        self.change_lists(lists, edit)
    }

    /// The same for a change of any `lists`, or of none that clients need to know.
    pub(crate) fn change_lists(
        &self,
        lists: ListKinds,
        edit: impl FnOnce(&Plan) -> Result<Option<Plan>, CatalogError>,
    ) -> Result<bool, ChangeError> {
        self.exchange(|plan| Ok(edit(plan)?.map(|next| (next, lists))))
    }

    /// The same for an `edit` that finds out which lists it changes.
    pub(crate) fn exchange(
        &self,
        edit: impl FnOnce(&Plan) -> Result<Option<(Plan, ListKinds)>, CatalogError>,
    ) -> Result<bool, ChangeError> {
        let server = self.server.get().ok_or(ChangeError::NotRunning)?;
        // Locked until every shard has it: the shards get changes in one order.
        let mut latest = server.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((next, lists)) = edit(&latest)? else {
            return Ok(false);
        };
        *latest = Arc::new(next);
        let version = server.broadcaster.rollout().begin(lists);
        for (at, shard) in server.shards.iter().enumerate() {
            shard.leave(|changes| {
                changes.plan = Some(Arc::clone(&latest));
                let new_plan = NewPlan {
                    broadcaster: Arc::clone(&server.broadcaster),
                    shard: at,
                    version,
                    is_superseded: false,
                };
                if let Some(unused) = changes.new_plan.replace(new_plan) {
                    unused.supersede();
                }
            });
        }
        Ok(true)
    }

    /// Reports that the resource at `uri` has changed, on this node and to the others if
    /// `is_for_all`.
    pub(crate) fn updated(&self, uri: &str, is_for_all: bool) -> Result<(), ChangeError> {
        let server = self.server.get().ok_or(ChangeError::NotRunning)?;
        let uri: Arc<str> = uri.into();
        let cluster = server.broadcaster.cluster.upgrade();
        let mut has_all = true;
        for receiver in server
            .shards
            .iter()
            .chain(cluster.iter().filter(|_| is_for_all))
        {
            receiver.leave(|changes| has_all &= changes.resources.insert(&uri));
        }
        match has_all {
            true => Ok(()),
            false => Err(ChangeError::TooMany),
        }
    }
}

#[cfg(test)]
mod tests;

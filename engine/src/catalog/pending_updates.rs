//! Changes of the catalog while the server runs, and their way to every shard.
//!
//! The author of a change makes a new [`Plan`] and puts it into the pending updates of each shard.
//! A shard takes them at the start of its turn, so that it has one catalog or the next and never a
//! part of one. Pending updates hold the latest plan, the changed lists and the changed resources.
//! They coalesce, so they are bounded for any rate of changes; that is why changes do not go
//! through the lanes, which could be full. Changed resources wait while a shard still broadcasts
//! earlier ones; changes that come faster are refused.
//!
//! A changed list is broadcast in a second step, when every shard has its plan: see [`Rollout`].
//!
//! Invariant: an accepted change reaches every shard that runs.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use corelane_protocol::mcp::subscription::{ListKind, ListKinds};

use super::rollout::Rollout;
use super::{CatalogError, Plan};
use corelane_io::wake::Waker;

/// The most changed resources that wait for one shard.
pub(crate) const UPDATES_MAX: usize = 4096;

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
    pub(crate) uris: HashSet<Arc<str>>,
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
        for shard in self.shards.iter().filter_map(Weak::upgrade) {
            shard.leave(|changes| changes.lists.extend(lists));
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
    server: OnceLock<Running>,
}

#[derive(Debug)]
struct Running {
    latest: Mutex<Arc<Plan>>,
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
        if !takes_uris && !taken.uris.is_empty() {
            changes.uris = std::mem::take(&mut taken.uris);
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
            broadcaster: Arc::new(Broadcaster {
                rollout: Mutex::new(Rollout::new(shards)),
                shards: boards.iter().map(Arc::downgrade).collect(),
            }),
            shards: boards.clone(),
        });
        boards
    }

    /// The catalog that a shard starts with; none before the server starts.
    pub(crate) fn latest(&self) -> Option<Arc<Plan>> {
        let latest = &self.server.get()?.latest;
        let latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&latest))
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
        let server = self.server.get().ok_or(ChangeError::NotRunning)?;
        // Locked until every shard has it: the shards get changes in one order.
        let mut latest = server.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(next) = edit(&latest)? else {
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

    /// Reports that the resource at `uri` has changed.
    pub(crate) fn updated(&self, uri: &str) -> Result<(), ChangeError> {
        let server = self.server.get().ok_or(ChangeError::NotRunning)?;
        let uri: Arc<str> = uri.into();
        let mut is_full = false;
        for shard in &server.shards {
            shard.leave(|changes| {
                if changes.uris.len() < UPDATES_MAX {
                    changes.uris.insert(Arc::clone(&uri));
                } else if !changes.uris.contains(&uri) {
                    is_full = true;
                }
            });
        }
        match is_full {
            true => Err(ChangeError::TooMany),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;
    use crate::catalog::Entries;
    use corelane_io::wake::WakeFd;

    fn plan() -> Arc<Plan> {
        Arc::new(Plan::new(Entries::default(), 10).unwrap())
    }

    #[test]
    fn nothing_can_be_changed_before_the_start() {
        let updates = PendingUpdates::default();
        assert!(matches!(
            updates.updated("a:b"),
            Err(ChangeError::NotRunning)
        ));
    }

    #[test]
    fn changes_coalesce_until_each_shard_takes_them() {
        let updates = PendingUpdates::default();
        let shards = updates.open(&plan(), 2);
        assert!(shards[0].take(true).is_none());
        for _ in 0..3 {
            updates.updated("a:b").unwrap();
        }
        let edit = |_: &Plan| Ok(Some(Plan::new(Entries::default(), 10)?));
        assert!(updates.change(ListKind::Tools, edit).unwrap());
        assert!(!updates.change(ListKind::Prompts, |_| Ok(None)).unwrap());
        for shard in &shards {
            let changes = shard.take(true).unwrap();
            assert_eq!(changes.uris.len(), 1);
            assert!(changes.plan.is_some());
        }
        for shard in &shards {
            let lists = shard.take(true).unwrap().lists;
            assert!(lists.contains(ListKind::Tools));
            assert!(!lists.contains(ListKind::Prompts));
            assert!(shard.take(true).is_none());
        }
    }

    #[test]
    fn a_change_wakes_a_shard_that_has_taken_the_one_before() {
        let updates = PendingUpdates::default();
        let shards = updates.open(&plan(), 1);
        let wake = WakeFd::open().unwrap();
        shards[0].set_waker(wake.waker());
        for round in 0..3 {
            updates.updated("a:b").unwrap();
            assert!(takes_wake(&wake), "round {round}");
            updates.updated("a:c").unwrap();
            assert!(!takes_wake(&wake), "it has not looked yet");
            assert_eq!(shards[0].take(true).unwrap().uris.len(), 2);
        }
        change(&updates, ListKind::Tools);
        assert!(takes_wake(&wake), "a new plan");
        drop(shards[0].take(true).unwrap());
        assert!(takes_wake(&wake), "the list that changed with it");
    }

    /// Whether there was a wake since the last look.
    fn takes_wake(wake: &WakeFd) -> bool {
        let mut look = [PollFd::new(wake, PollFlags::IN)];
        let woken = poll(&mut look, Some(&Timespec::default())).unwrap() == 1;
        wake.clear();
        woken
    }

    #[test]
    fn a_list_is_broadcast_when_every_shard_has_it() {
        let updates = PendingUpdates::default();
        let shards = updates.open(&plan(), 2);
        change(&updates, ListKind::Tools);
        let first = shards[0].take(true).unwrap();
        let second = shards[1].take(true).unwrap();
        assert!(first.lists.is_empty() && second.lists.is_empty());
        drop(first);
        assert!(
            shards[0].take(true).is_none(),
            "the other uses the old plan"
        );
        drop(second);
        check_broadcast(&shards, &[ListKind::Tools]);
    }

    #[test]
    fn each_of_several_changes_is_broadcast_once() {
        let updates = PendingUpdates::default();
        let shards = updates.open(&plan(), 2);
        change(&updates, ListKind::Tools);
        drop(shards[0].take(true).unwrap());
        // The second shard never takes the first plan.
        change(&updates, ListKind::Prompts);
        change(&updates, ListKind::Resources);
        drop(shards[1].take(true).unwrap());
        check_broadcast(&shards[1..], &[ListKind::Tools]);
        let first = shards[0].take(true).unwrap();
        assert!(first.plan.is_some() && first.lists.contains(ListKind::Tools));
        drop(first);
        check_broadcast(&shards, &[ListKind::Prompts, ListKind::Resources]);
    }

    #[test]
    fn a_change_is_broadcast_although_its_handle_is_gone() {
        let updates = PendingUpdates::default();
        let shards = updates.open(&plan(), 2);
        change(&updates, ListKind::Tools);
        drop(updates);
        for shard in &shards {
            drop(shard.take(true).unwrap());
        }
        check_broadcast(&shards, &[ListKind::Tools]);
    }

    #[test]
    fn endless_changes_of_a_list_are_broadcast_meanwhile() {
        let updates = PendingUpdates::default();
        let shards = updates.open(&plan(), 2);
        let mut broadcasts = 0;
        for _ in 0..10 {
            // No shard ever has the latest plan.
            for shard in &shards {
                change(&updates, ListKind::Tools);
                broadcasts += usize::from(!shard.take(true).unwrap().lists.is_empty());
            }
        }
        assert!((4..=20).contains(&broadcasts), "{broadcasts}");
    }

    /// Changes a list.
    fn change(updates: &PendingUpdates, kind: ListKind) {
        let edit = |_: &Plan| Ok(Some(Plan::new(Entries::default(), 10)?));
        assert!(updates.change(kind, edit).unwrap());
    }

    /// Every shard broadcasts exactly these lists, and no plan.
    fn check_broadcast(shards: &[Arc<ShardUpdates>], lists: &[ListKind]) {
        for shard in shards {
            let taken_changes = shard.take(true).unwrap();
            assert!(taken_changes.plan.is_none() && taken_changes.new_plan.is_none());
            for kind in ListKind::ALL {
                assert_eq!(
                    taken_changes.lists.contains(kind),
                    lists.contains(&kind),
                    "{kind:?}"
                );
            }
            assert!(shard.take(true).is_none());
        }
    }

    #[test]
    fn more_resources_than_are_kept_are_refused() {
        let updates = PendingUpdates::default();
        let shards = updates.open(&plan(), 1);
        for at in 0..UPDATES_MAX {
            updates.updated(&format!("a:{at}")).unwrap();
        }
        assert!(matches!(
            updates.updated("a:more"),
            Err(ChangeError::TooMany)
        ));
        updates.updated("a:0").unwrap();
        let kept = shards[0].take(false).unwrap();
        assert!(
            kept.uris.is_empty(),
            "they stay while the shard has no room"
        );
        assert!(matches!(
            updates.updated("a:more"),
            Err(ChangeError::TooMany)
        ));
        assert_eq!(shards[0].take(true).unwrap().uris.len(), UPDATES_MAX);
        updates.updated("a:more").unwrap();
    }

    #[test]
    fn resources_stay_while_everything_else_is_taken() {
        let updates = PendingUpdates::default();
        let shards = updates.open(&plan(), 1);
        updates.updated("a:b").unwrap();
        let edit = |_: &Plan| Ok(Some(Plan::new(Entries::default(), 10)?));
        assert!(updates.change(ListKind::Tools, edit).unwrap());
        let taken = shards[0].take(false).unwrap();
        assert!(taken.plan.is_some() && taken.uris.is_empty());
        drop(taken);
        updates.updated("a:b").unwrap();
        updates.updated("a:c").unwrap();
        let taken = shards[0].take(false).unwrap();
        assert!(taken.lists.contains(ListKind::Tools) && taken.uris.is_empty());
        assert!(shards[0].has_changes(), "the shard must not sleep");
        let taken = shards[0].take(true).unwrap();
        assert_eq!(taken.uris, HashSet::from(["a:b".into(), "a:c".into()]));
        assert!(taken.lists.is_empty() && !shards[0].has_changes());
    }
}

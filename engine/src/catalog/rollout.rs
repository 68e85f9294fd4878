//! The way of changed lists from a new plan on every shard to their broadcast.
//!
//! A changed list is broadcast when every shard has its plan. Otherwise a client could get the
//! notification, request the list on another connection, and so perhaps from another shard, and get
//! the old list without a further notification (MCP 2026-07-28 server/tools: lists do not vary per
//! connection).
//!
//! Plans have versions, which rise. A shard always takes the latest, so it may leave out some.
//!
//! Invariant: one broadcast reports all changes of a list up to the version that every shard has.
//! Endless changes do not delay it.

use corelane_protocol::mcp::subscription::{ListKind, ListKinds};

/// The versions that the shards use, and the changed lists that not every shard has.
#[derive(Debug)]
pub(super) struct Rollout {
    latest: u64,
    /// By shard.
    used: Vec<u64>,
    /// In the order of [`ListKind::ALL`].
    changed: [Option<Changed>; ListKind::ALL.len()],
}

/// The versions in which a list changed, and that not every shard has.
#[derive(Debug, Clone, Copy)]
struct Changed {
    first: u64,
    last: u64,
}

impl Rollout {
    /// All of `shards` use the first plan.
    pub(super) fn new(shards: usize) -> Rollout {
        Rollout {
            latest: 0,
            used: vec![0; shards],
            changed: [None; ListKind::ALL.len()],
        }
    }

    /// Begins the next version, in which `lists` changed; returns it.
    pub(super) fn begin(&mut self, lists: ListKinds) -> u64 {
        self.latest += 1;
        let last = self.latest;
        for (kind, changed) in ListKind::ALL.into_iter().zip(&mut self.changed) {
            if lists.contains(kind) {
                let first = changed.map_or(last, |changed| changed.first);
                *changed = Some(Changed { first, last });
            }
        }
        last
    }

    /// `shard` uses `version`: takes the lists with a change that every shard has now.
    pub(super) fn take_ready(&mut self, shard: usize, version: u64) -> ListKinds {
        self.used[shard] = version;
        let everywhere = self.used.iter().copied().min().unwrap_or_default();
        let mut lists = ListKinds::default();
        for (kind, slot) in ListKind::ALL.into_iter().zip(&mut self.changed) {
            if let Some(Changed { first, last }) = *slot
                && first <= everywhere
            {
                lists.insert(kind);
                // Changes between the two are reported with the last one.
                *slot = (everywhere < last).then_some(Changed { first: last, last });
            }
        }
        lists
    }
}

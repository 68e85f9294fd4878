//! Changes on their way to every subscription and session.
//!
//! A broadcast remembers its position, so that it can continue in the next turn. There are few at
//! once: a list that changes again while its change is broadcast is broadcast once more from the
//! start, for any number of changes. Resources wait among the pending updates, which bound them.

use std::collections::VecDeque;

use corelane_protocol::jsonrpc::OwnedId;
use corelane_protocol::mcp::subscription::{
    ListKind, ListKinds, write_list_changed, write_updated,
};

use crate::catalog::changed_resources::ChangedResources;
use crate::upstream::interest::SubscribedUri;

/// Broadcasts at once: each list on its way and once more behind that, and one of resources.
const BROADCASTS_MAX: usize = 2 * ListKind::ALL.len() + 1;

/// The broadcasts of a shard, oldest first.
#[derive(Debug, Default)]
pub(in crate::mcp) struct Broadcasts(VecDeque<Broadcast>);

/// A change on its way.
#[derive(Debug)]
pub(in crate::mcp) struct Broadcast {
    change: Change,
    /// Subscriptions before this place have it.
    pub(in crate::mcp) next_subscription: usize,
    /// Sessions before this place have it.
    pub(in crate::mcp) next_session: usize,
}

#[derive(Debug)]
enum Change {
    List(ListKind),
    Updated(ChangedResources),
}

impl Broadcasts {
    fn push(&mut self, change: Change) {
        self.0.push_back(Broadcast {
            change,
            next_subscription: 0,
            next_session: 0,
        });
        assert!(self.0.len() <= BROADCASTS_MAX, "broadcasts coalesce");
    }

    /// Broadcasts that a list changed, unless a broadcast of it has not started yet.
    pub(in crate::mcp) fn push_list(&mut self, kind: ListKind) {
        let is_it = |change: &Change| matches!(change, Change::List(other) if *other == kind);
        let mut waiting = self.0.iter().filter(|it| it.is_at_start());
        if !waiting.any(|it| is_it(&it.change)) {
            self.push(Change::List(kind));
        }
    }

    /// Broadcasts that resources changed.
    ///
    /// # Panics
    /// While another broadcast of resources is under way, see [`Broadcasts::has_updates`].
    pub(in crate::mcp) fn push_updates(&mut self, resources: ChangedResources) {
        assert!(!self.has_updates(), "pending updates wait for their turn");
        self.push(Change::Updated(resources));
    }

    /// Whether changed resources are being broadcast.
    pub(in crate::mcp) fn has_updates(&self) -> bool {
        let mut broadcasts = self.0.iter();
        broadcasts.any(|it| matches!(it.change, Change::Updated(_)))
    }

    /// Whether there are none.
    pub(in crate::mcp) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the oldest one.
    pub(in crate::mcp) fn pop(&mut self) -> Option<Broadcast> {
        self.0.pop_front()
    }

    /// Puts one that was taken and is not finished back to the front.
    pub(in crate::mcp) fn put_back(&mut self, broadcast: Broadcast) {
        self.0.push_front(broadcast);
    }

    /// Forgets all of them.
    pub(in crate::mcp) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Broadcast {
    fn is_at_start(&self) -> bool {
        self.next_subscription + self.next_session == 0
    }

    /// The messages for a client that subscribed to `uris` and `lists`.
    pub(in crate::mcp) fn messages(
        &self,
        lists: ListKinds,
        uris: &[SubscribedUri],
        subscription: Option<&OwnedId>,
    ) -> Vec<Vec<u8>> {
        let subscription = subscription.map(OwnedId::as_id);
        let mut messages = Vec::new();
        match &self.change {
            Change::List(kind) if lists.contains(*kind) => {
                let mut message = Vec::new();
                write_list_changed(&mut message, *kind, subscription);
                messages.push(message);
            }
            Change::List(_) => {}
            Change::Updated(changed) => {
                for uri in uris.iter().filter(|uri| changed.contains(uri)) {
                    let mut message = Vec::new();
                    write_updated(&mut message, uri, subscription);
                    messages.push(message);
                }
            }
        }
        messages
    }
}

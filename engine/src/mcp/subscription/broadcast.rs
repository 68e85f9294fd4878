//! Telling everybody what changed, a share of it in each turn.
//!
//! A telling remembers how far it came. There are few at once: what changed again while everybody
//! is told of it is told once more from the start, however often it changed, and resources wait
//! on the board, which says when there are too many of them. Listeners to tasks have a share of
//! each turn that nothing else is told in, so that they wait behind no telling.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use corelane_protocol::jsonrpc::OwnedId;
use corelane_protocol::mcp::subscription::{
    ListKind, ListKinds, write_list_changed, write_updated,
};

use crate::catalog::Catalog;
use crate::catalog::pending_updates::Changes;
use crate::mcp::endpoint::Core;
use crate::mcp::{Delivery, Part};

/// Listen streams and sessions looked at, or messages to them if they are more, in one turn.
const NOTIFIED_PER_TURN: usize = 512;
/// Statuses of tasks among them that are told before anything else.
const STATUSES_FIRST_PER_TURN: usize = 128;

const _: () = assert!(STATUSES_FIRST_PER_TURN < NOTIFIED_PER_TURN);

/// Broadcasts at once: each list on its way and once more behind that, and one of resources.
const BROADCASTS_MAX: usize = 2 * ListKind::ALL.len() + 1;

/// What is being told, in its order.
#[derive(Debug, Default)]
pub(super) struct Broadcasts(VecDeque<Broadcast>);

/// A change on its way to everybody.
#[derive(Debug)]
struct Broadcast {
    what: BroadcastKind,
    /// Listeners before this place were told.
    next_listener: usize,
    /// Sessions before this place were told.
    next_session: usize,
}

#[derive(Debug)]
enum BroadcastKind {
    List(ListKind),
    Updated(HashSet<Arc<str>>),
}

impl Broadcasts {
    fn tell(&mut self, what: BroadcastKind) {
        self.0.push_back(Broadcast {
            what,
            next_listener: 0,
            next_session: 0,
        });
        assert!(self.0.len() <= BROADCASTS_MAX, "broadcasts coalesce");
    }

    /// Tells of a list, unless everybody will be told of it anyway.
    fn broadcast_list(&mut self, kind: ListKind) {
        let mut waiting = self.0.iter().filter(|broadcast| broadcast.is_at_start());
        if !waiting
            .any(|broadcast| matches!(broadcast.what, BroadcastKind::List(other) if other == kind))
        {
            self.tell(BroadcastKind::List(kind));
        }
    }

    /// Forgets all of it.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn has_updates(&self) -> bool {
        let mut broadcasts = self.0.iter();
        broadcasts.any(|broadcast| matches!(broadcast.what, BroadcastKind::Updated(_)))
    }
}

impl Broadcast {
    /// Whether nobody was told yet.
    fn is_at_start(&self) -> bool {
        self.next_listener + self.next_session == 0
    }
}

impl BroadcastKind {
    /// The messages to one who asked for `uris` and for `lists`, or for every list without them.
    fn messages(
        &self,
        lists: Option<ListKinds>,
        uris: &[Box<str>],
        subscription: Option<&OwnedId>,
    ) -> Vec<Vec<u8>> {
        let subscription = subscription.map(OwnedId::as_id);
        let mut messages = Vec::new();
        match self {
            BroadcastKind::List(kind) if lists.is_none_or(|lists| lists.contains(*kind)) => {
                let mut message = Vec::new();
                write_list_changed(&mut message, *kind, subscription);
                messages.push(message);
            }
            BroadcastKind::List(_) => {}
            BroadcastKind::Updated(changed) => {
                for uri in uris.iter().filter(|uri| changed.contains(&***uri)) {
                    let mut message = Vec::new();
                    write_updated(&mut message, uri, subscription);
                    messages.push(message);
                }
            }
        }
        messages
    }
}

impl Core {
    /// Takes over what has changed; everybody who asked for it is told in the next turns.
    ///
    /// # Panics
    ///
    /// With resources while [`Core::takes_updates`] says no.
    pub(crate) fn apply(&mut self, changes: Changes) {
        if let Some(plan) = changes.plan {
            self.catalog = Catalog::new(plan);
        }
        // Lists are told when every shard has come this far.
        drop(changes.rollout);
        for kind in ListKind::ALL {
            if changes.lists.contains(kind) {
                self.subscriptions.broadcasts.broadcast_list(kind);
            }
        }
        if !changes.uris.is_empty() {
            assert!(self.takes_updates(), "resources wait on the board");
            self.subscriptions
                .broadcasts
                .tell(BroadcastKind::Updated(changes.uris));
        }
    }

    /// Whether resources that changed can be told of: no others are being told.
    pub(crate) fn takes_updates(&self) -> bool {
        !self.subscriptions.broadcasts.has_updates()
    }

    /// Whether somebody has to be told something.
    pub(crate) fn has_broadcasts(&self) -> bool {
        !self.subscriptions.broadcasts.0.is_empty() || self.tasks.watchers.has_due()
    }

    /// Goes on telling, at most a share of it.
    pub(crate) fn continue_broadcasts(&mut self) {
        let mut statuses = STATUSES_FIRST_PER_TURN;
        self.notify_watchers(&mut statuses);
        let mut budget = NOTIFIED_PER_TURN - STATUSES_FIRST_PER_TURN + statuses;
        while let Some(mut broadcast) = self.subscriptions.broadcasts.0.pop_front() {
            if !self.broadcast_share(&mut broadcast, &mut budget) {
                self.subscriptions.broadcasts.0.push_front(broadcast);
                return;
            }
        }
        self.notify_watchers(&mut budget);
    }

    /// Tells until the budget is spent; returns whether all were told.
    fn broadcast_share(&mut self, broadcast: &mut Broadcast, budget: &mut usize) -> bool {
        let listeners = &self.subscriptions.listeners;
        while broadcast.next_listener < listeners.capacity() {
            if *budget == 0 {
                return false;
            }
            let listener = listeners.get(broadcast.next_listener);
            broadcast.next_listener += 1;
            let Some(listener) = listener.filter(|it| it.is_acknowledged()) else {
                *budget -= 1;
                continue;
            };
            let (lists, uris) = (Some(listener.lists), &listener.uris);
            let messages = broadcast.what.messages(lists, uris, Some(&listener.id));
            *budget = budget.saturating_sub(messages.len().max(1));
            let exchange = listener.exchange;
            for message in messages {
                let part = Part::message(message);
                self.deliveries.push_back(Delivery { exchange, part });
            }
        }
        while broadcast.next_session < self.sessions.places() {
            if *budget == 0 {
                return false;
            }
            let session = self.sessions.at_place(broadcast.next_session);
            broadcast.next_session += 1;
            let Some(session) = session else {
                *budget -= 1;
                continue;
            };
            let id = session.id;
            let messages = broadcast.what.messages(None, &session.subscriptions, None);
            *budget = budget.saturating_sub(messages.len().max(1));
            for message in messages {
                self.notify_session(id, message);
            }
        }
        true
    }
}

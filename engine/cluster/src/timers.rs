//! Deadlines, in order.

use std::collections::BTreeSet;

use crate::frame::Xid;
use crate::id::Process;
use crate::vocabulary::{Call, Op, SessionKey};

/// A deadline of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// An operation of the store has no result.
    Op(Op),
    /// A forward was not accepted.
    Accept(Xid),
    /// An exchange has no end.
    Exchange(Xid),
    /// An exchange of another process has no end.
    Remote(Process, Xid),
    /// A request that found no process is tried once more.
    Again(Call),
    /// A session waits for the store since a while: serve it without.
    Waiting(SessionKey),
    /// The store refused: write again.
    Retry(SessionKey),
    /// The record gets older: write it anew before it expires.
    Refresh(SessionKey),
    /// A former owner is notified again.
    Notice(SessionKey, Process),
    /// A client waited long enough for its tombstone.
    Tombstone(SessionKey),
    /// A tombstone is written again.
    TombstoneRetry(SessionKey),
    /// The life of the store is read again.
    Generation,
    /// The node number is claimed.
    Claim,
    /// The level of the cluster is written again.
    Level,
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(u64, Timer)>,
}

impl Timers {
    pub(crate) fn arm(&mut self, at_us: u64, timer: Timer) {
        self.due.insert((at_us, timer));
    }

    pub(crate) fn cancel(&mut self, at_us: u64, timer: Timer) {
        self.due.remove(&(at_us, timer));
    }

    /// The next timer that is due.
    pub(crate) fn pop(&mut self, now_us: u64) -> Option<Timer> {
        let (at_us, _) = self.due.first()?;
        if *at_us > now_us {
            return None;
        }
        self.due.pop_first().map(|(_, timer)| timer)
    }
}

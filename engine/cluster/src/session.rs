//! A session that this process serves: how sure its ownership is, and which changes the store
//! lacks.

use std::collections::VecDeque;

use crate::frame::Request;
use crate::id::{Birth, Now, Process, SessionId};
use crate::record::{Change, Record, State, push_change};
use crate::settings::{CHANGES_MAX, FORMERS_MAX};
use crate::vocabulary::{Op, Origin};

/// How sure it is that no other process owns the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Made here, or won in the store; and no doubt arose since.
    Confirmed,
    /// Served before the store could be read or written.
    Provisional,
    /// This process was stopped or isolated: the store is read before the next request.
    Doubted,
}

/// The revision on which the next write is conditional.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// Not known: the leader is read first.
    Unknown,
    /// The store has no record.
    Absent,
    /// The last write or delete marker has this revision.
    At(u64),
}

/// The work of the writer on the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Idle,
    /// It is dirty and waits for its turn.
    Dirty,
    /// It is encoded and waits for room among the writes in flight.
    Lane,
    /// The store refused; a timer makes it dirty again.
    Pausing,
    Reading(Op),
    Putting(Op),
}

/// Why the session is about to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// A process requested it.
    To(Process),
    /// This process drains.
    Drain,
}

/// A session of this process.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) principal: Box<str>,
    pub(crate) birth: Birth,
    pub(crate) state: State,
    pub(crate) take_overs: u16,
    /// It has changes beyond `initialize`, or a record: the store must know it.
    pub(crate) is_recorded: bool,
    /// This process has seen or written a record of it: a delete marker means that it expired while
    /// it was in use.
    pub(crate) has_history: bool,
    pub(crate) is_provisional: bool,
    /// It is being taken from an owner that lives: requests wait until that owner knows.
    pub(crate) is_taking: bool,
    /// The doubt of the process that this session is past.
    pub(crate) epoch: u64,
    pub(crate) base: Base,
    pub(crate) work: Work,
    /// It has to be written once more after the work of now.
    pub(crate) is_dirty: bool,
    /// It stands in the queue of dirty sessions.
    pub(crate) is_queued: bool,
    pub(crate) is_refresh_armed: bool,
    pub(crate) dirty_since_us: u64,
    /// The number of the last write that was begun.
    pub(crate) write: u64,
    pub(crate) put_us: Option<u64>,
    /// Changes that no write in flight has, and those that one has.
    pub(crate) pending: Vec<Change>,
    pub(crate) flying: Vec<Change>,
    /// Unwritten changes from before a doubt in which the session was served: another owner may
    /// have newer ones.
    pub(crate) stale: Vec<Change>,
    /// Changes since the session came from another owner, or since the first of the former owners
    /// lost it.
    pub(crate) since_arrival: Vec<Change>,
    /// The last changes that were made or heard of here, oldest first: those of another owner among
    /// them are older than later ones of this process.
    pub(crate) seen: VecDeque<Change>,
    pub(crate) waiting: Vec<(Origin, Box<Request>)>,
    /// Calls that are served now.
    pub(crate) open: u32,
    pub(crate) leaving: Option<Leaving>,
    /// Processes that said that they do not have it.
    pub(crate) not_here: Vec<Process>,
    /// Owners before, which may still believe that they are.
    pub(crate) formers: Vec<Process>,
}

impl Session {
    /// A session that begins here, or comes without a record.
    pub(crate) fn new(id: SessionId, principal: Box<str>, birth: Birth, epoch: u64) -> Session {
        Session {
            id,
            principal,
            birth,
            state: State::default(),
            take_overs: 0,
            is_recorded: false,
            has_history: false,
            is_provisional: false,
            is_taking: false,
            epoch,
            base: Base::Absent,
            work: Work::Idle,
            is_dirty: false,
            is_queued: false,
            is_refresh_armed: false,
            dirty_since_us: 0,
            write: 0,
            put_us: None,
            pending: Vec::new(),
            flying: Vec::new(),
            stale: Vec::new(),
            since_arrival: Vec::new(),
            seen: VecDeque::new(),
            waiting: Vec::new(),
            open: 0,
            leaving: None,
            not_here: Vec::new(),
            formers: Vec::new(),
        }
    }

    pub(crate) fn standing(&self, epoch: u64) -> Standing {
        if self.epoch != epoch {
            Standing::Doubted
        } else if self.is_provisional {
            Standing::Provisional
        } else {
            Standing::Confirmed
        }
    }

    /// The record with this owner.
    pub(crate) fn record(&self, owner: Option<Process>) -> Record {
        Record {
            id: self.id,
            principal: self.principal.clone(),
            birth: self.birth,
            owner,
            recent: match self.formers[..] {
                [] => Vec::new(),
                _ => self.since_arrival.clone(),
            },
            formers: self.formers.clone(),
            has_ended: false,
            take_overs: self.take_overs,
            state: self.state.clone(),
        }
    }

    /// Whether the store lacks changes.
    pub(crate) fn has_unwritten(&self) -> bool {
        let changes = [&self.flying, &self.pending, &self.stale];
        changes.iter().any(|it| !it.is_empty())
    }

    /// A change is about to be made. Of several that the store lacks, the first one counts.
    pub(crate) fn note_change(&mut self, now: Now) {
        if !self.has_unwritten() {
            self.dirty_since_us = now.us;
        }
    }

    /// Applies a change of the client; false if a table is full.
    pub(crate) fn change(&mut self, change: Change) -> bool {
        if !self.state.apply(&change) {
            return false;
        }
        let is_kept = push_change(&mut self.pending, change.clone());
        self.see(&change);
        push_change(&mut self.since_arrival, change);
        is_kept || !self.is_provisional
    }

    /// Remembers a change as older than all that follow here.
    fn see(&mut self, change: &Change) {
        if self.seen.len() >= CHANGES_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back(change.clone());
    }

    /// Changes that the store may lack, oldest first; they stay.
    pub(crate) fn unwritten(&self) -> Vec<Change> {
        let mut changes = self.flying.clone();
        for change in &self.pending {
            push_change(&mut changes, change.clone());
        }
        changes
    }

    /// The write in flight did not land: its changes are pending again.
    pub(crate) fn land_nothing(&mut self) {
        self.pending = self.unwritten();
        self.flying.clear();
    }

    /// The session is about to be served in doubt: unwritten changes are older than the doubt.
    pub(crate) fn make_stale(&mut self) {
        for change in self.unwritten() {
            push_change(&mut self.stale, change);
        }
        self.flying.clear();
        self.pending.clear();
    }

    /// No other owner had the session: the changes from before the doubt count as any.
    pub(crate) fn restore_stale(&mut self) {
        let mut changes = std::mem::take(&mut self.stale);
        for change in self.unwritten() {
            push_change(&mut changes, change);
        }
        self.flying.clear();
        self.pending = changes;
    }

    /// Continues from the record of another owner. Own changes go on top, except where that owner
    /// changed the same subject during a doubt.
    ///
    /// Returns false if changes are dropped for that.
    pub(crate) fn continue_from(&mut self, record: Record) -> bool {
        let is_known = record.recent.len() < CHANGES_MAX;
        let is_unseen = |it: &Change| !self.seen.contains(it);
        let is_newest = |change: &Change| {
            let mut recent = record.recent.iter();
            is_known && !recent.any(|it| it.has_subject_of(change) && is_unseen(it))
        };
        let count = self.stale.len();
        let stale = std::mem::take(&mut self.stale);
        self.stale = stale.iter().filter(|it| is_newest(it)).cloned().collect();
        let keeps_all = self.stale.len() == count;
        self.restore_stale();
        self.has_history = true;
        self.state = record.state;
        self.formers = record.formers;
        self.formers.extend(record.owner);
        self.take_overs = self.take_overs.max(record.take_overs.wrapping_add(1));
        for change in &record.recent {
            self.see(change);
        }
        self.since_arrival = record.recent;
        for change in &self.pending {
            self.state.apply(change);
            push_change(&mut self.since_arrival, change.clone());
        }
        keeps_all
    }

    /// Forgets this process and repetitions among the former owners, and the oldest of too many.
    pub(crate) fn trim_formers(&mut self, me: Process) {
        let mut seen: Vec<Process> = Vec::new();
        for former in self.formers.iter().rev() {
            if *former != me && !seen.contains(former) && seen.len() < FORMERS_MAX {
                seen.push(*former);
            }
        }
        seen.reverse();
        self.formers = seen;
    }

    /// Takes changes of an owner that lost, except where this one changed the same subject.
    pub(crate) fn merge(&mut self, changes: Vec<Change>) -> bool {
        if self.since_arrival.len() >= CHANGES_MAX {
            return false;
        }
        let is_newer = |change: &Change| {
            !self
                .since_arrival
                .iter()
                .any(|own| own.has_subject_of(change))
        };
        let newer: Vec<Change> = changes.into_iter().filter(is_newer).collect();
        for change in newer {
            if self.state.apply(&change) {
                push_change(&mut self.pending, change);
            }
        }
        true
    }
}

/// A session that ended here and must be marked so in the store.
#[derive(Debug)]
pub(crate) struct Tombstone {
    pub(crate) id: SessionId,
    pub(crate) principal: Box<str>,
    pub(crate) birth: Birth,
    /// The client that waits for it.
    pub(crate) origin: Option<Origin>,
    pub(crate) base: Base,
    pub(crate) op: Option<Op>,
    pub(crate) write: u64,
    pub(crate) ttl_s: u64,
    /// Other owners, which must know as soon as it is written: those that the session was taken
    /// from, and one that took it.
    pub(crate) owners: Vec<Process>,
}

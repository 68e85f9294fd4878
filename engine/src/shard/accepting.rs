//! How the connections of one listener are accepted.
//!
//! The simple version lets the kernel accept for ever. With the table full, the kernel would take
//! connections out of the backlog only to close them. So while there are fewer free slots than the
//! backlogs can hold, connections are accepted one by one, no more at a time than there are slots:
//! the others wait in the backlog until one is free. Listeners have equal shares of these slots.
//!
//! All shards accept from one Unix socket. The kernel wakes the accept that has waited longest, and
//! one that accepts for ever keeps its place: its shard would get all connections. So each shard
//! has one accept under way, which takes one connection, and the shards take turns.

use corelane_io::ring::{AddressFamily, Ring};

use super::kept::Kept;
use crate::connection::source::Source;
use crate::transport::listener::Listener;

/// Accepts of one listener that are under way at once when connections are accepted one by one.
pub(super) const ONE_BY_ONE_MAX: usize = 64;

/// A listener of a shard, and the accepts from it.
pub(super) struct Accepts {
    /// Until the shard drains.
    pub(super) listener: Option<Kept<Listener>>,
    /// Its number in its shard.
    number: u8,
    /// The number of its address, and the binding of its connections.
    pub(super) source: Source,
    /// The kind of address that its peers have.
    pub(super) peer_family: AddressFamily,
    pub(super) mode: Accepting,
    /// Accepts of one connection each that have not ended.
    pub(super) under_way: usize,
}

/// How connections are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepting {
    /// The kernel accepts as they come.
    Many,
    /// One operation for each connection.
    OneByOne,
    /// Accepting failed for lack of a resource: it is tried again at this time.
    RetryAt(u64),
    /// The shard accepts nothing until it is opened: the accepts under way are being cancelled.
    Pausing,
    /// None is under way.
    Paused,
    /// The shard drains: the accepts under way are being cancelled.
    Cancelling,
    /// The shard drains: at most so many connections have waited since before that.
    Last(usize),
    /// Never again.
    Off,
}

/// The slots of the ring that accepts, for the accepts of one turn.
pub(super) struct FreeSlots {
    pub(super) free: usize,
    /// With no more than these, connections are accepted one by one: bursts as large as the
    /// backlogs may be accepted before the shard sees the first connection of them.
    pub(super) few: usize,
    /// Those without an accept under way.
    pub(super) spare: usize,
    /// Of each listener.
    pub(super) share: usize,
}

impl Accepts {
    /// Accepts from a listener that has this number in its shard.
    pub(super) fn from(listener: Kept<Listener>, number: u8) -> Accepts {
        let address = listener.number();
        Accepts {
            number,
            source: match listener.is_unix() {
                true => Source::new(address, listener.binding()).on_unix(),
                false => Source::new(address, listener.binding()).with_tls(listener.is_tls()),
            },
            peer_family: listener.peer_family(),
            listener: Some(listener),
            mode: Accepting::RetryAt(0),
            under_way: 0,
        }
    }

    /// Another ring accepts from here on; the accepts of the one before are being cancelled.
    pub(super) fn ring_changed(&mut self, now_ms: u64) -> bool {
        let waits = match self.mode {
            Accepting::Many => true,
            Accepting::OneByOne => self.under_way > 0,
            _ => return false,
        };
        self.mode = Accepting::RetryAt(now_ms);
        // A cancelled accept may have been woken for a connection and have left it. The next accept
        // finds that one if it begins after this one has ended.
        waits
    }

    /// Accepts on `ring` in the way that the free slots allow.
    pub(super) fn go_on(&mut self, ring: &mut Ring, slots: &mut FreeSlots, now_ms: u64) {
        let Some(listener) = &self.listener else {
            return;
        };
        let number = self.number;
        match self.mode {
            Accepting::Off
            | Accepting::Cancelling
            | Accepting::Last(_)
            | Accepting::Pausing
            | Accepting::Paused => return,
            Accepting::RetryAt(time_ms) if now_ms < time_ms => return,
            Accepting::Many if slots.free <= slots.few => {
                ring.stop_accepting_from(number);
                self.mode = Accepting::OneByOne;
            }
            Accepting::Many => return,
            // Twice as many before changing back: a server at the edge does not go to and fro.
            Accepting::OneByOne if slots.free <= 2 * slots.few => {}
            Accepting::OneByOne | Accepting::RetryAt(_)
                if slots.free > slots.few && !self.source.is_unix() =>
            {
                ring.accept(number, listener.as_fd());
                self.mode = Accepting::Many;
                return;
            }
            Accepting::OneByOne | Accepting::RetryAt(_) => self.mode = Accepting::OneByOne,
        }
        let at_once_max = match self.source.is_unix() {
            true => 1,
            false => ONE_BY_ONE_MAX,
        };
        while self.under_way < slots.share.min(at_once_max) && slots.spare > 0 {
            ring.accept_one(number, listener.as_fd());
            self.under_way += 1;
            slots.spare -= 1;
        }
    }

    /// Whether its connections wait in the backlog: accepting failed, or no slot is free.
    pub(super) fn is_paused(&self) -> bool {
        match self.mode {
            Accepting::RetryAt(_) => true,
            Accepting::OneByOne => self.under_way == 0,
            _ => false,
        }
    }

    /// Whether it waits for slots that accepts from others hold.
    pub(super) fn is_starved(&self, slots: &FreeSlots) -> bool {
        let wants = self.mode == Accepting::OneByOne && self.under_way == 0;
        wants && slots.share > 0 && slots.spare == 0
    }

    /// Cancels the accepts from it if they hold more than its share of the slots.
    pub(super) fn give_way(&self, ring: &mut Ring, slots: &FreeSlots) {
        if self.under_way > slots.share {
            ring.stop_accepting_from(self.number);
        }
    }

    /// Accepts nothing until it is [resumed](Accepts::resume).
    pub(super) fn pause(&mut self, ring: &mut Ring) {
        let has_any = self.mode == Accepting::Many || self.under_way > 0;
        if self.listener.is_some() {
            ring.stop_accepting_from(self.number);
            self.mode = match has_any {
                true => Accepting::Pausing,
                false => Accepting::Paused,
            };
        }
    }

    /// An accept of it has ended. It is paused when none is left.
    pub(super) fn note_end(&mut self) {
        if self.mode == Accepting::Pausing && self.under_way == 0 {
            self.mode = Accepting::Paused;
        }
    }

    /// Accepts again.
    pub(super) fn resume(&mut self, now_ms: u64) {
        if matches!(self.mode, Accepting::Pausing | Accepting::Paused) {
            self.mode = Accepting::RetryAt(now_ms);
        }
    }

    /// Accepts no more than the connections that wait in the backlog already.
    pub(super) fn begin_last(&mut self, ring: &mut Ring) {
        if self.listener.is_some() {
            ring.stop_accepting_from(self.number);
            self.mode = Accepting::Cancelling;
        }
    }

    /// Accepts a batch of the connections that have waited since before the drain; once there are
    /// no more, the kernel refuses connections. Each batch is cancelled together with its
    /// submission: an accept that finds a connection has taken it by then, and one that finds none
    /// does not wait for the next.
    pub(super) fn go_on_last(&mut self, ring: &mut Ring, slots: &mut FreeSlots, backlog: usize) {
        let left = match self.mode {
            Accepting::Last(left) => left,
            // The kernel lets one more wait than the backlog (listen(2) of Linux).
            Accepting::Cancelling => backlog + 1,
            _ => return,
        };
        if self.under_way > 0 {
            return;
        }
        let number = self.number;
        let batch = left.min(slots.spare).min(ONE_BY_ONE_MAX);
        if left == 0 {
            self.mode = Accepting::Off;
            // It is closed here: no later life of the shard accepts.
            drop(self.listener.take().map(Kept::into_inner));
        } else if let Some(listener) = self.listener.as_ref().filter(|_| batch > 0) {
            for _ in 0..batch {
                ring.accept_one(number, listener.as_fd());
            }
            ring.stop_accepting_from(number);
            self.under_way = batch;
            slots.spare -= batch;
            self.mode = Accepting::Last(left - batch);
        }
    }
}

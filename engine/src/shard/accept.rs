//! Accepting connections without ever accepting one that has no slot.
//!
//! The simple version lets the kernel accept for ever. With the table full, the kernel would take
//! connections out of the backlog only to close them. So while there are fewer free slots than the
//! backlog can hold, connections are accepted one by one, no more at a time than there are slots:
//! the others wait in the backlog until one is free.
//!
//! With several rings this holds for the ring that accepts; `Rings` chooses it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::kept::Kept;
use super::work::{Accepting, Shard};
use crate::connection::http::Connection;
use crate::meter::Counter;
use crate::transport::listener::Listener;
use corelane_io::slots::SlotKey;

/// After a failure to accept, accepting waits this long.
const RETRY_MS: u64 = 100;
/// Between two warnings of a full table.
const TABLE_WARNING_INTERVAL_MS: u64 = 60_000;
/// Accepts under way at once when connections are accepted one by one.
const ONE_BY_ONE_MAX: usize = 64;

impl Shard {
    /// Accepts in the way the free slots allow. Called once per turn.
    pub(super) fn continue_accepting(&mut self) {
        let has_moved = self.rings.choose_accepting();
        // Of the ring that accepts: none only if no ring has one.
        let free = self.rings.free_to_accept() as usize;
        self.note_table(free == 0);
        let few = self.few_slots();
        let Some(listener) = &self.listener else {
            return;
        };
        if has_moved && matches!(self.accepting, Accepting::Many | Accepting::OneByOne) {
            let waits = self.accepting == Accepting::Many || self.accepts_under_way > 0;
            self.accepting = Accepting::RetryAt(self.now_ms);
            if waits {
                // A cancelled accept may have been woken for a connection and have left it. The
                // next accept finds that one if it begins after this one has ended.
                return;
            }
        }
        match self.accepting {
            Accepting::Off => return,
            Accepting::Cancelling | Accepting::Last(_) => return self.accept_last(free),
            Accepting::RetryAt(time_ms) if self.now_ms < time_ms => return,
            Accepting::Many if free <= few => {
                self.rings.accepting().stop_accepting();
                self.accepting = Accepting::OneByOne;
            }
            Accepting::Many => return,
            // Twice as many before changing back: a server at the edge does not go to and fro.
            Accepting::OneByOne if free <= 2 * few => {}
            Accepting::OneByOne | Accepting::RetryAt(_) if free > few => {
                self.rings.accepting().accept(listener.as_fd());
                self.accepting = Accepting::Many;
                return;
            }
            Accepting::OneByOne | Accepting::RetryAt(_) => self.accepting = Accepting::OneByOne,
        }
        while self.accepts_under_way < free.min(ONE_BY_ONE_MAX) {
            self.rings.accepting().accept_one(listener.as_fd());
            self.accepts_under_way += 1;
        }
    }

    /// Accepts no more than the connections that wait in the backlog already.
    pub(super) fn begin_last_accepts(&mut self) {
        if self.listener.is_some() {
            self.rings.accepting().stop_accepting();
            self.accepting = Accepting::Cancelling;
            self.continue_accepting();
        }
    }

    /// Accepts a batch of the connections that have waited since before the drain; once there are
    /// no more, the kernel refuses connections. Each batch is cancelled together with its
    /// submission: an accept that finds a connection has taken it by then, and one that finds none
    /// does not wait for the next.
    fn accept_last(&mut self, free: usize) {
        if self.accepts_under_way > 0 {
            return;
        }
        let left = match self.accepting {
            Accepting::Last(left) => left,
            // The kernel lets one more wait than the backlog (listen(2) of Linux).
            _ => self.backlog + 1,
        };
        let batch = left.min(free).min(ONE_BY_ONE_MAX);
        if left == 0 {
            self.accepting = Accepting::Off;
            // It is closed here: no later life of the shard accepts.
            drop(self.listener.take().map(Kept::into_inner));
        } else if let Some(listener) = self.listener.as_ref().filter(|_| batch > 0) {
            for _ in 0..batch {
                self.rings.accepting().accept_one(listener.as_fd());
            }
            self.rings.accepting().stop_accepting();
            self.accepts_under_way = batch;
            self.accepting = Accepting::Last(left - batch);
        }
    }

    /// A burst as large as the backlog may be accepted before the shard sees the first.
    fn few_slots(&self) -> usize {
        self.backlog + ONE_BY_ONE_MAX
    }

    pub(super) fn accepted(&mut self, index: u32, more: bool) {
        if !more && self.accepting == Accepting::Many && self.rings.is_accepting(index) {
            // The kernel ended accepting by itself, as it does when completions overflow.
            self.accepting = Accepting::RetryAt(self.now_ms);
        }
        self.admit(index);
    }

    pub(super) fn accepted_one(&mut self, outcome: Result<u32, i32>) {
        self.accepts_under_way -= 1;
        match outcome {
            Ok(index) => self.admit(index),
            Err(libc::ECANCELED) if matches!(self.accepting, Accepting::Last(_)) => {
                self.accepting = Accepting::Last(0);
            }
            Err(errno) => self.accept_ended(errno),
        }
    }

    /// Begins to accept from a listener that lets `backlog` connections wait.
    pub(super) fn accept_from(&mut self, listener: Kept<Listener>, backlog: u32) {
        self.peer_family = listener.peer_family();
        self.backlog = backlog as usize;
        self.listener = Some(listener);
        self.accepting = Accepting::RetryAt(0);
        self.continue_accepting();
    }

    /// Opens the only connection of the shard, of lines on `socket`.
    ///
    /// # Errors
    /// The error of the kernel.
    pub(super) fn open_channel(&mut self, socket: OwnedFd) -> io::Result<()> {
        const INDEX: u32 = 0;
        self.rings.first().install(INDEX, socket.as_fd())?;
        self.channel = Some(self.open_with(INDEX, Connection::of_lines()));
        Ok(())
    }

    /// Puts a connection into its slot, and counts it.
    pub(super) fn insert(&mut self, index: u32, connection: Connection) -> SlotKey {
        self.handling.meter.count(Counter::ConnectionsAccepted);
        self.handling.meter.count(Counter::ConnectionsOpen);
        self.slots.insert_at(index, connection)
    }

    pub(super) fn open_with(&mut self, index: u32, connection: Connection) -> SlotKey {
        let key = self.insert(index, connection);
        self.begin_reading(key);
        key
    }

    /// Begins to receive from a connection.
    pub(super) fn begin_reading(&mut self, key: SlotKey) {
        self.rings.of(key).watch(key);
        self.set_timer(key);
        if self.handling.is_draining {
            // Its first request may be there, and then it is served.
            self.rings.of(key).receive(key);
        }
    }

    pub(super) fn accept_ended(&mut self, errno: i32) {
        if errno == libc::ECANCELED || self.handling.is_draining {
            return;
        }
        self.accepting = Accepting::RetryAt(self.now_ms + RETRY_MS);
        if errno == libc::ENFILE {
            let meter = &self.handling.meter;
            meter.count(Counter::ConnectionsRefusedDescriptors);
            return self.note_table(true);
        }
        let error = io::Error::from_raw_os_error(errno);
        tracing::warn!(%error, "accepting failed; trying again in {RETRY_MS} ms");
    }

    /// Counts each time the table of connections fills up, and warns of it now and then.
    fn note_table(&mut self, is_full: bool) {
        let was_full = std::mem::replace(&mut self.is_table_full, is_full);
        if was_full || !is_full || self.listener.is_none() {
            return;
        }
        self.handling.meter.count(Counter::ConnectionsTableFull);
        if self.now_ms < self.table_warning_due_ms {
            return;
        }
        self.table_warning_due_ms = self.now_ms + TABLE_WARNING_INTERVAL_MS;
        tracing::warn!(
            shard = self.handling.shard,
            connections = self.slots.capacity(),
            backlog = self.backlog,
            "the shard holds as many connections as it can; other clients wait in the backlog of \
             the listener. For more, raise `descriptors` in [ring] of the profile, the limit of \
             open files (ulimit -n, or LimitNOFILE= in the service file), or start more shards"
        );
    }
}

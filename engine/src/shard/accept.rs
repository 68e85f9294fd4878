//! Accepting connections without ever accepting one that has no slot.
//!
//! The simple version lets the kernel accept for ever. With the table full, the kernel would take
//! connections out of the backlog only to close them. So while there are fewer free slots than the
//! backlog can hold, connections are accepted one by one, no more at a time than there are slots:
//! the others wait in the backlog until one is free.

use super::work::Shard;
use crate::connection::http::Connection;
use crate::meter::Counter;

/// How connections are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepting {
    /// The kernel accepts as they come.
    Many,
    /// One operation for each connection.
    OneByOne,
    /// Accepting failed for want of something: it is tried again at this time.
    RetryAt(u64),
    /// Never again.
    Off,
}

/// After a failure to accept, accepting waits this long.
const RETRY_MS: u64 = 100;
/// Accepts under way at once when connections are accepted one by one.
const ONE_BY_ONE_MAX: usize = 64;

impl Shard {
    /// Accepts in the way the free slots allow. Called once per turn.
    pub(super) fn continue_accepting(&mut self) {
        let Some(listener) = &self.listener else {
            return;
        };
        // A slot is empty at once when its connection is closed, its descriptor a little later.
        let free = self.slots.capacity() - self.slots.len() - self.ring.closing();
        let few = self.few_slots();
        match self.accepting {
            Accepting::Off => return,
            Accepting::RetryAt(time_ms) if self.now_ms < time_ms => return,
            Accepting::Many if free <= few => {
                self.ring.stop_accepting();
                self.accepting = Accepting::OneByOne;
            }
            Accepting::Many => return,
            // Twice as many before changing back: a server at the edge does not go to and fro.
            Accepting::OneByOne if free <= 2 * few => {}
            Accepting::OneByOne | Accepting::RetryAt(_) if free > few => {
                self.ring.accept(listener.as_fd());
                self.accepting = Accepting::Many;
                return;
            }
            Accepting::OneByOne | Accepting::RetryAt(_) => self.accepting = Accepting::OneByOne,
        }
        while self.accepts_under_way < free.min(ONE_BY_ONE_MAX) {
            self.ring.accept_one(listener.as_fd());
            self.accepts_under_way += 1;
        }
    }

    /// A burst as large as the backlog may be accepted before the shard hears of the first.
    fn few_slots(&self) -> usize {
        self.backlog + ONE_BY_ONE_MAX
    }

    pub(super) fn accepted(&mut self, index: u32, more: bool) {
        if !more && self.accepting == Accepting::Many {
            // The kernel stopped of its own accord, as it does when completions overflow.
            self.accepting = Accepting::RetryAt(self.now_ms);
        }
        self.open(index);
    }

    pub(super) fn accepted_one(&mut self, outcome: Result<u32, i32>) {
        self.accepts_under_way -= 1;
        match outcome {
            Ok(index) => self.open(index),
            Err(errno) => self.accept_ended(errno),
        }
    }

    fn open(&mut self, index: u32) {
        let key = self.slots.insert_at(index, Connection::new());
        self.handling.meter.count(Counter::ConnectionsAccepted);
        self.handling.meter.count(Counter::ConnectionsOpen);
        if self.handling.is_draining {
            return self.close(key);
        }
        self.ring.watch(key);
        self.set_timer(key);
    }

    pub(super) fn accept_ended(&mut self, errno: i32) {
        if errno == libc::ECANCELED || self.accepting == Accepting::Off {
            return;
        }
        if errno == libc::ENFILE {
            self.handling
                .meter
                .count(Counter::ConnectionsRefusedDescriptors);
        }
        let error = std::io::Error::from_raw_os_error(errno);
        tracing::warn!(%error, "accepting failed; trying again in {RETRY_MS} ms");
        self.accepting = Accepting::RetryAt(self.now_ms + RETRY_MS);
    }
}

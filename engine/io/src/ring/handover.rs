//! Connections that another process takes over.
//!
//! A direct descriptor belongs to its ring. [`Ring::share`] makes a plain descriptor of the same
//! socket, which can be sent to another process (SCM_RIGHTS, unix(7)); the direct one stays, so
//! that the connection can still be used here if the other process fails. [`Ring::release`] gives
//! it up.
//!
//! A receive that is armed here would take bytes that the other process waits for. A poll takes
//! none: it may stay armed.

use super::tag::Op;
use super::{Ring, tagged};
use crate::slots::SlotKey;
use io_uring::opcode;

impl Ring {
    /// Makes a plain descriptor of the socket of a connection, closed on exec; `Shared` follows.
    ///
    /// Needs Linux 6.8: before that it ends with EINVAL (io_uring_prep_fixed_fd_install(3)).
    pub fn share(&mut self, key: SlotKey) {
        let share = opcode::FixedFdInstall::new(self.place(key), 0).build();
        let tag = self.flight.begin_on(key, Op::Share);
        self.push(tagged(share, tag));
    }

    /// Gives a connection up that another process has: as [`Ring::close`], but the connection
    /// itself goes on. `Closed` follows.
    ///
    /// # Panics
    /// As [`Ring::close`].
    pub fn release(&mut self, key: SlotKey) {
        self.close_descriptor(key);
    }

    /// Whether nothing of the connection is under way that takes or sends bytes.
    pub fn is_at_rest(&self, key: SlotKey) -> bool {
        self.flight.outstanding.is_at_rest(key.index)
    }

    /// Whether a [`Ring::watch`] of the connection is under way.
    pub fn is_watched(&self, key: SlotKey) -> bool {
        self.flight.outstanding.is_watched(key.index)
    }
}

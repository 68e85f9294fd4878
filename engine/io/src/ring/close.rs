//! The end of a connection: shut down, cancelled, closed, always in this order.
//!
//! [`Ring::close`] cancels the waiting operations of the descriptor one by one: to cancel by
//! descriptor, the kernel looks at every operation of the ring. The close itself is queued when the
//! last operation on the descriptor has completed; `outstanding` has the reason.

use super::tag::{Op, Tag};
use super::{Ring, tagged};
use crate::slots::SlotKey;
use io_uring::opcode;
use io_uring::types::CancelBuilder;
use std::ffi::c_int;

impl Ring {
    /// Shuts the sending side down; receiving continues. There is no completion.
    ///
    /// The kernel hands this to a worker thread, so it is for lingering closes, not for all.
    pub fn shutdown_write(&mut self, key: SlotKey) {
        self.shutdown(key, libc::SHUT_WR);
    }

    /// Cancels every operation under way on a connection and closes it; `Closed` follows.
    ///
    /// Empty the slot with this call. Operations under way still complete, a blocked send with
    /// ECANCELED, and all of them before `Closed`, the last completion of `key`: the kernel gives
    /// the index to another connection only after that. Bytes that the socket took before are still
    /// sent to the peer.
    ///
    /// # Panics
    /// If the connection is being closed already; so does every call that queues an operation for
    /// it.
    pub fn close(&mut self, key: SlotKey) {
        if self.shuts_down_before_close {
            self.shutdown(key, libc::SHUT_RDWR);
        }
        self.close_descriptor(key);
    }

    /// Closes the descriptor of a connection after everything that is under way on it.
    pub(super) fn close_descriptor(&mut self, key: SlotKey) {
        if self.flight.outstanding.begin_close(key.index) {
            self.close_clear(key);
        } else {
            self.cancel_waiting(key);
        }
    }

    /// Connections whose close has not completed: they still have their descriptors.
    pub fn closing(&self) -> usize {
        self.flight.outstanding.closing()
    }

    /// Queues the closes that waited for the completions just reaped.
    pub(super) fn go_on_closing(&mut self) {
        while let Some(key) = self.flight.closable.pop() {
            self.close_clear(key);
        }
        while let Some(key) = self.flight.uncancelled.pop() {
            // The operation may have completed since, and the descriptor may be closed.
            if self.flight.outstanding.is_closing(key.index) {
                self.cancel_waiting(key);
            }
        }
    }

    /// Cancels one operation on the descriptor of `key`.
    pub(super) fn cancel(&mut self, key: SlotKey, tag: Tag) {
        let operation = CancelBuilder::user_data(tag.pack());
        let cancel = opcode::AsyncCancel2::new(operation).build();
        self.push_silent(cancel, Tag::for_slot(Op::Cancel, key));
    }

    fn cancel_waiting(&mut self, key: SlotKey) {
        for tag in self.flight.outstanding.waiting(key) {
            self.cancel(key, tag);
        }
    }

    /// Closes a descriptor that has no operation under way.
    fn close_clear(&mut self, key: SlotKey) {
        self.flight.outstanding.reset(key.index);
        let close = opcode::Close::new(self.place(key)).build();
        self.flight.begin();
        self.push(tagged(close, Tag::for_slot(Op::Close, key)));
    }

    fn shutdown(&mut self, key: SlotKey, how: c_int) {
        let shutdown = opcode::Shutdown::new(self.place(key), how).build();
        let tag = self.flight.begin_on(key, Op::ShutdownWrite);
        self.push(tagged(shutdown, tag));
    }
}

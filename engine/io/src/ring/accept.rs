//! Accepting connections, from several listeners that have numbers.

use super::tag::{Op, Tag};
use super::{Ring, tagged};
use io_uring::opcode;
use io_uring::types::{CancelBuilder, DestinationSlot, Fd};
use std::os::fd::{AsRawFd, BorrowedFd};

impl Ring {
    /// Accepts connections from `listener`, which is number `number`, into direct descriptors until
    /// `AcceptEnded` or an `Accepted` without `more`. Submitted at once; keep the listener open
    /// until accepting ends.
    ///
    /// Accepted sockets inherit the listener's options. A connection that finds the table full
    /// is closed by the kernel, so stop accepting before that if it shall wait in the backlog.
    pub fn accept(&mut self, number: u8, listener: BorrowedFd<'_>) {
        let accept = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).allocate_file_index(true);
        let tag = self.begin_accept(Op::Accept, number);
        self.push(tagged(accept.build(), tag));
        self.submit_now();
    }

    /// Accepts one connection; `AcceptedOne` follows. For use when few slots are left: further
    /// connections wait in the listener's backlog, whereas [`Ring::accept`] would take them and
    /// close them when the table is full.
    pub fn accept_one(&mut self, number: u8, listener: BorrowedFd<'_>) {
        let listener = Fd(listener.as_raw_fd());
        let place = DestinationSlot::auto_target();
        let accept = opcode::Accept::new(listener, std::ptr::null_mut(), std::ptr::null_mut())
            .file_index(Some(place));
        let tag = self.begin_accept(Op::AcceptOne, number);
        self.push(tagged(accept.build(), tag));
    }

    /// Ends accepting from the listener `number` in both ways: `AcceptEnded` or `AcceptedOne` with
    /// ECANCELED follows for each that is under way, after the connections accepted until then.
    pub fn stop_accepting_from(&mut self, number: u8) {
        for op in [Op::Accept, Op::AcceptOne] {
            let accepts = CancelBuilder::user_data(Tag::for_listener(op, number).pack()).all();
            let cancel = opcode::AsyncCancel2::new(accepts).build();
            self.push_silent(cancel, Tag::of(Op::Cancel));
        }
    }

    /// [`Ring::stop_accepting_from`] every listener.
    pub(crate) fn stop_accepting(&mut self) {
        (0..self.listeners).for_each(|number| self.stop_accepting_from(number));
    }

    fn begin_accept(&mut self, op: Op, number: u8) -> Tag {
        self.listeners = self.listeners.max(number + 1);
        self.flight.begin();
        Tag::for_listener(op, number)
    }
}

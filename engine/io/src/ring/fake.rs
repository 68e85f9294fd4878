//! A ring over a model of the kernel: tests act as the peers, the ring is the real one.
//!
//! `Ring::over_network` opens it, and
//! [`Rings::over_network`](crate::rings::Rings::over_network) several. They accept from a
//! [`FakeNetwork`]; each [`FakePeer`] is one client. All that they do happens when the ring is
//! entered next, in one order for one script; or, after [`FakeNetwork::shuffle`], in an order that
//! depends on a seed.
//!
//! The model is stricter than the kernel. It panics when an operation names a descriptor that is
//! free or was given to another connection since, and when a descriptor is closed while an
//! operation on it is under way. Where kernels differ it is like the worst: a multishot receive
//! that brings bytes misses an end that came with them, and a shutdown runs later than it was
//! submitted.
//!
//! It deliberately lacks connecting, timers, wakes, and the addresses of peers, which it does not
//! know, as kernels before Linux 6.7.

mod model;
mod open;
mod socket;
mod submission;

use super::event::{Event, Submissions};
use crate::buffers::BufferRing;
use io_uring::squeue;
use model::Model;
use std::cell::RefCell;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;

pub use socket::PeerEnd;
pub use submission::Operation;

/// The network in front of a ring, on the thread of the test.
#[derive(Clone, Debug)]
pub struct FakeNetwork(Rc<RefCell<Model>>);

/// One client, which may be accepted or wait for it.
#[derive(Clone, Debug)]
pub struct FakePeer {
    network: FakeNetwork,
    socket: usize,
}

/// The kernel's side of a ring, which has a number on its network.
pub(super) struct FakeKernel(FakeNetwork, usize);

impl FakeNetwork {
    /// A client that waits in the backlog of the listener with this number.
    pub fn connect(&self, listener: u8) -> FakePeer {
        FakePeer {
            network: self.clone(),
            socket: self.0.borrow_mut().connect(listener),
        }
    }

    /// Clients in the backlogs of all listeners.
    pub fn waiting(&self) -> usize {
        self.0.borrow().backlog.len()
    }

    /// From here on operations complete late and in an order of `seed`; those of one operation,
    /// and the receives of one connection, stay in their order. Sends are short at random.
    pub fn shuffle(&self, seed: u64) {
        self.0.borrow_mut().shuffle(Some(seed));
    }

    /// From here on operations complete in order and at once again, and none fails.
    pub fn settle(&self) {
        let mut model = self.0.borrow_mut();
        model.shuffle(None);
        model.faults.clear();
        model.ends.clear();
    }

    /// The next operation of this kind fails with errno(3).
    pub fn fail_next(&self, operation: Operation, errno: i32) {
        self.0.borrow_mut().faults.push((operation, errno));
    }

    /// The next completion of a standing operation of this kind is its last, as when the queue of
    /// completions is full.
    pub fn end_next(&self, operation: Operation) {
        self.0.borrow_mut().ends.push(operation);
    }

    /// The queue of completions is found overflown at the next entry of a ring.
    pub fn overflow_next(&self) {
        self.0.borrow_mut().overflows_next = true;
    }

    /// Completions of this kind are kept back from here on.
    pub fn hold(&self, operation: Operation) {
        self.0.borrow_mut().held.push(operation);
    }

    /// Completions of all kinds come again.
    pub fn release(&self) {
        self.0.borrow_mut().held.clear();
    }

    /// The operations on the direct descriptor `index` that were submitted and have not completed.
    pub fn operations_on(&self, index: u32) -> Vec<Operation> {
        self.0.borrow().operations_on(index)
    }

    /// Whether accepting is under way, and how.
    pub fn accepts(&self) -> Vec<Operation> {
        self.0.borrow().accepts()
    }

    /// Direct descriptors that are open.
    pub fn descriptors(&self) -> usize {
        self.0.borrow().descriptors()
    }

    /// Whether something has happened that the next entry of the ring brings.
    pub fn has_news(&self) -> bool {
        self.0.borrow().has_news()
    }
}

impl FakePeer {
    /// Sends bytes.
    pub fn sends(&self, bytes: &[u8]) {
        let mut model = self.network.0.borrow_mut();
        model.sockets[self.socket].peer_sends(bytes);
    }

    /// Sends no more, and goes on receiving.
    pub fn finishes(&self) {
        let mut model = self.network.0.borrow_mut();
        model.sockets[self.socket].peer_finishes();
    }

    /// Leaves with a reset.
    pub fn resets(&self) {
        let mut model = self.network.0.borrow_mut();
        model.sockets[self.socket].peer_resets();
    }

    /// From here on its side takes no more than `bytes`, until the next call; at first it takes
    /// all.
    pub fn takes(&self, bytes: usize) {
        let mut model = self.network.0.borrow_mut();
        model.sockets[self.socket].peer_takes(bytes);
    }

    /// The bytes that have arrived since the last look.
    pub fn received(&self) -> Vec<u8> {
        let mut model = self.network.0.borrow_mut();
        std::mem::take(&mut model.sockets[self.socket].to_peer)
    }

    /// How the server ended the connection, if it has.
    pub fn end(&self) -> Option<PeerEnd> {
        self.network.0.borrow().sockets[self.socket].end
    }

    /// Its direct descriptor, from being accepted to being closed.
    pub fn descriptor(&self) -> Option<u32> {
        self.network.0.borrow().sockets[self.socket].descriptor
    }
}

impl FakeKernel {
    pub(super) fn submissions(&self) -> Submissions {
        self.0.0.borrow_mut().submissions(self.1)
    }

    /// Queues a submission, as `Kernel::push` does.
    ///
    /// # Safety
    /// The memory that `entry` names stays where it is until the operation has completed.
    pub(super) unsafe fn push(&self, entry: &squeue::Entry) -> bool {
        let mut model = self.0.0.borrow_mut();
        // SAFETY: the contract above.
        let submission = unsafe { submission::Submission::read(self.1, entry) };
        model.push(submission)
    }

    pub(super) fn submit(&self, buffers: &mut BufferRing) -> io::Result<usize> {
        self.0.0.borrow_mut().submit(self.1, buffers);
        Ok(0)
    }

    pub(super) fn enter(&self, buffers: &mut BufferRing) -> io::Result<usize> {
        self.0.0.borrow_mut().enter(self.1, buffers);
        Ok(0)
    }

    pub(super) fn next(&self) -> Option<Event> {
        self.0.0.borrow_mut().next(self.1)
    }

    pub(super) fn len(&self) -> usize {
        self.0.0.borrow().completions(self.1)
    }

    pub(super) fn has_work(&self) -> bool {
        self.0.0.borrow().has_work(self.1)
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.0.0.borrow().fd(self.1)
    }
}

//! The socket ring of one core: io_uring with direct descriptors, owned by one thread.
//!
//! Operations are queued by methods that cost no system call, [`Ring::enter`] submits them all, and
//! [`Ring::reap`] hands their outcomes over as a closed enum. Each turn of the owner: reap, handle,
//! enter.
//!
//! Invariants:
//! 1. Memory the kernel may read or write is owned by the ring from queueing to completion: a chunk
//!    being sent, the receive buffers. Dropping a ring waits for its sends.
//! 2. Every queued operation that completes is counted ([`Ring::in_flight`]) until it does.
//! 3. No operation acts on another connection than its key meant: a descriptor is closed when every
//!    operation queued on it has completed, and a completion carries the key it was queued with.
//!
//! It deliberately has one timeout only, the tick that ends a wait (`wheel` has the deadlines), and
//! no vectored or zero-copy sends. An armed poll costs an idle connection less memory than an armed
//! receive, and an armed receive costs a busy one less time: a connection may go from one to the
//! other. Linux 6.1 is the oldest kernel it opens on.

mod accept;
mod busy_poll;
mod close;
mod completion;
mod dial;
mod error;
mod event;
#[cfg(any(test, feature = "test-support"))]
pub mod fake;
mod flight;
mod handover;
mod kernel;
mod open;
mod outstanding;
mod peer;
mod ready;
mod shared;
mod tag;
#[cfg(test)]
mod tests;

pub use completion::{Completion, Hangup, Peer, Received, RingCounters};
pub use dial::Route;
pub use error::RingError;
pub use kernel::Wait;
pub use open::RingSettings;
pub(crate) use open::{event as ring_event, ring_pages_bytes};
pub use peer::AddressFamily;

use super::buffers::BufferRing;
use super::chunk::Chunk;
use super::slots::SlotKey;
use super::wake::{EventFd, WakeFd, Waker};
use flight::{Flight, SendUnderWay};
use io_uring::types::{Fd, Fixed, Timespec};
use io_uring::{opcode, squeue};
use kernel::Kernel;
use peer::PeerLookup;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;
use tag::{Op, Tag};

/// The most bytes of one send; the rest follows as after a short send.
const SEND_BYTES_MAX: usize = 1 << 30;
/// Rounds in which a dropped ring waits for its sends; then it leaks the memory that they own.
const DROP_ROUNDS_MAX: u32 = 100;
/// How long each of these rounds waits at most.
const DROP_ROUND: Duration = Duration::from_millis(10);

/// A socket ring; see the module's text. It belongs to the thread that opened it.
pub struct Ring {
    // Fields drop in this order: the kernel's side goes before the memory it was lent.
    kernel: Kernel,
    buffers: BufferRing,
    flight: Flight,
    /// Operations that did not fit into the kernel's queue, in order. Each descriptor has only a
    /// few.
    backlog: VecDeque<squeue::Entry>,
    park: Arc<EventFd>,
    wake: Option<WakeFd>,
    /// Listeners that were accepted from have numbers below this.
    listeners: u8,
    /// The time of the tick, which the kernel reads: at one place for the life of the ring.
    tick: Box<Timespec>,
    /// Before Linux 6.13 a closed socket lives until older operations of its ring end, so a
    /// shutdown ends the connection for the peer first.
    shuts_down_before_close: bool,
}

impl Ring {
    /// Opens a ring for the calling thread.
    ///
    /// # Errors
    /// Each [`RingError`] says what an operator must change.
    pub fn open(settings: &RingSettings) -> Result<Ring, RingError> {
        Ring::open_from(0, settings, open::event()?)
    }

    /// Opens a ring that notifies `park`; the indexes of its descriptors begin at `base`.
    pub(crate) fn open_from(
        base: u32,
        settings: &RingSettings,
        park: Arc<EventFd>,
    ) -> Result<Ring, RingError> {
        let (mut uring, buffers) = open::open(settings, &park)?;
        uring.completion().disable_eventfd();
        // The earliest feature flag after 6.13 is that of 6.15.
        let shuts_down_before_close = !uring.params().is_feature_no_iowait();
        let kernel = Kernel::Uring(uring);
        let mut ring = Ring::over(kernel, buffers, park, (base, settings));
        ring.shuts_down_before_close = shuts_down_before_close;
        Ok(ring)
    }

    /// A ring over a kernel that has nothing under way.
    fn over(
        kernel: Kernel,
        buffers: BufferRing,
        park: Arc<EventFd>,
        (base, settings): (u32, &RingSettings),
    ) -> Ring {
        Ring {
            kernel,
            buffers,
            flight: Flight::new(settings.indexes_from(base), settings.acceptable()),
            backlog: VecDeque::new(),
            park,
            wake: None,
            listeners: 0,
            tick: Box::default(),
            shuts_down_before_close: false,
        }
    }

    /// Puts an open stream socket into the direct descriptor `index`, which is free: never used, or
    /// `Closed`. The ring has its own reference to it: `socket` may be closed.
    ///
    /// # Errors
    /// The error of io_uring_register(2), for example for an `index` beyond the table.
    pub fn install(&mut self, index: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        let place = self.flight.outstanding.place(index);
        self.kernel.install(place, socket.as_raw_fd())?;
        self.flight.outstanding.opened(place);
        Ok(())
    }

    /// Polls a connection for readable bytes, until a `Readable` that is not `armed`.
    pub fn watch(&mut self, key: SlotKey) {
        let events = (libc::POLLIN | libc::POLLRDHUP) as u32;
        let poll = opcode::PollAdd::new(self.place(key), events).multi(true);
        let tag = self.flight.begin_on(key, Op::Watch);
        self.push(tagged(poll.build(), tag));
    }

    /// Ends the poll of a connection, without a completion.
    pub fn unwatch(&mut self, key: SlotKey) {
        self.cancel(key, Tag::for_slot(Op::Watch, key));
    }

    /// Receives once, at most one buffer, without waiting; `Received` follows with the next
    /// [`Ring::enter`].
    pub fn receive(&mut self, key: SlotKey) {
        let bytes = self.buffers.buffer_bytes() as u32;
        let receive = opcode::Recv::new(self.place(key), std::ptr::null_mut(), bytes)
            .buf_group(self.buffers.group())
            .flags(libc::MSG_DONTWAIT)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        let tag = self.flight.begin_on(key, Op::Receive);
        self.push(tagged(receive, tag));
    }

    /// Whether a [`Ring::receive`] of an open connection has not completed. A shutdown and a
    /// look-up of its peer count too.
    pub fn is_receiving(&self, key: SlotKey) -> bool {
        self.flight.outstanding.has_brief(key.index)
    }

    /// Looks up the address or the user of a connection's peer; `PeerFound` follows with the next
    /// [`Ring::enter`].
    pub fn look_up_peer(&mut self, key: SlotKey, family: AddressFamily) {
        let lookup = Box::new(PeerLookup::of(key, family));
        let (tag, place) = self.flight.begin_lookup(lookup, |it| &mut it.name);
        self.push(tagged(peer::get_name(self.place(key), family, place), tag));
    }

    /// Sends the bytes of `chunk` after the first `from`; `Sent` returns the chunk.
    ///
    /// It may take fewer bytes than there are, and waits while the peer takes none. One send of
    /// a connection at a time, which keeps their bytes in order.
    ///
    /// # Panics
    /// If there is no byte to send, or a send of the connection is under way.
    pub fn send(&mut self, key: SlotKey, chunk: Chunk, from: usize) {
        let bytes = chunk.len().saturating_sub(from).min(SEND_BYTES_MAX);
        assert!(bytes > 0, "a send of no bytes");
        let (tag, start) = self.flight.begin_send(SendUnderWay { key, chunk, from });
        let send = opcode::Send::new(self.place(key), start, bytes as u32)
            .flags(libc::MSG_NOSIGNAL)
            .build();
        self.push(tagged(send, tag));
    }

    /// Turns each wake of `wake` into `Woken`, for as long as the ring lives.
    ///
    /// # Panics
    /// If the ring polls one already.
    pub fn watch_wake(&mut self, wake: &WakeFd) {
        assert!(self.wake.is_none(), "a ring watches one wake descriptor");
        self.wake = Some(wake.clone());
        self.arm_wake();
    }

    /// A handle by which any thread wakes this ring's thread, parked or waiting in the ring.
    ///
    /// # Panics
    /// If the ring polls no wake descriptor.
    pub fn waker(&self) -> Waker {
        let wake = self.wake.as_ref().expect("watch_wake comes first");
        wake.waker_of_parked(&self.park)
    }

    /// Makes the ring behind `ring_fd`, another shard's [`Ring::raw_fd`], complete a `Woken`.
    pub fn wake_shard(&mut self, ring_fd: RawFd) {
        let woken = Tag::of(Op::Woken).pack();
        let message = opcode::MsgRingData::new(Fd(ring_fd), 0, woken, None).build();
        self.push_silent(message, Tag::of(Op::WakeShard));
    }

    /// Completes a `Ticked` after `time`, once. One tick at a time.
    pub fn tick_after(&mut self, time: Duration) {
        *self.tick = Timespec::from(time);
        let timeout = opcode::Timeout::new(&raw const *self.tick).build();
        self.flight.begin();
        self.push(tagged(timeout, Tag::of(Op::Tick)));
    }

    /// The ring's own descriptor, for [`Ring::wake_shard`] of other rings.
    pub fn raw_fd(&self) -> RawFd {
        self.kernel.raw_fd()
    }

    /// Submits all queued operations and lets the kernel finish them where it can: one system call.
    ///
    /// An early return (a signal, a full completion queue) is not an error: the next turn
    /// continues.
    ///
    /// # Errors
    /// An error of io_uring_enter(2) that waiting does not cure; the ring is unusable then.
    pub fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.submit_backlog();
        self.buffers.offer(self.flight.buffers_wanted());
        let submissions = self.kernel.submissions();
        self.flight.counters.completion_overflows += u64::from(submissions.has_overflown);
        self.flight.counters.entered += 1;
        let wait = match self.backlog.is_empty() {
            true => wait,
            false => Wait::No,
        };
        let queued = submissions.queued;
        match self.kernel.enter(queued, wait, &mut self.buffers) {
            Err(error) if !is_passing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Appends up to `max` completions to `into` and returns how many.
    pub fn reap(&mut self, into: &mut Vec<Completion>, max: usize) -> usize {
        let before = into.len();
        let mut events = self.kernel.events();
        while into.len() - before < max {
            let Some(event) = events.next() else { break };
            if let Some(completion) = self.flight.settle(event, &mut self.buffers) {
                into.push(completion);
            }
        }
        drop(events);
        self.go_on_closing();
        if self.flight.wake_watch_ended {
            self.flight.wake_watch_ended = false;
            // A poll of the signals so far would complete at once.
            self.wake.iter().for_each(WakeFd::clear);
            self.arm_wake();
        }
        into.len() - before
    }

    /// Whether the kernel has work to finish when the ring is entered.
    #[inline]
    pub(crate) fn has_unfinished(&mut self) -> bool {
        self.kernel.has_work()
    }

    /// Whether entering would submit something, or bring something that the kernel has to finish.
    pub(crate) fn is_due(&mut self) -> bool {
        let submissions = self.kernel.submissions();
        submissions.queued > 0
            || submissions.has_overflown
            || !self.backlog.is_empty()
            || self.has_unfinished()
    }

    /// Whether nothing is queued, under way or to be reaped.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.in_flight() == 0 && !self.is_due() && !self.has_completions()
    }

    /// Turns notifying on or off, without a look at the notifications so far.
    pub(crate) fn notify(&mut self, enabled: bool) {
        self.kernel.set_eventfd(enabled);
    }

    /// The descriptor to park on: readable when something happened while notifying was on.
    ///
    /// The ring's own descriptor does not become readable, because completions are deferred. To
    /// park: turn [`Ring::set_park_notify`] on, enter without waiting, park only if
    /// [`Ring::has_completions`] is false; then turn it off.
    pub fn park_eventfd(&self) -> BorrowedFd<'_> {
        self.park.as_fd()
    }

    /// Turns notifying the descriptor to park on on or off; a ring starts with it off, because
    /// each notification costs. Turning it off forgets the notifications so far.
    pub fn set_park_notify(&mut self, enabled: bool) {
        self.kernel.set_eventfd(enabled);
        if !enabled {
            self.park.clear();
        }
        // The kernel must see the flag before the caller's last look at the completions.
        fence(Ordering::SeqCst);
    }

    /// The receive buffers, to read them and to give them back.
    pub fn buffers(&mut self) -> &mut BufferRing {
        &mut self.buffers
    }

    /// Queued operations whose last completion was not reaped, standing ones included.
    pub fn in_flight(&self) -> usize {
        self.flight.operations()
    }

    /// Its direct descriptors that accepts take.
    pub(crate) fn acceptable(&self) -> u32 {
        self.flight.outstanding.acceptable()
    }

    /// Direct descriptors that are free for accepts, by the completions reaped so far.
    pub fn free(&self) -> u32 {
        self.acceptable() - self.flight.outstanding.open()
    }

    /// Events of this ring since it was opened.
    pub fn counters(&self) -> RingCounters {
        self.flight.counters
    }

    /// The place of a connection in the table of direct descriptors.
    fn place(&self, key: SlotKey) -> Fixed {
        Fixed(self.flight.outstanding.place(key.index))
    }

    fn arm_wake(&mut self) {
        let Some(wake) = &self.wake else { return };
        let fd = Fd(wake.as_fd().as_raw_fd());
        let poll = opcode::PollAdd::new(fd, libc::POLLIN as u32).multi(true);
        self.flight.begin();
        self.push(tagged(poll.build(), Tag::of(Op::WatchWake)));
    }

    /// Queues an operation that completes only if it fails.
    fn push_silent(&mut self, entry: squeue::Entry, tag: Tag) {
        self.push(tagged(entry, tag).flags(squeue::Flags::SKIP_SUCCESS));
    }

    /// Queues an operation; a full queue is submitted first.
    fn push(&mut self, entry: squeue::Entry) {
        if self.backlog.is_empty() {
            if self.try_push(&entry) {
                return;
            }
            self.flight.counters.submissions_full += 1;
            self.submit_now();
            if self.try_push(&entry) {
                return;
            }
        }
        self.backlog.push_back(entry);
    }

    fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: three operations name memory. A send: its chunk stays in `flight` until it
        // completes (`Flight::begin_send`). The look-up of a peer: so does its box
        // (`Flight::begin_lookup`). A tick: its time stays in the box of this ring.
        unsafe { self.kernel.push(entry) }
    }

    /// Moves the backlog to the submission queue for as long as the kernel takes it.
    fn submit_backlog(&mut self) {
        let mut is_within_chain = false;
        while let Some(entry) = self.backlog.pop_front() {
            let is_link = Tag::unpack(entry.get_user_data()).is_some_and(Tag::is_link);
            if is_link && !is_within_chain {
                self.make_room_for_chain();
            }
            is_within_chain = is_link;
            if self.try_push(&entry) {
                continue;
            }
            self.submit_now();
            if !self.try_push(&entry) {
                self.backlog.push_front(entry);
                return;
            }
        }
    }

    /// Submits the queued operations. A refusal leaves them queued, and [`Ring::enter`] reports it.
    fn submit_now(&mut self) {
        self.buffers.offer(self.flight.buffers_wanted());
        self.flight.counters.entered += 1;
        let _ = self.kernel.submit(&mut self.buffers);
    }
}

impl Ring {
    /// Cancels the sends under way and waits until the kernel has let go of every chunk, for
    /// [`DROP_ROUNDS_MAX`] rounds that end none. Returns whether it has.
    fn end_sends(&mut self) -> bool {
        self.wake = None;
        let sends: Vec<(SlotKey, Tag)> = self.flight.sends().collect();
        for (key, tag) in sends {
            self.cancel(key, tag);
        }
        let mut completions = Vec::new();
        let mut rounds = 0;
        while self.flight.sends().len() > 0 && rounds < DROP_ROUNDS_MAX {
            let before = self.flight.sends().len();
            if self.enter(Wait::For(DROP_ROUND)).is_err() {
                break;
            }
            while self.reap(&mut completions, usize::MAX) > 0 {
                completions.clear();
            }
            rounds += u32::from(self.flight.sends().len() == before);
        }
        self.flight.sends().len() == 0
    }
}

impl Drop for Ring {
    /// The kernel cancels operations some time after the ring is closed, so operations that still
    /// read memory end first. Memory of an operation that does not end is leaked: freeing it could
    /// send foreign bytes.
    fn drop(&mut self) {
        if !self.end_sends() || self.flight.has_lookups() {
            self.flight.leak_lent();
        }
        // No receive follows this. Closing the ring ends the registration too, so a refusal changes
        // nothing.
        let _ = self.kernel.unregister(&mut self.buffers);
    }
}

fn tagged(entry: squeue::Entry, tag: Tag) -> squeue::Entry {
    entry.user_data(tag.pack())
}

/// Whether an error of io_uring_enter(2) goes away by itself: a signal came, the wait is over,
/// completions have to be reaped first, or memory is short for a moment.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINTR | libc::ETIME | libc::EBUSY | libc::EAGAIN)
    )
}

//! The socket rings of one thread: one, or several where a limit bounds the sockets of each.
//!
//! RLIMIT_NOFILE bounds the direct descriptors of a ring, and not those of a thread. So a thread
//! with more connections than that has further rings, which are small. The indexes of descriptors
//! go on from ring to ring, and lead to their ring.
//!
//! The rings fill in order. One of them accepts: when it is full, the next one with room, and a
//! lower one again when half of it is free. The thread waits in the first ring alone. It polls an
//! eventfd there, which the further rings signal while the thread waits or parks; at other times
//! the thread looks at a flag of each further ring that has operations under way.
//!
//! With one ring, each method is one branch and that ring's own. It deliberately lacks moving
//! connections between rings.

#[cfg(any(test, feature = "test-support"))]
use crate::ring::fake::FakeNetwork;
use crate::ring::{Completion, Ring, RingError, RingSettings, Wait, ring_event};
use crate::slots::SlotKey;
use crate::wake::{EventFd, WakeFd, Waker};
use std::cmp::Reverse;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

/// Pieces of work that an entry of a ring finishes at most: IO_LOCAL_TW_DEFAULT_MAX of
/// io_uring/io_uring.c.
const FINISHED_PER_ENTRY: usize = 20;

/// The most rings of one thread. Each takes a plain descriptor of the process, and a flag of each
/// is looked at in each turn.
pub const RINGS_MAX: u32 = 64;

/// Sizes of a further ring at most, five pages of queues and one of buffer entries: 40 KiB of
/// locked memory for each limit of open files.
const FURTHER_SUBMISSIONS_MAX: u32 = 256;
const FURTHER_COMPLETIONS_MAX: u32 = 1024;
const FURTHER_BUFFERS_MAX: u16 = 256;

/// Sizes of the rings of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingsSettings {
    /// The first ring; `descriptors` are those of all rings together.
    pub ring: RingSettings,
    /// The most sockets of one ring, at least 1.
    pub ring_descriptors_max: u32,
}

/// All rings of one thread; see the module's text.
pub struct Rings {
    first: Ring,
    further: Vec<Ring>,
    /// Further rings, from the front, that may have something under way.
    in_use: usize,
    /// The ring that accepts.
    accepting: usize,
    /// The ring to reap first: the one behind a ring that took the rest of a turn's completions.
    reaped_next: usize,
    /// Sockets of each ring but the last one.
    ring_descriptors: u32,
    wake: WakeFd,
}

impl RingsSettings {
    /// The sizes of each ring.
    pub(crate) fn each(&self) -> impl Iterator<Item = RingSettings> {
        let (all, most) = (self.ring.descriptors, self.ring_descriptors_max);
        let ring = self.ring;
        (0..all.div_ceil(most).max(1)).map(move |at| match at {
            0 => RingSettings {
                descriptors: all.min(most),
                ..ring
            },
            at => RingSettings {
                submission_entries: ring.submission_entries.min(FURTHER_SUBMISSIONS_MAX),
                completion_entries: ring.completion_entries.min(FURTHER_COMPLETIONS_MAX),
                buffer_count: ring.buffer_count.min(FURTHER_BUFFERS_MAX),
                descriptors: (all - at * most).min(most),
                ..ring
            },
        })
    }

    /// Locked memory of all rings, in bytes: see [`RingSettings::locked_bytes`].
    pub fn locked_bytes(&self) -> usize {
        self.each().map(|ring| ring.locked_bytes()).sum()
    }

    /// Bytes of the receive buffers of all rings.
    pub fn buffers_bytes(&self) -> u64 {
        let bytes =
            |ring: RingSettings| u64::from(ring.buffer_count) * u64::from(ring.buffer_bytes);
        self.each().map(bytes).sum()
    }
}

impl Rings {
    /// Opens the rings for the calling thread.
    ///
    /// # Errors
    /// Each [`RingError`] says what an operator must change.
    pub fn open(settings: &RingsSettings) -> Result<Rings, RingError> {
        Rings::open_each(settings, Ring::open_from)
    }

    /// Opens the rings over a new network.
    ///
    /// # Errors
    /// An error of mmap(2) or eventfd(2).
    #[cfg(any(test, feature = "test-support"))]
    pub fn over_network(settings: &RingsSettings) -> Result<(Rings, FakeNetwork), RingError> {
        let network = FakeNetwork::new();
        let rings = Rings::open_each(settings, |base, ring, event| {
            Ring::over_network_from(base, ring, event, &network)
        })?;
        Ok((rings, network))
    }

    /// Opens each ring with the index of its first descriptor, its sizes and the event that it
    /// notifies.
    fn open_each(
        settings: &RingsSettings,
        open: impl Fn(u32, &RingSettings, Arc<EventFd>) -> Result<Ring, RingError>,
    ) -> Result<Rings, RingError> {
        let wake = WakeFd::of(ring_event()?);
        let mut each = settings.each();
        let ring = each.next().expect("there is one at least");
        let mut first = open(0, &ring, ring_event()?)?;
        first.watch_wake(&wake);
        let mut base = ring.descriptors;
        let further = each.map(|ring| {
            let opened = open(base, &ring, wake.event());
            base += ring.descriptors;
            opened
        });
        Ok(Rings {
            first,
            further: further.collect::<Result<_, _>>()?,
            in_use: 0,
            accepting: 0,
            reaped_next: 0,
            ring_descriptors: ring.descriptors,
            wake,
        })
    }

    /// Lets the kernel poll network cards while the thread waits: see [`Ring::set_busy_poll`]. The
    /// thread waits in the first ring, which polls the cards of its own sockets only.
    ///
    /// # Errors
    /// Those of [`Ring::set_busy_poll`].
    pub fn set_busy_poll(&mut self, time_us: u32) -> io::Result<()> {
        self.first.set_busy_poll(time_us)
    }

    /// The first ring, for everything that is about no connection.
    pub fn first(&mut self) -> &mut Ring {
        &mut self.first
    }

    /// The ring of a connection, open or not.
    #[inline]
    pub fn of(&mut self, key: SlotKey) -> &mut Ring {
        match key.index < self.ring_descriptors {
            true => &mut self.first,
            false => self.ring((key.index / self.ring_descriptors) as usize),
        }
    }

    /// The ring `at`, which is about to have something under way.
    fn ring(&mut self, at: usize) -> &mut Ring {
        self.in_use = self.in_use.max(at);
        match at {
            0 => &mut self.first,
            at => &mut self.further[at - 1],
        }
    }

    fn all(&self) -> impl Iterator<Item = &Ring> {
        std::iter::once(&self.first).chain(&self.further)
    }

    fn at(&self, at: usize) -> &Ring {
        match at {
            0 => &self.first,
            at => &self.further[at - 1],
        }
    }

    /// The ring that accepts.
    pub fn accepting(&mut self) -> &mut Ring {
        self.ring(self.accepting)
    }

    /// Descriptors of the ring that accepts that are free.
    #[inline]
    pub fn free_to_accept(&self) -> u32 {
        self.at(self.accepting).free()
    }

    /// Whether the ring that accepts has the descriptor `index`.
    pub fn is_accepting(&self, index: u32) -> bool {
        (index / self.ring_descriptors) as usize == self.accepting
    }

    /// Chooses the ring that accepts, which needs `least` free descriptors. Returns whether it is
    /// another one than before; the accepts of the earlier one are being cancelled then.
    #[inline]
    pub fn choose_accepting(&mut self, least: u32) -> bool {
        !self.further.is_empty() && self.choose_again(least)
    }

    fn choose_again(&mut self, least: u32) -> bool {
        let chosen = self.best_to_accept(least);
        let changes = chosen != self.accepting;
        if changes {
            self.accepting().stop_accepting();
            self.accepting = chosen;
        }
        changes
    }

    /// The lowest ring with half of its descriptors free, if it is a lower one or the present one
    /// is full; if all are nearly full, the one with the most. Half, so that connections that come
    /// and go one by one do not move accepting.
    fn best_to_accept(&self, least: u32) -> usize {
        let has_room = |at: &usize| {
            let ring = self.at(*at);
            2 * ring.free() >= ring.descriptors()
        };
        if self.free_to_accept() >= least {
            return (0..self.accepting).find(has_room).unwrap_or(self.accepting);
        }
        let mut all = 0..=self.further.len();
        let most = all
            .clone()
            .max_by_key(|at| (self.at(*at).free(), Reverse(*at)));
        all.find(has_room).or(most).unwrap_or(self.accepting)
    }

    /// Submits all queued operations and lets the kernel finish them where it can; waits in the
    /// first ring, for events of all.
    ///
    /// # Errors
    /// See [`Ring::enter`].
    #[inline]
    pub fn enter(&mut self, wait: Wait) -> io::Result<()> {
        match self.in_use {
            0 => self.first.enter(wait),
            _ => self.enter_all(wait),
        }
    }

    /// Enters again while entries bring many completions and leave work, until `max` are ready.
    ///
    /// Since Linux 6.13 one entry finishes no more than 20 pieces of work: the rest of a burst
    /// would wait in the kernel, where its order is fixed. Work that comes later, piece by piece,
    /// is left to the next turn: an entry for each would cost more than it.
    ///
    /// # Errors
    /// As [`Rings::enter`].
    pub fn gather(&mut self, max: usize) -> io::Result<()> {
        let (mut before, mut ready) = (0, self.ready());
        while ready < max && ready - before >= FINISHED_PER_ENTRY && self.has_unfinished() {
            self.enter(Wait::No)?;
            before = ready;
            ready = self.ready();
        }
        Ok(())
    }

    /// Whether the kernel has work of a ring to finish.
    fn has_unfinished(&mut self) -> bool {
        let further = &mut self.further[..self.in_use];
        self.first.has_unfinished() || further.iter_mut().any(Ring::has_unfinished)
    }

    fn enter_all(&mut self, wait: Wait) -> io::Result<()> {
        for ring in &mut self.further[..self.in_use] {
            if ring.is_due() {
                ring.enter(Wait::No)?;
            }
        }
        if wait == Wait::No
            || self.further[..self.in_use]
                .iter_mut()
                .any(Ring::has_completions)
        {
            self.first.enter(Wait::No)?;
        } else {
            self.notify_further(true);
            // Events from before that signal nothing.
            let is_due = self.further[..self.in_use]
                .iter_mut()
                .any(|ring| ring.is_due());
            let entered = self.first.enter(if is_due { Wait::No } else { wait });
            self.notify_further(false);
            entered?;
        }
        while let Some(last) = self.in_use.checked_sub(1)
            && self.further[last].is_idle()
        {
            self.in_use = last;
        }
        Ok(())
    }

    /// Turns the signals of further rings on or off. After it is on, look at each ring.
    fn notify_further(&mut self, enabled: bool) {
        for ring in &mut self.further[..self.in_use] {
            ring.notify(enabled);
        }
        // The kernel must see the flags before the caller's look at the rings.
        fence(Ordering::SeqCst);
    }

    /// Appends up to `max` completions of all rings to `into` and returns how many.
    #[inline]
    pub fn reap(&mut self, into: &mut Vec<Completion>, max: usize) -> usize {
        match self.in_use {
            0 => self.first.reap(into, max),
            _ => self.reap_all(into, max),
        }
    }

    fn reap_all(&mut self, into: &mut Vec<Completion>, max: usize) -> usize {
        let (rings, start) = (self.in_use + 1, self.reaped_next);
        let mut count = 0;
        for at in (start..start + rings).map(|at| at % rings) {
            count += self.ring(at).reap(into, max - count);
            if count == max {
                self.reaped_next = at + 1;
                break;
            }
        }
        count
    }

    /// Whether there is something to reap without entering the kernel.
    pub fn has_completions(&mut self) -> bool {
        let further = &mut self.further[..self.in_use];
        self.first.has_completions() || further.iter_mut().any(Ring::has_completions)
    }

    /// Entries of the completion queues that were not reaped: see [`Ring::ready`].
    #[inline]
    pub fn ready(&mut self) -> usize {
        let further = self.further[..self.in_use].iter_mut().map(Ring::ready);
        self.first.ready() + further.sum::<usize>()
    }

    /// The descriptors to park on: see [`Ring::park_eventfd`]; of several rings two.
    pub fn park_eventfds(&self) -> (BorrowedFd<'_>, Option<BorrowedFd<'_>>) {
        let wake = (!self.further.is_empty()).then(|| self.wake.as_fd());
        (self.first.park_eventfd(), wake)
    }

    /// See [`Ring::set_park_notify`].
    pub fn set_park_notify(&mut self, enabled: bool) {
        if self.in_use > 0 {
            self.notify_further(enabled);
        }
        // The owner looks at its queues after each park, and parks on this one as well.
        if !enabled && !self.further.is_empty() {
            self.wake.clear();
        }
        self.first.set_park_notify(enabled);
    }

    /// A handle by which any thread wakes this one, parked or waiting in the first ring.
    pub fn waker(&self) -> Waker {
        self.first.waker()
    }

    /// Connections that are being closed: see [`Ring::closing`].
    pub fn closing(&self) -> usize {
        self.all().map(Ring::closing).sum()
    }

    /// Queued operations whose last completion was not reaped, standing ones included.
    pub fn in_flight(&self) -> usize {
        self.all().map(Ring::in_flight).sum()
    }

    /// Times that turns found a completion queue overflown.
    pub fn completion_overflows(&self) -> u64 {
        let overflows = self.all().map(|ring| ring.counters().completion_overflows);
        overflows.sum()
    }

    /// Calls of io_uring_enter(2).
    pub fn enters(&self) -> u64 {
        self.all().map(|ring| ring.counters().entered).sum()
    }
}

/// Parts of the rings that tests look at.
#[cfg(any(test, feature = "test-support"))]
impl Rings {
    /// Receive buffers of all rings that were received into and not recycled.
    pub fn held_buffers(&mut self) -> usize {
        let further = self.further.iter_mut().map(|ring| ring.buffers().held());
        self.first.buffers().held() + further.sum::<usize>()
    }

    /// Rings that each entry looks at.
    pub fn in_use(&self) -> usize {
        1 + self.in_use
    }

    /// See [`Ring::shut_down_before_close`].
    pub fn shut_down_before_close(&mut self, does: bool) {
        self.first.shut_down_before_close(does);
        for ring in &mut self.further {
            ring.shut_down_before_close(does);
        }
    }
}

#[cfg(test)]
mod tests;

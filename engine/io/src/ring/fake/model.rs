//! The kernel's side: runs submissions on sockets, and completes them.

use super::socket::{MORE, Socket};
use super::submission::{Operation, Submission};
use crate::buffers::BufferRing;
use crate::ring::RingSettings;
use crate::ring::event::{Event, Submissions};
use crate::ring::tag::{Op, Tag};
use crate::rng::Rng;
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, Ordering};

/// Descriptors of rings, beyond those that a process has.
static NEXT_FD: AtomicI32 = AtomicI32::new(1 << 24);

/// A completion that the ring does not see yet.
#[derive(Debug)]
struct Pending {
    event: Event,
    /// Completions of one source keep their order.
    source: (Operation, u64),
    operation: Operation,
    /// The direct descriptor that it is about, which it frees if it is a close.
    descriptor: Option<u32>,
}

/// The side of one ring.
struct RingModel {
    fd: RawFd,
    submissions_max: usize,
    queue: VecDeque<Submission>,
    /// The index of the first direct descriptor.
    base: u32,
    /// Sockets by direct descriptor.
    table: Vec<Option<usize>>,
    accepts: VecDeque<Submission>,
    /// Shutdowns, each with the socket it was submitted for.
    workers: Vec<(Submission, usize)>,
    /// The next buffer to receive into.
    head: u16,
    pending: Vec<Pending>,
    completed: VecDeque<Pending>,
}

/// See the module's text.
pub(super) struct Model {
    rings: Vec<RingModel>,
    pub(super) sockets: Vec<Socket>,
    pub(super) backlog: VecDeque<(u8, usize)>,
    pub(super) faults: Vec<(Operation, i32)>,
    /// The next look at a queue of completions finds it overflown.
    pub(super) overflows_next: bool,
    /// Standing operations whose next completion is their last.
    pub(super) ends: Vec<Operation>,
    pub(super) held: Vec<Operation>,
    rng: Option<Rng>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.sockets.iter().filter(|it| it.descriptor.is_some());
        f.debug_list().entries(open).finish()
    }
}

impl Model {
    pub(super) fn new() -> Model {
        Model {
            rings: Vec::new(),
            sockets: Vec::new(),
            backlog: VecDeque::new(),
            faults: Vec::new(),
            overflows_next: false,
            ends: Vec::new(),
            held: Vec::new(),
            rng: None,
        }
    }

    /// Adds a ring, with indexes of descriptors from `base` on; returns its number.
    pub(super) fn add_ring(&mut self, base: u32, settings: &RingSettings) -> usize {
        self.rings.push(RingModel {
            fd: NEXT_FD.fetch_add(1, Ordering::Relaxed),
            submissions_max: settings.submission_entries as usize,
            queue: VecDeque::new(),
            base,
            table: vec![None; settings.descriptors as usize],
            accepts: VecDeque::new(),
            workers: Vec::new(),
            head: 0,
            pending: Vec::new(),
            completed: VecDeque::new(),
        });
        self.rings.len() - 1
    }

    pub(super) fn fd(&self, ring: usize) -> RawFd {
        self.rings[ring].fd
    }

    pub(super) fn connect(&mut self, listener: u8) -> usize {
        self.sockets.push(Socket::new());
        let socket = self.sockets.len() - 1;
        self.backlog.push_back((listener, socket));
        socket
    }

    pub(super) fn shuffle(&mut self, seed: Option<u64>) {
        self.rng = seed.map(Rng::seeded);
    }

    pub(super) fn submissions(&mut self, ring: usize) -> Submissions {
        let has_overflown = std::mem::take(&mut self.overflows_next);
        let ring = &self.rings[ring];
        Submissions {
            queued: ring.queue.len(),
            free: ring.submissions_max - ring.queue.len(),
            has_overflown,
        }
    }

    pub(super) fn push(&mut self, submission: Submission) -> bool {
        let ring = &mut self.rings[submission.ring];
        let fits = ring.queue.len() < ring.submissions_max;
        if fits {
            ring.queue.push_back(submission);
        }
        fits
    }

    pub(super) fn next(&mut self, ring: usize) -> Option<Event> {
        self.rings[ring].completed.pop_front().map(|it| it.event)
    }

    pub(super) fn completions(&self, ring: usize) -> usize {
        self.rings[ring].completed.len()
    }

    /// Runs the queued submissions.
    pub(super) fn submit(&mut self, ring: usize, buffers: &mut BufferRing) {
        while let Some(submission) = self.rings[ring].queue.pop_front() {
            self.begin(submission, buffers);
        }
    }

    /// Runs the queued submissions and the events of peers, and publishes completions.
    pub(super) fn enter(&mut self, ring: usize, buffers: &mut BufferRing) {
        let workers = std::mem::take(&mut self.rings[ring].workers);
        self.submit(ring, buffers);
        for (shutdown, socket) in workers {
            self.shut_down(shutdown, socket);
        }
        self.accept_waiting(ring);
        for at in 0..self.rings[ring].table.len() {
            if let Some(socket) = self.rings[ring].table[at]
                && std::mem::take(&mut self.sockets[socket].is_woken)
            {
                self.run_socket(socket, buffers);
            }
        }
        self.publish(ring);
    }

    fn begin(&mut self, submission: Submission, buffers: &mut BufferRing) {
        match submission.tag.op {
            // As in the kernel, a waiting connection is taken before the next submission runs.
            Op::Accept | Op::AcceptOne => {
                let ring = submission.ring;
                self.rings[ring].accepts.push_back(submission);
                self.accept_waiting(ring);
            }
            // Nothing that a test does wakes a ring or ends its wait.
            Op::WatchWake | Op::Tick | Op::WakeShard => {}
            Op::Cancel => self.cancel(submission),
            Op::LookUpPeer => self.end(submission, -libc::EOPNOTSUPP),
            // As kernels before 6.8 do.
            Op::Share => self.end(submission, -libc::EINVAL),
            Op::ShutdownWrite => {
                let socket = self.socket_of(submission);
                let workers = &mut self.rings[submission.ring].workers;
                workers.push((submission, socket));
            }
            Op::Close => self.close(submission),
            Op::Receive => {
                let socket = self.socket_of(submission);
                let (result, flags) = match self.fault(Operation::Receive) {
                    Some(errno) => (-errno, 0),
                    None => self.receive(submission, socket, buffers),
                };
                self.end_with(submission, result, flags);
            }
            Op::Watch | Op::Stream | Op::Send => {
                let socket = self.socket_of(submission);
                if self.run(submission, socket, buffers) {
                    self.sockets[socket].operations.push(submission);
                }
            }
            Op::Dial | Op::Connect | Op::Woken => unreachable!("{submission:?}"),
        }
    }

    /// The socket that an operation is about.
    fn socket_of(&self, submission: Submission) -> usize {
        let socket = usize::try_from(submission.fd).ok();
        let table = &self.rings[submission.ring].table;
        let socket = socket.and_then(|place| *table.get(place)?);
        socket.unwrap_or_else(|| panic!("{submission:?} is about a descriptor that is free"))
    }

    fn receive(
        &mut self,
        submission: Submission,
        socket: usize,
        buffers: &mut BufferRing,
    ) -> (i32, u32) {
        let head = &mut self.rings[submission.ring].head;
        self.sockets[socket].receive(buffers, head)
    }

    /// Runs the operations that wait on a socket.
    fn run_socket(&mut self, socket: usize, buffers: &mut BufferRing) {
        let waiting = std::mem::take(&mut self.sockets[socket].operations);
        for submission in waiting {
            if self.run(submission, socket, buffers) {
                self.sockets[socket].operations.push(submission);
            }
        }
    }

    /// Runs an operation that may wait. Returns whether it goes on.
    fn run(&mut self, submission: Submission, socket: usize, buffers: &mut BufferRing) -> bool {
        match submission.tag.op {
            Op::Watch => {
                let events = self.sockets[socket].events();
                events == 0 || self.complete(submission, events, MORE)
            }
            Op::Stream => self.stream(submission, socket, buffers),
            Op::Send => self.send(submission, socket),
            op => unreachable!("{op:?} does not wait"),
        }
    }

    fn send(&mut self, submission: Submission, socket: usize) -> bool {
        let bytes = submission.bytes();
        let mut most = bytes.len();
        if let Some(rng) = &mut self.rng
            && rng.below(2) == 0
        {
            most = 1 + rng.below(most as u64) as usize;
        }
        let result = match self.fault(Operation::Send) {
            Some(errno) => Some(-errno),
            None => self.sockets[socket].send(bytes, most),
        };
        if let Some(result) = result {
            self.end(submission, result);
        }
        result.is_none()
    }

    fn stream(&mut self, submission: Submission, socket: usize, buffers: &mut BufferRing) -> bool {
        let mut has_brought = false;
        loop {
            // An end that came with bytes is missed, as before the fix of March 2026.
            if has_brought && !self.sockets[socket].has_bytes() {
                return true;
            }
            let (result, flags) = match self.fault(Operation::RecvMultishot) {
                Some(errno) => (-errno, 0),
                None => self.receive(submission, socket, buffers),
            };
            match result {
                1.. if self.complete(submission, result, flags | MORE) => {}
                1.. => return false,
                _ if result == -libc::EAGAIN => return true,
                _ => {
                    self.end_with(submission, result, flags);
                    return false;
                }
            }
            has_brought = true;
        }
    }

    /// The first accept of a ring that a client waits for, and the place of that client.
    fn acceptable(&self, at: usize) -> Option<(usize, usize)> {
        let mut accepts = self.rings[at].accepts.iter().enumerate();
        accepts.find_map(|(nth, accept)| {
            let mut waiting = self.backlog.iter();
            let waits = waiting.position(|(listener, _)| *listener == accept.tag.listener());
            Some((nth, waits?))
        })
    }

    /// Accepts from the backlog for as long as an operation does.
    fn accept_waiting(&mut self, at: usize) {
        while let Some((nth, waits)) = self.acceptable(at)
            && let Some(accept) = self.rings[at].accepts.remove(nth)
        {
            if let Some(errno) = self.fault(accept.operation()) {
                self.end(accept, -errno);
                continue;
            }
            let ring = &mut self.rings[at];
            let free = ring.table.iter().position(Option::is_none);
            let Some((_, socket)) = self.backlog.remove(waits) else {
                unreachable!("somebody waits");
            };
            let Some(place) = free else {
                self.sockets[socket].close();
                self.end(accept, -libc::ENFILE);
                continue;
            };
            ring.table[place] = Some(socket);
            self.sockets[socket].descriptor = Some(ring.base + place as u32);
            let more = MORE * u32::from(accept.tag.op == Op::Accept);
            if self.complete(accept, place as i32, more) {
                self.rings[at].accepts.insert(nth, accept);
            }
        }
    }

    fn shut_down(&mut self, submission: Submission, socket: usize) {
        let now = self.socket_of(submission);
        assert_eq!(now, socket, "{submission:?} shuts down another connection");
        self.sockets[socket].shut_down(submission.length as i32);
        self.end(submission, 0);
    }

    fn close(&mut self, submission: Submission) {
        let socket = self.socket_of(submission);
        let base = self.rings[submission.ring].base;
        let under_way = self.operations_on(base + submission.fd as u32);
        assert!(under_way.is_empty(), "closed during {under_way:?}");
        self.sockets[socket].close();
        self.end(submission, 0);
    }

    fn cancel(&mut self, cancel: Submission) {
        let wanted = cancel.cancelled();
        let is_wanted = |submission: &Submission| submission.tag.pack() == wanted;
        let Some(tag) = Tag::unpack(wanted) else {
            unreachable!("only tags are ever submitted");
        };
        if matches!(tag.op, Op::Accept | Op::AcceptOne) {
            let accepts = &mut self.rings[cancel.ring].accepts;
            let (ended, rest) = accepts.drain(..).partition(is_wanted);
            *accepts = rest;
            let ended: VecDeque<Submission> = ended;
            for accept in ended {
                self.end(accept, -libc::ECANCELED);
            }
            return;
        }
        let socket = self.sockets.iter_mut().find_map(|socket| {
            let at = socket.operations.iter().position(is_wanted)?;
            Some(socket.operations.remove(at))
        });
        match socket {
            Some(submission) => self.end(submission, -libc::ECANCELED),
            None => self.end(cancel, -libc::ENOENT),
        }
    }

    fn fault(&mut self, operation: Operation) -> Option<i32> {
        let at = self.faults.iter().position(|(of, _)| *of == operation)?;
        Some(self.faults.remove(at).1)
    }

    /// Completes an operation for the last time.
    fn end(&mut self, submission: Submission, result: i32) {
        self.end_with(submission, result, 0);
    }

    fn end_with(&mut self, submission: Submission, result: i32, flags: u32) {
        let goes_on = self.complete(submission, result, flags);
        assert!(!goes_on);
    }

    /// Completes an operation once. Returns whether it goes on.
    fn complete(&mut self, submission: Submission, result: i32, mut flags: u32) -> bool {
        let operation = submission.operation();
        let ends = self.ends.iter().position(|it| *it == operation);
        if let Some(at) = ends
            && flags & MORE != 0
        {
            self.ends.remove(at);
            flags &= !MORE;
        }
        let user_data = submission.tag.pack();
        let source = match operation {
            Operation::Receive | Operation::RecvMultishot => {
                (Operation::Receive, submission.fd as u64)
            }
            _ => (operation, user_data),
        };
        let is_on_descriptor = !matches!(
            operation,
            Operation::Accept | Operation::AcceptOne | Operation::Other
        );
        self.rings[submission.ring].pending.push(Pending {
            event: Event {
                user_data,
                result,
                flags,
            },
            source,
            operation,
            descriptor: is_on_descriptor.then_some(submission.fd as u32),
        });
        flags & MORE != 0
    }

    /// Publishes the completions that are not kept back: all, or with a seed some in any order.
    fn publish(&mut self, ring: usize) {
        let ring = &mut self.rings[ring];
        let is_held = |pending: &Pending| self.held.contains(&pending.operation);
        let (held, mut ready): (Vec<Pending>, Vec<Pending>) =
            ring.pending.drain(..).partition(is_held);
        let mut count = ready.len();
        if let Some(rng) = &mut self.rng {
            count = rng.below(count as u64 + 1) as usize;
        }
        for _ in 0..count {
            let mut at = 0;
            if let Some(rng) = &mut self.rng {
                let source = ready[rng.below(ready.len() as u64) as usize].source;
                let of_source = ready.iter().position(|it| it.source == source);
                at = of_source.expect("it is one of them");
            }
            let pending = ready.remove(at);
            if let (Operation::Close, Some(index)) = (pending.operation, pending.descriptor) {
                ring.table[index as usize] = None;
            }
            ring.completed.push_back(pending);
        }
        ring.pending = ready;
        ring.pending.extend(held);
    }

    pub(super) fn operations_on(&self, index: u32) -> Vec<Operation> {
        let of_index = self.rings.iter().rev().find(|it| it.base <= index);
        let ring = of_index.expect("the first ring begins at 0");
        let place = index - ring.base;
        let socket = ring.table[place as usize];
        let waiting = socket.map(|socket| self.sockets[socket].operations.iter());
        let waiting = waiting.into_iter().flatten().map(Submission::operation);
        let workers = ring.workers.iter().filter(|(_, of)| Some(*of) == socket);
        let workers = workers.map(|(shutdown, _)| shutdown.operation());
        let pending = ring.completed.iter().chain(&ring.pending);
        let pending = pending.filter(|pending| {
            let is_last = pending.event.flags & MORE == 0;
            pending.descriptor == Some(place) && is_last
        });
        let pending = pending.map(|pending| pending.operation);
        waiting.chain(workers).chain(pending).collect()
    }

    pub(super) fn accepts(&self) -> Vec<Operation> {
        let accepts = self.rings.iter().flat_map(|ring| &ring.accepts);
        accepts.map(Submission::operation).collect()
    }

    pub(super) fn descriptors(&self) -> usize {
        let tables = self.rings.iter().flat_map(|ring| &ring.table);
        tables.flatten().count()
    }

    pub(super) fn has_news(&self) -> bool {
        let mut rings = self.rings.iter().enumerate();
        rings.any(|(at, ring)| {
            self.has_work(at) || !ring.queue.is_empty() || !ring.completed.is_empty()
        })
    }

    /// Whether the next entry of the ring `at` brings something but the effects of its queue.
    pub(super) fn has_work(&self, at: usize) -> bool {
        let ring = &self.rings[at];
        let is_due = |it: &Pending| !self.held.contains(&it.operation);
        let accepts = self.acceptable(at).is_some();
        let is_woken = |socket: &usize| self.sockets[*socket].is_woken;
        !ring.workers.is_empty()
            || accepts
            || ring.table.iter().flatten().any(is_woken)
            || ring.pending.iter().any(is_due)
    }
}

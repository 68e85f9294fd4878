//! One thread of the generator: a ring, its connections, and the loop that drives them.
//!
//! Built like a shard of the server, on the same executor and the same ring, so that one core can
//! load one core. A turn: open connections, send due requests, enter the ring, handle completions.
//! The clock is read twice a turn: before sending, and after waiting; the answers of one turn share
//! one arrival time.
//!
//! Invariant: a request that is due is sent or counted, and each one sent ends in exactly one
//! count. Bounds: the ring's table bounds connections, `in_flight_max` the requests in flight on
//! each.

mod connections;
mod requests;

use super::client::{Checkers, Client, Event};
use super::pace::Schedule;
use super::plan::{POLL_INTERVAL_NS, Plan, RunState, Window, WorkerStatus};
use super::script::FIRST_ID;
use super::tally::Tally;
use corelane_io::chunk::ChunkPool;
use corelane_io::executor::{Executor, ExecutorSettings};
use corelane_io::ring::{Completion, Ring, RingSettings, Wait};
use corelane_io::slots::{SlotKey, Slots};
use corelane_protocol::framing::http1::HeadCache;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Places beyond the connections wanted, for those that are still closing.
pub(crate) const CLOSING_MAX: u32 = 256;
/// Connections that one worker makes at once.
const CONNECTING_MAX: u32 = 512;
/// Connections that all workers make at once; more would overrun the backlog of most listeners.
const CONNECTING_ALL_MAX: u32 = 4096;
/// Handshakes of TLS that one worker makes at once: each takes a part of a millisecond here, and a
/// server has a limit for its own.
const HANDSHAKES_MAX: u32 = 64;
/// Completions handled before the next submission.
const COMPLETIONS_PER_TURN: usize = 1024;
/// Interval at which timeouts are checked and figures published.
const HOUSEKEEPING_NS: u64 = POLL_INTERVAL_NS;
/// Checks for overdue requests within the time that one may take; each looks at all connections.
const OVERDUE_CHECKS: u64 = 8;
/// A request due sooner than this is waited for without sleeping: a wake-up costs more.
const SPIN_NS: u64 = 50_000;
/// Entries of the executor's own rings and its registered memory: the least it takes.
const EXECUTOR_RING_DEPTH: usize = 128;
const EXECUTOR_IO_MEMORY_BYTES: usize = 64 << 10;

/// The results of a worker.
#[derive(Debug, Default)]
pub(crate) struct WorkerResults {
    /// Its counts and times.
    pub(crate) tally: Tally,
    /// For each round: when a stream had the change, in nanoseconds since the epoch.
    pub(crate) arrivals: Vec<Vec<u64>>,
    /// For each round: how often a stream had it again.
    pub(crate) duplicates: Vec<u64>,
}

/// An action that is due at a given time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The think time of a connection is over.
    Rested { index: u32, generation: u32 },
    /// A broken connection is replaced.
    Dial,
}

/// See the module's text.
pub(crate) struct Worker {
    plan: Arc<Plan>,
    state: Arc<RunState>,
    number: u32,
    ring: Ring,
    slots: Slots<Client>,
    /// Indexes that no connection has.
    free: Vec<u32>,
    chunks: ChunkPool,
    heads: HeadCache,
    checkers: Checkers,
    /// Connections that may send, and since when, in the order of becoming so.
    ready: VecDeque<(SlotKey, u64)>,
    timers: BinaryHeap<Reverse<(u64, Timer)>>,
    /// Connections begun for the first time.
    begun: u32,
    /// Connections to replace.
    to_redial: u32,
    connecting: u32,
    connecting_max: u32,
    dials: u64,
    next_id: u64,
    rng: u64,
    /// Requests of the open loop's schedule that were taken from it.
    scheduled: u64,
    schedule: Option<Schedule>,
    window: Option<Window>,
    /// Requests of the mix in flight.
    requests_in_flight: u64,
    published_ns: u64,
    overdue_checked_ns: u64,
    events: Vec<Event>,
    /// A request before it is sealed.
    plaintext: Vec<u8>,
    results: WorkerResults,
}

impl Worker {
    /// Runs worker `number` of the plan on its core until the run stops.
    ///
    /// # Errors
    /// The kernel refused a ring, memory or an operation.
    pub(crate) fn run(
        plan: Arc<Plan>,
        state: Arc<RunState>,
        number: u32,
    ) -> Result<WorkerResults, String> {
        let core = plan.cores[number as usize % plan.cores.len()];
        let executor = Executor::new(ExecutorSettings {
            core: Some(core),
            ring_depth: EXECUTOR_RING_DEPTH,
            io_memory_bytes: EXECUTOR_IO_MEMORY_BYTES,
        })
        .map_err(|error| error.to_string())?;
        executor.run(async {
            let mut worker = Worker::new(plan, state, number)?;
            while !worker.state.stops.load(Ordering::Relaxed) {
                worker.turn()?;
            }
            worker.publish(worker.state.now_ns());
            if worker.plan.holds() {
                worker.close_all()?;
            }
            Ok(std::mem::take(&mut worker.results))
        })
    }

    fn new(plan: Arc<Plan>, state: Arc<RunState>, number: u32) -> Result<Worker, String> {
        let descriptors = plan.share(plan.connections, number) + CLOSING_MAX;
        let settings = RingSettings {
            submission_entries: 2048,
            completion_entries: 16_384,
            descriptors,
            dialled: 0,
            buffer_count: 4096,
            buffer_bytes: 2048,
        };
        let ring = Ring::open(&settings).map_err(|error| error.to_string())?;
        let connecting_max = match plan.tls {
            Some(_) => HANDSHAKES_MAX,
            None => CONNECTING_MAX,
        };
        Ok(Worker {
            ring,
            slots: Slots::new(descriptors),
            free: (0..descriptors).rev().collect(),
            chunks: ChunkPool::default(),
            heads: HeadCache::default(),
            checkers: plan.checkers(),
            ready: VecDeque::new(),
            timers: BinaryHeap::new(),
            begun: 0,
            to_redial: 0,
            connecting: 0,
            connecting_max: connecting_max.min((CONNECTING_ALL_MAX / plan.workers).max(1)),
            dials: 0,
            next_id: FIRST_ID,
            rng: 0x9E37_79B9_7F4A_7C15 ^ u64::from(number + 1),
            scheduled: 0,
            schedule: None,
            window: None,
            requests_in_flight: 0,
            published_ns: 0,
            overdue_checked_ns: 0,
            events: Vec::new(),
            plaintext: Vec::new(),
            results: WorkerResults::default(),
            plan,
            state,
            number,
        })
    }

    fn turn(&mut self) -> Result<(), String> {
        let now = self.state.now_ns();
        self.open_window();
        self.run_timers(now);
        self.dial_wanted(now);
        self.send_due(now);
        if now >= self.published_ns + HOUSEKEEPING_NS {
            self.publish(now);
            if now >= self.overdue_checked_ns + self.timeout_ns() / OVERDUE_CHECKS {
                self.overdue_checked_ns = now;
                self.end_overdue(now, self.timeout_ns());
            }
        }
        self.enter(self.wait(self.state.now_ns()))
    }

    /// Submits, waits and handles the completions.
    fn enter(&mut self, wait: Wait) -> Result<(), String> {
        self.ring.enter(wait).map_err(|error| error.to_string())?;
        let now = self.state.now_ns();
        let mut completions = Vec::with_capacity(COMPLETIONS_PER_TURN);
        self.ring.reap(&mut completions, COMPLETIONS_PER_TURN);
        for completion in completions {
            self.handle(completion, now);
        }
        Ok(())
    }

    fn handle(&mut self, completion: Completion, now: u64) {
        match completion {
            Completion::Connected { key, outcome } => self.connected(key, outcome, now),
            Completion::Streamed {
                key,
                outcome,
                armed,
            } => self.streamed(key, outcome, armed, now),
            Completion::Readable { key, hangup, armed } => self.readable(key, hangup, armed),
            Completion::Received { key, outcome } => self.received(key, outcome, now),
            Completion::Sent {
                key,
                chunk,
                from,
                outcome,
            } => self.sent(key, chunk, from, outcome),
            Completion::Closed { key } => self.free.push(key.index),
            Completion::Accepted { .. }
            | Completion::AcceptedOne { .. }
            | Completion::AcceptEnded { .. }
            | Completion::PeerFound { .. }
            | Completion::Shared { .. }
            | Completion::Woken
            | Completion::Ticked => unreachable!("a worker only dials, receives and sends"),
        }
    }

    /// Takes the window over when the control thread has set it.
    fn open_window(&mut self) {
        if self.window.is_some() {
            return;
        }
        let Some(window) = self.state.window.get() else {
            return;
        };
        self.window = Some(*window);
        let duration = Duration::from_nanos(window.end_ns - window.start_ns);
        self.schedule = window
            .rate
            .map(|rate| Schedule::new(rate, duration, self.number, self.plan.workers));
    }

    fn run_timers(&mut self, now: u64) {
        while let Some(Reverse((at, timer))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            match timer {
                Timer::Rested { index, generation } => {
                    self.ready.push_back((SlotKey { index, generation }, at));
                }
                Timer::Dial => self.to_redial += 1,
            }
        }
    }

    /// How long the ring may wait: until the next thing is due.
    fn wait(&self, now: u64) -> Wait {
        let mut until = self.published_ns + HOUSEKEEPING_NS;
        if let Some(Reverse((at, _))) = self.timers.peek() {
            until = until.min(*at);
        }
        if let Some(start_ns) = self.window.map(|window| window.start_ns)
            && now < start_ns
        {
            until = until.min(start_ns);
        }
        if let Some(due) = self.next_due_ns()
            && !self.ready.is_empty()
        {
            until = until.min(due);
        }
        if let Some(due) = self.next_dial_ns() {
            until = until.min(due);
        }
        match until.saturating_sub(now) {
            0..SPIN_NS => Wait::No,
            left => Wait::For(Duration::from_nanos(left - SPIN_NS / 2)),
        }
    }

    fn live(&self) -> &WorkerStatus {
        &self.state.live[self.number as usize]
    }

    /// Publishes the progress of this worker.
    fn publish(&mut self, now: u64) {
        self.published_ns = now;
        let live = &self.state.live[self.number as usize];
        let tally = &self.results.tally;
        live.answered
            .store(tally.counts.answered, Ordering::Relaxed);
        live.errors
            .store(tally.counts.errors.total(), Ordering::Relaxed);
    }

    /// A pseudo-random number, the same sequence in each run (xorshift).
    fn roll(&mut self) -> u64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        self.rng
    }

    /// Whether something that happens in `percent` of cases does this time.
    fn happens(&mut self, percent: f64) -> bool {
        percent > 0.0 && (self.roll() % 1_000_000) as f64 <= percent * 10_000.0
    }
}

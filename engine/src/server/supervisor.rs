//! The thread that supervises the shards of a server: it starts a shard again that failed, logs
//! those that stall, and collects the counters of those that drained.
//!
//! A shard that failed is started again on a new thread, with the listener and the ends of the
//! lanes that it had. Restarts are limited: past the limit the other shards drain, and the server
//! ends with the failure.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::event::Event;
use super::handle::ServerHandle;
use super::huge_pages::SmallPages;
use super::stalls::{Finding, StallDetector, look_interval};
use crate::meter::{Counter, MeterSnapshot, ShardMeter};
use crate::profile::Supervision;
use crate::shard::error::ShardError;
use crate::shard::lives::Lives;
use crate::shard::start::ShardThread;
use crate::shard::{Intake, ShardControl, ShardPlan, spawn};

/// Between the end of a shard and its next life. A shard may have queued a wake for the ring of the
/// one that died: it is sent before another ring can have the same descriptor.
/// Each further restart within the window waits twice as long, up to [`RESTART_DOUBLINGS_MAX`]
/// times: the kernel frees the memory that the dead shard had locked after a while.
const RESTART_DELAY: Duration = Duration::from_millis(50);
/// So that the last delay is 800 ms.
const RESTART_DOUBLINGS_MAX: u32 = 4;
/// For this long memory that a new life touches gets small pages.
const STARTING: Duration = Duration::from_secs(1);

/// The result of the shards of a server, when all of them have ended.
pub(super) type Ended = Result<MeterSnapshot, ShardError>;

/// Supervises the shards of a server.
pub(super) struct Supervisor {
    shards: Vec<Supervised>,
    knobs: Supervision,
    handle: ServerHandle,
    lives: Arc<Lives>,
    events: Sender<Event>,
    ends: (Sender<usize>, Receiver<usize>),
    /// The times of the last restarts, oldest first.
    restarts: VecDeque<Instant>,
    meter: ShardMeter,
    totals: MeterSnapshot,
    failure: Option<ShardError>,
    /// While a new life may be starting, until then.
    small_pages: Option<(SmallPages, Instant)>,
}

struct Supervised {
    state: State,
    /// Dropped when there is no further life: it holds the listener between two lives.
    plan: Option<ShardPlan>,
    control: Arc<ShardControl>,
    stalls: StallDetector,
}

enum State {
    Running(ShardThread),
    /// It failed, and is started again at this time.
    Failed(Instant),
    Ended,
}

/// Reports that the thread of a shard ends, when dropped.
struct EndGuard(Sender<usize>, usize);

impl Drop for EndGuard {
    fn drop(&mut self) {
        // The receiver may be gone.
        let _ = self.0.send(self.1);
    }
}

impl Supervisor {
    /// Supervises no shard yet.
    pub(super) fn new(
        knobs: Supervision,
        (handle, events): (ServerHandle, Sender<Event>),
        lives: Arc<Lives>,
    ) -> Supervisor {
        Supervisor {
            shards: Vec::new(),
            knobs,
            handle,
            lives,
            events,
            ends: mpsc::channel(),
            restarts: VecDeque::new(),
            meter: ShardMeter::new(),
            totals: MeterSnapshot::default(),
            failure: None,
            small_pages: None,
        }
    }

    /// Starts the next shard; it reports to `ready`.
    ///
    /// # Errors
    /// Its thread cannot be made.
    pub(super) fn start(
        &mut self,
        plan: ShardPlan,
        ready: Sender<Result<(), ShardError>>,
    ) -> Result<(), ShardError> {
        let guard = EndGuard(self.ends.0.clone(), self.shards.len());
        let limit = Duration::from_millis(self.knobs.stall_after_ms);
        self.shards.push(Supervised {
            state: State::Running(spawn(plan.clone(), ready, guard)?),
            control: Arc::clone(&plan.control),
            plan: Some(plan),
            stalls: StallDetector::new(limit),
        });
        Ok(())
    }

    /// Supervises on a thread of its own.
    ///
    /// # Errors
    /// The system's, if the thread cannot be made.
    pub(super) fn spawn(self) -> io::Result<thread::JoinHandle<Ended>> {
        let supervise = move || self.run();
        let thread = thread::Builder::new().name("supervisor".into());
        thread.spawn(supervise)
    }

    /// Supervises until all shards have ended.
    ///
    /// # Errors
    /// The first failure of a shard that was not started again.
    pub(super) fn run(mut self) -> Ended {
        let interval = look_interval(Duration::from_millis(self.knobs.stall_after_ms));
        let mut looked = Instant::now();
        while !self
            .shards
            .iter()
            .all(|it| matches!(it.state, State::Ended))
        {
            let now = Instant::now();
            let next_look = (looked + interval).saturating_duration_since(now);
            let wait = self.until_restart(now).unwrap_or(next_look).min(next_look);
            match self.ends.1.recv_timeout(wait) {
                Ok(shard) => self.shard_ended(shard),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("it has a sender itself"),
            }
            let now = Instant::now();
            self.restart_due(now);
            self.small_pages.take_if(|(_, until)| *until <= now);
            if now >= looked + interval {
                self.look(now - looked);
                looked = now;
            }
        }
        self.totals.merge(&self.meter.snapshot());
        match self.failure {
            Some(error) => Err(error),
            None => Ok(self.totals),
        }
    }

    fn shard_ended(&mut self, shard: usize) {
        let supervised = &mut self.shards[shard];
        let State::Running(thread) = std::mem::replace(&mut supervised.state, State::Ended) else {
            return;
        };
        let panicked = ShardError::Panicked {
            shard: shard as u16,
        };
        match thread.join().unwrap_or(Err(panicked)) {
            Ok(snapshot) => {
                self.totals.merge(&snapshot);
                self.end(shard, None);
            }
            Err(error) => {
                self.lives.record_death(shard as u16);
                for other in &self.shards {
                    other.control.wake();
                }
                self.shard_failed(shard, error);
            }
        }
    }

    /// Starts a shard that failed again after a moment, unless the limit is reached.
    fn shard_failed(&mut self, shard: usize, error: ShardError) {
        let now = Instant::now();
        let supervised = &mut self.shards[shard];
        if supervised.control.drain.load(Ordering::Relaxed) || !supervised.can_restart() {
            return self.end(shard, Some(error));
        }
        let window = Duration::from_millis(self.knobs.restart_window_ms);
        let is_recent = |restart: &Instant| now.duration_since(*restart) < window;
        self.restarts.retain(is_recent);
        let restarts = self.restarts.len();
        if restarts >= self.knobs.restarts_max as usize {
            tracing::error!(
                shard,
                restarts,
                window_ms = self.knobs.restart_window_ms,
                "the server is unhealthy: {error}, and as many shards were started again as \
                 supervision.restarts_max allows; draining the others"
            );
            self.end(shard, Some(error));
            for other in &self.shards {
                other.control.begin_drain();
            }
            return;
        }
        tracing::error!(shard, "{error}; it is started again");
        self.restarts.push_back(now);
        let delay = RESTART_DELAY * (1 << (restarts as u32).min(RESTART_DOUBLINGS_MAX));
        supervised.state = State::Failed(now + delay);
    }

    /// A shard has no further life.
    fn end(&mut self, shard: usize, failure: Option<ShardError>) {
        let supervised = &mut self.shards[shard];
        supervised.state = State::Ended;
        supervised.plan = None;
        supervised.control.count_quiet();
        self.totals.merge(&supervised.control.totals());
        self.failure = self.failure.take().or(failure);
        // A draining shard waits until all are quiet.
        for other in &self.shards {
            other.control.wake();
        }
        // The receiver may be gone.
        let _ = self.events.send(Event::ShardEnded);
    }

    fn until_restart(&self, now: Instant) -> Option<Duration> {
        let times = self.shards.iter().filter_map(|it| match it.state {
            State::Failed(time) => Some(time.saturating_duration_since(now)),
            _ => None,
        });
        times.min()
    }

    fn restart_due(&mut self, now: Instant) {
        for shard in 0..self.shards.len() {
            let supervised = &mut self.shards[shard];
            if !matches!(supervised.state, State::Failed(time) if time <= now) {
                continue;
            }
            // A server that drains needs no new life: its connections are gone.
            let is_draining = supervised.control.drain.load(Ordering::Relaxed);
            let plan = supervised.plan.clone().filter(|_| !is_draining);
            let Some(mut plan) = plan else {
                self.end(shard, None);
                continue;
            };
            if let Some(latest) = self.handle.updates().latest() {
                plan.parts.plan = latest;
            }
            if let Some(live) = self.handle.updates().live() {
                plan.take_live(live);
            }
            let small_pages = self.small_pages.take();
            let small_pages = small_pages.map_or_else(SmallPages::begin, |(pages, _)| pages);
            self.small_pages = Some((small_pages, now + STARTING));
            let guard = EndGuard(self.ends.0.clone(), shard);
            // A failure is seen when its thread ends.
            match spawn(plan, mpsc::channel().0, guard) {
                Ok(thread) => {
                    self.meter.count(Counter::ShardsRestarted);
                    let restarts = &self.shards[shard].control.restarts;
                    restarts.fetch_add(1, Ordering::Relaxed);
                    self.shards[shard].state = State::Running(thread);
                }
                Err(error) => self.shard_failed(shard, error),
            }
        }
    }

    /// Looks for shards that stall.
    fn look(&mut self, elapsed: Duration) {
        for (shard, supervised) in self.shards.iter_mut().enumerate() {
            if !matches!(supervised.state, State::Running(_)) {
                continue;
            }
            let activity = &supervised.control.activity;
            match supervised.stalls.look(activity.sample(), elapsed) {
                Some(Finding::Stalled(time, poll)) => {
                    self.meter.count(Counter::ShardStalls);
                    supervised.control.stalls.fetch_add(1, Ordering::Relaxed);
                    supervised.control.is_stalled.store(true, Ordering::Relaxed);
                    let handler = poll.map(|poll| activity.name_of(poll));
                    let remedy = match handler {
                        Some(_) => "what computes or blocks belongs into Call::offload",
                        None => {
                            "no handler runs, so it may lack its core: see the load of the host"
                        }
                    };
                    tracing::warn!(
                        shard,
                        handler = handler.as_deref().unwrap_or("none"),
                        stalled_ms = time.as_millis() as u64,
                        "the shard stalls, and with it all of its clients: {remedy}"
                    );
                }
                Some(Finding::Over(time)) => {
                    supervised
                        .control
                        .is_stalled
                        .store(false, Ordering::Relaxed);
                    let stalled_ms = time.as_millis() as u64;
                    tracing::warn!(shard, stalled_ms, "the shard no longer stalls");
                }
                None => {}
            }
        }
    }
}

impl Supervised {
    /// A shard that serves one connection ends with it.
    fn can_restart(&self) -> bool {
        let intake = self.plan.as_ref().map(|plan| &plan.intake);
        matches!(intake, Some(Intake::Listeners(..)))
    }
}

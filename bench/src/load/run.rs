//! The control thread's side of a run: starts the workers, sets the window, merges their
//! results.

use super::error::LoadError;
use super::plan::{Fault, Plan, RunState, Window};
use super::worker::{Worker, WorkerResults};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Interval at which the control thread reads the state.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// Stack of a worker in bytes: it recurses nowhere.
const STACK_BYTES: usize = 512 << 10;
/// A server without any connection for this long counts as gone, in nanoseconds.
const GONE_NS: u64 = 1_000_000_000;

/// A run with its workers.
pub(crate) struct Run {
    /// The plan they follow.
    pub(crate) plan: Arc<Plan>,
    /// The state they share.
    pub(crate) state: Arc<RunState>,
    /// Set by Ctrl-C.
    interrupted: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<WorkerResults, String>>>,
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitOutcome {
    /// The condition was reached.
    Reached,
    /// Ctrl-C came first.
    Interrupted,
    /// The time allowed was over first.
    TimedOut,
    /// The server went away first.
    ServerGone,
}

impl Run {
    /// Starts the workers; they connect when [`Run::connect`] is called.
    ///
    /// # Errors
    /// [`LoadError::Machine`] if a thread cannot be started.
    pub(crate) fn start(plan: Plan, interrupted: &Arc<AtomicBool>) -> Result<Run, LoadError> {
        let state = Arc::new(RunState::new(plan.workers));
        let plan = Arc::new(plan);
        let threads = (0..plan.workers).map(|number| {
            let (plan, state) = (Arc::clone(&plan), Arc::clone(&state));
            thread::Builder::new()
                .name(format!("load-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || {
                    let outcome = Worker::run(plan, Arc::clone(&state), number);
                    // A worker that failed ends the run.
                    if outcome.is_err() {
                        state.stops.store(true, Ordering::Relaxed);
                    }
                    outcome
                })
                .map_err(|error| LoadError::Machine(format!("cannot start a thread: {error}")))
        });
        let threads = threads.collect::<Result<_, _>>()?;
        Ok(Run {
            plan,
            state,
            interrupted: Arc::clone(interrupted),
            threads,
        })
    }

    /// Opens `count` connections in all and waits until each is open or has failed.
    pub(crate) fn connect(&self, count: u32) -> WaitOutcome {
        self.state.wanted.store(count, Ordering::Relaxed);
        let settled = || {
            let state = &self.state;
            let made = state.sum(|live| &live.held) + state.sum(|live| &live.lost);
            made + state.sum(|live| &live.failed_connects) >= u64::from(count)
        };
        self.wait_until(None, settled)
    }

    /// Waits until `condition` holds, at most until `until_ns`.
    pub(crate) fn wait_until(
        &self,
        until_ns: Option<u64>,
        condition: impl Fn() -> bool,
    ) -> WaitOutcome {
        loop {
            if condition() {
                return WaitOutcome::Reached;
            }
            if self.interrupted.load(Ordering::Relaxed) {
                return WaitOutcome::Interrupted;
            }
            if self.state.stops.load(Ordering::Relaxed) {
                return WaitOutcome::ServerGone;
            }
            if until_ns.is_some_and(|until| self.state.now_ns() >= until) {
                return WaitOutcome::TimedOut;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Makes the requests of `window` and waits until all are counted; calls `look` at intervals.
    /// The server is gone when no connection was open for a second.
    pub(crate) fn make_requests(&self, window: Window, mut look: impl FnMut(u64)) -> WaitOutcome {
        self.state
            .window
            .set(window)
            .expect("a run makes the requests of one window");
        let mut stood_ns = self.state.now_ns();
        let mut waited = WaitOutcome::Reached;
        loop {
            let now = self.state.now_ns();
            look(now);
            let live = &self.state.live;
            if live.iter().all(|live| live.is_done.load(Ordering::Acquire)) {
                return waited;
            }
            if self.state.sum(|live| &live.held) > 0 {
                stood_ns = now;
            }
            if self.state.stops.load(Ordering::Relaxed) {
                return WaitOutcome::ServerGone;
            }
            if waited == WaitOutcome::Reached && self.interrupted.load(Ordering::Relaxed) {
                waited = WaitOutcome::Interrupted;
                self.state.ends.store(true, Ordering::Relaxed);
            } else if waited == WaitOutcome::Reached && now - stood_ns > GONE_NS {
                waited = WaitOutcome::ServerGone;
                self.state.ends.store(true, Ordering::Relaxed);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Why connections could not be opened, as an error of the whole run.
    pub(crate) fn fault(&self, url: &str) -> LoadError {
        match self.state.fault() {
            Some(Fault::Protocol(reason)) => LoadError::NotMcp {
                url: url.to_owned(),
                reason,
            },
            Some(Fault::Connect(reason)) => LoadError::Unreachable {
                address: match self.plan.address.as_socket() {
                    Some(address) => address.to_string(),
                    None => url.to_owned(),
                },
                reason,
            },
            None => LoadError::Machine("the workers ended before the run did".to_owned()),
        }
    }

    /// Ends the workers and merges their results.
    ///
    /// # Errors
    /// [`LoadError::Machine`] if a worker could not do its work.
    pub(crate) fn finish(self) -> Result<WorkerResults, LoadError> {
        self.state.stops.store(true, Ordering::Relaxed);
        let mut all = WorkerResults::default();
        for thread in self.threads {
            let found = thread
                .join()
                .map_err(|_| LoadError::Machine("a worker panicked".to_owned()))?
                .map_err(LoadError::Machine)?;
            all.tally.merge(&found.tally);
            for (at, times) in found.arrivals.into_iter().enumerate() {
                if all.arrivals.len() <= at {
                    all.arrivals.resize(at + 1, Vec::new());
                }
                all.arrivals[at].extend(times);
            }
            for (at, count) in found.duplicates.into_iter().enumerate() {
                if all.duplicates.len() <= at {
                    all.duplicates.resize(at + 1, 0);
                }
                all.duplicates[at] += count;
            }
        }
        Ok(all)
    }
}

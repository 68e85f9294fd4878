//! The control thread's side of a run: starts the workers, tells them when, gathers what they
//! found.

use super::error::LoadError;
use super::plan::{Board, Fault, Plan, Window};
use super::worker::{Found, Worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the control thread looks at the board.
const LOOK: Duration = Duration::from_millis(2);
/// Stack of a worker in bytes: it recurses nowhere.
const STACK_BYTES: usize = 512 << 10;
/// Without any connection for so long, the server is taken for gone, in nanoseconds.
const GONE_NS: u64 = 1_000_000_000;

/// Workers at work.
pub(crate) struct Run {
    /// What they do.
    pub(crate) plan: Arc<Plan>,
    /// Where they say how far they are.
    pub(crate) board: Arc<Board>,
    /// Set by Ctrl-C.
    interrupted: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Found, String>>>,
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// What was waited for came.
    Came,
    /// Ctrl-C came first.
    Interrupted,
    /// The time allowed was over first.
    TooLong,
    /// The server went away first.
    ServerGone,
}

impl Run {
    /// Starts the workers; they connect when they are told to.
    ///
    /// # Errors
    /// [`LoadError::Machine`] if a thread cannot be started.
    pub(crate) fn start(plan: Plan, interrupted: &Arc<AtomicBool>) -> Result<Run, LoadError> {
        let board = Arc::new(Board::new(plan.workers));
        let plan = Arc::new(plan);
        let threads = (0..plan.workers).map(|number| {
            let (plan, board) = (Arc::clone(&plan), Arc::clone(&board));
            thread::Builder::new()
                .name(format!("load-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || {
                    let outcome = Worker::run(plan, Arc::clone(&board), number);
                    // A worker that failed ends the run: nobody waits for it.
                    if outcome.is_err() {
                        board.stops.store(true, Ordering::Relaxed);
                    }
                    outcome
                })
                .map_err(|error| LoadError::Machine(format!("cannot start a thread: {error}")))
        });
        let threads = threads.collect::<Result<_, _>>()?;
        Ok(Run {
            plan,
            board,
            interrupted: Arc::clone(interrupted),
            threads,
        })
    }

    /// Connects `count` connections in all and waits until each stands or does not.
    pub(crate) fn connect(&self, count: u32) -> Waited {
        self.board.wanted.store(count, Ordering::Relaxed);
        let settled = || {
            let board = &self.board;
            let made = board.sum(|live| &live.held) + board.sum(|live| &live.lost);
            made + board.sum(|live| &live.unmade) >= u64::from(count)
        };
        self.wait_until(None, settled)
    }

    /// Waits until `condition` holds, at most until `until_ns`.
    pub(crate) fn wait_until(&self, until_ns: Option<u64>, condition: impl Fn() -> bool) -> Waited {
        loop {
            if condition() {
                return Waited::Came;
            }
            if self.interrupted.load(Ordering::Relaxed) {
                return Waited::Interrupted;
            }
            if self.board.stops.load(Ordering::Relaxed) {
                return Waited::ServerGone;
            }
            if until_ns.is_some_and(|until| self.board.now_ns() >= until) {
                return Waited::TooLong;
            }
            thread::sleep(LOOK);
        }
    }

    /// Has the requests of `window` made and waits until all are counted; calls `look` all along.
    /// The server is gone when no connection stood for a second.
    pub(crate) fn make_requests(&self, window: Window, mut look: impl FnMut(u64)) -> Waited {
        self.board
            .window
            .set(window)
            .expect("a run makes the requests of one window");
        let mut stood_ns = self.board.now_ns();
        let mut waited = Waited::Came;
        loop {
            let now = self.board.now_ns();
            look(now);
            let live = &self.board.live;
            if live.iter().all(|live| live.is_done.load(Ordering::Acquire)) {
                return waited;
            }
            if self.board.sum(|live| &live.held) > 0 {
                stood_ns = now;
            }
            if self.board.stops.load(Ordering::Relaxed) {
                return Waited::ServerGone;
            }
            if waited == Waited::Came && self.interrupted.load(Ordering::Relaxed) {
                waited = Waited::Interrupted;
                self.board.ends.store(true, Ordering::Relaxed);
            } else if waited == Waited::Came && now - stood_ns > GONE_NS {
                waited = Waited::ServerGone;
                self.board.ends.store(true, Ordering::Relaxed);
            }
            thread::sleep(LOOK);
        }
    }

    /// Why connections do not stand, as an error of the whole run.
    pub(crate) fn fault(&self, url: &str) -> LoadError {
        match self.board.fault() {
            Some(Fault::Protocol(reason)) => LoadError::NotMcp {
                url: url.to_owned(),
                reason,
            },
            Some(Fault::Connect(reason)) => LoadError::Unreachable {
                address: self.plan.address,
                reason,
            },
            None => LoadError::Machine("the workers ended before the run did".to_owned()),
        }
    }

    /// Ends the workers and puts together what they found.
    ///
    /// # Errors
    /// [`LoadError::Machine`] if a worker could not do its work.
    pub(crate) fn finish(self) -> Result<Found, LoadError> {
        self.board.stops.store(true, Ordering::Relaxed);
        let mut all = Found::default();
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

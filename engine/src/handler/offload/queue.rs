//! A bounded queue of jobs, fair to their holders. A job that has not started can be taken back out
//! of it.
//!
//! Jobs start in rounds, with at most one job of each holder in a round (Demers, Keshav and
//! Shenker, "Analysis and Simulation of a Fair Queueing Algorithm", 1989, with jobs of one size). A
//! holder with a single job waits for at most two jobs of each other holder, no matter how many
//! they have.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::guard::holder::HolderKey;
use crate::guard::shares::{Lack, Shares};

/// Work for a thread of the pool.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The id of a job of one queue, never used twice. Jobs start in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JobId {
    round: u64,
    number: u64,
}

/// Why a queue takes no more jobs of a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueueFull {
    /// The jobs of all holders fill it.
    #[error("all {max} places for offloaded work are taken (offload.queue_max)")]
    Queue { max: usize },
    /// The holder has its share of it.
    #[error(
        "the client has {held} pieces of offloaded work waiting, its share of the {max} of the \
         server (offload.queue_max)"
    )]
    Holder { held: usize, max: usize },
}

/// Jobs that wait for a thread.
pub(super) struct JobQueue {
    state: Mutex<State>,
    /// Results that may be held at once, of jobs that have ended and of those that run.
    results_max: usize,
    /// Signalled for each new job, for each result that is taken, and when the queue closes.
    changed: Condvar,
    /// Whether jobs wait, to be read without the lock.
    has_waiting: AtomicBool,
}

struct State {
    /// In the order in which they start.
    jobs: BTreeMap<JobId, (HolderKey, Job)>,
    /// Waiting jobs of each holder.
    shares: Shares,
    /// The round of the last job of each holder with waiting jobs.
    last_rounds: HashMap<HolderKey, u64, foldhash::fast::RandomState>,
    /// The round of new holders: the one after that of the job that started last.
    round: u64,
    pushed: u64,
    /// Jobs that start before all others. They take no place of another job.
    first: Vec<Job>,
    /// Results that are held, if they are limited.
    results: usize,
    is_closed: bool,
}

/// A result of a job that has started. Dropped when it was taken, or is not needed.
pub(super) struct HeldResult(Arc<JobQueue>);

impl Drop for HeldResult {
    fn drop(&mut self) {
        self.0.lock().results -= 1;
        self.0.changed.notify_one();
    }
}

impl JobQueue {
    /// An empty queue for at most `jobs_max` waiting jobs. They do not start while `results_max`
    /// results are held.
    pub(super) fn new(jobs_max: usize, results_max: usize) -> JobQueue {
        JobQueue {
            results_max,
            state: Mutex::new(State {
                jobs: BTreeMap::new(),
                shares: Shares::new(jobs_max),
                last_rounds: HashMap::default(),
                round: 0,
                pushed: 0,
                first: Vec::new(),
                results: 0,
                is_closed: false,
            }),
            changed: Condvar::new(),
            has_waiting: AtomicBool::new(false),
        }
    }

    /// Whether jobs wait for a thread. Another thread may change that at once.
    pub(super) fn has_waiting(&self) -> bool {
        self.has_waiting.load(Ordering::Relaxed)
    }

    /// Appends `job` to those of `holder`.
    ///
    /// # Errors
    /// The limit that it would exceed.
    pub(super) fn push(&self, holder: HolderKey, job: Job) -> Result<JobId, QueueFull> {
        let mut state = self.lock();
        let max = state.shares.max();
        // A refused job is dropped behind the lock: that may panic.
        state.shares.check(holder, 1).map_err(|lack| match lack {
            Lack::Free { .. } => QueueFull::Queue { max },
            Lack::Share { held } => QueueFull::Holder { held, max },
        })?;
        let id = state.insert(holder, job);
        self.note_waiting(&state);
        drop(state);
        self.changed.notify_one();
        Ok(id)
    }

    /// Puts `job` before all others, even if the queue is full.
    pub(super) fn push_first(&self, job: Job) {
        self.lock().first.push(job);
        self.changed.notify_one();
    }

    /// Takes the job `id` back, unless a thread has taken it.
    pub(super) fn withdraw(&self, id: JobId) -> Option<Job> {
        let mut state = self.lock();
        let (holder, job) = state.jobs.remove(&id)?;
        state.forget(holder);
        self.note_waiting(&state);
        Some(job)
    }

    /// Waits for the next job; nothing once the queue is closed.
    pub(super) fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        while !state.is_closed {
            if let Some(job) = state.start(self.results_max) {
                self.note_waiting(&state);
                return Some(job);
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Counts the result of a job that has started as held until this is dropped, if results are
    /// limited.
    pub(super) fn hold_result(self: &Arc<JobQueue>) -> Option<HeldResult> {
        if self.results_max == usize::MAX {
            return None;
        }
        self.lock().results += 1;
        Some(HeldResult(Arc::clone(self)))
    }

    /// Lets the threads end. Jobs that have not started never start.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    fn note_waiting(&self, state: &State) {
        let has_waiting = !state.jobs.is_empty();
        self.has_waiting.store(has_waiting, Ordering::Relaxed);
    }

    /// The state is consistent whenever the lock is free: code under it cannot panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts `job` into the next round without a job of `holder`.
    fn insert(&mut self, holder: HolderKey, job: Job) -> JobId {
        let last = self.last_rounds.get(&holder);
        let round = last.map_or(self.round, |last| self.round.max(last + 1));
        let id = JobId {
            round,
            number: self.pushed,
        };
        self.pushed += 1;
        self.jobs.insert(id, (holder, job));
        self.shares.take(holder, 1);
        self.last_rounds.insert(holder, round);
        id
    }

    /// Takes the job that starts next, if one may.
    fn start(&mut self, results_max: usize) -> Option<Job> {
        if let Some(first) = self.first.pop() {
            return Some(first);
        }
        if self.results >= results_max {
            return None;
        }
        let (id, (holder, job)) = self.jobs.pop_first()?;
        self.round = id.round + 1;
        self.forget(holder);
        Some(job)
    }

    /// Counts that a job of `holder` waits no more.
    fn forget(&mut self, holder: HolderKey) {
        self.shares.give_back(holder, 1);
        if self.shares.held_by(holder) == 0 {
            self.last_rounds.remove(&holder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};

    use super::{HeldResult, JobQueue, QueueFull};
    use crate::guard::holder::{HolderKey, Holders};

    const ANYONE: HolderKey = HolderKey::ANONYMOUS;

    #[test]
    fn jobs_leave_in_the_order_in_which_they_came_without_those_taken_back() {
        let queue = JobQueue::new(4, usize::MAX);
        let (done, order) = channel();
        let job = |number: u32| {
            let done = done.clone();
            Box::new(move || done.send(number).expect("the test listens"))
        };
        let ids: Vec<_> = (0..4)
            .map(|number| queue.push(ANYONE, job(number)).expect("there is room"))
            .collect();
        let full = Err(QueueFull::Queue { max: 4 });
        assert_eq!(queue.push(ANYONE, job(4)), full, "a fifth finds no room");
        assert!(queue.withdraw(ids[1]).is_some());
        assert!(queue.withdraw(ids[1]).is_none(), "it is gone");
        assert!(queue.push(ANYONE, job(5)).is_ok(), "its place is free");
        queue.push_first(job(6));
        assert_eq!(queue.push(ANYONE, job(7)), full, "it is full again");
        for _ in 0..5 {
            queue.next().expect("a job waits")();
        }
        assert!(queue.withdraw(ids[0]).is_none(), "a thread has it");
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [6, 0, 2, 3, 5]);
    }

    /// Takes up to `count` jobs out and gives the names that they send.
    fn started(
        queue: &JobQueue,
        order: &Receiver<&'static str>,
        count: usize,
    ) -> Vec<&'static str> {
        for _ in 0..count {
            queue.next().expect("a job waits")();
        }
        order.try_iter().collect()
    }

    #[test]
    fn a_client_with_one_job_does_not_wait_behind_the_many_of_another() {
        let queue = JobQueue::new(1000, usize::MAX);
        let holders = Holders::default();
        let [greedy, ann, bob] = ["greedy", "ann", "bob"];
        let (done, order) = channel();
        let push = |name: &'static str| {
            let done = done.clone();
            let job = Box::new(move || done.send(name).expect("the test listens"));
            queue.push(holders.of_principal(name), job)
        };
        for _ in 0..500 {
            assert!(push(greedy).is_ok());
        }
        assert_eq!(started(&queue, &order, 3), [greedy; 3]);
        assert!(push(ann).is_ok());
        assert_eq!(started(&queue, &order, 3), [greedy, ann, greedy]);
        for name in [ann, ann, bob] {
            assert!(push(name).is_ok());
        }
        let turns = [greedy, ann, bob, greedy, ann, greedy, greedy];
        assert_eq!(started(&queue, &order, 7), turns);
        // One that has a job whenever it is its turn gets every second turn, and no more.
        for _ in 0..5 {
            assert!(push(ann).is_ok());
            assert_eq!(started(&queue, &order, 2), [greedy, ann]);
        }
    }

    #[test]
    fn a_client_may_not_fill_the_queue_and_another_gets_a_place() {
        let queue = JobQueue::new(900, usize::MAX);
        let holders = Holders::default();
        let [greedy, other] = ["greedy", "other"].map(|name| holders.of_principal(name));
        let mut ids = Vec::new();
        let refused = loop {
            match queue.push(greedy, Box::new(|| ())) {
                Ok(id) => ids.push(id),
                Err(full) => break full,
            }
        };
        let full = QueueFull::Holder {
            held: 800,
            max: 900,
        };
        assert_eq!(refused, full);
        let id = queue.push(other, Box::new(|| ())).expect("a place is left");
        assert!(queue.has_waiting());
        for id in ids.into_iter().chain([id]) {
            assert!(queue.withdraw(id).is_some());
        }
        assert!(!queue.has_waiting());
        assert!(queue.lock().last_rounds.is_empty());
    }

    #[test]
    fn a_closed_queue_gives_no_more_jobs() {
        let queue = JobQueue::new(1, usize::MAX);
        let job = Box::new(|| panic!("it never starts"));
        assert!(queue.push(ANYONE, job).is_ok());
        queue.close();
        assert!(queue.next().is_none());
    }

    #[test]
    fn no_job_starts_while_results_wait_to_be_taken() {
        let queue = Arc::new(JobQueue::new(3, 2));
        let (done, order) = channel();
        for number in 0..3 {
            let done = done.clone();
            let job = Box::new(move || done.send(number).expect("the test listens"));
            queue.push(ANYONE, job).expect("there is room");
        }
        let mut held: Vec<HeldResult> = (0..2)
            .map(|_| {
                queue.next().expect("a job waits")();
                queue.hold_result().expect("results are limited")
            })
            .collect();
        assert!(queue.lock().start(queue.results_max).is_none());
        held.pop();
        queue.next().expect("a job waits")();
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }
}

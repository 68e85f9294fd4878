//! A bounded queue of jobs. A job that has not started can be taken back out of it.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Work for a thread of the pool.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The id of a job of one queue, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JobId(u64);

/// Jobs that wait for a thread, oldest first.
pub(super) struct JobQueue {
    state: Mutex<State>,
    /// Signalled for each new job, and when the queue closes.
    changed: Condvar,
    jobs_max: usize,
}

#[derive(Default)]
struct State {
    /// In the order in which they came, which is the order of their ids.
    jobs: BTreeMap<JobId, Job>,
    pushed: u64,
    /// Jobs that start before all others. They take no place of another job.
    first: Vec<Job>,
    is_closed: bool,
}

impl JobQueue {
    /// An empty queue for at most `jobs_max` waiting jobs.
    pub(super) fn new(jobs_max: usize) -> JobQueue {
        JobQueue {
            state: Mutex::default(),
            changed: Condvar::new(),
            jobs_max,
        }
    }

    /// Appends `job`.
    ///
    /// # Errors
    /// The job, when the queue is full.
    pub(super) fn push(&self, job: Job) -> Result<JobId, Job> {
        let mut state = self.lock();
        if state.jobs.len() >= self.jobs_max {
            return Err(job);
        }
        let id = JobId(state.pushed);
        state.pushed += 1;
        state.jobs.insert(id, job);
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
        self.lock().jobs.remove(&id)
    }

    /// Waits for the next job; nothing once the queue is closed.
    pub(super) fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        while !state.is_closed {
            let first = state.first.pop();
            let next = first.or_else(|| state.jobs.pop_first().map(|(_, job)| job));
            if next.is_some() {
                return next;
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Lets the threads end. Jobs that have not started never start.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// The state is consistent whenever the lock is free: code under it cannot panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::JobQueue;

    #[test]
    fn jobs_leave_in_the_order_in_which_they_came_without_those_taken_back() {
        let queue = JobQueue::new(4);
        let (done, order) = channel();
        let job = |number: u32| {
            let done = done.clone();
            Box::new(move || done.send(number).expect("the test listens"))
        };
        let ids: Vec<_> = (0..4)
            .map(|number| queue.push(job(number)).ok().expect("there is room"))
            .collect();
        assert!(queue.push(job(4)).is_err(), "a fifth finds no room");
        assert!(queue.withdraw(ids[1]).is_some());
        assert!(queue.withdraw(ids[1]).is_none(), "it is gone");
        assert!(queue.push(job(5)).is_ok(), "its place is free");
        queue.push_first(job(6));
        assert!(queue.push(job(7)).is_err(), "it is full again");
        for _ in 0..5 {
            queue.next().expect("a job waits")();
        }
        assert!(queue.withdraw(ids[0]).is_none(), "a thread has it");
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [6, 0, 2, 3, 5]);
    }

    #[test]
    fn a_closed_queue_gives_no_more_jobs() {
        let queue = JobQueue::new(1);
        assert!(queue.push(Box::new(|| panic!("it never starts"))).is_ok());
        queue.close();
        assert!(queue.next().is_none());
    }
}

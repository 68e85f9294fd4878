//! The pool for blocking and CPU-heavy work, and each shard's port to it.
//!
//! A shard hands over a closure and gets a future. The pool's thread leaves a ticket in the
//! shard's queue of finished work and wakes the shard's ring; the shard then wakes the future.
//! The bound on work in progress is the pool's queue: past it, `offload` fails at once.

use std::cell::RefCell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use crossbeam::queue::SegQueue;
use slab::Slab;

use super::error::CallError;
use super::event_queue::EventQueue;
use super::runner::panicked;

type Job = Box<dyn FnOnce() + Send>;

/// Threads for offloaded work. Dropping the last handle lets the threads end.
#[derive(Debug, Clone)]
pub(crate) struct OffloadPool {
    jobs: Sender<Job>,
}

impl OffloadPool {
    /// Starts `threads` threads with room for `queue_max` waiting jobs.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(threads: usize, queue_max: usize) -> std::io::Result<OffloadPool> {
        let (jobs, queue) = bounded::<Job>(queue_max);
        for number in 0..threads {
            let queue: Receiver<Job> = queue.clone();
            thread::Builder::new()
                .name(format!("offload-{number}"))
                .spawn(move || {
                    for job in queue {
                        job();
                    }
                })?;
        }
        Ok(OffloadPool { jobs })
    }
}

/// Wakes a shard from a thread that owns no ring.
pub(crate) type WakeShard = Arc<dyn Fn() + Send + Sync>;

/// A shard's way to the pool.
pub(crate) struct OffloadPort {
    pool: OffloadPool,
    wake: WakeShard,
    /// Tickets of finished jobs. Bounded by the jobs handed over, which the pool bounds.
    finished: Arc<SegQueue<usize>>,
    waiters: RefCell<Slab<Option<Waker>>>,
    event_queue: Rc<EventQueue>,
}

impl std::fmt::Debug for OffloadPort {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("OffloadPort")
            .finish_non_exhaustive()
    }
}

impl OffloadPort {
    pub(crate) fn new(
        pool: OffloadPool,
        wake: WakeShard,
        event_queue: Rc<EventQueue>,
    ) -> OffloadPort {
        OffloadPort {
            pool,
            wake,
            finished: Arc::default(),
            waiters: RefCell::default(),
            event_queue,
        }
    }

    /// Wakes the futures whose work is done. Called once per turn.
    pub(crate) fn collect_finished(&self) {
        while let Some(ticket) = self.finished.pop() {
            let waiter = self.waiters.borrow_mut().remove(ticket);
            if let Some(waker) = waiter {
                waker.wake();
                self.event_queue.note_task_woken();
            }
        }
    }

    /// Whether work is done whose future was not woken yet.
    pub(crate) fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    pub(crate) async fn run<T, W>(&self, work: W) -> Result<T, CallError>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let result = Arc::new(Mutex::new(None));
        let ticket = self.waiters.borrow_mut().insert(None);
        let job: Job = {
            let (result, finished, wake) = (
                Arc::clone(&result),
                Arc::clone(&self.finished),
                Arc::clone(&self.wake),
            );
            Box::new(move || {
                let ended = catch_unwind(AssertUnwindSafe(work));
                *result.lock().expect("nothing panics while holding it") = Some(ended);
                finished.push(ticket);
                wake();
            })
        };
        if let Err(error) = self.pool.jobs.try_send(job) {
            self.waiters.borrow_mut().remove(ticket);
            return Err(CallError::internal(match error {
                TrySendError::Full(_) => "overloaded: the offload queue is full; try again later",
                TrySendError::Disconnected(_) => "the server is shutting down",
            }));
        }
        poll_fn(|context| {
            if let Some(ended) = result
                .lock()
                .expect("nothing panics while holding it")
                .take()
            {
                return Poll::Ready(ended.map_err(|panic| panicked(&*panic)));
            }
            // The ticket is still ours: it is given up only after the result is there.
            if let Some(waiter) = self.waiters.borrow_mut().get_mut(ticket) {
                *waiter = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

//! The pool for blocking and CPU-heavy work, and each shard's port to it.
//!
//! A shard hands over a closure and gets a future. The pool's thread leaves a ticket in the
//! shard's queue of finished work and wakes the shard's ring; the shard then wakes the future.
//! Dropping the future takes back work that has not started.
//!
//! Each kind of work has threads and a queue of its own, so that none starves another: a tool that
//! blocks its threads delays no read of a file. The bound on waiting work is the queue: past it, or
//! past the share of a holder in it, `offload` fails at once. The holders take turns.

mod queue;

use std::cell::RefCell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread;

use crossbeam::queue::SegQueue;
use slab::Slab;

use super::error::{CallError, panicked};
use super::event_queue::EventQueue;
use super::wakers::WakeShard;
use crate::guard::holder::HolderKey;
use queue::{Job, JobQueue};
pub(crate) use queue::{JobId, QueueFull};

/// Kinds of work, each with its own share of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkKind {
    /// Work that the author of a handler offloads.
    Handler,
    /// Looking up and reading a file by name.
    FileRead,
    /// Decoding a large message.
    Decode,
    /// A step of a TLS handshake.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there are none"))]
    Handshake,
}

/// Threads for each kind of work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolThreads {
    /// For [`WorkKind::Handler`].
    pub(crate) handler: usize,
    /// For [`WorkKind::FileRead`].
    pub(crate) file_read: usize,
    /// For [`WorkKind::Decode`].
    pub(crate) decode: usize,
    /// For [`WorkKind::Handshake`].
    pub(crate) handshake: usize,
}

impl PoolThreads {
    /// Reads that a slow file system blocks at once before others wait: most take microseconds.
    const FILE_READ: usize = 4;

    /// The threads of a server of `shards` shards whose handlers have `handler` of them.
    ///
    /// One thread decodes for two shards: it needs no longer for a message than its client for
    /// sending it, and several times the memory of the message meanwhile.
    pub(crate) fn of_server(shards: usize, handler: usize) -> PoolThreads {
        PoolThreads {
            handler,
            file_read: PoolThreads::FILE_READ,
            decode: shards.div_ceil(2),
            handshake: 0,
        }
    }

    /// No threads: no job ever starts.
    #[cfg(test)]
    pub(crate) const NONE: PoolThreads = PoolThreads {
        handler: 0,
        file_read: 0,
        decode: 0,
        handshake: 0,
    };
}

/// Files that each thread may have read before a shard takes the first one: more would be memory
/// that nothing counts, as fast as threads read it.
const FILES_HELD_PER_THREAD: usize = 2;

/// Threads for offloaded work. Dropping the last handle lets the threads end.
#[derive(Clone)]
pub(crate) struct OffloadPool(Arc<Shares>);

impl std::fmt::Debug for OffloadPool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("OffloadPool")
            .finish_non_exhaustive()
    }
}

/// The queues of the pool. Threads hold the queues and not this, so that it is dropped with the
/// last handle.
struct Shares {
    handler: Arc<JobQueue>,
    file_read: Arc<JobQueue>,
    decode: Arc<JobQueue>,
    /// Bounded by the handshakes that each shard has under way.
    handshake: Arc<JobQueue>,
}

impl Drop for Shares {
    fn drop(&mut self) {
        self.handler.close();
        self.file_read.close();
        self.decode.close();
        self.handshake.close();
    }
}

impl OffloadPool {
    /// Starts the threads, with room for `queue_max` waiting jobs of each kind.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(threads: PoolThreads, queue_max: usize) -> std::io::Result<OffloadPool> {
        let files_held_max = FILES_HELD_PER_THREAD * threads.file_read;
        Ok(OffloadPool(Arc::new(Shares {
            handler: start_share("offload", threads.handler, queue_max, usize::MAX)?,
            file_read: start_share("file-read", threads.file_read, queue_max, files_held_max)?,
            decode: start_share("decode", threads.decode, queue_max, usize::MAX)?,
            handshake: start_share("handshake", threads.handshake, usize::MAX, usize::MAX)?,
        })))
    }

    fn queue(&self, kind: WorkKind) -> &Arc<JobQueue> {
        match kind {
            WorkKind::Handler => &self.0.handler,
            WorkKind::FileRead => &self.0.file_read,
            WorkKind::Decode => &self.0.decode,
            WorkKind::Handshake => &self.0.handshake,
        }
    }
}

/// Starts the threads of one kind of work, of which `results_max` results are held at most before
/// the next one starts.
fn start_share(
    name: &str,
    threads: usize,
    queue_max: usize,
    results_max: usize,
) -> std::io::Result<Arc<JobQueue>> {
    let queue = Arc::new(JobQueue::new(queue_max, results_max));
    for number in 0..threads {
        let queue = Arc::clone(&queue);
        thread::Builder::new()
            .name(format!("{name}-{number}"))
            .spawn(move || work_off(&queue))?;
    }
    Ok(queue)
}

/// Runs jobs until the queue closes.
fn work_off(queue: &JobQueue) {
    while let Some(job) = queue.next() {
        // A job catches the panics of its work. Dropping the values that the work owned, or an
        // unneeded result, may panic here: the thread must survive that.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(job)) {
            panicked("offloaded work", &*panic);
            // A payload may panic when it is dropped, too.
            std::mem::forget(panic);
        }
    }
}

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

    /// Wakes the futures of finished work. Called once per turn.
    pub(crate) fn collect_finished(&self) {
        while let Some(ticket) = self.finished.pop() {
            let waiter = self.waiters.borrow_mut().remove(ticket);
            if let Some(waker) = waiter {
                waker.wake();
                self.event_queue.note_task_woken();
            }
        }
    }

    /// Whether there is finished work whose future was not woken yet.
    pub(crate) fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    /// Whether work of handlers waits for a thread, of this shard or another: its order depends on
    /// the holders then.
    #[inline]
    pub(crate) fn has_waiting(&self) -> bool {
        self.pool.0.handler.has_waiting() || self.pool.0.file_read.has_waiting()
    }

    /// Hands over `work` of `holder` that no future waits for, and that wakes the shard itself when
    /// it has something for it.
    ///
    /// # Errors
    /// [`QueueFull`] when the queue of `kind` is full.
    pub(crate) fn submit(
        &self,
        (kind, holder): (WorkKind, HolderKey),
        work: impl FnOnce(&WakeShard) + Send + 'static,
    ) -> Result<JobId, QueueFull> {
        let wake = Arc::clone(&self.wake);
        let job: Job = Box::new(move || work(&wake));
        self.pool.queue(kind).push(holder, job)
    }

    /// Takes back submitted work, unless it has started; returns whether it was taken back.
    pub(crate) fn withdraw(&self, kind: WorkKind, id: JobId) -> bool {
        self.pool.queue(kind).withdraw(id).is_some()
    }

    /// Drops `value` on a thread that decodes, ahead of the work that waits there: freeing the
    /// parts of a large message takes a shard milliseconds.
    pub(crate) fn drop_elsewhere(&self, value: impl Send + 'static) {
        self.pool
            .queue(WorkKind::Decode)
            .push_first(Box::new(move || drop(value)));
    }

    /// Runs `work` of `holder` on the share of `kind`. Dropping the future takes back work that has
    /// not started; work that has runs on, and its result is dropped.
    ///
    /// The inner error is the panic that ended `work`.
    ///
    /// # Errors
    /// [`CallError`] when the queue of `kind` is full, or has the share of the holder.
    pub(super) async fn run<T, W>(
        &self,
        (kind, holder): (WorkKind, HolderKey),
        work: W,
    ) -> Result<thread::Result<T>, CallError>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let result = Arc::new(Mutex::new(None));
        let ticket = self.waiters.borrow_mut().insert(None);
        let (finished, wake) = (Arc::clone(&self.finished), Arc::clone(&self.wake));
        let taker = Arc::downgrade(&result);
        let queue = Arc::clone(self.pool.queue(kind));
        let job: Job = Box::new(move || {
            let held = queue.hold_result();
            // Dropped when the job is over, however it ends: dropping the result may panic.
            let _notice = Notice {
                finished,
                wake,
                ticket,
            };
            let ended = catch_unwind(AssertUnwindSafe(work));
            if let Some(result) = taker.upgrade() {
                *result.lock().unwrap_or_else(PoisonError::into_inner) = Some((ended, held));
            }
        });
        let mut submitted = match self.pool.queue(kind).push(holder, job) {
            Ok(id) => Submitted {
                port: self,
                kind,
                id,
                ticket,
                is_over: false,
            },
            Err(full) => {
                self.waiters.borrow_mut().remove(ticket);
                let text = format!("overloaded: {full}; try again later");
                return Err(CallError::internal(text));
            }
        };
        poll_fn(|context| {
            let ended = result.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some((ended, _held)) = ended {
                submitted.is_over = true;
                return Poll::Ready(Ok(ended));
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

/// Notifies the shard, when dropped, that a job is over.
struct Notice {
    finished: Arc<SegQueue<usize>>,
    wake: WakeShard,
    ticket: usize,
}

impl Drop for Notice {
    fn drop(&mut self) {
        self.finished.push(self.ticket);
        (self.wake)();
    }
}

/// Work that was handed over. Dropped before it is over, it takes the job back, unless that has
/// started.
struct Submitted<'a> {
    port: &'a OffloadPort,
    kind: WorkKind,
    id: JobId,
    ticket: usize,
    is_over: bool,
}

impl Drop for Submitted<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // The ticket of a job that has started comes back when it is over.
        if let Some(job) = self.port.pool.queue(self.kind).withdraw(self.id) {
            self.port.waiters.borrow_mut().remove(self.ticket);
            drop(job);
        }
    }
}

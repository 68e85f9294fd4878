//! The executor of a shard. Only this file and its submodules name glommio; all other code uses the
//! names here.
//!
//! glommio pins the thread, runs the tasks of handlers that wait, and keeps their timers. Bytes of
//! sockets and files never pass through it: its reactor waits for no operation when it is dropped,
//! so a read under way would go on into memory that is free.

use std::cell::Cell;
use std::fmt;
use std::fs;
use std::future::{Future, poll_fn};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::ring::ring_pages_bytes;
use glommio::io::PollableFd;
use glommio::{GlommioError, LocalExecutor, LocalExecutorBuilder, Placement};

/// How an executor is built.
#[derive(Debug, Clone, Copy)]
pub struct ExecutorSettings {
    /// The core its thread is pinned to; none leaves it to the kernel.
    pub core: Option<usize>,
    /// Entries of each of its own rings.
    pub ring_depth: usize,
    /// Memory it registers for file input and output, in bytes.
    pub io_memory_bytes: usize,
}

/// glommio 0.12 parks with tasks ready to run if its preempt timer fires after it was set and
/// before the first of them runs, as happens when the kernel takes the core away in between. No
/// kernel takes a core away for an hour; a shard decides by its own clock when to yield.
const PREEMPT_TIMER: Duration = Duration::from_secs(3600);

/// The cores of the machine. glommio reads the file to pin a thread, and panics without it.
const ONLINE_CORES: &str = "/sys/devices/system/cpu/online";

/// Bytes of a small page.
const PAGE_BYTES: usize = 4096;

/// The executor of the calling thread.
pub struct Executor(LocalExecutor);

/// Why an executor cannot be made or used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecutorError {
    /// The limit on locked memory is below the least with which glommio starts, or used up.
    #[error("no memory for an executor: raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=)")]
    Memory,
    /// The kernel has no io_uring, or this process may not use it: ENOSYS or EPERM.
    #[error("no io_uring (os error {0})")]
    Unavailable(i32),
    /// The file that names the cores cannot be read, so no thread can be pinned.
    #[error(
        "cannot pin a thread to its core: {ONLINE_CORES}: {0}; mount sysfs at /sys, or set \
         pin = \"no\" in [server]"
    )]
    Cores(String),
    /// Any other refusal of the kernel.
    #[error("{0}")]
    Refused(String),
}

impl From<GlommioError<()>> for ExecutorError {
    fn from(error: GlommioError<()>) -> ExecutorError {
        let text = error.to_string();
        // glommio wraps the kernel's error in texts of its own, and checks the limit itself.
        let has = |code: i32| text.contains(&format!("(os error {code})"));
        if has(libc::ENOMEM) || text.contains("MemLockLimit") {
            return ExecutorError::Memory;
        }
        let unavailable = [libc::EPERM, libc::ENOSYS]
            .into_iter()
            .find(|code| has(*code));
        unavailable.map_or(ExecutorError::Refused(text), ExecutorError::Unavailable)
    }
}

impl ExecutorSettings {
    /// Locked memory of an executor, in bytes: for each of glommio's three rings its pages and, as
    /// small pages, the registered memory. That starts anywhere, so it may touch a page more.
    pub fn locked_bytes(&self) -> usize {
        let registered = self.io_memory_bytes + PAGE_BYTES;
        3 * (ring_pages_bytes(self.ring_depth, 2 * self.ring_depth) + registered)
    }
}

impl Executor {
    /// Makes the executor and pins the calling thread if it is to be.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn new(settings: ExecutorSettings) -> Result<Executor, ExecutorError> {
        let placement = match settings.core {
            None => Placement::Unbound,
            Some(core) => {
                fs::metadata(ONLINE_CORES)
                    .map_err(|error| ExecutorError::Cores(error.to_string()))?;
                Placement::Fixed(core)
            }
        };
        LocalExecutorBuilder::new(placement)
            .ring_depth(settings.ring_depth)
            .io_memory(settings.io_memory_bytes)
            .preempt_timer(PREEMPT_TIMER)
            .make()
            .map(Executor)
            .map_err(ExecutorError::from)
    }

    /// An executor for a test, on one of this machine's cores in turn.
    #[cfg(any(test, feature = "test-support"))]
    pub fn of_test() -> Executor {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let cores = core_affinity::get_core_ids().expect("the system names its cores");
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        Executor::new(ExecutorSettings {
            core: Some(cores[turn % cores.len()].id),
            ring_depth: 128,
            io_memory_bytes: 64 << 10,
        })
        .expect("the smallest executor fits every limit")
    }

    /// Runs `future` and every task it spawns until `future` is done.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.run(future)
    }
}

/// A task; dropping it stops it at its next await.
///
/// glommio 0.12 has tasks of this kind too, and keeps the memory of those that are stopped: its
/// `JoinHandle::cancel` counts a reference that nothing gives back. So a task is never stopped as
/// glommio sees it: it finds out that its owner has gone, and ends.
pub struct Task(Rc<Owner>);

/// The owner of a task, as the task sees it.
#[derive(Default)]
struct Owner {
    has_gone: Cell<bool>,
    /// Wakes the task.
    waker: Cell<Option<Waker>>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.has_gone.set(true);
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Task")
    }
}

/// Runs `future` as a task of the calling thread's executor.
pub fn spawn(future: impl Future<Output = ()> + 'static) -> Task {
    let owner = Rc::new(Owner::default());
    let seen = Rc::clone(&owner);
    glommio::spawn_local(async move {
        let mut future = pin!(future);
        poll_fn(|context| {
            if seen.has_gone.get() || future.as_mut().poll(context).is_ready() {
                seen.waker.take();
                return Poll::Ready(());
            }
            let waker = seen.waker.take();
            let is_current = |waker: &Waker| waker.will_wake(context.waker());
            let waker = waker
                .filter(is_current)
                .unwrap_or_else(|| context.waker().clone());
            seen.waker.set(Some(waker));
            // The task itself may have dropped its owner.
            match seen.has_gone.get() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    })
    .detach();
    Task(owner)
}

/// Lets every other task that can run do so once.
pub async fn yield_now() {
    let yielded = Cell::new(false);
    poll_fn(|context| {
        if yielded.replace(true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Lets the executor look at its own rings and timers, and every other task run.
///
/// The executor does so only when no task can run, and one that yields can: so this one waits for
/// the shortest timer there is. A task that never waits holds it up for ever.
pub async fn yield_to_reactor() {
    glommio::timer::sleep(Duration::from_micros(1)).await;
}

/// Waits for `duration`; late by up to a millisecond while the shard is busy.
pub async fn sleep(duration: Duration) {
    glommio::timer::sleep(duration).await;
}

/// Lets a shard sleep in its executor until one of its descriptors is readable.
pub struct Parker {
    fd: PollableFd<RawDescriptor>,
    other: Option<PollableFd<RawDescriptor>>,
}

struct RawDescriptor(RawFd);

impl AsRawFd for RawDescriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl Parker {
    /// Parks on `fd` and maybe another one, which outlive the parker. Only within a running
    /// executor.
    ///
    /// # Errors
    /// The executor's refusal.
    pub fn new(fd: BorrowedFd<'_>, other: Option<BorrowedFd<'_>>) -> Result<Parker, ExecutorError> {
        let pollable = |fd: BorrowedFd<'_>| PollableFd::new(RawDescriptor(fd.as_raw_fd()));
        Ok(Parker {
            fd: pollable(fd)?,
            other: other.map(pollable).transpose()?,
        })
    }

    /// Sleeps until a descriptor is readable, `duration` is over or `poll_other` is ready;
    /// other tasks run meanwhile.
    pub async fn park_for(
        &self,
        duration: Duration,
        mut poll_other: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) {
        let mut readable = pin!(self.fd.readable());
        let mut other = pin!(self.other.as_ref().map(PollableFd::readable));
        let mut timer = pin!(sleep(duration));
        poll_fn(|context| {
            // Polling a valid descriptor does not fail; if it does, the shard looks again at once.
            if readable.as_mut().poll(context).is_ready() || poll_other(context).is_ready() {
                return Poll::Ready(());
            }
            let other = other.as_mut().as_pin_mut();
            if other.is_some_and(|it| it.poll(context).is_ready()) {
                return Poll::Ready(());
            }
            timer.as_mut().poll(context)
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Executor, Task, sleep, spawn, yield_now};
    use allocation_counter::measure;
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    const TASKS: i64 = 100;

    /// Starts tasks that wait, and stops them.
    async fn stop_tasks() {
        let tasks: Vec<Task> = (0..TASKS)
            .map(|_| spawn(sleep(Duration::from_secs(3600))))
            .collect();
        yield_now().await;
        drop(tasks);
        yield_now().await;
    }

    #[test]
    fn a_task_that_is_stopped_leaves_no_memory() {
        let executor = Executor::of_test();
        // The queue and the timers grow to the size that they need.
        executor.run(stop_tasks());
        let left = measure(|| executor.run(stop_tasks()));
        assert!(left.count_total > 0, "tasks are counted");
        // A queue may have grown again.
        assert!(left.count_current < TASKS / 10, "{left:?}");
    }

    #[test]
    fn a_task_may_drop_its_own_owner() {
        let place: Rc<Cell<Option<Task>>> = Rc::default();
        let has_ended = Rc::new(());
        let (owner, witness) = (Rc::clone(&place), Rc::downgrade(&has_ended));
        Executor::of_test().run(async move {
            place.set(Some(spawn(async move {
                let _has_ended = has_ended;
                // The first poll is part of `spawn`.
                yield_now().await;
                drop(owner.take().expect("it was put there"));
                std::future::pending::<()>().await;
            })));
            yield_now().await;
            yield_now().await;
            assert_eq!(witness.strong_count(), 0, "its future is dropped");
        });
    }
}

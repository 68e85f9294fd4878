//! Wakers of handlers that wait: any thread may wake them.
//!
//! A task of the executor must be woken on its own thread: the executor counts references to a
//! task without ordering them against threads that drop a waker, and looks for wake-ups of other
//! threads only when it has nothing to run. A handler is polled with a waker of this module
//! instead. On its shard's thread that wakes the task at once. On another thread it enters a queue
//! and wakes the shard's ring, and the shard wakes the task in its next turn.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crossbeam::queue::SegQueue;
use slab::Slab;

use super::outcome::{Outcome, Waiting};

/// Wakes a shard from a thread that owns no ring.
pub(crate) type WakeShard = Arc<dyn Fn() + Send + Sync>;

thread_local! {
    /// The wakers of the shard that runs on this thread.
    static OF_THREAD: RefCell<Weak<HandlerWakers>> = const { RefCell::new(Weak::new()) };
}

/// The tasks of one shard's handlers that wait, by their place.
#[derive(Debug)]
pub(crate) struct HandlerWakers {
    tasks: RefCell<Slab<Waker>>,
    has_woken_task: Cell<bool>,
    remote: Arc<RemoteWakes>,
}

/// Wake-ups from other threads.
struct RemoteWakes {
    /// Each waker is here at most once, so that the handlers that wait bound the queue.
    queue: SegQueue<Arc<HandlerWaker>>,
    /// The shard was woken and has not looked since.
    is_signalled: AtomicBool,
    wake_shard: WakeShard,
}

impl fmt::Debug for RemoteWakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RemoteWakes")
            .finish_non_exhaustive()
    }
}

impl HandlerWakers {
    /// No handlers. `wake_shard` wakes the shard from another thread.
    pub(crate) fn new(wake_shard: WakeShard) -> Rc<HandlerWakers> {
        Rc::new(HandlerWakers {
            tasks: RefCell::default(),
            has_woken_task: Cell::new(false),
            remote: Arc::new(RemoteWakes {
                queue: SegQueue::new(),
                is_signalled: AtomicBool::new(false),
                wake_shard,
            }),
        })
    }

    /// `handler`, polled with a waker that any thread may use.
    pub(crate) fn attach(self: &Rc<Self>, handler: Waiting) -> Attached {
        OF_THREAD.with_borrow_mut(|of_thread| {
            if !std::ptr::eq(of_thread.as_ptr(), Rc::as_ptr(self)) {
                *of_thread = Rc::downgrade(self);
            }
        });
        Attached {
            handler,
            wakers: Rc::clone(self),
            attached: None,
        }
    }

    /// Whether other threads woke a handler since the last [`HandlerWakers::wake_remote`].
    pub(crate) fn has_remote(&self) -> bool {
        self.remote.is_signalled.load(Ordering::Acquire)
    }

    /// Wakes the tasks that other threads woke. Called once per turn.
    pub(crate) fn wake_remote(&self) {
        // Cleared first: a wake-up that comes after the last look signals again.
        if !self.has_remote() || !self.remote.is_signalled.swap(false, Ordering::AcqRel) {
            return;
        }
        while let Some(waker) = self.remote.queue.pop() {
            waker.is_queued.swap(false, Ordering::AcqRel);
            self.wake_task(waker.place);
        }
    }

    /// Records that a task of the executor can run, so that the shard yields to it soon.
    pub(crate) fn note_task_woken(&self) {
        self.has_woken_task.set(true);
    }

    /// Whether a task could run since the last call.
    pub(crate) fn take_task_woken(&self) -> bool {
        self.has_woken_task.take()
    }

    /// Wakes the task at `place`. If that handler is over, at most another one is polled in vain.
    fn wake_task(&self, place: usize) {
        if let Some(task) = self.tasks.borrow().get(place) {
            task.wake_by_ref();
            self.note_task_woken();
        }
    }
}

/// The waker of one handler.
struct HandlerWaker {
    place: usize,
    /// It is in the queue of remote wake-ups.
    is_queued: AtomicBool,
    remote: Arc<RemoteWakes>,
}

impl Wake for HandlerWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // A thread that is about to end has no shard any more.
        let here = OF_THREAD.try_with(|of_thread| of_thread.borrow().upgrade());
        if let Ok(Some(wakers)) = here
            && Arc::ptr_eq(&wakers.remote, &self.remote)
        {
            return wakers.wake_task(self.place);
        }
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        self.remote.queue.push(Arc::clone(self));
        if !self.remote.is_signalled.swap(true, Ordering::AcqRel) {
            (self.remote.wake_shard)();
        }
    }
}

/// A handler whose waker works on any thread.
pub(crate) struct Attached {
    handler: Waiting,
    wakers: Rc<HandlerWakers>,
    attached: Option<(usize, Waker)>,
}

impl Future for Attached {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let this = &mut *self;
        let (place, waker) = this.attached.get_or_insert_with(|| {
            let place = this
                .wakers
                .tasks
                .borrow_mut()
                .insert(context.waker().clone());
            let waker = HandlerWaker {
                place,
                is_queued: AtomicBool::new(false),
                remote: Arc::clone(&this.wakers.remote),
            };
            (place, Waker::from(Arc::new(waker)))
        });
        // The borrow of the table ends before the handler runs, which may wake itself.
        if let Some(task) = this.wakers.tasks.borrow_mut().get_mut(*place) {
            task.clone_from(context.waker());
        }
        this.handler.as_mut().poll(&mut Context::from_waker(waker))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Some((place, _)) = self.attached {
            // Dropped after the table is free again.
            let _task = self.wakers.tasks.borrow_mut().remove(place);
        }
    }
}

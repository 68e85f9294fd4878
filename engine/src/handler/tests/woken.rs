//! Handlers that are woken: by their own shard, and by other threads.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use corelane_protocol::mcp::tools::ToolResult;

use crate::handler::outcome::Answer;
use crate::handler::wakers::{Attached, HandlerWakers};

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn value(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A shard with one handler that waits.
struct Waits {
    wakers: Rc<HandlerWakers>,
    /// How often another thread woke the shard.
    shard: Arc<Count>,
    /// How often the task of the handler was woken.
    task: Arc<Count>,
    handler: Attached,
    /// The waker that the handler was polled with.
    waker: Waker,
}

fn waits() -> Waits {
    let (shard, task) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let shard_waker = Waker::from(Arc::clone(&shard));
    let wakers = HandlerWakers::new(Arc::new(move || shard_waker.wake_by_ref()));
    let seen = Rc::new(RefCell::new(None));
    let keep = Rc::clone(&seen);
    let mut handler = wakers.attach(Box::pin(poll_fn(move |context| {
        match keep.replace(Some(context.waker().clone())) {
            None => Poll::Pending,
            Some(_) => Poll::Ready(Ok(Answer::Tool(ToolResult::default()))),
        }
    })));
    assert!(poll(&mut handler, &task).is_pending());
    let waker = seen.borrow().clone().expect("it was polled");
    Waits {
        wakers,
        shard,
        task,
        handler,
        waker,
    }
}

fn poll(handler: &mut Attached, task: &Arc<Count>) -> Poll<()> {
    let task = Waker::from(Arc::clone(task));
    let polled = std::pin::Pin::new(handler).poll(&mut Context::from_waker(&task));
    polled.map(|outcome| assert!(outcome.is_ok()))
}

/// Wakes from another thread, `times` times.
fn wake_elsewhere(waker: &Waker, times: usize) {
    let waker = waker.clone();
    let thread = thread::spawn(move || (0..times).for_each(|_| waker.wake_by_ref()));
    thread.join().expect("a waker does not panic");
}

#[test]
fn a_handler_that_its_own_shard_wakes_runs_at_once() {
    let waits = waits();
    waits.waker.wake_by_ref();
    assert_eq!(waits.task.value(), 1);
    assert!(waits.wakers.take_task_woken());
    assert!(!waits.wakers.has_remote());
    assert_eq!(waits.shard.value(), 0, "no system call for it");
}

#[test]
fn a_handler_that_another_thread_wakes_wakes_its_shard_first() {
    let mut waits = waits();
    wake_elsewhere(&waits.waker, 1);
    assert_eq!(waits.shard.value(), 1);
    assert!(waits.wakers.has_remote());
    assert_eq!(waits.task.value(), 0, "its task belongs to the shard");
    waits.wakers.wake_remote();
    assert_eq!(waits.task.value(), 1);
    assert!(waits.wakers.take_task_woken());
    assert!(!waits.wakers.has_remote());
    assert!(poll(&mut waits.handler, &waits.task).is_ready());
}

#[test]
fn wake_ups_between_two_turns_are_one() {
    let waits = waits();
    wake_elsewhere(&waits.waker, 1000);
    assert_eq!(waits.shard.value(), 1);
    waits.wakers.wake_remote();
    assert_eq!(waits.task.value(), 1);
    wake_elsewhere(&waits.waker, 1);
    assert_eq!(waits.shard.value(), 2, "after a turn they count again");
    waits.wakers.wake_remote();
    assert_eq!(waits.task.value(), 2);
}

#[test]
fn a_waker_outlives_its_handler() {
    let Waits {
        wakers,
        handler,
        waker,
        task,
        ..
    } = waits();
    wake_elsewhere(&waker, 1);
    drop(handler);
    wakers.wake_remote();
    waker.wake_by_ref();
    assert_eq!(task.value(), 0);
    drop(wakers);
    wake_elsewhere(&waker, 1);
}

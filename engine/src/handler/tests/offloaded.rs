//! Work on the pool. Threads are waited for through channels; nothing waits for time.

use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll, Waker};

use super::{Shard, check_panicked};
use crate::handler::error::{CallError, Kind};
use crate::handler::offload::OffloadPool;

/// A shard with a pool of one thread, and what that thread wakes.
fn pooled(queue_max: usize) -> (Shard, Receiver<()>) {
    let pool = OffloadPool::start(1, queue_max).expect("a thread starts");
    let (wake, woken) = channel();
    // The last job may end after its test.
    let wake = Arc::new(move || wake.send(()).unwrap_or(()));
    (Shard::with(pool, wake), woken)
}

/// Polls once.
fn poll<T>(future: &mut std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs `work` on a pool and checks how it ends.
#[track_caller]
fn check(work: impl FnOnce() -> u32 + Send + 'static, ended: impl Fn(Result<u32, CallError>)) {
    let (shard, woken) = pooled(1);
    let call = shard.call(1);
    let (start, started) = channel::<()>();
    let mut future = pin!(call.offload(move || {
        started.recv().expect("the test starts the work");
        work()
    }));
    assert!(poll(&mut future).is_pending());
    shard.port.collect_finished();
    assert!(poll(&mut future).is_pending());
    assert!(!shard.port.has_finished());
    start.send(()).expect("the work waits for this");
    woken.recv().expect("the pool wakes the shard");
    assert!(shard.port.has_finished());
    shard.port.collect_finished();
    assert!(shard.event_queue.take_task_woken());
    assert!(!shard.port.has_finished());
    match poll(&mut future) {
        Poll::Ready(outcome) => ended(outcome),
        Poll::Pending => panic!("the work is done"),
    }
}

#[test]
fn offloaded_work_gives_its_result_back() {
    check(|| 7, |outcome| assert_eq!(outcome.expect("it succeeds"), 7));
}

#[test]
fn a_panic_on_the_pool_ends_the_call_and_not_the_thread() {
    check(
        || panic!("panics on purpose"),
        |outcome| check_panicked(&outcome.expect_err("it panicked")),
    );
    let (shard, woken) = pooled(2);
    let call = shard.call(1);
    let mut failing = pin!(call.offload(|| panic!("panics on purpose")));
    let mut other = pin!(call.offload(|| 8));
    let _: Poll<Result<(), _>> = poll(&mut failing);
    let _ = poll(&mut other);
    for _ in 0..2 {
        woken.recv().expect("the pool wakes the shard");
    }
    shard.port.collect_finished();
    assert!(matches!(poll(&mut failing), Poll::Ready(Err(_))));
    assert!(matches!(poll(&mut other), Poll::Ready(Ok(8))));
}

#[test]
fn work_beyond_the_queue_is_refused_at_once() {
    let (shard, woken) = pooled(1);
    let call = shard.call(1);
    let ((running, runs), (go_on, may_go_on)) = (channel(), channel::<()>());
    let mut first = pin!(call.offload(move || {
        running.send(()).expect("the test waits for this");
        may_go_on.recv().expect("the test goes on");
    }));
    assert!(poll(&mut first).is_pending());
    runs.recv().expect("the thread took the first");
    let mut queued = pin!(call.offload(|| 2));
    assert!(poll(&mut queued).is_pending());
    let mut refused = pin!(call.offload(|| 3));
    match poll(&mut refused) {
        Poll::Ready(Err(error)) => {
            assert!(matches!(error.kind(), Kind::Protocol { code: -32603, .. }));
            assert!(error.to_string().starts_with("overloaded"));
        }
        other => panic!("refused: {other:?}"),
    }
    go_on.send(()).expect("the work waits for this");
    for _ in 0..2 {
        woken.recv().expect("the pool wakes the shard");
    }
    shard.port.collect_finished();
    assert!(matches!(poll(&mut queued), Poll::Ready(Ok(2))));
    let mut again = pin!(call.offload(|| 4));
    assert!(!matches!(poll(&mut again), Poll::Ready(Err(_))));
}

#[test]
fn work_without_a_pool_is_refused() {
    // A pool without threads has nobody left who could take a job.
    let call = Shard::new().call(1);
    let mut refused = pin!(call.offload(|| ()));
    assert!(matches!(poll(&mut refused), Poll::Ready(Err(_))));
}

#[test]
fn a_result_nobody_waits_for_is_dropped_and_its_place_used_again() {
    let (shard, woken) = pooled(1);
    let call = shard.call(1);
    let result = Arc::new(());
    for _ in 0..3 {
        let (start, started) = channel::<()>();
        let held = Arc::clone(&result);
        {
            let mut future = pin!(call.offload(move || {
                started.recv().expect("the test starts the work");
                held
            }));
            assert!(poll(&mut future).is_pending());
        }
        start.send(()).expect("the work waits for this");
        woken.recv().expect("the pool wakes the shard");
        shard.port.collect_finished();
        assert!(!shard.port.has_finished());
    }
    let mut future = pin!(call.offload(|| 5));
    let _ = poll(&mut future);
    woken.recv().expect("the pool wakes the shard");
    // The thread has gone on to this job, so it holds nothing of the others.
    assert_eq!(Arc::strong_count(&result), 1);
    assert!(matches!(poll(&mut future), Poll::Ready(Ok(5))));
}

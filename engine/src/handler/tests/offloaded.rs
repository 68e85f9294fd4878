//! Work on the pool. Threads are waited for through channels; nothing waits for time.

use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Call, Shard, check_panicked};
use crate::guard::holder::Holders;
use crate::handler::error::{CallError, Kind};
use crate::handler::offload::{OffloadPool, PoolThreads};

/// A shard with a pool of one thread for each kind of work, and the wake-ups of the threads.
fn pooled(queue_max: usize) -> (Shard, Receiver<()>) {
    let threads = PoolThreads {
        handler: 1,
        file_read: 1,
        decode: 1,
        ..PoolThreads::NONE
    };
    let pool = OffloadPool::start(threads, queue_max).expect("the threads start");
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

/// Polls until `future` is ready, after each time that the pool wakes the shard.
#[track_caller]
fn finish<T>(
    (shard, woken): &(Shard, Receiver<()>),
    future: &mut std::pin::Pin<&mut impl Future<Output = T>>,
) -> T {
    loop {
        if let Poll::Ready(output) = poll(future) {
            return output;
        }
        let woke = woken.recv_timeout(Duration::from_secs(60));
        woke.expect("a thread lives and wakes the shard");
        shard.port.collect_finished();
    }
}

/// Work that runs until the test lets it go on.
struct Gate {
    runs: Receiver<()>,
    go_on: Sender<()>,
}

impl Gate {
    fn new() -> (Gate, impl FnOnce() + Send + 'static) {
        let ((running, runs), (go_on, may_go_on)) = (channel(), channel::<()>());
        let work = move || {
            running.send(()).expect("the test waits for this");
            may_go_on.recv().expect("the test goes on");
        };
        (Gate { runs, go_on }, work)
    }

    fn wait_until_it_runs(&self) {
        self.runs.recv().expect("a thread takes the work");
    }

    fn let_it_end(&self) {
        self.go_on.send(()).expect("the work waits for this");
    }
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
    let pooled = pooled(1);
    let call = pooled.0.call(1);
    let mut failing = pin!(call.offload(|| -> u32 { panic!("panics on purpose") }));
    assert!(finish(&pooled, &mut failing).is_err());
    let mut other = pin!(call.offload(|| 8));
    assert_eq!(finish(&pooled, &mut other).ok(), Some(8));
}

#[test]
fn work_beyond_the_queue_is_refused_at_once() {
    let pooled = pooled(1);
    let call = pooled.0.call(1);
    let (gate, work) = Gate::new();
    let mut first = pin!(call.offload(work));
    assert!(poll(&mut first).is_pending());
    gate.wait_until_it_runs();
    let mut queued = pin!(call.offload(|| 2));
    assert!(poll(&mut queued).is_pending());
    let mut refused = pin!(call.offload(|| 3));
    match poll(&mut refused) {
        Poll::Ready(Err(error)) => {
            assert!(matches!(error.kind(), Kind::Protocol { code: -32603, .. }));
            let text = "overloaded: all 1 places for offloaded work are taken \
                (offload.queue_max); try again later (-32603)";
            assert_eq!(error.to_string(), text);
        }
        other => panic!("refused: {other:?}"),
    }
    gate.let_it_end();
    assert_eq!(finish(&pooled, &mut queued).ok(), Some(2));
    let mut again = pin!(call.offload(|| 4));
    assert_eq!(finish(&pooled, &mut again).ok(), Some(4));
}

#[test]
fn work_of_another_client_does_not_wait_behind_all_that_one_has_offloaded() {
    let pooled = pooled(100);
    let holders = Holders::default();
    let [greedy, other] = ["greedy", "other"].map(|name| {
        let call = pooled.0.call(1);
        call.set_holder(holders.of_principal(name));
        (name, call)
    });
    let (gate, work) = Gate::new();
    let mut running = pin!(greedy.1.offload(work));
    assert!(poll(&mut running).is_pending());
    gate.wait_until_it_runs();
    let (started, starts) = channel();
    let offload = |(name, call): (&'static str, &Call)| {
        let (call, started) = (call.clone(), started.clone());
        let mut future =
            Box::pin(async move { call.offload(move || started.send(name)).await.is_ok() });
        assert!(poll(&mut future.as_mut()).is_pending());
        future
    };
    let mut waiting: Vec<_> = (0..20).map(|_| offload((greedy.0, &greedy.1))).collect();
    waiting.push(offload((other.0, &other.1)));
    gate.let_it_end();
    for future in &mut waiting {
        assert!(finish(&pooled, &mut future.as_mut()));
    }
    let order: Vec<_> = starts.try_iter().collect();
    assert_eq!(order[..3], ["greedy", "other", "greedy"]);
}

#[test]
fn a_result_without_a_waiter_is_dropped_and_its_place_reused() {
    let (shard, woken) = pooled(1);
    let call = shard.call(1);
    let result = Arc::new(());
    for _ in 0..3 {
        let (gate, work) = Gate::new();
        let held = Arc::clone(&result);
        {
            let mut future = pin!(call.offload(move || {
                work();
                held
            }));
            assert!(poll(&mut future).is_pending());
            gate.wait_until_it_runs();
        }
        gate.let_it_end();
        woken.recv().expect("the pool wakes the shard");
        shard.port.collect_finished();
        assert!(!shard.port.has_finished());
    }
    let pooled = (shard, woken);
    let mut future = pin!(call.offload(|| 5));
    assert_eq!(finish(&pooled, &mut future).ok(), Some(5));
    // The thread has gone on to this job, so it holds nothing of the others.
    assert_eq!(Arc::strong_count(&result), 1);
}

#[test]
fn work_of_a_caller_that_left_never_starts_and_frees_its_place_at_once() {
    let pooled = pooled(1);
    let call = pooled.0.call(1);
    let (gate, work) = Gate::new();
    let mut first = pin!(call.offload(work));
    assert!(poll(&mut first).is_pending());
    gate.wait_until_it_runs();
    let (started, starts) = channel();
    {
        let started = started.clone();
        let mut left = pin!(call.offload(move || started.send("left")));
        assert!(poll(&mut left).is_pending());
    }
    let mut stays = pin!(call.offload(move || started.send("stays")));
    assert!(poll(&mut stays).is_pending(), "the place is free");
    gate.let_it_end();
    assert!(finish(&pooled, &mut stays).is_ok());
    assert_eq!(starts.try_iter().collect::<Vec<_>>(), ["stays"]);
}

/// A result that panics when it is dropped.
struct Explosive;

impl Drop for Explosive {
    fn drop(&mut self) {
        panic!("panics on purpose");
    }
}

#[test]
fn a_result_that_panics_when_it_is_dropped_ends_no_thread() {
    let pooled = pooled(1);
    let call = pooled.0.call(1);
    let (gate, work) = Gate::new();
    {
        let mut left = pin!(call.offload(move || {
            work();
            Explosive
        }));
        assert!(poll(&mut left).is_pending());
        gate.wait_until_it_runs();
    }
    gate.let_it_end();
    let mut next = pin!(call.offload(|| 9));
    assert_eq!(finish(&pooled, &mut next).ok(), Some(9));
}

#[test]
fn handlers_that_block_their_threads_delay_no_file_look_up() {
    let pooled = pooled(1);
    let call = pooled.0.call(1);
    let (gate, work) = Gate::new();
    let mut blocked = pin!(call.offload(work));
    assert!(poll(&mut blocked).is_pending());
    gate.wait_until_it_runs();
    let mut queued = pin!(call.offload(|| ()));
    assert!(poll(&mut queued).is_pending());
    let mut refused = pin!(call.offload(|| ()));
    assert!(matches!(poll(&mut refused), Poll::Ready(Err(_))));
    let mut look_up = pin!(call.offload_file_read(|| "found"));
    assert_eq!(finish(&pooled, &mut look_up).ok(), Some("found"));
    gate.let_it_end();
}

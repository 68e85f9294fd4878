//! The first poll and the later ones, and the messages of a call to its client.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Shard, check_panicked, check_text, with_arguments};
use crate::handler::call::{Call, StreamItem};
use crate::handler::error::CallError;
use crate::handler::outcome::{Answer, Waiting};
use crate::handler::output::IntoToolResult;
use crate::handler::runner::{self, Arguments, ArgumentsRunner, Started};

/// How often a handler has to be polled, and at which poll it panics.
#[derive(Deserialize)]
struct Plan {
    polls: u32,
    panics_at: Option<u32>,
}

/// Counts wakes.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

async fn follow(_: &Call, plan: Plan) -> Result<&'static str, CallError> {
    let poll = Cell::new(0);
    poll_fn(|context| {
        poll.set(poll.get() + 1);
        assert_ne!(Some(poll.get()), plan.panics_at, "panics on purpose");
        context.waker().wake_by_ref();
        match poll.get() < plan.polls {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    })
    .await;
    Ok("done")
}

/// The calling thread's runner of a tool's function.
fn runner_of<F, A, R>(function: F) -> Rc<ArgumentsRunner>
where
    F: AsyncFn(&Call, A) -> Result<R, CallError> + Send + Sync + 'static,
    A: DeserializeOwned + Send + 'static,
    R: IntoToolResult + 'static,
{
    let answer = |value: R| value.into_tool_result().map(Answer::Tool);
    (runner::of_arguments("tool t", function, answer).source)()
}

fn start(runner: &ArgumentsRunner, arguments: &str) -> Started {
    with_arguments(arguments, |it| {
        runner.start(&Shard::new().call(1), Arguments::Sent(it))
    })
}

#[track_caller]
fn waiting(started: Started) -> Waiting {
    match started {
        Started::Waiting(waiting) => waiting,
        Started::Ready(outcome) => panic!("it waits: {:?}", outcome.err()),
        Started::BadArguments(text) => panic!("it waits: {text}"),
    }
}

#[track_caller]
fn ready(started: Started) -> crate::handler::outcome::Outcome {
    match started {
        Started::Ready(outcome) => outcome,
        Started::Waiting(_) => panic!("it does not wait"),
        Started::BadArguments(text) => panic!("it is started: {text}"),
    }
}

#[test]
fn a_handler_that_does_not_wait_is_done_at_its_first_poll() {
    let runner = runner_of(follow);
    for _ in 0..3 {
        check_text(ready(start(&*runner, r#"{"polls":1}"#)), "done");
    }
}

#[test]
fn the_place_of_a_handler_that_does_not_wait_is_used_again() {
    thread_local! {
        static SEEN: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }
    let report_address = async |_: &Call, _: serde_json::Value| {
        // A local that lives across an await is part of the future, wherever that is.
        let local = [0_u8; 64];
        std::future::ready(()).await;
        SEEN.with_borrow_mut(|seen| seen.push(local.as_ptr().addr()));
        Ok(())
    };
    let runner = runner_of(report_address);
    for _ in 0..5 {
        ready(start(&*runner, "{}")).expect("it succeeds");
    }
    let addresses = SEEN.take();
    assert_eq!(addresses.len(), 5);
    assert!(addresses.iter().all(|address| *address == addresses[0]));
}

#[test]
fn a_handler_that_waits_is_polled_on_until_it_is_done() {
    let runner = runner_of(follow);
    for polls in [2, 3, 10] {
        let mut future = waiting(start(&*runner, &format!(r#"{{"polls":{polls}}}"#)));
        // Others start meanwhile: the waiting one has taken its place along.
        check_text(ready(start(&*runner, r#"{"polls":1}"#)), "done");
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        for _ in 2..polls {
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
        match future.as_mut().poll(&mut context) {
            Poll::Ready(outcome) => check_text(outcome, "done"),
            Poll::Pending => panic!("it was polled {polls} times"),
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), polls - 1);
    }
}

#[test]
fn a_panic_ends_the_call_at_whichever_poll_it_comes() {
    let runner = runner_of(follow);
    let outcome = ready(start(&*runner, r#"{"polls":9,"panics_at":1}"#));
    check_panicked(&outcome.expect_err("it panicked"));
    for panics_at in [2, 3] {
        let plan = format!(r#"{{"polls":9,"panics_at":{panics_at}}}"#);
        let mut future = waiting(start(&*runner, &plan));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 2..panics_at {
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
        match future.as_mut().poll(&mut context) {
            Poll::Ready(Err(error)) => check_panicked(&error),
            _ => panic!("it panicked"),
        }
    }
    check_text(ready(start(&*runner, r#"{"polls":1}"#)), "done");
}

#[test]
fn arguments_that_were_read_ahead_are_handled_as_those_that_were_sent() {
    let answer = |value: &'static str| value.into_tool_result().map(Answer::Tool);
    let handler = runner::of_arguments("tool t", follow, answer);
    let runner = (handler.source)();
    let call = Shard::new().call(1);
    let read = with_arguments(r#"{"polls":1}"#, handler.read);
    check_text(ready(runner.start(&call, Arguments::Read(read))), "done");
    let text = r#"{"polls":"1"}"#;
    let sent = with_arguments(text, |it| runner.start(&call, Arguments::Sent(it)));
    let read = runner.start(&call, Arguments::Read(with_arguments(text, handler.read)));
    match (sent, read) {
        (Started::BadArguments(sent), Started::BadArguments(read)) => assert_eq!(sent, read),
        _ => panic!("a text is no number"),
    }
}

/// Arguments that cannot be made.
struct Explosive;

impl<'de> Deserialize<'de> for Explosive {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Explosive, D::Error> {
        panic!("panics on purpose")
    }
}

#[test]
fn a_panic_in_reading_arguments_ends_the_call() {
    let runner = runner_of(async |_: &Call, _: Explosive| Ok(()));
    let outcome = ready(start(&*runner, "{}"));
    check_panicked(&outcome.expect_err("it panicked"));
}

#[test]
fn arguments_of_the_wrong_type_start_nothing() {
    let runner = runner_of(follow);
    for arguments in [
        "{}",
        r#"{"polls":-1}"#,
        r#"{"polls":"1"}"#,
        r#"{"polls":4294967296}"#,
    ] {
        match start(&*runner, arguments) {
            Started::BadArguments(text) => assert!(!text.is_empty()),
            Started::Ready(_) | Started::Waiting(_) => panic!("{arguments} is no plan"),
        }
    }
}

#[test]
fn notifications_wait_for_room_and_are_announced_once() {
    let shard = Shard::new();
    let call = shard.call(2);
    let mut context = Context::from_waker(Waker::noop());
    let mut report = |progress: f64| {
        let mut future = pin!(call.progress(progress).into_future());
        future.as_mut().poll(&mut context).is_ready()
    };
    assert!(report(1.0) && report(2.0));
    assert_eq!(shard.announcements(), 1);
    assert!(!report(3.0));
    assert!(call.take_event().is_some());
    assert!(report(4.0));
    assert_eq!(shard.announcements(), 0);
    while call.take_event().is_some() {}
    assert!(report(5.0));
    assert_eq!(shard.announcements(), 1);
}

#[test]
fn a_handler_that_waits_for_room_is_woken_by_room_and_by_the_end_of_its_call() {
    for is_cancelled in [false, true] {
        let shard = Shard::new();
        let call = shard.call(1);
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        let mut reports = pin!(async {
            call.progress(1.0).await;
            call.progress(2.0).await;
        });
        assert!(reports.as_mut().poll(&mut context).is_pending());
        assert!(!shard.event_queue.take_task_woken());
        match is_cancelled {
            true => call.cancel(),
            false => assert!(call.take_event().is_some()),
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(shard.event_queue.take_task_woken());
        assert!(reports.as_mut().poll(&mut context).is_ready());
        assert_eq!(call.has_events(), !is_cancelled);
    }
}

#[test]
fn every_future_of_a_call_that_waits_for_room_is_woken_by_it() {
    let shard = Shard::new();
    let call = shard.call(1);
    let mut report = pin!(call.progress(1.0).into_future());
    let mut context = Context::from_waker(Waker::noop());
    assert!(report.as_mut().poll(&mut context).is_ready());
    let wakes: [Arc<Wakes>; 3] = std::array::from_fn(|_| Arc::default());
    let mut waiting = Vec::new();
    for (wakes, progress) in wakes.iter().zip([2.0, 3.0, 4.0]) {
        let mut report = Box::pin(call.progress(progress).into_future());
        let waker = Waker::from(Arc::clone(wakes));
        let mut context = Context::from_waker(&waker);
        assert!(report.as_mut().poll(&mut context).is_pending());
        waiting.push(report);
    }
    // A dropped future waits no longer, and takes no place of another.
    drop(waiting.remove(1));
    assert!(call.take_event().is_some());
    let woken = wakes.each_ref().map(|it| it.0.load(Ordering::Relaxed));
    assert_eq!(woken, [1, 0, 1]);
    assert!(shard.event_queue.take_task_woken());
}

#[test]
fn offloaded_work_can_see_that_its_client_gave_up() {
    let call = Shard::new().call(1);
    let cancellation = call.cancellation();
    let elsewhere = cancellation.clone();
    assert!(
        !std::thread::spawn(move || elsewhere.is_cancelled())
            .join()
            .unwrap()
    );
    call.cancel();
    assert!(cancellation.is_cancelled());
}

/// Reports `steps` one after the other; returns the numbers that were sent.
fn sent_progress(steps: &[f64]) -> Vec<serde_json::Value> {
    let call = Shard::new().call(steps.len());
    let mut context = Context::from_waker(Waker::noop());
    for step in steps {
        let mut report = pin!(call.progress(*step).total(*step).into_future());
        assert!(report.as_mut().poll(&mut context).is_ready());
    }
    let events = std::iter::from_fn(|| take_message(&call));
    events
        .map(|event| {
            let event: serde_json::Value = serde_json::from_slice(&event).expect("JSON");
            let params = &event["params"];
            assert_eq!(params["total"], params["progress"]);
            params["progress"].clone()
        })
        .collect()
}

#[test]
fn only_increasing_progress_is_sent() {
    assert_eq!(sent_progress(&[1.0, 1.0, 2.0]), [1.0, 2.0]);
    assert_eq!(sent_progress(&[f64::NEG_INFINITY, -1.0]), [-1.0]);
    assert_eq!(sent_progress(&[1.0, f64::NAN, 0.5, 2.0]), [1.0, 2.0]);
    assert_eq!(sent_progress(&[1.0, f64::INFINITY, 2.0]), [1.0, 2.0]);
}

#[test]
fn a_total_that_json_cannot_say_is_left_out() {
    for (total, is_sent) in [(f64::NAN, false), (f64::INFINITY, false), (3.0, true)] {
        let call = Shard::new().call(1);
        let mut context = Context::from_waker(Waker::noop());
        let mut report = pin!(call.progress(1.0).total(total).into_future());
        assert!(report.as_mut().poll(&mut context).is_ready());
        let event = String::from_utf8(take_message(&call).expect("it is sent")).expect("text");
        assert_eq!(event.contains("total"), is_sent, "{event}");
    }
}

fn take_message(call: &Call) -> Option<Vec<u8>> {
    match call.take_event()? {
        StreamItem::Message(message) => Some(message),
        other => panic!("these handlers neither ask nor pause: {other:?}"),
    }
}

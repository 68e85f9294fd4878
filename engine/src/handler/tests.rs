//! Handlers without a server: started, polled and offloaded by the tests themselves.

mod offloaded;
mod started;
mod woken;

use std::rc::Rc;
use std::sync::Arc;

use corelane_protocol::jsonrpc::{Decoder, JsonLimits, OwnedId, Value};
use corelane_protocol::mcp::content::Content;

use super::call::{Call, RequestOptions};
use super::error::{CallError, Kind};
use super::event_queue::{CallEvent, CallKey, EventQueue};
use super::offload::{OffloadPool, OffloadPort, PoolThreads};
use super::outcome::{Answer, Outcome};
use super::wakers::WakeShard;

/// The key of every call of the tests.
const KEY: CallKey = CallKey {
    index: 7,
    generation: 8,
};

/// A shard as its handlers see it.
struct Shard {
    event_queue: Rc<EventQueue>,
    port: Rc<OffloadPort>,
}

impl Shard {
    /// A shard whose pool has no threads.
    fn new() -> Shard {
        let pool = OffloadPool::start(PoolThreads::NONE, 1).expect("no thread is started");
        Shard::with(pool, Arc::new(|| ()))
    }

    fn with(pool: OffloadPool, wake: WakeShard) -> Shard {
        let event_queue = Rc::new(EventQueue::new(Arc::clone(&wake)));
        let port = OffloadPort::new(pool, wake, Rc::clone(&event_queue));
        Shard {
            event_queue,
            port: Rc::new(port),
        }
    }

    /// A call of a client that wants progress and takes `events_max` notifications.
    fn call(&self, events_max: usize) -> Call {
        let (event_queue, port) = (Rc::clone(&self.event_queue), Rc::clone(&self.port));
        let call = Call::new(event_queue, port, Rc::default(), events_max);
        let options = RequestOptions {
            progress_token: Some(OwnedId::from(corelane_protocol::jsonrpc::Id::Integer(1))),
            ..RequestOptions::default()
        };
        call.begin(KEY, options);
        call
    }

    /// Announcements of notifications since the last look.
    fn announcements(&self) -> usize {
        let mut news = Vec::new();
        self.event_queue.collect(&mut news);
        news.iter()
            .filter(|item| matches!(item, CallEvent::Messages(KEY)))
            .count()
    }
}

/// Decodes `arguments` and hands them on.
fn with_arguments<T>(arguments: &str, handle: impl FnOnce(Value<'_>) -> T) -> T {
    let mut decoder = Decoder::new(JsonLimits::default());
    let decoded = decoder
        .decode(arguments.as_bytes())
        .expect("the tests hold JSON");
    handle(decoded.root())
}

/// Checks that a handler succeeded with `text`.
#[track_caller]
fn check_text(outcome: Outcome, text: &str) {
    let answer = outcome.unwrap_or_else(|error| panic!("it succeeds: {error}"));
    let Answer::Tool(result) = answer else {
        panic!("no answer of a tool: {answer:?}");
    };
    assert_eq!(result.content, [Content::text(text.to_owned())]);
}

/// Checks that a failure is the server's, and hides the text of the panic.
#[track_caller]
fn check_panicked(error: &CallError) {
    assert!(matches!(error.kind(), Kind::Panicked), "{error}");
    assert_eq!(error.to_string(), "the handler panicked");
}

//! The queue through which running calls reach the shard that owns them.
//!
//! A handler never touches the shard's state. It leaves its events in its own call and the call's
//! key here; the shard takes them once per turn.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use corelane_gateway::relay::InputRequired;
use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::era::Era;

use super::activity::Activity;
use super::outcome::Outcome;
use super::wakers::{HandlerWakers, WakeShard};

/// The key of a call that has not been answered. Calls that wait have distinct keys; a call that is
/// answered at once may leave its key to the next, which ignores events without a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallKey {
    /// Place in the shard's call table.
    pub(crate) index: u32,
    /// Which use of the place.
    pub(crate) generation: u32,
}

/// An event of a call.
#[derive(Debug)]
pub(crate) enum CallEvent {
    /// The call has messages for its client.
    Messages(CallKey),
    /// The call has a new status of its task.
    Status(CallKey),
    /// The call has requests to its modern client, and cannot continue in this round.
    InputNeeded(CallKey),
    /// The upstream that executes the call needs answers of its client, and has ended this round.
    Input(CallKey, Box<UpstreamInput>),
    /// The upstream has made the call a task.
    Task(CallKey, Box<MadeTask>),
    /// The time has come for the next request about a task of an upstream.
    Due(CallKey),
    /// The upstream that executes the call has requests to its client.
    Questions(CallKey),
    /// The client has answered a request of an upstream.
    Answered(CallKey),
    /// The call is over.
    Done(CallKey, Outcome),
}

/// The requests of an upstream that end a round of a call.
#[derive(Debug)]
pub(crate) struct UpstreamInput {
    /// The name of the upstream.
    pub(crate) upstream: Arc<str>,
    /// The hash of its address.
    pub(crate) address: u64,
    /// The requests and the state.
    pub(crate) required: InputRequired,
}

/// A task that an upstream has made of a call.
#[derive(Debug)]
pub(crate) struct MadeTask {
    /// The name of the upstream.
    pub(crate) upstream: Arc<str>,
    /// The hash of its address.
    pub(crate) address: u64,
    /// Its era.
    pub(crate) era: Era,
    /// Whether the task can be reached from this shard only.
    pub(crate) has_home: bool,
    /// The number of the session that has it; 0 if the upstream has none.
    pub(crate) session: u64,
    /// The capabilities of the client that were declared to the upstream.
    pub(crate) capabilities: ClientCapabilities,
    /// The task, which was read before.
    pub(crate) json: Vec<u8>,
    /// The `_meta` of the result that had it.
    pub(crate) meta: Option<Vec<u8>>,
}

/// The events of one shard's calls. Bounded by the calls in flight: a call queues at most one
/// `Events` and one `Status` between two looks, one `InputNeeded`, `Questions` and `Answered` for
/// each request, one `Input` for each round, and one `Task`, `Due` and `Done` at a time.
#[derive(Debug)]
pub(crate) struct EventQueue {
    news: RefCell<Vec<CallEvent>>,
    wakers: Rc<HandlerWakers>,
    /// Wakes the shard's loop while it is parked.
    parked: RefCell<Option<Waker>>,
    /// Where polls of handlers are published.
    activity: Arc<Activity>,
}

impl EventQueue {
    /// An empty queue of the shard that `wake_shard` wakes from another thread.
    pub(crate) fn new(wake_shard: WakeShard) -> EventQueue {
        EventQueue {
            news: RefCell::default(),
            wakers: HandlerWakers::new(wake_shard),
            parked: RefCell::default(),
            activity: Arc::default(),
        }
    }

    /// The same queue of a shard that publishes its work in `activity`.
    pub(crate) fn publishing_in(self, activity: Arc<Activity>) -> EventQueue {
        EventQueue { activity, ..self }
    }

    /// The work of the shard.
    pub(super) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// The handlers that wait.
    pub(crate) fn wakers(&self) -> &Rc<HandlerWakers> {
        &self.wakers
    }

    /// Queues `news` for the shard.
    pub(crate) fn leave(&self, news: CallEvent) {
        self.news.borrow_mut().push(news);
        if let Some(parked) = self.parked.take() {
            parked.wake();
        }
    }

    /// Ready when there are events; wakes the caller then.
    pub(crate) fn poll_events(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_empty() {
            return Poll::Ready(());
        }
        self.parked.replace(Some(context.waker().clone()));
        Poll::Pending
    }

    /// Moves all events into `into`.
    pub(crate) fn collect(&self, into: &mut Vec<CallEvent>) {
        into.append(&mut self.news.borrow_mut());
    }

    /// Whether there are no events.
    pub(crate) fn is_empty(&self) -> bool {
        self.news.borrow().is_empty()
    }

    /// Records that a task of the executor can run, so that the shard yields to it soon.
    pub(crate) fn note_task_woken(&self) {
        self.wakers.note_task_woken();
    }

    /// Whether a task could run since the last call.
    pub(crate) fn take_task_woken(&self) -> bool {
        self.wakers.take_task_woken()
    }
}

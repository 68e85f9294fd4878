//! One call of one tool, as its handler sees it.

mod caller;
mod elicit;
mod once;
pub(crate) mod questions;
pub(crate) mod relayed;
mod state;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use corelane_protocol::jsonrpc::OwnedId;
use corelane_protocol::mcp::capability::{ClientCapabilities, ClientCapability};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::logging::{self, LogLevel};
use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::mcp::tasks::TaskOptions;
use corelane_protocol::mcp::trace_context::TraceContext;
use serde::Serialize;

use super::activity::Activity;
use super::caller_info::CallerInfo;
use super::elicitation::Question;
use super::error::{CallError, panicked};
use super::event_queue::{CallEvent, CallKey, EventQueue};
use super::offload::{OffloadPort, WorkKind};
use super::outcome::Outcome;
use super::rounds::{Rounds, WaitingRecord};
use super::state::States;
use super::waiters::Waiters;
use crate::guard::holder::HolderKey;

/// Bytes of a status text that are kept: it is one line for people.
const STATUS_BYTES_MAX: usize = 1024;

/// A call being handled. Cheap to clone; a clone is the same call.
#[derive(Debug, Clone)]
pub struct Call(Rc<CallState>);

/// The options of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestOptions {
    /// Token of progress notifications; the client wants none when absent.
    pub(crate) progress_token: Option<OwnedId>,
    /// Least severe log level wanted; the client wants no log messages when absent.
    pub(crate) log_level: Option<LogLevel>,
    /// The capabilities of the client.
    pub(crate) capabilities: ClientCapabilities,
    /// The revision of the client; none if it gets no requests.
    pub(crate) revision: Option<Revision>,
    /// The state of earlier rounds, with the responses of a modern client in this request.
    pub(crate) rounds: Rounds,
    /// The options of the task that the call becomes; none if its client waits for the result.
    pub(crate) task: Option<TaskOptions>,
    /// The principal and headers of the request, if handlers may see any.
    pub(crate) caller_info: Option<Box<CallerInfo>>,
    /// The span of the request, if spans are exported.
    pub(crate) span: Option<TraceContext>,
}

impl RequestOptions {
    fn era(&self) -> Option<Era> {
        self.revision.map(Revision::era)
    }
}

#[derive(Debug)]
struct CallState {
    event_queue: Rc<EventQueue>,
    offload: Rc<OffloadPort>,
    states: Rc<States>,
    events_max: usize,
    /// The name of its handler in the log.
    handler: RefCell<Option<Rc<str>>>,
    key: Cell<CallKey>,
    options: RefCell<RequestOptions>,
    /// Its holder, as far as that is known.
    holder: Cell<HolderKey>,
    last_progress: Cell<f64>,
    /// Events that the shard has not taken yet.
    events: RefCell<VecDeque<StreamItem>>,
    events_announced: Cell<bool>,
    /// Futures of the handler that wait for capacity for their events.
    room: Waiters,
    questions: RefCell<Vec<Question>>,
    /// The keys of the requests in this run, the answered ones too.
    question_keys: RefCell<Vec<Box<str>>>,
    /// The status of the task, if the shard has not taken it yet.
    status: RefCell<Option<Box<str>>>,
    /// The call is a task: its client was answered.
    is_task: Cell<bool>,
    is_cancelled: Cell<bool>,
    has_timed_out: Cell<bool>,
    cancellation: RefCell<Option<Cancellation>>,
    waiting: WaitingRecord,
}

/// Something a call does before it answers.
#[derive(Debug)]
pub(crate) enum StreamItem {
    /// It sends its client an encoded message.
    Message(Vec<u8>),
    /// It sends its client an encoded request, whose answer it waits for.
    Question {
        /// The place of the question among those of the call.
        place: usize,
        /// The request.
        message: Vec<u8>,
    },
    /// It sends its client away for a while.
    Pause {
        /// The milliseconds after which the client may reconnect.
        retry_ms: u64,
    },
}

/// Whether the client cancelled a call; can be moved to another thread.
#[derive(Debug, Clone, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// Whether the client has given up.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Call {
    /// A call that is not running yet. `events_max` bounds the notifications that wait for the
    /// shard; a handler that is faster waits.
    pub(crate) fn new(
        event_queue: Rc<EventQueue>,
        offload: Rc<OffloadPort>,
        states: Rc<States>,
        events_max: usize,
    ) -> Call {
        Call(Rc::new(CallState {
            event_queue,
            offload,
            states,
            events_max,
            handler: RefCell::default(),
            key: Cell::new(CallKey {
                index: u32::MAX,
                generation: 0,
            }),
            options: RefCell::default(),
            holder: Cell::default(),
            last_progress: Cell::new(f64::NEG_INFINITY),
            events: RefCell::default(),
            events_announced: Cell::new(false),
            room: Waiters::default(),
            questions: RefCell::default(),
            question_keys: RefCell::default(),
            status: RefCell::default(),
            is_task: Cell::new(false),
            is_cancelled: Cell::new(false),
            has_timed_out: Cell::new(false),
            cancellation: RefCell::default(),
            waiting: WaitingRecord::default(),
        }))
    }

    /// Makes the call ready for one request.
    pub(crate) fn begin(&self, key: CallKey, options: RequestOptions) {
        let state = &self.0;
        state.key.set(key);
        let is_legacy = options.era() == Some(Era::Legacy);
        state.is_task.set(is_legacy && options.task.is_some());
        state.options.replace(options);
        state.last_progress.set(f64::NEG_INFINITY);
        state.events_announced.set(false);
        state.is_cancelled.set(false);
        state.has_timed_out.set(false);
        self.forget_waiting();
    }

    /// The key of the call.
    pub(crate) fn key(&self) -> CallKey {
        self.0.key.get()
    }

    /// The holder of the call, as far as it is known.
    pub(crate) fn holder(&self) -> HolderKey {
        self.0.holder.get()
    }

    /// Sets the holder of the call, and of work that it offloads from now on.
    pub(crate) fn set_holder(&self, holder: HolderKey) {
        self.0.holder.set(holder);
    }

    /// The work of the shard of the call.
    pub(super) fn activity(&self) -> &Activity {
        self.0.event_queue.activity()
    }

    /// Lets the shard of the call fail at its next turn, as a fault of the engine would.
    #[cfg(feature = "test-support")]
    pub fn fail_shard(&self) {
        self.activity().doom();
    }

    /// Sets the name of the call's handler in the log.
    pub(super) fn set_handler(&self, name: &Rc<str>) {
        self.0.handler.replace(Some(Rc::clone(name)));
    }

    /// The name of the call's handler in the log.
    pub(super) fn handler_name(&self) -> Rc<str> {
        let handler = self.0.handler.borrow();
        handler.clone().unwrap_or_else(|| "a handler".into())
    }

    /// Accesses the state of earlier rounds and of this one.
    pub(super) fn with_rounds<T>(&self, access: impl FnOnce(&mut Rounds) -> T) -> T {
        access(&mut self.0.options.borrow_mut().rounds)
    }

    /// Reads the options of the request.
    pub(super) fn with_options<T>(&self, read: impl FnOnce(&RequestOptions) -> T) -> T {
        read(&self.0.options.borrow())
    }

    /// The last reported progress.
    pub(super) fn last_progress(&self) -> f64 {
        self.0.last_progress.get()
    }

    pub(super) fn set_last_progress(&self, done: f64) {
        self.0.last_progress.set(done);
    }

    pub(super) fn waiting_record(&self) -> &WaitingRecord {
        &self.0.waiting
    }

    pub(super) fn states(&self) -> &States {
        &self.0.states
    }

    /// Drops everything of its request before it serves another, which may be much later.
    pub(crate) fn forget(&self) {
        let state = &self.0;
        state.options.take();
        state.events.take();
        state.questions.take();
        state.question_keys.take();
        state.status.take();
        state.cancellation.take();
    }

    /// Whether there is no other reference to the call, so that it can serve another request.
    pub(crate) fn is_unshared(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }

    /// Whether notifications wait.
    pub(crate) fn has_events(&self) -> bool {
        !self.0.events.borrow().is_empty()
    }

    /// Takes one waiting event; a waiting handler may then add one.
    pub(crate) fn take_event(&self) -> Option<StreamItem> {
        let event = self.0.events.borrow_mut().pop_front();
        if event.is_none() {
            self.0.events_announced.set(false);
        } else {
            self.wake_for_room();
        }
        event
    }

    /// Cancels the call because its time is over.
    pub(crate) fn time_out(&self) {
        self.0.has_timed_out.set(true);
        self.cancel();
    }

    /// Whether the time of the call is over.
    pub(crate) fn has_timed_out(&self) -> bool {
        self.0.has_timed_out.get()
    }

    /// Cancels the call: its answer is not needed any more.
    pub(crate) fn cancel(&self) {
        self.0.is_cancelled.set(true);
        if let Some(cancellation) = &*self.0.cancellation.borrow() {
            cancellation.0.store(true, Ordering::Relaxed);
        }
        self.0.events.borrow_mut().clear();
        self.wake_for_room();
    }

    /// Sends a log message to the client, if it wants messages of this level.
    ///
    /// Waits while the client is slower than the handler. Never log secrets.
    ///
    /// # Errors
    /// [`CallError`] when `data` cannot be written as JSON.
    pub async fn log(
        &self,
        level: LogLevel,
        logger: Option<&str>,
        data: &impl Serialize,
    ) -> Result<(), CallError> {
        if self
            .0
            .options
            .borrow()
            .log_level
            .is_none_or(|least| level < least)
        {
            return Ok(());
        }
        let data = serde_json::to_vec(data)?;
        let mut event = Vec::with_capacity(data.len() + 128);
        logging::write_notification(&mut event, level, logger, &data);
        self.queue(StreamItem::Message(event)).await;
        Ok(())
    }

    /// Ends the response stream of the call, while the call continues: the client reconnects after
    /// `retry` for later messages and for the answer. That frees a connection that a long call
    /// would hold.
    ///
    /// Does nothing for a client that cannot resume: one of another revision than 2025-11-25, one
    /// that takes no streams, or one that is disconnected already (MCP 2025-11-25 basic/transports,
    /// "Sending Messages to the Server"). Earlier messages are sent first.
    pub async fn close_stream(&self, retry: Duration) {
        if self.0.options.borrow().era() != Some(Era::Legacy) {
            return;
        }
        let retry_ms = u64::try_from(retry.as_millis()).unwrap_or(u64::MAX);
        self.queue(StreamItem::Pause { retry_ms }).await;
    }

    /// Whether the client declared this capability.
    pub fn client_can(&self, capability: ClientCapability) -> bool {
        self.0.options.borrow().capabilities.contains(capability)
    }

    /// Converts the answer to the revision of the client.
    pub(crate) fn downgrade(&self, outcome: &mut Outcome) {
        let revision = self.0.options.borrow().revision;
        if let (Some(revision), Ok(answer)) = (revision, outcome) {
            answer.downgrade_to(revision);
        }
    }

    /// Whether the client accepts no requests at all.
    pub(crate) fn client_can_nothing(&self) -> bool {
        let capabilities = self.0.options.borrow().capabilities;
        capabilities.accepts_no_requests()
    }

    /// Makes the call a task here, if its tool supports tasks and its client requested one: the
    /// client gets an answer, and later elicitations belong to the task. Earlier ones were answered
    /// in rounds. Does nothing for any other call.
    pub async fn start_task(&self) {
        let mut is_task = self.0.is_task.get() || self.0.options.borrow().task.is_none();
        // A handler that waits becomes a task, and is polled again at once.
        poll_fn(|_| match std::mem::replace(&mut is_task, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Sets the status of the task, one line for people: it is part of the task's state, and
    /// clients that subscribed to the task are notified. An empty text removes the status.
    ///
    /// Never waits: a newer status replaces one that was not sent yet. Of a text of more than 1024
    /// bytes the beginning is kept, and none when the memory for tasks is full. Does nothing for a
    /// call that becomes no task; see [`Call::progress`] for those.
    pub fn set_status(&self, text: &str) {
        let state = &self.0;
        if state.is_cancelled.get() || state.options.borrow().task.is_none() {
            return;
        }
        let text = &text[..text.floor_char_boundary(STATUS_BYTES_MAX)];
        if state.status.replace(Some(text.into())).is_none() {
            state.event_queue.leave(CallEvent::Status(state.key.get()));
        }
    }

    /// Takes the last status of the task.
    pub(crate) fn take_status(&self) -> Option<Box<str>> {
        self.0.status.take()
    }

    /// The client got the task. Modern tasks report no progress and log nothing.
    pub(crate) fn become_task(&self) {
        let mut options = self.0.options.borrow_mut();
        self.0.is_task.set(true);
        if options.era() == Some(Era::Modern) {
            options.progress_token = None;
            options.log_level = None;
            self.0.events.borrow_mut().clear();
        }
    }

    /// A flag that is raised when the client cancels this call.
    ///
    /// The handler's own future is dropped then, at an await. Offloaded work that has started runs
    /// on; the flag lets it stop early.
    pub fn cancellation(&self) -> Cancellation {
        let mut cancellation = self.0.cancellation.borrow_mut();
        cancellation.get_or_insert_default().clone()
    }

    /// Runs `work` on the pool for blocking and CPU-heavy work. Work that has not started when the
    /// client cancels never starts.
    ///
    /// # Errors
    /// [`CallError`] when the pool's queue is full, or the client has its share of it, or `work`
    /// panics.
    pub async fn offload<T, W>(&self, work: W) -> Result<T, CallError>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        self.run_elsewhere(WorkKind::Handler, work).await
    }

    /// Reads a file on the pool, which has threads for this alone.
    ///
    /// # Errors
    /// As those of [`Call::offload`].
    pub(crate) async fn offload_file_read<T, W>(&self, read: W) -> Result<T, CallError>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        self.run_elsewhere(WorkKind::FileRead, read).await
    }

    async fn run_elsewhere<T, W>(&self, kind: WorkKind, work: W) -> Result<T, CallError>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let of_holder = (kind, self.0.holder.get());
        let ended = self.0.offload.run(of_holder, work).await?;
        ended.map_err(|panic| panicked(&self.handler_name(), &*panic))
    }

    /// Reads the principal and headers that handlers may see; none if they may see none.
    pub(super) fn with_caller_info<T>(&self, read: impl Fn(&CallerInfo) -> Option<T>) -> Option<T> {
        read(self.0.options.borrow().caller_info.as_deref()?)
    }

    /// The span of the request, if spans are exported.
    pub(super) fn span(&self) -> Option<TraceContext> {
        self.0.options.borrow().span
    }

    pub(super) async fn queue(&self, event: StreamItem) {
        let state = &self.0;
        let mut event = Some(event);
        let queued = || {
            if state.is_cancelled.get() {
                return Some(());
            }
            let mut events = state.events.borrow_mut();
            if events.len() >= state.events_max {
                return None;
            }
            events.extend(event.take());
            if !state.events_announced.replace(true) {
                state
                    .event_queue
                    .leave(CallEvent::Messages(state.key.get()));
            }
            Some(())
        };
        state.room.wait_for(queued).await;
    }

    fn wake_for_room(&self) {
        if self.0.room.wake_all() {
            self.0.event_queue.note_task_woken();
        }
    }
}

//! One call of one tool, as its handler sees it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use corelane_protocol::jsonrpc::{Id, OwnedId, encode};
use corelane_protocol::mcp::capability::{ClientCapabilities, ClientCapability};
use corelane_protocol::mcp::client_request::ClientRequest;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::logging::{self, LogLevel};
use corelane_protocol::mcp::progress;
use corelane_protocol::mcp::revision::Revision;
use serde::Serialize;
use serde_json::Value;

use super::asking::{Answers, Question};
use super::error::CallError;
use super::mailbox::{CallKey, Mailbox, News};
use super::offload::OffloadPort;
use super::runner::Outcome;

/// The id of a request to a legacy client: it names the call and the question.
fn question_id(key: CallKey, place: usize) -> String {
    format!("{:x}-{:x}-{place:x}", key.index, key.generation)
}

/// Reads what [`question_id`] wrote.
pub(crate) fn parse_question_id(text: &str) -> Option<(CallKey, usize)> {
    let mut parts = text.split('-');
    let mut number = || u32::from_str_radix(parts.next()?, 16).ok();
    let (index, generation, place) = (number()?, number()?, number()?);
    let key = CallKey { index, generation };
    parts.next().is_none().then_some((key, place as usize))
}

/// A call being handled. Cheap to clone; a clone is the same call.
#[derive(Debug, Clone)]
pub struct Call(Rc<CallState>);

/// What a request says of how it wants to be served.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallWishes {
    /// Token of progress notifications; none are wanted when absent.
    pub(crate) progress_token: Option<OwnedId>,
    /// Least severe log level wanted; no log messages are wanted when absent.
    pub(crate) log_level: Option<LogLevel>,
    /// What the client can do.
    pub(crate) capabilities: ClientCapabilities,
    /// The revision that both sides speak; nothing when the client is never asked.
    pub(crate) revision: Option<Revision>,
    /// What a modern client has answered in earlier rounds and in this request.
    pub(crate) answers: Answers,
}

#[derive(Debug)]
struct CallState {
    mailbox: Rc<Mailbox>,
    offload: Rc<OffloadPort>,
    events_max: usize,
    key: Cell<CallKey>,
    wishes: RefCell<CallWishes>,
    last_progress: Cell<f64>,
    /// Encoded notifications the shard has not taken yet.
    events: RefCell<VecDeque<Vec<u8>>>,
    events_announced: Cell<bool>,
    room_waiter: RefCell<Option<Waker>>,
    questions: RefCell<Vec<Question>>,
    is_cancelled: Cell<bool>,
    cancellation: RefCell<Option<Cancellation>>,
}

/// Whether a call was given up by its client; can be moved to another thread.
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
    pub(crate) fn new(mailbox: Rc<Mailbox>, offload: Rc<OffloadPort>, events_max: usize) -> Call {
        Call(Rc::new(CallState {
            mailbox,
            offload,
            events_max,
            key: Cell::new(CallKey {
                index: u32::MAX,
                generation: 0,
            }),
            wishes: RefCell::default(),
            last_progress: Cell::new(f64::NEG_INFINITY),
            events: RefCell::default(),
            events_announced: Cell::new(false),
            room_waiter: RefCell::default(),
            questions: RefCell::default(),
            is_cancelled: Cell::new(false),
            cancellation: RefCell::default(),
        }))
    }

    /// Makes the call ready for one request.
    pub(crate) fn begin(&self, key: CallKey, wishes: CallWishes) {
        let state = &self.0;
        state.key.set(key);
        state.wishes.replace(wishes);
        state.last_progress.set(f64::NEG_INFINITY);
        state.events.borrow_mut().clear();
        state.events_announced.set(false);
        state.questions.borrow_mut().clear();
        state.is_cancelled.set(false);
        state.cancellation.take();
    }

    /// Forgets what the request wished; the call may wait long for the next one.
    pub(crate) fn forget(&self) {
        self.0.wishes.take();
        self.0.events.take();
        self.0.questions.take();
    }

    /// Whether nobody else holds the call, so that it can serve another request.
    pub(crate) fn is_unshared(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }

    /// Whether notifications wait.
    pub(crate) fn has_events(&self) -> bool {
        !self.0.events.borrow().is_empty()
    }

    /// Takes one waiting notification; makes room for a handler that waits.
    pub(crate) fn take_event(&self) -> Option<Vec<u8>> {
        let event = self.0.events.borrow_mut().pop_front();
        if event.is_none() {
            self.0.events_announced.set(false);
        } else {
            self.wake(&self.0.room_waiter);
        }
        event
    }

    /// Tells the handler that nobody waits for its answer any more.
    pub(crate) fn cancel(&self) {
        self.0.is_cancelled.set(true);
        if let Some(cancellation) = &*self.0.cancellation.borrow() {
            cancellation.0.store(true, Ordering::Relaxed);
        }
        self.0.events.borrow_mut().clear();
        self.wake(&self.0.room_waiter);
    }

    /// Reports progress: `progress` of `total`, both in a unit of the handler's choice.
    ///
    /// Nothing is sent when the client asked for no progress, or when `progress` is no number or
    /// not more than last time (MCP basic/utilities/progress: the value must increase). Waits
    /// while the client is slower than the handler.
    pub async fn progress(&self, progress: f64, total: Option<f64>, message: Option<&str>) {
        let state = &self.0;
        if !progress.is_finite() || progress <= state.last_progress.get() {
            return;
        }
        let total = total.filter(|total| total.is_finite());
        let mut event = Vec::new();
        {
            let wishes = state.wishes.borrow();
            let Some(token) = &wishes.progress_token else {
                return;
            };
            let has_words = wishes.revision.is_none_or(Revision::has_audio);
            let message = message.filter(|_| has_words);
            progress::write_notification(&mut event, token.as_id(), progress, total, message);
        }
        state.last_progress.set(progress);
        self.queue(event).await;
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
            .wishes
            .borrow()
            .log_level
            .is_none_or(|least| level < least)
        {
            return Ok(());
        }
        let data = serde_json::to_vec(data)?;
        let mut event = Vec::with_capacity(data.len() + 128);
        logging::write_notification(&mut event, level, logger, &data);
        self.queue(event).await;
        Ok(())
    }

    /// Whether the client said it can do this.
    pub fn client_can(&self, capability: ClientCapability) -> bool {
        self.0.wishes.borrow().capabilities.contains(capability)
    }

    /// The answer in the words of the revision that the client speaks.
    pub(crate) fn translate(&self, outcome: Outcome) -> Outcome {
        match self.0.wishes.borrow().revision {
            Some(revision) => outcome.map(|answer| answer.in_terms_of(revision)),
            None => outcome,
        }
    }

    /// Whether the client can be asked nothing at all.
    pub(crate) fn client_can_nothing(&self) -> bool {
        self.0.wishes.borrow().capabilities.is_empty()
    }

    /// A flag that is raised when the client gives up on this call.
    ///
    /// The handler's own future is dropped then, at the await where it waits. Work that was
    /// offloaded runs on; the flag lets it stop early.
    pub fn cancellation(&self) -> Cancellation {
        let mut cancellation = self.0.cancellation.borrow_mut();
        cancellation.get_or_insert_default().clone()
    }

    /// Runs `work` on the pool for blocking and CPU-heavy work.
    ///
    /// # Errors
    /// [`CallError`] when the pool's queue is full or `work` panics.
    pub async fn offload<T, W>(&self, work: W) -> Result<T, CallError>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        self.0.offload.run(work).await
    }

    /// What the client has answered to the question `key` before this run.
    pub(super) fn known_answer(&self, key: &str) -> Option<Value> {
        self.0.wishes.borrow().answers.get(key).cloned()
    }

    /// Asks the client; returns the place of the question.
    pub(super) async fn open_question(&self, key: &str, request: ClientRequest) -> usize {
        let state = &self.0;
        let place = state.questions.borrow().len();
        let era = state.wishes.borrow().revision.map(Revision::era);
        let mut event = Vec::new();
        if era == Some(Era::Legacy) {
            let id = question_id(state.key.get(), place);
            encode::begin_request(&mut event, Id::String(&id), request.method());
            request.write_params(&mut event, Era::Legacy);
            encode::end(&mut event);
        }
        state.questions.borrow_mut().push(Question {
            key: key.to_owned(),
            request,
            answer: None,
            waiter: None,
        });
        match era {
            Some(Era::Legacy) => self.queue(event).await,
            // The shard ends this run and asks everything that is open by then.
            _ => state.mailbox.leave(News::Asked(state.key.get())),
        }
        place
    }

    /// Takes the answer to a question, if it is there.
    pub(super) fn take_answer(&self, place: usize) -> Option<Result<Value, String>> {
        let mut questions = self.0.questions.borrow_mut();
        questions.get_mut(place)?.answer.take()
    }

    pub(super) fn wait_for_answer(&self, place: usize, waker: &Waker) {
        if let Some(question) = self.0.questions.borrow_mut().get_mut(place) {
            question.waiter = Some(waker.clone());
        }
    }

    /// Hands the handler the client's answer to the question at `place`.
    pub(crate) fn answer(&self, place: usize, answer: Result<Value, String>) {
        let waiter = match self.0.questions.borrow_mut().get_mut(place) {
            Some(question) if question.answer.is_none() => {
                question.answer = Some(answer);
                question.waiter.take()
            }
            _ => None,
        };
        if let Some(waker) = waiter {
            waker.wake();
            self.0.mailbox.note_task_woken();
        }
    }

    /// Whether the handler has asked something in this run.
    pub(crate) fn has_questions(&self) -> bool {
        !self.0.questions.borrow().is_empty()
    }

    /// Everything the handler asked in this run, and what was answered before it.
    pub(crate) fn take_questions(&self) -> (Vec<(String, ClientRequest)>, Answers) {
        let questions = self.0.questions.take().into_iter();
        let asked = questions.map(|question| (question.key, question.request));
        let answers = std::mem::take(&mut self.0.wishes.borrow_mut().answers);
        (asked.collect(), answers)
    }

    async fn queue(&self, event: Vec<u8>) {
        let mut event = Some(event);
        poll_fn(|context| {
            let state = &self.0;
            if state.is_cancelled.get() {
                return Poll::Ready(());
            }
            let mut events = state.events.borrow_mut();
            if events.len() >= state.events_max {
                state.room_waiter.replace(Some(context.waker().clone()));
                return Poll::Pending;
            }
            events.extend(event.take());
            if !state.events_announced.replace(true) {
                state.mailbox.leave(News::Events(state.key.get()));
            }
            Poll::Ready(())
        })
        .await;
    }

    fn wake(&self, waiter: &RefCell<Option<Waker>>) {
        // Taken first: whoever is woken may come back here.
        let waker = waiter.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
            self.0.mailbox.note_task_woken();
        }
    }
}

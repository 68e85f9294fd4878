//! One call of one tool, as its handler sees it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use corelane_protocol::jsonrpc::OwnedId;
use corelane_protocol::mcp::capability::{ClientCapabilities, ClientCapability};
use corelane_protocol::mcp::logging::{self, LogLevel};
use corelane_protocol::mcp::progress;
use serde::Serialize;

use super::error::ToolError;
use super::mailbox::{CallKey, Mailbox, News};
use super::offload::OffloadPort;

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
    cancelled: Cell<bool>,
    cancel_waiter: RefCell<Option<Waker>>,
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
            cancelled: Cell::new(false),
            cancel_waiter: RefCell::default(),
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
        state.cancelled.set(false);
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
        self.0.cancelled.set(true);
        self.0.events.borrow_mut().clear();
        self.wake(&self.0.cancel_waiter);
        self.wake(&self.0.room_waiter);
    }

    /// Reports progress: `progress` of `total`, both in a unit of the handler's choice.
    ///
    /// Nothing is sent when the client asked for no progress, or when `progress` is not more
    /// than last time (MCP basic/utilities/progress: the value must increase). Waits while the
    /// client is slower than the handler.
    pub async fn progress(&self, progress: f64, total: Option<f64>, message: Option<&str>) {
        let state = &self.0;
        if progress <= state.last_progress.get() {
            return;
        }
        let mut event = Vec::new();
        {
            let wishes = state.wishes.borrow();
            let Some(token) = &wishes.progress_token else {
                return;
            };
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
    /// [`ToolError`] when `data` cannot be written as JSON.
    pub async fn log(
        &self,
        level: LogLevel,
        logger: Option<&str>,
        data: &impl Serialize,
    ) -> Result<(), ToolError> {
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

    /// Whether the client has given up on this call.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.get()
    }

    /// Resolves when the client gives up on this call. The handler's future is dropped at its
    /// next await at the latest, so this is for work that must be undone.
    pub async fn cancelled(&self) {
        poll_fn(|context| {
            if self.is_cancelled() {
                return Poll::Ready(());
            }
            self.0.cancel_waiter.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Runs `work` on the pool for blocking and CPU-heavy work.
    ///
    /// # Errors
    /// [`ToolError`] when the pool's queue is full or `work` panics.
    pub async fn offload<T, W>(&self, work: W) -> Result<T, ToolError>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        self.0.offload.run(work).await
    }

    async fn queue(&self, event: Vec<u8>) {
        let mut event = Some(event);
        poll_fn(|context| {
            let state = &self.0;
            if self.is_cancelled() {
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
        if let Some(waker) = waiter.borrow_mut().take() {
            waker.wake();
            self.0.mailbox.note_task_woken();
        }
    }
}

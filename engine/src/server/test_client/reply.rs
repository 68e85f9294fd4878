//! Replies to the requests of a test client.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use serde_json::Value;

/// A reply that is on its way: `.await` it, or [`wait`](Reply::wait) without a runtime.
#[derive(Debug)]
#[must_use = "a reply is awaited or waited for"]
pub struct Reply(pub(super) Arc<Slot>);

/// The answer of a server.
#[derive(Debug, Clone, PartialEq)]
pub struct TestResult(pub Value);

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TestClientError {
    /// The server answered with an error.
    #[error("error {code}: {message}")]
    Refused {
        /// The JSON-RPC code.
        code: i64,
        /// The message.
        message: String,
        /// The data; null if there is none.
        data: Value,
    },
    /// The server still requires input of the client: the function that responds gave none, or too
    /// many rounds passed.
    #[error("the server requires input: {0}")]
    InputRequired(String),
    /// The server has ended, or sent something that is not JSON-RPC.
    #[error("the server ended before it answered: {0}")]
    Ended(String),
}

/// The place of one reply, shared by its sender and its receiver.
#[derive(Default)]
pub(super) struct Slot {
    state: Mutex<SlotState>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct SlotState {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

/// The outcome of a request.
pub(super) type Outcome = std::result::Result<TestResult, TestClientError>;

impl Reply {
    /// Waits for the reply on this thread.
    ///
    /// # Errors
    /// [`TestClientError`]: the error that the server answered with, its end, or input that it
    /// requires and did not get.
    pub fn wait(self) -> std::result::Result<TestResult, TestClientError> {
        let mut state = self.0.lock();
        loop {
            if let Some(outcome) = state.outcome.take() {
                return outcome;
            }
            state = self
                .0
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Future for Reply {
    type Output = std::result::Result<TestResult, TestClientError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        match state.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl TestResult {
    /// The text of all text blocks, one after the other.
    pub fn text(&self) -> String {
        let blocks = self.0["content"].as_array();
        let texts = blocks
            .into_iter()
            .flatten()
            .filter_map(|it| it["text"].as_str());
        texts.collect()
    }

    /// The structured content; null if there is none.
    pub fn structured(&self) -> &Value {
        &self.0["structuredContent"]
    }

    /// Whether the tool failed.
    pub fn is_error(&self) -> bool {
        self.0["isError"] == true
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an outcome waits for its receiver.
    pub(super) fn is_filled(&self) -> bool {
        self.lock().outcome.is_some()
    }

    /// Gives the outcome to the receiver.
    pub(super) fn fill(&self, outcome: Outcome) {
        let mut state = self.lock();
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        drop(state);
        self.filled.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Slot").finish_non_exhaustive()
    }
}

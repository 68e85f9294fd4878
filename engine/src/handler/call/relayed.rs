//! A call that an upstream executes: the messages that it sends to the client.
//!
//! Nothing here waits: an upstream is slowed down through its connection, when the call
//! [has no room](Call::has_room).

use corelane_protocol::jsonrpc::Id;
use corelane_protocol::mcp::logging::LogLevel;

use super::{Call, StreamItem};
use crate::handler::event_queue::CallEvent;

impl Call {
    /// Whether the client wants reports of progress.
    pub(crate) fn wants_progress(&self) -> bool {
        self.0.options.borrow().progress_token.is_some()
    }

    /// The least severe log messages that the client wants.
    pub(crate) fn relayed_log_level(&self) -> Option<LogLevel> {
        self.0.options.borrow().log_level
    }

    /// Sends a report of progress that `write` writes with the token of the client, unless it is
    /// not more than the last one.
    pub(crate) fn relay_progress(&self, progress: f64, write: impl FnOnce(Id<'_>) -> Vec<u8>) {
        if progress <= self.0.last_progress.get() {
            return;
        }
        let options = self.0.options.borrow();
        let Some(token) = &options.progress_token else {
            return;
        };
        let message = write(token.as_id());
        drop(options);
        self.0.last_progress.set(progress);
        self.relay_message(message);
    }

    /// Sends a message.
    pub(crate) fn relay_message(&self, message: Vec<u8>) {
        let state = &self.0;
        if state.is_cancelled.get() {
            return;
        }
        state
            .events
            .borrow_mut()
            .push_back(StreamItem::Message(message));
        if !state.events_announced.replace(true) {
            state
                .event_queue
                .leave(CallEvent::Messages(state.key.get()));
        }
    }

    /// Whether fewer messages wait than may.
    pub(crate) fn has_room(&self) -> bool {
        self.0.is_cancelled.get() || self.0.events.borrow().len() < self.0.events_max
    }
}

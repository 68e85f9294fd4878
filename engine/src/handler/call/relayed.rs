//! A call that an upstream executes: the messages and requests that it sends to the client.
//!
//! Nothing here waits: an upstream is slowed down through its connection, when the call
//! [has no room](Call::has_room).

use corelane_protocol::jsonrpc::Id;
use corelane_protocol::mcp::capability::ClientCapability;
use corelane_protocol::mcp::client_request::ClientRequest;
use corelane_protocol::mcp::input_required::INPUT_RESPONSES_MAX;
use corelane_protocol::mcp::logging::LogLevel;
use serde_json::Value;

use super::questions::question_id;
use super::{Call, StreamItem};
use crate::handler::elicitation::Question;
use crate::handler::event_queue::CallEvent;

/// Most rounds of requests of an upstream in one call.
pub(crate) const ROUNDS_MAX: u8 = 10;
/// Most requests of an upstream to the client of one call.
const QUESTIONS_MAX: usize = ROUNDS_MAX as usize * INPUT_RESPONSES_MAX;

/// The answer to a request of an upstream: the key of the request, the capability that it needs,
/// and the member `result` or `error` of the response, or why there is none.
pub(crate) type UpstreamAnswer = (String, ClientCapability, Result<String, String>);

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
        self.relay_item(StreamItem::Message(message));
    }

    /// Sends a request of an upstream to the client of a legacy session; returns its place. None if
    /// the call has had too many.
    pub(crate) fn relay_question(&self, key: &str, request: ClientRequest) -> Option<usize> {
        let place = self.0.questions.borrow().len();
        if place >= QUESTIONS_MAX {
            return None;
        }
        let mut message = Vec::new();
        request.write_request(&mut message, &question_id(self.0.key.get(), place));
        self.0.questions.borrow_mut().push(Question {
            key: key.to_owned(),
            request,
            answer: None,
            is_passed_on: false,
            waiter: None,
        });
        self.relay_item(StreamItem::Question { place, message });
        Some(place)
    }

    /// Whether a request of an upstream waits for its answer.
    pub(crate) fn awaits_answers(&self) -> bool {
        let questions = self.0.questions.borrow();
        let waits = |it: &Question| it.answer.is_none() && !it.is_passed_on;
        questions.iter().any(waits)
    }

    /// Takes the answers to requests of the upstream that have come since the last call.
    pub(crate) fn take_upstream_answers(&self) -> Vec<UpstreamAnswer> {
        let mut questions = self.0.questions.borrow_mut();
        let taken = questions.iter_mut().filter_map(|question| {
            let answer = question.answer.take()?;
            question.is_passed_on = true;
            let answer = answer.map(|member| match member {
                Value::String(member) => member,
                other => other.to_string(),
            });
            let needs = question.request.needs();
            Some((std::mem::take(&mut question.key), needs, answer))
        });
        taken.collect()
    }

    fn relay_item(&self, item: StreamItem) {
        let state = &self.0;
        if state.is_cancelled.get() {
            return;
        }
        state.events.borrow_mut().push_back(item);
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

//! The output of an endpoint after the immediate answers: parts of answers, and messages about
//! tasks for other shards.
//!
//! Services and operations add to it, the shard empties it at the end of its turn. Order is kept:
//! two parts for one exchange leave in the order they were added.

use std::collections::VecDeque;

use corelane_protocol::jsonrpc::{Id, encode};
use corelane_protocol::mcp::error_code;

use super::batches::{AnswersTooLong, Batches};
use super::delivery::{Delivery, Part};
use super::exchange::Exchange;
use super::task_watch::TaskWatchMessage;

/// Parts and messages that wait for the end of the turn.
pub(super) struct Outbox {
    deliveries: VecDeque<Delivery>,
    /// Messages to other shards and to this one, bounded by the subscriptions and by the requests
    /// of clients that left.
    task_watch: VecDeque<(u16, TaskWatchMessage)>,
    pub(super) batches: Batches,
}

impl Outbox {
    /// An empty outbox. A batch gets no more answers once they have `batch_bytes_max` bytes.
    pub(super) fn new(batch_bytes_max: usize) -> Outbox {
        Outbox {
            deliveries: VecDeque::new(),
            task_watch: VecDeque::new(),
            batches: Batches::new(batch_bytes_max),
        }
    }

    /// Adds a part of the answer to `exchange`.
    pub(super) fn push(&mut self, exchange: Exchange, part: Part) {
        self.deliveries.push_back(Delivery { exchange, part });
    }

    /// Adds a message that is not kept for resumption.
    pub(super) fn push_message(&mut self, exchange: Exchange, message: Vec<u8>) {
        self.push(exchange, Part::message(message));
    }

    /// Adds a notification of a change that is not kept for resumption.
    pub(super) fn push_change(&mut self, exchange: Exchange, message: Vec<u8>) {
        self.push(exchange, Part::Change { id: None, message });
    }

    /// Ends the stream that answers `exchange`.
    pub(super) fn end_stream(&mut self, exchange: Exchange) {
        self.push(exchange, Part::StreamEnd);
    }

    /// Adds the end of the call `id`: of the whole exchange, unless it is of a batch.
    pub(super) fn end_call(&mut self, exchange: Exchange, id: Id<'_>, mut part: Part) {
        if let Part::Final { body, .. } = &mut part
            && let Err(error) = self.batches.count(exchange, body.len())
        {
            // Truncated it would keep the memory of the answer.
            *body = Vec::new();
            write_too_long(Some(id), error, body);
        }
        let (response, end) = match (self.batches.settle(exchange), part) {
            (None, part) => (None, Some(part)),
            (Some(left), Part::Final { body, .. }) => {
                let end = (left == 0).then_some(Part::Accepted);
                (Some(Part::Response(body)), end)
            }
            (Some(left), _) => (None, (left == 0).then_some(Part::Unanswered)),
        };
        for part in response.into_iter().chain(end) {
            self.push(exchange, part);
        }
    }

    /// Adds a message about tasks to the shard `to`, which may be this one.
    pub(super) fn send_task_watch(&mut self, to: u16, message: TaskWatchMessage) {
        self.task_watch.push_back((to, message));
    }

    /// Takes the oldest part.
    pub(super) fn pop_delivery(&mut self) -> Option<Delivery> {
        self.deliveries.pop_front()
    }

    /// Takes the oldest message about tasks.
    pub(super) fn pop_task_watch(&mut self) -> Option<(u16, TaskWatchMessage)> {
        self.task_watch.pop_front()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && self.task_watch.is_empty()
    }
}

/// Writes the error in place of an answer that exceeds the limit of its batch.
#[cold]
pub(super) fn write_too_long(id: Option<Id<'_>>, error: AnswersTooLong, out: &mut Vec<u8>) {
    encode::write_error(out, id, error_code::INTERNAL_ERROR, &error.to_string());
}

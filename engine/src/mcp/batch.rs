//! Batches: arrays of messages, which sessions of 2025-03-26 take (MCP 2025-03-26 basic,
//! "Batching").
//!
//! A batch is taken whole or not at all: its messages are looked at before the first one is
//! handled. What all are answered at once is one array. Where a call has to wait, each response
//! is delivered as it comes, and the exchange ends with the last.
//!
//! The answers of a batch are held until its client takes them, on whatever shard that is; their
//! bytes are counted here, where they are made. As with the output of a connection, the answer that
//! reaches the limit is the last one that is taken, so that a batch of one message is answered like
//! the message alone. In place of each further one goes an error, which is short: a client has an
//! answer to every request.

use std::collections::HashMap;
use std::ops::Range;

use corelane_protocol::binding::http::{self, SessionMessage};
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::http1::RequestHead;
use corelane_protocol::jsonrpc::{Decoded, Id, encode};
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::method::Method;

use super::endpoint::{Core, Located};
use super::requester::Requester;
use super::session_id::SessionId;
use super::{Delivery, Disposition, Exchange, ForwardedKind, Part};

/// Batches with calls that wait, and the one that is handled. There are at most as many as calls,
/// and one.
#[derive(Debug)]
pub(super) struct Batches {
    /// Bytes of answers past which a batch gets none.
    bytes_max: usize,
    /// The hash needs not withstand an attack: peers choose no part of an exchange.
    open: HashMap<Exchange, Open, foldhash::fast::RandomState>,
}

/// A batch that is not answered whole.
#[derive(Debug, Default)]
struct Open {
    /// How many of its messages were not answered.
    left: usize,
    /// Bytes of the answers it got, without the errors in place of others.
    bytes: usize,
}

/// A batch was answered as much as it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answers of the batch exceed limit of {bytes_max} bytes")]
struct AnswersTooLong {
    bytes_max: usize,
}

impl Batches {
    /// No batches, each of which gets no more answers once they have `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> Batches {
        Batches {
            bytes_max,
            open: HashMap::default(),
        }
    }

    /// Whether every batch was answered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether `exchange` is of a batch that waits.
    pub(super) fn has(&self, exchange: Exchange) -> bool {
        self.open.contains_key(&exchange)
    }

    /// Notes that one more message of the batch of `exchange` has to be answered.
    fn expect(&mut self, exchange: Exchange) {
        self.open.entry(exchange).or_default().left += 1;
    }

    /// Notes that one of them was. Gives how many were not, or nothing if `exchange` has no batch.
    fn settle(&mut self, exchange: Exchange) -> Option<usize> {
        let open = self.open.get_mut(&exchange)?;
        open.left -= 1;
        let left = open.left;
        if left == 0 {
            self.open.remove(&exchange);
        }
        Some(left)
    }

    /// Counts an answer of `bytes`, if the batch of `exchange` takes it. What is of no batch is
    /// not counted.
    fn count(&mut self, exchange: Exchange, bytes: usize) -> Result<(), AnswersTooLong> {
        let bytes_max = self.bytes_max;
        let Some(open) = self.open.get_mut(&exchange) else {
            return Ok(());
        };
        if open.bytes >= bytes_max {
            return Err(AnswersTooLong { bytes_max });
        }
        open.bytes += bytes;
        Ok(())
    }
}

impl Core {
    /// The body of a POST that is a batch.
    pub(super) fn post_batch(
        &mut self,
        (head, requester): (&RequestHead<'_>, &Requester<'_>),
        (body, batch): (&[u8], &Decoded<'_>),
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let headers =
            http::batch_session(head).and_then(|headers| self.check_batch(batch).map(|()| headers));
        let headers = match headers {
            Ok(headers) => headers,
            Err(reason) => return self.refuse(None, reason, out),
        };
        match self.locate(headers) {
            Located::Here(session) => self.batch((session, requester), batch, exchange, out),
            Located::Unknown => self.refuse(None, Reason::SessionUnknown, out),
            Located::Elsewhere(session) => {
                let kind = ForwardedKind::Post(body.to_vec());
                self.forward((session, requester), headers.revision, exchange, None, kind)
            }
        }
    }

    /// A batch of `requester` in the session called `id`, checked by the shard it came in on.
    pub(super) fn batch(
        &mut self,
        (id, requester): (SessionId, &Requester<'_>),
        batch: &Decoded<'_>,
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        match self
            .sessions
            .touch_as(requester.principal(), id, self.now_ms)
        {
            None => return self.refuse(None, Reason::SessionUnknown, out),
            Some(session) if !session.revision.has_batches() => {
                return self.refuse(None, Reason::Batch, out);
            }
            Some(_) => {}
        }
        // The batch itself counts as a message while its messages are handled: one of them may
        // cancel the only call that waits.
        self.batches.expect(exchange);
        // Most batches have no call that waits: their answers are written as the array they are.
        let array = out.len();
        let mut responses: Vec<Range<usize>> = Vec::new();
        for message in batch.batch().flatten() {
            let message = SessionMessage::of(message);
            let (id_of, before) = (message.request_id(), out.len());
            out.push(if responses.is_empty() { b'[' } else { b',' });
            let start = out.len();
            let disposition = self.session((id, requester), None, message, exchange, out);
            if matches!(disposition, Disposition::Pending(_)) {
                self.batches.expect(exchange);
                out.truncate(before);
            } else if out.len() == start {
                out.truncate(before);
            } else {
                if let Err(error) = self.batches.count(exchange, out.len() - start) {
                    out.truncate(start);
                    self.write_too_long(id_of, error, out);
                }
                responses.push(start..out.len());
            }
        }
        match self.batches.settle(exchange) {
            Some(1..) => {
                for response in responses {
                    let part = Part::Response(out[response].to_vec());
                    self.queue_delivery(Delivery { exchange, part });
                }
                out.truncate(array);
                Disposition::Pending(None)
            }
            _ if responses.is_empty() => Disposition::Accepted,
            _ => {
                out.push(b']');
                Disposition::ok()
            }
        }
    }

    /// Writes the error in place of an answer that its batch has no room for.
    #[cold]
    fn write_too_long(&self, id: Option<Id<'_>>, error: AnswersTooLong, out: &mut Vec<u8>) {
        let text = self.arena.format(format_args!("{error}"));
        encode::write_error(out, id, error_code::INTERNAL_ERROR, text);
    }

    /// Whether every message of a batch can be handled in a session, whatever session it is.
    fn check_batch<'a>(&self, batch: &'a Decoded<'_>) -> Result<(), Reason<'a>> {
        let (messages, messages_max) = (batch.batch().len(), self.settings.batch_max);
        if messages == 0 {
            return Err(Reason::BatchEmpty);
        }
        if messages > messages_max {
            return Err(Reason::BatchTooLong {
                messages,
                messages_max,
            });
        }
        for message in batch.batch() {
            let message = message.map_err(|error| Reason::NotAMessage(error.fault))?;
            let message = SessionMessage::of(message);
            if let SessionMessage::Request {
                method: Some(Method::Initialize),
                ..
            } = message
            {
                return Err(Reason::BatchInitialize);
            }
            if message.claims_modern() {
                return Err(Reason::BatchModern);
            }
        }
        Ok(())
    }

    /// Delivers the end of the call `id`: of the whole exchange, unless it is of a batch.
    pub(super) fn deliver_end(&mut self, exchange: Exchange, id: Id<'_>, mut part: Part) {
        if let Part::Final { body, .. } = &mut part
            && let Err(error) = self.batches.count(exchange, body.len())
        {
            // Truncated it would keep the memory of the answer.
            *body = Vec::new();
            self.write_too_long(Some(id), error, body);
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
            self.queue_delivery(Delivery { exchange, part });
        }
    }
}

//! Batches: arrays of messages, which sessions of 2025-03-26 take (MCP 2025-03-26 basic,
//! "Batching").
//!
//! A batch is taken whole or not at all: its messages are looked at before the first one is
//! handled. What all are answered at once is one array. Where a call has to wait, each response
//! is delivered as it comes, and the exchange ends with the last.

use std::collections::HashMap;

use corelane_protocol::binding::http::{self, SessionMessage};
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::http1::RequestHead;
use corelane_protocol::jsonrpc::Decoded;
use corelane_protocol::mcp::method::Method;

use super::asker::Asker;
use super::endpoint::{Core, Located};
use super::session_id::SessionId;
use super::{Delivery, Disposition, Exchange, ForwardedKind, Part};

/// Batches with calls that wait. There are at most as many as calls.
#[derive(Debug, Default)]
pub(super) struct Batches {
    /// How many messages of each were not answered. The hash needs not withstand an attack:
    /// peers choose no part of an exchange.
    unanswered: HashMap<Exchange, usize, foldhash::fast::RandomState>,
}

impl Batches {
    /// Whether every batch was answered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Whether `exchange` is of a batch that waits.
    pub(super) fn has(&self, exchange: Exchange) -> bool {
        self.unanswered.contains_key(&exchange)
    }

    /// Notes that one more message of the batch of `exchange` has to be answered.
    fn expect(&mut self, exchange: Exchange) {
        *self.unanswered.entry(exchange).or_default() += 1;
    }

    /// Notes that one of them was. Gives how many were not, or nothing if `exchange` has no batch.
    fn settle(&mut self, exchange: Exchange) -> Option<usize> {
        let left = self.unanswered.get_mut(&exchange)?;
        *left -= 1;
        let left = *left;
        if left == 0 {
            self.unanswered.remove(&exchange);
        }
        Some(left)
    }
}

impl Core {
    /// The body of a POST that is a batch.
    pub(super) fn post_batch(
        &mut self,
        (head, asker): (&RequestHead<'_>, &Asker<'_>),
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
            Located::Here(session) => self.batch((session, asker), batch, exchange, out),
            Located::Unknown => self.refuse(None, Reason::SessionUnknown, out),
            Located::Elsewhere(session) => {
                let kind = ForwardedKind::Post(body.to_vec());
                self.forward((session, asker), headers.revision, exchange, None, kind)
            }
        }
    }

    /// A batch of `asker` in the session called `id`, checked by the shard it came in on.
    pub(super) fn batch(
        &mut self,
        (id, asker): (SessionId, &Asker<'_>),
        batch: &Decoded<'_>,
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        match self.sessions.touch_as(asker.principal(), id, self.now_ms) {
            None => return self.refuse(None, Reason::SessionUnknown, out),
            Some(session) if !session.revision.has_batches() => {
                return self.refuse(None, Reason::Batch, out);
            }
            Some(_) => {}
        }
        // The batch itself counts as a message while its messages are handled: one of them may
        // cancel the only call that waits.
        self.batches.expect(exchange);
        let mut responses = Vec::new();
        for message in batch.batch().flatten() {
            let mut response = Vec::new();
            let message = SessionMessage::of(message);
            match self.session((id, asker), None, message, exchange, &mut response) {
                Disposition::Pending(_) => self.batches.expect(exchange),
                _ if response.is_empty() => {}
                _ => responses.push(response),
            }
        }
        match self.batches.settle(exchange) {
            Some(1..) => {
                for response in responses {
                    self.queue_delivery(Delivery {
                        exchange,
                        part: Part::Response(response),
                    });
                }
                Disposition::Pending(None)
            }
            _ if responses.is_empty() => Disposition::Accepted,
            _ => {
                out.push(b'[');
                out.extend_from_slice(&responses.join(&b','));
                out.push(b']');
                Disposition::ok()
            }
        }
    }

    /// Whether every message of a batch can be handled in a session, whatever session it is.
    fn check_batch(&self, batch: &Decoded<'_>) -> Result<(), Reason<'static>> {
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
            if let SessionMessage::Request {
                method: Some(Method::Initialize),
                ..
            } = SessionMessage::of(message)
            {
                return Err(Reason::BatchInitialize);
            }
        }
        Ok(())
    }

    /// Delivers the end of a call: of the whole exchange, unless it is of a batch.
    pub(super) fn deliver_end(&mut self, exchange: Exchange, part: Part) {
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

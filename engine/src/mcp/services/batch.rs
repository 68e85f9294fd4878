//! Batches: arrays of messages, which sessions of 2025-03-26 take (MCP 2025-03-26 basic,
//! "Batching").
//!
//! A message that is malformed, or may not be in a batch, is answered with an error of its own, and
//! the others are handled (JSON-RPC 2.0 section 6). Immediate answers are one array. If a call must
//! wait, each response is delivered when it is ready, and the exchange ends with the last.

use std::ops::Range;

use corelane_protocol::binding::admission::SessionMessage;
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::{Document, Id, Message, ShapeError};
use corelane_protocol::mcp::method::Method;

use super::Services;
use crate::mcp::delivery::Part;
use crate::mcp::disposition::Disposition;
use crate::mcp::inbound::Inbound;
use crate::mcp::outbox::write_too_long;
use crate::mcp::session_id::SessionId;

impl Services {
    /// A batch in the session called `id`, checked by the shard it came in on.
    pub(in crate::mcp) fn batch(
        &mut self,
        id: SessionId,
        inbound: Inbound<'_>,
        batch: Document<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        // That of the batch is none of a message.
        let inbound = inbound.with_text(None);
        let exchange = inbound.exchange;
        let (principal, now_ms) = (inbound.principal(), self.context.now_ms());
        match self.sessions.touch_as(principal, id, now_ms) {
            None => return self.context.refuse(None, Reason::SessionUnknown, out),
            Some(session) if !session.revision.has_batches() => {
                return self.context.refuse(None, Reason::Batch, out);
            }
            Some(_) => {}
        }
        // The batch itself counts as a message while its messages are handled: one of them may
        // cancel the only call that waits.
        self.outbox.batches.expect(exchange);
        // Most batches have no call that waits: their answers are written as one array.
        let array = out.len();
        let mut responses: Vec<Range<usize>> = Vec::new();
        for message in batch.batch() {
            let before = out.len();
            out.push(if responses.is_empty() { b'[' } else { b',' });
            let start = out.len();
            let (id_of, disposition) = self.batch_member(id, inbound, message, out);
            if matches!(disposition, Disposition::Pending(_)) {
                self.outbox.batches.expect(exchange);
                out.truncate(before);
            } else if out.len() == start {
                out.truncate(before);
            } else {
                let counted = self.outbox.batches.count(exchange, out.len() - start);
                if let Err(error) = counted {
                    out.truncate(start);
                    write_too_long(id_of, error, out);
                }
                responses.push(start..out.len());
            }
        }
        match self.outbox.batches.settle(exchange) {
            Some(1..) => {
                for response in responses {
                    let part = Part::Response(out[response].to_vec());
                    self.outbox.push(exchange, part);
                }
                out.truncate(array);
                Disposition::PendingCalls(id)
            }
            _ if responses.is_empty() => Disposition::Accepted,
            _ => {
                out.push(b']');
                Disposition::ok()
            }
        }
    }

    /// One message of a batch in the session called `session`. Gives its id, if it is a request.
    fn batch_member<'a>(
        &mut self,
        session: SessionId,
        inbound: Inbound<'_>,
        message: Result<Message<'a>, ShapeError<'a>>,
        out: &mut Vec<u8>,
    ) -> (Option<Id<'a>>, Disposition) {
        let message = match message {
            Ok(message) => SessionMessage::of(message),
            Err(error) => {
                let refused = self.malformed_in_session(session, inbound, error, out);
                return (error.id, refused);
            }
        };
        let id = message.request_id();
        let reason = match message {
            SessionMessage::Request {
                method: Some(Method::Initialize),
                ..
            } => Some(Reason::BatchInitialize),
            message if message.claims_modern() => Some(Reason::BatchModern),
            message => message.check_meta().err(),
        };
        let disposition = match reason {
            None => self.session(session, inbound, None, message, out),
            Some(reason) if id.is_some() => self.context.refuse(id, reason, out),
            Some(_) => Disposition::Accepted,
        };
        (id, disposition)
    }

    /// Whether a batch has as many messages as it may have.
    pub(in crate::mcp) fn check_batch<'a>(&self, batch: Document<'a>) -> Result<(), Reason<'a>> {
        let messages_max = self.context.settings.batch_max;
        let messages = batch.batch().len();
        if messages == 0 {
            return Err(Reason::BatchEmpty);
        }
        if messages > messages_max {
            return Err(Reason::BatchTooLong {
                messages,
                messages_max,
            });
        }
        Ok(())
    }
}

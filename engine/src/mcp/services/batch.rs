//! Batches: arrays of messages, which sessions of 2025-03-26 take (MCP 2025-03-26 basic,
//! "Batching").
//!
//! A batch is taken as a whole or refused: its messages are checked before the first one is
//! handled. Immediate answers are one array. If a call must wait, each response is delivered when
//! it is ready, and the exchange ends with the last.

use std::ops::Range;

use corelane_protocol::binding::admission::SessionMessage;
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::Document;
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
        for message in batch.batch().flatten() {
            let message = SessionMessage::of(message);
            let (id_of, before) = (message.request_id(), out.len());
            out.push(if responses.is_empty() { b'[' } else { b',' });
            let start = out.len();
            let disposition = self.session(id, inbound, None, message, out);
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

    /// Whether every message of a batch can be handled in a session, for any session.
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
}

//! Requests with bodies that are too large to be decoded within a turn.
//!
//! The connection hands the body over and waits, as for an answer. When the decoded message comes
//! back, the request is handled as if it had just arrived.

use corelane_protocol::framing::http1::RequestHead;

use super::body::{LargeRequest, PostponedRequest, RequestBody};
use super::buffers::BodyElsewhere;
use super::context::Context;
use super::http::Connection;
use super::preconditions::principal_of;
use crate::mcp::{Decoded, Undecoded};

impl Connection {
    /// Hands over the body of a request, which is within `bytes`.
    pub(super) fn decode_elsewhere(
        &mut self,
        request: LargeRequest,
        bytes: Vec<u8>,
        context: &mut Context<'_>,
    ) {
        let LargeRequest { reply, head, body } = request;
        let held_bytes = bytes.capacity();
        let begun = context.endpoint.begin_decoding(Undecoded {
            exchange: context.exchange(self.sequence, reply.accept.event_stream),
            head,
            bytes,
            body,
        });
        match begun {
            Ok(job) => {
                context.pool.input_bytes += held_bytes;
                let waiting = self.wait(reply, context);
                // Its answer does not begin before the message is known, which decides the status.
                waiting.is_post = false;
                waiting.decoding = Some(Box::new(BodyElsewhere { job, held_bytes }));
            }
            Err(reason) => {
                let mut body = Vec::new();
                let refused = context.endpoint.refuse(None, reason, &mut body);
                self.settle(refused, (reply, None), &body, context);
            }
        }
    }

    /// Handles the waiting request, now that its body is decoded. Returns whether the connection
    /// has no further use.
    pub(crate) fn on_decoded(&mut self, decoded: Decoded, context: &mut Context<'_>) -> bool {
        let waiting = self.buffers.as_mut().and_then(|it| it.take_waiting());
        let head = RequestHead::parse(&decoded.head, &context.rules.http);
        let (Some(waiting), Ok(head)) = (waiting, head) else {
            unreachable!("the head was read before, and its connection waits");
        };
        // A panic in decoding is our own fault: the client gets no details.
        let Some(message) = decoded.message else {
            return true;
        };
        let mut reply = waiting.reply;
        reply.keep_alive &= !context.is_draining;
        let known = self.source.peer_in(context.peers, context.key);
        let is_anonymous = principal_of(&head, context.rules, known) == Ok(None);
        let has_peer = known.is_some() || context.peer.is_some();
        let body = match message {
            // A large message probably needs a share of a table: its peer is looked up before it is
            // handled, so that it is handled once.
            Ok(message) if is_anonymous && !has_peer => {
                let request = PostponedRequest::decoded(&head, message);
                context.effects.postponed.push((context.key, request));
                self.wait(reply, context).is_post = false;
                return false;
            }
            Ok(message) => RequestBody::Decoded(message),
            Err(error) => RequestBody::Undecodable(error),
        };
        self.handle_waiting(&head, (body, reply), context)
    }
}

//! Requests whose bodies are too large to be decoded within a turn.
//!
//! The connection hands the body over and waits, as for an answer. When the message comes back, the
//! request is handled as if it had just arrived.

use std::ops::Range;

use corelane_protocol::framing::http1::RequestHead;
use corelane_protocol::jsonrpc::DecodeError;

use super::buffers::{BodyElsewhere, Reply};
use super::context::Context;
use super::http::Connection;
use super::postponed::PostponedRequest;
use super::request::who_asks;
use crate::mcp::{Decoded, LargeMessage, Undecoded};

/// The body of a request.
pub(super) enum RequestBody<'a> {
    /// As it arrived.
    Bytes(&'a [u8]),
    /// As it was decoded elsewhere.
    Decoded(Box<LargeMessage>),
    /// As it could not be decoded elsewhere.
    Undecodable(DecodeError),
}

impl<'a> RequestBody<'a> {
    /// Its bytes, if it is as it arrived.
    pub(super) fn bytes(&self) -> &'a [u8] {
        match self {
            RequestBody::Bytes(bytes) => bytes,
            RequestBody::Decoded(_) | RequestBody::Undecodable(_) => &[],
        }
    }
}

/// A request whose body is to be decoded elsewhere.
pub(super) struct LargeRequest {
    /// How to answer it.
    pub(super) reply: Reply,
    /// Its head.
    pub(super) head: Box<[u8]>,
    /// Where its body is.
    pub(super) body: Range<usize>,
}

impl Connection {
    /// Hands over the body of a request, which is somewhere in `bytes`.
    pub(super) fn decode_elsewhere(
        &mut self,
        request: LargeRequest,
        bytes: Vec<u8>,
        context: &mut Context<'_>,
    ) {
        let LargeRequest { reply, head, body } = request;
        let held_bytes = bytes.len();
        let begun = context.endpoint.begin_decoding(Undecoded {
            exchange: context.exchange(self.sequence, reply.accept.event_stream),
            head,
            bytes,
            body,
        });
        match begun {
            Ok(job) => {
                *context.input_bytes += held_bytes;
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

    /// Handles the request that waits, whose body was decoded. Returns whether the connection is of
    /// no use any more.
    pub(crate) fn on_decoded(&mut self, decoded: Decoded, context: &mut Context<'_>) -> bool {
        let waiting = self.buffers.as_mut().and_then(|it| it.waiting.take());
        let head = RequestHead::parse(&decoded.head, &context.rules.http);
        let (Some(waiting), Ok(head)) = (waiting, head) else {
            unreachable!("the head was read before, and its connection waits");
        };
        // A panic in decoding is our own fault: there is nothing to tell the client.
        let Some(message) = decoded.message else {
            return true;
        };
        let mut reply = waiting.reply;
        reply.keep_alive &= !context.is_draining;
        let is_anonymous = who_asks(&head, context.rules) == Ok(None);
        let body = match message {
            // A large message may well need a share of some table: its peer is looked up before it
            // is handled, so that it is handled once.
            Ok(message) if is_anonymous && context.peer.is_none() => {
                let request = PostponedRequest::decoded(&head, message);
                context.postponed.push((context.key, request));
                self.wait(reply, context).is_post = false;
                return false;
            }
            Ok(message) => RequestBody::Decoded(message),
            Err(error) => RequestBody::Undecodable(error),
        };
        self.handle_waiting(&head, (body, reply), context)
    }
}

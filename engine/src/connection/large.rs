//! Requests with bodies that are too large to be decoded within a turn.
//!
//! The connection hands the body over and waits, as for an answer. When the decoded message comes
//! back, the request is handled as if it had just arrived. Messages of channels are handed over in
//! the same way.

use std::ops::Range;

use corelane_protocol::framing::http1::RequestHead;
use corelane_protocol::jsonrpc::OwnedId;
use corelane_protocol::limits::HttpLimits;

use super::body::{BodyElsewhere, LargeRequest, PostponedRequest, RequestBody};
use super::context::Context;
use super::http::{Connection, Phase};
use crate::mcp::{Decoded, Undecoded};

impl Connection {
    /// Hands over the body of a request, which is within `bytes`.
    pub(super) fn decode_elsewhere(
        &mut self,
        request: LargeRequest,
        bytes: Vec<u8>,
        context: &mut Context<'_>,
    ) {
        let LargeRequest { http, body } = request;
        let Some((reply, head)) = http else {
            return self.decode_message(bytes, body, context);
        };
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
            Err((reason, _)) => {
                let mut body = Vec::new();
                let refused = context.endpoint.refuse(None, reason, &mut body);
                self.settle(refused, (reply, None), &body, context);
            }
        }
    }

    /// Hands over a message of a channel, which is within `bytes`. Later ones wait for it: a
    /// notification must not overtake the request that it is about.
    pub(super) fn decode_message(
        &mut self,
        bytes: Vec<u8>,
        body: Range<usize>,
        context: &mut Context<'_>,
    ) {
        self.sequence = self.next_sequence();
        let held_bytes = bytes.capacity();
        let begun = context.endpoint.begin_decoding(Undecoded {
            exchange: context.channel_exchange(self.sequence),
            head: Box::default(),
            bytes,
            body,
        });
        match begun {
            Ok(job) => {
                context.pool.input_bytes += held_bytes;
                let decoding = Some(Box::new(BodyElsewhere { job, held_bytes }));
                self.open_channel(context).decoding = decoding;
                self.phase = Phase::DecodingMessage;
            }
            Err((reason, id)) => {
                let (mut text, id) = (Vec::new(), id.as_ref().map(OwnedId::as_id));
                context.endpoint.refuse(id, reason, &mut text);
                self.write_message(None, &text, context);
            }
        }
    }

    /// Whether a message of the channel is decoded elsewhere.
    pub(crate) fn is_decoding_message(&self) -> bool {
        self.phase == Phase::DecodingMessage
    }

    /// Whether the decoded body of the request or message `sequence` is awaited.
    pub(crate) fn awaits_decoded(&self, sequence: u32) -> bool {
        self.sequence == sequence && (self.is_answering() || self.is_decoding_message())
    }

    /// Handles the waiting request or message, now that its body is decoded. Returns whether the
    /// connection has no further use.
    pub(crate) fn on_decoded(&mut self, decoded: Decoded, context: &mut Context<'_>) -> bool {
        if let Some(channel) = self.channel_mut() {
            channel.decoding = None;
            return self.on_message_decoded(decoded, context);
        }
        let waiting = self.buffers.as_mut().and_then(|it| it.take_waiting());
        let head = RequestHead::parse(&decoded.head, &HttpLimits::WIDEST);
        let (Some(waiting), Ok(head)) = (waiting, head) else {
            unreachable!("the head was read before, and its connection waits");
        };
        // A panic in decoding is our own fault: the client gets no details.
        let Some(message) = decoded.message else {
            return true;
        };
        let mut reply = waiting.reply;
        reply.keep_alive &= !context.is_draining;
        let known = self.known_peer(context.peers, context.access, context.key);
        let has_peer = known.is_some() || context.peer.is_some();
        let is_anonymous = !has_peer && context.access.is_anonymous(&head);
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
            Err(error) => RequestBody::Undecodable(error, None),
        };
        self.handle_waiting(&head, (body, reply), context)
    }

    fn on_message_decoded(&mut self, decoded: Decoded, context: &mut Context<'_>) -> bool {
        self.phase = Phase::Idle;
        let body = match decoded.message {
            None => return true,
            Some(Ok(message)) => RequestBody::Decoded(message),
            Some(Err(error)) => RequestBody::Undecodable(error, decoded.id),
        };
        self.handle_body(body, context);
        self.resume(context);
        self.end_if_read_closed(context);
        self.give_back_buffers(context);
        false
    }
}

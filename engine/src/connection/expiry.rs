//! Streams and channels whose client opened them with a credential that has expired since: they
//! end, so that nothing is sent to a client for longer than its credential allows (MCP 2025-11-25
//! basic/authorization, "Token Handling").
//!
//! They are looked at when something is sent, and otherwise with the signs of life of a quiet
//! stream. A call that runs is not cut: its request was allowed.

use corelane_protocol::framing::websocket::CloseCode;

use super::context::Context;
use super::http::{Connection, Phase};
use crate::mcp::{Forwarded, ForwardedKind, StreamOwner};

/// After how many milliseconds the client of a legacy stream connects again.
const RECONNECT_MS: u64 = 1_000;

impl Connection {
    /// Remembers when the credential of the present request expires, in seconds since 1970.
    pub(super) fn note_expiry(&mut self, expires_s: u64) {
        if let Some(waiting) = self.waiting() {
            waiting.expires_s = u32::try_from(expires_s).unwrap_or(u32::MAX);
        }
    }

    /// Ends the stream or the channel if its credential has expired. Returns whether it did.
    pub(crate) fn end_if_expired(&mut self, context: &mut Context<'_>) -> bool {
        if !context.access.is_configured() {
            return false;
        }
        if self.has_channel() {
            return self.end_expired_channel(context);
        }
        let Some(waiting) = self.waiting() else {
            return false;
        };
        let (expires_s, owner) = (u64::from(waiting.expires_s), waiting.stream);
        if expires_s == 0 || !context.access.is_past(expires_s) {
            return false;
        }
        let takes_events = waiting.reply.accept.event_stream;
        match owner {
            Some(StreamOwner::Listen(place)) => {
                // Its result is on its way.
                waiting.expires_s = 0;
                context.endpoint.handle_subscriber_input_over(place);
            }
            Some(StreamOwner::Session(stream)) => {
                let session = stream.session;
                let exchange = context.exchange(self.sequence, takes_events);
                if session.home == context.shard {
                    context.endpoint.handle_stream_gone(session, exchange);
                } else {
                    let notice = Forwarded::notice(exchange, session, ForwardedKind::StreamGone);
                    let notice = (session.home, Box::new(notice));
                    context.effects.forwards.push(notice);
                }
                self.pause_stream(RECONNECT_MS, context);
            }
            Some(StreamOwner::Calls(_)) | None => return false,
        }
        true
    }

    fn end_expired_channel(&mut self, context: &mut Context<'_>) -> bool {
        let peer = context.peers.get(&context.key.index);
        let Some(text) = peer.and_then(|peer| context.access.end_of_channel(peer)) else {
            return false;
        };
        match self.channel().is_some_and(|channel| channel.is_websocket()) {
            true => {
                self.close_socket(CloseCode::PolicyViolation, text, context);
            }
            false => self.phase = Phase::Flushing { lingers: true },
        }
        true
    }
}

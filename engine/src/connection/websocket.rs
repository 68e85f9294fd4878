//! WebSocket messages: one text on each (RFC 6455). They come on a connection of HTTP that was
//! upgraded.
//!
//! Their meaning is that of every channel, see `messages`; text that is no message is refused on
//! it. A binary message, a message that is too long and a breach of the protocol close the
//! connection with a code. A close of this side is followed by the end of its sending side, and the
//! client's own close frame is discarded like all bytes of a connection that lingers: a deadline
//! for the close handshake is one for lingering.
//!
//! ```text
//! Idle <-> ReadingMessage      either of them -> Flushing -> Lingering
//! ```

use std::num::NonZeroU64;

use corelane_io::chunk::Chunk;
use corelane_io::ring::Hangup;
use corelane_protocol::binding::websocket::Handshake;
use corelane_protocol::framing::http1::Status;
use corelane_protocol::framing::websocket::{
    CloseCode, Fault, Framer, Kind, Opcode, Role, Step, write_close, write_frame,
};

use super::buffers::Work;
use super::channel::{Framing, MessageChannel, WebSocket};
use super::context::Context;
use super::http::{Connection, Phase};
use super::response;
use crate::guard::peer::KnownPeer;
use crate::meter::Counter;

impl Connection {
    /// Completes the handshake of a client. Frames follow.
    pub(super) fn upgrade(
        &mut self,
        handshake: &Handshake,
        client: KnownPeer,
        context: &mut Context<'_>,
    ) {
        context.identify(client);
        let date = context.date;
        response::write_upgrade(context.out(), date, handshake);
        context.meter.count(Counter::WebSocketsOpen);
        let socket = WebSocket {
            framer: Framer::new(Role::Server),
            message: None,
            due_ms: None,
            awaits_pong: false,
        };
        let channel = MessageChannel::new(Framing::WebSocket(socket));
        self.buffers(context).work = Work::Channel(channel);
        self.phase = Phase::ReadingMessage;
    }

    /// Handles whole frames at the start of `input`, and what there is of the last one; returns how
    /// many bytes they took.
    pub(super) fn process_frames(&mut self, input: &mut [u8], context: &mut Context<'_>) -> usize {
        self.phase = Phase::Idle;
        let limit_bytes = context.rules.websocket.message_bytes_max;
        let Some(socket) = self.websocket_mut() else {
            return 0;
        };
        let mut framer = std::mem::replace(&mut socket.framer, Framer::new(Role::Server));
        let mut message = socket.message.take().map(|message| *message);
        let mut due_ms = socket.due_ms.take();
        socket.awaits_pong &= input.is_empty();
        let mut consumed = 0;
        let mut needs_more = false;
        while consumed < input.len()
            && self.phase == Phase::Idle
            && context.requests_left > 0
            && !self.is_output_full(context)
        {
            let step = framer.step(&mut input[consumed..], limit_bytes);
            needs_more = step == Ok(Step::NeedMore);
            if needs_more {
                break;
            }
            context.requests_left -= 1;
            match self.handle_step(step, &mut message, context) {
                Some(bytes) => consumed += bytes,
                None => {
                    consumed = input.len();
                    break;
                }
            }
            due_ms = due_ms.filter(|_| framer.is_in_message());
        }
        let is_partial = framer.is_in_message() && consumed == input.len();
        if self.phase == Phase::Idle && (needs_more || is_partial) {
            self.phase = Phase::ReadingMessage;
            let timeout_ms = context.rules.connection.body_timeout_ms;
            due_ms = due_ms.or_else(|| NonZeroU64::new(context.endpoint.now_ms() + timeout_ms));
        }
        if let Some(socket) = self.websocket_mut() {
            (socket.framer, socket.message) = (framer, message.map(Box::new));
            socket.due_ms = due_ms;
        }
        match self.reads() {
            true => self.shed_input_if_much(context),
            false => self.drop_input(context),
        }
        consumed
    }

    /// Handles one step of the framer. Returns how many bytes it took, unless the connection ends
    /// with it.
    fn handle_step(
        &mut self,
        step: Result<Step<'_>, Fault>,
        message: &mut Option<Chunk>,
        context: &mut Context<'_>,
    ) -> Option<usize> {
        match step {
            Err(fault) => self.close_socket(fault.code(), &fault.to_string(), context),
            Ok(
                Step::Message {
                    kind: Kind::Binary, ..
                }
                | Step::Part {
                    kind: Kind::Binary, ..
                },
            ) => {
                let text = "binary messages are not served: send JSON as text";
                self.close_socket(CloseCode::UnsupportedData, text, context);
            }
            Ok(Step::Close(close)) => {
                let code = close.code.map(u16::to_be_bytes);
                let payload = code.as_ref().map_or(&[][..], |code| code);
                write_frame(context.out(), Opcode::Close, payload, None);
                self.phase = Phase::Flushing { lingers: false };
            }
            Ok(Step::NeedMore) => return Some(0),
            Ok(Step::Pong { consumed, .. }) => return Some(consumed),
            Ok(Step::Ping { payload, consumed }) => {
                write_frame(context.out(), Opcode::Pong, payload, None);
                return Some(consumed);
            }
            Ok(Step::Message {
                payload, consumed, ..
            }) => {
                self.handle_message(payload, context);
                return Some(consumed);
            }
            Ok(Step::Part {
                payload,
                is_last,
                consumed,
                ..
            }) => {
                if message.is_none() && is_last {
                    self.handle_message(payload, context);
                } else {
                    context.append_input(message, payload);
                }
                if is_last && let Some(mut whole) = message.take() {
                    if context.endpoint.decodes_elsewhere(whole.len()) {
                        context.pool.input_bytes -= whole.capacity();
                        let body = 0..whole.len();
                        self.decode_message(std::mem::take(&mut whole), body, context);
                        return Some(consumed);
                    }
                    self.handle_message(&whole, context);
                    context.drop_input(whole);
                }
                return Some(consumed);
            }
        }
        None
    }

    /// Sends a close frame and ends the sending side. Nothing more is read.
    pub(super) fn close_socket(&mut self, code: CloseCode, text: &str, context: &mut Context<'_>) {
        write_close(context.out(), code, text, None);
        self.phase = Phase::Flushing { lingers: true };
    }

    /// Closes for a reason that an HTTP client gets as `status`.
    pub(super) fn refuse_socket(&mut self, status: Status, text: &str, context: &mut Context<'_>) {
        let code = match status {
            Status::ServiceUnavailable => CloseCode::TryAgainLater,
            _ => CloseCode::PolicyViolation,
        };
        self.close_socket(code, text, context);
    }

    /// Sends a ping to a client that has been silent.
    pub(crate) fn ping(&mut self, context: &mut Context<'_>) {
        if self.end_if_expired(context) {
            return;
        }
        write_frame(context.out(), Opcode::Ping, &[], None);
        if let Some(socket) = self.websocket_mut() {
            socket.awaits_pong = true;
        }
    }

    /// The client has gone, with a close frame among its last bytes or without. Returns whether the
    /// connection has no further use: there is no one to answer, but all that came is handled.
    pub(super) fn finish_socket(&mut self) -> bool {
        let is_over = self.hangup == Hangup::Closed || self.phase == Phase::Lingering;
        if let Phase::Flushing { lingers } = &mut self.phase {
            *lingers = false;
            return is_over;
        }
        is_over || self.is_between_answers() && !self.has_requests_left_over()
    }

    fn websocket_mut(&mut self) -> Option<&mut WebSocket> {
        self.channel_mut()?.websocket_mut()
    }
}

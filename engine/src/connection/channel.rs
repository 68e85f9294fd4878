//! The channel of a connection: its framing, its session, and the requests that wait for answers.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use corelane_io::chunk::Chunk;
use corelane_protocol::framing::{line, websocket};
use corelane_protocol::jsonrpc::IdScanner;

use super::body::BodyElsewhere;
use super::in_flight::InFlight;
use super::posted::PostedMessage;
use super::reply::Reply;
use super::timer::Timer;
use crate::mcp::SessionId;

/// The state of a channel. That of a WebSocket is there for as long as it is open; that of lines
/// only while it has a session, a request in flight or a part of a line.
#[derive(Debug)]
pub(crate) struct MessageChannel {
    pub(super) framing: Framing,
    /// The session of the connection, once its client has made one.
    pub(crate) session: Option<SessionId>,
    /// Requests without a final answer.
    pub(crate) in_flight: InFlight,
    /// Bytes of the answers that wait behind the send under way.
    pub(super) answer_bytes: u32,
    /// The message that is decoded elsewhere.
    pub(crate) decoding: Option<Box<BodyElsewhere>>,
    /// The connection is to end.
    pub(super) is_ending: bool,
    /// Nothing was left in the socket of a connection that is to end.
    pub(super) is_drained: bool,
}

/// Where a message starts and ends.
#[derive(Debug)]
pub(super) enum Framing {
    Lines(Lines),
    WebSocket(WebSocket),
    /// Of HTTP+SSE: its input comes on other connections.
    Events(Box<Outgoing>),
}

/// Output as events.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// How the stream was requested.
    pub(crate) reply: Reply,
    /// Random bits that only its client knows.
    pub(super) random: u128,
    /// Messages that wait until the client has read more, no more than `lines.in_flight_max`.
    pub(crate) held: VecDeque<PostedMessage>,
}

/// Input of lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) framer: line::Framer,
    /// Reads the line that is too long, for the id of its refusal.
    pub(super) long: Option<Box<IdScanner>>,
}

/// Input of a WebSocket.
#[derive(Debug)]
pub(super) struct WebSocket {
    pub(super) framer: websocket::Framer,
    /// The part of a message that has arrived so far.
    pub(super) message: Option<Box<Chunk>>,
    /// When the message or control frame must be whole whose end has not arrived. Output between
    /// its bytes, such as pongs, does not prolong its time.
    pub(super) due_ms: Option<NonZeroU64>,
    /// A ping was sent, and no byte has come since.
    pub(super) awaits_pong: bool,
}

impl MessageChannel {
    /// A channel on which no message has come.
    pub(super) fn new(framing: Framing) -> MessageChannel {
        MessageChannel {
            framing,
            session: None,
            in_flight: InFlight::default(),
            answer_bytes: 0,
            decoding: None,
            is_ending: false,
            is_drained: false,
        }
    }

    /// Whether it is as a new one. That of a WebSocket stays, because the connection was upgraded.
    pub(super) fn is_spent(&self) -> bool {
        let owes_nothing = self.in_flight.is_empty();
        self.is_between_lines() && owes_nothing && self.session.is_none() && !self.is_ending
    }

    /// Whether it is of lines, and no part of one was taken.
    pub(super) fn is_between_lines(&self) -> bool {
        match &self.framing {
            Framing::Lines(lines) => lines.framer.is_fresh() && lines.long.is_none(),
            Framing::WebSocket(_) | Framing::Events(_) => false,
        }
    }

    /// Whether it is of a WebSocket.
    pub(crate) fn is_websocket(&self) -> bool {
        matches!(self.framing, Framing::WebSocket(_))
    }

    /// The deadline of a channel without lines on which nothing is under way.
    pub(super) fn ping_timer(&self) -> Option<Timer> {
        match &self.framing {
            Framing::Lines(_) => None,
            Framing::WebSocket(socket) if socket.awaits_pong => Some(Timer::Pong),
            Framing::WebSocket(_) => Some(Timer::Ping),
            Framing::Events(_) => Some(Timer::KeepAlive),
        }
    }

    /// When the message that is arriving must be whole, if there is a limit.
    pub(crate) fn message_due_ms(&self) -> Option<u64> {
        match &self.framing {
            Framing::Lines(_) | Framing::Events(_) => None,
            Framing::WebSocket(socket) => socket.due_ms.map(NonZeroU64::get),
        }
    }

    pub(super) fn lines_mut(&mut self) -> Option<&mut Lines> {
        match &mut self.framing {
            Framing::Lines(lines) => Some(lines),
            Framing::WebSocket(_) | Framing::Events(_) => None,
        }
    }

    pub(super) fn websocket_mut(&mut self) -> Option<&mut WebSocket> {
        match &mut self.framing {
            Framing::Lines(_) | Framing::Events(_) => None,
            Framing::WebSocket(websocket) => Some(websocket),
        }
    }

    /// The messages of a stream of HTTP+SSE that wait.
    pub(crate) fn held_mut(&mut self) -> Option<&mut VecDeque<PostedMessage>> {
        match &mut self.framing {
            Framing::Events(outgoing) => Some(&mut outgoing.held),
            Framing::Lines(_) | Framing::WebSocket(_) => None,
        }
    }

    /// Its output, if that is events of HTTP+SSE.
    pub(crate) fn outgoing(&self) -> Option<&Outgoing> {
        match &self.framing {
            Framing::Events(outgoing) => Some(outgoing),
            Framing::Lines(_) | Framing::WebSocket(_) => None,
        }
    }
}

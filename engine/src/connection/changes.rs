//! Messages on their way to the peer, and the notifications of changes among them.
//!
//! A change is news to a peer that has taken all of its output. Any other peer gets it later, and
//! only once for any number of repetitions: a peer that reads nothing costs no send and no memory
//! for each change.

use corelane_protocol::framing::line::write_line;
use corelane_protocol::framing::websocket::{Opcode, write_frame};

use super::buffers::HeldChange;
use super::channel::Framing;
use super::context::Context;
use super::http::{Connection, Phase};
use super::response;
use crate::mcp::EventId;

/// Changes that wait on one connection of HTTP. A client subscribes to far fewer; further ones wait
/// as other output does.
const CHANGES_HELD_MAX: usize = 128;
/// The same on a channel, which has many subscriptions.
const CHANNEL_CHANGES_HELD_MAX: usize = 1024;

impl Connection {
    /// Delivers a change for the request `sequence`.
    pub(super) fn deliver_change(
        &mut self,
        sequence: u32,
        (id, message): (Option<EventId>, Vec<u8>),
        context: &mut Context<'_>,
    ) {
        let is_open = self.phase == Phase::Streaming || self.has_channel();
        if !self.is_sending() || !is_open {
            return self.deliver_event(id, &message, context);
        }
        let held_max = match self.has_channel() {
            true => CHANNEL_CHANGES_HELD_MAX,
            false => CHANGES_HELD_MAX,
        };
        let changes = &mut self.buffers(context).changes;
        // The last of equal ones is kept, so that ids rise on the stream.
        changes.retain(|other| other.message != message);
        changes.push(HeldChange {
            sequence,
            id,
            message,
        });
        if changes.len() > held_max {
            self.release_changes(context);
        }
    }

    /// Whether notifications of changes wait.
    pub(crate) fn holds_changes(&self) -> bool {
        let buffers = self.buffers.as_ref();
        buffers.is_some_and(|buffers| !buffers.changes.is_empty())
    }

    /// Writes the notifications of changes that have waited.
    pub(crate) fn release_changes(&mut self, context: &mut Context<'_>) {
        let Some(buffers) = self.buffers.as_mut() else {
            return;
        };
        for change in std::mem::take(&mut buffers.changes) {
            self.write_framed(change.id, &change.message, context);
        }
    }

    /// Writes a message behind the changes that have waited.
    pub(super) fn write_message(
        &mut self,
        id: Option<EventId>,
        message: &[u8],
        context: &mut Context<'_>,
    ) {
        self.release_changes(context);
        self.write_framed(id, message, context);
    }

    /// Writes a message on the channel, or on the stream that is open, where it may have an id.
    pub(super) fn write_framed(
        &self,
        id: Option<EventId>,
        message: &[u8],
        context: &mut Context<'_>,
    ) {
        match self.channel().map(|channel| &channel.framing) {
            Some(Framing::WebSocket(_)) => write_frame(context.out(), Opcode::Text, message, None),
            Some(Framing::Events(outgoing)) => {
                response::write_event(context.out(), &outgoing.reply, None, message);
            }
            _ if self.has_lines() => write_line(context.out(), message),
            _ => {
                let waiting = self.buffers.as_ref().and_then(|it| it.waiting());
                if let Some(waiting) = waiting {
                    response::write_event(context.out(), &waiting.reply, id, message);
                }
            }
        }
    }
}

//! Names for the places that answers go to: one request of one connection, and its stream.

use super::event_store::EventId;
use super::session_id::SessionId;
use corelane_io::slots::SlotKey;

/// One request on one connection, for as long as it has no final answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Exchange {
    /// The shard that owns the connection.
    pub(crate) shard: u16,
    /// The connection.
    pub(crate) slot: SlotKey,
    /// Which request of the connection.
    pub(crate) sequence: u32,
    /// Whether its client takes messages before the answer.
    pub(crate) takes_events: bool,
    /// Whether they come on a channel that all requests of the connection share, and not on a
    /// stream of the request's own.
    pub(crate) is_on_channel: bool,
}

impl Exchange {
    /// Number of the channel itself, which no request has.
    pub(crate) const CHANNEL: u32 = 0;

    /// The place of messages that belong to no request of a connection with a channel.
    pub(super) fn channel(self) -> Exchange {
        Exchange {
            sequence: Exchange::CHANNEL,
            ..self
        }
    }

    /// Whether a client that lost its connection may come back for the messages.
    pub(super) fn is_resumable(self) -> bool {
        self.takes_events && !self.is_on_channel
    }
}

/// Whose stream it is that stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamOwner {
    /// A session's, for messages of the server.
    Session(StreamOf),
    /// A listener's, by its place on the shard of its connection.
    Listen(u32),
    /// There is none: several calls of this session answer the request, or calls on its home shard.
    /// They are notified when the client goes.
    Calls(SessionId),
}

impl StreamOwner {
    /// Whether the stream is open until one side ends it.
    pub(crate) fn stays_open(self) -> bool {
        match self {
            StreamOwner::Session(of) => !of.ends_with_answer,
            StreamOwner::Listen(_) => true,
            StreamOwner::Calls(_) => false,
        }
    }

    /// Whether there is a stream that is counted.
    pub(crate) fn is_stream(self) -> bool {
        !matches!(self, StreamOwner::Calls(_))
    }
}

/// What an open stream is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamOf {
    /// The session.
    pub(crate) session: SessionId,
    /// Whether it is the stream of a call, which ends with the answer; another one is open until
    /// one side ends it.
    pub(crate) ends_with_answer: bool,
}

/// Which stream a GET opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// One of its own, for what belongs to no call.
    Fresh,
    /// The stream of this event, from the next event on.
    After(EventId),
    /// The stream of an event that this server never named.
    AfterUnnamed,
}

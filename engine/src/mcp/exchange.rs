//! Names for the places of answers: one request of one connection, and its stream.

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

/// The owner of a stream that stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamOwner {
    /// A session's, for messages of the server.
    Session(StreamOf),
    /// A subscription, by its place on the shard of its connection.
    Listen(u32),
    /// There is no stream: several calls of this session answer the request, or calls on its home
    /// shard. They are notified when the client leaves.
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

/// The kind of an open stream.
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
    /// A new stream, for messages that belong to no call.
    Fresh,
    /// The stream of this event, from the next event on.
    After(EventId),
    /// The stream of an event that this server never named.
    AfterUnnamed,
}

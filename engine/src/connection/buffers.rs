//! The memory of an active connection; an idle one owns none of it.

use corelane_protocol::framing::http1::Framer;

use super::body::BodyElsewhere;
use super::channel::{Framing, Lines, MessageChannel};
use super::reply::Reply;
use crate::handler::event_queue::CallKey;
use crate::mcp::{EventId, StreamOwner};
use corelane_io::chunk::Chunk;

/// Partial input, output on its way, and a request without its final answer.
#[derive(Debug, Default)]
pub(crate) struct ConnectionBuffers {
    /// Bytes that were received and not consumed.
    pub(crate) input: Option<Chunk>,
    /// Bytes that wait for the send before them.
    pub(crate) output: Option<Chunk>,
    /// The state of its protocol.
    pub(super) work: Work,
    /// Notifications of changes that wait, no two of them equal.
    pub(super) changes: Vec<HeldChange>,
    /// Reading stopped because there is enough to do; data may be waiting in the socket.
    pub(crate) is_paused: bool,
    /// The last kept bytes were not read: the turn had no request left for them.
    pub(crate) is_unseen: bool,
    /// The shard goes on with the kept requests in a later turn.
    pub(crate) has_turn: bool,
    /// Bytes thrown away while lingering; a count that is full stays so.
    pub(crate) lingered_bytes: u32,
    /// Bytes of its output that the peer took since its time for writing began, while some is left.
    pub(crate) taken_bytes: usize,
}

/// The state of a protocol. A channel is in place, because that of an idle client stays here.
#[derive(Debug)]
pub(super) enum Work {
    Http(HttpWork),
    Channel(MessageChannel),
}

/// The state of a connection of HTTP.
#[derive(Debug, Default)]
pub(super) struct HttpWork {
    /// How far the partial request was understood.
    pub(super) framer: Framer,
    /// The request that waits for its answer.
    pub(super) waiting: Option<WaitingRequest>,
}

impl Default for Work {
    fn default() -> Work {
        Work::Http(HttpWork::default())
    }
}

/// A notification of a change that waits until all output before it is sent.
#[derive(Debug)]
pub(super) struct HeldChange {
    /// The number of its request.
    pub(super) sequence: u32,
    /// Its id on a stream.
    pub(super) id: Option<EventId>,
    pub(super) message: Vec<u8>,
}

/// A request with an answer that comes later, or in parts.
#[derive(Debug)]
pub(crate) struct WaitingRequest {
    /// How to answer.
    pub(crate) reply: Reply,
    /// It posts a message, so that the head of its answer may be sent before the message is known.
    pub(crate) is_post: bool,
    /// The call that answers it, if that runs on this shard.
    pub(crate) call: Option<CallKey>,
    /// Its body, while that is decoded elsewhere.
    pub(crate) decoding: Option<Box<BodyElsewhere>>,
    /// The shard that answers it, if it was forwarded.
    pub(crate) home: Option<u16>,
    /// The owner of its stream, or the calls that answer it.
    pub(crate) stream: Option<StreamOwner>,
    /// The responses of a batch so far; a stream that waits has none, and there are many of those.
    pub(crate) batch: Option<Box<BatchResponses>>,
    /// When its credential expires, in seconds since 1970; 0 without an end.
    pub(crate) expires_s: u32,
}

impl WaitingRequest {
    /// Whether it is a stream that is counted.
    pub(crate) fn has_stream(&self) -> bool {
        self.stream.is_some_and(StreamOwner::is_stream)
    }
}

/// Responses to a batch. The endpoint bounds their bytes.
#[derive(Debug, Default)]
pub(crate) struct BatchResponses {
    /// The responses for a client that takes no stream: an array that is not closed, of no more
    /// elements than `json.batch_max`.
    pub(crate) gathered: Vec<u8>,
    /// Bytes of those that went on a stream.
    pub(crate) streamed_bytes: usize,
}

impl ConnectionBuffers {
    /// The state of HTTP, if that is the protocol.
    pub(super) fn http(&self) -> Option<&HttpWork> {
        match &self.work {
            Work::Http(http) => Some(http),
            Work::Channel(_) => None,
        }
    }

    pub(super) fn http_mut(&mut self) -> Option<&mut HttpWork> {
        match &mut self.work {
            Work::Http(http) => Some(http),
            Work::Channel(_) => None,
        }
    }

    /// The channel, of a connection that has one.
    pub(super) fn channel(&self) -> Option<&MessageChannel> {
        match &self.work {
            Work::Http(_) => None,
            Work::Channel(channel) => Some(channel),
        }
    }

    pub(super) fn channel_mut(&mut self) -> Option<&mut MessageChannel> {
        match &mut self.work {
            Work::Http(_) => None,
            Work::Channel(channel) => Some(channel),
        }
    }

    /// The channel, which is one of lines if there was none.
    pub(super) fn open_channel(&mut self) -> &mut MessageChannel {
        if let Work::Http(_) = self.work {
            let framing = Framing::Lines(Lines::default());
            self.work = Work::Channel(MessageChannel::new(framing));
        }
        self.channel_mut().expect("it was made above")
    }

    /// Keeps what was understood of a partial request.
    pub(super) fn keep_framer(&mut self, framer: Framer) {
        if let Some(http) = self.http_mut() {
            http.framer = framer;
        }
    }

    /// The request that waits for its answer.
    pub(super) fn waiting(&self) -> Option<&WaitingRequest> {
        self.http()?.waiting.as_ref()
    }

    pub(super) fn take_waiting(&mut self) -> Option<WaitingRequest> {
        self.http_mut()?.waiting.take()
    }

    /// Takes the requests that still wait for answers from a connection that ends.
    pub(crate) fn take_work(&mut self) -> (Option<WaitingRequest>, Option<MessageChannel>) {
        match std::mem::take(&mut self.work) {
            Work::Http(http) => (http.waiting, None),
            Work::Channel(channel) => (None, Some(channel)),
        }
    }

    /// Whether it is empty, so that the connection can release it.
    pub(crate) fn is_spent(&self) -> bool {
        let is_idle = match &self.work {
            Work::Http(http) => http.waiting.is_none(),
            Work::Channel(channel) => channel.is_spent(),
        };
        let is_in_use = self.is_paused || self.taken_bytes > 0 || !self.changes.is_empty();
        is_idle && self.input.is_none() && self.output.is_none() && !is_in_use
    }
}

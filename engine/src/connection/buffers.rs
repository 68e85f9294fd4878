//! What a connection owns while something is going on; an idle one owns none of it.

use corelane_protocol::binding::accept::Accept;
use corelane_protocol::framing::http1::Framer;

use crate::handler::event_queue::CallKey;
use crate::io::chunk::Chunk;
use crate::mcp::StreamOwner;

/// Partial input, output on its way, and a request without its final answer.
#[derive(Debug, Default)]
pub(crate) struct ConnectionBuffers {
    /// How far the partial request was understood.
    pub(crate) framer: Framer,
    /// Bytes that were received and not consumed.
    pub(crate) input: Option<Chunk>,
    /// Bytes that wait for the send before them.
    pub(crate) output: Option<Chunk>,
    /// The request that waits for its answer.
    pub(crate) waiting: Option<WaitingRequest>,
    /// Reading stopped because there is enough to do; data may be waiting in the socket.
    pub(crate) is_paused: bool,
    /// What was kept last was not looked at: the turn had no request left for it.
    pub(crate) is_unseen: bool,
    /// The shard goes on with the kept requests in a later turn.
    pub(crate) has_turn: bool,
    /// Bytes thrown away while lingering.
    pub(crate) lingered_bytes: usize,
}

/// A request whose answer comes later, or in parts.
#[derive(Debug)]
pub(crate) struct WaitingRequest {
    /// How to answer.
    pub(crate) reply: Reply,
    /// The call that answers it, if that runs on this shard.
    pub(crate) call: Option<CallKey>,
    /// Whose stream this is.
    pub(crate) stream: Option<StreamOwner>,
    /// What came of a batch so far; a stream that waits has none, and there are many of those.
    pub(crate) batch: Option<Box<BatchResponses>>,
}

/// Responses to a batch. The endpoint bounds their bytes.
#[derive(Debug, Default)]
pub(crate) struct BatchResponses {
    /// Those for a client that takes no stream: an array that is not closed, of no more elements
    /// than `json.batch_max`.
    pub(crate) gathered: Vec<u8>,
    /// Bytes of those that went on a stream.
    pub(crate) streamed_bytes: usize,
}

/// What of a request decides how its answer is framed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    /// The connection goes on after the answer.
    pub(crate) keep_alive: bool,
    /// 0 or 1, of HTTP/1.
    pub(crate) version_minor: u8,
    /// The kinds of answer the client takes.
    pub(crate) accept: Accept,
}

impl ConnectionBuffers {
    /// Whether nothing is left, so that the connection can do without.
    pub(crate) fn is_spent(&self) -> bool {
        self.input.is_none() && self.output.is_none() && self.waiting.is_none() && !self.is_paused
    }
}

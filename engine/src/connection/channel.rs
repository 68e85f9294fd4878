//! The channel of a connection: its session, and the requests that wait for answers.

use std::collections::BTreeMap;

use corelane_protocol::framing::line::Framer;
use corelane_protocol::jsonrpc::{IdScanner, OwnedId};

use crate::handler::event_queue::CallKey;
use crate::mcp::{SessionId, StreamOwner};

/// The state of a channel for as long as it is open.
#[derive(Debug, Default)]
pub(crate) struct MessageChannel {
    pub(super) framer: Framer,
    /// Reads the line that is too long, for the id of its refusal.
    pub(super) long: Option<IdScanner>,
    /// The session of the connection, once its client has made one.
    pub(crate) session: Option<SessionId>,
    /// Requests without a final answer, by their numbers, at most `lines.in_flight_max`.
    pub(crate) in_flight: BTreeMap<u32, ChannelRequest>,
    /// Notifications of changes, no two of them equal, that wait until all output before them is
    /// sent; with the numbers of their requests.
    pub(super) changes: Vec<(u32, Vec<u8>)>,
    /// Bytes of the answers that wait behind the send under way.
    pub(super) answer_bytes: usize,
    /// The connection ends when all requests are answered.
    pub(super) is_ending: bool,
}

/// A request with a later answer.
#[derive(Debug)]
pub(crate) struct ChannelRequest {
    /// Its id, by which it is cancelled; a batch has none.
    pub(super) id: Option<OwnedId>,
    /// The call that answers it, if that runs on this shard.
    pub(crate) call: Option<CallKey>,
    /// The owner of its stream, or the calls that answer it.
    pub(crate) stream: Option<StreamOwner>,
    /// The responses to a batch so far: an array that is not closed.
    pub(super) responses: Vec<u8>,
}

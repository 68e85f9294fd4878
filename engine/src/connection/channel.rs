//! The channel of a connection of lines: its session, and the requests that wait for answers.

use std::collections::BTreeMap;

use corelane_protocol::framing::line::Framer;
use corelane_protocol::jsonrpc::{IdScanner, OwnedId};

use crate::handler::event_queue::CallKey;
use crate::mcp::{SessionId, StreamOwner};

/// The state of a connection of lines; one without a session and a request in flight has none.
#[derive(Debug, Default)]
pub(crate) struct LineChannel {
    pub(super) framer: Framer,
    /// Reads the line that is too long, for the id of its refusal.
    pub(super) long: Option<IdScanner>,
    /// The session of the connection, once its client has made one.
    pub(crate) session: Option<SessionId>,
    /// Requests without a final answer, by their numbers, at most `lines.in_flight_max`.
    pub(crate) in_flight: BTreeMap<u32, LineRequest>,
    /// Notifications of changes, no two of them equal, that wait until all output before them is
    /// sent; with the numbers of their requests.
    pub(super) changes: Vec<(u32, Vec<u8>)>,
    /// Bytes of the answers that wait behind the send under way.
    pub(super) answer_bytes: usize,
    /// The connection ends when all requests are answered.
    pub(super) is_ending: bool,
}

impl LineChannel {
    /// Whether it is as a new one.
    pub(super) fn is_spent(&self) -> bool {
        let is_between_lines = self.framer.is_fresh() && self.long.is_none();
        let owes_nothing = self.in_flight.is_empty() && self.changes.is_empty();
        is_between_lines && owes_nothing && self.session.is_none() && !self.is_ending
    }
}

/// A request with a later answer.
#[derive(Debug)]
pub(crate) struct LineRequest {
    /// Its id, by which it is cancelled; a batch has none.
    pub(super) id: Option<OwnedId>,
    /// The call that answers it, if that runs on this shard.
    pub(crate) call: Option<CallKey>,
    /// The owner of its stream, or the calls that answer it.
    pub(crate) stream: Option<StreamOwner>,
    /// The responses to a batch so far: an array that is not closed.
    pub(super) responses: Vec<u8>,
}

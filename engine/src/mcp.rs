//! What messages mean: sessions, calls and their answers, in both eras.
//!
//! An [`Endpoint`] is one shard's MCP server. It is given whole messages and says what becomes of
//! each; answers that come later are collected once per turn as [`Delivery`]s. It knows no socket:
//! an [`Exchange`] is all it needs to name where an answer belongs.

mod age_list;
pub(crate) mod batch;
pub(crate) mod call_table;
pub(crate) mod dispatch;
pub(crate) mod endpoint;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "streams are not resumed yet; the store stands alone"
    )
)]
pub(crate) mod event_store;
pub(crate) mod features;
mod home_id;
pub(crate) mod in_flight;
pub(crate) mod round_trip;
pub(crate) mod session;
pub(crate) mod session_id;
pub(crate) mod session_message;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "no request makes a task yet; the table stands alone"
    )
)]
pub(crate) mod task_id;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "no request makes a task yet; the table stands alone"
    )
)]
pub(crate) mod task_table;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "no request makes a task yet; the times are of tasks"
    )
)]
pub(crate) mod timestamp;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use endpoint::{Endpoint, EndpointSettings};

use corelane_protocol::framing::http1::Status;
use corelane_protocol::jsonrpc::OwnedId;
use corelane_protocol::mcp::revision::Revision;

use crate::handler::mailbox::CallKey;
use crate::io::slots::SlotKey;
use session_id::SessionId;

/// One request on one connection, for as long as it has no final answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Exchange {
    /// The shard that owns the connection.
    pub(crate) shard: u16,
    /// The connection.
    pub(crate) slot: SlotKey,
    /// Which request of the connection.
    pub(crate) sequence: u32,
}

/// What becomes of a message.
#[derive(Debug)]
pub(crate) enum Disposition {
    /// The message that was written is the answer.
    Answer {
        /// Its status.
        status: Status,
        /// A session that was made by the message.
        session: Option<SessionId>,
        /// The verbs that are served, where this one is not.
        allow: Option<&'static str>,
    },
    /// Accepted, and nothing to say.
    Accepted,
    /// Done, and nothing to say.
    Done,
    /// The answer comes later.
    Pending(Option<CallKey>),
    /// A stream is open until one side ends it.
    Stream(SessionId),
    /// The message belongs to a session of another shard.
    Forward {
        /// The session's home shard.
        home: u16,
        /// What the home shard needs to know.
        request: Box<Forwarded>,
    },
}

impl Disposition {
    /// An answer with status 200.
    pub(crate) fn ok() -> Disposition {
        Disposition::Answer {
            status: Status::Ok,
            session: None,
            allow: None,
        }
    }
}

/// A legacy request on its way to its session's home shard.
#[derive(Debug)]
pub(crate) struct Forwarded {
    /// Where the answer goes.
    pub(crate) exchange: Exchange,
    /// The session.
    pub(crate) session: SessionId,
    /// Id of the request, for a refusal on the way.
    pub(crate) id: Option<OwnedId>,
    /// The revision named by the version header.
    pub(crate) revision: Option<Revision>,
    /// What is asked for.
    pub(crate) kind: ForwardedKind,
}

/// What a forwarded request asks for.
#[derive(Debug)]
pub(crate) enum ForwardedKind {
    /// A message or a batch: the body as it arrived.
    Post(Vec<u8>),
    /// A stream for the session's messages.
    OpenStream,
    /// The end of the session.
    EndSession,
    /// The stream of this exchange is gone.
    StreamGone,
}

/// A part of an answer that was not given at once.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Where it belongs.
    pub(crate) exchange: Exchange,
    /// What it is.
    pub(crate) part: Part,
}

/// What is delivered.
#[derive(Debug)]
pub(crate) enum Part {
    /// A message before the final one.
    Event(Vec<u8>),
    /// One of several responses; [`Part::Accepted`] comes after the last.
    Response(Vec<u8>),
    /// The final message, or the only one.
    Final {
        /// Status, if the response has not begun.
        status: Status,
        /// The message.
        body: Vec<u8>,
    },
    /// Accepted: there is no message.
    Accepted,
    /// Done: there is no message.
    Done,
    /// The stream is open.
    StreamOpen(SessionId),
    /// The stream ends here.
    StreamEnd,
}

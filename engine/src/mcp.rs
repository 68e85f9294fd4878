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
pub(crate) mod event_store;
pub(crate) mod features;
mod home_id;
pub(crate) mod in_flight;
pub(crate) mod requester;
pub(crate) mod resumption;
pub(crate) mod round_trip;
pub(crate) mod server_parts;
pub(crate) mod session;
pub(crate) mod session_id;
pub(crate) mod session_message;
pub(crate) mod subscription;
pub(crate) mod task_id;
pub(crate) mod task_table;
pub(crate) mod task_watch;
pub(crate) mod tasks;
pub(crate) mod timestamp;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use endpoint::{Endpoint, EndpointSettings};
pub(crate) use server_parts::ServerParts;

use corelane_protocol::framing::http1::Status;
use corelane_protocol::jsonrpc::OwnedId;
use corelane_protocol::mcp::revision::Revision;

use crate::handler::caller_info::CallerInfo;
use crate::handler::event_queue::CallKey;
use crate::io::slots::SlotKey;
use event_store::EventId;
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
    /// Whether its client takes a stream of events as the answer.
    pub(crate) takes_events: bool,
}

/// Whose stream it is that stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamOwner {
    /// A session's, for messages of the server.
    Session(StreamOf),
    /// A listener's, by its place on the shard of its connection.
    Listen(u32),
}

impl StreamOwner {
    /// Whether the stream is open until one side ends it.
    pub(crate) fn stays_open(self) -> bool {
        match self {
            StreamOwner::Session(of) => !of.ends_with_answer,
            StreamOwner::Listen(_) => true,
        }
    }
}

impl Part {
    /// A message that is not kept.
    pub(crate) fn message(message: Vec<u8>) -> Part {
        Part::Event { id: None, message }
    }
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
        /// The header field of a refusal, such as `Allow`.
        field: Option<(&'static str, &'static str)>,
    },
    /// Accepted, and nothing to say.
    Accepted,
    /// Done, and nothing to say.
    Done,
    /// The answer comes later.
    Pending(Option<CallKey>),
    /// A stream is open until one side ends it.
    Stream(StreamOwner),
    /// The message belongs to a session or a task of another shard.
    Forward {
        /// The home shard of what it belongs to.
        home: u16,
        /// What the home shard needs to know.
        request: Box<Forwarded>,
    },
}

impl Disposition {
    /// An answer with status 200.
    pub(crate) fn ok() -> Disposition {
        Disposition::answer(Status::Ok)
    }

    /// An answer with `status` that makes no session.
    pub(crate) fn answer(status: Status) -> Disposition {
        Disposition::Answer {
            status,
            session: None,
            field: None,
        }
    }
}

/// A request on its way to the home shard of its session or task.
#[derive(Debug)]
pub(crate) struct Forwarded {
    /// Where the answer goes.
    pub(crate) exchange: Exchange,
    /// The session; [`SessionId::none`] of a request about a task.
    pub(crate) session: SessionId,
    /// Id of the request, for a refusal on the way.
    pub(crate) id: Option<OwnedId>,
    /// The revision named by the version header.
    pub(crate) revision: Option<Revision>,
    /// Who asks, and what of it handlers may know.
    pub(crate) caller_info: Option<Box<CallerInfo>>,
    /// What is asked for.
    pub(crate) kind: ForwardedKind,
}

/// What a forwarded request asks for.
#[derive(Debug)]
pub(crate) enum ForwardedKind {
    /// A message or a batch: the body as it arrived.
    Post(Vec<u8>),
    /// A stream for the session's messages.
    OpenStream(Opening),
    /// The end of the session.
    EndSession,
    /// The stream of this exchange is gone.
    StreamGone,
    /// A modern request about a task: the body as it arrived.
    Task(Vec<u8>),
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

/// A part of an answer that was not given at once.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Where it belongs.
    pub(crate) exchange: Exchange,
    /// What it is.
    pub(crate) part: Part,
}

impl Delivery {
    /// A message that is an answer with status 200.
    pub(crate) fn answer(exchange: Exchange, body: Vec<u8>) -> Delivery {
        let status = Status::Ok;
        let part = Part::Final { status, body };
        Delivery { exchange, part }
    }
}

/// What is delivered.
#[derive(Debug)]
pub(crate) enum Part {
    /// A message of a stream: one before the final one, or the final one of a stream that is kept.
    Event {
        /// Its id, if it is kept so that the stream can be resumed.
        id: Option<EventId>,
        /// The message; an empty one primes the client to resume.
        message: Vec<u8>,
    },
    /// One of several responses. After the last comes [`Part::Accepted`], or [`Part::Unanswered`]
    /// if the call that ended last gets no answer.
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
    /// The request gets no answer: its client has given up on it, or its session is over.
    Unanswered,
    /// Done: there is no message.
    Done,
    /// The stream is open.
    StreamOpen(StreamOwner),
    /// The stream ends here.
    StreamEnd,
    /// The stream ends here for now: its client comes back for the rest.
    StreamPause {
        /// After how many milliseconds.
        retry_ms: u64,
    },
}

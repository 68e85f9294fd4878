//! The immediate outcome of a message, and the form in which one shard passes it to another.

use corelane_protocol::binding::refusal::Category;
use corelane_protocol::jsonrpc::OwnedId;
use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::mcp::trace_context::TraceContext;

use super::exchange::{Exchange, Opening, StreamOwner};
use super::forward_budget::ForwardedBody;
use super::large_message::LargeMessage;
use super::session_id::{NewSession, SessionId};
use crate::guard::holder::HolderKey;
use crate::handler::caller_info::CallerInfo;
use crate::handler::event_queue::CallKey;

/// The immediate outcome of a message.
#[derive(Debug)]
pub(crate) enum Disposition {
    /// The message that was written is the answer.
    Answer {
        /// The category, if it is a refusal.
        refused: Option<Category>,
        /// A session that was made by the message.
        session: Option<Box<NewSession>>,
    },
    /// Accepted, without a body.
    Accepted,
    /// Done, without a body.
    Done,
    /// The answer comes later.
    Pending(Option<CallKey>),
    /// The answers of several calls of this session come later.
    PendingCalls(SessionId),
    /// The message cancels a request of the same connection, which has a channel.
    Cancel(OwnedId),
    /// The message was not handled: it must be handled again when the address of its peer is known.
    PeerNeeded,
    /// A stream is open until one side ends it.
    Stream(StreamOwner),
    /// The message belongs to a session, a task or a call of another shard.
    Forward {
        /// The home shard of its session or task.
        home: u16,
        /// The request for the home shard.
        request: Box<Forwarded>,
    },
}

impl Disposition {
    /// An answer that is no refusal.
    pub(crate) fn ok() -> Disposition {
        Disposition::answer(None)
    }

    /// An answer, or a refusal, that makes no session.
    pub(crate) fn answer(refused: Option<Category>) -> Disposition {
        Disposition::Answer {
            refused,
            session: None,
        }
    }
}

/// The sealed terms of a session on their way to its home, and the holder that it gets there.
#[derive(Debug)]
pub(crate) struct ForwardedSeal {
    /// The session as its id names it: its home may have been another one.
    pub(crate) named: SessionId,
    /// The node that made it; 0 without a cluster.
    pub(crate) node: u16,
    /// Its terms, sealed.
    pub(crate) seal: Box<[u8]>,
    /// The holder of its client.
    pub(crate) holder: HolderKey,
}

/// A request on its way to the home shard of its session or task.
#[derive(Debug)]
pub(crate) struct Forwarded {
    /// Where the answer goes.
    pub(crate) exchange: Exchange,
    /// The session; [`SessionId::none`] of a request about a task.
    pub(crate) session: SessionId,
    /// The sealed terms of the session, if its home has to make it again.
    pub(crate) seal: Option<Box<ForwardedSeal>>,
    /// Id of the request, for a refusal on the way.
    pub(crate) id: Option<OwnedId>,
    /// The revision named by the version header.
    pub(crate) revision: Option<Revision>,
    /// The principal and exposed headers.
    pub(crate) caller_info: Option<Box<CallerInfo>>,
    /// The span of the HTTP request, if spans are exported.
    pub(crate) trace: Option<TraceContext>,
    /// The kind of the request.
    pub(crate) kind: ForwardedKind,
}

impl Forwarded {
    /// A notice to the home shard of a session about the client of an exchange.
    pub(crate) fn notice(exchange: Exchange, session: SessionId, kind: ForwardedKind) -> Forwarded {
        Forwarded {
            exchange,
            session,
            seal: None,
            revision: None,
            id: None,
            caller_info: None,
            trace: None,
            kind,
        }
    }

    /// The calls that answer the request, if it is answered by calls of a session.
    pub(crate) fn answered_by(&self) -> Option<StreamOwner> {
        let is_post = matches!(self.kind, ForwardedKind::Post(_));
        is_post.then_some(StreamOwner::Calls(self.session))
    }

    /// Whether it is answered. A notice is not.
    pub(crate) fn wants_answer(&self) -> bool {
        let kind = &self.kind;
        !matches!(
            kind,
            ForwardedKind::StreamGone | ForwardedKind::ClientHungUp
        )
    }
}

/// The kind of a forwarded request.
#[derive(Debug)]
pub(crate) enum ForwardedKind {
    /// A message or a batch: the body as it arrived.
    Post(ForwardedBody),
    /// A stream for the session's messages.
    OpenStream(Opening),
    /// The end of the session.
    EndSession,
    /// The connection of this exchange is gone, which was a stream or waited for calls.
    StreamGone,
    /// The client of this exchange, which waits for calls, sends no more and may be gone.
    ClientHungUp,
    /// A modern request about a task, or one that continues a call: the body as it arrived.
    Modern(ForwardedBody),
}

impl ForwardedKind {
    /// Puts the large message in that this is of.
    pub(super) fn put(&mut self, message: Box<LargeMessage>) {
        if let ForwardedKind::Post(body) | ForwardedKind::Modern(body) = self {
            body.put(message);
        }
    }

    /// Whether this is of a POST, which brings a message.
    pub(crate) fn is_post(&self) -> bool {
        matches!(self, ForwardedKind::Post(_) | ForwardedKind::Modern(_))
    }
}

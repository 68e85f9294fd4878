//! The parts of a call in a session with an upstream of the legacy era, and of a handshake.

use corelane_gateway::relay::RelayedPart;

use super::owner::SessionOwner;

/// A step of the handshake of a session.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// The owner of the session.
    pub(crate) owner: SessionOwner,
    /// The result of `initialize`, or the error; none yet, or for a notification.
    pub(crate) answer: Option<RelayedPart>,
    /// The id of the session, if the answer has one.
    pub(crate) session: Option<Box<str>>,
    /// Whether the step is `initialize`.
    pub(crate) is_initialize: bool,
    /// Whether the upstream has accepted the notification.
    pub(crate) is_accepted: bool,
}

/// A call for an upstream of the legacy era.
#[derive(Debug)]
pub(crate) struct LegacyCall {
    /// The owner of its session.
    pub(crate) owner: SessionOwner,
    /// The body of the request; empty for the stream of the session.
    pub(crate) body: Box<[u8]>,
    /// Fields of the client that are passed on, as they are sent.
    pub(crate) forwarded: Box<[u8]>,
    /// Whether it counts among the calls of its session.
    pub(crate) is_admitted: bool,
    /// The id of the session that the request names.
    pub(crate) session: Option<Box<str>>,
    /// The number of the session that it must have, as only that has the task that it is about; of
    /// another call that of the session that it was sent in.
    pub(crate) number: Option<u64>,
    /// Whether the upstream has forgotten its session once.
    pub(crate) was_lost: bool,
}

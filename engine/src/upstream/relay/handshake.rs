//! The steps of the handshake of a session.

use corelane_gateway::relay::RelayedPart;

use crate::upstream::owner::SessionOwner;

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

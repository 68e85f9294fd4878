//! A message on its way in: its requester, and where its answer goes.

use super::exchange::Exchange;
use super::requester::Requester;
use super::session_id::SessionId;

/// What comes with every message, whatever it says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inbound<'a> {
    /// The client that sent the message.
    pub(crate) requester: &'a Requester<'a>,
    /// Where the answer goes, and what that place can carry.
    pub(crate) exchange: Exchange,
    /// The session of the connection itself, on a transport where sessions belong to connections.
    pub(crate) own_session: Option<SessionId>,
}

impl<'a> Inbound<'a> {
    /// The principal of the requester; an anonymous client has none.
    pub(super) fn principal(&self) -> Option<&'a str> {
        self.requester.principal()
    }
}

//! The owners of sessions with upstreams of the legacy era.

use std::fmt;

use corelane_protocol::mcp::capability::ClientCapabilities;

/// An owner: no two of them have one session.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum SessionOwner {
    /// This server, for lists and their changes.
    Control,
    /// All clients; the number is that of one of the processes that they share.
    Everyone(u16),
    /// The client session with these random bits.
    Session(u128, ClientCapabilities),
    /// A principal, in all of its sessions on this shard; none is an anonymous one. Its clients
    /// with other capabilities have another session.
    Principal(Option<Box<str>>, ClientCapabilities),
    /// The call with this id alone.
    Call(u64, ClientCapabilities),
}

impl SessionOwner {
    /// Whether it is a client, or a call of one, with which no other shares the session.
    pub(crate) fn is_of_client(&self) -> bool {
        !matches!(self, SessionOwner::Control | SessionOwner::Everyone(_))
    }

    /// The capabilities that the session declares: those of its client, and none if clients share
    /// it.
    pub(crate) fn capabilities(&self) -> ClientCapabilities {
        match self {
            SessionOwner::Control | SessionOwner::Everyone(_) => ClientCapabilities::default(),
            SessionOwner::Session(_, capabilities)
            | SessionOwner::Principal(_, capabilities)
            | SessionOwner::Call(_, capabilities) => *capabilities,
        }
    }
}

/// Shows neither ids of sessions nor names.
impl fmt::Debug for SessionOwner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            SessionOwner::Control => "Control",
            SessionOwner::Everyone(_) => "Everyone(..)",
            SessionOwner::Session(..) => "Session(..)",
            SessionOwner::Principal(..) => "Principal(..)",
            SessionOwner::Call(..) => "Call(..)",
        })
    }
}

//! The owners of sessions with upstreams of the legacy era.

use std::fmt;

/// An owner: no two of them have one session.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum SessionOwner {
    /// This server, for lists and their changes.
    Control,
    /// All clients; the number is that of one of the processes that they share.
    Everyone(u16),
    /// The client session with these random bits.
    Session(u128),
    /// A principal, in all of its sessions on this shard; none is an anonymous one.
    Principal(Option<Box<str>>),
    /// The call with this id alone.
    Call(u64),
}

/// Shows neither ids of sessions nor names.
impl fmt::Debug for SessionOwner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            SessionOwner::Control => "Control",
            SessionOwner::Everyone(_) => "Everyone(..)",
            SessionOwner::Session(_) => "Session(..)",
            SessionOwner::Principal(_) => "Principal(..)",
            SessionOwner::Call(_) => "Call(..)",
        })
    }
}

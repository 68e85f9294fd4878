//! The peers of connections that are known for all messages on them.
//!
//! A certificate names a peer, or the kernel does on a Unix socket; the peer of lines is looked up
//! before its first byte is read; and that of WebSocket or HTTP+SSE is the client of the handshake.
//! A connection of plain HTTP has none: each of its requests has a client of its own.

use std::collections::HashMap;

use super::holder::HolderKey;

/// The peer of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownPeer {
    /// A client with this principal.
    Principal(Box<str>),
    /// An anonymous client, with the holder that its address makes.
    Anonymous(HolderKey),
}

/// The peers of the connections of a shard, by the indexes of their slots: at most one for each.
pub type KnownPeers = HashMap<u32, KnownPeer, foldhash::fast::RandomState>;

impl KnownPeer {
    /// The principal, or else an anonymous client with this holder.
    pub fn new(principal: Option<&str>, holder: Option<HolderKey>) -> KnownPeer {
        match principal {
            Some(principal) => KnownPeer::Principal(principal.into()),
            None => KnownPeer::Anonymous(holder.unwrap_or(HolderKey::ANONYMOUS)),
        }
    }

    /// A process of the user of this host with this number: a principal such as `unix:uid=1000`.
    pub fn user(user: u32) -> KnownPeer {
        KnownPeer::Principal(format!("unix:uid={user}").into())
    }

    /// The principal that the peer has proved to be, if it has.
    pub fn principal(&self) -> Option<&str> {
        match self {
            KnownPeer::Principal(name) => Some(name),
            KnownPeer::Anonymous(_) => None,
        }
    }

    /// The holder of an anonymous client.
    pub fn holder(&self) -> HolderKey {
        match self {
            KnownPeer::Principal(_) => HolderKey::ANONYMOUS,
            KnownPeer::Anonymous(holder) => *holder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::KnownPeer;

    #[test]
    fn a_user_is_named_by_the_number() {
        for (user, expected) in [
            (0, "unix:uid=0"),
            (1000, "unix:uid=1000"),
            (u32::MAX, "unix:uid=4294967295"),
        ] {
            assert_eq!(KnownPeer::user(user).principal(), Some(expected));
        }
    }
}

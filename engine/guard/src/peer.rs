//! The peers of connections that are known for all messages on them.
//!
//! A certificate names a peer, or the kernel does on a Unix socket; the peer of lines is looked up
//! before its first byte is read; and that of WebSocket or HTTP+SSE is the client of the handshake.
//! A connection of plain HTTP has none unless the policy depends on addresses: each of its requests
//! has a client of its own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::holder::{HolderKey, Holders};
use super::identity::{Identity, Method};

/// The peer of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownPeer {
    /// The identity that the connection itself has proved.
    pub identity: Option<Arc<Identity>>,
    /// The holder of an anonymous client.
    pub holder: HolderKey,
    /// The address, if it was looked up.
    pub address: Option<IpAddr>,
    /// The path of the request that opened a channel, if one did: that of its endpoint.
    pub endpoint: Option<Box<str>>,
    /// Whether it is connected through a Unix socket.
    pub is_unix: bool,
    /// SHA-256 of the client's certificate, if it has one.
    pub certificate: Option<Box<[u8; 32]>>,
}

/// The peers of the connections of a shard, by the indexes of their slots: at most one for each.
pub type KnownPeers = HashMap<u32, KnownPeer, foldhash::fast::RandomState>;

impl KnownPeer {
    /// A client with this identity, or else an anonymous one with this holder.
    pub fn new(identity: Option<Arc<Identity>>, holder: Option<HolderKey>) -> KnownPeer {
        KnownPeer {
            identity,
            holder: holder.unwrap_or(HolderKey::ANONYMOUS),
            ..KnownPeer::default()
        }
    }

    /// An anonymous client with this holder.
    pub fn anonymous(holder: HolderKey) -> KnownPeer {
        KnownPeer::new(None, Some(holder))
    }

    /// A process of the user of this host with this number: a principal such as `unix:uid=1000`.
    pub fn user(user: u32) -> KnownPeer {
        let subject = format!("unix:uid={user}");
        let identity = Identity::new(Method::UnixPeer, "", &subject);
        KnownPeer {
            is_unix: true,
            ..KnownPeer::new(Some(Arc::new(identity)), None)
        }
    }

    /// The parent of this process, on standard input and output: the principal is the name that the
    /// environment gives, or else the user with this number.
    pub fn parent(name: Option<&str>, user: u32) -> KnownPeer {
        let of_user = format!("process:uid={user}");
        let identity = Identity::new(Method::Process, "", name.unwrap_or(&of_user));
        KnownPeer::new(Some(Arc::new(identity)), None)
    }

    /// The source that credentials of its requests come from: the peer itself if it has a name, or
    /// else its address.
    pub fn source(&self) -> HolderKey {
        let identity = self.identity.as_ref();
        let named = |it: &Arc<Identity>| Holders::default().of_principal(it.principal_key());
        identity.map_or(self.holder, named)
    }

    /// A client with a certificate that names this subject and has this SHA-256.
    pub fn certified(subject: &str, certificate: [u8; 32]) -> KnownPeer {
        let identity = Identity::new(Method::Certificate, "", subject);
        KnownPeer {
            certificate: Some(Box::new(certificate)),
            ..KnownPeer::new(Some(Arc::new(identity)), None)
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
            let identity = KnownPeer::user(user).identity.expect("a user");
            assert_eq!(&*identity.subject, expected);
        }
    }

    #[test]
    fn a_parent_has_the_name_of_the_environment_or_of_the_user() {
        for (name, expected) in [
            (Some("ci"), "process::ci"),
            (None, "process::process:uid=7"),
        ] {
            let identity = KnownPeer::parent(name, 7).identity.expect("a parent");
            assert_eq!(identity.principal_key(), expected);
        }
    }
}

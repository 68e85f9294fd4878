//! Session ids: 128 random bits and the shard where the session lives, and on the wire, behind
//! them, the sealed terms of the session.

use std::fmt;

use corelane_protocol::request_state::SESSION_SEAL_CHARS;

use super::home_id::{self, HOME_DIGITS, HOME_ID_BYTES};

/// Names a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
// Eighteen bytes rather than thirty-two: connections and sessions hold them by the million.
#[repr(Rust, packed(2))]
pub(crate) struct SessionId {
    /// The shard that owns the session.
    pub(crate) home: u16,
    /// Cannot be guessed.
    pub(crate) random: u128,
}

impl SessionId {
    /// The id of no session: it names the shard only.
    pub(crate) fn none(home: u16) -> SessionId {
        SessionId { home, random: 0 }
    }

    /// The same session in a process with so many shards, which may be fewer than in the one that
    /// made it.
    pub(crate) fn among(self, shards: u16) -> SessionId {
        let home = match self.home < shards {
            true => self.home,
            false => (self.random % u128::from(shards)) as u16,
        };
        SessionId { home, ..self }
    }

    /// The first part of the id as it is on the wire.
    pub(crate) fn to_text(self) -> [u8; HOME_ID_BYTES] {
        home_id::to_text(self.home, self.random)
    }
}

/// The length of an id of a cluster, which begins with four digits of the node that made it: a
/// balancer can send its requests there without a table.
const CLUSTER_ID_CHARS: usize = HOME_DIGITS + HOME_ID_BYTES + SESSION_SEAL_CHARS;

/// An id as it is on the wire.
#[derive(Clone, Copy)]
pub(crate) struct NamedSession<'a> {
    /// The session.
    pub(crate) id: SessionId,
    /// The node of a cluster that made it; 0 without a cluster.
    pub(crate) node: u16,
    /// Its terms, sealed; empty if ids carry none.
    pub(crate) seal: &'a [u8],
}

impl<'a> NamedSession<'a> {
    /// Reads an id; `None` for anything this server never made.
    pub(crate) fn parse(text: &'a [u8]) -> Option<NamedSession<'a>> {
        let (node, text) = match text.len() == CLUSTER_ID_CHARS {
            true => home_id::parse_node(text)?,
            false => (0, text),
        };
        let (head, seal) = text.split_at_checked(HOME_ID_BYTES)?;
        let (home, random) = home_id::parse(head)?;
        let id = SessionId { home, random };
        let has_seal = seal.is_empty() || seal.len() == SESSION_SEAL_CHARS;
        has_seal.then_some(NamedSession { id, node, seal })
    }
}

/// The id of a session that was just made, in memory and as it is on the wire.
pub(crate) struct NewSession {
    /// The session.
    pub(crate) id: SessionId,
    /// Its id in visible ASCII.
    pub(crate) text: Box<[u8]>,
}

impl fmt::Debug for NewSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(formatter)
    }
}

/// A log must not allow its reader to take over a session: only the home shard is shown.
impl fmt::Debug for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SessionId({:04x}..)", self.home)
    }
}

#[cfg(test)]
mod tests {
    use super::{NamedSession, SessionId};

    #[test]
    fn is_read_back_from_its_text_and_shows_no_random_bits() {
        let (home, random) = (0xbeef, 0x0123_4567_89ab_cdef << 50);
        let id = SessionId { home, random };
        let parse = |text: &[u8]| {
            let named = NamedSession::parse(text)?;
            Some((named.id, named.node, named.seal.len()))
        };
        let head = id.to_text();
        assert_eq!(parse(&head), Some((id, 0, 0)));
        let sealed = [&head[..], &[b'A'; 34]].concat();
        assert_eq!(parse(&sealed), Some((id, 0, 34)));
        let of_node = |digits: &[u8]| parse(&[digits, &sealed].concat());
        assert_eq!(of_node(b"0fff"), Some((id, 4_095, 34)));
        assert_eq!((of_node(b"0fFf"), of_node(b"fff")), (None, None));
        for other in [
            &head[1..],
            &[&head[..], &[b'A'; 33]].concat(),
            b"",
            &[b'A'; 70],
        ] {
            assert_eq!(parse(other), None);
        }
        assert_eq!(format!("{id:?}"), "SessionId(beef..)");
    }
}

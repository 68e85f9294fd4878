//! One peer of an upstream with lines, which opens or is open.

use std::collections::HashMap;

use corelane_io::slots::SlotKey;

use crate::upstream::owner::SessionOwner;
use crate::upstream::relay::RelayKey;

/// The peers of one upstream, by the owners of their sessions.
#[derive(Debug, Default)]
pub(super) struct Peers {
    pub(super) by_owner: HashMap<SessionOwner, Peer, foldhash::fast::RandomState>,
}

/// One peer.
#[derive(Debug)]
pub(super) enum Peer {
    /// It opens, and these calls wait for it.
    Opening {
        /// The number of the request for a process.
        number: u64,
        /// See above.
        waiting: Vec<RelayKey>,
    },
    /// Its link.
    Open(SlotKey),
}

impl Peers {
    /// The owner of the peer that was requested with this number.
    pub(super) fn owner_of(&self, number: u64) -> Option<SessionOwner> {
        let mut all = self.by_owner.iter();
        let found = all.find(|(_, peer)| match peer {
            Peer::Opening { number: its, .. } => *its == number,
            Peer::Open(_) => false,
        });
        found.map(|(owner, _)| owner.clone())
    }
}

//! The messages between the shards of a node and the thread of its cluster.
//!
//! A shard serves its sessions by itself. It leaves an event when one changes or ends, and when a
//! client names one that it does not have; the thread answers through the lanes. A shard never
//! waits for it, and a server without a cluster has no board.
//!
//! Invariant: an event that is not taken comes back to the shard, which keeps or refuses it.

use std::fmt;

/// The partition of a resource among the nodes: all of them agree on it.
#[cfg(feature = "cluster")]
pub(crate) use corelane_cluster::partition_of;
/// Without a cluster there are no partitions.
#[cfg(not(feature = "cluster"))]
pub(crate) fn partition_of(_: &str) -> u16 {
    0
}

/// Events of all shards that wait for the thread.
#[cfg(feature = "cluster")]
pub(crate) const EVENTS_MAX: usize = 8_192;

/// A session, as its id and its client name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterSession {
    /// Its random bits.
    pub(crate) random: u128,
    /// The node that made it.
    pub(crate) node: u16,
    /// The shard there.
    pub(crate) home: u16,
    /// Its principal.
    pub(crate) principal: Option<Box<str>>,
    /// The revision, the capabilities, and when it was made, in unix seconds.
    pub(crate) birth: (u8, u8, u64),
}

/// The part of a session that its client changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClusterState {
    /// The log level, by its place among all levels.
    pub(crate) level: Option<u8>,
    /// The resources to which it subscribed.
    pub(crate) uris: Vec<Box<str>>,
}

/// An event of a shard.
#[derive(Debug)]
pub(crate) enum ClusterEvent {
    /// A client names a session that this shard does not have, or is not sure to own.
    LookUp(u16, Box<ClusterSession>),
    /// A session is in this state.
    Changed(Box<(ClusterSession, ClusterState)>),
    /// The client of a session ends it, and waits.
    Delete(u16, Box<ClusterSession>),
    /// A session that the cluster knows is not here any more: it expired, or was evicted.
    Gone {
        /// Its random bits.
        random: u128,
        /// Whether it ends with that.
        has_expired: bool,
    },
}

/// A message of the thread to a shard.
#[derive(Debug)]
pub(crate) enum ClusterMessage {
    /// Serve the session, in this state if it ever changed.
    Serve(u128, Option<Box<ClusterState>>),
    /// There is no such session any more.
    Missing(u128),
    /// It cannot be served now, for this reason.
    Busy(u128, &'static str),
    /// The end of the session is known to the cluster.
    Ended(u128),
    /// Another node has the session: no request of it is served here before it is looked up.
    Leave(u128),
    /// Others may have taken any session: each is looked up before its next request.
    Doubt,
}

type Leave = dyn Fn(ClusterEvent) -> Result<(), ClusterEvent> + Send + Sync;

/// Where shards leave their events.
pub(crate) struct ClusterBoard {
    /// The number of this node.
    pub(crate) node: u16,
    leave: Box<Leave>,
}

impl ClusterBoard {
    /// A board of this node, whose thread takes events with `leave` or gives them back.
    pub(crate) fn new(
        node: u16,
        leave: impl Fn(ClusterEvent) -> Result<(), ClusterEvent> + Send + Sync + 'static,
    ) -> ClusterBoard {
        let leave = Box::new(leave);
        ClusterBoard { node, leave }
    }

    /// Leaves an event.
    ///
    /// # Errors
    /// Too many wait, or the thread has ended: the event comes back.
    pub(crate) fn leave(&self, event: ClusterEvent) -> Result<(), ClusterEvent> {
        (self.leave)(event)
    }
}

impl fmt::Debug for ClusterBoard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = &self.node;
        formatter
            .debug_struct("ClusterBoard")
            .field("node", node)
            .finish_non_exhaustive()
    }
}

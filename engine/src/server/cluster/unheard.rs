//! Events of shards that the core could not take yet.

use std::collections::BTreeMap;
use std::time::Instant;

use corelane_cluster::vocabulary::SessionKey;

use crate::cluster::{ClusterSession, ClusterState};

/// Events that the core could not take yet. They are of sessions of this node, which bound them.
#[derive(Debug, Default)]
pub(super) struct Unheard {
    /// The last state of sessions, from before this node joined.
    pub(super) states: BTreeMap<SessionKey, (ClusterSession, ClusterState)>,
    /// Sessions that left their shard, each with whether it had expired.
    pub(super) departed: BTreeMap<SessionKey, bool>,
    /// When they were last tried.
    pub(super) tried: Option<Instant>,
}

impl Unheard {
    pub(super) fn len(&self) -> usize {
        self.states.len() + self.departed.len()
    }
}

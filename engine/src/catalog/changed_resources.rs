//! Resources that changed, until a shard has broadcast them.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::cluster::partition_of;

/// The most changed resources that wait for one shard.
pub(crate) const UPDATES_MAX: usize = 4096;

/// Resources that changed. The URIs of a cluster are in partitions, by their hash: where its nodes
/// do not know which of a partition changed, all of them count as changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ChangedResources {
    uris: HashSet<Arc<str>>,
    /// Bounded by the number of partitions.
    partitions: BTreeSet<u16>,
}

impl ChangedResources {
    pub(crate) fn is_empty(&self) -> bool {
        self.uris.is_empty() && self.partitions.is_empty()
    }

    /// Adds a resource; false if too many wait.
    pub(crate) fn insert(&mut self, uri: &Arc<str>) -> bool {
        if self.uris.len() < UPDATES_MAX {
            self.uris.insert(Arc::clone(uri));
            return true;
        }
        self.uris.contains(uri)
    }

    /// Adds all resources of a partition.
    #[cfg(feature = "cluster")]
    pub(crate) fn insert_partition(&mut self, partition: u16) {
        self.partitions.insert(partition);
    }

    /// Whether the resource at `uri` changed.
    pub(crate) fn contains(&self, uri: &str) -> bool {
        let is_of_partition = || self.partitions.contains(&partition_of(uri));
        self.uris.contains(uri) || !self.partitions.is_empty() && is_of_partition()
    }

    /// The resources that are known to have changed.
    #[cfg(any(test, feature = "cluster"))]
    pub(crate) fn uris(&self) -> &HashSet<Arc<str>> {
        &self.uris
    }
}

#[cfg(all(test, feature = "cluster"))]
mod tests {
    use super::{ChangedResources, UPDATES_MAX};
    use crate::cluster::partition_of;

    #[test]
    fn a_partition_stands_for_its_resources_when_there_is_no_more_room() {
        let mut changed = ChangedResources::default();
        for at in 0..UPDATES_MAX {
            assert!(changed.insert(&format!("a:{at}").into()));
        }
        assert!(changed.insert(&"a:0".into()) && !changed.insert(&"b:0".into()));
        assert!(!changed.contains("b:0"));
        changed.insert_partition(partition_of("b:0"));
        assert!(changed.contains("b:0") && changed.contains("a:1"));
        let other = (1..).map(|at| format!("b:{at}"));
        let mut other = other.filter(|uri| partition_of(uri) != partition_of("b:0"));
        assert!(other.next().is_some_and(|uri| !changed.contains(&uri)));
    }
}

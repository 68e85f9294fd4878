//! Changes of lists and resources: those of this node to the others, and theirs to its shards.
//!
//! Both ways end at pending updates, where changes coalesce; so no queue stands between.

use std::sync::Arc;

use corelane_cluster::cluster::Cluster;
use corelane_cluster::id::Now;
use corelane_cluster::settings::PARTITIONS;
use corelane_cluster::vocabulary::Output;
use corelane_protocol::mcp::subscription::ListKind;

use crate::catalog::pending_updates::{PendingUpdates, ShardUpdates};
use crate::cluster::partition_of;
use crate::server::handle::ServerHandle;

/// The lists of a heartbeat, in their order there, which is that of the fingerprints of a plan.
const LISTS: [ListKind; 3] = [ListKind::Tools, ListKind::Resources, ListKind::Prompts];

/// The changes of a node on their way to and from the others.
pub(super) struct Fanout {
    handle: ServerHandle,
    /// Changes of this node. The shards leave nothing more here once this is dropped.
    own: Arc<ShardUpdates>,
    are_lists_known: bool,
}

impl Fanout {
    /// Of a server that is yet to start.
    pub(super) fn new(handle: &ServerHandle) -> Fanout {
        Fanout {
            handle: handle.clone(),
            own: handle.updates().for_cluster(),
            are_lists_known: false,
        }
    }

    fn updates(&self) -> &PendingUpdates {
        self.handle.updates()
    }

    /// Leaves a change of another node for the shards.
    pub(super) fn on_output(&self, output: Output) {
        match output {
            Output::Updated(uri) => {
                let (partition, uri) = (partition_of(&uri), Arc::from(uri));
                self.updates().leave(|changes| {
                    if !changes.resources.insert(&uri) {
                        changes.resources.insert_partition(partition);
                    }
                });
            }
            Output::AllUpdated(partition) => {
                let updates = self.updates();
                updates.leave(|changes| changes.resources.insert_partition(partition));
            }
            Output::ListChanged(index) => {
                self.updates()
                    .leave(|changes| changes.lists.insert(LISTS[index]));
            }
            _ => {}
        }
    }

    /// Gives changes of this node to the core, which publishes them.
    pub(super) fn publish(&mut self, core: &mut Cluster, now: Now) {
        let changes = self.own.take(true).unwrap_or_default();
        for uri in changes.resources.uris() {
            core.resource_updated(now, uri);
        }
        if self.are_lists_known && changes.lists.is_empty() {
            return;
        }
        // Nothing before the shards start.
        if let Some(plan) = self.updates().latest()
            && let Ok(generations) = plan.fingerprints().try_into()
        {
            self.are_lists_known = true;
            core.set_lists(now, generations);
        }
    }
}

/// The node follows all updates of the others: any of its clients may subscribe to any resource.
pub(super) fn follow_all(core: &mut Cluster, now: Now) {
    for partition in 0..PARTITIONS {
        core.set_interest(now, partition, true);
    }
}

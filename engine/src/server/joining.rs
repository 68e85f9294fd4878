//! The start of a server that is a node of a cluster.

use std::sync::Arc;

use corelane_protocol::request_state::Sealer;

use super::error::Result;
use super::handle::ServerHandle;
use super::{ClusterStart, RunningServer};
use crate::mcp::ServerParts;
use crate::profile::Profile;
use crate::shard::{ShardControl, ShardMessage};
use corelane_io::lanes::{LaneReceiver, LaneSender, Mesh};

/// Both ends of the lanes of one shard.
type Ends = (LaneSender<ShardMessage>, LaneReceiver<ShardMessage>);
/// A node whose thread is to be started, with its lanes to the shards.
type Joining = (ClusterStart, LaneSender<ShardMessage>);

/// The lanes among so many shards. If the server is to be a node of a cluster, its thread sends to
/// the shards as they do to each other, and the parts have its board.
///
/// # Errors
/// The program was built without the feature for it.
pub(super) fn lanes(
    profile: &Profile,
    shards: usize,
    parts: &mut ServerParts,
    handle: &ServerHandle,
) -> Result<(Vec<Ends>, Option<Joining>)> {
    let cluster = ClusterStart::of(profile, handle)?;
    parts.cluster = cluster.as_ref().map(ClusterStart::board);
    let outside = usize::from(cluster.is_some());
    let mut mesh = Mesh::new(shards, outside, profile.lanes.limits());
    let sender = mesh.senders.split_off(shards).pop();
    let ends = mesh.senders.into_iter().zip(mesh.receivers);
    Ok((ends.collect(), cluster.zip(sender)))
}

impl RunningServer {
    /// Joins a cluster, if the server is to be a node of one.
    ///
    /// # Errors
    /// The node cannot join.
    pub(super) fn join(
        &mut self,
        cluster: Option<Joining>,
        profile: &Profile,
        keys: &Arc<Sealer>,
        shards: &[Arc<ShardControl>],
    ) -> Result<()> {
        if let Some((cluster, sender)) = cluster {
            let of_server = (shards.to_vec(), self.events());
            self.cluster = Some(cluster.start(profile, keys, sender, of_server)?);
        }
        Ok(())
    }
}

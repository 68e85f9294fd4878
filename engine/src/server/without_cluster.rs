//! The place of a cluster in a build without the feature `cluster`: a server is no node.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use corelane_protocol::request_state::Sealer;

use super::error::{Error, Result};
use super::event::Event;
use super::handle::ServerHandle;
use crate::cluster::ClusterBoard;
use crate::profile::Profile;
use crate::shard::{ShardControl, ShardMessage};
use corelane_io::lanes::LaneSender;

/// Requests for the thread of a cluster: there is none.
#[derive(Clone, Debug)]
pub(super) enum ClusterRequests {}

/// A node that was configured: none.
pub(super) enum ClusterStart {}

/// The thread of a cluster: none.
#[derive(Debug)]
pub(super) enum ClusterThread {}

impl ClusterStart {
    pub(super) fn of(profile: &Profile, _: &ServerHandle) -> Result<Option<ClusterStart>> {
        match profile.cluster.name {
            None => Ok(None),
            Some(_) => Err(Error::Public(
                "cluster.name of the profile: the program was built without the feature cluster"
                    .to_owned(),
            )),
        }
    }

    pub(super) fn board(&self) -> Arc<ClusterBoard> {
        match *self {}
    }

    pub(super) fn start(
        self,
        _: &Profile,
        _: &Arc<Sealer>,
        _: LaneSender<ShardMessage>,
        _: (Vec<Arc<ShardControl>>, Sender<Event>),
    ) -> Result<ClusterThread> {
        match self {}
    }
}

impl ClusterRequests {
    #[cfg(feature = "metrics")]
    pub(super) fn status(&self) -> Option<serde_json::Value> {
        match *self {}
    }

    #[cfg(feature = "metrics")]
    pub(super) fn finalize(&self) -> std::result::Result<(u8, u8), String> {
        match *self {}
    }

    pub(super) fn check_keys(&self, _: &Sealer) -> std::result::Result<(), String> {
        match *self {}
    }

    pub(super) fn set_keys(&self, _: &Arc<Sealer>) {
        match *self {}
    }
}

impl ClusterThread {
    pub(super) fn requests(&self) -> ClusterRequests {
        match *self {}
    }

    pub(super) fn begin_drain(&self) {
        match *self {}
    }
}

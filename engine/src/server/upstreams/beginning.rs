//! The board with which shards begin: they see the same upstreams as the thread that reads the
//! lists.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use corelane_protocol::mcp::revision::Revision;

use super::instances::Instances;
use super::outcomes::Outcomes;
use super::served::ServedUpstream;
use crate::mcp::ServerParts;
use crate::upstream::board::UpstreamBoard;
use crate::upstream::endpoint::UpstreamTable;

/// The board of a server with these upstreams.
pub(in crate::server) fn board_of(
    upstreams: &[ServedUpstream],
    parts: &ServerParts,
    shards: usize,
) -> Arc<UpstreamBoard> {
    let client_info = parts.description.server_info(Revision::V2026_07_28);
    // As the thread that reads the lists begins.
    let instances = Instances::new(upstreams.to_vec(), shards, Instant::now());
    let outcomes = Outcomes::of(instances.list_states(), SystemTime::now());
    let table = UpstreamTable {
        client_info: String::from_utf8_lossy(&client_info).into(),
        endpoints: instances.endpoints(),
        notice: outcomes.notice(),
    };
    Arc::new(UpstreamBoard::new(table, shards))
}

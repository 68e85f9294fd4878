//! The parts that all shards of a server share.

use std::sync::Arc;

use corelane_protocol::mcp::lifecycle::ServerDescription;
use corelane_protocol::request_state::Sealer;

use crate::audit::AuditLog;
use crate::catalog::Plan;
use crate::cluster::ClusterBoard;
use crate::guard::limit::board::QuotaBoard;
use crate::handler::caller_info::ExposedHeaders;
use crate::handler::state::StateMaker;
use crate::upstream::board::UpstreamBoard;

/// The parts that all shards of a server share. They are never written while the shards run.
#[derive(Clone)]
pub(crate) struct ServerParts {
    /// The description of the server.
    pub(crate) description: Arc<ServerDescription>,
    /// The initial catalog.
    pub(crate) plan: Arc<Plan>,
    /// Seals the states that modern clients return with their responses.
    pub(crate) sealer: Arc<Sealer>,
    /// The headers that handlers may see.
    pub(crate) exposed: Arc<ExposedHeaders>,
    /// The values that the server's author gave to handlers.
    pub(crate) states: Arc<[StateMaker]>,
    /// Where the sums of quotas outlive the process, if they do.
    pub(crate) quotas: Option<Arc<QuotaBoard>>,
    /// The upstreams, if there are any.
    pub(crate) upstreams: Option<Arc<UpstreamBoard>>,
    /// The cluster, if the server is a node of one.
    pub(crate) cluster: Option<Arc<ClusterBoard>>,
    /// The audit log, if there is one.
    pub(crate) audit: Option<AuditLog>,
}

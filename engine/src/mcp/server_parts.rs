//! What all shards of a server have in common.

use std::sync::Arc;

use corelane_protocol::mcp::lifecycle::ServerDescription;
use corelane_protocol::request_state::Sealer;

use crate::catalog::Plan;
use crate::handler::caller_info::ExposedHeaders;
use crate::handler::state::StateMaker;

/// What all shards of a server have in common. None of it is written to while they run.
#[derive(Clone)]
pub(crate) struct ServerParts {
    /// Who the server is.
    pub(crate) description: Arc<ServerDescription>,
    /// What it offers at first.
    pub(crate) plan: Arc<Plan>,
    /// Seals what modern clients bring back with their answers.
    pub(crate) sealer: Arc<Sealer>,
    /// The headers that handlers may see.
    pub(crate) exposed: Arc<ExposedHeaders>,
    /// What its author gave to handlers.
    pub(crate) states: Arc<[StateMaker]>,
}

//! A call for an upstream, before it is begun.

use corelane_gateway::relay::{Input, Replaced, RequestFault, TaskMode};
use corelane_protocol::binding::header_param::{self, HeaderParam};
use corelane_protocol::framing::http1::RequestFieldError;
use corelane_protocol::jsonrpc::find_members;
use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::logging::LogLevel;
use serde_json::Map;

use crate::guard::subject::SubjectToken;
use crate::upstream::owner::SessionOwner;

/// A call for an upstream.
#[derive(Clone, Debug)]
pub(crate) struct NewRelay<'a> {
    /// The number of the upstream.
    pub(crate) upstream: u16,
    /// The method.
    pub(crate) method: &'static str,
    /// The owner of its session; none for an upstream without sessions.
    pub(crate) owner: Option<SessionOwner>,
    /// The member by which the upstream finds its entry.
    pub(crate) replaced: Option<Replaced<'a>>,
    /// The params as the client sent them, a JSON object.
    pub(crate) params: &'a [u8],
    /// Arguments that clients do not choose.
    pub(crate) fixed: Option<&'a Map<String, serde_json::Value>>,
    /// Arguments that are repeated in the head.
    pub(crate) header_params: &'a [HeaderParam],
    /// The answers of the client to requests of the upstream.
    pub(crate) input: Input<'a>,
    /// The capabilities of the client that the upstream may use.
    pub(crate) capabilities: ClientCapabilities,
    /// Fields of the client that are passed on, as they are sent.
    pub(crate) forwarded: &'a [u8],
    /// The least severe log messages for the client.
    pub(crate) log_level: Option<LogLevel>,
    /// Whether the client gets reports of progress.
    pub(crate) has_progress: bool,
    /// Whether the call may be made twice.
    pub(crate) is_repeatable: bool,
    /// Whether it may become a task.
    pub(crate) task: TaskMode<'a>,
    /// The task that it is about, for requests of a legacy upstream to a legacy client.
    pub(crate) about: Option<AboutTask<'a>>,
    /// Whose credential it has, if tokens of clients are exchanged for its upstream.
    pub(crate) bearer: Bearer<'a>,
}

/// The task that a request is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AboutTask<'a> {
    /// The name that the client knows.
    pub(crate) name: &'a str,
    /// The number of the session that has it; none if the upstream has no sessions.
    pub(crate) session: Option<u64>,
    /// The number of the replica that has it.
    pub(crate) replica: u16,
}

/// Why a call is not begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    /// Its params.
    #[error(transparent)]
    Request(#[from] RequestFault),
    /// A value that no field can have.
    #[error(transparent)]
    Field(#[from] RequestFieldError),
}

impl NewRelay<'_> {
    /// The fields that repeat arguments. They are computed from the arguments that are sent.
    pub(super) fn mirrored(&self) -> Vec<(String, String)> {
        let found = find_members(self.params, 0..self.params.len(), ["arguments"]);
        let sent = found.ok().and_then(|[arguments]| arguments);
        let arguments = sent.and_then(|range| serde_json::from_slice(&self.params[range]).ok());
        let mut arguments = arguments.unwrap_or_else(|| serde_json::Value::Object(Map::new()));
        if let (Some(fixed), Some(members)) = (self.fixed, arguments.as_object_mut()) {
            members.extend(fixed.clone());
        }
        header_param::mirror(self.header_params, &arguments)
    }
}

/// Whose credential a request has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bearer<'a> {
    /// That of this server.
    Server,
    /// That of a client, for which its token is exchanged.
    Client(Option<&'a SubjectToken>),
}

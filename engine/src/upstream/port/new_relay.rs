//! A call for an upstream that is to be begun.

use corelane_gateway::relay::{Input, Replaced};
use corelane_protocol::binding::header_param::HeaderParam;
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
    /// Whose credential it has, if tokens of clients are exchanged for its upstream.
    pub(crate) bearer: Bearer<'a>,
}

/// Whose credential a request has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bearer<'a> {
    /// That of this server.
    Server,
    /// That of a client, for which its token is exchanged.
    Client(Option<&'a SubjectToken>),
}

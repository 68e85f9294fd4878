//! The parts of the answers of upstreams from which the control side learns.

use corelane_gateway::catalog::{Entry, ListKind};
use corelane_gateway::relay::RelayedPart;
use corelane_protocol::binding::header_param::{self, HeaderParam};
use corelane_protocol::jsonrpc::METHOD_NOT_FOUND;
use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::mcp::subscription;
use serde::Deserialize;

/// The parts of the result of `server/discover` that decide.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discovered {
    supported_versions: Vec<String>,
    #[serde(default)]
    capabilities: Capabilities,
}

/// The capabilities of an upstream that matter here.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Capabilities {
    tools: Option<Capability>,
    prompts: Option<Capability>,
    resources: Option<Capability>,
    /// Whether it suggests values for arguments.
    pub(super) completions: Option<Capability>,
}

/// One capability.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Capability {
    /// Whether changes of the list are reported.
    list_changed: bool,
}

impl Capabilities {
    /// The lists that it has.
    pub(super) fn lists(self) -> impl Iterator<Item = ListKind> {
        ListKind::ALL.into_iter().filter(move |kind| {
            let capability = match kind {
                ListKind::Tools => self.tools,
                ListKind::Prompts => self.prompts,
                ListKind::Resources | ListKind::Templates => self.resources,
            };
            capability.is_some()
        })
    }

    /// The lists whose changes it reports.
    pub(super) fn reported(self) -> Vec<subscription::ListKind> {
        let kinds = subscription::ListKind::ALL.into_iter();
        let kinds = kinds.zip([self.tools, self.prompts, self.resources]);
        let kinds = kinds.filter(|(_, it)| it.is_some_and(|it| it.list_changed));
        kinds.map(|(kind, _)| kind).collect()
    }
}

/// The arguments of a tool that requests repeat in their heads.
///
/// # Errors
/// It has no schema, or requests with wrong fields would be refused (MCP 2026-07-28
/// basic/transports).
pub(super) fn header_params_of(tool: &Entry) -> Result<Vec<HeaderParam>, String> {
    let schema = tool.raw("inputSchema").ok_or("it has no inputSchema")?;
    let schema = serde_json::from_str(schema.get()).map_err(|error| error.to_string())?;
    header_param::collect(&schema).map_err(|error| error.to_string())
}

/// The result of an answer.
///
/// # Errors
/// The error that it is instead.
pub(super) fn answered(part: &RelayedPart) -> Result<&str, String> {
    match part {
        RelayedPart::Result { json, .. } => Ok(str::from_utf8(json).unwrap_or_default()),
        RelayedPart::Error(error) => Err(String::from_utf8_lossy(error).into_owned()),
    }
}

/// Whether a server refuses a list as a method that it does not have: its list is empty then, as
/// servers with resources need not have templates.
pub(super) fn lacks_method(error: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Refusal {
        code: i64,
    }
    let error = serde_json::from_slice::<Refusal>(error);
    error.is_ok_and(|error| error.code == METHOD_NOT_FOUND)
}

/// The capabilities of a server that describes itself like this.
///
/// # Errors
/// It speaks no revision of the modern era.
pub(super) fn discovered(json: &str) -> Result<Capabilities, String> {
    let found: Discovered = serde_json::from_str(json)
        .map_err(|error| format!("the result of server/discover: {error}"))?;
    let revision = Revision::V2026_07_28.as_str();
    match found.supported_versions.iter().any(|it| it == revision) {
        true => Ok(found.capabilities),
        false => Err(format!("it does not speak the revision {revision}")),
    }
}

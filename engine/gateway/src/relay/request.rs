//! The body of a request to an upstream, from the params of the client's.
//!
//! `name`, `uri`, `taskId`, `task` and `_meta` are written anew, and so are the answers of the
//! client to requests of the upstream.

use std::ops::Range;

use corelane_protocol::jsonrpc::encode::{self, ObjectWriter};
use corelane_protocol::jsonrpc::{Id, MembersFault, divide_members, is_name, visit_members};
use corelane_protocol::mcp::capability::{ClientCapabilities, ClientCapability};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::logging::LogLevel;
use corelane_protocol::mcp::meta;
use corelane_protocol::mcp::revision::Revision;

/// Members of `params` of which two readers could read different ones.
const ROUTED: [&str; 9] = [
    "name",
    "uri",
    "ref",
    "arguments",
    "_meta",
    "requestState",
    "inputResponses",
    "taskId",
    "task",
];
/// The start of members of `_meta` that belong to one hop (MCP 2026-07-28 basic, "Meta").
const RESERVED_META: &str = "io.modelcontextprotocol/";

/// The parts of `_meta` that this server writes for its own hop.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// The era of the upstream: in the legacy one, the session has what a modern request repeats.
    pub era: Era,
    /// The name and version of this server, as a JSON object.
    pub client_info: &'a str,
    /// The capabilities of the client for which it is made.
    pub capabilities: ClientCapabilities,
    /// The least severe log messages that the client gets; none if it gets none.
    pub log_level: Option<LogLevel>,
    /// Whether the client gets reports of progress. Their token is the id.
    pub has_progress: bool,
    /// Whether the call may become a task.
    pub task: TaskMode<'a>,
}

/// Whether a call may become a task of the upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskMode<'a> {
    /// It may not.
    #[default]
    None,
    /// A modern upstream decides: the capability for tasks is declared.
    Declared,
    /// A legacy upstream makes it one, with these options, an object.
    Requested(&'a [u8]),
}

/// The member of `params` by which a request is routed, with its text for the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced<'a> {
    /// The name of a tool or a prompt.
    Name(&'a str),
    /// The URI of a resource.
    Uri(&'a str),
    /// A reference to the prompt with this name.
    PromptRef(&'a str),
    /// A reference to the template with this text.
    TemplateRef(&'a str),
    /// The id of a task.
    Task(&'a str),
}

/// A request for an upstream.
#[derive(Clone, Copy, Debug)]
pub struct RelayedRequest<'a> {
    /// Its id on the link, at most 2^53.
    pub id: u64,
    /// The method.
    pub method: &'a str,
    /// The params as the client sent them: the text of a JSON object that was decoded before.
    pub params: &'a [u8],
    /// The member of `params` that is written for the upstream.
    pub replaced: Option<Replaced<'a>>,
    /// Arguments that clients do not choose.
    pub fixed: Option<&'a serde_json::Map<String, serde_json::Value>>,
    /// The answers to requests of the upstream.
    pub input: Input<'a>,
    /// The members of `_meta` for this hop.
    pub hop: Hop<'a>,
}

/// The answers of a client to requests of the upstream, and the state that this gave with them, as
/// JSON (MCP 2026-07-28 basic/patterns/mrtr).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Input<'a> {
    /// The answers, an object.
    pub responses: Option<&'a [u8]>,
    /// The state, a string.
    pub state: Option<&'a [u8]>,
}

/// Why a request is not relayed: its client's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// A member is there twice, or params, arguments or `_meta` are no object.
    #[error(transparent)]
    Members(#[from] MembersFault),
    /// A client chose an argument that the configuration fixes.
    #[error("the argument {0:?} is set by the server: leave it out")]
    Fixed(String),
}

/// Appends the body of the request.
///
/// ```
/// use corelane_gateway::relay::{Hop, Input, RelayedRequest, Replaced, TaskMode, write_body};
/// use corelane_protocol::mcp::capability::ClientCapabilities;
/// use corelane_protocol::mcp::era::Era;
///
/// let request = RelayedRequest {
///     id: 7,
///     method: "tools/call",
///     params: br#"{"name":"git_log","arguments":{"n":1e400}}"#,
///     replaced: Some(Replaced::Name("log")),
///     fixed: None,
///     input: Input::default(),
///     hop: Hop {
///         era: Era::Modern,
///         client_info: "{}",
///         capabilities: ClientCapabilities::default(),
///         log_level: None,
///         has_progress: false,
///         task: TaskMode::None,
///     },
/// };
/// let mut body = Vec::new();
/// write_body(&mut body, &request)?;
/// let start = br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"log","#;
/// assert!(body.starts_with(start));
/// # Ok::<(), corelane_gateway::relay::RequestFault>(())
/// ```
///
/// # Errors
/// [`RequestFault`]; `out` has a part of the body then.
pub fn write_body(out: &mut Vec<u8>, request: &RelayedRequest<'_>) -> Result<(), RequestFault> {
    let params = request.params;
    let fixed = request.fixed.filter(|fixed| !fixed.is_empty());
    encode::begin_request(out, Id::Unsigned(request.id), request.method);
    let mut object = ObjectWriter::begin(out);
    if let Some(replaced) = request.replaced {
        replaced.write(object.name(replaced.member()));
    }
    // Refuses duplicates: the check of permissions and the upstream could read different ones.
    let found = divide_members(params, 0..params.len(), ROUTED, |name, value| {
        object.copy(name, &params[value]);
    })?;
    let [name, uri, reference, arguments, sent_meta, _, _, task_id, _] = found;
    let sent_arguments = arguments.clone().filter(|_| fixed.is_none());
    for (name, value) in [
        ("name", name),
        ("uri", uri),
        ("ref", reference),
        ("taskId", task_id),
        ("arguments", sent_arguments),
    ] {
        let is_replaced = request.replaced.is_some_and(|it| it.member() == name);
        if let Some(value) = value.filter(|_| !is_replaced) {
            object.copy(name.as_bytes(), &params[value]);
        }
    }
    if let Some(fixed) = fixed {
        write_arguments(object.name("arguments"), (params, arguments), fixed)?;
    }
    for (name, value) in [
        ("inputResponses", request.input.responses),
        ("requestState", request.input.state),
    ] {
        if let Some(value) = value {
            object.copy(name.as_bytes(), value);
        }
    }
    if let TaskMode::Requested(options) = request.hop.task {
        object.copy(b"task", options);
    }
    write_meta(object.name("_meta"), (params, sent_meta), request)?;
    object.end();
    encode::end(out);
    Ok(())
}

impl<'a> Replaced<'a> {
    /// The text that `Mcp-Name` repeats, if it does (MCP 2026-07-28 basic/transports).
    pub fn in_head(self) -> Option<&'a str> {
        match self {
            Replaced::Name(text) | Replaced::Uri(text) | Replaced::Task(text) => Some(text),
            Replaced::PromptRef(_) | Replaced::TemplateRef(_) => None,
        }
    }

    /// The member of `params`.
    fn member(self) -> &'static str {
        match self {
            Replaced::Name(_) => "name",
            Replaced::Uri(_) => "uri",
            Replaced::PromptRef(_) | Replaced::TemplateRef(_) => "ref",
            Replaced::Task(_) => "taskId",
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        let (kind, member, text) = match self {
            Replaced::Name(text) | Replaced::Uri(text) | Replaced::Task(text) => {
                return encode::write_string(out, text);
            }
            Replaced::PromptRef(name) => ("ref/prompt", "name", name),
            Replaced::TemplateRef(uri) => ("ref/resource", "uri", uri),
        };
        let mut object = ObjectWriter::begin(out);
        encode::write_string(object.name("type"), kind);
        encode::write_string(object.name(member), text);
        object.end();
    }
}

/// The arguments of the client and those that are fixed.
fn write_arguments(
    out: &mut Vec<u8>,
    (params, arguments): (&[u8], Option<Range<usize>>),
    fixed: &serde_json::Map<String, serde_json::Value>,
) -> Result<(), RequestFault> {
    let mut object = ObjectWriter::begin(out);
    for (name, value) in fixed {
        let text = value.to_string();
        object.name(name).extend_from_slice(text.as_bytes());
    }
    let mut chosen = None;
    if let Some(arguments) = arguments {
        visit_members(params, arguments, |name, value| {
            if let Some(known) = fixed.keys().find(|known| is_name(name, known)) {
                chosen = Some(known.clone());
            }
            object.copy(name, &params[value]);
        })?;
    }
    object.end();
    match chosen {
        Some(name) => Err(RequestFault::Fixed(name)),
        None => Ok(()),
    }
}

/// `_meta`: reserved members of this hop, and all others as the client sent them.
fn write_meta(
    out: &mut Vec<u8>,
    (params, sent): (&[u8], Option<Range<usize>>),
    request: &RelayedRequest<'_>,
) -> Result<(), RequestFault> {
    let hop = request.hop;
    let mut object = ObjectWriter::begin(out);
    if hop.era == Era::Modern {
        let revision = Revision::V2026_07_28.as_str();
        encode::write_string(object.name(meta::PROTOCOL_VERSION), revision);
        let client_info = object.name(meta::CLIENT_INFO);
        client_info.extend_from_slice(hop.client_info.as_bytes());
        // An upstream may send only requests that its capabilities allow (MCP 2026-07-28
        // basic/patterns/mrtr).
        let mut capabilities = hop.capabilities.to_requests();
        if hop.task == TaskMode::Declared {
            capabilities.insert(ClientCapability::Tasks);
        }
        capabilities.write(object.name(meta::CLIENT_CAPABILITIES));
        if let Some(level) = hop.log_level {
            encode::write_string(object.name(meta::LOG_LEVEL), level.as_str());
        }
    }
    if hop.has_progress {
        encode::write_unsigned(object.name(meta::PROGRESS_TOKEN), request.id);
    }
    let sent = sent.filter(|range| params[range.clone()].starts_with(b"{"));
    if let Some(sent) = sent {
        visit_members(params, sent, |name, value| {
            if !is_of_hop(name) {
                object.copy(name, &params[value]);
            }
        })?;
    }
    object.end();
    Ok(())
}

/// Whether a member of `_meta` belongs to one hop.
pub(super) fn is_of_hop(raw: &[u8]) -> bool {
    if !raw.contains(&b'\\') {
        return raw.starts_with(RESERVED_META.as_bytes()) || raw == meta::PROGRESS_TOKEN.as_bytes();
    }
    let quoted = [b"\"", raw, b"\""].concat();
    let name = serde_json::from_slice::<String>(&quoted);
    name.is_ok_and(|name| name.starts_with(RESERVED_META) || name == meta::PROGRESS_TOKEN)
}

#[cfg(test)]
mod tests;

//! The body of a request to an upstream, from the params of the client's.
//!
//! `name`, `uri` and `_meta` are written anew, and so are the answers of the client to requests of
//! the upstream. The member of another service of this server, that for tasks, is left out.

use std::ops::Range;

use corelane_protocol::jsonrpc::encode::{self, ObjectWriter};
use corelane_protocol::jsonrpc::{Id, MembersFault, find_members, is_name, visit_members};
use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::logging::LogLevel;
use corelane_protocol::mcp::meta;
use corelane_protocol::mcp::revision::Revision;

/// Members of `params` that do not go on as the client sent them.
const LEFT_OUT: [&str; 3] = ["task", "requestState", "inputResponses"];
/// Members of `params` of which two readers could read different ones.
const ROUTED: [&str; 7] = [
    "name",
    "uri",
    "ref",
    "arguments",
    "_meta",
    "requestState",
    "inputResponses",
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
/// use corelane_gateway::relay::{Hop, Input, RelayedRequest, Replaced, write_body};
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
    // Refuses duplicates: the check of permissions and the upstream could read different ones.
    let found = find_members(params, 0..params.len(), ROUTED)?;
    let [_, _, _, arguments, sent_meta, ..] = found;
    encode::begin_request(out, Id::Unsigned(request.id), request.method);
    let mut object = ObjectWriter::begin(out);
    let fixed = request.fixed.filter(|fixed| !fixed.is_empty());
    let is_replaced = |name: &[u8]| {
        let replaced = request.replaced;
        is_name(name, "_meta")
            || LEFT_OUT.iter().any(|left_out| is_name(name, left_out))
            || replaced.is_some_and(|it| is_name(name, it.member()))
            || fixed.is_some() && is_name(name, "arguments")
    };
    if let Some(replaced) = request.replaced {
        replaced.write(object.name(replaced.member()));
    }
    visit_members(params, 0..params.len(), |name, value| {
        if !is_replaced(name) {
            object.copy(name, &params[value]);
        }
    })?;
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
    write_meta(object.name("_meta"), (params, sent_meta), request)?;
    object.end();
    encode::end(out);
    Ok(())
}

impl<'a> Replaced<'a> {
    /// The text that `Mcp-Name` repeats, if it does (MCP 2026-07-28 basic/transports).
    pub fn in_head(self) -> Option<&'a str> {
        match self {
            Replaced::Name(text) | Replaced::Uri(text) => Some(text),
            Replaced::PromptRef(_) | Replaced::TemplateRef(_) => None,
        }
    }

    /// The member of `params`.
    fn member(self) -> &'static str {
        match self {
            Replaced::Name(_) => "name",
            Replaced::Uri(_) => "uri",
            Replaced::PromptRef(_) | Replaced::TemplateRef(_) => "ref",
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        let (kind, member, text) = match self {
            Replaced::Name(text) | Replaced::Uri(text) => return encode::write_string(out, text),
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
        let capabilities = object.name(meta::CLIENT_CAPABILITIES);
        hop.capabilities.write_requests(capabilities);
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
mod tests {
    use super::{Hop, Input, MembersFault, RelayedRequest, Replaced, RequestFault, write_body};
    use corelane_protocol::mcp::capability::{ClientCapabilities, ClientCapability};
    use corelane_protocol::mcp::era::Era;
    use corelane_protocol::mcp::logging::LogLevel;
    use serde_json::{Value, json};

    fn hop() -> Hop<'static> {
        Hop {
            era: Era::Modern,
            client_info: r#"{"name":"gate","version":"1"}"#,
            capabilities: ClientCapabilities::default(),
            log_level: None,
            has_progress: false,
        }
    }

    fn request(params: &str) -> RelayedRequest<'_> {
        RelayedRequest {
            id: 9,
            method: "tools/call",
            params: params.as_bytes(),
            replaced: Some(Replaced::Name("log")),
            fixed: None,
            input: Input::default(),
            hop: hop(),
        }
    }

    fn body(request: &RelayedRequest<'_>) -> Result<String, RequestFault> {
        let mut out = Vec::new();
        write_body(&mut out, request)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    fn own_meta() -> Value {
        json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "gate", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        })
    }

    #[test]
    fn arguments_and_unknown_members_go_through_to_the_digit() {
        let digits = "1234567890123456789012345678901234567890";
        let raw = format!(
            r#""arguments": {{ "z":{digits}, "a" : 1e400, "s":"\u00e4\/😀" }},"x-own":[1, 2.50]"#
        );
        let params = format!(r#"{{"name":"git_log",{raw},"_meta":{{"own":{digits}}}}}"#);
        let body = body(&request(&params)).expect("valid");
        let start = r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"log","#;
        let arguments = format!(r#"{{ "z":{digits}, "a" : 1e400, "s":"\u00e4\/😀" }}"#);
        let expected = format!(r#"{start}"arguments":{arguments},"x-own":[1, 2.50],"#);
        assert!(body.starts_with(&expected), "{body}");
        assert!(
            body.ends_with(&format!(r#","own":{digits}}}}}}}"#)),
            "{body}"
        );
    }

    #[test]
    fn members_of_the_other_hop_stay_there() {
        let params = json!({
            "name": "git_log", "task": {"ttl": 1}, "requestState": "s", "inputResponses": {},
            "_meta": {
                "progressToken": "theirs", "traceparent": "00-1",
                "io.modelcontextprotocol/clientInfo": {"name": "secret"},
                "io.modelcontextprotocol/anything": 1,
            },
        });
        let params = params.to_string().replacen("progress", "p\\u0072ogress", 1);
        let sent = RelayedRequest {
            hop: Hop {
                log_level: Some(LogLevel::Warning),
                has_progress: true,
                ..hop()
            },
            ..request(&params)
        };
        let body: Value = serde_json::from_str(&body(&sent).expect("valid")).expect("JSON");
        let mut meta = own_meta();
        meta["io.modelcontextprotocol/logLevel"] = json!("warning");
        meta["progressToken"] = json!(9);
        meta["traceparent"] = json!("00-1");
        assert_eq!(body["params"], json!({"name": "log", "_meta": meta}));
    }

    #[test]
    fn a_legacy_upstream_gets_no_members_of_the_modern_era() {
        let params = json!({"name": "git_log", "_meta": {
            "progressToken": 1, "own": 2, "io.modelcontextprotocol/clientInfo": {},
        }});
        let params = params.to_string();
        for (has_progress, expected) in [
            (false, json!({"own": 2})),
            (true, json!({"own": 2, "progressToken": 9})),
        ] {
            let sent = RelayedRequest {
                hop: Hop {
                    era: Era::Legacy,
                    log_level: Some(LogLevel::Warning),
                    has_progress,
                    ..hop()
                },
                ..request(&params)
            };
            let body: Value = serde_json::from_str(&body(&sent).expect("valid")).expect("JSON");
            assert_eq!(body["params"]["_meta"], expected);
        }
    }

    #[test]
    fn answers_and_a_state_go_to_the_upstream_byte_for_byte() {
        let params = r#"{"name":"a","requestState":"sealed","inputResponses":{}}"#;
        for (responses, state) in [
            (Some(r#"{"a":{ "n":1e400}}"#), Some(r#""a""#)),
            (None, Some(r#""s""#)),
            (Some("{}"), None),
        ] {
            let sent = RelayedRequest {
                input: Input {
                    responses: responses.map(str::as_bytes),
                    state: state.map(str::as_bytes),
                },
                ..request(params)
            };
            let body = body(&sent).expect("valid");
            let member = |name: &str, value: Option<&str>| match value {
                Some(value) => format!(r#","{name}":{value}"#),
                None => String::new(),
            };
            let (responses, state) = (
                member("inputResponses", responses),
                member("requestState", state),
            );
            let expected = format!(r#""params":{{"name":"log"{responses}{state},"_meta":"#);
            assert!(body.contains(&expected), "{body}");
        }
    }

    #[test]
    fn the_capabilities_of_the_client_are_declared_to_a_modern_upstream() {
        let mut capabilities = ClientCapabilities::default();
        capabilities.insert(ClientCapability::Roots);
        capabilities.insert(ClientCapability::Tasks);
        let sent = RelayedRequest {
            hop: Hop {
                capabilities,
                ..hop()
            },
            ..request("{}")
        };
        let body: Value = serde_json::from_str(&body(&sent).expect("valid")).expect("JSON");
        let declared = &body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
        assert_eq!(*declared, json!({ "roots": {} }));
    }

    #[test]
    fn empty_params_and_no_name_make_a_request_too() {
        let sent = RelayedRequest {
            replaced: None,
            ..request("{}")
        };
        let body: Value = serde_json::from_str(&body(&sent).expect("valid")).expect("JSON");
        assert_eq!(body["params"], json!({"_meta": own_meta()}));
    }

    #[test]
    fn a_reference_leads_to_the_entry_of_the_upstream() {
        let params = r#"{"ref":{"type":"ref/prompt","name":"up_p"},"argument":{"name":"a"}}"#;
        for (replaced, expected) in [
            (
                Replaced::PromptRef("p"),
                json!({"type": "ref/prompt", "name": "p"}),
            ),
            (
                Replaced::TemplateRef("a://{b}"),
                json!({"type": "ref/resource", "uri": "a://{b}"}),
            ),
        ] {
            let sent = RelayedRequest {
                method: "completion/complete",
                replaced: Some(replaced),
                ..request(params)
            };
            let body: Value = serde_json::from_str(&body(&sent).expect("valid")).expect("JSON");
            assert_eq!(body["params"]["ref"], expected);
            assert_eq!(body["params"]["argument"], json!({"name": "a"}));
        }
    }

    #[test]
    fn a_member_that_is_there_twice_is_refused() {
        for (params, name) in [
            (r#"{"name":"a","name":"b"}"#, "name"),
            (r#"{"name":"a","n\u0061me":"b"}"#, "name"),
            (r#"{"name":"a","arguments":{},"arguments":{}}"#, "arguments"),
            (r#"{"name":"a","_meta":{},"_meta":{}}"#, "_meta"),
            (r#"{"name":"a","uri":"x","uri":"y"}"#, "uri"),
        ] {
            let fault = body(&request(params)).expect_err(params);
            assert_eq!(fault, MembersFault::Duplicate(name).into(), "{params}");
        }
    }

    #[test]
    fn fixed_arguments_are_sent_and_no_client_chooses_them() {
        let fixed = json!({"repo": "corelane", "n": 1});
        let sent = |params: &'static str| RelayedRequest {
            fixed: fixed.as_object(),
            ..request(params)
        };
        for (params, expected) in [
            (r#"{"name":"a"}"#, json!({"repo": "corelane", "n": 1})),
            (
                r#"{"name":"a","arguments":{"t":[1]}}"#,
                json!({"repo": "corelane", "n": 1, "t": [1]}),
            ),
        ] {
            let body = body(&sent(params)).expect("valid");
            let body: Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(body["params"]["arguments"], expected);
        }
        for params in [
            r#"{"name":"a","arguments":{"repo":"x"}}"#,
            r#"{"name":"a","arguments":{"r\u0065po":"x"}}"#,
        ] {
            let fault = body(&sent(params)).expect_err(params);
            assert_eq!(fault, RequestFault::Fixed("repo".to_owned()));
        }
    }
}

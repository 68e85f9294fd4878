//! A message of an upstream: its kind, and the ranges of its parts.
//!
//! The text is checked as complete JSON before a byte of it goes on. CR and LF, which stand only
//! between tokens in valid JSON, become spaces: an upstream can break neither events nor lines.

use std::ops::Range;

use corelane_protocol::jsonrpc::encode::{self, ObjectWriter, write_json_line};
use corelane_protocol::jsonrpc::{Id, MembersFault, MessageMembers};
use corelane_protocol::jsonrpc::{find_members, is_name, visit_members};
use corelane_protocol::mcp::input_required::{INPUT_KEY_BYTES_MAX, INPUT_RESPONSES_MAX};
use corelane_protocol::mcp::logging::LogLevel;
use corelane_protocol::mcp::subscription::{self, ListKind};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::state::STATE_BYTES_MAX;

/// Codes with which servers say that they do not know a session.
const LOST_SESSION_CODES: [i64; 3] = [-32600, -32001, -32015];

/// A message of an upstream for one request, with ranges of its text.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// The result.
    Result {
        /// The object.
        range: Range<usize>,
        /// Whether a tool says that it failed.
        is_error: bool,
        /// Whether it has a member about the hop: the clients that may share it, or the server.
        has_hop_members: bool,
    },
    /// A modern upstream has made the call a task (SEP-2663).
    Task {
        /// The result, whose members are those of the task.
        range: Range<usize>,
    },
    /// The error.
    Error {
        /// The object.
        range: Range<usize>,
        /// Its code.
        code: i64,
    },
    /// The upstream needs answers of the client, and ends this round of the call.
    InputRequired {
        /// The requests, an object.
        requests: Option<Range<usize>>,
        /// The state that goes back to it.
        state: Option<Range<usize>>,
    },
    /// A report of progress.
    Progress {
        /// The params.
        params: Range<usize>,
        /// The value, which must increase.
        progress: f64,
    },
    /// A log message.
    Log {
        /// The params.
        params: Range<usize>,
        /// Its severity.
        level: LogLevel,
    },
    /// The upstream begins a subscription.
    Acknowledged,
    /// A resource has changed.
    ResourceUpdated {
        /// Its URI.
        uri: String,
    },
    /// A list has changed.
    ListChanged(ListKind),
    /// A request of the upstream.
    Request {
        /// Its id, a number or a string.
        id: Range<usize>,
        /// The method.
        method: String,
        /// The params.
        params: Option<Range<usize>>,
    },
    /// Something else, which is dropped: another notification.
    Other,
}

/// A message that is no answer to the request: the upstream's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFault {
    /// It is no JSON, or no UTF-8.
    #[error("the answer is not JSON")]
    Json,
    /// A member is there twice, or it is no object.
    #[error(transparent)]
    Members(#[from] MembersFault),
    /// It is no message of JSON-RPC, or its result is no object.
    #[error("the answer is no message of JSON-RPC")]
    Shape,
    /// It answers another request.
    #[error("the answer has another id than the request")]
    Id,
    /// It is a task, though the call may not become one, or a malformed task.
    #[error("the answer is a task that was not requested, or is malformed")]
    Task,
    /// It has a request that the client must not be sent.
    #[error("the answer requests input that the client has not declared")]
    Undeclared,
    /// It requests input, though the client has declared nothing.
    #[error("the answer requests input, though the capabilities allow none")]
    Input,
    /// It has too many requests, or too long a key of one.
    #[error("the answer has more than 64 requests, or a key of more than 128 bytes")]
    Questions,
    /// Its state is too long.
    #[error("the answer has a state of {0} bytes, more than {STATE_BYTES_MAX}")]
    StateBytes(usize),
}

// The text of the error names them.
const _: () = assert!(INPUT_RESPONSES_MAX == 64 && INPUT_KEY_BYTES_MAX == 128);

/// Reads a message that came for the request `id`.
///
/// ```
/// use corelane_gateway::relay::{Incoming, read_message};
/// let text = br#"{"jsonrpc":"2.0","id":7,"result":{"isError":true}}"#;
/// let message = read_message(text, 7)?;
/// assert!(matches!(message, Incoming::Result { range, is_error: true, .. } if range == (33..49)));
/// # Ok::<(), corelane_gateway::relay::AnswerFault>(())
/// ```
///
/// # Errors
/// [`AnswerFault`]: the call failed, and nothing of the message may go on.
pub fn read_message(text: &[u8], id: u64) -> Result<Incoming, AnswerFault> {
    match read_members(text)? {
        MessageMembers {
            method: Some(method),
            params,
            id: None,
            ..
        } => notification(text, method, params, id),
        MessageMembers {
            method: Some(method),
            params,
            id: Some(id),
            ..
        } => {
            let method = serde_json::from_slice(&text[method]).map_err(|_| AnswerFault::Shape)?;
            match text[id.start] {
                b'"' | b'-' | b'0'..=b'9' => Ok(Incoming::Request { id, method, params }),
                _ => Err(AnswerFault::Shape),
            }
        }
        MessageMembers {
            id: its_id,
            result: Some(result),
            error: None,
            ..
        } => {
            check_id(text, its_id, id)?;
            read_result(text, result)
        }
        MessageMembers {
            id: its_id,
            result: None,
            error: Some(error),
            ..
        } => {
            // A server that could not read the request answers with the id null, or none.
            let is_null = its_id
                .as_ref()
                .is_none_or(|it| &text[it.clone()] == b"null");
            if !is_null {
                check_id(text, its_id, id)?;
            }
            read_error(text, error)
        }
        _ => Err(AnswerFault::Shape),
    }
}

/// The members of a message, which one walk finds and checks.
#[derive(Deserialize)]
struct Members<'t> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'t RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'t RawValue>,
}

/// A member that is there, also if it is null.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(value).map(Some)
}

fn read_members(text: &[u8]) -> Result<MessageMembers, AnswerFault> {
    let all = str::from_utf8(text).map_err(|_| AnswerFault::Json)?;
    if !all.trim_ascii_start().starts_with('{') {
        // The fields of a struct may also come as an array.
        serde_json::from_str::<IgnoredAny>(all).map_err(|_| AnswerFault::Json)?;
        return Err(MembersFault::NotAnObject.into());
    }
    let members = match serde_json::from_str::<Members<'_>>(all) {
        Ok(members) => members,
        // A member that is there twice.
        Err(error) if error.is_data() => return Ok(MessageMembers::read(text)?),
        Err(_) => return Err(AnswerFault::Json),
    };
    let range = |value: &RawValue| {
        let start = value.get().as_ptr().addr() - text.as_ptr().addr();
        start..start + value.get().len()
    };
    Ok(MessageMembers {
        id: members.id.map(range),
        method: members.method.map(range),
        params: members.params.map(range),
        result: members.result.map(range),
        error: members.error.map(range),
    })
}

/// Whether an error says that the upstream has forgotten the session of the request. Servers send
/// one with 200 or 400 where 404 is demanded (MCP 2025-11-25 basic/transports, "Session
/// Management").
///
/// ```
/// use corelane_gateway::relay::{is_session_lost, read_message};
/// let text = br#"{"id":7,"error":{"code":-32001,"message":"Session not found"}}"#;
/// assert!(is_session_lost(text, &read_message(text, 7)?));
/// # Ok::<(), corelane_gateway::relay::AnswerFault>(())
/// ```
pub fn is_session_lost(text: &[u8], incoming: &Incoming) -> bool {
    let Incoming::Error { range, code } = incoming else {
        return false;
    };
    if !LOST_SESSION_CODES.contains(code) {
        return false;
    }
    let found = find_members(text, range.clone(), ["message"]);
    let message = found.ok().and_then(|[message]| message);
    let message = message.and_then(|it| serde_json::from_slice::<String>(&text[it]).ok());
    message.is_some_and(|it| it.to_ascii_lowercase().contains("session"))
}

fn check_id(text: &[u8], found: Option<Range<usize>>, id: u64) -> Result<(), AnswerFault> {
    let found = found.ok_or(AnswerFault::Id)?;
    let number = str::from_utf8(&text[found]).ok();
    let is_it = number.and_then(|it| it.parse::<u64>().ok()) == Some(id);
    is_it.then_some(()).ok_or(AnswerFault::Id)
}

fn read_result(text: &[u8], range: Range<usize>) -> Result<Incoming, AnswerFault> {
    if text[range.start] != b'{' {
        return Err(AnswerFault::Shape);
    }
    let names = ["resultType", "isError", "cacheScope", "_meta"];
    let [kind, is_error, scope, meta] = find_members(text, range.clone(), names)?;
    if let Some(kind) = kind {
        let kind: String = serde_json::from_slice(&text[kind]).map_err(|_| AnswerFault::Shape)?;
        match kind.as_str() {
            "complete" => {}
            "input_required" => {
                let names = ["inputRequests", "requestState"];
                let [requests, state] = find_members(text, range, names)?;
                return Ok(Incoming::InputRequired { requests, state });
            }
            "task" => return Ok(Incoming::Task { range }),
            // A kind of later revisions: no capability for it was declared.
            _ => return Err(AnswerFault::Shape),
        }
    }
    let is_error = is_error.is_some_and(|it| &text[it] == b"true");
    let has_hop_members = scope.is_some() || meta.is_some();
    Ok(Incoming::Result {
        range,
        is_error,
        has_hop_members,
    })
}

fn read_error(text: &[u8], range: Range<usize>) -> Result<Incoming, AnswerFault> {
    if text[range.start] != b'{' {
        return Err(AnswerFault::Shape);
    }
    let [code, message] = find_members(text, range.clone(), ["code", "message"])?;
    let code = code.and_then(|it| str::from_utf8(&text[it]).ok()?.parse().ok());
    let has_message = message.is_some_and(|it| text[it.start] == b'"');
    match code {
        Some(code) if has_message => Ok(Incoming::Error { range, code }),
        _ => Err(AnswerFault::Shape),
    }
}

fn notification(
    text: &[u8],
    method: Range<usize>,
    params: Option<Range<usize>>,
    id: u64,
) -> Result<Incoming, AnswerFault> {
    let method: String = serde_json::from_slice(&text[method]).map_err(|_| AnswerFault::Shape)?;
    if let Some(list) = ListKind::by_notification(&method) {
        return Ok(Incoming::ListChanged(list));
    }
    if method == subscription::ACKNOWLEDGED {
        return Ok(Incoming::Acknowledged);
    }
    let Some(params) = params.filter(|range| text[range.start] == b'{') else {
        return Ok(Incoming::Other);
    };
    match method.as_str() {
        "notifications/progress" => {
            let names = ["progressToken", "progress", "_meta"];
            let [token, progress, _] = find_members(text, params.clone(), names)?;
            let progress: Option<f64> = progress.and_then(|it| {
                let digits = str::from_utf8(&text[it]).ok()?;
                digits.parse().ok().filter(|it: &f64| it.is_finite())
            });
            match (check_id(text, token, id), progress) {
                (Ok(()), Some(progress)) => Ok(Incoming::Progress { params, progress }),
                _ => Ok(Incoming::Other),
            }
        }
        "notifications/message" => {
            let [level, _] = find_members(text, params.clone(), ["level", "_meta"])?;
            let level = level.and_then(|it| serde_json::from_slice::<String>(&text[it]).ok());
            let level = level.and_then(|it| LogLevel::parse(&it));
            Ok(level.map_or(Incoming::Other, |level| Incoming::Log { params, level }))
        }
        "notifications/resources/updated" => {
            let [uri] = find_members(text, params.clone(), ["uri"])?;
            let uri = uri.and_then(|it| serde_json::from_slice(&text[it]).ok());
            Ok(uri.map_or(Incoming::Other, |uri| Incoming::ResourceUpdated { uri }))
        }
        _ => Ok(Incoming::Other),
    }
}

/// Appends a notification of an upstream for its client, whose token of progress this is.
///
/// ```
/// use corelane_gateway::relay::{read_message, write_notification};
/// use corelane_protocol::jsonrpc::Id;
/// let text = br#"{"jsonrpc":"2.0","method":"notifications/progress","params":
///     {"progressToken":7,"progress":1.50}}"#;
/// let message = read_message(text, 7)?;
/// let mut out = Vec::new();
/// write_notification(&mut out, text, &message, Some(Id::String("t")));
/// assert!(out.ends_with(br#""params":{"progressToken":"t","progress":1.50}}"#));
/// # Ok::<(), corelane_gateway::relay::AnswerFault>(())
/// ```
pub fn write_notification(
    out: &mut Vec<u8>,
    text: &[u8],
    incoming: &Incoming,
    token: Option<Id<'_>>,
) {
    match (incoming, token) {
        (Incoming::Progress { params, .. }, Some(token)) => {
            encode::begin_notification(out, "notifications/progress");
            let mut object = ObjectWriter::begin(out);
            encode::write_id(object.name("progressToken"), token);
            copy_members(&mut object, text, params, &["progressToken"]);
            object.end();
            encode::end(out);
        }
        (Incoming::Log { params, .. }, _) => {
            encode::begin_notification(out, "notifications/message");
            write_json_line(out, &text[params.clone()]);
            encode::end(out);
        }
        _ => {}
    }
}

/// Copies the members of the object at `range` but for some.
pub(super) fn copy_members(
    object: &mut ObjectWriter<'_>,
    text: &[u8],
    range: &Range<usize>,
    but: &[&str],
) {
    // The text was read before, so it is an object.
    let _ = visit_members(text, range.clone(), |name, value| {
        if !but.iter().any(|left_out| is_name(name, left_out)) {
            object.copy(name, &text[value]);
        }
    });
}

#[cfg(test)]
mod tests;

//! A message of an upstream: its kind, and the part of it that goes to the client.
//!
//! The text is checked as complete JSON before a byte of it goes on. CR and LF, which stand only
//! between tokens in valid JSON, become spaces: an upstream can break neither events nor lines.

use std::ops::Range;

use corelane_protocol::jsonrpc::encode::{self, ObjectWriter, write_json_line};
use corelane_protocol::jsonrpc::{Id, MembersFault, MessageMembers};
use corelane_protocol::jsonrpc::{find_members, is_name, visit_members};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::subscription::{self, ListKind};
use serde::de::IgnoredAny;

/// Members of a result that legacy clients do not know.
const MODERN_MEMBERS: [&str; 3] = ["resultType", "ttlMs", CACHE_SCOPE];
/// The clients that may share a result.
const CACHE_SCOPE: &str = "cacheScope";
/// Codes that the protocol reserves, in which modern servers send defined ones only.
const RESERVED_CODES: std::ops::RangeInclusive<i64> = -32099..=-32020;
/// The codes of the modern era: header mismatch, missing capability, unsupported revision.
const HEADER_MISMATCH: i64 = -32020;
const MISSING_CAPABILITY: i64 = -32021;
const UNSUPPORTED_REVISION: i64 = -32022;

/// A message of an upstream for one request, with ranges of its text.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// The result.
    Result {
        /// The object.
        range: Range<usize>,
        /// Whether a tool says that it failed.
        is_error: bool,
        /// Whether it may be shared by several clients, as the upstream says.
        is_public: bool,
    },
    /// The error.
    Error {
        /// The object.
        range: Range<usize>,
        /// Its code.
        code: i64,
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
    },
    /// The upstream begins a subscription.
    Acknowledged,
    /// A list has changed.
    ListChanged(ListKind),
    /// Something else, which is dropped: another notification, or a request.
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
    /// It is a question to the client, which is not relayed.
    #[error("the answer requests input, though the capabilities allow none")]
    Input,
}

/// The part of an answer that goes to the client, as JSON on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayedPart {
    /// The result.
    Result {
        /// Its text.
        json: Vec<u8>,
        /// Whether a tool says that it failed.
        is_error: bool,
    },
    /// The error object.
    Error(Vec<u8>),
}

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
    str::from_utf8(text).map_err(|_| AnswerFault::Json)?;
    serde_json::from_slice::<IgnoredAny>(text).map_err(|_| AnswerFault::Json)?;
    let members = MessageMembers::read(text)?;
    match members {
        MessageMembers {
            method: Some(method),
            params,
            id: None,
            ..
        } => notification(text, method, params, id),
        MessageMembers {
            method: Some(_), ..
        } => Ok(Incoming::Other),
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
    let names = ["resultType", "isError", CACHE_SCOPE];
    let [kind, is_error, scope] = find_members(text, range.clone(), names)?;
    if let Some(kind) = kind {
        let kind: String = serde_json::from_slice(&text[kind]).map_err(|_| AnswerFault::Shape)?;
        match kind.as_str() {
            "complete" => {}
            "input_required" => return Err(AnswerFault::Input),
            // A task, or a kind of later revisions: no capability for it was declared.
            _ => return Err(AnswerFault::Shape),
        }
    }
    let is_error = is_error.is_some_and(|it| &text[it] == b"true");
    let is_public = scope.is_some_and(|it| &text[it] != br#""private""#);
    Ok(Incoming::Result {
        range,
        is_error,
        is_public,
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
            let [token, progress] =
                find_members(text, params.clone(), ["progressToken", "progress"])?;
            let progress: Option<f64> = progress.and_then(|it| {
                let digits = str::from_utf8(&text[it]).ok()?;
                digits.parse().ok().filter(|it: &f64| it.is_finite())
            });
            match (check_id(text, token, id), progress) {
                (Ok(()), Some(progress)) => Ok(Incoming::Progress { params, progress }),
                _ => Ok(Incoming::Other),
            }
        }
        "notifications/message" => Ok(Incoming::Log { params }),
        _ => Ok(Incoming::Other),
    }
}

impl RelayedPart {
    /// The part of a message at `incoming` for a client of this era, or as it came for this server
    /// itself. None if it is no answer.
    pub fn of(text: &[u8], incoming: &Incoming, era: Option<Era>) -> Option<RelayedPart> {
        match incoming {
            Incoming::Result {
                range,
                is_error,
                is_public,
            } => {
                let mut json = Vec::with_capacity(range.len());
                match era {
                    Some(Era::Modern) if *is_public => {
                        // Another client may lack the permission for it.
                        let mut object = ObjectWriter::begin(&mut json);
                        copy_members(&mut object, text, range, &[CACHE_SCOPE]);
                        encode::write_string(object.name(CACHE_SCOPE), "private");
                        object.end();
                    }
                    Some(Era::Legacy) => {
                        let mut object = ObjectWriter::begin(&mut json);
                        copy_members(&mut object, text, range, &MODERN_MEMBERS);
                        object.end();
                    }
                    _ => write_json_line(&mut json, &text[range.clone()]),
                }
                Some(RelayedPart::Result {
                    json,
                    is_error: *is_error,
                })
            }
            Incoming::Error { range, code } => {
                let mut json = Vec::with_capacity(range.len());
                match code_for(*code, era) {
                    None => write_json_line(&mut json, &text[range.clone()]),
                    Some(replaced) => {
                        append_with_code(&mut json, (text, range), (*code, replaced));
                    }
                }
                Some(RelayedPart::Error(json))
            }
            _ => None,
        }
    }
}

/// The code that a client gets instead of one of an upstream; none if it gets that.
fn code_for(code: i64, era: Option<Era>) -> Option<i64> {
    match (code, era) {
        (_, None) => None,
        // They are about the request of this server, not about that of the client: its revision,
        // its fields, and its capabilities, which are none.
        (HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_REVISION, _) => {
            Some(error_code::INTERNAL_ERROR)
        }
        (code, Some(Era::Modern)) if RESERVED_CODES.contains(&code) => {
            Some(error_code::INTERNAL_ERROR)
        }
        _ => None,
    }
}

/// The error with another code, and that of the upstream in `data`. Data of the upstream are left
/// out: they belong to its code.
fn append_with_code(
    out: &mut Vec<u8>,
    (text, range): (&[u8], &Range<usize>),
    (code, replaced): (i64, i64),
) {
    let found = find_members(text, range.clone(), ["message"]);
    let message = found.ok().and_then(|[message]| message);
    let mut object = ObjectWriter::begin(out);
    encode::write_integer(object.name("code"), replaced);
    let out = object.name("message");
    match message {
        Some(message) => write_json_line(out, &text[message]),
        None => encode::write_string(out, "the upstream refused the request"),
    }
    let mut data = ObjectWriter::begin(object.name("data"));
    encode::write_integer(data.name("upstreamCode"), code);
    data.end();
    object.end();
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
        (Incoming::Log { params }, _) => {
            encode::begin_notification(out, "notifications/message");
            write_json_line(out, &text[params.clone()]);
            encode::end(out);
        }
        _ => {}
    }
}

/// Copies the members of the object at `range` but for some.
fn copy_members(object: &mut ObjectWriter<'_>, text: &[u8], range: &Range<usize>, but: &[&str]) {
    // The text was read before, so it is an object.
    let _ = visit_members(text, range.clone(), |name, value| {
        if !but.iter().any(|left_out| is_name(name, left_out)) {
            object.copy(name, &text[value]);
        }
    });
}

#[cfg(test)]
mod tests;

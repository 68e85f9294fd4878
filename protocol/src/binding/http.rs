//! The HTTP admission checks: one total function from a request to what it is, for both eras.
//!
//! The era is decided by the body: a claim in `params._meta` makes a message modern, everything
//! else is legacy. Headers never decide it; they must agree with what the body says. The order of
//! the checks is the order of precedence between refusals, and clients depend on it.
//!
//! ```text
//! verb, path -> content type -> JSON -> shape -> era -> envelope -> version -> headers -> method
//! ```

use super::refusal::{Reason, Refusal};
use crate::framing::http1::{Field, Method as Verb, RequestHead};
use crate::header_value;
use crate::jsonrpc::{Id, Message, Value};
use crate::mcp::era::Era;
use crate::mcp::meta::{Envelope, Meta};
use crate::mcp::method::{Method, NotificationMethod};
use crate::mcp::revision::{Revision, names_modern_era};

const VERSION_HEADER: &str = "MCP-Protocol-Version";
const SESSION_HEADER: &str = "MCP-Session-Id";
const METHOD_HEADER: &str = "Mcp-Method";
const NAME_HEADER: &str = "Mcp-Name";

/// What a request head asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// A message for this endpoint: its body decides what happens.
    Post,
    /// A stream for messages of this legacy session.
    OpenStream {
        /// The session.
        session: SessionHeaders<'a>,
        /// The last event the client saw of the stream it wants the rest of; a fresh stream is
        /// wanted when absent.
        last_event_id: Option<&'a [u8]>,
    },
    /// The end of this legacy session.
    EndSession(SessionHeaders<'a>),
}

/// What the headers of a legacy message say of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionHeaders<'a> {
    /// The session id as the client sent it.
    pub session_id: &'a [u8],
    /// The revision named by the version header; absent means the session's own.
    pub revision: Option<Revision>,
}

/// A message that was admitted.
#[derive(Debug, Clone, Copy)]
pub enum Admitted<'a> {
    /// A modern request. Having one tells you that its envelope is valid, its revision served,
    /// its headers agree with its body and its method exists.
    Modern(ModernRequest<'a>),
    /// A modern notification: accepted, and dropped unless it has a meaning over HTTP.
    ModernNotification,
    /// A legacy handshake.
    Initialize {
        /// Id of the request.
        id: Id<'a>,
        /// Its parameters, not yet checked.
        params: Option<Value<'a>>,
    },
    /// A legacy message within a session that is still to be looked up.
    Session {
        /// What the headers say of the session.
        headers: SessionHeaders<'a>,
        /// The message.
        message: SessionMessage<'a>,
    },
}

/// A modern request.
#[derive(Debug, Clone, Copy)]
pub struct ModernRequest<'a> {
    /// Id of the request.
    pub id: Id<'a>,
    /// What is asked for.
    pub method: Method,
    /// Its parameters.
    pub params: Option<Value<'a>>,
    /// What the request says of itself.
    pub envelope: Envelope<'a>,
}

/// A message within a legacy session.
#[derive(Debug, Clone, Copy)]
pub enum SessionMessage<'a> {
    /// A request; an unknown method is answered within the session.
    Request {
        /// Id of the request.
        id: Id<'a>,
        /// What is asked for, by name.
        name: &'a str,
        /// What is asked for, if it exists.
        method: Option<Method>,
        /// Its parameters.
        params: Option<Value<'a>>,
    },
    /// A notification; an unknown one is accepted and ignored.
    Notification {
        /// Which one, if it exists.
        method: Option<NotificationMethod>,
        /// Its parameters.
        params: Option<Value<'a>>,
    },
    /// An answer to a request of the server.
    Response {
        /// The id of that request; none if the client could not read it.
        id: Option<Id<'a>>,
        /// The result, unless there is an error.
        result: Option<Value<'a>>,
        /// The error, an object.
        error: Option<Value<'a>>,
    },
}

impl<'a> SessionMessage<'a> {
    /// What `message` is within a session.
    pub fn of(message: Message<'a>) -> SessionMessage<'a> {
        match message {
            Message::Request {
                id,
                method: name,
                params,
            } => {
                let method = Method::lookup(Era::Legacy, name);
                SessionMessage::Request {
                    id,
                    name,
                    method,
                    params,
                }
            }
            Message::Notification { method, params } => {
                let method = NotificationMethod::lookup(Era::Legacy, method);
                SessionMessage::Notification { method, params }
            }
            Message::Response { id, result, error } => {
                SessionMessage::Response { id, result, error }
            }
        }
    }

    /// Whether it claims to be of the modern era, which has no sessions.
    pub fn claims_modern(&self) -> bool {
        let (SessionMessage::Request { params, .. } | SessionMessage::Notification { params, .. }) =
            self
        else {
            return false;
        };
        Meta::of_params(*params).is_some_and(|meta| meta.claim.is_some())
    }

    /// The id of a request.
    pub fn request_id(&self) -> Option<Id<'a>> {
        match self {
            SessionMessage::Request { id, .. } => Some(*id),
            SessionMessage::Notification { .. } | SessionMessage::Response { .. } => None,
        }
    }
}

/// First checks, before the body: path and verb.
///
/// # Errors
/// 404 for another path than `endpoint`, 405 for another verb, 400 for a session verb without a
/// usable session header or with different last events.
pub fn route<'a>(head: &RequestHead<'a>, endpoint: &'a str) -> Result<Route<'a>, Reason<'a>> {
    if !is_path(head.path, endpoint) {
        return Err(Reason::Path(endpoint));
    }
    match head.method {
        Verb::Post => Ok(Route::Post),
        Verb::Get | Verb::Delete if names_modern(head) => Err(Reason::Verb("POST")),
        Verb::Get => Ok(Route::OpenStream {
            session: session_headers(head)?,
            last_event_id: last_event_id(head.last_event_id)?,
        }),
        Verb::Delete => Ok(Route::EndSession(session_headers(head)?)),
        _ => Err(Reason::Verb("GET, POST, DELETE")),
    }
}

/// Whether `path` is the endpoint. A slash at its end makes no difference: clients and proxies add
/// and strip it, and after a redirect they leave out the headers or the body.
fn is_path(path: &str, endpoint: &str) -> bool {
    let bare = |path: &'_ str| path.len() - usize::from(path.ends_with('/'));
    path == endpoint || path[..bare(path)] == endpoint[..bare(endpoint)]
}

/// The checks after the body was decoded.
///
/// # Errors
/// [`Refusal`] says which check the message failed at, with the id of the request where it has one.
pub fn classify<'a>(
    head: &RequestHead<'a>,
    message: Message<'a>,
) -> Result<Admitted<'a>, Refusal<'a>> {
    match message {
        Message::Request { id, method, params } => {
            classify_request(head, message, (id, method, params)).map_err(|reason| Refusal {
                id: Some(id),
                reason,
            })
        }
        Message::Notification { params, .. } => {
            let claim = Meta::of_params(params).and_then(|meta| meta.claim);
            let admitted = match claim.is_some() || names_modern(head) {
                true => modern_notification(head, claim),
                false => session_message(head, message),
            };
            admitted.map_err(|reason| Refusal { id: None, reason })
        }
        Message::Response { .. } => {
            session_message(head, message).map_err(|reason| Refusal { id: None, reason })
        }
    }
}

/// The session of a batch, an array of messages: only sessions of 2025-03-26 take one.
///
/// # Errors
/// [`Reason::Batch`] for a batch that is of no legacy session.
pub fn batch_session<'a>(head: &RequestHead<'a>) -> Result<SessionHeaders<'a>, Reason<'a>> {
    session_headers(head).map_err(|_| Reason::Batch)
}

/// Nothing is required of a modern notification but that what names a version names one that is
/// served: there are no rules for its headers.
fn modern_notification<'a>(
    head: &RequestHead<'a>,
    claim: Option<Value<'a>>,
) -> Result<Admitted<'a>, Reason<'a>> {
    let in_header = head.mcp_protocol_version.value();
    let in_header = in_header.and_then(|name| str::from_utf8(name).ok());
    let named = [claim.and_then(|claim| claim.as_str()), in_header];
    let unserved = |name: &&str| Revision::modern(name).is_none();
    match named.into_iter().flatten().find(unserved) {
        Some(name) => Err(Reason::UnsupportedVersion(name)),
        None => Ok(Admitted::ModernNotification),
    }
}

fn classify_request<'a>(
    head: &RequestHead<'a>,
    message: Message<'a>,
    (id, name, params): (Id<'a>, &'a str, Option<Value<'a>>),
) -> Result<Admitted<'a>, Reason<'a>> {
    let meta = Meta::of_params(params);
    let claim = meta.and_then(|meta| meta.claim);
    let claims_modern = claim
        .and_then(|claim| claim.as_str())
        .and_then(Revision::modern)
        .is_some();
    if name == "initialize" && !claims_modern {
        return initialize(head, id, params);
    }
    if claim.is_some() {
        return classify_modern(head, id, name, params, meta).map(Admitted::Modern);
    }
    if names_modern(head) {
        return Err(Reason::ClaimMissing("a request of this protocol version"));
    }
    if name == "server/discover" {
        return Err(Reason::ClaimMissing("server/discover"));
    }
    session_message(head, message)
}

/// A handshake is legacy, also one that asks for a modern revision (MCP 2026-07-28
/// basic/versioning, "Backward Compatibility"), and is answered with a served one (2025-11-25
/// basic/lifecycle, "Version Negotiation"). A header that names the modern era has to ask for the
/// same revision.
fn initialize<'a>(
    head: &RequestHead<'a>,
    id: Id<'a>,
    params: Option<Value<'a>>,
) -> Result<Admitted<'a>, Reason<'a>> {
    if names_modern(head) {
        let asked = params
            .and_then(|params| params.as_object())
            .and_then(|object| object.get("protocolVersion"))
            .and_then(|version| version.as_str());
        if head.mcp_protocol_version.value() != asked.map(str::as_bytes) {
            return Err(Reason::HeaderMismatch(VERSION_HEADER));
        }
    }
    Ok(Admitted::Initialize { id, params })
}

fn classify_modern<'a>(
    head: &RequestHead<'a>,
    id: Id<'a>,
    name: &'a str,
    params: Option<Value<'a>>,
    meta: Option<Meta<'a>>,
) -> Result<ModernRequest<'a>, Reason<'a>> {
    let envelope = Envelope::read(meta)?;
    let version = required(head.mcp_protocol_version, VERSION_HEADER)?;
    if version != envelope.protocol_version.as_bytes() {
        return Err(Reason::HeaderMismatch(VERSION_HEADER));
    }
    if Revision::modern(envelope.protocol_version).is_none() {
        return Err(Reason::UnsupportedVersion(envelope.protocol_version));
    }
    if required(head.mcp_method, METHOD_HEADER)? != name.as_bytes() {
        return Err(Reason::HeaderMismatch(METHOD_HEADER));
    }
    let method = Method::lookup(Era::Modern, name).ok_or(Reason::MethodNotFound(name))?;
    if let Some(member) = method.name_member() {
        check_name(head.mcp_name, params, member)?;
    }
    Ok(ModernRequest {
        id,
        method,
        params,
        envelope,
    })
}

/// `Mcp-Name` equals the member it repeats. A member that is absent or no string is refused
/// later, with the other parameters.
fn check_name<'a>(
    field: Field<'a>,
    params: Option<Value<'a>>,
    member: &'static str,
) -> Result<(), Reason<'a>> {
    let value = required(field, NAME_HEADER)?;
    let body = params
        .and_then(|params| params.as_object())
        .and_then(|object| object.get(member))
        .and_then(|value| value.as_str());
    let Some(body) = body else {
        return Ok(());
    };
    match header_value::stands_for(value, body) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Reason::HeaderMismatch(NAME_HEADER)),
        Err(_) => Err(Reason::HeaderMalformed(NAME_HEADER)),
    }
}

fn session_message<'a>(
    head: &RequestHead<'a>,
    message: Message<'a>,
) -> Result<Admitted<'a>, Reason<'a>> {
    Ok(Admitted::Session {
        headers: session_headers(head)?,
        message: SessionMessage::of(message),
    })
}

fn session_headers<'a>(head: &RequestHead<'a>) -> Result<SessionHeaders<'a>, Reason<'a>> {
    let differs = |name| Err(Reason::HeaderDiffers(name));
    let session_id = match head.mcp_session_id {
        Field::Absent => return Err(Reason::SessionMissing),
        Field::Repeated => return differs(SESSION_HEADER),
        Field::Once(session_id) => session_id,
    };
    let revision = match head.mcp_protocol_version {
        Field::Absent => None,
        Field::Repeated => return differs(VERSION_HEADER),
        Field::Once(name) => Some(
            str::from_utf8(name)
                .ok()
                .and_then(Revision::legacy)
                .ok_or(Reason::VersionHeader)?,
        ),
    };
    Ok(SessionHeaders {
        session_id,
        revision,
    })
}

/// An empty id is none: it is what clients have that saw no id (WHATWG HTML 9.2.4).
fn last_event_id(field: Field<'_>) -> Result<Option<&[u8]>, Reason<'_>> {
    match field {
        Field::Absent | Field::Once(b"") => Ok(None),
        Field::Once(id) => Ok(Some(id)),
        Field::Repeated => Err(Reason::HeaderDiffers("Last-Event-ID")),
    }
}

fn names_modern(head: &RequestHead<'_>) -> bool {
    matches!(head.mcp_protocol_version, Field::Once(name) if names_modern_era(name))
}

fn required<'a>(field: Field<'a>, name: &'static str) -> Result<&'a [u8], Reason<'a>> {
    match field {
        Field::Once(value) => Ok(value),
        Field::Absent => Err(Reason::HeaderMissing(name)),
        Field::Repeated => Err(Reason::MirrorDiffers(name)),
    }
}

#[cfg(test)]
mod tests;

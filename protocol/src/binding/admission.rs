//! The admission checks: one total function from a message to its kind, for both eras and every
//! transport.
//!
//! The era is decided by the body: a claim in `params._meta` makes a message modern, every other
//! message is legacy. Headers never decide it; where a transport has headers, they must agree with
//! the body. The order of the checks is the order of precedence between refusals, and clients
//! depend on it.
//!
//! ```text
//! JSON -> shape -> era -> envelope -> version -> headers -> method
//! ```

use super::claims::Claims;
use super::refusal::{Reason, Refusal};
use crate::framing::http1::Field;
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

/// The claim of a legacy message to belong to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionClaim<'a> {
    /// Headers name the session.
    Named {
        /// The session id as the client sent it.
        session_id: &'a [u8],
        /// The revision named by the version header; absent means the session's own.
        revision: Option<Revision>,
    },
    /// The transport has no headers: the session is the connection's own.
    OfConnection,
}

impl SessionClaim<'_> {
    /// The revision that the message names for itself.
    pub fn revision(&self) -> Option<Revision> {
        match self {
            SessionClaim::Named { revision, .. } => *revision,
            SessionClaim::OfConnection => None,
        }
    }
}

/// A message that was admitted.
#[derive(Debug, Clone, Copy)]
pub enum Admitted<'a> {
    /// A modern request. Its envelope is valid, its revision served, its headers agree with its
    /// body and its method exists.
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
        /// The session that it claims to belong to.
        claim: SessionClaim<'a>,
        /// The message.
        message: SessionMessage<'a>,
    },
}

/// A modern request.
#[derive(Debug, Clone, Copy)]
pub struct ModernRequest<'a> {
    /// Id of the request.
    pub id: Id<'a>,
    /// The requested method.
    pub method: Method,
    /// Its parameters.
    pub params: Option<Value<'a>>,
    /// The members of `_meta` that describe the request.
    pub envelope: Envelope<'a>,
}

/// A message within a legacy session.
#[derive(Debug, Clone, Copy)]
pub enum SessionMessage<'a> {
    /// A request; an unknown method is answered within the session.
    Request {
        /// Id of the request.
        id: Id<'a>,
        /// The name of the requested method.
        name: &'a str,
        /// The requested method, if it exists.
        method: Option<Method>,
        /// Its parameters.
        params: Option<Value<'a>>,
    },
    /// A notification; an unknown one is accepted and ignored.
    Notification {
        /// The notification, if it is known.
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
    /// The kind of `message` within a session.
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

    /// Whether the message claims the modern era, which has no sessions.
    pub fn claims_modern(&self) -> bool {
        let (SessionMessage::Request { params, .. } | SessionMessage::Notification { params, .. }) =
            self
        else {
            return false;
        };
        Meta::of_params(*params).is_some_and(|meta| meta.claim.is_some())
    }

    /// Checks that `params._meta`, if present, is an object, as every revision has it.
    ///
    /// # Errors
    /// [`Reason::Envelope`] for a request with another value.
    pub fn check_meta(&self) -> Result<(), Reason<'a>> {
        if let SessionMessage::Request { params, .. } = self {
            Meta::read(*params)?;
        }
        Ok(())
    }

    /// The id of a request.
    pub fn request_id(&self) -> Option<Id<'a>> {
        match self {
            SessionMessage::Request { id, .. } => Some(*id),
            SessionMessage::Notification { .. } | SessionMessage::Response { .. } => None,
        }
    }
}

/// The checks after the body was decoded.
///
/// # Errors
/// [`Refusal`] says which check the message failed at, with the id of the request where it has one.
pub fn admit<'a>(claims: Claims<'a>, message: Message<'a>) -> Result<Admitted<'a>, Refusal<'a>> {
    match message {
        Message::Request { id, method, params } => {
            admit_request(claims, message, (id, method, params)).map_err(|reason| Refusal {
                id: Some(id),
                reason,
            })
        }
        Message::Notification { params, .. } => {
            let claim = Meta::of_params(params).and_then(|meta| meta.claim);
            let admitted = match claim.is_some() || names_modern(claims) {
                true => modern_notification(claims, claim),
                false => session_message(claims, message),
            };
            admitted.map_err(|reason| Refusal { id: None, reason })
        }
        Message::Response { .. } => {
            session_message(claims, message).map_err(|reason| Refusal { id: None, reason })
        }
    }
}

/// The session of a batch, an array of messages: only sessions of 2025-03-26 take one.
///
/// # Errors
/// [`Reason::Batch`] for a batch that is of no legacy session.
pub fn batch_session<'a>(claims: Claims<'a>) -> Result<SessionClaim<'a>, Reason<'a>> {
    session_claim(claims).map_err(|_| Reason::Batch)
}

/// A modern notification has one requirement: a revision that it names must be served. There are no
/// rules for its headers.
fn modern_notification<'a>(
    claims: Claims<'a>,
    claim: Option<Value<'a>>,
) -> Result<Admitted<'a>, Reason<'a>> {
    let in_header = claims
        .head()
        .and_then(|head| head.mcp_protocol_version.value());
    let in_header = in_header.and_then(|name| str::from_utf8(name).ok());
    let named = [claim.and_then(|claim| claim.as_str()), in_header];
    let unserved = |name: &&str| Revision::modern(name).is_none();
    match named.into_iter().flatten().find(unserved) {
        Some(name) => Err(Reason::UnsupportedVersion(name)),
        None => Ok(Admitted::ModernNotification),
    }
}

fn admit_request<'a>(
    claims: Claims<'a>,
    message: Message<'a>,
    (id, name, params): (Id<'a>, &'a str, Option<Value<'a>>),
) -> Result<Admitted<'a>, Reason<'a>> {
    let meta = Meta::read(params)?;
    let claim = meta.and_then(|meta| meta.claim);
    let claims_modern = claim
        .and_then(|claim| claim.as_str())
        .and_then(Revision::modern)
        .is_some();
    if name == "initialize" && !claims_modern {
        return initialize(claims, id, params);
    }
    if claim.is_some() {
        return admit_modern(claims, id, name, params, meta).map(Admitted::Modern);
    }
    if names_modern(claims) {
        return Err(Reason::ClaimMissing("a request of this protocol version"));
    }
    if name == "server/discover" {
        return Err(Reason::ClaimMissing("server/discover"));
    }
    session_message(claims, message)
}

/// A handshake is legacy for any requested revision (MCP 2026-07-28 basic/versioning, "Backward
/// Compatibility"), and the answer names a served one (2025-11-25 basic/lifecycle, "Version
/// Negotiation"). A header that names the modern era must agree with the body.
fn initialize<'a>(
    claims: Claims<'a>,
    id: Id<'a>,
    params: Option<Value<'a>>,
) -> Result<Admitted<'a>, Reason<'a>> {
    if let Some(head) = claims.head().filter(|_| names_modern(claims)) {
        let requested = params
            .and_then(|params| params.as_object())
            .and_then(|object| object.get("protocolVersion"))
            .and_then(|version| version.as_str());
        if head.mcp_protocol_version.value() != requested.map(str::as_bytes) {
            return Err(Reason::HeaderMismatch(VERSION_HEADER));
        }
    }
    Ok(Admitted::Initialize { id, params })
}

fn admit_modern<'a>(
    claims: Claims<'a>,
    id: Id<'a>,
    name: &'a str,
    params: Option<Value<'a>>,
    meta: Option<Meta<'a>>,
) -> Result<ModernRequest<'a>, Reason<'a>> {
    let envelope = Envelope::read(meta)?;
    if let Some(head) = claims.head() {
        let version = required(head.mcp_protocol_version, VERSION_HEADER)?;
        if version != envelope.protocol_version.as_bytes() {
            return Err(Reason::HeaderMismatch(VERSION_HEADER));
        }
    }
    if Revision::modern(envelope.protocol_version).is_none() {
        return Err(Reason::UnsupportedVersion(envelope.protocol_version));
    }
    if let Some(head) = claims.head()
        && required(head.mcp_method, METHOD_HEADER)? != name.as_bytes()
    {
        return Err(Reason::HeaderMismatch(METHOD_HEADER));
    }
    let method = Method::lookup(Era::Modern, name).ok_or(Reason::MethodNotFound(name))?;
    if let Some(head) = claims.head()
        && let Some(member) = method.name_member()
    {
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
    claims: Claims<'a>,
    message: Message<'a>,
) -> Result<Admitted<'a>, Reason<'a>> {
    Ok(Admitted::Session {
        claim: session_claim(claims)?,
        message: SessionMessage::of(message),
    })
}

/// The session that the headers of a message name; on a transport without headers it is that of
/// the connection.
pub(super) fn session_claim<'a>(claims: Claims<'a>) -> Result<SessionClaim<'a>, Reason<'a>> {
    let Some(head) = claims.head() else {
        return Ok(SessionClaim::OfConnection);
    };
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
    Ok(SessionClaim::Named {
        session_id,
        revision,
    })
}

/// Whether the version header names a revision of the modern era.
pub(super) fn names_modern(claims: Claims<'_>) -> bool {
    let version = claims.head().map(|head| head.mcp_protocol_version);
    matches!(version, Some(Field::Once(name)) if names_modern_era(name))
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

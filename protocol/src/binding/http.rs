//! The HTTP binding: routes from verb and path, and statuses of refusals.

use super::admission::{SessionClaim, names_modern, session_claim};
use super::claims::Claims;
use super::refusal::{Category, Reason};
use super::websocket::{self, Handshake};
use crate::framing::http1::{Field, Method as Verb, RequestHead, Status};

/// The request that a head makes of this endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// A message for this endpoint: its body decides what happens.
    Post,
    /// A stream for messages of this legacy session.
    OpenStream {
        /// The session.
        session: SessionClaim<'a>,
        /// The id of the last event that the client received, to resume that stream; absent for a
        /// new stream.
        last_event_id: Option<&'a [u8]>,
    },
    /// The end of this legacy session.
    EndSession(SessionClaim<'a>),
    /// The head of the answer to GET. Nothing is opened, and the session is not looked up.
    Head,
    /// The verbs that the endpoint takes.
    Options,
    /// The connection goes on as a WebSocket.
    Upgrade(Handshake),
}

/// The verbs that an endpoint takes.
pub const ENDPOINT_VERBS: &str = "GET, HEAD, POST, DELETE, OPTIONS";

/// First checks, before the body: path and verb.
///
/// # Errors
/// 404 for a path that is none of `endpoints`, 405 for another verb, 400 for a session verb without
/// a usable session header or with different last events, and for a handshake of WebSocket that is
/// not valid, 426 for one of another version.
pub fn route<'a>(
    head: &'a RequestHead<'a>,
    endpoints: &'a [impl AsRef<str>],
) -> Result<Route<'a>, Reason<'a>> {
    let mut paths = endpoints.iter().map(AsRef::as_ref);
    if !paths.any(|endpoint| is_path(head.path, endpoint)) {
        return Err(Reason::Path(endpoints.first().map_or("", AsRef::as_ref)));
    }
    let claims = Claims::of_head(head);
    match head.method {
        Verb::Post => Ok(Route::Post),
        Verb::Get if head.upgrades_to_websocket => websocket::handshake(head).map(Route::Upgrade),
        Verb::Get | Verb::Head | Verb::Delete if names_modern(claims) => {
            Err(Reason::Verb("POST, OPTIONS"))
        }
        Verb::Head => session_claim(claims).map(|_| Route::Head),
        Verb::Options => Ok(Route::Options),
        Verb::Get => Ok(Route::OpenStream {
            session: session_claim(claims)?,
            last_event_id: last_event_id(head.last_event_id)?,
        }),
        Verb::Delete => Ok(Route::EndSession(session_claim(claims)?)),
        Verb::Other => Err(Reason::Verb(ENDPOINT_VERBS)),
    }
}

/// Whether `path` is the endpoint. A slash at its end makes no difference: clients and proxies add
/// and strip it, and after a redirect they leave out the headers or the body.
fn is_path(path: &str, endpoint: &str) -> bool {
    let bare = |path: &'_ str| path.len() - usize::from(path.ends_with('/'));
    path == endpoint || path[..bare(path)] == endpoint[..bare(endpoint)]
}

/// An empty id counts as absent: clients that received no id have one (WHATWG HTML 9.2.4).
fn last_event_id(field: Field<'_>) -> Result<Option<&[u8]>, Reason<'_>> {
    match field {
        Field::Absent | Field::Once(b"") => Ok(None),
        Field::Once(id) => Ok(Some(id)),
        Field::Repeated => Err(Reason::HeaderDiffers("Last-Event-ID")),
    }
}

/// The status of an answer, or of a refusal of a category (MCP both revisions, basic/transports;
/// mcp status tables).
pub fn status_of(refused: Option<Category>) -> Status {
    match refused {
        None => Status::Ok,
        Some(Category::Invalid) => Status::BadRequest,
        Some(Category::Forbidden) => Status::Forbidden,
        Some(Category::NotFound) => Status::NotFound,
        Some(Category::NotAllowed) => Status::MethodNotAllowed,
        Some(Category::NotAcceptable) => Status::NotAcceptable,
        Some(Category::UnsupportedType) => Status::UnsupportedMediaType,
        Some(Category::UpgradeRequired) => Status::UpgradeRequired,
        Some(Category::ScopeMissing { .. }) => Status::Forbidden,
        Some(Category::TooMany { .. }) => Status::TooManyRequests,
        Some(Category::Unavailable { .. }) => Status::ServiceUnavailable,
    }
}

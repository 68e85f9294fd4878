//! The client's side of the HTTP binding: the fields of requests, and the meaning of answers (MCP
//! 2026-07-28 basic/transports/streamable-http; MCP 2025-11-25 basic/transports).
//!
//! Invariant: the fields follow from the message alone, so no caller can make them contradict it.
//! It lacks credentials, and reads no body: the caller decodes the message of an [`Outcome`].

use std::borrow::Cow;

use crate::framing::http1::MediaType;
use crate::header_value;
use crate::mcp::era::Era;
use crate::mcp::method::Method;
use crate::mcp::revision::Revision;

/// `Accept` of a POST: either form of answer.
pub const ACCEPT_POST: &str = "application/json, text/event-stream";
/// `Accept` of a GET, which opens a stream.
pub const ACCEPT_GET: &str = "text/event-stream";
/// `Accept-Encoding`: a coded stream would arrive late, and a coded answer could be a bomb.
pub const ACCEPT_ENCODING: &str = "identity";
/// `Content-Type` of a POST.
pub const CONTENT_TYPE: &str = "application/json";

/// A message to be sent, as far as its fields depend on it.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingMessage<'a> {
    /// The revision that the message is written in.
    pub revision: Revision,
    /// The method of a request or notification; none for a response.
    pub method: Option<&'a str>,
    /// The member of `params` that [`name_member`] names.
    pub name: Option<&'a str>,
    /// The session, in the legacy era.
    pub session: Option<&'a str>,
}

/// The member of `params` that `Mcp-Name` repeats; none for methods without one, custom ones too.
pub fn name_member(method: &str) -> Option<&'static str> {
    Method::lookup(Era::Modern, method)?.name_member()
}

impl<'a> OutgoingMessage<'a> {
    /// The fields of the message, in a fixed order. `Mcp-Param-*` come on top of them
    /// ([`mirror`](super::header_param::mirror)).
    ///
    /// ```
    /// use corelane_protocol::binding::http_client::OutgoingMessage;
    /// use corelane_protocol::mcp::revision::Revision;
    /// let message = OutgoingMessage {
    ///     revision: Revision::V2026_07_28,
    ///     method: Some("tools/call"),
    ///     name: Some("\u{e9}cho"),
    ///     session: None,
    /// };
    /// let name = message.fields().find(|(name, _)| *name == "Mcp-Name");
    /// assert_eq!(name.unwrap().1, "=?base64?w6ljaG8=?=");
    /// ```
    pub fn fields(self) -> impl Iterator<Item = (&'static str, Cow<'a, str>)> {
        let is_modern = self.revision.era() == Era::Modern;
        // The handshake negotiates the revision, so no field names one (MCP 2025-11-25 basic).
        let names_revision = self.method != Some("initialize");
        let method = self.method.filter(|_| is_modern);
        let name = self.name.filter(|_| is_modern);
        [
            names_revision.then(|| ("MCP-Protocol-Version", Cow::from(self.revision.as_str()))),
            method.map(|method| ("Mcp-Method", header_value::encode(method))),
            name.map(|name| ("Mcp-Name", header_value::encode(name))),
            self.session
                .filter(|_| !is_modern && names_revision)
                .map(|id| ("Mcp-Session-Id", Cow::from(id))),
        ]
        .into_iter()
        .flatten()
    }
}

/// The meaning of an answer, from its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The body is one JSON message.
    Message,
    /// The body is a stream of events with the answer among them.
    Events,
    /// The message was taken; nothing follows.
    Accepted,
    /// Credentials are missing (401) or do not suffice (403).
    Challenged,
    /// The session is gone; the request was not executed.
    SessionLost,
    /// The server cannot serve the request now (408, 429, 5xx).
    Unavailable,
    /// The request is refused. `has_message` if the body is JSON, which may be an error response.
    Refused {
        /// Whether the body is JSON.
        has_message: bool,
    },
    /// A redirection: it is not followed, because it would carry the message elsewhere.
    Redirected,
    /// A success of a media type that no answer has.
    Unreadable,
}

/// The meaning of an answer with `status` and `media_type` to a request that named a session, or
/// none.
pub fn outcome(status: u16, media_type: MediaType, named_session: bool) -> Outcome {
    let has_message = media_type == MediaType::Json;
    match status {
        200..=299 => match media_type {
            _ if matches!(status, 202 | 204) => Outcome::Accepted,
            MediaType::Json => Outcome::Message,
            MediaType::Events => Outcome::Events,
            MediaType::Other => Outcome::Unreadable,
        },
        300..=399 => Outcome::Redirected,
        401 | 403 => Outcome::Challenged,
        404 if named_session => Outcome::SessionLost,
        408 | 429 | 500.. => Outcome::Unavailable,
        _ => Outcome::Refused { has_message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(message: OutgoingMessage<'_>) -> String {
        let fields = message
            .fields()
            .map(|(name, value)| format!("{name}: {value}"));
        fields.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_fields_follow_from_the_message() {
        let modern = OutgoingMessage {
            revision: Revision::V2026_07_28,
            method: Some("resources/read"),
            name: Some("file:///a%20b?c=d"),
            session: Some("ignored"),
        };
        let version = "MCP-Protocol-Version: 2026-07-28";
        let name = "Mcp-Method: resources/read, Mcp-Name: file:///a%20b?c=d";
        assert_eq!(fields(modern), format!("{version}, {name}"));
        let legacy = OutgoingMessage {
            revision: Revision::V2025_11_25,
            session: Some("s1"),
            ..modern
        };
        let version = "MCP-Protocol-Version: 2025-11-25";
        assert_eq!(fields(legacy), format!("{version}, Mcp-Session-Id: s1"));
        let response = OutgoingMessage {
            method: None,
            ..legacy
        };
        assert_eq!(fields(response), format!("{version}, Mcp-Session-Id: s1"));
        let method = Some("initialize");
        assert_eq!(fields(OutgoingMessage { method, ..legacy }), "");
    }

    #[test]
    fn the_names_of_a_request_stand_in_one_member() {
        for (method, member) in [
            ("tools/call", Some("name")),
            ("prompts/get", Some("name")),
            ("resources/read", Some("uri")),
            ("tasks/get", Some("taskId")),
            ("tools/list", None),
            ("x/custom", None),
        ] {
            assert_eq!(name_member(method), member, "{method}");
        }
    }

    #[test]
    fn an_answer_has_one_meaning() {
        use MediaType::{Events, Json, Other};
        for (status, media_type, named_session, expected) in [
            (200, Json, false, Outcome::Message),
            (200, Events, true, Outcome::Events),
            (200, Other, false, Outcome::Unreadable),
            (202, Other, false, Outcome::Accepted),
            (202, Json, false, Outcome::Accepted),
            (204, Other, true, Outcome::Accepted),
            (307, Other, false, Outcome::Redirected),
            (400, Json, false, Outcome::Refused { has_message: true }),
            (404, Other, false, Outcome::Refused { has_message: false }),
            (404, Json, true, Outcome::SessionLost),
            (401, Json, true, Outcome::Challenged),
            (403, Other, false, Outcome::Challenged),
            (405, Other, true, Outcome::Refused { has_message: false }),
            (408, Json, false, Outcome::Unavailable),
            (429, Json, false, Outcome::Unavailable),
            (503, Other, true, Outcome::Unavailable),
            (100, Json, false, Outcome::Refused { has_message: true }),
        ] {
            let found = outcome(status, media_type, named_session);
            assert_eq!(found, expected, "{status} {media_type:?} {named_session}");
        }
    }
}

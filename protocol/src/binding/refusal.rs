//! Messages that are not served: the category, the code and the text for each reason.

use crate::jsonrpc::{DecodeError, Id, ShapeFault, encode};
use crate::mcp::about::write_array;
use crate::mcp::capability::ClientCapability;
use crate::mcp::error_code;
use crate::mcp::meta::EnvelopeError;
use crate::mcp::revision::Revision;

/// Bytes of a peer's own text that an error repeats.
const ECHOED_BYTES_MAX: usize = 128;

/// Seconds after which an overloaded server may be tried again, unless it knows better.
pub const RETRY_AFTER_S: u32 = 1;

/// The start of a peer's text: enough to recognise it, too little to make an answer large.
pub fn clip(text: &str) -> &str {
    let mut end = text.len().min(ECHOED_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A message refused before it was dispatched.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal<'a> {
    /// Id of the refused request, where it could be read; never null.
    pub id: Option<Id<'a>>,
    /// Why it was refused.
    pub reason: Reason<'a>,
}

/// The kind of a refusal. Each transport expresses it in its own way, such as an HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// The message breaks a rule of the protocol, or lacks something.
    Invalid,
    /// The server does not answer to this host or origin.
    Forbidden,
    /// There is no such path, method or session.
    NotFound,
    /// The verb is not served.
    NotAllowed,
    /// The client takes no kind of answer that the server gives.
    NotAcceptable,
    /// The message is of a type or in an encoding that the server does not read.
    UnsupportedType,
    /// The message is served over another protocol, or another version of it.
    UpgradeRequired,
    /// The client may use the entry with more scopes, which the message names.
    ScopeMissing {
        /// The number of the rule with these scopes.
        rule: u16,
        /// The policy that has the rule.
        policy: u64,
    },
    /// The client sends more than it may; it may send again after so many seconds.
    TooMany {
        /// At least 1.
        retry_after_s: u32,
    },
    /// The server cannot serve the message now; it may be sent again after so many seconds.
    Unavailable {
        /// At least 1.
        retry_after_s: u32,
    },
}

/// Why a message was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Reason<'a> {
    /// The bytes are no HTTP request, or pass a limit on requests.
    #[error("{0}")]
    Framing(&'a str),
    /// The body is not JSON, or passes a limit on JSON.
    #[error("{0}")]
    Undecodable(DecodeError),
    /// The JSON is not a JSON-RPC message.
    #[error("{0}")]
    NotAMessage(ShapeFault<'a>),
    /// The body is an array.
    #[error("batches are served in sessions of 2025-03-26 only: send one message per request")]
    Batch,
    /// The body is an array of nothing (JSON-RPC 2.0, 6).
    #[error("a batch needs a message")]
    BatchEmpty,
    /// The body is a long array.
    #[error("batch of {messages} messages exceeds limit of {messages_max}")]
    BatchTooLong {
        /// How many there are.
        messages: usize,
        /// How many there may be.
        messages_max: usize,
    },
    /// A handshake in an array (MCP 2025-03-26 basic/lifecycle, "Initialization").
    #[error("initialize must not be part of a batch")]
    BatchInitialize,
    /// A modern message in an array: each is a POST of its own (MCP 2026-07-28
    /// basic/transports/streamable-http, "Sending Messages").
    #[error("a batch has no messages of 2026-07-28: send each of them in a request of its own")]
    BatchModern,
    /// `Content-Type` is not JSON.
    #[error("Content-Type must be application/json")]
    ContentType,
    /// The body is compressed, or encoded in another way.
    #[error("Content-Encoding is not supported: send the body as it is")]
    ContentEncoding,
    /// `Accept` allows no kind of answer this endpoint gives.
    #[error("Accept must allow {0}")]
    NotAcceptable(&'static str),
    /// `Host` or `Origin` is not one this server answers to.
    #[error("{0}")]
    Forbidden(String),
    /// The header that names the principal is missing or malformed.
    #[error("{0}")]
    Principal(String),
    /// The path is not the endpoint.
    #[error("no such path: the MCP endpoint is {0}")]
    Path(&'a str),
    /// The verb is not served here.
    #[error("method not allowed: use {0}")]
    Verb(&'static str),
    /// The handshake of a WebSocket breaks a rule (RFC 6455 4.2.1).
    #[error("WebSocket handshake {0}")]
    Handshake(&'static str),
    /// The handshake is of another version (RFC 6455 4.4), or there is none where there must be.
    #[error("{0}")]
    UpgradeRequired(&'static str),
    /// The modern envelope is invalid.
    #[error("{0}")]
    Envelope(#[from] EnvelopeError),
    /// A modern request without a claim.
    #[error("{0} needs params._meta with the protocol version and the client's capabilities")]
    ClaimMissing(&'static str),
    /// A header that every modern request carries is absent.
    #[error("header {0} is missing")]
    HeaderMissing(&'static str),
    /// A header that every modern request carries once has several values.
    #[error("header {0} has values that differ")]
    MirrorDiffers(&'static str),
    /// Another header that has one value has several.
    #[error("header {0} has values that differ")]
    HeaderDiffers(&'static str),
    /// A header contradicts the body.
    #[error("header {0} does not equal its value in the body")]
    HeaderMismatch(&'static str),
    /// A header's value cannot be decoded.
    #[error("header {0} has a malformed value")]
    HeaderMalformed(&'static str),
    /// A header that repeats an argument is absent, malformed or different.
    #[error("header Mcp-Param-{name} {fault}")]
    ParamHeader {
        /// The name after `Mcp-Param-`.
        name: &'a str,
        /// The fault of the value.
        fault: &'static str,
    },
    /// The claimed revision is not served.
    #[error("{}", unsupported_version(.0))]
    UnsupportedVersion(&'a str),
    /// The method does not exist in the message's era.
    #[error("method {0:?} does not exist")]
    MethodNotFound(&'a str),
    /// The request needs a capability that its client did not declare.
    #[error("the client lacks the capability {}, which this request needs", .0.as_str())]
    MissingCapability(ClientCapability),
    /// A legacy message without a session.
    #[error("header MCP-Session-Id is missing: initialize first")]
    SessionMissing,
    /// A legacy message on a connection whose client has not initialized.
    #[error("the connection has no session: initialize first")]
    NotInitialized,
    /// A second handshake on a connection.
    #[error("the connection has a session: a client initializes once")]
    AlreadyInitialized,
    /// A session that does not exist, any more or at all.
    #[error("no such session: initialize again")]
    SessionUnknown,
    /// A stream that the client wants the rest of, and cannot have.
    #[error("stream cannot be resumed: {0}")]
    NotResumable(&'a str),
    /// A legacy version header that names no served revision.
    #[error("header MCP-Protocol-Version names no revision of this session's era")]
    VersionHeader,
    /// Too much is going on: nothing was started.
    #[error("overloaded: {0}; try again later")]
    Overloaded(&'a str),
    /// The server is going away.
    #[error("the server is shutting down")]
    Draining,
}

/// A revision with sessions is served, but not to a request without one; a modern revision, but not
/// over HTTP+SSE, which is older than it.
fn unsupported_version(requested: &str) -> String {
    match Revision::legacy(requested) {
        Some(_) => format!("protocol version {requested:?} needs a session: initialize first"),
        None if Revision::modern(requested).is_some() => format!(
            "protocol version {requested:?} is not served over HTTP+SSE: \
             initialize for an older one"
        ),
        None => format!(
            "protocol version {:?} is not supported: use {}, or initialize for an older one",
            clip(requested),
            Revision::MODERN[0].as_str(),
        ),
    }
}

impl Reason<'_> {
    /// The category of the refusal, which each transport expresses in its own way.
    pub fn category(&self) -> Category {
        match self {
            Reason::ContentType | Reason::ContentEncoding => Category::UnsupportedType,
            Reason::NotAcceptable(_) => Category::NotAcceptable,
            Reason::Forbidden(_) => Category::Forbidden,
            Reason::Path(_) | Reason::MethodNotFound(_) | Reason::SessionUnknown => {
                Category::NotFound
            }
            Reason::Verb(_) => Category::NotAllowed,
            Reason::UpgradeRequired(_) => Category::UpgradeRequired,
            Reason::Overloaded(_) | Reason::Draining => Category::Unavailable {
                retry_after_s: RETRY_AFTER_S,
            },
            _ => Category::Invalid,
        }
    }

    /// The JSON-RPC error code.
    pub fn code(&self) -> i64 {
        match self {
            Reason::Undecodable(error) => error.code(),
            Reason::NotAMessage(_)
            | Reason::Framing(_)
            | Reason::Batch
            | Reason::BatchEmpty
            | Reason::BatchTooLong { .. }
            | Reason::BatchInitialize
            | Reason::BatchModern
            | Reason::ContentType
            | Reason::ContentEncoding
            | Reason::NotAcceptable(_)
            | Reason::Forbidden(_)
            | Reason::Principal(_)
            | Reason::Path(_)
            | Reason::Verb(_)
            | Reason::Handshake(_)
            | Reason::UpgradeRequired(_)
            | Reason::VersionHeader
            | Reason::HeaderDiffers(_)
            | Reason::NotResumable(_)
            | Reason::NotInitialized
            | Reason::AlreadyInitialized
            | Reason::SessionMissing => error_code::INVALID_REQUEST,
            Reason::Envelope(_) | Reason::ClaimMissing(_) => error_code::INVALID_PARAMS,
            Reason::HeaderMissing(_)
            | Reason::MirrorDiffers(_)
            | Reason::HeaderMismatch(_)
            | Reason::HeaderMalformed(_)
            | Reason::ParamHeader { .. } => error_code::HEADER_MISMATCH,
            Reason::UnsupportedVersion(_) => error_code::UNSUPPORTED_PROTOCOL_VERSION,
            Reason::MethodNotFound(_) => error_code::METHOD_NOT_FOUND,
            Reason::MissingCapability(_) => error_code::MISSING_CLIENT_CAPABILITY,
            Reason::SessionUnknown => error_code::SESSION,
            Reason::Overloaded(_) | Reason::Draining => error_code::INTERNAL_ERROR,
        }
    }

    /// The header field that goes with the refusal: `Allow` with a refused verb (RFC 9110 15.5.6),
    /// `Accept-Encoding` with an encoded body (RFC 9110 15.5.16).
    pub fn field(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Reason::Verb(allow) => Some(("Allow", allow)),
            Reason::ContentEncoding => Some(("Accept-Encoding", "identity")),
            _ => None,
        }
    }

    fn write_data(&self, out: &mut Vec<u8>) {
        match self {
            Reason::UnsupportedVersion(requested) => {
                let supported = match Revision::modern(requested) {
                    Some(_) => Revision::LEGACY,
                    None => Revision::MODERN,
                };
                out.extend_from_slice(br#"{"supported":"#);
                write_array(out, supported, |revision, out| {
                    encode::write_string(out, revision.as_str());
                });
                out.extend_from_slice(br#","requested":"#);
                encode::write_string(out, requested);
                out.push(b'}');
            }
            Reason::MissingCapability(capability) => {
                out.extend_from_slice(br#"{"requiredCapabilities":"#);
                out.extend_from_slice(capability.required_object().as_bytes());
                out.push(b'}');
            }
            _ => {}
        }
    }

    fn has_data(&self) -> bool {
        matches!(
            self,
            Reason::UnsupportedVersion(_) | Reason::MissingCapability(_)
        )
    }
}

impl Refusal<'_> {
    /// Writes the JSON-RPC error message. `message` is the reason's text: the caller formats it
    /// where it keeps such texts.
    pub fn write(&self, out: &mut Vec<u8>, message: &str) {
        let code = self.reason.code();
        if self.reason.has_data() {
            let data = |out: &mut Vec<u8>| self.reason.write_data(out);
            encode::write_error_with_data(out, self.id, code, message, data);
        } else {
            encode::write_error(out, self.id, code, message);
        }
    }
}

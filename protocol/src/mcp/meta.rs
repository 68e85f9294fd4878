//! `params._meta`: the envelope of a request.

use super::capability::ClientCapabilities;
use super::logging::LogLevel;
use super::trace_context::TRACE_PARENT;
use crate::jsonrpc::{Id, Value};

/// Key of the modern claim: the revision this request is made in.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Key of the client's capabilities for this request.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Key of the client's name and version.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// Key of the least severe log level the client wants for this request.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// Key of the token that notifications of progress carry.
pub const PROGRESS_TOKEN: &str = "progressToken";
/// Key of the id of the subscription that a message belongs to.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
/// Key of the server's name and version on results.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// The known keys of `params._meta`, before their types are checked. One walk over the members:
/// every request goes through it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meta<'a> {
    /// The claim of a modern message: the value at [`PROTOCOL_VERSION`], of any type.
    pub claim: Option<Value<'a>>,
    capabilities: Option<Value<'a>>,
    client_info: Option<Value<'a>>,
    log_level: Option<Value<'a>>,
    progress_token: Option<Value<'a>>,
    trace_parent: Option<Value<'a>>,
}

impl<'a> Meta<'a> {
    /// Reads the `_meta` object of `params`; none if there is no such object.
    pub fn of_params(params: Option<Value<'a>>) -> Option<Meta<'a>> {
        Meta::read(params).ok().flatten()
    }

    /// Reads the `_meta` object of `params`, if they have `_meta`.
    ///
    /// # Errors
    /// [`EnvelopeError`] if `_meta` is no object.
    pub fn read(params: Option<Value<'a>>) -> Result<Option<Meta<'a>>, EnvelopeError> {
        let object = params.and_then(|params| params.as_object());
        let Some(value) = object.and_then(|object| object.get("_meta")) else {
            return Ok(None);
        };
        let Some(members) = value.as_object() else {
            return match value.is_null() {
                true => Ok(None),
                false => Err(EnvelopeError::MetaKind),
            };
        };
        let mut meta = Meta::default();
        for (name, value) in members {
            let place = match name {
                PROTOCOL_VERSION => &mut meta.claim,
                CLIENT_CAPABILITIES => &mut meta.capabilities,
                CLIENT_INFO => &mut meta.client_info,
                LOG_LEVEL => &mut meta.log_level,
                PROGRESS_TOKEN => &mut meta.progress_token,
                TRACE_PARENT => &mut meta.trace_parent,
                _ => continue,
            };
            *place = Some(value);
        }
        // The required keys stay: their readers refuse a null.
        for optional in [
            &mut meta.client_info,
            &mut meta.log_level,
            &mut meta.progress_token,
            &mut meta.trace_parent,
        ] {
            optional.take_if(|value| value.is_null());
        }
        Ok(Some(meta))
    }

    /// The value of `traceparent`, if there is one. A value of another type is as malformed as
    /// another text: it is empty.
    #[must_use]
    pub fn trace_parent(&self) -> Option<&'a str> {
        Some(self.trace_parent?.as_str().unwrap_or_default())
    }
}

/// Bytes a progress token may have: every notification of the call repeats it.
pub const PROGRESS_TOKEN_BYTES_MAX: usize = 256;

/// Bytes the claimed revision may have: a refusal repeats it.
pub const PROTOCOL_VERSION_BYTES_MAX: usize = 64;

/// The progress token of a request, which keeps its JSON type; none if it is unusable.
pub fn progress_token<'a>(params: Option<Value<'a>>) -> Option<Id<'a>> {
    usable_token(Meta::of_params(params)?.progress_token?)
}

fn usable_token(value: Value<'_>) -> Option<Id<'_>> {
    Id::read(value).filter(|token| match token {
        Id::String(text) => text.len() <= PROGRESS_TOKEN_BYTES_MAX,
        Id::Integer(_) | Id::Unsigned(_) => true,
    })
}

/// A valid modern envelope: every required key is present and every known key has the correct type.
/// The revision is not yet checked.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The claimed revision, any text.
    pub protocol_version: &'a str,
    /// The capabilities of the client, for this request only.
    pub capabilities: ClientCapabilities,
    /// Log messages below this are not wanted; none at all when absent.
    pub log_level: Option<LogLevel>,
    /// Token of progress notifications; the client wants none when absent.
    pub progress_token: Option<Id<'a>>,
    /// The value of `traceparent`; empty if it is no text.
    pub trace_parent: Option<&'a str>,
}

/// Why a modern envelope is invalid (answered -32602 with HTTP 400).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// `params` or `params._meta` is absent.
    #[error("params._meta must be an object with {PROTOCOL_VERSION} and {CLIENT_CAPABILITIES}")]
    MissingMeta,
    /// `params._meta` is no object.
    #[error("params._meta must be an object")]
    MetaKind,
    /// A required key is absent.
    #[error("params._meta lacks {0}")]
    MissingKey(&'static str),
    /// A key has the wrong type.
    #[error("params._meta[\"{key}\"] must be {expected}")]
    WrongType {
        /// The key at fault.
        key: &'static str,
        /// The expected type.
        expected: &'static str,
    },
}

impl<'a> Envelope<'a> {
    /// Reads the envelope from the `_meta` of a request, if it has one.
    ///
    /// # Errors
    /// [`EnvelopeError`] names the first key that is missing or has the wrong type.
    pub fn read(meta: Option<Meta<'a>>) -> Result<Envelope<'a>, EnvelopeError> {
        let meta = meta.ok_or(EnvelopeError::MissingMeta)?;
        let protocol_version = meta
            .claim
            .ok_or(EnvelopeError::MissingKey(PROTOCOL_VERSION))?
            .as_str()
            .filter(|version| version.len() <= PROTOCOL_VERSION_BYTES_MAX)
            .ok_or(wrong_type(PROTOCOL_VERSION, "a string of at most 64 bytes"))?;
        let capabilities = meta
            .capabilities
            .ok_or(EnvelopeError::MissingKey(CLIENT_CAPABILITIES))?;
        if capabilities.as_object().is_none() {
            return Err(wrong_type(CLIENT_CAPABILITIES, "an object"));
        }
        if meta
            .client_info
            .is_some_and(|info| info.as_object().is_none())
        {
            return Err(wrong_type(CLIENT_INFO, "an object"));
        }
        Ok(Envelope {
            protocol_version,
            capabilities: ClientCapabilities::read(capabilities),
            log_level: meta.log_level.map(read_log_level).transpose()?,
            progress_token: meta.progress_token.map(read_progress_token).transpose()?,
            trace_parent: meta.trace_parent(),
        })
    }
}

fn read_log_level(level: Value<'_>) -> Result<LogLevel, EnvelopeError> {
    level.as_str().and_then(LogLevel::parse).ok_or(wrong_type(
        LOG_LEVEL,
        "one of the eight syslog levels in lower case",
    ))
}

fn read_progress_token(token: Value<'_>) -> Result<Id<'_>, EnvelopeError> {
    usable_token(token).ok_or(wrong_type(
        PROGRESS_TOKEN,
        "a string of at most 256 bytes or an integer",
    ))
}

fn wrong_type(key: &'static str, expected: &'static str) -> EnvelopeError {
    EnvelopeError::WrongType { key, expected }
}

//! How a handler fails.

use std::fmt;

use corelane_protocol::mcp::capability::ClientCapability;
use corelane_protocol::mcp::error_code;

/// A handler's failure.
///
/// Any `std::error::Error` becomes one with `?`. Of a tool, the model then reads its text in a
/// result with `isError`, and can react; of anything else it is a JSON-RPC error. A failure of
/// the request itself, which the model should not see, is made with [`CallError::protocol`].
#[derive(Debug)]
pub struct CallError(Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    /// The tool ran and failed: a result with `isError`.
    Failed(String),
    /// The handler panicked.
    Panicked,
    /// The request failed: a JSON-RPC error.
    Protocol { code: i64, message: String },
    /// The client lacks a capability.
    MissingCapability(ClientCapability),
    /// There is no such resource.
    NoResource { uri: String },
}

impl CallError {
    /// The tool could not do its job; `text` is for the model.
    pub fn new(text: impl Into<String>) -> CallError {
        CallError(Kind::Failed(text.into()))
    }

    /// The request is answered with this JSON-RPC error.
    ///
    /// Codes of an application are outside -32768..=-32000 (JSON-RPC 2.0, 5.1).
    pub fn protocol(code: i64, message: impl Into<String>) -> CallError {
        CallError(Kind::Protocol {
            code,
            message: message.into(),
        })
    }

    /// The server failed: JSON-RPC error -32603.
    pub fn internal(message: impl Into<String>) -> CallError {
        CallError::protocol(error_code::INTERNAL_ERROR, message)
    }

    /// The resource does not exist: what a template's handler says of a URI that fits its template
    /// and names nothing.
    pub fn no_such_resource() -> CallError {
        CallError(Kind::NoResource { uri: String::new() })
    }

    /// The client cannot do what serving the request needs.
    pub fn missing_capability(capability: ClientCapability) -> CallError {
        CallError(Kind::MissingCapability(capability))
    }

    /// Names the resource that was asked for, if it is what is missing.
    pub(crate) fn about(self, asked: &str) -> CallError {
        match self.0 {
            Kind::NoResource { .. } => CallError(Kind::NoResource {
                uri: asked.to_owned(),
            }),
            kind => CallError(kind),
        }
    }

    pub(crate) fn panicked() -> CallError {
        CallError(Kind::Panicked)
    }

    pub(crate) fn into_kind(self) -> Kind {
        self.0
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.0
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Failed(text) => formatter.write_str(text),
            Kind::Panicked => formatter.write_str("the handler panicked"),
            Kind::MissingCapability(_) => formatter.write_str("the client lacks a capability"),
            Kind::NoResource { .. } => formatter.write_str("no such resource"),
            Kind::Protocol { code, message } => write!(formatter, "{message} ({code})"),
        }
    }
}

// `CallError` is deliberately no `std::error::Error`: that is what lets `?` take any error.
impl<E: std::error::Error> From<E> for CallError {
    fn from(error: E) -> CallError {
        CallError::new(error.to_string())
    }
}

//! How a handler fails.

use std::fmt;

use corelane_protocol::mcp::error_code;

/// A handler's failure.
///
/// Any `std::error::Error` becomes one with `?`: the model then reads its text in a result with
/// `isError`, and can react. A failure of the request itself, which the model should not see, is
/// made with [`ToolError::protocol`].
#[derive(Debug)]
pub struct ToolError(Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    /// The tool ran and failed: a result with `isError`.
    Failed(String),
    /// The handler panicked.
    Panicked,
    /// The request failed: a JSON-RPC error.
    Protocol { code: i64, message: String },
}

impl ToolError {
    /// The tool could not do its job; `text` is for the model.
    pub fn new(text: impl Into<String>) -> ToolError {
        ToolError(Kind::Failed(text.into()))
    }

    /// The request is answered with this JSON-RPC error.
    ///
    /// Codes of an application are outside -32768..=-32000 (JSON-RPC 2.0, 5.1).
    pub fn protocol(code: i64, message: impl Into<String>) -> ToolError {
        ToolError(Kind::Protocol {
            code,
            message: message.into(),
        })
    }

    /// The server failed: JSON-RPC error -32603.
    pub fn internal(message: impl Into<String>) -> ToolError {
        ToolError::protocol(error_code::INTERNAL_ERROR, message)
    }

    pub(crate) fn panicked() -> ToolError {
        ToolError(Kind::Panicked)
    }

    pub(crate) fn into_kind(self) -> Kind {
        self.0
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.0
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Failed(text) => formatter.write_str(text),
            Kind::Panicked => formatter.write_str("the tool panicked"),
            Kind::Protocol { code, message } => write!(formatter, "{message} ({code})"),
        }
    }
}

// `ToolError` is deliberately no `std::error::Error`: that is what lets `?` take any error.
impl<E: std::error::Error> From<E> for ToolError {
    fn from(error: E) -> ToolError {
        ToolError::new(error.to_string())
    }
}

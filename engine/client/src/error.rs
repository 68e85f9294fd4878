//! The errors of a client.

use serde_json::Value;

/// Why a request has no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no connection.
    #[error("cannot connect to {target}: {reason}")]
    Connect {
        /// The address.
        target: String,
        /// The cause.
        reason: String,
    },
    /// The server wants other credentials.
    #[error("{target} wants other credentials: {reason}")]
    Auth {
        /// The address.
        target: String,
        /// The cause.
        reason: String,
    },
    /// The server answered with an error of JSON-RPC.
    #[error("the server refuses the request: {0}")]
    Refused(JsonRpcError),
    /// The tool ran and reports a failure, in this text.
    #[error("the tool failed: {0}")]
    Tool(String),
    /// The server was silent, or slow, for too long. The request was cancelled.
    #[error("no answer in time: {0}")]
    Timeout(Clock),
    /// The connection broke after the request was sent: it may have been executed.
    #[error("{target} may have executed the request, its answer is lost: {reason}")]
    Unknown {
        /// The address.
        target: String,
        /// The cause.
        reason: String,
    },
    /// The request was not executed: it may be sent again.
    #[error("{target} has not executed the request: {reason}")]
    NotExecuted {
        /// The address.
        target: String,
        /// The cause.
        reason: String,
    },
    /// The server breaks the protocol, or the result has another type.
    #[error("the server breaks the protocol: {0}")]
    Protocol(String),
    /// A handler of this client did not give the input that the server needs.
    #[error("the server needs input that this client did not give: {0}")]
    Input(String),
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

/// The clock that ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Clock {
    /// No message of the call for `timeout`.
    #[error("the server was silent; a longer timeout can be set")]
    Silence,
    /// The whole call took `max_timeout`.
    #[error("the call reached its longest time; a longer max_timeout can be set")]
    Total,
}

/// An error of JSON-RPC 2.0.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct JsonRpcError {
    /// Its code.
    pub code: i64,
    /// Its text.
    #[serde(default)]
    pub message: String,
    /// More about it, in a form of the server's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl JsonRpcError {
    /// An error without data.
    pub(crate) fn new(code: i64, message: impl Into<String>) -> JsonRpcError {
        JsonRpcError {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// The revisions of `data.supported`.
    pub(crate) fn supported(&self) -> Vec<String> {
        let supported = self.data.as_ref().and_then(|data| data.get("supported"));
        let names = supported.and_then(Value::as_array).into_iter().flatten();
        names
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect()
    }
}

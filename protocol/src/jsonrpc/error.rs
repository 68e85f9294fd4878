//! Why bytes are not a message, and the JSON-RPC error codes.
//!
//! Invariant: every error here is the peer's fault, leaves the connection alive, and knows its
//! code. It lacks the errors of methods and of MCP, which belong to their own modules.

use super::id::Id;
use super::value::Kind;

/// The bytes are not JSON (JSON-RPC 2.0 section 5.1).
pub const PARSE_ERROR: i64 = -32700;
/// The JSON is not a valid message (JSON-RPC 2.0 section 5.1).
pub const INVALID_REQUEST: i64 = -32600;
/// The method does not exist or is not available (JSON-RPC 2.0 section 5.1).
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The parameters do not fit the method (JSON-RPC 2.0 section 5.1).
pub const INVALID_PARAMS: i64 = -32602;
/// The server failed (JSON-RPC 2.0 section 5.1).
pub const INTERNAL_ERROR: i64 = -32603;

/// Why bytes are not one JSON text within the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There is no text: no bytes, or white space only.
    #[error("message is empty")]
    Empty,
    /// The bytes are not UTF-8 (RFC 8259 section 8.1).
    #[error("message is not valid UTF-8")]
    InvalidUtf8,
    /// The bytes do not follow the grammar of RFC 8259, or an escape names half a surrogate pair.
    #[error("message is not valid JSON")]
    Syntax,
    /// A number is valid JSON, but no `i64`, `u64` or finite `f64` can hold it.
    #[error("number at byte {offset} is out of range")]
    NumberOutOfRange {
        /// Where the number starts, in bytes from the start of the message.
        offset: usize,
    },
    /// Arrays and objects are nested deeper than [`super::JsonLimits::depth_max`].
    #[error("nesting exceeds limit of {depth_max} levels")]
    TooDeep {
        /// The limit, in levels.
        depth_max: usize,
    },
    /// There are more values and member names than [`super::JsonLimits::nodes_max`].
    #[error("message exceeds limit of {nodes_max} values and member names")]
    TooManyNodes {
        /// The limit, in nodes.
        nodes_max: usize,
    },
    /// The message is longer than the parser can index.
    #[error("message of {message_bytes} bytes exceeds limit of {message_bytes_max}")]
    TooLong {
        /// The length of the message.
        message_bytes: usize,
        /// The limit.
        message_bytes_max: usize,
    },
}

impl DecodeError {
    /// The code of the answer: [`PARSE_ERROR`] for a text that is not JSON, [`INVALID_REQUEST`] for
    /// a text that exceeds a limit and is or may be JSON.
    pub fn code(&self) -> i64 {
        match self {
            DecodeError::Empty | DecodeError::InvalidUtf8 | DecodeError::Syntax => PARSE_ERROR,
            DecodeError::NumberOutOfRange { .. }
            | DecodeError::TooDeep { .. }
            | DecodeError::TooManyNodes { .. }
            | DecodeError::TooLong { .. } => INVALID_REQUEST,
        }
    }
}

/// Why a JSON text is not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct ShapeError<'a> {
    /// The id of the answer, if the text has exactly one readable id.
    ///
    /// It is absent for a text that looks like a response: its id belongs to the receiver's own
    /// requests, and an answer with it would hit an unrelated request of the peer.
    pub id: Option<Id<'a>>,
    /// The id of the receiver's own request that the text may answer: it has an id and no method.
    pub answers: Option<Id<'a>>,
    /// The fault of the text.
    pub fault: ShapeFault<'a>,
}

impl ShapeError<'_> {
    /// The code of the answer: always [`INVALID_REQUEST`].
    pub fn code(&self) -> i64 {
        INVALID_REQUEST
    }
}

/// A fault of the envelope of a message, or of one of its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeFault<'a> {
    /// The text is an array. MCP removed batches in revision 2025-06-18.
    #[error("message is a batch")]
    Batch,
    /// The text is neither an object nor an array.
    #[error("message must be an object, not {0}")]
    NotAnObject(Kind),
    /// An object of the message has a member twice: two readers may see two messages.
    #[error("member \"{0:.64}\" occurs twice in its object")]
    DuplicateMember(&'a str),
    /// `jsonrpc` is absent or not exactly the string "2.0".
    #[error("member jsonrpc must be the string 2.0")]
    Version,
    /// `id` is not a string or an integer.
    #[error("id must be a string or an integer, not {0}")]
    IdKind(Kind),
    /// `id` is an integer outside the range that a message can carry back unchanged.
    #[error("id is out of range: use an integer from -9223372036854775808 to 18446744073709551615")]
    IdOutOfRange,
    /// `id` is a longer string than [`super::JsonLimits::id_bytes_max`].
    #[error("id of {id_bytes} bytes exceeds limit of {id_bytes_max}")]
    IdTooLong {
        /// The length of the id.
        id_bytes: usize,
        /// The limit.
        id_bytes_max: usize,
    },
    /// `method` is not a string.
    #[error("method must be a string, not {0}")]
    MethodKind(Kind),
    /// `method` is the empty string.
    #[error("method is empty")]
    MethodEmpty,
    /// `method` is longer than [`super::JsonLimits::method_bytes_max`].
    #[error("method of {method_bytes} bytes exceeds limit of {method_bytes_max}")]
    MethodTooLong {
        /// The length of the method.
        method_bytes: usize,
        /// The limit.
        method_bytes_max: usize,
    },
    /// `params` is present and not an object, the only form MCP has.
    #[error("params must be an object, not {0}")]
    ParamsKind(Kind),
    /// There is a `method` beside a `result` or an `error`.
    #[error("message has a method and a result or error")]
    RequestAndResponse,
    /// There is no `method`, no `result` and no `error`.
    #[error("message has no method, result or error")]
    NoPurpose,
    /// There is a `result` beside an `error`.
    #[error("response has a result and an error")]
    ResultAndError,
    /// A `result` answers no request, because there is no `id`.
    #[error("response with a result has no id")]
    ResultWithoutId,
    /// `error` is not an object.
    #[error("error must be an object, not {0}")]
    ErrorKind(Kind),
}

//! Error codes of JSON-RPC 2.0 and MCP (both revisions, "Error Handling").

pub use crate::jsonrpc::{
    INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR,
};

/// Legacy: the resource does not exist.
pub const RESOURCE_NOT_FOUND: i64 = -32002;
/// A session is missing or unknown: the code of the official SDKs, which no revision defines.
pub const SESSION: i64 = -32001;
/// Modern: a header is missing, malformed or contradicts the body.
pub const HEADER_MISMATCH: i64 = -32020;
/// Modern: the request lacks a client capability that serving it needs.
pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
/// Modern: the claimed revision is not served.
pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;

//! MCP on the wire, without I/O.
#![forbid(unsafe_code)]

pub mod framing;
pub mod jsonrpc;
pub mod limits;

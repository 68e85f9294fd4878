//! MCP on the wire, without I/O.
//!
//! Bytes and times are arguments; results are values. Nothing here opens a socket, reads a clock,
//! starts a thread or holds a lock, so everything can be tested whole and byte by byte. Only
//! [`request_state`] calls the operating system, for random bits.
//!
//! | module | contents |
//! |---|---|
//! | [`framing`] | finds where a message starts and ends: HTTP/1.1, lines, server-sent events |
//! | [`jsonrpc`] | bytes to messages and back |
//! | [`mcp`] | the messages of MCP: revisions, eras, methods, tools, results |
//! | [`binding`] | MCP on a transport: which message is allowed where, fields, and refusals |
//! | [`header_value`] | values that requests repeat in headers |
//! | [`request_state`] | encrypted state that a client returns unchanged |
//! | [`uri_template`] | matches a URI with a template and reads its values |
//! | [`limits`] | the bounds of all of them |
//!
//! **The drain contract.** A framer gets all bytes that were not consumed, and is called again
//! until it needs more. Its result borrows from those bytes and must be handled before they change.
#![forbid(unsafe_code)]

pub mod binding;
pub mod framing;
pub mod header_value;
pub mod jsonrpc;
pub mod limits;
pub mod mcp;
pub mod request_state;
pub mod uri_template;

//! MCP on the wire, without I/O.
//!
//! Bytes and times are arguments; results are values. Nothing here opens a socket, reads a clock,
//! starts a thread or holds a lock, so everything can be tested whole and byte by byte. Only
//! [`request_state`] asks the operating system for something: random bits, which cannot be given.
//!
//! | room | what is in it |
//! |---|---|
//! | [`framing`] | where a message starts and ends: HTTP/1.1, server-sent events |
//! | [`jsonrpc`] | bytes to messages and back |
//! | [`mcp`] | the vocabulary: revisions, eras, methods, what a tool is and gives back |
//! | [`binding`] | MCP on a transport: which message is allowed where, and how it is refused |
//! | [`header_value`] | values that requests repeat in headers |
//! | [`request_state`] | what a server gives away and takes back unchanged, sealed |
//! | [`uri_template`] | which resource a URI names, and with what values |
//! | [`limits`] | the bounds of all of them |
//!
//! **The drain contract.** A framer is given all bytes that were not consumed, and is asked again
//! until it says that it needs more; what it returns borrows from those bytes and is handled
//! before they are touched again.
#![forbid(unsafe_code)]

pub mod binding;
pub mod framing;
pub mod header_value;
pub mod jsonrpc;
pub mod limits;
pub mod mcp;
pub mod request_state;
pub mod uri_template;

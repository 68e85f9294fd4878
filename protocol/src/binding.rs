//! MCP on a transport: which message is allowed where, and the form of refusals.

pub mod accept;
pub mod admission;
pub mod claims;
pub mod header_param;
pub mod http;
pub mod http_client;
pub mod precedence;
pub mod refusal;
pub mod websocket;

//! Corelane: a thread-per-core MCP server engine.

pub mod guard;
pub mod profile;

//! Corelane: a thread-per-core MCP server engine.

pub mod profile;

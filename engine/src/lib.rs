//! Corelane: a thread-per-core MCP server engine.

pub mod guard;
pub mod meter;
pub mod profile;

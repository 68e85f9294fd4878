//! Corelane: a thread-per-core MCP server engine.

pub mod guard;
#[doc(hidden)]
pub mod io;
pub mod meter;
pub mod profile;

//! Corelane: a thread-per-core MCP server engine.

pub mod guard;
#[doc(hidden)]
pub mod io;
#[doc(hidden)]
pub mod lanes;
pub mod meter;
pub mod profile;

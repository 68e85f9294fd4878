//! Corelane: a thread-per-core MCP server engine.

mod catalog;
#[doc(hidden)]
pub mod cli;
mod connection;
mod demo;
pub mod guard;
mod handler;
#[doc(hidden)]
pub mod io;
#[doc(hidden)]
pub mod lanes;
mod mcp;
pub mod meter;
pub mod profile;
mod server;
mod shard;
mod transport;

pub use catalog::CatalogError;
pub use catalog::tool::{Tool, ToolDefect};
pub use corelane_protocol::mcp::capability::ClientCapability;
pub use corelane_protocol::mcp::content::{Content, ResourceContents};
pub use corelane_protocol::mcp::logging::LogLevel;
pub use corelane_protocol::mcp::tools::{ToolAnnotations, ToolResult};
pub use handler::{Call, IntoToolResult, Structured, ToolError, sleep};
pub use profile::Profile;
pub use server::{Error, Result, RunningServer, Server};

//! `corelane-load`: drives an MCP server over HTTP and says what it saw.

pub mod compare;
pub mod report;

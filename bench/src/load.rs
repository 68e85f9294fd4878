//! `corelane-load`: drives an MCP server over HTTP and says what it saw.

pub mod answer;
pub mod client;
pub mod error;
pub mod mix;
pub mod pace;
pub mod report;
pub mod response;
pub mod script;
pub mod tally;
pub mod target;

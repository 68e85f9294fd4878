//! `corelane-load`: drives an MCP server over HTTP and says what it saw.

pub mod answer;
pub mod cli;
pub mod client;
pub mod command;
pub mod compare;
pub mod error;
pub mod mix;
pub mod pace;
mod plan;
pub mod process;
pub mod report;
pub mod response;
mod run;
pub mod script;
pub mod tally;
pub mod target;
mod worker;

//! The command line, one file for each command.

pub mod log;
pub mod serve;

use clap::{Parser, Subcommand};

/// A thread-per-core MCP server.
#[derive(Debug, Parser)]
#[command(name = "corelane", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the demo catalog over Streamable HTTP, both eras on one endpoint.
    Serve(serve::DemoArguments),
}

//! The `corelane` binary: an allocator and the commands, one file for each.

mod demo;
mod memory;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Handlers allocate in small pieces and on every core: with the system's allocator they would wait
/// for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A thread-per-core MCP server.
#[derive(Debug, Parser)]
#[command(name = "corelane", version, about)]
struct Cli {
    /// The command.
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the demo catalog over Streamable HTTP or standard input and output, in all revisions.
    Serve(serve::DemoArguments),
}

fn main() -> ExitCode {
    memory::give_back_when_freed();
    let outcome = match Cli::parse().command {
        Command::Serve(arguments) => serve::run(arguments),
    };
    corelane::exit_code("corelane", outcome)
}

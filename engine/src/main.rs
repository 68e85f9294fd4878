//! The `corelane` binary: an allocator and a choice of commands.

use std::process::ExitCode;

use clap::Parser;
use corelane::cli::{Cli, Command, serve};

/// Handlers allocate, in small pieces and on every core: the system's allocator makes them wait
/// for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(arguments) => serve::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corelane: {error}");
            ExitCode::FAILURE
        }
    }
}

//! `corelane-load`: the load generator; `corelane-load --help` says what it does.

use clap::Parser;
use corelane_bench::load::{cli::Cli, command};
use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(command::run(Cli::parse()) as u8)
}

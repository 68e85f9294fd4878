//! `corelane-load`: the load generator; see `corelane-load --help`.

use clap::Parser;
use corelane_bench::load::{cli::Cli, command};
use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(command::run(Cli::parse()) as u8)
}

//! `corelane pins`: writes the pins of a catalog, and checks a catalog against them.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use corelane_guard::pins::{FILE_BYTES_MAX, Pins, PinsError};

use crate::demo::Demo;

/// The exit code of a catalog that differs.
const DIFFERS: u8 = 1;
/// The exit code if there is no answer.
const CANNOT_RUN: u8 = 3;

/// The commands of `corelane pins`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum PinsCommand {
    /// Write the pins of a catalog that was reviewed: a hash for each tool, prompt and template.
    Write(PinsArguments),
    /// Compare a catalog with its pins. Exits with 0 if they agree, 1 if they differ, 3 if they
    /// cannot be compared.
    Check(PinsArguments),
}

/// The arguments of both.
#[derive(Debug, Clone, Args)]
pub(crate) struct PinsArguments {
    /// The catalog.
    #[arg(long, value_enum, default_value_t, value_name = "CATALOG")]
    catalog: Demo,
    /// The file with the pins.
    #[arg(long, default_value = "corelane.pins", value_name = "FILE")]
    file: PathBuf,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{}: {error}", path.display())]
    Pins { path: PathBuf, error: PinsError },
    #[error(transparent)]
    Catalog(#[from] corelane::Error),
}

/// Runs the command.
pub(crate) fn run(command: &PinsCommand) -> ExitCode {
    let answer = match command {
        PinsCommand::Write(arguments) => write(arguments),
        PinsCommand::Check(arguments) => check(arguments),
    };
    match answer {
        Ok((text, code)) => {
            print!("{text}");
            code.into()
        }
        Err(error) => {
            eprintln!("corelane pins: {error}");
            CANNOT_RUN.into()
        }
    }
}

fn write(arguments: &PinsArguments) -> Result<(String, u8), CommandError> {
    let pins = arguments.catalog.server().pins()?;
    let path = &arguments.file;
    std::fs::write(path, pins.to_text()).map_err(|error| CommandError::File {
        path: path.clone(),
        error,
    })?;
    Ok((format!("{}: {} pins\n", path.display(), pins.len()), 0))
}

fn check(arguments: &PinsArguments) -> Result<(String, u8), CommandError> {
    let pinned = read(&arguments.file)?;
    let catalog = arguments.catalog.server().pins()?;
    let differences = pinned.differences(&catalog);
    let mut text = String::new();
    for difference in &differences {
        let _ = writeln!(text, "{difference}");
    }
    if differences.is_empty() {
        let _ = writeln!(
            text,
            "all {} entries are as they were pinned",
            catalog.len()
        );
        return Ok((text, 0));
    }
    Ok((text, DIFFERS))
}

fn read(path: &Path) -> Result<Pins, CommandError> {
    let failed = |error| CommandError::File {
        path: path.to_owned(),
        error,
    };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    let mut file = file.take(FILE_BYTES_MAX as u64);
    file.read_to_string(&mut text).map_err(failed)?;
    Pins::parse(&text).map_err(|error| CommandError::Pins {
        path: path.to_owned(),
        error,
    })
}

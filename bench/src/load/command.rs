//! The commands: each makes its runs and fills a report; what is the same in all stands here.

mod call;
mod fan;
mod hold;
mod machines;
mod output;
mod progress;
mod site;
mod sweep;

use super::cli::{Cli, Command, CompareArguments};
use super::compare::{compare, read_reports};
use super::error::{Exit, LoadError};
use super::report::schema;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The most bytes of a file of reports.
const REPORTS_BYTES_MAX: u64 = 256 << 20;

/// Does what the command line says, prints what was found, and returns the exit code.
pub fn run(cli: Cli) -> Exit {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match cli.command {
        Command::Schema => {
            output::print(&schema());
            Ok(Exit::Fine)
        }
        Command::Compare(flags) => compare_files(&flags),
        Command::Call(flags) => with_interrupt(|flag| call::run(&flags, arguments, flag)),
        Command::Hold(flags) => with_interrupt(|flag| hold::run(&flags, arguments, flag)),
        Command::Fan(flags) => with_interrupt(|flag| fan::run(&flags, arguments, flag)),
        Command::Sweep(flags) => with_interrupt(|flag| sweep::run(&flags, arguments, flag)),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("corelane-load: {error}");
        error.exit()
    })
}

/// Runs `command` with a flag that Ctrl-C sets; the second Ctrl-C ends the process at once.
fn with_interrupt(
    command: impl FnOnce(&Arc<AtomicBool>) -> Result<Exit, LoadError>,
) -> Result<Exit, LoadError> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let code = Exit::Interrupted as i32;
        let again = Arc::clone(&interrupted);
        let first = Arc::clone(&interrupted);
        signal_hook::flag::register_conditional_shutdown(signal, code, again)
            .and_then(|_| signal_hook::flag::register(signal, first))
            .map_err(|error| LoadError::Machine(format!("cannot wait for signals: {error}")))?;
    }
    command(&interrupted)
}

fn compare_files(flags: &CompareArguments) -> Result<Exit, LoadError> {
    let read = |path: &Path| {
        let mut text = String::new();
        fs::File::open(path)
            .and_then(|file| file.take(REPORTS_BYTES_MAX).read_to_string(&mut text))
            .map_err(|source| LoadError::File {
                path: path.to_owned(),
                source,
            })?;
        read_reports(&text)
            .map_err(|error| LoadError::Usage(format!("{}: {error}", path.display())))
    };
    let thresholds = flags.thresholds.iter().map(|text| {
        text.parse()
            .map_err(|error| LoadError::Usage(format!("--threshold {text:?}: {error}")))
    });
    let thresholds: Vec<_> = thresholds.collect::<Result<_, _>>()?;
    let comparison = compare(&read(&flags.a)?, &read(&flags.b)?, &thresholds)
        .map_err(|error| LoadError::Usage(error.to_string()))?;
    output::print(&comparison.table());
    let broken = comparison.broken();
    for line in &broken {
        eprintln!("corelane-load: {line}");
    }
    Ok(if broken.is_empty() {
        Exit::Fine
    } else {
        Exit::Failures
    })
}

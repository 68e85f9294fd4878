//! The commands: each makes its runs and fills a report.

mod call;
mod context;
mod fanout;
mod output;
mod progress;
mod soak;
mod sweep;
mod usage;

use super::cli::{Cli, Command, CompareArguments};
use super::compare::{
    CompareError, Comparison, RecordedRun, Threshold, compare, read_record, read_reports,
};
use super::error::{Exit, LoadError};
use super::report::{Report, schema};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The most bytes of a file of reports.
const REPORTS_BYTES_MAX: u64 = 256 << 20;

/// Runs the command of the command line, prints its report, and returns the exit code.
pub fn run(cli: Cli) -> Exit {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match cli.command {
        Command::Schema => {
            output::print(&schema());
            Ok(Exit::Success)
        }
        Command::Compare(flags) => compare_files(&flags),
        Command::Call(flags) => with_interrupt(|flag| call::run(&flags, arguments, flag)),
        Command::Soak(flags) => with_interrupt(|flag| soak::run(&flags, arguments, flag)),
        Command::Fanout(flags) => with_interrupt(|flag| fanout::run(&flags, arguments, flag)),
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
    let thresholds = flags.thresholds.iter().map(|text| {
        text.parse()
            .map_err(|error| LoadError::Usage(format!("--threshold {text:?}: {error}")))
    });
    let thresholds: Vec<Threshold> = thresholds.collect::<Result<_, _>>()?;
    let a = read_file(&flags.a)?;
    let comparisons = match &flags.b {
        Some(b) => {
            let sides = (reports(&flags.a, &a)?, reports(b, &read_file(b)?)?);
            vec![(None, compare(&sides.0, &sides.1, &thresholds))]
        }
        None => compare_record((&flags.a, &a), &flags.base, &thresholds)?,
    };
    let mut exit = Exit::Success;
    for (title, comparison) in comparisons {
        let comparison = comparison.map_err(|error| LoadError::Usage(error.to_string()))?;
        if let Some(title) = title {
            output::print(&title);
        }
        output::print(&comparison.table());
        for line in comparison.broken() {
            eprintln!("corelane-load: {line}");
            exit = Exit::Failures;
        }
    }
    Ok(exit)
}

type Titled = (Option<String>, Result<Comparison, CompareError>);

/// Compares each server of a record with one of them, workload by workload.
fn compare_record(
    (path, text): (&Path, &str),
    base: &str,
    thresholds: &[Threshold],
) -> Result<Vec<Titled>, LoadError> {
    let runs = read_record(text).map_err(|error| unusable(path, &error))?;
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for run in runs.iter().filter(|run| run.server != base) {
        let pair = (&*run.workload, &*run.server);
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    let side = |workload: &str, server: &str| -> Vec<Report> {
        let of_side = |run: &&RecordedRun| run.workload == workload && run.server == server;
        runs.iter()
            .filter(of_side)
            .map(|run| run.report.clone())
            .collect()
    };
    let compared = pairs.into_iter().map(|(workload, server)| {
        let title = format!("\n{workload}: A is {base}, B is {server}");
        let (a, b) = (side(workload, base), side(workload, server));
        (Some(title), compare(&a, &b, thresholds))
    });
    Ok(compared.collect())
}

fn reports(path: &Path, text: &str) -> Result<Vec<Report>, LoadError> {
    read_reports(text).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &CompareError) -> LoadError {
    LoadError::Usage(format!("{}: {error}", path.display()))
}

fn read_file(path: &Path) -> Result<String, LoadError> {
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(REPORTS_BYTES_MAX).read_to_string(&mut text))
        .map_err(|source| LoadError::File {
            path: path.to_owned(),
            source,
        })?;
    Ok(text)
}

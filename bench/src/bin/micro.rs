//! `micro`: runs the micro-benchmarks and prints their figures with the environment.
//!
//! ```text
//! cargo run --profile dist -p corelane-bench --bin micro -- [--filter NAME] [--seconds S]
//!     [--rounds R] [--json FILE]
//! ```
//!
//! The benches are run in turn, in several rounds, so that a disturbance of the machine for a
//! while disturbs one round of each. Beside the median of the rounds stand the lowest and the
//! highest. The limits of the numbers are documented in [`corelane_bench::micro`] and its modules.
//!
//! The allocator counts, which costs an allocating path about as much as an uncontended atomic
//! addition for each allocation; a path that does not allocate pays nothing. Allocations of a
//! bench's second thread are not counted.

use clap::Parser;
use corelane_bench::environment::Environment;
use corelane_bench::micro::{
    Bench, Length, Settings, Summary, TABLE_HEAD, WrongChecksum, all, json, run, table_row,
};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Measures the parts of one request, lanes and look-ups, each alone.
#[derive(Debug, Parser)]
struct Arguments {
    /// Runs only benches with this in their name.
    #[arg(long, default_value = "")]
    filter: String,
    /// Seconds each bench is measured in each round.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    seconds: f64,
    /// Rounds, at least 1.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Writes the figures and the environment to this file as well.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Longest time of a bench in a round, in seconds.
const SECONDS_MAX: f64 = 3600.0;

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    if seconds > 0.0 && seconds <= SECONDS_MAX {
        Ok(seconds)
    } else {
        Err(format!("{text} is not above 0 and up to {SECONDS_MAX}"))
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Read before this thread is pinned: afterwards it is allowed one core.
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if let [own_core, _, ..] = cores[..] {
        core_affinity::set_for_current(own_core);
    }
    let settings = Settings {
        length: Length::Time(Duration::from_secs_f64(arguments.seconds)),
        operations_max: u32::MAX,
        partner_core: cores.get(1).copied(),
        count_allocations: |work| allocation_counter::measure(work).count_total,
    };
    let environment = Environment::read(cores.len());
    println!("{}", environment.line());

    let chosen = choose(&arguments.filter, cores.len());
    if chosen.is_empty() {
        eprintln!("no bench to run has {:?} in its name", arguments.filter);
        return ExitCode::from(2);
    }
    let summaries = match run_rounds(&chosen, arguments.rounds, &settings) {
        Ok(summaries) => summaries,
        Err((name, wrong)) => {
            eprintln!("{name}: {wrong}");
            return ExitCode::FAILURE;
        }
    };
    println!("{TABLE_HEAD}");
    for summary in &summaries {
        println!("{}", table_row(summary));
    }
    if let Some(path) = &arguments.json {
        let report = format!("{:#}\n", json(&environment, &summaries));
        if let Err(error) = std::fs::write(path, report) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The benches with `filter` in their name that this machine has cores for; says which it has not.
fn choose(filter: &str, cores: usize) -> Vec<&'static Bench> {
    let (chosen, left): (Vec<&Bench>, Vec<&Bench>) = all()
        .filter(|bench| bench.name.contains(filter))
        .partition(|bench| bench.cores <= cores.max(1));
    for bench in left {
        println!("{} needs {} cores and is left out", bench.name, bench.cores);
    }
    chosen
}

fn run_rounds(
    benches: &[&'static Bench],
    rounds: u32,
    settings: &Settings,
) -> Result<Vec<Summary>, (&'static str, WrongChecksum)> {
    let mut summaries: Vec<Summary> = Vec::with_capacity(benches.len());
    for round in 0..rounds {
        for (at, bench) in benches.iter().enumerate() {
            let measured = run(bench, settings).map_err(|wrong| (bench.name, wrong))?;
            if round == 0 {
                summaries.push(Summary::new(bench.name, measured));
            } else {
                summaries[at].add(&measured);
            }
        }
    }
    Ok(summaries)
}

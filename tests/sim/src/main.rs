//! `corelane-sim`: runs seeds of the simulated cluster, and replays one.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use corelane_sim::options::{MUTATIONS, Options};
use corelane_sim::seeds::{check, replay_command, shrink};
use corelane_sim::world::{Report, run};

/// Simulates clusters of Corelane in virtual time.
#[derive(Parser)]
struct Arguments {
    /// Run this seed once. Without it, fresh seeds run for --for seconds.
    #[arg(long)]
    seed: Option<u64>,
    /// Real seconds to run fresh seeds for.
    #[arg(long = "for", default_value_t = 60)]
    for_s: u64,
    /// The first of the fresh seeds; by default the time of day.
    #[arg(long)]
    from: Option<u64>,
    /// Seconds with faults in each run, of virtual time.
    #[arg(long = "virtual", default_value_t = 45)]
    virtual_s: u64,
    /// Nodes.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Clients, each with one session at a time.
    #[arg(long, default_value_t = 100)]
    clients: usize,
    /// Nodes forward nothing: a session comes to the node that its client reaches.
    #[arg(long)]
    moving: bool,
    /// Break the core in this way; "list" prints the ways.
    #[arg(long)]
    mutate: Option<String>,
    /// Indexes of faults to leave out, separated by commas.
    #[arg(long, value_delimiter = ',')]
    without: Vec<usize>,
    /// Leave out faults while the seed still fails.
    #[arg(long)]
    shrink: bool,
    /// Print each event.
    #[arg(long)]
    trace: bool,
    /// Run each seed once instead of twice.
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mutation = match arguments.mutate.as_deref() {
        None => None,
        Some(name) => match MUTATIONS.iter().find(|known| **known == name) {
            Some(known) => Some(*known),
            None => {
                println!("mutations: {}", MUTATIONS.join(" "));
                return ExitCode::from(2);
            }
        },
    };
    let options = Options {
        nodes: arguments.nodes,
        clients: arguments.clients,
        faulty_s: arguments.virtual_s,
        forwards: !arguments.moving,
        mutation,
        without: arguments.without.clone(),
        is_traced: arguments.trace,
    };
    match arguments.seed {
        Some(seed) => one(seed, &options, arguments.shrink),
        None => many(&arguments, &options),
    }
}

/// Runs one seed, and shows its faults if it fails.
fn one(seed: u64, options: &Options, shrinks: bool) -> ExitCode {
    let mut options = options.clone();
    if shrinks {
        options.without = shrink(seed, &options);
    }
    let report = run(seed, &options);
    println!(
        "seed {seed}: hash {:016x}, {} events, {:?}",
        report.hash, report.events, report.answers
    );
    let Some(finding) = &report.finding else {
        return ExitCode::SUCCESS;
    };
    for (index, fault) in report.faults.iter().enumerate() {
        if !options.without.contains(&index) && fault.at_us < finding.at_us {
            println!(
                "fault {index}: {:?} {}-{} us",
                fault.kind, fault.at_us, fault.until_us
            );
        }
    }
    fail(&report, &options)
}

fn fail(report: &Report, options: &Options) -> ExitCode {
    if let Some(finding) = &report.finding {
        println!(
            "{} at {} us: {}",
            finding.invariant, finding.at_us, finding.text
        );
        println!("replay: {}", replay_command(report.seed, options));
    }
    ExitCode::FAILURE
}

/// Runs the seeds that failed once, then fresh ones until the time is over.
fn many(arguments: &Arguments, options: &Options) -> ExitCode {
    let begin = Instant::now();
    let limit = Duration::from_secs(arguments.for_s);
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let from = arguments
        .from
        .unwrap_or_else(|| unix.map_or(1, |time| time.as_secs() << 20));
    let mut seeds = corelane_sim::seeds::regressions().chain(from..);
    let mut points: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
    let mut faults: BTreeMap<String, u64> = BTreeMap::new();
    let mut totals = (0u64, 0u64, 0u64, 0u64, 0u64);
    println!("fresh seeds from {from}");
    while begin.elapsed() < limit {
        let Some(seed) = seeds.next() else {
            break;
        };
        let report = match check(seed, options, !arguments.once) {
            Ok(report) => report,
            Err(text) => {
                println!("{text}");
                return ExitCode::FAILURE;
            }
        };
        for (name, (reached, injected)) in &report.points {
            let point = points.entry(name).or_default();
            *point = (point.0 + reached, point.1 + injected);
        }
        for fault in &report.faults {
            let kind = format!("{:?}", fault.kind);
            let kind = kind.split('(').next().unwrap_or_default().to_owned();
            *faults.entry(kind).or_default() += 1;
        }
        totals.0 += 1;
        totals.1 += report.virtual_us;
        totals.2 += report.events;
        totals.3 += report.operations as u64;
        totals.4 += report.pins;
        if report.finding.is_some() {
            return fail(&report, options);
        }
    }
    let real_s = begin.elapsed().as_secs_f64();
    let virtual_s = totals.1 as f64 / 1e6;
    println!(
        "{} seeds, {:.1} virtual hours, {:.0} virtual s per real s, {} events, {} operations, {} \
         changes checked in the store",
        totals.0,
        virtual_s / 3_600.0,
        virtual_s * if arguments.once { 1.0 } else { 2.0 } / real_s,
        totals.2,
        totals.3,
        totals.4
    );
    println!("faults: {faults:?}");
    println!("points, reached and injected: {points:?}");
    match options.forwards {
        true => never_reached(&points),
        // Much of the core is for requests that are forwarded.
        false => ExitCode::SUCCESS,
    }
}

/// A point that was never reached is a state that was never simulated.
fn never_reached(points: &BTreeMap<&'static str, (u64, u64)>) -> ExitCode {
    let expected = corelane_sim::seeds::POINTS.iter();
    let missing: Vec<&&str> = expected
        .filter(|name| !points.contains_key(**name))
        .collect();
    if missing.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("points that were never reached: {missing:?}");
    ExitCode::FAILURE
}

//! Seeds: running one twice, making a failing one smaller, and the list of those that failed once.

use crate::options::Options;
use crate::world::{Report, run};

/// Seeds that failed once, one a line; the rest of a line says why.
const REGRESSIONS: &str = include_str!("../seeds.txt");

/// The points of the core, by name.
pub const POINTS: &[&str] = include!("../points.txt");

/// The seeds that failed once.
pub fn regressions() -> impl Iterator<Item = u64> {
    let lines = REGRESSIONS.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().next()?.parse().ok())
}

/// Runs a seed, and once more to compare the hash of all events.
///
/// # Errors
///
/// A text if the two runs differ.
pub fn check(seed: u64, options: &Options, is_twice: bool) -> Result<Report, String> {
    let report = run(seed, options);
    if is_twice {
        let again = run(seed, options);
        if again.hash != report.hash {
            return Err(format!(
                "seed {seed} is not deterministic: hashes {:016x} and {:016x}",
                report.hash, again.hash
            ));
        }
    }
    Ok(report)
}

/// The indexes of faults without which a failing seed still violates the same invariant.
#[must_use]
pub fn shrink(seed: u64, options: &Options) -> Vec<usize> {
    let first = run(seed, options);
    let Some(finding) = first.finding else {
        return options.without.clone();
    };
    let mut options = options.clone();
    options.is_traced = false;
    // Large parts first: halves, quarters, down to single faults.
    let count = first.faults.len();
    let mut part = count.div_ceil(2).max(1);
    loop {
        let mut start = 0;
        while start < count {
            let mut smaller = options.clone();
            let added =
                (start..(start + part).min(count)).filter(|it| !options.without.contains(it));
            smaller.without.extend(added);
            let is_smaller = smaller.without.len() > options.without.len();
            let still = is_smaller
                && run(seed, &smaller)
                    .finding
                    .is_some_and(|it| it.invariant == finding.invariant);
            if still {
                options = smaller;
            }
            start += part;
        }
        if part == 1 {
            break;
        }
        part = part.div_ceil(2);
    }
    options.without.sort_unstable();
    options.without
}

/// The command that replays a run.
#[must_use]
pub fn replay_command(seed: u64, options: &Options) -> String {
    let usual = Options::default();
    let mut command = format!("corelane-sim --seed {seed}");
    if options.faulty_s != usual.faulty_s {
        command += &format!(" --virtual {}", options.faulty_s);
    }
    if options.nodes != usual.nodes {
        command += &format!(" --nodes {}", options.nodes);
    }
    if options.clients != usual.clients {
        command += &format!(" --clients {}", options.clients);
    }
    if !options.forwards {
        command += " --moving";
    }
    if let Some(mutation) = options.mutation {
        command += &format!(" --mutate {mutation}");
    }
    if !options.without.is_empty() {
        let without: Vec<String> = options.without.iter().map(ToString::to_string).collect();
        command += &format!(" --without {}", without.join(","));
    }
    command
}

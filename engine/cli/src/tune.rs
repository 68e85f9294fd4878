//! `corelane tune`: measures this host with the real server and writes a profile of better values.
//!
//! It drives `corelane serve` with `corelane-load`, which is found beside this program or in PATH:
//! the generator is a program of its own so that this one needs nothing for plots and reports.
//!
//! It deliberately lacks settings of the host itself, which are the task of `corelane check`.

mod bench;
mod estimate;
mod knobs;
mod plan;
mod report;
mod search;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use corelane::Profile;
use corelane::profile::CoreRole;

use crate::check::cores_of_process;
use bench::HostBench;
use knobs::{SHARDS, knobs, with_point};
pub(crate) use plan::Goal;
use plan::{HostPlan, find_generator};
use report::{notes, settings_text, summary, trial_line};
use search::{Found, RaceResult, search};

/// Measurements that the time is divided into: those of the noise, of the confirmation, and of some
/// 20 candidates, most of which are given up after two pairs.
const MEASUREMENTS: u32 = 120;
/// The time of a measurement beside its window: a start, a warm-up, an end.
const OVERHEAD: Duration = Duration::from_millis(200);
/// The shortest and the longest window of a measurement.
const WINDOW_MIN: Duration = Duration::from_millis(200);
const WINDOW_MAX: Duration = Duration::from_secs(5);

/// The arguments of `corelane tune`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TuneArguments {
    /// How long to measure, in seconds, 30 to 86400. More time finds smaller gains.
    #[arg(long, value_name = "N", default_value_t = 300,
          value_parser = clap::value_parser!(u64).range(30..=86_400))]
    seconds: u64,
    /// The profile to write. Without one it is printed.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The profile to start from; the defaults without one.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// The figure that is to be low.
    #[arg(long, value_enum, default_value = "cpu")]
    goal: Goal,
}

/// Runs the command: 0 if it has measured, 1 if it cannot.
pub(crate) fn run(arguments: &TuneArguments) -> ExitCode {
    match tune(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corelane tune: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tune(arguments: &TuneArguments) -> Result<(), String> {
    let begun = Instant::now();
    let profile = match &arguments.profile {
        Some(path) => Profile::from_file(path).map_err(|error| error.to_string())?,
        None => Profile::default(),
    };
    if let Some(path) = &arguments.output {
        check_writable(path)?;
    }
    let available = cores_of_process();
    let deployed = shard_cores(&profile, &available);
    let plan = HostPlan::new(arguments.goal, &available, &deployed)?;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let time = Duration::from_secs(arguments.seconds);
    let mut bench = HostBench {
        profile: &profile,
        plan: &plan,
        generator: find_generator()?,
        directory: directory.path().to_owned(),
        window: (time / MEASUREMENTS)
            .saturating_sub(OVERHEAD)
            .clamp(WINDOW_MIN, WINDOW_MAX),
        end: begun + time,
        rate_per_s: None,
        measured: 0,
        spent: Duration::ZERO,
    };
    let (knobs, mut start) = knobs(&profile, &plan.cores);
    let shards_at = start.len() - 1;
    // On fewer cores than the server is going to have, it has its share of the shards.
    start[shards_at] = share(start[shards_at], plan.cores.len(), deployed.len());
    let most = bench.calibrate(&start)?;
    let rate = bench.rate_per_s.unwrap_or(most);
    eprintln!(
        "server on cores {}, generator on {}: at most {most:.0} calls/s; measuring at {rate:.0}",
        plan.server_cores(),
        plan.generator_list(),
    );
    let found = search(&knobs, &start, &mut bench)?;
    let before = bench.load(&start)?;
    let after = bench.load(&found.point)?;
    for trial in &found.trials {
        eprintln!("{}", trial_line(trial));
    }
    let mut lines = head(arguments.goal, &plan, bench.window, rate);
    for (name, load) in [("before", before), ("after", after)] {
        lines.push(format!(
            "{name}: {:.2} us of CPU a call, p50 {:.0} us, p99 {:.0} us",
            load.cpu_us, load.p50_us, load.p99_us
        ));
    }
    lines.extend(summary(&found));
    let text = profile_text(&profile, &plan, &deployed, &found, &lines);
    Profile::from_toml(&text).map_err(|error| format!("the profile is wrong: {error}"))?;
    match &arguments.output {
        Some(path) => {
            lines.iter().for_each(|line| eprintln!("{line}"));
            fs::write(path, text).map_err(|error| cannot_write(path, &error))
        }
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

/// A file can be made beside `path`: otherwise minutes of measuring would be lost.
fn check_writable(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let made = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
    made.map(drop).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}

/// The cores that the server of this profile has shards on.
fn shard_cores(profile: &Profile, available: &[usize]) -> Vec<usize> {
    let used = profile.server.cores.as_ref();
    let used = used.map_or(available, |cores| cores.as_slice());
    let cores = used.iter().copied();
    cores
        .filter(|id| profile.role_of(*id) == CoreRole::Shard)
        .collect()
}

/// The shards of `cores` cores, of so many on `all`.
fn share(shards: u64, cores: usize, all: usize) -> u64 {
    (shards * cores as u64).div_ceil(all.max(1) as u64).max(1)
}

/// Where, when and how it was measured.
fn head(goal: Goal, plan: &HostPlan, window: Duration, rate: f64) -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let mut models = cpu
        .lines()
        .filter_map(|line| line.strip_prefix("model name"));
    let model = models.next().and_then(|line| line.split_once(':'));
    let model = model.map_or("unknown", |(_, model)| model.trim());
    let date = humantime::format_rfc3339_seconds(SystemTime::now());
    let cost = match goal {
        Goal::Cpu => "CPU time of the server for each call",
        Goal::Latency => "median latency",
    };
    vec![
        format!(
            "written by corelane tune {} on {date}",
            env!("CARGO_PKG_VERSION")
        ),
        format!(
            "host: {}; {model}; kernel {}",
            read("/proc/sys/kernel/hostname").trim(),
            read("/proc/sys/kernel/osrelease").trim()
        ),
        format!(
            "server on cores {}, generator on {}, loopback; 64 connections, {rate:.0} calls/s of \
             echo with 100 bytes, windows of {} ms",
            plan.server_cores(),
            plan.generator_list(),
            window.as_millis()
        ),
        format!("cost is the {cost}"),
    ]
}

/// The profile with the values found on every core that has a shard.
fn profile_text(
    profile: &Profile,
    plan: &HostPlan,
    deployed: &[usize],
    found: &Found,
    lines: &[String],
) -> String {
    let mut text: String = lines.iter().map(|line| format!("# {line}\n")).collect();
    if deployed != plan.cores {
        text += "# Cores that had the generator are taken to be like the others.\n";
    }
    let has_won = matches!(found.confirmed, Some((_, RaceResult::Won)));
    let mut notes = notes(found);
    let mut tuned = profile.clone();
    if has_won {
        tuned = with_point(profile, deployed, &found.point);
        if notes.iter().any(|(key, _)| key == SHARDS) {
            let shards = found.point[found.point.len() - 1];
            let shards = share(shards, deployed.len(), plan.cores.len());
            tuned.server.shards = usize::try_from(shards).ok();
        }
    } else {
        notes.clear();
    }
    text + "\n" + &settings_text(&tuned, &notes)
}

#[cfg(test)]
mod tests;

//! The commands: each makes its runs and fills a report; what is the same in all stands here.

mod call;
mod fan;
mod hold;
mod progress;
mod sweep;

use super::cli::{Cli, Command, Common, CompareArguments, THREADS_MAX};
use super::compare::{compare, read_reports};
use super::error::{Exit, LoadError};
use super::mix::Mix;
use super::plan::{CONNECTIONS_PER_SOURCE_MAX, Plan, Role, SOURCES_OF_CHURN};
use super::process::{ProcessSample, listener_of};
use super::report::{
    Distribution, Errors, Outcome, ProcessUse, Report, SCHEMA_VERSION, hgrm, html, schema, table,
};
use super::run::Waited;
use super::script::Script;
use super::worker::CLOSING_MAX;
use crate::environment::Environment;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Above this share of its core, in percent, a thread has none to spare.
const SATURATED_PERCENT: f64 = 95.0;
/// The most bytes of a file of reports.
const REPORTS_BYTES_MAX: u64 = 256 << 20;

/// Does what the command line says, prints what was found, and returns the exit code.
pub fn run(cli: Cli) -> Exit {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match cli.command {
        Command::Schema => {
            say(&schema());
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
    say(&comparison.table());
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

/// Prints to standard output; a reader that went away is no failure of the run.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// A server and a way to it, looked up once.
struct Site<'a> {
    common: &'a Common,
    address: SocketAddr,
    cores: Vec<usize>,
    server_pid: Option<u32>,
    environment: Environment,
}

impl<'a> Site<'a> {
    fn new(common: &'a Common) -> Result<Site<'a>, LoadError> {
        let address = common.url.resolve()?;
        let allowed = core_affinity::get_core_ids().unwrap_or_default();
        let mut allowed: Vec<usize> = allowed.into_iter().map(|core| core.id).collect();
        let environment = Environment::read(allowed.len());
        if let Some(core) = common.cores.iter().find(|core| !allowed.contains(core)) {
            let text = format!("--cores: this process may not use core {core}, only {allowed:?}");
            return Err(LoadError::Usage(text));
        }
        let cores = if common.cores.is_empty() {
            // Servers mostly take the first cores.
            let spare = allowed.len().saturating_sub(common.threads as usize);
            allowed.split_off(spare)
        } else {
            common.cores.clone()
        };
        if cores.is_empty() {
            return Err(LoadError::Machine("the system names no cores".to_owned()));
        }
        rlimit::increase_nofile_limit(u64::MAX)
            .map_err(|error| LoadError::Machine(format!("cannot raise RLIMIT_NOFILE: {error}")))?;
        Ok(Site {
            common,
            address,
            cores,
            server_pid: common.server_pid.or_else(|| listener_of(address)),
            environment,
        })
    }

    /// The plan of a run that makes `connections` of `role`.
    fn plan(&self, mix: Mix, role: Role, connections: u32, in_flight_max: u32) -> Plan {
        let churns = mix.requests_per_connection.is_some()
            || mix.kinds.iter().any(|kind| kind.abort_percent > 0.0);
        let is_loopback = self.address.is_ipv4() && self.address.ip().is_loopback();
        let sources = match () {
            () if !is_loopback => 0,
            () if churns => SOURCES_OF_CHURN,
            () if connections > CONNECTIONS_PER_SOURCE_MAX => {
                connections.div_ceil(CONNECTIONS_PER_SOURCE_MAX)
            }
            () => 0,
        };
        let common = self.common;
        Plan {
            address: self.address,
            sources,
            revision: common.revision,
            script: Script::new(&common.url, common.revision, &mix, &common.headers),
            mix,
            role,
            connections,
            in_flight_max,
            workers: self.workers(connections),
            cores: self.cores.clone(),
            ramp: None,
            has_fixed_answers: common.fixed_answers,
            timeout: common.timeout,
            reconnects: role == Role::Caller,
        }
    }

    /// As many threads as asked for, or more where the table of each ring, which the limit on open
    /// files bounds, would not hold its share.
    fn workers(&self, connections: u32) -> u32 {
        let open_files_max = rlimit::Resource::NOFILE.get_soft().unwrap_or(1024);
        let table = u32::try_from(open_files_max)
            .unwrap_or(u32::MAX)
            .min(1 << 20);
        let places = table.saturating_sub(CLOSING_MAX).max(1);
        let needed = connections.div_ceil(places);
        self.common
            .threads
            .max(needed)
            .min(connections)
            .min(THREADS_MAX)
    }

    fn report(&self, arguments: Vec<String>, outcome: Outcome) -> Report {
        Report {
            schema_version: SCHEMA_VERSION,
            environment: self.environment.clone(),
            server_profile: self.common.server_profile.clone(),
            arguments,
            url: self.common.url.url.clone(),
            revision: self.common.revision.name().to_owned(),
            interrupted: false,
            invalid: Vec::new(),
            error_samples: Vec::new(),
            outcome,
        }
    }

    /// Prints and writes the report, and says what the exit code is.
    fn publish(
        &self,
        report: &Report,
        latency: Option<&Distribution>,
        errors: &Errors,
        waited: Waited,
    ) -> Result<Exit, LoadError> {
        say(&table(report));
        let common = self.common;
        let json = serde_json::to_string_pretty(report).expect("a report has only text keys");
        write_file(common.json.as_deref(), || json + "\n")?;
        write_file(common.html.as_deref(), || html(report))?;
        if let Some(latency) = latency {
            write_file(common.hgrm.as_deref(), || hgrm(latency))?;
        }
        Ok(match waited {
            Waited::Interrupted => Exit::Interrupted,
            Waited::ServerGone => {
                eprintln!(
                    "corelane-load: the server went away; what was measured until then holds"
                );
                Exit::ServerGone
            }
            _ if !report.invalid.is_empty() => Exit::Invalid,
            _ if errors.total() > 0 => Exit::Failures,
            _ => Exit::Fine,
        })
    }
}

fn write_file(path: Option<&Path>, content: impl FnOnce() -> String) -> Result<(), LoadError> {
    let Some(path) = path else {
        return Ok(());
    };
    fs::write(path, content()).map_err(|source| LoadError::File {
        path: path.to_owned(),
        source,
    })
}

/// Generator and server at one time.
struct Machines {
    generator: ProcessSample,
    server: Option<(u32, ProcessSample)>,
    at_ns: u64,
}

impl Machines {
    fn read(server_pid: Option<u32>, at_ns: u64) -> Machines {
        Machines {
            generator: ProcessSample::read(std::process::id()),
            server: server_pid.map(|pid| (pid, ProcessSample::read(pid))),
            at_ns,
        }
    }

    /// What both used from `self` to `later`.
    fn used_until(&self, later: &Machines, answers: u64) -> (ProcessUse, Option<ProcessUse>) {
        let wall_s = (later.at_ns - self.at_ns) as f64 / 1e9;
        let pid = std::process::id();
        let generator = self
            .generator
            .used_until(&later.generator, pid, wall_s, answers);
        let servers = self.server.as_ref().zip(later.server.as_ref());
        let server = servers
            .map(|((pid, before), (_, after))| before.used_until(after, *pid, wall_s, answers));
        (generator, server)
    }
}

/// Whether the generator was the bottleneck of a closed loop, in words.
fn saturation(generator: &ProcessUse, server: Option<&ProcessUse>) -> Option<String> {
    let percent = generator.busiest_thread_percent;
    let server_percent = server.map(|server| server.busiest_thread_percent);
    if percent < SATURATED_PERCENT || server_percent.is_some_and(|it| it >= SATURATED_PERCENT) {
        return None;
    }
    let server = match server_percent {
        Some(percent) => format!("the server's used {percent:.1} %"),
        None => "nobody knows what the server's did".to_owned(),
    };
    Some(format!(
        "the generator was the bottleneck: its busiest thread used {percent:.1} % of its core \
         while {server}; give it more --threads and cores"
    ))
}

/// Whether Ctrl-C came.
fn is_interrupted(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed)
}

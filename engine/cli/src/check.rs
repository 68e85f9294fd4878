//! `corelane check`: examines the host for a profile and prints the faults.
//!
//! It changes nothing on the host. It is to run as the server runs: as the same user, with the same
//! limits, in the same container or unit.

mod access;
mod cards;
mod cores;
mod finding;
mod host;
mod kernel;
mod limits;
mod network;
pub(crate) mod plan;
mod state_keys;
mod upstreams;

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use corelane::Profile;

use finding::{Fault, Fix, Outcome, Probe, counted};
use host::Host;
use plan::Plan;

/// The probes, in the order of the output.
const PROBES: &[&[Probe]] = &[
    kernel::PROBES,
    limits::PROBES,
    cores::PROBES,
    network::PROBES,
    cards::PROBES,
];
/// So many of these tables matter also to a server on standard input and output.
const TABLES_WITHOUT_LISTENER: usize = 3;

/// The exit code if there are findings.
const FOUND: u8 = 1;
/// The exit code if the host cannot be examined.
const CANNOT_RUN: u8 = 2;

/// The arguments of `corelane check`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArguments {
    /// The tuning profile of the server, such as tuning/profiles/production.toml.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// The access file of the server, such as corelane.toml [default: that of the profile]. Its
    /// issuers are reached as the server reaches them; its upstreams are not reached.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The file of a desktop client with the upstreams of the server.
    #[arg(long, value_name = "FILE")]
    mcp_servers: Option<PathBuf>,
    /// Connections that the server is to hold [default: as many as ring.descriptors of the profile
    /// allow, or else 10000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    connections: Option<u64>,
    /// Writes a shell script with the commands of all findings to this file. It runs nothing.
    #[arg(long, value_name = "FILE")]
    fix: Option<PathBuf>,
}

/// Why the host cannot be examined.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error(transparent)]
    Profile(#[from] corelane::profile::ProfileError),
    #[error("/proc/self/status cannot be read: mount proc(5) at /proc")]
    NoProc,
    #[error("cannot write the script to {}: {error}", path.display())]
    Script { path: PathBuf, error: io::Error },
}

/// The cores that this process may run on.
pub(crate) fn cores_of_process() -> Vec<usize> {
    plan::allowed_cores(&Host::read(Path::new("/")))
}

/// Runs the command.
pub(crate) fn run(arguments: &CheckArguments) -> ExitCode {
    match check(arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => FOUND.into(),
        Err(error) => {
            eprintln!("corelane check: {error}");
            CANNOT_RUN.into()
        }
    }
}

/// Prints the findings and returns their number.
fn check(arguments: &CheckArguments) -> Result<usize, CheckError> {
    let profile = match &arguments.profile {
        Some(path) => Profile::from_file(path)?,
        None => Profile::default(),
    };
    let host = Host::read(Path::new("/"));
    host.status().ok_or(CheckError::NoProc)?;
    let plan = Plan::new(profile, arguments.connections, &host).try_start();
    let mut outcomes = examine(&host, &plan);
    outcomes.push(state_keys::examine(&plan.profile));
    let config = arguments.config.as_ref();
    if let Some(path) = config.or(plan.profile.server.access_file.as_ref()) {
        outcomes.extend(access::examine(path, &plan.profile));
        outcomes.push(upstreams::examine(path));
    }
    let desktop = arguments.mcp_servers.iter();
    outcomes.extend(desktop.map(|path| upstreams::examine_desktop(path)));
    if let Some(path) = &arguments.fix {
        let written = fs::write(path, script(&outcomes));
        let path = path.clone();
        written.map_err(|error| CheckError::Script { path, error })?;
    }
    print!("{}", report(&outcomes));
    let (notes, found): (Vec<_>, Vec<_>) = findings(&outcomes).partition(|it| it.1.is_note);
    let (notes, found) = (notes.len(), found.len());
    let missing = outcomes.iter().filter(|it| it.faults.is_none());
    let missing: Vec<_> = missing.map(|it| it.probe.name).collect();
    let run = counted((outcomes.len() - missing.len()) as u64, "check");
    let shards = counted(plan.shards(), "shard");
    let connections = counted(plan.connections, "connection");
    let findings = counted(found as u64, "finding");
    let notes = counted(notes as u64, "note");
    eprintln!("{run} for {shards} and {connections}: {findings}, {notes}");
    if !missing.is_empty() {
        let missing = missing.join(", ");
        eprintln!("not checked, because the kernel shows nothing of it here: {missing}");
    }
    Ok(found)
}

/// The outcome of each probe that matters to the plan.
fn examine(host: &Host, plan: &Plan) -> Vec<Outcome> {
    let tables = match plan.profile.server.stdio {
        true => &PROBES[..TABLES_WITHOUT_LISTENER],
        false => PROBES,
    };
    let outcomes = tables.iter().copied().flatten().map(|probe| Outcome {
        probe,
        faults: (probe.examine)(host, plan),
    });
    outcomes.collect()
}

/// One line for each finding.
fn report(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for (probe, fault) in findings(outcomes) {
        let mark = if fault.is_note { " (note)" } else { "" };
        let fix = match &fault.fix {
            Fix::Run(command) => format!("fix: `{command}`"),
            Fix::Change(change) => format!("fix: {change}"),
        };
        let (name, found, reason) = (probe.name, &fault.found, probe.reason);
        let _ = writeln!(text, "{name}{mark}: {found}; {fix}; why: {reason}");
    }
    text
}

/// A script with the command of each finding; changes that no command makes are comments, and so
/// are notes.
fn script(outcomes: &[Outcome]) -> String {
    let mut text = "#!/bin/sh\n\
        # Written by corelane check. Read it before you run it as root, on the host itself: a\n\
        # container may share /proc/sys and /sys with it. What it sets there is lost when the\n\
        # host starts again: tuning/host/README.md shows how to keep it.\n\
        set -eu\n"
        .to_owned();
    for (probe, fault) in findings(outcomes) {
        let found = fault.found.replace('\n', " ");
        let _ = writeln!(text, "\n# {}: {found}; {}", probe.name, probe.reason);
        let _ = match &fault.fix {
            Fix::Run(command) if !fault.is_note => writeln!(text, "{command}"),
            Fix::Run(command) => writeln!(text, "# {command}"),
            Fix::Change(change) => writeln!(text, "# by hand: {}", change.replace('\n', " ")),
        };
    }
    text
}

fn findings(outcomes: &[Outcome]) -> impl Iterator<Item = (&'static Probe, &Fault)> {
    let found = outcomes
        .iter()
        .map(|it| (it.probe, it.faults.iter().flatten()));
    found.flat_map(|(probe, faults)| faults.map(move |fault| (probe, fault)))
}

#[cfg(test)]
mod tests;

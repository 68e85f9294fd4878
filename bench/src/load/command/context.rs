//! The context of a run: server, cores and environment, and the report of it.

use super::output::{print, write_file};
use crate::environment::Environment;
use crate::load::cli::{Common, THREADS_MAX};
use crate::load::error::{Exit, LoadError};
use crate::load::mix::Mix;
use crate::load::plan::{CONNECTIONS_PER_SOURCE_MAX, Plan, Role, SOURCES_OF_CHURN};
use crate::load::process::listener_of;
use crate::load::report::{Outcome, Report, SCHEMA_VERSION, hgrm, html, table};
use crate::load::run::WaitOutcome;
use crate::load::script::Script;
use crate::load::tls::TlsSettings;
use crate::load::worker::CLOSING_MAX;
use socket2::SockAddr;

/// The server's address, the generator's cores and the environment, read once.
pub(super) struct RunContext<'a> {
    pub(super) common: &'a Common,
    address: SockAddr,
    tls: Option<TlsSettings>,
    cores: Vec<usize>,
    pub(super) server_pid: Option<u32>,
    environment: Environment,
}

impl<'a> RunContext<'a> {
    pub(super) fn new(common: &'a Common) -> Result<RunContext<'a>, LoadError> {
        let address = common.url.resolve()?;
        let tls = tls_settings(common)?;
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
            return Err(LoadError::Machine(
                "the system reports no core for this process".to_owned(),
            ));
        }
        rlimit::increase_nofile_limit(u64::MAX)
            .map_err(|error| LoadError::Machine(format!("cannot raise RLIMIT_NOFILE: {error}")))?;
        let tcp = address.as_socket();
        Ok(RunContext {
            common,
            address,
            tls,
            cores,
            server_pid: common.server_pid.or_else(|| tcp.and_then(listener_of)),
            environment,
        })
    }

    /// The plan of a run that makes `connections` of `role`.
    pub(super) fn plan(&self, mix: Mix, role: Role, connections: u32, in_flight_max: u32) -> Plan {
        let churns = mix.connection.requests.is_some()
            || mix.kinds.iter().any(|kind| kind.abort_percent > 0.0);
        let tcp = self.address.as_socket();
        let is_loopback = tcp.is_some_and(|it| it.is_ipv4() && it.ip().is_loopback());
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
            address: self.address.clone(),
            sources,
            wire: common.url.wire,
            tls: self.tls.clone(),
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

    /// As many threads as `--threads`, or more where the table of each ring, which the limit on
    /// open files bounds, would not hold its share.
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

    pub(super) fn report(&self, arguments: Vec<String>, outcome: Outcome) -> Report {
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

    /// Prints and writes the report, and returns the exit code.
    pub(super) fn publish(
        &self,
        mut report: Report,
        waited: WaitOutcome,
    ) -> Result<Exit, LoadError> {
        report.interrupted = waited == WaitOutcome::Interrupted;
        print(&table(&report));
        let common = self.common;
        let json = serde_json::to_string_pretty(&report).expect("a report has only text keys");
        write_file(common.json.as_deref(), || json + "\n")?;
        write_file(common.html.as_deref(), || html(&report))?;
        if let Some(latency) = report.outcome.latency() {
            write_file(common.hgrm.as_deref(), || hgrm(latency))?;
        }
        Ok(match waited {
            WaitOutcome::Interrupted => Exit::Interrupted,
            WaitOutcome::ServerGone => {
                eprintln!(
                    "corelane-load: the server went away; the figures cover the time until then"
                );
                Exit::ServerGone
            }
            _ if !report.invalid.is_empty() => Exit::Invalid,
            _ if report.outcome.failures() > 0 => Exit::Failures,
            _ => Exit::Success,
        })
    }
}

/// The settings of TLS, if the URL wants it.
fn tls_settings(common: &Common) -> Result<Option<TlsSettings>, LoadError> {
    let (target, ca_file) = (&common.url, common.ca_file.as_deref());
    if !target.has_tls {
        return Ok(None);
    }
    if ca_file.is_none() && !common.insecure {
        return Err(LoadError::Usage(format!(
            "{} needs --ca-file with the certificates of the server's authority, or --insecure",
            target.url
        )));
    }
    TlsSettings::new(target.host(), ca_file, common.resume).map(Some)
}

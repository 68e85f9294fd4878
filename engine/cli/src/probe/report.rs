//! The result of a probe, as a line, as JSON, and as metrics in a file.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::address::shown;

/// Most bytes of an error in a report: it may be the text of a server.
const ERROR_BYTES_MAX: usize = 512;
/// Others read the file of metrics.
const FILE_MODE: u32 = 0o644;

/// How a probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    /// The server answered, but not as one that works.
    Failed,
    /// There is no connection.
    Unreachable,
    /// It took longer than it may.
    Slow,
}

impl Outcome {
    /// The exit code.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Outcome::Ok => 0,
            Outcome::Failed => 1,
            Outcome::Unreachable => 3,
            Outcome::Slow => 4,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Failed => "failed",
            Outcome::Unreachable => "unreachable",
            Outcome::Slow => "slow",
        }
    }
}

/// The result of a probe.
#[derive(Debug)]
pub(super) struct Report {
    target: String,
    pub(super) outcome: Outcome,
    error: Option<String>,
    /// The revision that both sides speak.
    pub(super) revision: Option<&'static str>,
    /// How many tools the server has.
    pub(super) tools: Option<usize>,
    phases: Vec<(&'static str, Duration)>,
    ended: SystemTime,
}

impl Report {
    /// A probe of this target that begins.
    pub(super) fn of(target: &str) -> Report {
        Report {
            target: shown(target),
            outcome: Outcome::Ok,
            error: None,
            revision: None,
            tools: None,
            phases: Vec::new(),
            ended: UNIX_EPOCH,
        }
    }

    /// A step took this time.
    pub(super) fn add(&mut self, phase: &'static str, time: Duration) {
        self.phases.push((phase, time));
    }

    /// Whether a server was there for a probe that ends now.
    pub(super) fn reached(&self) -> Outcome {
        match self.phases.iter().any(|(phase, _)| *phase != "resolve") {
            true => Outcome::Failed,
            false => Outcome::Unreachable,
        }
    }

    /// The probe ends, with this fault if it has one; `max` is the longest time that is not slow.
    pub(super) fn finish(&mut self, fault: Option<(Outcome, String)>, max: Option<Duration>) {
        self.ended = SystemTime::now();
        let total = self.total();
        match (fault, max) {
            (Some((outcome, mut error)), _) => {
                error.truncate(error.floor_char_boundary(ERROR_BYTES_MAX));
                (self.outcome, self.error) = (outcome, Some(error));
            }
            (None, Some(max)) if total > max => {
                self.outcome = Outcome::Slow;
                self.error = Some(format!("longer than {}", humantime::format_duration(max)));
            }
            (None, _) => {}
        }
    }

    fn total(&self) -> Duration {
        self.phases.iter().map(|(_, time)| *time).sum()
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        let mut line = format!("{} {}", self.outcome.word(), self.target);
        if let Some(revision) = self.revision {
            let _ = write!(line, ", {revision}");
        }
        if let Some(tools) = self.tools {
            let _ = write!(line, ", {tools} tools");
        }
        for (phase, time) in &self.phases {
            let _ = write!(line, ", {phase} {:.1} ms", milliseconds(*time));
        }
        let _ = write!(line, ", total {:.1} ms", milliseconds(self.total()));
        if let Some(error) = &self.error {
            let _ = write!(line, ": {}", error.replace('\n', " "));
        }
        line
    }

    /// One object on a line.
    pub(super) fn json(&self) -> String {
        let phases = self.phases.iter();
        let phases: Map<String, Value> = phases
            .map(|(phase, time)| ((*phase).to_owned(), milliseconds(*time).into()))
            .collect();
        let object = json!({
            "target": self.target,
            "outcome": self.outcome.word(),
            "error": self.error,
            "revision": self.revision,
            "tools": self.tools,
            "phases_ms": phases,
            "total_ms": milliseconds(self.total()),
        });
        object.to_string()
    }

    /// Writes the metrics of the probe to a file, in the place of those of the one before.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write_to(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        let mut file = tempfile::Builder::new()
            .prefix(".corelane-probe")
            .permissions(Permissions::from_mode(FILE_MODE))
            .tempfile_in(folder.unwrap_or(Path::new(".")))?;
        file.write_all(self.metrics().as_bytes())?;
        // A reader sees the whole of one probe.
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    fn metrics(&self) -> String {
        let target = self.target.replace('\\', "\\\\").replace('"', "\\\"");
        let success = u8::from(self.outcome == Outcome::Ok);
        let ended = self.ended.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut text = format!(
            "# HELP corelane_probe_success Whether the last probe succeeded.\n\
             # TYPE corelane_probe_success gauge\n\
             corelane_probe_success{{target=\"{target}\"}} {success}\n\
             # HELP corelane_probe_timestamp_seconds When the last probe ended.\n\
             # TYPE corelane_probe_timestamp_seconds gauge\n\
             corelane_probe_timestamp_seconds{{target=\"{target}\"}} {}\n\
             # HELP corelane_probe_duration_seconds Time of each step of the last probe.\n\
             # TYPE corelane_probe_duration_seconds gauge\n",
            ended.as_secs()
        );
        for (phase, time) in &self.phases {
            let seconds = time.as_secs_f64();
            let _ = writeln!(
                text,
                "corelane_probe_duration_seconds{{target=\"{target}\",phase=\"{phase}\"}} {seconds}"
            );
        }
        text
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Outcome, Report};

    fn report(phases: &[(&'static str, u64)]) -> Report {
        let mut report = Report::of("http://127.0.0.1:1/mcp?key=s3cret");
        for (phase, ms) in phases {
            report.add(phase, Duration::from_millis(*ms));
        }
        report
    }

    #[test]
    fn the_outcome_is_that_of_the_fault_or_of_the_time() {
        let steps = [("resolve", 1), ("connect", 2), ("open", 3)];
        let max = Duration::from_millis(5);
        for (steps, fault, max, outcome) in [
            (&steps[..], None, None, Outcome::Ok),
            (&steps[..], None, Some(max), Outcome::Slow),
            (&steps[..2], None, Some(max), Outcome::Ok),
            (
                &steps[..],
                Some(Outcome::Failed),
                Some(max),
                Outcome::Failed,
            ),
        ] {
            let mut report = report(steps);
            report.finish(fault.map(|it| (it, "\u{e9}".repeat(400))), max);
            assert_eq!(report.outcome, outcome);
            assert!(!report.line().contains("s3cret") && !report.json().contains("s3cret"));
        }
        assert_eq!(report(&[("resolve", 1)]).reached(), Outcome::Unreachable);
        assert_eq!(report(&steps[1..]).reached(), Outcome::Failed);
    }

    #[test]
    fn the_file_has_the_times_of_the_steps() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("probe.prom");
        std::fs::write(&path, "older").expect("a file");
        let mut report = report(&[("connect", 2), ("call", 1500)]);
        report.finish(None, None);
        report.write_to(&path).expect("a file");
        let text = std::fs::read_to_string(&path).expect("a file");
        let of = "target=\"http://127.0.0.1:1/mcp\"";
        for line in [
            format!("corelane_probe_success{{{of}}} 1"),
            format!("corelane_probe_duration_seconds{{{of},phase=\"call\"}} 1.5"),
        ] {
            assert!(text.lines().any(|it| it == line), "{line}: {text}");
        }
        assert!(!text.contains("older"));
        let files = std::fs::read_dir(folder.path()).expect("a directory");
        assert_eq!(files.count(), 1);
    }
}

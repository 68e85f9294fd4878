//! The conditions of a measurement: the machine, the build and the load of other programs.
//!
//! Invariant: reading it never fails; a value that cannot be read is "unknown". It lacks anything
//! that names a person or a host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const UNKNOWN: &str = "unknown";

/// The machine and the build that a measurement was made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Commit of the working tree, with `-dirty` if it differs from that.
    pub commit: String,
    /// The processor's model.
    pub cpu: String,
    /// Cores this process may use.
    pub cores: usize,
    /// The kernel's CPU frequency governor; unknown in most virtual machines.
    pub governor: String,
    /// The kernel's release.
    pub kernel: String,
    /// Runnable tasks of the last minute on the whole machine, at the start: other programs there
    /// lengthen the tails of every figure, and the medians of those that take two cores.
    pub load_average: String,
    /// Whether the build is optimised and free of debug assertions.
    pub is_release: bool,
    /// Start of the run in seconds since 1970.
    pub unix_time_s: u64,
}

impl Environment {
    /// Reads the environment; `cores` is the number of cores this process may use.
    pub fn read(cores: usize) -> Environment {
        let governor = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Environment {
            commit: commit(),
            cpu: cpu_model(),
            cores,
            governor: first_word(governor),
            kernel: first_word("/proc/sys/kernel/osrelease"),
            load_average: first_word("/proc/loadavg"),
            is_release: !cfg!(debug_assertions),
            unix_time_s: now.map_or(0, |time| time.as_secs()),
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        format!(
            "{}; {} cores; kernel {}; governor {}; load {}; commit {}; {}",
            self.cpu,
            self.cores,
            self.kernel,
            self.governor,
            self.load_average,
            self.commit,
            self.build(),
        )
    }

    /// Start of the run, in UTC (RFC 3339).
    pub fn date(&self) -> String {
        let start = UNIX_EPOCH + Duration::from_secs(self.unix_time_s);
        humantime::format_rfc3339_seconds(start).to_string()
    }

    /// Whether the figures mean anything, in a word.
    fn build(&self) -> &'static str {
        if self.is_release {
            "release"
        } else {
            "UNOPTIMISED: the figures mean nothing"
        }
    }
}

/// The commit of the tree this was built from, read when the benches run.
fn commit() -> String {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => UNKNOWN.to_owned(),
    }
}

fn cpu_model() -> String {
    let description = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = description
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or(UNKNOWN, |(_, model)| model.trim()).to_owned()
}

fn first_word(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().next().unwrap_or(UNKNOWN).to_owned()
}

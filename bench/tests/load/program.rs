//! Runs `corelane-load` and reads its report.

use serde_json::Value as Json;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A run that has ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) error: String,
    /// The report, if one was written.
    pub(crate) report: Json,
}

/// A file of this process that no other test has; removed when dropped.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(extension: &str) -> Scratch {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("corelane-load-{}-{number}.{extension}", std::process::id());
        Scratch(std::env::temp_dir().join(name))
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("the temporary directory is UTF-8")
    }

    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Starts it with words separated by spaces, and `rest` behind them.
pub(crate) fn start(line: &str, rest: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_corelane-load"))
        .args(line.split_whitespace())
        .args(rest)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// Runs it to its end, with a report.
pub(crate) fn run(line: &str, rest: &[&str]) -> Ran {
    let json = Scratch::new("json");
    let rest = [rest, &["--json", json.path()]].concat();
    let output = start(line, &rest).wait_with_output().expect("it ends");
    ran(output, &json.text())
}

/// Runs it to its end, without a report.
pub(crate) fn run_bare(line: &str, rest: &[&str]) -> Ran {
    let output = start(line, rest).wait_with_output().expect("it ends");
    ran(output, "")
}

pub(crate) fn ran(output: Output, report: &str) -> Ran {
    Ran {
        code: output.status.code(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        error: String::from_utf8_lossy(&output.stderr).into_owned(),
        report: serde_json::from_str(report).unwrap_or_default(),
    }
}

impl Ran {
    /// A whole number of the outcome, as /counts/sent.
    pub(crate) fn count(&self, pointer: &str) -> u64 {
        let value = self.report["outcome"].pointer(pointer);
        let number = value.and_then(Json::as_u64);
        number.unwrap_or_else(|| panic!("{pointer} is {value:?} in {}{}", self.output, self.error))
    }

    /// Milliseconds at a place that holds nanoseconds.
    pub(crate) fn ms(&self, pointer: &str) -> f64 {
        self.count(pointer) as f64 / 1e6
    }

    /// All errors of the outcome, at /counts/errors or /errors.
    pub(crate) fn errors(&self) -> u64 {
        let outcome = &self.report["outcome"];
        let errors = outcome.pointer("/counts/errors").or(outcome.get("errors"));
        let errors = errors
            .and_then(Json::as_object)
            .expect("a report of errors");
        errors.values().filter_map(Json::as_u64).sum()
    }
}

//! One run of the suite, and the files that it wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The results of the suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The scenarios, in the order in which they ran.
    pub scenarios: Vec<Scenario>,
}

/// One scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name in the suite.
    pub name: String,
    /// The checks; ids may repeat.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its id within the scenario.
    pub id: String,
    /// How it went.
    pub status: Status,
    /// The message of the suite, empty if the check passed.
    pub message: String,
}

/// How a check went; the order is by severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It was skipped, or only informs.
    Neither,
    /// It passed.
    Passed,
    /// It failed, or warns.
    Failed,
}

/// Where the suite is installed.
#[must_use]
pub fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}

/// The Node that comes with the suite: it needs version 22, and Debian 13 has 20.
#[must_use]
pub fn node() -> PathBuf {
    let machine = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "x64",
    };
    home().join(format!("node_modules/node-linux-{machine}/bin/node"))
}

/// A program of the Python packages of `requirements.txt`.
#[must_use]
pub fn python(program: &str) -> PathBuf {
    home().join("python_packages/bin").join(program)
}

/// A program of the Python packages of `requirements-2.txt`.
#[must_use]
pub fn python_2(program: &str) -> PathBuf {
    home().join("python_packages_2/bin").join(program)
}

/// Runs the requirement set of `revision` against the server at `url`, and leaves the suite's
/// own files in `results`, an empty or absent directory.
///
/// # Panics
/// If the suite is not installed, cannot run, or did not finish every scenario it began.
#[must_use]
pub fn run(url: &str, revision: &str, results: &Path) -> Run {
    let suite = home().join("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    for needed in [node(), suite.clone()] {
        let path = needed.display();
        assert!(
            needed.is_file(),
            "{path} is missing: run npm ci in tests/conformance"
        );
    }
    // Its exit code follows a list of expected failures that is not used here.
    let output = Command::new(node())
        .arg(suite)
        .args([
            "server",
            "--url",
            url,
            "--requirements",
            revision,
            "--output-dir",
        ])
        .arg(results)
        .stdin(Stdio::null())
        .output()
        .expect("node starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let begun = scenarios_begun(&said);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("=== SUMMARY ==="),
        "the suite did not finish:\n{said}\n{complaints}"
    );
    let scenarios = begun.iter().map(|name| Scenario {
        name: (*name).to_owned(),
        checks: read_checks(results, name),
    });
    Run {
        scenarios: scenarios.collect(),
    }
}

/// The names of the scenarios that a run began, from its output.
fn scenarios_begun(said: &str) -> Vec<&str> {
    said.lines()
        .filter_map(|line| {
            line.strip_prefix("=== Running scenario: ")?
                .strip_suffix(" ===")
        })
        .collect()
}

/// The checks of a scenario; a failed one if the suite wrote nothing, as after an error of its own.
fn read_checks(results: &Path, scenario: &str) -> Vec<Check> {
    let entries = fs::read_dir(results).into_iter().flatten().flatten();
    let mut folders = entries.map(|entry| entry.path()).filter(|path| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        folder_is_of(name, scenario)
    });
    let written = folders
        .next()
        .map(|folder| fs::read(folder.join("checks.json")));
    let Some(Ok(written)) = written else {
        return vec![Check {
            id: "finished".to_owned(),
            status: Status::Failed,
            message: "the suite wrote no result for this scenario".to_owned(),
        }];
    };
    let written: Value = serde_json::from_slice(&written).expect("the suite writes JSON");
    let list = written.as_array().expect("checks.json is an array");
    list.iter().map(read_check).collect()
}

/// Whether a folder, named `server-<scenario>-<time>`, is of this scenario.
fn folder_is_of(folder: &str, scenario: &str) -> bool {
    const TIME_BYTES: usize = "2026-11-21T11-00-48-016Z".len();
    let name = folder
        .strip_prefix("server-")
        .and_then(|rest| rest.strip_prefix(scenario));
    let time = name.and_then(|rest| rest.strip_prefix('-'));
    time.is_some_and(|time| time.len() == TIME_BYTES && time.starts_with("20"))
}

fn read_check(check: &Value) -> Check {
    let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
    let status = match check["status"].as_str() {
        Some("SUCCESS") => Status::Passed,
        Some("SKIPPED" | "INFO") => Status::Neither,
        _ => Status::Failed,
    };
    let mut message = String::new();
    if status == Status::Failed {
        message = format!("{} ({})", text("errorMessage"), text("description"));
        if !check["details"].is_null() {
            message.push_str(&format!(" {}", check["details"]));
        }
    }
    Check {
        id: text("id"),
        status,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::{Status, folder_is_of, read_check, scenarios_begun};

    #[test]
    fn reads_how_a_check_went() {
        let cases = [
            ("SUCCESS", Status::Passed),
            ("SKIPPED", Status::Neither),
            ("INFO", Status::Neither),
            ("WARNING", Status::Failed),
            ("FAILURE", Status::Failed),
            ("unheard of", Status::Failed),
        ];
        for (written, status) in cases {
            let check = read_check(&serde_json::json!({ "id": "a", "status": written }));
            assert_eq!(
                (check.id.as_str(), check.status),
                ("a", status),
                "{written}"
            );
        }
    }

    #[test]
    fn finds_scenarios_and_their_folders() {
        let said = "x\n=== Running scenario: ping ===\n=== SUMMARY ===\n";
        assert_eq!(scenarios_begun(said), ["ping"]);
        assert!(folder_is_of("server-ping-2026-11-21T11-00-48-016Z", "ping"));
        assert!(!folder_is_of(
            "server-ping-more-2026-11-21T11-00-48-016Z",
            "ping"
        ));
        assert!(!folder_is_of("server-ping", "ping"));
    }
}

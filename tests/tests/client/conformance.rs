//! The client half of the conformance suite, against `corelane-conformance-client`.

use std::process::{Command, Stdio};

use corelane_tests::conformance::{home, node};

/// A revision, and the scenarios that pass: all that are scored, and three that are not.
const SETS: [(&str, usize); 2] = [("2025-11-25", 21), ("2026-07-28", 35)];

/// Scenarios that are not scored and need extensions that the client does not have.
const FAILING: [&str; 4] = [
    "auth/dpop",
    "auth/dpop-nonce",
    "auth/enterprise-managed-authorization",
    "auth/wif-jwt-bearer",
];

/// Runs the set of a revision. Returns how many scenarios passed, and the others; or the output, if
/// the suite has not finished.
fn run(revision: &str) -> Result<(usize, Vec<String>), String> {
    let results = tempfile::tempdir().expect("a directory");
    let suite = home().join("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    let output = Command::new(node())
        .arg(suite)
        .args(["client", "--requirements", revision, "--command"])
        .arg(env!("CARGO_BIN_EXE_corelane-conformance-client"))
        .arg("--output-dir")
        .arg(results.path())
        .stdin(Stdio::null())
        .output()
        .expect("node starts: run npm ci in tests/conformance");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some((_, summary)) = text.split_once("=== SUITE SUMMARY ===") else {
        return Err(text);
    };
    let lines = summary
        .lines()
        .take_while(|line| !line.starts_with("Total:"));
    let (mut passed, mut failed) = (0, Vec::new());
    for line in lines {
        let name = |rest: &str| rest.split(": ").next().unwrap_or_default().to_owned();
        match (line.strip_prefix("✓ "), line.strip_prefix("✗ ")) {
            (Some(_), _) => passed += 1,
            (_, Some(rest)) => failed.push(name(rest)),
            _ => {}
        }
    }
    failed.sort_unstable();
    match output.status.success() {
        true => Ok((passed, failed)),
        false => Err(format!("{failed:?}\n{text}")),
    }
}

/// The suite starts some 25 clients at once, each of which has its time: a set that differs is run
/// once more, and that result counts.
#[test]
fn the_scored_scenarios_of_both_revisions_pass() {
    for (revision, passed) in SETS {
        let expected = Ok((passed, FAILING.map(str::to_owned).to_vec()));
        let mut result = run(revision);
        if result != expected {
            eprintln!("{revision} differed, and is run once more: {result:?}");
            result = run(revision);
        }
        assert_eq!(result, expected, "{revision}");
    }
}

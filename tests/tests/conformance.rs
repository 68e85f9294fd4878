//! The conformance suite passes: both requirement sets against one process, with few and many
//! shards, and on standard input and output through a bridge, except for the failures in
//! `tests/conformance/expected-failures-*.yml`.

use std::fs;
use std::path::{Path, PathBuf};

use corelane_tests::Setup;
use corelane_tests::conformance::{Expectation, StdioBridge, check_run, run};

/// A requirement set, and the number of scenarios that it runs, scored or not. The suite is pinned,
/// so another number means that scenarios are missing.
const SETS: &[(&str, usize)] = &[("2025-11-25", 33), ("2026-07-28", 50)];

/// Runs both sets against one process.
fn check(shards: usize) {
    let server = Setup::shards(shards).start();
    let url = format!("http://{}/mcp", server.address());
    check_at(&url, &format!("{shards}-shards"), "");
    server.assert_alive();
}

/// Runs both sets against a server, and compares them with the lists of failures that belong to its
/// kind.
fn check_at(url: &str, server: &str, kind: &str) {
    let mut surprises = Vec::new();
    for (revision, scenarios) in SETS {
        let results = results_folder(revision, server);
        let run = run(url, revision, &results);
        assert_eq!(run.scenarios.len(), *scenarios, "scenarios of {revision}");
        let result = check_run(&run, &expectation(&format!("{kind}{revision}")));
        println!(
            "{revision}, {server}: {} of {scenarios} scenarios and {} checks passed, failed as \
             listed: {}",
            result.scenarios_passed,
            result.checks_passed,
            result.expected.join(", "),
        );
        let said = result.surprises.iter();
        surprises.extend(said.map(|said| format!("{revision} {said}")));
    }
    let folder = env!("CARGO_TARGET_TMPDIR");
    assert!(
        surprises.is_empty(),
        "{}\nresults are in {folder}",
        surprises.join("\n")
    );
}

fn expectation(list: &str) -> Expectation {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let path = folder.join(format!("expected-failures-{list}.yml"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}: {path:?}"));
    Expectation::parse(&text).unwrap_or_else(|error| panic!("{error:?}: {path:?}"))
}

/// An empty folder for the suite's files, kept after the run to look into.
fn results_folder(revision: &str, server: &str) -> PathBuf {
    let name = format!("conformance-{revision}-{server}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("results of an earlier run can be removed");
    }
    folder
}

#[test]
fn both_revisions_conform_on_two_shards() {
    check(2);
}

#[test]
fn both_revisions_conform_on_four_shards() {
    check(4);
}

#[test]
fn both_revisions_conform_on_standard_input_and_output() {
    let bridge = StdioBridge::start();
    check_at(bridge.url(), "stdio", "stdio-");
}

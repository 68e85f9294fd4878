//! The cases of Autobahn, as the package `kosoku` has them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::echo;
use corelane_tests::conformance::python;
use serde_json::Value;

/// How often each behavior must be found in the pinned version. Cases that are "unimplemented" are
/// those of compression, which is never negotiated; two cases about codes without a rule, and one
/// about bytes that were on their way, have no right answer.
const BEHAVIORS: &[(&str, usize)] = &[("INFORMATIONAL", 3), ("OK", 298), ("UNIMPLEMENTED", 216)];

#[test]
fn the_framer_fails_no_case_of_autobahn() {
    let address = echo::start();
    let report = Path::new(env!("CARGO_TARGET_TMPDIR")).join("autobahn");
    if report.exists() {
        fs::remove_dir_all(&report).expect("the report of an earlier run can be removed");
    }
    // Its exit code counts cases without compression as failures.
    let output = Command::new(python("kosoku"))
        .args(["--mode", "fuzzingclient", "--parallelism", "4", "--outdir"])
        .arg(&report)
        .arg(format!("ws://{address}"))
        .output()
        .unwrap_or_else(|error| panic!("{error}: run ./perf-scripts/test.sh, which installs it"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    let index = fs::read(report.join("index.json"));
    let index = index.unwrap_or_else(|error| panic!("{error}: no report\n{complaints}"));
    let index: Value = serde_json::from_slice(&index).expect("the report is JSON");
    let servers = index.as_object().expect("a report for each server");
    assert_eq!(servers.len(), 1);
    let cases = servers.values().find_map(Value::as_object);
    let mut behaviors = BTreeMap::new();
    for (name, case) in cases.expect("the results of all cases") {
        let behavior = case["behavior"].as_str().expect("a behavior");
        let is_compression = name.starts_with("12.") || name.starts_with("13.");
        assert_eq!(
            behavior == "UNIMPLEMENTED",
            is_compression,
            "{name}: {case}"
        );
        let is_closed_well =
            ["OK", "INFORMATIONAL"].contains(&case["behaviorClose"].as_str().unwrap_or(""));
        assert!(is_closed_well, "{name}: {case}");
        *behaviors.entry(behavior).or_insert(0) += 1;
    }
    let behaviors: Vec<(&str, usize)> = behaviors.into_iter().collect();
    assert_eq!(behaviors, BEHAVIORS, "see {}", report.display());
}

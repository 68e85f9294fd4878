//! sslyze against the TLS of the server. `perf-scripts/tls-audit.sh` runs more tools, for longer.

use std::process::Command;

use corelane_tests::conformance::python;
use corelane_tests::{Authority, Setup};

/// Objections to the certificate of tests: its authority is not known, and it never expires.
const TO_THE_CERTIFICATE: [&str; 2] = [
    "certificate_path_validation",
    "maximum_certificate_lifespan",
];

#[test]
fn the_configurations_are_those_that_mozilla_recommends() {
    let authority = Authority::shared();
    for (tls, configuration) in [("", "modern"), ("min_version = \"1.2\"", "intermediate")] {
        let server = Setup::shards(1)
            .secured_for(authority, authority.client(), tls)
            .start();
        let output = Command::new(python("python"))
            .args(["-m", "sslyze", "--mozilla_config", configuration])
            .arg(server.address().to_string())
            .output()
            .expect("perf-scripts/test.sh installs sslyze");
        let text = String::from_utf8_lossy(&output.stdout);
        let (_, comparison) = text
            .split_once(&format!("Mozilla's \"{configuration}\" configuration"))
            .unwrap_or_else(|| panic!("no comparison: {text} {output:?}"));
        let objections: Vec<&str> = comparison
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("* "))
            .filter(|it| !TO_THE_CERTIFICATE.iter().any(|known| it.starts_with(known)))
            .collect();
        assert!(objections.is_empty(), "{configuration}: {objections:#?}");
        // Of the whole, so that an empty comparison is none.
        assert!(comparison.contains("certificate_path_validation"), "{text}");
    }
}

//! Clients of the official SDKs, of the last versions that speak WebSocket.

use std::path::Path;
use std::process::{Command, Stdio};

use corelane_tests::conformance::{home, node, python};
use corelane_tests::{Setup, Totals};

/// Runs the script of a client, which ends well.
fn check(program: &Path, script: &str) {
    let server = Setup::shards(2).start();
    let output = Command::new(program)
        .arg(home().join(script))
        .arg(format!("ws://{}/mcp", server.address()))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{error}: run ./perf-scripts/test.sh, which installs it"));
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaints}");
    assert_eq!(said, "done\n", "{complaints}");
    let totals = Totals::of_end(&server, || server.log());
    assert_eq!(totals.value("connections_accepted", ""), 1, "{totals}");
}

#[test]
fn the_official_typescript_client_is_served_from_connect_to_close() {
    check(&node(), "typescript-websocket-client.mjs");
}

#[test]
fn the_official_python_client_is_served_from_connect_to_close() {
    check(&python("python"), "python-websocket-client.py");
}

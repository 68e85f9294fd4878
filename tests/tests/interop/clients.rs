//! Clients of the official SDKs, of the last versions that have all transports.

use std::path::Path;
use std::process::{Command, Stdio};

use corelane_tests::conformance::{home, node, python};
use corelane_tests::{Server, Setup, Totals};

/// The script of a client, and the program that runs it.
fn typescript() -> Command {
    script(&node(), "typescript-client.mjs")
}

fn python_sdk() -> Command {
    script(&python("python"), "python-client.py")
}

fn script(program: &Path, name: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(home().join(name));
    command
}

/// Runs the client, which ends well.
fn check(mut client: Command, scheme: &str, path: &str) -> Server {
    let profile = "[server]\nsse_endpoint = \"/sse\"";
    let server = Setup::shards(2).profile(profile).start();
    let output = client
        .arg(format!("{scheme}://{}{path}", server.address()))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{error}: run ./perf-scripts/test.sh, which installs it"));
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaints}");
    assert_eq!(said, "done\n", "{complaints}");
    server
}

fn check_websocket(client: Command) {
    let server = check(client, "ws", "/mcp");
    let totals = Totals::of_end(&server, || server.log());
    assert_eq!(totals.value("connections_accepted", ""), 1, "{totals}");
}

#[test]
fn the_typescript_client_is_served_over_websocket() {
    check_websocket(typescript());
}

#[test]
fn the_python_client_is_served_over_websocket() {
    check_websocket(python_sdk());
}

#[test]
fn the_typescript_client_is_served_over_sse() {
    check(typescript(), "http", "/sse");
}

#[test]
fn the_python_client_is_served_over_sse() {
    check(python_sdk(), "http", "/sse");
}

#[test]
fn the_typescript_client_is_served_over_streamable_http() {
    check(typescript(), "http", "/mcp");
}

#[test]
fn the_python_client_is_served_over_streamable_http() {
    check(python_sdk(), "http", "/mcp");
}

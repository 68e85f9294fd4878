//! Clients of the official SDKs, FastMCP, the MCP Inspector and mcp-remote, in both eras, over
//! every transport that they have, without and with TLS.
//!
//! Each row is a script that goes through what a host does with a server and ends with the exit
//! code of its first check that fails.

use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};

use corelane_tests::conformance::{home, node, python, python_2};
use corelane_tests::{Authority, Server, Setup, binary};

use Transport::{Http, Sse, Stdio as StdIo, WebSocket};

#[derive(Clone, Copy, Debug)]
enum Transport {
    Http,
    Sse,
    WebSocket,
    Stdio,
}

impl Transport {
    /// The arguments of scripts for it: an address without and one with TLS, or the command of a
    /// server.
    fn targets(self, server: &Server) -> Vec<Vec<OsString>> {
        let (schemes, path) = match self {
            Http => (["http://", "https://"], "/mcp"),
            Sse => (["http://", "https://"], "/sse"),
            WebSocket => (["ws://", "wss://"], "/mcp"),
            StdIo => {
                let arguments = ["serve", "--demo", "conformance", "--stdio"].map(OsString::from);
                let mut command = vec!["stdio".into(), binary().into()];
                command.extend(arguments);
                return vec![command];
            }
        };
        let of_scheme = |scheme| {
            let mut addresses = server.addresses().iter();
            let address = addresses
                .find(|it| it.starts_with(scheme))
                .expect("it is listened on");
            vec![format!("{address}{path}").into()]
        };
        schemes.map(of_scheme).to_vec()
    }
}

/// Runs a script over each of the transports: a program, its arguments before the target.
fn check(program: &OsStr, arguments: &[&str], transports: &[Transport]) {
    /// Some runs take 2 s on an idle machine.
    const LONGEST_RUN_S: &str = "120";
    let authority = Authority::shared();
    let profile = format!("[server]\nsse_endpoint = \"/sse\"\n{}", authority.profile());
    let listen = [
        "https://127.0.0.1:0",
        "ws://127.0.0.1:0",
        "wss://127.0.0.1:0",
    ];
    let setup = Setup::shards(2).profile(&profile);
    let server = listen
        .iter()
        .fold(setup, |setup, it| setup.listen(it))
        .start();
    // Some keep files there.
    let folder = tempfile::tempdir().expect("a directory");
    for target in transports.iter().flat_map(|it| it.targets(&server)) {
        let output = Command::new("timeout")
            .arg(LONGEST_RUN_S)
            .arg(program)
            .args(arguments)
            .args(&target)
            .current_dir(home())
            .env("HOME", folder.path())
            .env("NODE_EXTRA_CA_CERTS", authority.file())
            .env("SSL_CERT_FILE", authority.file())
            .stdin(Stdio::null())
            .output()
            .expect("timeout is a program of every system");
        let said = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        let run = format!(
            "{program:?} {arguments:?} {target:?}: {}, run ./perf-scripts/test.sh once, which \
             installs what is missing\n{said}\n{complaints}",
            output.status
        );
        assert!(output.status.success() && said == "done\n", "{run}");
    }
    server.assert_alive();
}

const BOTH_ERAS: [&str; 2] = ["modern", "legacy"];

#[test]
fn the_typescript_sdk_1_is_served() {
    let transports = [Http, Sse, WebSocket, StdIo];
    check(node().as_os_str(), &["typescript-client.mjs"], &transports);
}

#[test]
fn the_typescript_sdk_2_is_served() {
    for era in BOTH_ERAS {
        let script = ["typescript-2-client.mjs", era];
        check(node().as_os_str(), &script, &[Http, Sse, StdIo]);
    }
}

#[test]
fn the_python_sdk_1_is_served() {
    let transports = [Http, Sse, WebSocket, StdIo];
    check(
        python("python").as_os_str(),
        &["python-client.py"],
        &transports,
    );
}

#[test]
fn the_python_sdk_2_is_served() {
    for era in BOTH_ERAS {
        let script = ["python-2-client.py", era];
        check(python_2("python").as_os_str(), &script, &[Http, Sse, StdIo]);
    }
}

#[test]
fn fastmcp_is_served() {
    for era in BOTH_ERAS {
        let script = ["fastmcp-client.py", era];
        check(python_2("python").as_os_str(), &script, &[Http, Sse, StdIo]);
    }
}

#[test]
fn the_mcp_inspector_is_served() {
    // In the modern era it does not fall back to a session, which HTTP+SSE needs.
    let script = |era| ["inspector-client.mjs", era];
    check(node().as_os_str(), &script("modern"), &[Http, StdIo]);
    check(node().as_os_str(), &script("legacy"), &[Http, Sse, StdIo]);
}

/// It is a server on standard input and output for the SDKs, and a client of the server under test.
#[test]
fn mcp_remote_is_served() {
    let node = node();
    let program = node.to_str().expect("paths of tests are UTF-8");
    let remote = ["stdio", program, "node_modules/mcp-remote/dist/proxy.js"];
    let legacy = [&["typescript-client.mjs"], &remote[..]].concat();
    check(node.as_os_str(), &legacy, &[Http, Sse]);
    let modern = [&["typescript-2-client.mjs", "modern"], &remote[..]].concat();
    check(node.as_os_str(), &modern, &[Http]);
}

//! Clients of the official SDKs, of the last versions that speak WebSocket, without and with TLS.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use corelane_tests::conformance::{home, node, python};
use corelane_tests::{Setup, Totals};

/// Runs the script of a client on each scheme, which ends well. The client trusts the authorities
/// in the file that the variable `trust` names.
fn check(program: &Path, script: &str, trust: &str) {
    let folder = tempfile::tempdir().expect("a directory");
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| folder.path().join(name));
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let made = made.expect("a certificate");
    fs::write(&certificate, made.cert.pem()).expect("a file");
    fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("our own file");
    let profile =
        format!("[[tls.certificates]]\ncertificate_file = {certificate:?}\nkey_file = {key:?}");
    let server = Setup::shards(2).profile(&profile);
    let server = server
        .listen("ws://127.0.0.1:0")
        .listen("wss://127.0.0.1:0");
    let server = server.start();
    let [http, ws, wss] = server.addresses() else {
        panic!("three addresses");
    };
    for address in [&http.replace("http", "ws"), ws, wss] {
        let output = Command::new(program)
            .arg(home().join(script))
            .arg(format!("{address}/mcp"))
            .env(trust, &certificate)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| {
                panic!("{error}: run ./perf-scripts/test.sh, which installs it")
            });
        let said = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{address}: {said}\n{complaints}");
        assert_eq!(said, "done\n", "{address}: {complaints}");
    }
    let totals = Totals::of_end(&server, || server.log());
    assert_eq!(totals.value("connections_accepted", ""), 3, "{totals}");
}

#[test]
fn the_official_typescript_client_is_served_from_connect_to_close() {
    let script = "typescript-websocket-client.mjs";
    check(&node(), script, "NODE_EXTRA_CA_CERTS");
}

#[test]
fn the_official_python_client_is_served_from_connect_to_close() {
    let script = "python-websocket-client.py";
    check(&python("python"), script, "SSL_CERT_FILE");
}

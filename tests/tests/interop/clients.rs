//! Clients of the official SDKs, of the last versions that have all transports, without and with
//! TLS.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use corelane_tests::conformance::{home, node, python};
use corelane_tests::{Server, Setup, Totals};

/// A program that runs the script of a client, and the variable that names the authorities that it
/// trusts.
struct Client(PathBuf, &'static str, &'static str);

fn typescript() -> Client {
    Client(node(), "typescript-client.mjs", "NODE_EXTRA_CA_CERTS")
}

fn python_sdk() -> Client {
    Client(python("python"), "python-client.py", "SSL_CERT_FILE")
}

impl Client {
    /// Runs against a path without and with TLS, and ends well each time.
    fn check(&self, scheme: &str, path: &str) -> Server {
        let folder = tempfile::tempdir().expect("a directory");
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|it| folder.path().join(it));
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
        let made = made.expect("a certificate");
        fs::write(&certificate, made.cert.pem()).expect("a file");
        fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
        fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("our own file");
        let profile = format!(
            "[server]\nsse_endpoint = \"/sse\"\n\
             [[tls.certificates]]\ncertificate_file = {certificate:?}\nkey_file = {key:?}"
        );
        let server = Setup::shards(2).profile(&profile);
        let server = server.listen("https://127.0.0.1:0");
        let server = match scheme {
            "ws" => server
                .listen("ws://127.0.0.1:0")
                .listen("wss://127.0.0.1:0"),
            _ => server,
        };
        let server = server.start();
        for address in server.addresses() {
            let Client(program, script, trust) = self;
            let output = Command::new(program)
                .arg(home().join(script))
                .arg(format!("{}{path}", address.replace("http", scheme)))
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
        server
    }

    fn check_websocket(&self) {
        let server = self.check("ws", "/mcp");
        let totals = Totals::of_end(&server, || server.log());
        assert_eq!(totals.value("connections_accepted", ""), 4, "{totals}");
    }
}

#[test]
fn the_typescript_client_is_served_over_websocket() {
    typescript().check_websocket();
}

#[test]
fn the_python_client_is_served_over_websocket() {
    python_sdk().check_websocket();
}

#[test]
fn the_typescript_client_is_served_over_sse() {
    typescript().check("http", "/sse");
}

#[test]
fn the_python_client_is_served_over_sse() {
    python_sdk().check("http", "/sse");
}

#[test]
fn the_typescript_client_is_served_over_streamable_http() {
    typescript().check("http", "/mcp");
}

#[test]
fn the_python_client_is_served_over_streamable_http() {
    python_sdk().check("http", "/mcp");
}

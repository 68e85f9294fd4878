//! Clients whose server is killed and started again: the official ones go on in their session, as
//! its id carries it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use corelane_tests::conformance::{home, node, python, python_2};
use corelane_tests::{Scrape, Server, Setup};
use rmcp::model::{CallToolRequestParams, ClientConfig, Implementation, ProtocolVersion};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientLifecycleMode, ClientServiceExt};
use serde_json::json;

/// A server, and the next one with its keys.
struct Restarted {
    _folder: tempfile::TempDir,
    profile: String,
    first: Server,
}

impl Restarted {
    fn start() -> Restarted {
        let folder = tempfile::tempdir().expect("a directory");
        let key = folder.path().join("key");
        // 32 bytes of 1, as `openssl rand -base64 32` writes them.
        std::fs::write(&key, "AQEB".repeat(10) + "AQE=\n").expect("a file");
        let profile =
            format!("[server]\nstate_key_files = [{key:?}]\n[sessions]\nid_max_age_s = 3600");
        let first = Setup::shards(2).profile(&profile).start();
        Restarted {
            _folder: folder,
            profile,
            first,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/mcp", self.first.address())
    }

    /// Kills the server, and starts the next one at its address with another number of shards.
    fn restart(&self) -> Server {
        self.first.signal("KILL");
        let _ = self.first.wait_for_exit();
        Setup::shards(1)
            .profile(&self.profile)
            .arguments(&["--metrics", "127.0.0.1:0"])
            .listen(&format!("http://{}", self.first.address()))
            .start()
    }
}

/// Checks that a server has made one session again, and no new one.
fn check_restored(server: &Server) {
    let scrape = Scrape::wait_for(server.metrics_address(), "the session", |scrape| {
        let restored = scrape.sum("corelane_sessions_restored_total", &[]);
        (restored > 0.0).then(|| scrape.clone())
    });
    assert_eq!(scrape.sum("corelane_sessions_restored_total", &[]), 1.0);
    assert_eq!(scrape.sum("corelane_sessions_created_total", &[]), 0.0);
}

/// A client that is a script: a program and its arguments before the URL.
fn check(program: OsString, arguments: &[&str]) {
    const LONGEST_RUN_S: &str = "120";
    let server = Restarted::start();
    let mut client = Command::new("timeout")
        .arg(LONGEST_RUN_S)
        .arg(program)
        .args(arguments)
        .arg(server.url())
        .current_dir(home())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("timeout is a program of every system");
    let output = client.stdout.take().expect("standard output is piped");
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("ready"));
    let next = server.restart();
    let mut input = client.stdin.take().expect("standard input is piped");
    input.write_all(b"\n").expect("the client reads it");
    let rest: Vec<String> = lines.collect();
    let status = client.wait().expect("the client ends");
    assert!(status.success() && rest == ["done"], "{status}: {rest:?}");
    check_restored(&next);
}

#[test]
fn the_typescript_sdks_go_on_in_their_session() {
    for major in ["1", "2"] {
        check(node().into(), &["restarted.mjs", major]);
    }
}

#[test]
fn the_python_sdks_go_on_in_their_session() {
    for program in [python("python"), python_2("python")] {
        check(program.into(), &["restarted.py"]);
    }
}

#[test]
fn rmcp_goes_on_in_its_session() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let server = Restarted::start();
        let transport = StreamableHttpClientTransport::from_uri(server.url());
        let info = ClientConfig::new(Default::default(), Implementation::new("restarted", "1"))
            .with_protocol_version(ProtocolVersion::V_2025_11_25);
        let client = info
            .serve_with_lifecycle(transport, ClientLifecycleMode::Initialize)
            .await
            .expect("a session");
        let call = async |message: &str| {
            let arguments = json!({ "message": message });
            let arguments = arguments.as_object().cloned().expect("an object");
            let params = CallToolRequestParams::new("echo").with_arguments(arguments);
            let answer = client.call_tool(params).await.expect("an answer");
            let answer = serde_json::to_value(answer).expect("JSON");
            assert_eq!(answer["content"][0]["text"], message);
        };
        call("before").await;
        let next = server.restart();
        call("after").await;
        check_restored(&next);
    });
}

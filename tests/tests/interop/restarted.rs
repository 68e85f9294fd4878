//! Clients whose server is killed: the official ones go on in their session with the next server,
//! as its id carries it, and so do clients behind HAProxy with the other server.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use corelane_tests::conformance::{home, node, python, python_2};
use corelane_tests::request::LEGACY;
use corelane_tests::{PATIENCE, Request, Scrape, Server, Setup, write_secret};
use rmcp::model::{CallToolRequestParams, ClientConfig, Implementation, ProtocolVersion};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientLifecycleMode, ClientServiceExt};
use serde_json::json;

use super::proxies::{named, setup};
use super::proxy_process::ProxyProcess;

/// A server, and the next one with its keys.
struct Restarted {
    _folder: tempfile::TempDir,
    profile: String,
    first: Server,
}

/// The profile of servers that know each other's sessions, with a key in `folder`.
fn profile_in(folder: &Path) -> String {
    let key = folder.join("key");
    // 32 bytes of 1, as `openssl rand -base64 32` writes them.
    write_secret(&key, &("AQEB".repeat(10) + "AQE=\n"));
    format!("[server]\nstate_key_files = [{key:?}]\n[sessions]\nid_max_age_s = 3600")
}

impl Restarted {
    fn start() -> Restarted {
        let folder = tempfile::tempdir().expect("a directory");
        let profile = profile_in(folder.path());
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

/// A client of a session behind a proxy.
struct Caller<'a> {
    proxy: &'a ProxyProcess,
    session: String,
}

impl Caller<'_> {
    fn open(proxy: &ProxyProcess) -> Caller<'_> {
        let made = proxy
            .connect()
            .exchange(&named(Request::initialize(LEGACY)));
        let session = made.head.field("MCP-Session-Id").expect("a session");
        Caller {
            proxy,
            session: session.to_owned(),
        }
    }

    /// The status of a call on a connection of its own; none if that breaks.
    fn call(&self) -> Option<u16> {
        let params = json!({ "name": "echo", "arguments": { "message": "x" } });
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let call = named(Request::legacy(&call)).field("MCP-Session-Id", &self.session);
        let mut connection = self.proxy.connect();
        connection.send(&call);
        let answer = connection.try_read_response(PATIENCE).ok()?;
        Some(answer.status())
    }
}

/// One of two servers is killed while clients call: HAProxy turns to the other one within 2 s,
/// which serves all sessions; no client ever hears that its session has ended.
#[test]
fn sessions_behind_haproxy_outlive_their_server() {
    const CALLERS: usize = 12;
    const ERRORS_FOR: Duration = Duration::from_secs(2);
    let folder = tempfile::tempdir().expect("a directory");
    let profile = profile_in(folder.path());
    let server = || {
        let metrics = ["--metrics", "127.0.0.1:0"];
        setup().profile(&profile).arguments(&metrics).start()
    };
    let servers = [server(), server()];
    let two = format!("server two {}", servers[1].address());
    let proxy = ProxyProcess::haproxy(&[
        ("127.0.0.1:8080", &servers[0].address().to_string()),
        ("# server two 127.0.0.1:8081", &two),
    ]);
    let callers: Vec<Caller> = (0..CALLERS).map(|_| Caller::open(&proxy)).collect();
    let until = Instant::now() + Duration::from_secs(5);
    let failures = thread::scope(|scope| {
        let call_on = |caller: &Caller<'_>| {
            let mut failures = Vec::new();
            while Instant::now() < until {
                let status = caller.call();
                if status != Some(200) {
                    failures.push((Instant::now(), status));
                }
            }
            failures
        };
        let callers = callers.iter();
        let threads: Vec<_> = callers
            .map(|caller| scope.spawn(move || call_on(caller)))
            .collect();
        thread::sleep(Duration::from_secs(1));
        let killed = Instant::now();
        servers[0].signal("KILL");
        let failures = threads.into_iter().flat_map(|it| it.join().expect("calls"));
        let failures = failures.map(|(at, status)| (at.duration_since(killed), status));
        failures.collect::<Vec<_>>()
    });
    for (after, status) in &failures {
        assert!(*after < ERRORS_FOR && *status != Some(404), "{failures:?}");
    }
    for caller in &callers {
        assert_eq!(caller.call(), Some(200), "{}", proxy.log());
    }
    let restored = Scrape::wait_for(servers[1].metrics_address(), "the sessions", |scrape| {
        let restored = scrape.sum("corelane_sessions_restored_total", &[]);
        (restored > 0.0).then_some(restored)
    });
    assert!(restored < CALLERS as f64, "the other sessions were its own");
}

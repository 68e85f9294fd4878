//! Probes of supervisors and load balancers, and clients that came to the wrong port.

use std::process::Command;

use corelane_tests::{Connection, PATIENCE, Request, Server, Setup, binary, wait_until};
use serde_json::json;

fn probe(connection: &mut Connection, path: &str) -> u16 {
    // A probe names the address, which is no allowed host.
    let request = Request::new("GET").path(path).field("Host", "10.0.0.1");
    connection.exchange(&request).status()
}

#[test]
fn readiness_ends_before_the_server_does() {
    let profile = "[server]\ndrain_notice_ms = 600000";
    let server = Setup::shards(2).profile(profile).start();
    let mut connection = server.connect();
    for path in ["/live", "/ready", "/health"] {
        assert_eq!(probe(&mut connection, path), 200, "{path}");
    }
    server.signal("TERM");
    wait_until("no readiness", || {
        (probe(&mut connection, "/ready") == 503).then_some(())
    });
    // New connections and calls are served meanwhile, on every shard.
    for _ in 0..8 {
        let mut other = server.connect();
        assert_eq!(probe(&mut other, "/live"), 200);
        let list = other.exchange(&Request::modern(1, "tools/list", json!({})));
        assert_eq!(list.status(), 200, "{list:?}");
    }
    // A second signal ends the notice with the process.
    server.signal("TERM");
    connection.expect_close();
}

/// The exit code and the output of `corelane probe`.
fn run_probe(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(binary());
    let output = command.arg("probe").args(arguments).output();
    let output = output.expect("the program");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn a_server_is_probed_over_http_and_lines_and_in_its_drain() {
    let profile = "[server]\ndrain_notice_ms = 600000";
    let server = Setup::shards(2)
        .profile(profile)
        .listen("tcp://127.0.0.1:0")
        .start();
    let url = format!("http://{}/mcp", server.address());
    let lines = server.addresses()[1].replace("tcp://", "tcp:");
    for target in [&url, &lines] {
        for era in ["modern", "legacy"] {
            let call = [&**target, "--era", era, "--tool", "test_simple_text"];
            let (code, text) = run_probe(&call);
            assert_eq!(code, Some(0), "{text}");
            assert!(text.starts_with("ok "), "{text}");
        }
    }
    assert_eq!(
        run_probe(&[&url, "--tool", "test_error_handling"]).0,
        Some(1)
    );
    assert_eq!(run_probe(&["--live", &url]).0, Some(0));
    // A server that drains must not be started again.
    server.signal("TERM");
    assert_eq!(run_probe(&["--live", &url]).0, Some(0));
}

#[test]
fn a_server_that_answers_no_probes_has_no_such_paths() {
    let server = Setup::shards(1).profile("[server]\nprobes = false").start();
    let request = Request::new("GET").path("/ready");
    assert_eq!(server.connect().exchange(&request).status(), 404);
}

#[test]
fn several_paths_lead_to_the_endpoint() {
    let profile = "[server]\nendpoint = [\"/mcp\", \"/v1/mcp\"]";
    let server = Setup::shards(1).profile(profile).start();
    let list = Request::modern(1, "tools/list", json!({}));
    for (path, status) in [("/mcp", 200), ("/v1/mcp/?key=1", 200), ("/v1", 404)] {
        let response = server.connect().exchange(&list.clone().path(path));
        assert_eq!(response.status(), status, "{path}");
    }
}

fn expect_refusal(server: &Server, hello: &[u8], start: &[u8], logged: &str) {
    let mut connection = server.connect();
    connection.send_bytes(hello);
    let answer = connection.read_to_close(PATIENCE).expect("a close");
    assert!(answer.starts_with(start), "{answer:?}");
    wait_until(logged, || server.log().contains(logged).then_some(()));
}

#[test]
fn a_client_of_another_protocol_is_refused_at_once_and_logged() {
    for (hello, start, logged) in [
        (
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
            &b"HTTP/1.1 400 "[..],
            "TLS at a plain HTTP port",
        ),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x00\x00\x00\x04",
            "HTTP/2 with prior knowledge",
        ),
        (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 400 ",
            "SSH at a plain HTTP port",
        ),
        (
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            b"HTTP/1.1 400 ",
            "server.proxy_protocol_from",
        ),
    ] {
        // One line a minute: each protocol has a server of its own.
        let server = Setup::shards(1).start();
        expect_refusal(&server, hello, start, logged);
        expect_refusal(&server, hello, start, logged);
        assert_eq!(server.log().matches(logged).count(), 1);
    }
}

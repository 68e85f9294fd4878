//! The proxies of `deploy/` in front of a server: streams pass at once, no request is lost when its
//! connection was idle, and none when a server of several drains.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use corelane_tests::{EventStream, Item, Request, Server, Setup};
use rustix::process::Signal;
use serde_json::json;

use super::proxy_process::{NAME, ProxyProcess};

fn server(profile: &str) -> Server {
    let setup = Setup::shards(2).arguments(&["--allow-host", NAME]);
    setup.profile(profile).start()
}

fn named(request: Request) -> Request {
    request.field("Host", NAME)
}

fn call(tool: &str) -> Request {
    named(Request::modern_call(tool, json!({})))
}

/// Calls, streams and a large body through a proxy.
fn check_traffic(proxy: &ProxyProcess) {
    let mut connection = proxy.connect();
    let answer = connection.exchange(&call("test_simple_text"));
    assert_eq!(answer.status(), 200, "{answer:?} {}", proxy.log());
    let message = "x".repeat(15 << 20);
    let echo = named(Request::modern_call("echo", json!({ "message": message })));
    let answer = connection.exchange(&echo).json();
    assert_eq!(answer["result"]["content"][0]["text"], message);

    // A stream is open while its events come: a proxy that gathers them would never send the first.
    let made = connection.exchange(&named(Request::initialize("2025-11-25")));
    let id = made
        .head
        .field("MCP-Session-Id")
        .expect("a session")
        .to_owned();
    let in_session = |request: Request| named(request).field("MCP-Session-Id", &id);
    let mut listener = proxy.connect();
    listener.send(&in_session(
        Request::new("GET").field("Accept", "text/event-stream"),
    ));
    let mut stream = EventStream::begin(listener);
    assert!(matches!(stream.next_item(), Item::Comment(_)));
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(
        connection
            .exchange(&in_session(Request::legacy(&ready)))
            .status(),
        202
    );
    let change = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "test_trigger_tool_change", "arguments": {} },
    });
    assert_eq!(
        connection
            .exchange(&in_session(Request::legacy(&change)))
            .status(),
        200
    );
    let event = stream.next_message();
    assert_eq!(event["method"], "notifications/tools/list_changed");
    assert!(
        matches!(stream.next_item(), Item::Comment(_)),
        "a sign of life"
    );
}

/// A request comes together with the end of the idle time of the connection that it is to go on:
/// the proxy stands still until that is over, and finds both at once.
fn check_idle_race(proxy: &ProxyProcess) {
    const ROUNDS: usize = 4;
    let mut connection = proxy.connect();
    for _ in 0..ROUNDS {
        let answer = connection.exchange(&call("test_simple_text"));
        assert_eq!(answer.status(), 200, "{answer:?} {}", proxy.log());
        proxy.signal(Signal::STOP);
        connection.send(&call("test_simple_text"));
        thread::sleep(IDLE + Duration::from_millis(300));
        proxy.signal(Signal::CONT);
        let answer = connection.read_response();
        assert_eq!(answer.status(), 200, "{answer:?} {}", proxy.log());
    }
}

/// The idle time of a proxy under test.
const IDLE: Duration = Duration::from_secs(1);
const SIGNS_OF_LIFE: &str = "[streams]\nkeep_alive_ms = 1000";

#[test]
fn nginx_passes_calls_and_streams_at_once() {
    let server = server(SIGNS_OF_LIFE);
    check_traffic(&ProxyProcess::nginx(server.address(), &[]));
}

#[test]
fn haproxy_passes_calls_and_streams_at_once() {
    let server = server(SIGNS_OF_LIFE);
    let address = server.address().to_string();
    let proxy = ProxyProcess::haproxy(&[("127.0.0.1:8080", &address)]);
    check_traffic(&proxy);
}

#[test]
fn no_request_is_lost_when_nginx_ends_its_idle_connections() {
    let server = server("");
    let idle = [("keepalive 64;", "keepalive 64; keepalive_timeout 1s;")];
    let proxy = ProxyProcess::nginx(server.address(), &idle);
    check_idle_race(&proxy);
}

#[test]
fn no_request_is_lost_when_haproxy_ends_its_idle_connections() {
    let server = server("");
    let address = format!("{} pool-purge-delay 1s", server.address());
    let proxy = ProxyProcess::haproxy(&[("127.0.0.1:8080", &address)]);
    check_idle_race(&proxy);
}

/// One of two servers drains while clients call: HAProxy sees its readiness end, and all calls are
/// answered. The servers know the clients by the PROXY protocol.
#[test]
fn no_request_is_lost_when_one_of_two_servers_behind_haproxy_drains() {
    let profile = "[server]\ndrain_notice_ms = 2000\nproxy_protocol_from = [\"127.0.0.1\"]";
    let servers = [server(profile), server(profile)];
    let [one, two] = [&servers[0], &servers[1]]
        .map(|server| format!("{} send-proxy-v2 check-send-proxy", server.address()));
    let proxy = ProxyProcess::haproxy(&[
        ("127.0.0.1:8080", &one),
        ("# server two 127.0.0.1:8081", &format!("server two {two}")),
    ]);
    let is_over = AtomicBool::new(false);
    let calls = thread::scope(|scope| {
        let client = || {
            let mut connection = proxy.connect();
            let mut calls = 0;
            while !is_over.load(Ordering::Relaxed) {
                let answer = connection.exchange(&call("test_simple_text"));
                assert_eq!(answer.status(), 200, "{answer:?} {}", proxy.log());
                calls += 1;
            }
            calls
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        servers[0].signal("TERM");
        let ended = servers[0].wait_for_exit();
        is_over.store(true, Ordering::Relaxed);
        assert!(ended.success(), "{}", servers[0].log());
        clients
            .into_iter()
            .map(|it| it.join().expect("its calls"))
            .sum::<u32>()
    });
    assert!(calls > 0);
    assert_eq!(
        proxy.connect().exchange(&call("test_simple_text")).status(),
        200
    );
}

//! The proxies of `deploy/` in front of a server: calls, streams, WebSocket, and TLS behind the
//! proxy.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use corelane_tests::request::LEGACY;
use corelane_tests::stdio::initialize;
use corelane_tests::websocket::{CLOSE, PING, PONG, frame};
use corelane_tests::{Authority, Connection, EventStream, Item, Request, Server, Setup, WebSocket};
use serde_json::json;

use super::proxy_process::{NAME, ProxyProcess};

/// Both proxies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proxy {
    Nginx,
    Haproxy,
}

impl Proxy {
    /// In front of a server, with these changes of its file in `deploy/`.
    pub(crate) fn start(self, server: SocketAddr, changes: &[(&str, &str)]) -> ProxyProcess {
        match self {
            Proxy::Nginx => ProxyProcess::nginx(server, changes),
            Proxy::Haproxy => {
                let address = server.to_string();
                ProxyProcess::haproxy(&[changes, &[("127.0.0.1:8080", &*address)]].concat())
            }
        }
    }
}

pub(crate) fn setup() -> Setup {
    Setup::shards(2).arguments(&["--allow-host", NAME])
}

pub(crate) fn named(request: Request) -> Request {
    request.field("Host", NAME)
}

pub(crate) fn call(tool: &str) -> Request {
    named(Request::modern_call(tool, json!({})))
}

/// Opens a session and requests its stream. Gives a connection for its requests, that of the
/// stream, and the id of the session.
fn open_stream(proxy: &ProxyProcess) -> (Connection, Connection, String) {
    let mut connection = proxy.connect();
    let made = connection.exchange(&named(Request::initialize(LEGACY)));
    let id = made.head.field("MCP-Session-Id").expect("a session");
    let id = id.to_owned();
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let ready = named(Request::legacy(&ready)).field("MCP-Session-Id", &id);
    assert_eq!(connection.exchange(&ready).status(), 202);
    let mut listener = proxy.connect();
    let get = Request::new("GET").field("Accept", "text/event-stream");
    listener.send(&named(get).field("MCP-Session-Id", &id));
    (connection, listener, id)
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
    let (mut connection, listener, id) = open_stream(proxy);
    let mut stream = EventStream::begin(listener);
    assert!(matches!(stream.next_item(), Item::Comment(_)));
    let change = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "test_trigger_tool_change", "arguments": {} },
    });
    let change = named(Request::legacy(&change)).field("MCP-Session-Id", &id);
    assert_eq!(connection.exchange(&change).status(), 200);
    let event = stream.next_message();
    assert_eq!(event["method"], "notifications/tools/list_changed");
    assert!(
        matches!(stream.next_item(), Item::Comment(_)),
        "a sign of life"
    );
}

const SIGNS_OF_LIFE: &str = "[streams]\nkeep_alive_ms = 1000";

#[test]
fn nginx_passes_calls_and_streams_at_once() {
    let server = setup().profile(SIGNS_OF_LIFE).start();
    check_traffic(&Proxy::Nginx.start(server.address(), &[]));
}

/// nginx as it is without a configuration: HTTP/1.0 to the server, and buffering. Events come at
/// once because of the header `X-Accel-Buffering` of the server, and only with the end if it is
/// ignored.
#[test]
fn the_header_of_streams_turns_the_buffering_of_nginx_off() {
    const SILENCE: Duration = Duration::from_secs(3);
    let server = setup().profile(SIGNS_OF_LIFE).start();
    let with = |further: &str| {
        let lines = format!("proxy_buffering on; {further}");
        Proxy::Nginx.start(server.address(), &[("proxy_http_version 1.1;", &*lines)])
    };
    let proxy = with("");
    let (_, listener, _) = open_stream(&proxy);
    let mut stream = EventStream::begin(listener);
    for _ in 0..3 {
        assert!(matches!(stream.next_item(), Item::Comment(_)));
    }

    let proxy = with("proxy_ignore_headers X-Accel-Buffering;");
    let (mut connection, mut listener, id) = open_stream(&proxy);
    thread::sleep(SILENCE);
    assert!(!listener.has_call_events(), "{listener:?}");
    let end = named(Request::new("DELETE")).field("MCP-Session-Id", &id);
    assert_eq!(connection.exchange(&end).status(), 204);
    let mut stream = EventStream::begin(listener);
    let items: Vec<Item> = std::iter::from_fn(|| Some(stream.next_item()))
        .take_while(|item| *item != Item::End)
        .collect();
    assert!(items.len() > 1, "{items:?} were sent in {SILENCE:?}");
}

#[test]
fn haproxy_passes_calls_and_streams_at_once() {
    let server = setup().profile(SIGNS_OF_LIFE).start();
    check_traffic(&Proxy::Haproxy.start(server.address(), &[]));
}

/// A server with TLS, which the proxy verifies.
fn check_behind_tls(start: impl FnOnce(&Server, &str) -> ProxyProcess) {
    let server = setup().profile(SIGNS_OF_LIFE).secured().start();
    let authority = Authority::shared().file();
    check_traffic(&start(&server, authority.to_str().expect("it is UTF-8")));
}

#[test]
fn nginx_speaks_tls_with_the_server() {
    check_behind_tls(|server, authority| {
        let changes = [
            ("proxy_pass http://corelane;", ""),
            ("# proxy_pass https", "proxy_pass https"),
            ("# proxy_ssl_", "proxy_ssl_"),
            ("/etc/corelane/ca.pem", authority),
        ];
        Proxy::Nginx.start(server.address(), &changes)
    });
}

#[test]
fn haproxy_speaks_tls_with_the_server() {
    check_behind_tls(|server, authority| {
        let secured = format!(
            "{} ssl verify required ca-file {authority} sni str(localhost) check-sni localhost",
            server.address()
        );
        ProxyProcess::haproxy(&[("127.0.0.1:8080", &*secured)])
    });
}

/// WebSocket through a proxy that ends silent connections after four seconds: messages of both
/// sides pass, pings keep the connection, and the client sees the server go.
fn check_websocket(proxy: Proxy, short: (&str, &str)) {
    let pings = "[websocket]\nping_interval_ms = 1000";
    let server = setup().profile(pings).start();
    let proxy = proxy.start(server.address(), &[short]);
    let mut socket = WebSocket::open(proxy.address());
    let answer = socket.exchange(&initialize(LEGACY, &json!({})));
    assert_eq!(answer["result"]["protocolVersion"], LEGACY, "{answer}");
    socket.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    for message in ["short", &"x".repeat(1 << 20)] {
        let echo = json!({
            "jsonrpc": "2.0", "id": 2, "method": "tools/call",
            "params": { "name": "echo", "arguments": { "message": message } },
        });
        let answer = socket.exchange(&echo);
        assert_eq!(answer["result"]["content"][0]["text"], message);
    }
    for _ in 0..6 {
        let ping = socket.read_frame().expect("a ping");
        assert_eq!(ping.first, PING, "{ping:?}");
        socket.send_bytes(&frame(PONG, &ping.payload));
    }
    server.signal("TERM");
    let close = socket.read_frame().expect("a close frame");
    assert_eq!(
        (close.first, &close.payload[..2]),
        (CLOSE, &1001_u16.to_be_bytes()[..])
    );
}

#[test]
fn nginx_passes_websocket() {
    check_websocket(
        Proxy::Nginx,
        ("proxy_read_timeout 310s", "proxy_read_timeout 4s"),
    );
}

#[test]
fn haproxy_passes_websocket() {
    check_websocket(Proxy::Haproxy, ("timeout tunnel 310s", "timeout tunnel 4s"));
}

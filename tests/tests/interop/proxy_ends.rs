//! Ends of connections and servers behind the proxies of `deploy/`: no request is lost when its
//! connection was idle, and none when its server ends.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corelane_tests::{EventStream, Item, Request};
use rustix::process::Signal;
use serde_json::json;

use super::proxies::{Proxy, call, named, setup};
use super::proxy_process::ProxyProcess;

/// The idle time of a proxy under test.
const IDLE: Duration = Duration::from_secs(1);

/// The line that sets it in the files of `deploy/`.
const IDLE_NGINX: (&str, &str) = ("keepalive 64;", "keepalive 64; keepalive_timeout 1s;");
const IDLE_HAPROXY: (&str, &str) = ("127.0.0.1:8080", "127.0.0.1:8080 pool-purge-delay 1s");

/// A request comes together with the end of the idle time of the connection that it is to go on:
/// the proxy stands still until that is over, and finds both at once.
fn check_both_at_once(proxy: &ProxyProcess) {
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

/// Many clients call again when the connections of the proxy have been idle for just their time,
/// each client a little earlier or later than the others.
fn check_many_around_the_end(proxy: &ProxyProcess) {
    const CLIENTS: u32 = 40;
    const ROUNDS: usize = 5;
    const STEP: Duration = Duration::from_micros(500);
    let start = Barrier::new(CLIENTS as usize);
    let client = |at: u32| {
        let mut connection = proxy.connect();
        start.wait();
        for round in 0..ROUNDS {
            let answer = connection.exchange(&call("test_simple_text"));
            let answered = Instant::now();
            assert_eq!(answer.status(), 200, "{round}: {answer:?} {}", proxy.log());
            let due = answered + IDLE + at * STEP - CLIENTS / 2 * STEP;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    };
    let client = &client;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|at| scope.spawn(move || client(at)))
            .collect();
        clients
            .into_iter()
            .for_each(|it| it.join().expect("its calls"));
    });
}

#[test]
fn no_request_is_lost_when_nginx_ends_its_idle_connections() {
    let server = setup().start();
    let proxy = Proxy::Nginx.start(server.address(), &[IDLE_NGINX]);
    check_both_at_once(&proxy);
    check_many_around_the_end(&proxy);
}

#[test]
fn no_request_is_lost_when_haproxy_ends_its_idle_connections() {
    let server = setup().start();
    // Checks fail while it stands still.
    let proxy = Proxy::Haproxy.start(server.address(), &[IDLE_HAPROXY, ("fall 2", "fall 100")]);
    check_both_at_once(&proxy);
    check_many_around_the_end(&proxy);
}

/// The server ends while clients wait for the answers of calls that have begun: all come, and the
/// server ends well.
fn check_calls_under_way(proxy: Proxy) {
    const CLIENTS: usize = 20;
    let server = setup().demo("basic").start();
    let proxy = proxy.start(server.address(), &[]);
    let streams: Vec<EventStream> = (0..CLIENTS)
        .map(|at| {
            let call = Request::modern_call("countdown", json!({ "from": 2 }));
            let mut connection = proxy.connect();
            connection.send(&named(call.meta("progressToken", at)));
            let mut stream = EventStream::begin(connection);
            let progress = stream.next_message();
            assert_eq!(progress["params"]["progressToken"], at, "{progress}");
            stream
        })
        .collect();
    server.signal("TERM");
    for mut stream in streams {
        let answer = loop {
            match stream.next_item() {
                Item::Message(message) if message["id"].is_null() => {}
                Item::Message(answer) => break answer,
                Item::Comment(_) => {}
                Item::End => panic!("a call was lost: {}", server.log()),
            }
        };
        let text = &answer["result"]["content"][0]["text"];
        assert_eq!(text, "counted down from 2", "{answer}");
        let _ = stream.expect_end();
    }
    assert!(server.wait_for_exit().success(), "{}", server.log());
}

#[test]
fn no_call_behind_nginx_is_lost_when_its_server_ends() {
    check_calls_under_way(Proxy::Nginx);
}

#[test]
fn no_call_behind_haproxy_is_lost_when_its_server_ends() {
    check_calls_under_way(Proxy::Haproxy);
}

/// One of two servers drains while clients call: HAProxy sees its readiness end, and all calls are
/// answered. The servers know the clients by the PROXY protocol.
#[test]
fn no_request_is_lost_when_one_of_two_servers_behind_haproxy_drains() {
    let profile = "[server]\ndrain_notice_ms = 2000\nproxy_protocol_from = [\"127.0.0.1\"]";
    let servers = [(); 2].map(|()| setup().profile(profile).start());
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

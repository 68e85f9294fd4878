//! Peers that vanish without a packet, in a network of the test's own.

use corelane_tests::{Connection, EventStream, Request, Session, Setup};
use serde_json::{Value, json};

use crate::client::CULPRIT;
use crate::trial::{Trial, connections, in_namespaces, scaled, succeed, wait_for_connections};

/// The host of a peer fails: it sends nothing, not even a reset. Its connections end by their
/// deadlines, in each of their states.
#[test]
fn peers_that_vanish() {
    in_namespaces("vanished::peers_that_vanish", &["--net"], || {
        let each = scaled(10, 500);
        succeed("ip", &["link", "set", "lo", "up"]);
        let setup = Setup::shards(1).profile(
            "[connection]\nidle_timeout_ms = 2000\nwrite_timeout_ms = 1000\n\
             head_timeout_ms = 1000\nbody_timeout_ms = 1000\n\
             [streams]\nkeep_alive_ms = 1000\n[calls]\nslow_after_ms = 1000",
        );
        Trial::of("peers that vanish", setup).run(|server| {
            let before = connections(server.address());
            let peers: Vec<Vec<Connection>> = (0..each)
                .map(|_| in_every_state(|| server.connect_from(CULPRIT)))
                .collect();
            let lost = format!("{CULPRIT}/32");
            succeed(
                "ip",
                &["route", "add", "blackhole", &lost, "table", "local"],
            );
            wait_for_connections(server, before);
            succeed(
                "ip",
                &["route", "del", "blackhole", &lost, "table", "local"],
            );
            drop(peers);
        });
    });
}

/// A connection between two requests, within a head, within a body, with a call that waits, with a
/// stream of a session, with a subscription, and with output that was not read.
fn in_every_state(connect: impl Fn() -> Connection) -> Vec<Connection> {
    let mut idle = connect();
    let session = Session::open(&mut idle);
    let sleep = json!({ "ms": 60_000 });
    let params = json!({ "notifications": { "toolsListChanged": true } });
    let [
        mut head,
        mut body,
        mut call,
        mut legacy_call,
        mut stream,
        mut listen,
        mut unread,
    ] = [(); 7].map(|()| connect());
    let head_start = Request::post("").head_start(head.address());
    head.send_bytes(head_start.as_bytes());
    body.send_bytes(format!("{head_start}Content-Length: 100\r\n\r\n{{").as_bytes());
    call.send(&Request::modern_call("sleep", sleep.clone()));
    legacy_call.send(&session.call("sleep", sleep));
    stream.send(&session.stream());
    assert_eq!(stream.read_head().expect("a head").status, 200);
    listen.send(&Request::modern(1, "subscriptions/listen", params));
    let mut listen = EventStream::begin(listen);
    let _ = listen.next_message();
    let message: Value = json!({ "message": "x".repeat(1_000_000) });
    unread.send(&Request::modern_call("echo", message));
    let peeked = unread.stream().peek(&mut [0]);
    assert_eq!(peeked.expect("an answer"), 1);
    vec![
        idle,
        head,
        body,
        call,
        legacy_call,
        stream,
        listen.into_connection(),
        unread,
    ]
}

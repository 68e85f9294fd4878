//! Slow peers: each wait of the server ends, and only the slow peer is affected.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use corelane_tests::{
    Connection, LivenessProbe, PATIENCE, ReadError, Request, Response, Session, Setup, wait_until,
};
use serde_json::{Value, json};

/// The pause between two bytes of a peer that sends them one by one.
const DRIP_INTERVAL: Duration = Duration::from_millis(20);

/// Sends `bytes` one by one, far more slowly than the server allows, until it answers.
fn drip(connection: &mut Connection, bytes: impl Iterator<Item = u8>) -> Response {
    for byte in bytes {
        // The server may close between two bytes; the read shows it.
        let _ = connection.try_send_bytes(&[byte]);
        match connection.try_read_response(DRIP_INTERVAL) {
            Err(ReadError::TimedOut) => {}
            other => return other.unwrap_or_else(|error| panic!("no answer: {error:?}")),
        }
    }
    connection.read_response()
}

fn check_timed_out(connection: &mut Connection, response: &Response, began: Instant, name: &str) {
    assert_eq!(response.status(), 408, "{name}: {response:?}");
    assert!(response.head.says_close(), "{name}: {response:?}");
    assert!(
        response.json()["error"]["code"].is_i64(),
        "{name}: {response:?}"
    );
    // Half of the limit, for coarse clocks.
    assert!(
        began.elapsed() >= Duration::from_millis(150),
        "{name}: after {:?}",
        began.elapsed()
    );
    let rest = connection.read_to_close(PATIENCE);
    assert!(matches!(rest, Ok(ref rest) if rest.is_empty()) || rest == Err(ReadError::Reset));
}

#[test]
fn a_slow_head_is_given_up() {
    let profile = "[connection]\nhead_timeout_ms = 300\nbody_timeout_ms = 60000";
    for shards in [1, 2] {
        let server = Setup::shards(shards).profile(profile).start();
        let mut probe = LivenessProbe::of(&server);
        for start in ["P", "POST /mcp HTTP/1.1\r\nHost: h\r\nA: b"] {
            let (mut connection, began) = (server.connect(), Instant::now());
            connection.send_bytes(start.as_bytes());
            let response = connection.read_response();
            check_timed_out(&mut connection, &response, began, start);
            probe.check("a head that stopped");
        }
        let (mut connection, began) = (server.connect(), Instant::now());
        let endless = "GET /mcp HTTP/1.1\r\nA: "
            .bytes()
            .chain(std::iter::repeat_n(b'a', 1000));
        let response = drip(&mut connection, endless);
        check_timed_out(&mut connection, &response, began, "drip");
        probe.check("a head that drips");
    }
}

#[test]
fn a_slow_body_is_given_up() {
    let profile = "[connection]\nhead_timeout_ms = 60000\nbody_timeout_ms = 300";
    for shards in [1, 2] {
        let server = Setup::shards(shards).profile(profile).start();
        let mut probe = LivenessProbe::of(&server);
        let head = Request::post("").head_start(server.address());
        for rest in [
            "Content-Length: 1000\r\n\r\n",
            "Content-Length: 1000\r\n\r\n{\"jsonrpc\"",
            "Transfer-Encoding: chunked\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        ] {
            let (mut connection, began) = (server.connect(), Instant::now());
            connection.send_bytes(format!("{head}{rest}").as_bytes());
            let response = connection.read_response();
            check_timed_out(&mut connection, &response, began, rest);
            probe.check("a body that stopped");
        }
        let (mut connection, began) = (server.connect(), Instant::now());
        connection.send_bytes(format!("{head}Content-Length: 1000\r\n\r\n").as_bytes());
        let response = drip(&mut connection, std::iter::repeat_n(b' ', 900));
        check_timed_out(&mut connection, &response, began, "drip");
        probe.check("a body that drips");
    }
}

#[test]
fn a_request_after_a_slow_one_has_its_own_time() {
    let profile = "[connection]\nhead_timeout_ms = 300\nbody_timeout_ms = 300";
    let server = Setup::shards(1).profile(profile).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    // Together they take longer than a request may, and so does the call in between.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(700) {
        let response = connection.exchange(&session.request(1, "ping", Value::Null));
        assert_eq!(response.status(), 200, "{response:?}");
        let response = connection.exchange(&session.call("sleep", json!({ "ms": 400 })));
        assert_eq!(response.status(), 200, "{response:?}");
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let profile = "[connection]\nidle_timeout_ms = 1000\n[streams]\nkeep_alive_ms = 1000";
    let server = Setup::shards(1).profile(profile).start();
    let mut silent = server.connect();
    let mut once = server.connect();
    let mut busy = server.connect();
    let session = Session::open(&mut once);
    busy.send(&session.call("sleep", json!({ "ms": 2500 })));
    let began = Instant::now();
    once.expect_close();
    silent.expect_close();
    assert!(
        began.elapsed() >= Duration::from_millis(500),
        "after {:?}",
        began.elapsed()
    );
    let response = busy.read_response();
    assert_eq!(
        response.status(),
        200,
        "a connection with a call is not idle: {response:?}"
    );
}

#[test]
fn a_reader_that_never_reads_is_given_up() {
    let profile = "[connection]\nwrite_timeout_ms = 300\noutput_bytes_max = 65536\n\
        [ring]\ndescriptors = 64";
    for shards in [1, 2] {
        let server = Setup::shards(shards).profile(profile).start();
        let mut probe = LivenessProbe::of(&server);
        let session = Session::open(&mut server.connect());
        let call = session.call("echo", json!({ "message": "x".repeat(60_000) }));
        let call = call.to_bytes(server.address());
        let connections: Vec<Connection> = (0..4).map(|_| server.connect()).collect();
        for connection in &connections {
            let mut stream = connection.stream();
            stream
                .set_write_timeout(Some(DRIP_INTERVAL))
                .expect("not zero");
            let mut at = 0;
            wait_until("the end of a connection nobody reads", || {
                match stream.write(&call[at..]) {
                    Ok(count) => at = (at + count) % call.len(),
                    Err(error) => match error.kind() {
                        ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                        _ => return Some(()),
                    },
                }
                None
            });
            probe.check("a reader that never reads");
        }
    }
}

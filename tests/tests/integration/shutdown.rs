//! The end of a server: no accepted request is lost, no further one is accepted, and the process
//! ends.

use std::time::{Duration, Instant};

use corelane_tests::{
    Connection, EventStream, PATIENCE, Request, Server, Session, Setup, wait_until,
};
use serde_json::{Value, json};

/// One call may wait at once: while it does, another is refused, which shows that the first runs.
const FEW_CALLS: &str = "[calls]\nin_flight_max = 1";

/// A connection with a call of the session that certainly runs, for `ms` milliseconds.
fn hold_a_call(server: &Server, session: &Session, ms: u64) -> Connection {
    let held = json!({ "name": "sleep", "arguments": { "ms": ms } });
    // Without a stream, no byte comes before the answer.
    let held = session.request("held", "tools/call", held);
    let held = held.field("Accept", "application/json");
    let mut prober = server.connect();
    let mut holder = server.connect();
    holder.send(&held);
    wait_until("a call that runs", || {
        if holder.has_call_events() {
            // The prober was first.
            assert_eq!(holder.read_response().status(), 503);
            holder.send(&held);
            return None;
        }
        let status = prober
            .exchange(&session.call("sleep", json!({ "ms": 1 })))
            .status();
        (status == 503).then_some(())
    });
    holder
}

fn is_refused(server: &Server) -> bool {
    Connection::open(server.address()).is_err()
}

#[test]
fn a_second_signal_ends_the_process_at_once_and_is_logged() {
    let server = Setup::shards(1).profile(FEW_CALLS).start();
    let mut client = server.connect();
    let session = Session::open(&mut client);
    let _holder = hold_a_call(&server, &session, 60_000);
    server.signal("TERM");
    wait_until("the drain", || is_refused(&server).then_some(()));
    server.signal("TERM");
    let status = server.wait_for_exit();
    assert_eq!(status.code(), Some(128 + 15), "{status}");
    let log = server.log();
    assert!(log.contains("a second signal"), "{log}");
}

#[test]
fn a_signal_lets_calls_finish_and_closes_the_rest() {
    for (shards, signal) in [(1, "TERM"), (4, "TERM"), (2, "INT")] {
        let server = Setup::shards(shards).profile(FEW_CALLS).start();
        let mut idle: Vec<Connection> = (0..8).map(|_| server.connect()).collect();
        let session = Session::open(&mut idle[0]);
        for connection in &mut idle {
            let response = connection.exchange(&session.request(1, "ping", Value::Null));
            assert_eq!(response.status(), 200, "{response:?}");
        }
        let mut silent = server.connect();
        let mut requester = server.connect();
        requester.send(&session.stream());
        let stream = EventStream::begin(requester);
        let mut holder = hold_a_call(&server, &session, 2000);

        server.signal(signal);
        for connection in &mut idle {
            connection.expect_close();
        }
        silent.expect_close();
        drop(stream.expect_end());
        wait_until("refused connections", || is_refused(&server).then_some(()));
        // That this comes before the call ends is tested on a clock of its own.
        let response = holder.read_response();
        assert_eq!(response.status(), 200, "{response:?}");
        let answer = response.answer();
        assert_eq!(answer["id"], "held", "{answer}");
        assert!(answer["result"].is_object(), "{answer}");
        holder.expect_close();
        let status = server.wait_for_exit();
        assert_eq!(
            status.code(),
            Some(0),
            "{signal}: {status:?}\n{}",
            server.log()
        );
    }
}

#[test]
fn a_signal_lets_streams_of_calls_end_with_their_answers() {
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        let session = Session::open(&mut server.connect());
        let begin = |request| {
            let mut connection = server.connect();
            connection.send(&request);
            let mut stream = EventStream::begin(connection);
            stream.next_message();
            stream
        };
        let call = session.call("test_tool_with_progress", json!({}));
        let kept = begin(call.clone().meta("progressToken", 1));
        let lost = begin(call.meta("progressToken", 2));
        let id = lost.last_id().expect("an event with an id").to_owned();
        let mut connection = server.connect();
        connection.send(&session.stream_after(&id));
        let resumed = EventStream::begin(connection);
        server.signal("TERM");
        for mut stream in [kept, resumed] {
            while stream.next_message().get("result").is_none() {}
            stream.expect_end().expect_close();
        }
        assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.log());
    }
}

#[test]
fn requests_that_the_kernel_has_taken_before_a_signal_are_answered() {
    for shards in [1, 2] {
        let server = Setup::shards(shards).start();
        let mut connections: Vec<Connection> = (0..100).map(|_| server.connect()).collect();
        let echo = |number: usize| {
            Request::modern_call("echo", json!({ "message": format!("m{number}") }))
        };
        for connection in &mut connections[..80] {
            assert_eq!(connection.exchange(&echo(0)).status(), 200);
        }
        // The process sees the requests, new connections and the signal at once.
        server.signal("STOP");
        connections.extend((0..100).map(|_| server.connect()));
        for (number, connection) in connections.iter_mut().enumerate() {
            connection.send(&echo(number));
        }
        server.signal("TERM");
        server.signal("CONT");
        for (number, connection) in connections.iter_mut().enumerate() {
            let response = connection.read_response();
            assert_eq!(response.status(), 200, "{number}: {response:?}");
            let text = &response.answer()["result"]["content"][0]["text"];
            assert_eq!(text, &json!(format!("m{number}")));
            connection.expect_close();
        }
        assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.log());
    }
}

#[test]
fn a_server_with_nothing_to_do_ends_at_once() {
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        let mut connection = server.connect();
        drop(Session::open(&mut connection));
        let began = Instant::now();
        server.signal("TERM");
        assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.log());
        // Far below the time that calls would get.
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "took {:?}",
            began.elapsed()
        );
        connection.expect_close();
    }
}

#[test]
fn a_call_that_never_ends_does_not_keep_the_server() {
    let profile = format!(
        "[server]\ndrain_timeout_ms = 300\n[connection]\nlinger_timeout_ms = 100\n{FEW_CALLS}"
    );
    for shards in [1, 2] {
        let server = Setup::shards(shards).profile(&profile).start();
        let session = Session::open(&mut server.connect());
        let mut holder = hold_a_call(&server, &session, 60_000);
        let began = Instant::now();
        server.signal("TERM");
        assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.log());
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(250) && took < PATIENCE / 3,
            "took {took:?}"
        );
        // Answered with an error or closed, never left waiting.
        let _ = holder.read_to_close(PATIENCE);
    }
}

#[test]
fn a_half_sent_request_does_not_keep_the_server() {
    let server = Setup::shards(1)
        .profile("[server]\ndrain_timeout_ms = 2000")
        .start();
    let session = Session::open(&mut server.connect());
    let ping = session
        .request(1, "ping", Value::Null)
        .to_bytes(server.address());
    let mut connection = server.connect();
    connection.send_bytes(&ping);
    assert_eq!(connection.read_response().status(), 200);
    connection.send_bytes(&ping[..ping.len() / 2]);
    server.signal("TERM");
    assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.log());
}

#[test]
fn a_shard_with_nothing_left_waits_for_requests_of_its_sessions_on_other_shards() {
    let server = Setup::shards(4).start();
    let session = Session::open(&mut server.connect());
    let ping = session
        .request("late", "ping", Value::Null)
        .field("Expect", "100-continue")
        .to_bytes(server.address());
    let head_end = ping.windows(4).position(|end| end == b"\r\n\r\n");
    let (head, body) = ping.split_at(head_end.expect("a head ends") + 4);
    // Enough connections that some are on other shards than the session.
    let mut connections: Vec<Connection> = (0..32).map(|_| server.connect()).collect();
    for connection in &mut connections {
        connection.send_bytes(head);
        let went_on = connection.read_head().expect("an interim response");
        assert_eq!(went_on.status, 100);
    }
    let began = Instant::now();
    server.signal("TERM");
    wait_until("refused connections", || is_refused(&server).then_some(()));
    for connection in &mut connections {
        connection.send_bytes(body);
        let response = connection.read_response();
        assert_eq!(response.status(), 200, "{response:?}");
        assert_eq!(response.answer()["id"], "late");
    }
    assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.log());
    // No shard waited for its deadline of ten seconds.
    assert!(began.elapsed() < Duration::from_secs(5));
}

//! The end of a session while it is used: every client gets exactly one answer for each request.
//!
//! MCP 2025-11-25 basic/transports, "Session Management": after its end every request of a session
//! is answered with 404.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use corelane_tests::{Connection, Request, Response, Session, wait_until};
use serde_json::{Value, json};

use crate::fixture::Fixture;

/// Clients that use a session at once.
const CLIENTS: usize = 6;

/// A request of a kind that depends on `number`.
fn request(session: &Session, number: usize) -> Request {
    let id = number as u64;
    let call = |tool: &str, arguments: Value| {
        let params = json!({ "name": tool, "arguments": arguments });
        session.request(id, "tools/call", params)
    };
    match number % 5 {
        0 => session.request(id, "ping", Value::Null),
        1 => call("echo", json!({ "steps": 7 })),
        2 => call("walk", json!({ "steps": 3 })).meta("progressToken", id),
        3 => call("walk", json!({ "steps": 3 })).field("Accept", "application/json"),
        _ => session.notification("notifications/initialized"),
    }
}

/// Whether the session was there for a request; panics when the answer is neither.
fn was_served(number: usize, response: &Response) -> bool {
    match response.status() {
        404 => {
            let error = &response.json()["error"];
            assert!(error["code"].is_i64(), "{response:?}");
            false
        }
        202 => {
            assert!(response.body.is_empty(), "{response:?}");
            // A notification was taken, or the session ended under a call of a client that takes
            // no stream.
            assert!(matches!(number % 5, 3 | 4), "{number}: {response:?}");
            true
        }
        200 => {
            let messages = response.messages();
            let answers = messages.iter().filter(|it| it.get("id").is_some());
            let answers: Vec<&Value> = answers.collect();
            // No answer at all when the session ended under the call.
            assert!(answers.len() <= 1, "{number}: {messages:?}");
            for answer in answers {
                assert_eq!(answer["id"], number, "{answer}");
                assert!(answer["result"].is_object(), "{answer}");
            }
            true
        }
        other => panic!("{other} for {number}: {response:?}"),
    }
}

/// A session ends while clients on all shards use it: each request is answered whole. After one
/// client has seen the end, no request of any client finds the session.
#[test]
fn a_session_ends_under_load() {
    let server = Fixture::start(2);
    for round in 0..6 {
        let (mut ender, _) = server.on_each_shard().remove(round % 2);
        let session = Session::open(&mut server.connect());
        let (has_ended, served) = (AtomicBool::new(false), AtomicUsize::new(0));
        let connections: Vec<Connection> = (0..CLIENTS).map(|_| server.connect()).collect();
        thread::scope(|scope| {
            for (client, mut connection) in connections.into_iter().enumerate() {
                let (session, has_ended, served) = (&session, &has_ended, &served);
                scope.spawn(move || {
                    for number in client.. {
                        let comes_after = has_ended.load(Ordering::SeqCst);
                        let response = connection.exchange(&request(session, number));
                        let is_served = was_served(number, &response);
                        assert!(!(comes_after && is_served), "{number}: {response:?}");
                        served.fetch_add(usize::from(is_served), Ordering::Relaxed);
                        if !is_served {
                            return;
                        }
                    }
                });
            }
            wait_until("use of the session", || {
                (served.load(Ordering::Relaxed) > 10 * CLIENTS).then_some(())
            });
            let response = ender.exchange(&session.delete());
            assert_eq!(response.status(), 204, "{response:?}");
            has_ended.store(true, Ordering::SeqCst);
        });
        let ping = ender.exchange(&session.request(1, "ping", Value::Null));
        assert_eq!(ping.status(), 404, "{ping:?}");
    }
}

/// Of several clients that end a session at once, exactly one succeeds.
#[test]
fn a_session_ends_once() {
    let server = Fixture::start(2);
    for _ in 0..10 {
        let session = Session::open(&mut server.connect());
        let mut connections: Vec<Connection> = (0..CLIENTS).map(|_| server.connect()).collect();
        for connection in &mut connections {
            connection.send(&session.delete());
        }
        let statuses = connections.iter_mut().map(|it| it.read_response().status());
        let mut statuses: Vec<u16> = statuses.collect();
        statuses.sort_unstable();
        let mut expected = vec![404; CLIENTS];
        expected[0] = 204;
        assert_eq!(statuses, expected);
    }
}

/// Streams that open while the session ends are refused, or end with it; none is left open.
#[test]
fn streams_that_open_under_the_end_end_with_it() {
    let server = Fixture::start(2);
    for _ in 0..20 {
        let session = Session::open(&mut server.connect());
        let mut connections: Vec<Connection> = (0..CLIENTS).map(|_| server.connect()).collect();
        for connection in &mut connections {
            connection.send(&session.stream());
        }
        let ended = server.connect().exchange(&session.delete());
        assert_eq!(ended.status(), 204, "{ended:?}");
        for connection in &mut connections {
            let response = connection.read_response();
            match response.status() {
                200 => assert_eq!(response.messages(), [] as [Value; 0], "{response:?}"),
                status => assert_eq!(status, 404, "{response:?}"),
            }
        }
    }
}

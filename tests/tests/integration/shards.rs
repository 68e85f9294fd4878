//! Sessions and shards: a session made through one shard works through every other.

use std::time::Duration;

use corelane_tests::{
    Connection, EventStream, LivenessProbe, ReadError, Server, Session, Setup, wait_until,
};
use serde_json::{Value, json};

/// A connection on each shard, with the session that was made through it.
///
/// A session's home is the shard that made it, so its id shows the shard of its connection.
pub(crate) fn one_on_each_shard(
    connect: impl Fn() -> Connection,
    shards: usize,
) -> Vec<(Connection, Session)> {
    /// With four shards, the chance to miss one this often is below 10^-30.
    const CONNECTIONS_MAX: usize = 256;
    let mut found: Vec<Option<(Connection, Session)>> = (0..shards).map(|_| None).collect();
    for _ in 0..CONNECTIONS_MAX {
        let mut connection = connect();
        let session = Session::open(&mut connection);
        let again = Session::open(&mut connection);
        assert_eq!(
            session.home(),
            again.home(),
            "one connection is on one shard"
        );
        let home = session.home();
        assert!(home < shards, "{session:?} of {shards} shards");
        found[home].get_or_insert((connection, session));
        if found.iter().all(Option::is_some) {
            return found.into_iter().flatten().collect();
        }
    }
    panic!("{CONNECTIONS_MAX} connections did not reach every shard: {found:?}");
}

/// Runs `check` for every pair of a connection and a session, on servers of 1, 2 and 4 shards.
fn for_every_pair(mut check: impl FnMut(&Server, &mut Connection, &Session, &str)) {
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        let mut probe = LivenessProbe::of(&server);
        let mut all = one_on_each_shard(|| server.connect(), shards);
        let sessions: Vec<Session> = all.iter().map(|(_, session)| session.clone()).collect();
        for (at, (connection, _)) in all.iter_mut().enumerate() {
            for session in &sessions {
                let name = format!("shard {at} to {} of {shards}", session.home());
                check(&server, connection, session, &name);
                probe.check(&name);
            }
        }
    }
}

#[test]
fn every_session_works_through_every_shard() {
    for_every_pair(|_, connection, session, name| {
        for (method, params) in [
            ("ping", Value::Null),
            ("tools/list", json!({})),
            ("logging/setLevel", json!({ "level": "info" })),
            (
                "tools/call",
                json!({ "name": "echo", "arguments": { "message": name } }),
            ),
            (
                "tools/call",
                json!({ "name": "sleep", "arguments": { "ms": 1 } }),
            ),
            (
                "tools/call",
                json!({ "name": "fibonacci", "arguments": { "n": 10 } }),
            ),
        ] {
            let response = connection.exchange(&session.request(name, method, params));
            assert_eq!(response.status(), 200, "{name} {method}: {response:?}");
            let answer = response.answer();
            assert_eq!(answer["id"], name, "{method}: {answer}");
            assert!(answer["result"].is_object(), "{name} {method}: {answer}");
        }
        let echo = json!({ "message": "x".repeat(1 << 20) });
        let answer = connection
            .exchange(&session.call("echo", echo.clone()))
            .answer();
        assert_eq!(
            answer["result"]["content"][0]["text"], echo["message"],
            "{name}"
        );
        let response = connection.exchange(&session.notification("notifications/initialized"));
        assert_eq!(response.status(), 202, "{name}: {response:?}");
    });
}

#[test]
fn faults_are_refused_through_every_shard() {
    for_every_pair(|_, connection, session, name| {
        for (request, status, code) in [
            (session.request(1, "no/such", Value::Null), 200, -32601),
            (session.call("no_such", json!({})), 200, -32602),
            (
                session.request(1, "tools/list", json!({ "cursor": "x" })),
                200,
                -32602,
            ),
            (session.call("test_panic", json!({})), 200, -32603),
        ] {
            let response = connection.exchange(&request);
            assert_eq!(response.status(), status, "{name}: {response:?}");
            assert_eq!(
                response.json()["error"]["code"],
                code,
                "{name}: {response:?}"
            );
        }
        // As many digits, the same home, another number: a session id cannot be guessed.
        let last = if session.id.ends_with('0') { "1" } else { "0" };
        let guess = Session {
            id: format!("{}{last}", &session.id[..35]),
        };
        for request in [
            guess.request(1, "ping", Value::Null),
            guess.stream(),
            guess.delete(),
        ] {
            let response = connection.exchange(&request);
            assert_eq!(response.status(), 404, "{name}: {response:?}");
            assert_eq!(
                response.json()["error"]["code"],
                -32001,
                "{name}: {response:?}"
            );
        }
    });
}

#[test]
fn events_arrive_through_every_shard() {
    for_every_pair(|_, connection, session, name| {
        let call = session
            .call("test_tool_with_progress", json!({}))
            .meta("progressToken", name);
        let response = connection.exchange(&call);
        assert!(response.head.is_event_stream(), "{name}: {response:?}");
        let messages = response.messages();
        assert!(messages.len() > 1, "{name}: {messages:?}");
        let (answer, events) = messages.split_last().expect("checked above");
        assert!(answer["result"].is_object(), "{name}: {answer}");
        for event in events {
            assert_eq!(event["params"]["progressToken"], name, "{event}");
        }
        let response = connection.exchange(&session.call("test_tool_with_logging", json!({})));
        assert_eq!(response.messages().len(), 4, "{name}: {response:?}");
    });
}

#[test]
fn streams_open_and_end_through_every_shard() {
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        let mut probe = LivenessProbe::of(&server);
        for distance in 0..shards {
            let all = one_on_each_shard(|| server.connect(), shards);
            let (connections, sessions): (Vec<_>, Vec<_>) = all.into_iter().unzip();
            let mut streams = Vec::new();
            for (at, mut connection) in connections.into_iter().enumerate() {
                connection.send(&sessions[(at + distance) % shards].stream());
                streams.push(EventStream::begin(connection));
            }
            // The session ends through any shard, seldom the one of its stream.
            for session in &sessions {
                let response = server.connect().exchange(&session.delete());
                assert_eq!(response.status(), 204, "{response:?}");
            }
            for stream in streams {
                drop(stream.expect_end());
            }
            probe.check("streams across shards");
        }
    }
}

#[test]
fn a_session_is_deleted_through_every_shard() {
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        let mut all = one_on_each_shard(|| server.connect(), shards);
        for from in 0..shards {
            for home in 0..shards {
                let session = Session::open(&mut all[home].0);
                assert_eq!(all[from].0.exchange(&session.delete()).status(), 204);
                for (connection, _) in &mut all {
                    let response = connection.exchange(&session.request(1, "ping", Value::Null));
                    assert_eq!(response.status(), 404, "{from} to {home}: {response:?}");
                }
            }
        }
    }
}

#[test]
fn a_call_is_cancelled_through_every_shard() {
    for_every_pair(|server, connection, session, name| {
        for is_stream in [false, true] {
            let call = json!({ "name": "sleep", "arguments": { "ms": 60_000 } });
            let accept = match is_stream {
                false => "application/json, text/event-stream",
                true => "text/event-stream",
            };
            let mut waiting = server.connect();
            waiting.send(
                &session
                    .request(name, "tools/call", call)
                    .field("Accept", accept),
            );
            // A cancellation that arrives before the call is ignored: it is sent until it works.
            // The number 1 is another id than the text "1", and no request has it.
            let response = wait_until("the end of the call", || {
                connection.exchange(&session.cancelled(1));
                let response = connection.exchange(&session.cancelled(name));
                assert_eq!(response.status(), 202, "{name}: {response:?}");
                match waiting.try_read_response(Duration::from_millis(5)) {
                    Err(ReadError::TimedOut) => None,
                    other => Some(other.unwrap_or_else(|error| panic!("{name}: {error:?}"))),
                }
            });
            let is_empty_stream = response.status() == 200
                && response.head.is_event_stream()
                && response.messages().is_empty();
            assert!(is_empty_stream, "{name}: {response:?}");
            let ping = session.request(1, "ping", Value::Null);
            assert_eq!(
                waiting.exchange(&ping).status(),
                200,
                "{name}: the connection goes on"
            );
        }
    });
}

#[test]
fn many_clients_share_sessions_across_shards() {
    const CLIENTS: usize = 8;
    const CALLS: usize = 100;
    for shards in [2, 4] {
        let server = Setup::shards(shards).start();
        let all = one_on_each_shard(|| server.connect(), shards);
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (server, all) = (&server, &all);
                scope.spawn(move || {
                    let mut connection = server.connect();
                    for at in 0..CALLS {
                        let session = &all[(client + at) % shards].1;
                        let text = format!("client {client} call {at}");
                        let params = json!({ "name": "echo", "arguments": { "message": text } });
                        let request = session.request(text.as_str(), "tools/call", params);
                        let answer = connection.exchange(&request).answer();
                        assert_eq!(answer["id"], text, "{answer}");
                        assert_eq!(answer["result"]["content"][0]["text"], text, "{answer}");
                    }
                });
            }
        });
    }
}

//! Sessions at the limit of their shard: the least recently used one is evicted, and a session with
//! a waiting client never is.

use corelane_tests::request::LEGACY;
use corelane_tests::{Connection, Request, Response, Session};
use serde_json::{Value, json};

use crate::fixture::Fixture;

const CAP: usize = 3;

/// A server for [`CAP`] sessions on a shard, and a connection to each shard.
fn start(shards: usize) -> (Fixture, Vec<Connection>) {
    let tune = |profile: &mut corelane::Profile| profile.sessions.per_shard_max = CAP;
    let server = Fixture::with(shards, tune, |server| server);
    let connections = server.on_each_shard().into_iter();
    let connections = connections.map(|(mut connection, session)| {
        // Ended or evicted before: both are fine.
        let status = connection.exchange(&session.delete()).status();
        assert!(matches!(status, 204 | 404), "{status}");
        connection
    });
    let connections = connections.collect();
    (server, connections)
}

/// Fills the shard of `connection` with sessions of its own, oldest first.
fn fill(connection: &mut Connection) -> Vec<Session> {
    (0..CAP).map(|_| Session::open(connection)).collect()
}

/// Whether each session lives, queried through `connection`; a query uses the session.
fn living(connection: &mut Connection, sessions: &[Session]) -> Vec<bool> {
    let lives = |session: &Session| {
        let response = connection.exchange(&session.request(1, "ping", Value::Null));
        match response.status() {
            200 => true,
            404 => false,
            other => panic!("{other}: {response:?}"),
        }
    };
    sessions.iter().map(lives).collect()
}

fn hold(session: &Session, label: &str) -> Request {
    session.call("hold", json!({ "label": label }))
}

fn check_refused(response: &Response) {
    assert_eq!(response.status(), 503, "{response:?}");
    assert_eq!(response.head.field("MCP-Session-Id"), None, "{response:?}");
    assert_eq!(response.json()["id"], 0, "{response:?}");
    assert!(response.json()["error"]["code"].is_i64(), "{response:?}");
}

/// Every use of a session counts, through any shard, and the least recently used one is evicted;
/// sessions of the other shard are not affected.
#[test]
fn the_session_that_was_unused_longest_makes_room() {
    for shards in [1, 2] {
        let (_server, mut connections) = start(shards);
        for at in 0..shards {
            let other = (at + 1) % shards;
            let elsewhere = (shards > 1).then(|| fill(&mut connections[other]));
            let mut sessions = fill(&mut connections[at]);
            for used in [
                sessions[0].request(1, "tools/list", Value::Null),
                sessions[1].notification("notifications/initialized"),
            ] {
                let status = connections[other].exchange(&used).status();
                assert!(matches!(status, 200 | 202), "{status}");
            }
            // Now the third is the oldest, then the first, then the second.
            for (step, gone) in [2, 0, 1].into_iter().enumerate() {
                sessions.push(Session::open(&mut connections[at]));
                let evicted = sessions[gone].clone();
                for connection in &mut connections {
                    let evicted = [evicted.clone()];
                    assert_eq!(living(connection, &evicted), [false], "step {step}");
                }
                assert_eq!(sessions.len(), CAP + step + 1);
            }
            let newest = &sessions[CAP..];
            assert_eq!(living(&mut connections[other], newest), [true; CAP]);
            if let Some(elsewhere) = elsewhere {
                assert_eq!(living(&mut connections[at], &elsewhere), [true; CAP]);
            }
        }
    }
}

/// Sessions with a call, a stream or a running stream on another shard are never evicted. When all
/// sessions of a shard are such, a handshake is refused and no session ends.
#[test]
fn a_session_that_is_waited_for_never_makes_room() {
    let (server, mut connections) = start(2);
    for at in 0..2 {
        let sessions = fill(&mut connections[at]);
        // Streams on connections of any shard count as use.
        let mut call = server.stream(&hold(&sessions[0], "call"));
        let stream = server.stream(&sessions[1].stream());
        server.wait_for_inside(&["call"]);
        for _ in 0..10 {
            // Only the third has no stream or call, and then each of its successors.
            let _ = Session::open(&mut connections[at]);
        }
        let last = Session::open(&mut connections[at]);
        assert_eq!(server.inside(), ["call"]);
        let held = server.stream(&hold(&last, "last"));
        server.wait_for_inside(&["call", "last"]);
        for _ in 0..3 {
            check_refused(&connections[at].exchange(&Request::initialize(LEGACY)));
        }
        let busy = [sessions[0].clone(), sessions[1].clone(), last.clone()];
        for connection in &mut connections {
            assert_eq!(living(connection, &busy), [true; 3]);
        }
        // A session whose last call was cancelled can be evicted again.
        let cancelled = connections[1 - at].exchange(&last.cancelled(1));
        assert_eq!(cancelled.status(), 202);
        server.wait_for_inside(&["call"]);
        let _ = held.expect_end();
        let fresh = Session::open(&mut connections[at]);
        assert_eq!(living(&mut connections[1 - at], &[last]), [false]);
        for session in [&sessions[0], &sessions[1], &fresh] {
            assert_eq!(connections[at].exchange(&session.delete()).status(), 204);
        }
        let _ = stream.expect_end();
        assert!(matches!(call.next_item(), corelane_tests::Item::End));
        server.wait_for_inside(&[]);
    }
}

/// A call that was answered and a stream whose client left do not protect a session.
#[test]
fn a_session_whose_client_left_can_make_room() {
    let (server, mut connections) = start(1);
    let sessions = fill(&mut connections[0]);
    server.open_gate();
    let answered = connections[0].exchange(&hold(&sessions[0], "answered"));
    assert_eq!(answered.answer()["id"], 1, "{answered:?}");
    drop(server.stream(&sessions[1].stream()));
    corelane_tests::wait_until("room for as many sessions as fit", || {
        let made: Vec<u16> = (0..CAP)
            .map(|_| {
                connections[0]
                    .exchange(&Request::initialize(LEGACY))
                    .status()
            })
            .collect();
        let lives = living(&mut connections[0], &sessions);
        (made == [200; CAP] && lives == [false; CAP]).then_some(())
    });
}

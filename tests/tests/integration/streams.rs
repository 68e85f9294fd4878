//! Streams of a session (GET): open while no event happens, and ended by others.

use std::collections::VecDeque;

use corelane_tests::{EventStream, Item, LivenessProbe, PATIENCE, Server, Session, Setup};
use serde_json::{Value, json};

fn open(server: &Server, session: &Session) -> EventStream {
    let mut connection = server.connect();
    connection.send(&session.stream());
    EventStream::begin(connection)
}

#[test]
fn a_quiet_stream_is_kept_alive_and_ends_with_its_session() {
    let profile = "[streams]\nkeep_alive_ms = 1000";
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).profile(profile).start();
        let mut probe = LivenessProbe::of(&server);
        let mut other = server.connect();
        let session = Session::open(&mut other);
        let mut streams: Vec<EventStream> = (0..6).map(|_| open(&server, &session)).collect();
        for stream in &mut streams {
            for _ in 0..2 {
                let item = stream.next_item();
                assert!(matches!(item, Item::Comment(_)), "{item:?}");
            }
        }
        // Messages of a call do not go to these streams.
        let call = session.call("test_tool_with_logging", json!({}));
        assert_eq!(other.exchange(&call).messages().len(), 4);
        probe.check("comments");

        assert_eq!(other.exchange(&session.delete()).status(), 204);
        let successor = Session::open(&mut other);
        for stream in streams {
            let mut connection = stream.expect_end();
            let ping = successor.request(1, "ping", Value::Null);
            let response = connection.exchange(&ping);
            assert_eq!(
                response.status(),
                200,
                "the connection goes on: {response:?}"
            );
        }
        probe.check("the end of the streams");
    }
}

#[test]
fn a_stream_to_an_old_client_ends_with_its_session_and_connection() {
    let server = Setup::shards(1).start();
    let mut probe = LivenessProbe::of(&server);
    let mut other = server.connect();
    let session = Session::open(&mut other);
    let mut connection = server.connect();
    connection.send(&session.stream().version("HTTP/1.0"));
    assert_eq!(connection.read_head().expect("a head").status, 200);
    assert_eq!(other.exchange(&session.delete()).status(), 204);
    assert!(connection.read_to_close(PATIENCE).is_ok());
    probe.check("the end of the stream");
}

#[test]
fn a_stream_says_that_it_must_not_be_stored() {
    let server = Setup::shards(1).start();
    let session = Session::open(&mut server.connect());
    let stream = open(&server, &session);
    let cache = stream.head().field("Cache-Control").unwrap_or_default();
    assert!(
        cache.contains("no-cache") || cache.contains("no-store"),
        "{:?}",
        stream.head()
    );
    assert_eq!(
        stream.head().field("X-Accel-Buffering"),
        Some("no"),
        "{:?}",
        stream.head()
    );
}

#[test]
fn past_the_limit_a_new_stream_of_a_session_ends_its_oldest() {
    let profile = "[streams]\nper_session_max = 2";
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).profile(profile).start();
        let mut probe = LivenessProbe::of(&server);
        let mut other = server.connect();
        let session = Session::open(&mut other);
        let mut streams = VecDeque::new();
        for round in 0..10 {
            streams.push_back(open(&server, &session));
            if streams.len() > 2 {
                let oldest = streams.pop_front().expect("there are three");
                let mut connection = oldest.expect_end();
                let ping = session.request(1, "ping", Value::Null);
                assert_eq!(connection.exchange(&ping).status(), 200);
                probe.check(&format!("round {round}"));
            }
        }
        assert_eq!(other.exchange(&session.delete()).status(), 204);
        for stream in streams {
            drop(stream.expect_end());
        }
    }
}

#[test]
fn a_stream_needs_a_client_that_takes_it() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let response = connection.exchange(&session.stream().field("Accept", "application/json"));
    assert_eq!(response.status(), 406, "{response:?}");
    assert!(response.json()["error"]["code"].is_i64(), "{response:?}");
}

#[test]
fn requests_on_an_open_stream_wait_for_its_end() {
    let server = Setup::shards(1).start();
    let mut other = server.connect();
    let (session, successor) = (Session::open(&mut other), Session::open(&mut other));
    let mut connection = server.connect();
    connection.send(&session.stream());
    connection.send(&successor.request(9, "ping", Value::Null));
    let stream = EventStream::begin(connection);
    assert_eq!(other.exchange(&session.delete()).status(), 204);
    let mut connection = stream.expect_end();
    assert_eq!(connection.read_response().json()["id"], 9);
}

#[test]
fn a_stream_keeps_its_session_from_expiring() {
    let profile = "[sessions]\nidle_timeout_ms = 1000\n[streams]\nkeep_alive_ms = 1000";
    let server = Setup::shards(1).profile(profile).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let mut stream = open(&server, &session);
    for _ in 0..3 {
        let item = stream.next_item();
        assert!(matches!(item, Item::Comment(_)), "{item:?}");
    }
    let response = connection.exchange(&session.request(1, "ping", Value::Null));
    assert_eq!(response.status(), 200, "{response:?}");
}

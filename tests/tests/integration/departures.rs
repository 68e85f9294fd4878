//! Clients that leave while sending, waiting or reading: their resources are freed.

use corelane_tests::{
    Connection, LivenessProbe, PATIENCE, Request, Server, Session, Setup, wait_until,
};
use serde_json::{Value, json};

use crate::shards::one_on_each_shard;

/// Calls that may wait at once in these tests.
const CALLS_MAX: usize = 4;

fn few_calls() -> String {
    format!(
        "[calls]\nin_flight_max = {CALLS_MAX}\n[tools]\nin_flight_max = {CALLS_MAX}\n\
         [ring]\ndescriptors = 64"
    )
}

/// Whether the server accepts one more call that waits.
fn has_room(connection: &mut Connection) -> bool {
    match connection
        .exchange(&Request::modern_call("sleep", json!({ "ms": 1 })))
        .status()
    {
        200 => true,
        503 => false,
        other => panic!("status {other}"),
    }
}

/// As many connections as calls may wait, each with a call that runs.
fn fill(server: &Server, call: &Request) -> Vec<Connection> {
    let mut prober = server.connect();
    let mut holders: Vec<Connection> = (0..CALLS_MAX).map(|_| server.connect()).collect();
    holders.iter_mut().for_each(|holder| holder.send(call));
    wait_until("a full table of calls", || {
        let mut was_refused = false;
        for holder in &mut holders {
            // The prober's own call took the place that this one needed.
            if holder.has_call_events() {
                assert_eq!(holder.read_response().status(), 503);
                holder.send(call);
                was_refused = true;
            }
        }
        (!was_refused && !has_room(&mut prober)).then_some(())
    });
    holders
}

#[test]
fn a_modern_call_ends_with_its_connection() {
    let server = Setup::shards(1).profile(&few_calls()).start();
    let mut probe = LivenessProbe::of(&server);
    let mut prober = server.connect();
    let minute = json!({ "ms": 60_000 });
    for round in 0..50 {
        drop(fill(
            &server,
            &Request::modern_call("sleep", minute.clone()),
        ));
        wait_until("room after the clients left", || {
            has_room(&mut prober).then_some(())
        });
        probe.check(&format!("round {round}"));
    }
}

fn sleep(id: u64, ms: u64) -> Value {
    let params = json!({ "name": "sleep", "arguments": { "ms": ms } });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
}

/// A client with two calls that take a minute, and a way to make another call in the same session.
struct Leaver {
    connections: Vec<Connection>,
    quick: Request,
}

impl Leaver {
    /// Two calls in a batch, of which all received bytes were read: the client leaves with a FIN.
    fn with_batch(mut away: Connection, home: &mut Connection) -> Leaver {
        let handshake = home.exchange(&Request::initialize("2025-03-26"));
        let id = handshake.head.field("MCP-Session-Id");
        let id = id.expect("a session id").to_owned();
        let session = Session { id };
        let message = |message: &Value| {
            let request = session.message(message);
            request.without("MCP-Protocol-Version")
        };
        let ping = json!({ "jsonrpc": "2.0", "id": 0, "method": "ping" });
        let batch = json!([ping, sleep(1, 60_000), sleep(2, 60_000)]);
        away.send(&message(&batch));
        // The answer to the ping comes when the calls are seen to wait.
        let head = away.read_head().expect("a head");
        assert!(head.is_event_stream(), "{head:?}");
        away.read_chunk(PATIENCE).expect("the answer to the ping");
        Leaver {
            connections: vec![away],
            quick: message(&sleep(3, 1)),
        }
    }

    /// Two calls whose streams have begun and were not read: the client leaves with a RST.
    fn with_streams(away: [Connection; 2], home: &mut Connection) -> Leaver {
        let session = Session::open(home);
        let mut connections = Vec::from(away);
        for connection in &mut connections {
            connection.send(&session.message(&sleep(1, 60_000)));
            // The first event, with an id from which the client can resume.
            let peeked = connection.stream().peek(&mut [0]);
            assert_eq!(peeked.expect("an answer"), 1);
        }
        Leaver {
            connections,
            quick: session.message(&sleep(3, 1)),
        }
    }

    fn check(self, prober: &mut Connection, name: &str) {
        assert_eq!(prober.exchange(&self.quick).status(), 503, "{name}");
        drop(self.connections);
        wait_until(&format!("room in the session, {name}"), || {
            (prober.exchange(&self.quick).status() == 200).then_some(())
        });
    }
}

#[test]
fn calls_that_a_client_left_make_room_in_their_session_wherever_it_lives() {
    for shards in [1, 2] {
        let profile = "[calls]\nper_session_max = 2";
        let server = Setup::shards(shards).profile(profile).start();
        let connect = || {
            let all = one_on_each_shard(|| server.connect(), shards);
            let connections = all.into_iter().map(|(connection, _)| connection);
            connections.collect::<Vec<Connection>>()
        };
        let (mut homes, mut probers) = (connect(), connect());
        for away in 0..shards {
            for (home, prober) in homes.iter_mut().zip(&mut probers) {
                let leaver = Leaver::with_batch(connect().swap_remove(away), home);
                leaver.check(prober, &format!("batch from {away} of {shards}"));
                let two = [(), ()].map(|()| connect().swap_remove(away));
                let leaver = Leaver::with_streams(two, home);
                leaver.check(prober, &format!("streams from {away} of {shards}"));
            }
        }
    }
}

#[test]
fn deleting_a_session_ends_its_calls() {
    for shards in [1, 2] {
        let server = Setup::shards(shards).start();
        let mut connection = server.connect();
        for _ in 0..10 {
            let session = Session::open(&mut connection);
            let mut waiting = server.connect();
            waiting.send(&session.call("sleep", json!({ "ms": 60_000 })));
            let response = connection.exchange(&session.delete());
            assert_eq!(response.status(), 204, "{response:?}");
            // The call either ran and its stream ended without an answer, or it came after the
            // session's end.
            let response = waiting.read_response();
            match response.status() {
                200 => assert_eq!(response.messages(), [] as [Value; 0], "{response:?}"),
                status => assert_eq!(status, 404, "{response:?}"),
            }
        }
    }
}

#[test]
fn a_reader_that_leaves_in_the_middle_of_an_answer_affects_no_other() {
    for shards in [1, 2] {
        let server = Setup::shards(shards)
            .profile("[ring]\ndescriptors = 64")
            .start();
        let mut probe = LivenessProbe::of(&server);
        let session = Session::open(&mut server.connect());
        let arguments = json!({ "message": "x".repeat(4 << 20) });
        for round in 0..10 {
            for call in [
                session.call("echo", arguments.clone()),
                Request::modern_call("echo", arguments.clone()),
            ] {
                let mut connection = server.connect();
                connection.send(&call);
                let head = connection.read_head().expect("a head");
                assert_eq!(head.status, 200, "{head:?}");
                drop(connection);
                probe.check(&format!("round {round}"));
            }
        }
    }
}

#[test]
fn a_reader_that_leaves_in_the_middle_of_a_stream_affects_no_other() {
    for shards in [1, 2] {
        let server = Setup::shards(shards)
            .profile("[ring]\ndescriptors = 64")
            .start();
        let mut probe = LivenessProbe::of(&server);
        let session = Session::open(&mut server.connect());
        for round in 0..100 {
            let call = match round % 2 {
                0 => session.call("test_tool_with_progress", json!({})),
                _ => Request::modern_call("test_tool_with_progress", json!({})),
            };
            let mut connection = server.connect();
            connection.send(&call.meta("progressToken", round));
            let head = connection.read_head().expect("a head");
            assert!(head.is_event_stream(), "{head:?}");
            drop(connection);
            probe.check(&format!("round {round}"));
        }
    }
}

#[test]
fn a_sender_that_leaves_in_the_middle_of_a_request_affects_no_other() {
    for shards in [1, 2] {
        let server = Setup::shards(shards)
            .profile("[ring]\ndescriptors = 64")
            .start();
        let mut probe = LivenessProbe::of(&server);
        let session = Session::open(&mut server.connect());
        let call = session
            .call("echo", json!({ "message": "x" }))
            .to_bytes(server.address());
        for cut in 0..call.len() {
            let mut connection = server.connect();
            connection.send_bytes(&call[..cut]);
            if cut % 2 == 0 {
                connection.finish_sending();
                // The omitted bytes will never come: at most a refusal, then the end.
                let rest = connection.read_to_close(PATIENCE);
                assert!(rest.is_ok(), "cut at {cut}: {rest:?}");
            }
            drop(connection);
            if cut % 10 == 0 {
                probe.check(&format!("a cut at {cut}"));
            }
        }
    }
}

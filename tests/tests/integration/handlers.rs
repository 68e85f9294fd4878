//! Handlers that panic, compute, wait and take too long: only their own call is affected.

use std::time::{Duration, Instant};

use corelane_tests::{Connection, LivenessProbe, Request, Session, Setup};
use serde_json::{Value, json};

#[test]
fn a_panic_ends_its_own_call_only() {
    for shards in [1, 2] {
        let server = Setup::shards(shards).start();
        let mut probe = LivenessProbe::of(&server);
        let mut connection = server.connect();
        let session = Session::open(&mut connection);
        let mut waiting = server.connect();
        waiting.send(&session.request(
            "other",
            "tools/call",
            json!({
                "name": "sleep", "arguments": { "ms": 300 },
            }),
        ));
        for round in 0..20 {
            for request in [
                session.call("test_panic", json!({})),
                Request::modern_call("test_panic", json!({})),
            ] {
                let response = connection.exchange(&request);
                assert_eq!(response.status(), 200, "{response:?}");
                let answer = response.json();
                assert_eq!(answer["id"], 1, "{answer}");
                assert_eq!(answer["error"]["code"], -32603, "{answer}");
                probe.check(&format!("panic {round}"));
            }
        }
        assert_eq!(waiting.read_response().answer()["id"], "other");
    }
}

fn fibonacci(n: u64) -> u64 {
    (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0
}

#[test]
fn offloaded_calls_run_side_by_side() {
    const CLIENTS: u64 = 48;
    for shards in [1, 4] {
        let server = Setup::shards(shards).start();
        let mut probe = LivenessProbe::of(&server);
        let mut connections: Vec<Connection> = (0..CLIENTS).map(|_| server.connect()).collect();
        let session = Session::open(&mut connections[0]);
        for round in 0..4 {
            for (at, connection) in (0..CLIENTS).zip(&mut connections) {
                let params =
                    json!({ "name": "fibonacci", "arguments": { "n": (at + round) % 25 } });
                connection.send(&match at % 2 {
                    0 => session.request(at, "tools/call", params),
                    _ => Request::modern(at, "tools/call", params),
                });
            }
            probe.check("a flood of computations");
            for (at, connection) in (0..CLIENTS).zip(&mut connections) {
                let answer = connection.read_response().answer();
                assert_eq!(answer["id"], at, "{answer}");
                let text = answer["result"]["content"][0]["text"]
                    .as_str()
                    .expect("a text");
                assert_eq!(text, fibonacci((at + round) % 25).to_string(), "{answer}");
            }
        }
    }
}

/// The calls of a batch start in one turn of the shard, long before the first of them ends: one is
/// on the thread, another in the queue, and the rest are refused.
#[test]
fn a_flooded_pool_refuses_further_work() {
    const CALLS: usize = 32;
    let profile = "[offload]\nthreads = 1\nqueue_max = 1";
    let server = Setup::shards(1).profile(profile).start();
    let mut probe = LivenessProbe::of(&server);
    let mut connection = server.connect();
    let handshake = connection.exchange(&Request::initialize("2025-03-26"));
    let id = handshake.head.field("MCP-Session-Id");
    let id = id.expect("a session id").to_owned();
    let calls: Vec<Value> = (0..CALLS)
        .map(|id| {
            let params = json!({ "name": "fibonacci", "arguments": { "n": 30 } });
            json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
        })
        .collect();
    let batch = Session { id }.message(&json!(calls));
    let batch = batch.without("MCP-Protocol-Version");
    connection.send(&batch.field("Accept", "application/json"));
    probe.check("a flooded pool");
    let answers = connection.read_response().json();
    let answers = answers.as_array().expect("a batch is answered by an array");
    assert_eq!(answers.len(), CALLS);
    let refused = json!({
        "code": -32603,
        "message": "overloaded: all 1 places for offloaded work are taken (offload.queue_max); \
            try again later",
    });
    let is_served = |answer: &&Value| answer["result"]["content"][0]["text"] == json!("832040");
    let is_refused = |answer: &&Value| answer["error"] == refused;
    let served = answers.iter().filter(is_served).count();
    assert_eq!(
        served + answers.iter().filter(is_refused).count(),
        CALLS,
        "{answers:?}"
    );
    assert!((1..CALLS).contains(&served), "{served} were served");
}

#[test]
fn calls_that_wait_wait_together() {
    const CALLS: u32 = 100;
    const SLEEP: Duration = Duration::from_millis(100);
    let server = Setup::shards(1).start();
    let mut connections: Vec<Connection> = (0..CALLS).map(|_| server.connect()).collect();
    let began = Instant::now();
    for (id, connection) in (0..CALLS).zip(&mut connections) {
        let arguments = json!({ "ms": SLEEP.as_millis() as u64 });
        let params = json!({ "name": "sleep", "arguments": arguments });
        connection.send(&Request::modern(id, "tools/call", params));
    }
    // In another order than they were sent.
    for (id, connection) in (0..CALLS)
        .zip(&mut connections)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
    {
        let answer = connection.read_response().answer();
        assert_eq!(answer["id"], id, "{answer}");
        assert!(answer["result"].is_object(), "{answer}");
    }
    let took = began.elapsed();
    assert!(took >= SLEEP, "{took:?}");
    // One after the other they would take twice that.
    assert!(took < SLEEP * CALLS / 2, "{took:?}");
}

/// An idle shard sleeps; the end of a call must wake it.
#[test]
fn the_end_of_a_call_wakes_a_shard_that_sleeps() {
    const CALLS: u32 = 20;
    for shards in [1, 4] {
        let server = Setup::shards(shards).start();
        let session = Session::open(&mut server.connect());
        let mut connection = server.connect();
        for (tool, arguments) in [
            ("sleep", json!({ "ms": 10 })),
            ("fibonacci", json!({ "n": 5 })),
        ] {
            let began = Instant::now();
            for _ in 0..CALLS {
                let response = connection.exchange(&session.call(tool, arguments.clone()));
                assert_eq!(response.status(), 200, "{response:?}");
            }
            // Ten times the duration of the calls, each of which takes less than a tenth of a
            // second.
            assert!(
                began.elapsed() < Duration::from_millis(100) * CALLS,
                "{tool}: {CALLS} calls took {:?}",
                began.elapsed()
            );
        }
    }
}

#[test]
fn a_call_that_takes_too_long_is_ended() {
    let profile = "[calls]\ntimeout_ms = 200";
    for shards in [1, 2] {
        let server = Setup::shards(shards).profile(profile).start();
        let mut probe = LivenessProbe::of(&server);
        let mut connection = server.connect();
        let session = Session::open(&mut connection);
        let minute = json!({ "ms": 60_000 });
        for request in [
            session.call("sleep", minute.clone()),
            Request::modern_call("sleep", minute),
        ] {
            let response = connection.exchange(&request);
            assert_eq!(response.status(), 200, "{response:?}");
            assert_eq!(response.answer()["error"]["code"], -32603, "{response:?}");
            probe.check("a call that took too long");
        }
    }
}

#[test]
fn calls_past_the_limit_are_refused_as_overload() {
    let profile = "[calls]\nin_flight_max = 2\n[tools]\nin_flight_max = 2";
    let server = Setup::shards(1).profile(profile).start();
    let mut probe = LivenessProbe::of(&server);
    let mut connections: Vec<Connection> = (0..10).map(|_| server.connect()).collect();
    for connection in &mut connections {
        connection.send(&Request::modern_call("sleep", json!({ "ms": 1500 })));
    }
    let mut served = 0;
    for connection in &mut connections {
        let response = connection.read_response();
        match response.status() {
            200 => served += 1,
            503 => assert_eq!(response.json()["error"]["code"], -32603, "{response:?}"),
            other => panic!("status {other}: {response:?}"),
        }
        probe.check("overload");
    }
    assert!((2..10).contains(&served), "{served} of 10 were served");
}

#[test]
fn a_tool_that_fails_is_refused_until_the_time_that_the_header_gives() {
    let profile = "[tools]\nfailures_max = 1\nopen_ms = 90_000";
    let server = Setup::shards(1).profile(profile).start();
    let mut connection = server.connect();
    let call = Request::modern_call("test_panic", json!({}));
    assert_eq!(connection.exchange(&call).status(), 200);
    let refused = connection.exchange(&call);
    assert_eq!(refused.status(), 503, "{refused:?}");
    let seconds = refused
        .head
        .field("retry-after")
        .and_then(|it| it.parse().ok());
    // A machine that is busy may take a part of them.
    assert!(
        seconds.is_some_and(|it: u32| (30..=90).contains(&it)),
        "{refused:?}"
    );
}

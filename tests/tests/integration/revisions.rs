//! The older revisions: negotiation, batches, and omitted members. The connection checks the
//! answers against the schema of the revision.

use corelane_tests::{Connection, EventStream, Request, Response, Session, Setup};
use serde_json::{Value, json};

const BATCHING: &str = "2025-03-26";

/// Makes a session of `revision`.
fn open(connection: &mut Connection, revision: &str) -> Session {
    let handshake = connection.exchange(&Request::initialize(revision));
    assert_eq!(handshake.json()["result"]["protocolVersion"], revision);
    let id = handshake.head.field("MCP-Session-Id");
    let id = id.expect("a session id").to_owned();
    Session { id }
}

/// A message of a session whose client sends no version header, as before 2025-06-18.
fn message(session: &Session, message: &Value) -> Request {
    session.message(message).without("MCP-Protocol-Version")
}

fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn call(id: u64, tool: &str, arguments: Value) -> Value {
    request(
        id,
        "tools/call",
        json!({ "name": tool, "arguments": arguments }),
    )
}

fn ids(messages: &[Value]) -> Vec<u64> {
    let ids = messages.iter().filter_map(|message| message["id"].as_u64());
    ids.collect()
}

#[track_caller]
fn check_refused(response: &Response) {
    assert_eq!(response.status(), 400, "{response:?}");
    assert_eq!(response.json()["error"]["code"], -32600, "{response:?}");
}

#[test]
fn older_sessions_need_no_version_header_and_take_only_one_that_is_served() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    for revision in ["2024-11-05", BATCHING] {
        let session = open(&mut connection, revision);
        let ping = message(&session, &request(1, "ping", json!({})));
        assert_eq!(connection.exchange(&ping).status(), 200);
        for (version, status) in [(revision, 200), ("2024-10-07", 400), ("2026-07-28", 400)] {
            let ping = ping.clone().field("MCP-Protocol-Version", version);
            assert_eq!(connection.exchange(&ping).status(), status, "{version}");
        }
    }
}

#[test]
fn lists_and_results_omit_members_that_a_revision_lacks() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    for (revision, has_schemas, has_audio) in [
        ("2024-11-05", false, false),
        (BATCHING, false, true),
        ("2025-06-18", true, true),
        ("2025-11-25", true, true),
    ] {
        let session = open(&mut connection, revision);
        let mut query = |requested: &Value| {
            let requested = message(&session, requested).field("MCP-Protocol-Version", revision);
            connection.exchange(&requested).answer()["result"].clone()
        };
        let listed = query(&request(1, "tools/list", json!({})));
        let listed = listed["tools"].as_array().expect("a list");
        let with_schema = listed.iter().filter(|it| it.get("outputSchema").is_some());
        assert_eq!(with_schema.count() > 0, has_schemas, "{revision}");
        for (tool, structured) in [
            (
                "test_structured_content",
                json!({ "temperature": 22.5, "conditions": "clear" }),
            ),
            ("test_structured_array", json!({ "result": [1, 2, 3] })),
        ] {
            let result = query(&call(2, tool, json!({})));
            assert_eq!(result["content"][0]["type"], "text", "{result}");
            let expected = has_schemas.then_some(&structured);
            assert_eq!(result.get("structuredContent"), expected, "{revision}");
        }
        let sound = query(&call(3, "test_audio_content", json!({})));
        let kind = if has_audio { "audio" } else { "text" };
        assert_eq!(sound["content"][0]["type"], kind, "{sound}");
    }
}

#[test]
fn a_batch_that_is_answered_at_once_is_one_array() {
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        let session = open(&mut server.connect(), BATCHING);
        for _ in 0..2 * shards {
            let mut connection = server.connect();
            let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
            let batch = json!([
                request(1, "ping", json!({})),
                initialized,
                call(2, "add", json!({ "a": 1, "b": 2 })),
            ]);
            let response = connection.exchange(&message(&session, &batch));
            assert_eq!(response.status(), 200, "{response:?}");
            let answers = response.json();
            assert_eq!(ids(answers.as_array().expect("an array")), [1, 2]);
            assert_eq!(answers[1]["result"]["content"][0]["text"], "3");
            let silent = message(&session, &json!([initialized, initialized]));
            let response = connection.exchange(&silent);
            assert_eq!((response.status(), response.body.len()), (202, 0));
        }
    }
}

#[test]
fn a_batch_with_a_call_that_waits_is_a_stream_of_responses() {
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        let session = open(&mut server.connect(), BATCHING);
        for _ in 0..2 * shards {
            let mut connection = server.connect();
            let batch = json!([
                call(1, "sleep", json!({ "ms": 60 })),
                request(2, "ping", json!({})),
                call(3, "sleep", json!({ "ms": 1 })),
            ]);
            connection.send(&message(&session, &batch));
            let mut stream = EventStream::begin(connection);
            let received: Vec<Value> = (0..3).map(|_| stream.next_message()).collect();
            let mut received = ids(&received);
            assert_eq!(received[0], 2, "what is ready does not wait for the others");
            received.sort_unstable();
            assert_eq!(received, [1, 2, 3]);
            let mut connection = stream.expect_end();
            let ping = message(&session, &request(4, "ping", json!({})));
            assert_eq!(connection.exchange(&ping).status(), 200, "it goes on");
        }
    }
}

#[test]
fn a_client_that_takes_no_stream_gets_every_response_in_one_array() {
    let server = Setup::shards(2).start();
    let session = open(&mut server.connect(), BATCHING);
    let mut connection = server.connect();
    let slow = call(1, "sleep", json!({ "ms": 20 }));
    for (batch, expected) in [
        (json!([slow, request(2, "ping", json!({}))]), vec![2, 1]),
        (json!([slow]), vec![1]),
    ] {
        let batch = message(&session, &batch).field("Accept", "application/json");
        let response = connection.exchange(&batch);
        assert_eq!(response.status(), 200, "{response:?}");
        let answers = response.json();
        assert_eq!(ids(answers.as_array().expect("an array")), expected);
    }
}

/// A profile that lets the answers of a batch have 8192 bytes.
const SHORT_ANSWERS: &str = "[connection]\noutput_bytes_max = 4096";

/// Checks that every request has an answer, with as many results as allowed.
#[track_caller]
fn check_bounded(answers: &[Value], requested: u64) {
    let mut received = ids(answers);
    received.sort_unstable();
    assert_eq!(received, (1..=requested).collect::<Vec<u64>>());
    let (errors, results): (Vec<&Value>, Vec<&Value>) = answers
        .iter()
        .partition(|answer| answer.get("error").is_some());
    let bytes = results.iter().map(|it| it.to_string().len()).sum::<usize>();
    assert!((8192..8192 + 1200).contains(&bytes), "{bytes} bytes");
    let expected = "the answers of the batch exceed limit of 8192 bytes";
    for error in errors {
        assert_eq!(error["error"]["code"], -32603, "{error}");
        assert_eq!(error["error"]["message"], expected);
    }
}

#[test]
fn a_batch_whose_answers_are_too_long_has_an_error_for_each_further_one() {
    const REQUESTED: u64 = 30;
    for shards in [1, 2] {
        let server = Setup::shards(shards).profile(SHORT_ANSWERS).start();
        let session = open(&mut server.connect(), BATCHING);
        let echo = |id| call(id, "echo", json!({ "message": "x".repeat(1000) }));
        let at_once: Vec<Value> = (1..=REQUESTED).map(echo).collect();
        let mut later = at_once.clone();
        later[0] = call(1, "sleep", json!({ "ms": 5 }));
        // Connections of every shard, most likely.
        for _ in 0..2 * shards {
            let mut connection = server.connect();
            for batch in [&at_once, &later] {
                let batch = message(&session, &json!(batch));
                let response = connection.exchange(&batch.field("Accept", "application/json"));
                assert_eq!(response.status(), 200, "{response:?}");
                check_bounded(response.json().as_array().expect("an array"), REQUESTED);
            }
            connection.send(&message(&session, &json!(later)));
            let mut stream = EventStream::begin(connection);
            let received: Vec<Value> = (0..REQUESTED).map(|_| stream.next_message()).collect();
            check_bounded(&received, REQUESTED);
            let mut connection = stream.expect_end();
            let ping = message(&session, &request(99, "ping", json!({})));
            assert_eq!(connection.exchange(&ping).status(), 200, "it goes on");
        }
    }
}

#[test]
fn a_call_of_a_batch_can_be_cancelled() {
    let server = Setup::shards(1).start();
    let mut other = server.connect();
    let session = open(&mut other, BATCHING);
    let mut connection = server.connect();
    let batch = json!([
        call(1, "sleep", json!({ "ms": 60_000 })),
        request(2, "ping", json!({})),
    ]);
    connection.send(&message(&session, &batch));
    let mut stream = EventStream::begin(connection);
    assert_eq!(ids(&[stream.next_message()]), [2]);
    let cancelled = session.cancelled(1).without("MCP-Protocol-Version");
    assert_eq!(other.exchange(&cancelled).status(), 202);
    let mut connection = stream.expect_end();
    let ping = message(&session, &request(3, "ping", json!({})));
    assert_eq!(connection.exchange(&ping).status(), 200, "it goes on");
}

#[test]
fn a_bad_message_of_a_batch_is_refused_on_its_own() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let session = open(&mut connection, BATCHING);
    let handshake = json!({
        "protocolVersion": BATCHING, "capabilities": {},
        "clientInfo": { "name": "n", "version": "1" },
    });
    let handshake = request(2, "initialize", handshake);
    let ping = |id| request(id, "ping", json!({}));
    let batch = json!([ping(1), handshake, 1, [ping(3)], ping(4)]);
    let response = connection.exchange(&message(&session, &batch));
    assert_eq!(response.status(), 200, "{response:?}");
    let answers = response.json();
    let found: Vec<(&Value, &Value)> = answers
        .as_array()
        .expect("an array")
        .iter()
        .map(|answer| (&answer["id"], &answer["error"]["code"]))
        .collect();
    let (none, bad) = (Value::Null, json!(-32600));
    let expected = [
        (&json!(1), &none),
        (&json!(2), &bad),
        (&none, &bad),
        (&none, &bad),
        (&json!(4), &none),
    ];
    assert_eq!(found, expected);
}

#[test]
fn batches_of_no_messages_or_of_too_many_are_refused_whole() {
    let server = Setup::shards(1).profile("[json]\nbatch_max = 3").start();
    let mut connection = server.connect();
    let ping = |id| request(id, "ping", json!({}));
    let session = open(&mut connection, BATCHING);
    for batch in [json!([]), json!([ping(1), ping(2), ping(3), ping(4)])] {
        check_refused(&connection.exchange(&message(&session, &batch)));
    }
    let most = message(&session, &json!([ping(1), ping(2), ping(3)]));
    assert_eq!(connection.exchange(&most).status(), 200);
    for revision in ["2024-11-05", "2025-06-18", "2025-11-25"] {
        let session = open(&mut connection, revision);
        check_refused(&connection.exchange(&message(&session, &json!([ping(1)]))));
    }
    check_refused(&connection.exchange(&Request::legacy(&json!([ping(1)]))));
    let unknown = Session { id: "0".repeat(36) };
    let response = connection.exchange(&message(&unknown, &json!([ping(1)])));
    assert_eq!(response.status(), 404, "{response:?}");
}

//! Anonymous clients at several addresses: none of them can fill a table for the others.

use corelane_tests::request::CAPABILITIES_KEY;
use corelane_tests::{Connection, Request, Session, Setup};
use serde_json::{Value, json};

/// A table with this many places, of which one address may have eight ninths.
const PLACES: usize = 90;
const SHARE: usize = 80;

fn small_tables() -> String {
    format!(
        "[tasks]\nper_shard_max = {PLACES}\nper_owner_max = {PLACES}\n\
         [sessions]\nper_shard_max = {PLACES}\nper_principal_max = {PLACES}\n\
         [calls]\nin_flight_max = 1000"
    )
}

/// Starts a slow task; returns the answer.
fn start_task(connection: &mut Connection) -> Value {
    let arguments = json!({ "seconds": 3600, "label": "it" });
    let extensions = json!({ "io.modelcontextprotocol/tasks": {} });
    let call = Request::modern_call("slow_compute", arguments)
        .meta(CAPABILITIES_KEY, json!({ "extensions": extensions }));
    connection.exchange(&call).json()
}

fn is_task(answer: &Value) -> bool {
    answer["result"]["resultType"] == "task"
}

#[test]
fn an_anonymous_client_leaves_tasks_to_those_at_other_addresses() {
    let server = Setup::shards(1).profile(&small_tables()).start();
    let mut greedy = server.connect_from([127, 0, 0, 2]);
    for number in 0..SHARE {
        let answer = start_task(&mut greedy);
        assert!(is_task(&answer), "{number}: {answer}");
    }
    // On another connection as well.
    for mut connection in [greedy, server.connect_from([127, 0, 0, 2])] {
        let refused = start_task(&mut connection);
        let message = refused["error"]["message"].as_str().expect("a refusal");
        assert!(message.contains("tasks.per_shard_max"), "{message}");
    }
    let answer = start_task(&mut server.connect_from([127, 0, 0, 3]));
    assert!(is_task(&answer), "{answer}");
}

#[test]
fn an_anonymous_client_ends_no_sessions_of_those_at_other_addresses() {
    let server = Setup::shards(1).profile(&small_tables()).start();
    let mut other = server.connect_from([127, 0, 0, 3]);
    let session = Session::open(&mut other);
    let mut greedy = server.connect_from([127, 0, 0, 2]);
    let own: Vec<Session> = (0..2 * PLACES)
        .map(|_| Session::open(&mut greedy))
        .collect();
    let ping = session.request(1, "ping", Value::Null);
    assert_eq!(other.exchange(&ping).status(), 200);
    let ping = own[0].request(1, "ping", Value::Null);
    assert_eq!(greedy.exchange(&ping).status(), 404, "its own made room");
}

//! Anonymous clients at several addresses: none of them can fill a table for the others.

use std::io::Write;

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

/// The sessions of a client behind a proxy make room for its own, not for those of others.
fn check_clients_behind(
    profile: &str,
    connect: impl Fn(&corelane_tests::Server, &str) -> Connection,
    request: impl Fn(Request, &str) -> Request,
) {
    let profile = format!("{}\n[server]\n{profile}", small_tables());
    let setup = Setup::shards(1).profile(&profile);
    for setup in [setup.clone(), setup.secured()] {
        check_clients_of(&setup.start(), &connect, &request);
    }
}

fn check_clients_of(
    server: &corelane_tests::Server,
    connect: &impl Fn(&corelane_tests::Server, &str) -> Connection,
    request: &impl Fn(Request, &str) -> Request,
) {
    let mut other = connect(server, "192.0.2.3");
    let first = request(
        Request::initialize(corelane_tests::request::LEGACY),
        "192.0.2.3",
    );
    let made = other.exchange(&first);
    let id = made
        .head
        .field("MCP-Session-Id")
        .expect("a session")
        .to_owned();
    let mut greedy = connect(server, "192.0.2.2");
    for _ in 0..2 * PLACES {
        let again = Request::initialize(corelane_tests::request::LEGACY);
        let made = greedy.exchange(&request(again, "192.0.2.2"));
        assert_eq!(made.status(), 200, "{made:?}");
    }
    let ping = Request::legacy(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }));
    let ping = ping.field("MCP-Session-Id", &id);
    assert_eq!(other.exchange(&ping).status(), 200);
}

#[test]
fn the_client_that_the_proxy_protocol_names_has_a_share_of_its_own() {
    check_clients_behind(
        "proxy_protocol_from = [\"127.0.0.0/8\"]",
        |server, client| {
            let connection = server.connect();
            let header = format!("PROXY TCP4 {client} 198.51.100.1 1 2\r\n");
            connection
                .stream()
                .write_all(header.as_bytes())
                .expect("it is sent");
            connection
        },
        |request, _| request,
    );
}

#[test]
fn the_client_that_a_trusted_proxy_forwards_for_has_a_share_of_its_own() {
    check_clients_behind(
        "forwarded_from = [\"127.0.0.1\", \"10.0.0.0/8\"]",
        |server, _| server.connect(),
        |request, client| {
            request.field(
                "X-Forwarded-For",
                &format!("198.51.100.77, {client}, 10.1.2.3"),
            )
        },
    );
}

#[test]
fn networks_that_are_none_are_named_at_the_start() {
    let profile = "[server]\nforwarded_from = [\"10.0.0.1/8\"]";
    let ended = Setup::shards(1).profile(profile).run_to_end();
    assert_ne!(ended.code, Some(0));
    assert!(
        ended
            .error
            .contains("server.forwarded_from entry \"10.0.0.1/8\" is no address"),
        "{}",
        ended.error
    );
}

//! The principal and the exposed headers that handlers see, for requests through any shard. The
//! server is one of the library's, in this process.

use std::net::SocketAddr;
use std::time::Duration;

use corelane::meter::Counter;
use corelane::{Call, Error, Profile, RunningServer, Server, TaskSupport, Tool, sleep};
use corelane_tests::request::{CAPABILITIES_KEY, LEGACY};
use corelane_tests::{Connection, Request, Session, wait_until};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

/// The principal and headers that a handler sees.
fn seen_by(call: &Call) -> String {
    let [tenant, trace, authorization] =
        ["X-TENANT", "x-trace", "authorization"].map(|name| call.header(name));
    format!(
        "{:?} {tenant:?} {trace:?} {authorization:?}",
        call.principal()
    )
}

fn start(shards: usize) -> RunningServer {
    let mut profile = Profile::default();
    profile.server.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    profile.server.shards = Some(shards);
    profile.server.principal_header = Some("x-auth-request-user".to_owned());
    let later = Tool::new("later", "Waits first.", async |call: &Call, _: Nothing| {
        sleep(Duration::from_millis(1)).await;
        Ok(seen_by(call))
    });
    Server::new("headers", "1")
        .with_exposed_header("x-tenant")
        .with_exposed_header("X-Trace")
        .with_tool(Tool::new(
            "who",
            "Says it.",
            async |call: &Call, _: Nothing| Ok(seen_by(call)),
        ))
        .with_tool(later.with_task_support(TaskSupport::Optional))
        .start(profile)
        .expect("the server starts")
}

fn connect(server: &RunningServer) -> Connection {
    Connection::open(server.address()).expect("the server takes connections")
}

/// The request as a proxy passes it on, together with the client's own headers.
fn proxied(request: Request) -> Request {
    request
        .field("X-Auth-Request-User", "j\u{fc}rg")
        .field("Authorization", "Bearer secret")
        .field("x-TENANT", "blue")
        .repeated_field("X-Trace", "1, 2")
        .repeated_field("x-trace", "3")
}

const SEEN: &str = "Some(\"j\u{fc}rg\") Some(\"blue\") Some(\"1, 2, 3\") None";

#[track_caller]
fn check_text(connection: &mut Connection, request: &Request, expected: &str) {
    let answer = connection.exchange(request).answer();
    assert_eq!(answer["result"]["content"][0]["text"], expected, "{answer}");
}

#[test]
fn handlers_see_the_same_on_any_connection_and_in_any_era() {
    const CONNECTIONS: usize = 12;
    for shards in [2, 4] {
        let server = start(shards);
        let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| connect(&server)).collect();
        let sessions: Vec<Session> = connections
            .iter_mut()
            .map(|connection| {
                let opened = connection.exchange(&proxied(Request::initialize(LEGACY)));
                let id = opened.head.field("MCP-Session-Id").expect("a session id");
                Session { id: id.to_owned() }
            })
            .collect();
        for connection in &mut connections {
            for tool in ["who", "later"] {
                for session in &sessions {
                    let call = proxied(session.call(tool, json!({})));
                    check_text(connection, &call, SEEN);
                }
                let call = Request::modern_call(tool, json!({}));
                check_text(connection, &proxied(call.clone()), SEEN);
                // Nothing is left of the request before.
                check_text(connection, &call, "None None None None");
                let empty = call.field("X-Tenant", "");
                check_text(connection, &empty, "None Some(\"\") None None");
            }
        }
        server.drain().expect("the server drains");
    }
}

#[test]
fn the_handler_of_a_task_sees_whom_it_was_begun_by() {
    let server = start(2);
    let mut connection = connect(&server);
    let modern = |method: &str, name: &str, params: Value| {
        let capabilities = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
        let request = Request::modern(1, method, params).meta(CAPABILITIES_KEY, capabilities);
        proxied(request.field("Mcp-Name", name))
    };
    let params = json!({ "name": "later", "arguments": {} });
    let created = connection.exchange(&modern("tools/call", "later", params));
    let id = created.json()["result"]["taskId"].clone();
    let id = id.as_str().expect("an id");
    wait_until("the task is completed", || {
        let get = modern("tasks/get", id, json!({ "taskId": id })).field("X-Tenant", "red");
        let found = connect(&server).exchange(&get).json();
        let text = found["result"]["result"]["content"][0]["text"].clone();
        (text == SEEN).then_some(())
    });
}

#[test]
fn the_largest_head_is_shown_whole() {
    let server = start(2);
    let mut connection = connect(&server);
    // As many lines as a head may have, less those that the request needs.
    let mut request = Request::modern_call("who", json!({}));
    for _ in 0..50 {
        request = request.repeated_field("x-trace", &"t".repeat(250));
    }
    let joined = vec!["t".repeat(250); 50].join(", ");
    let expected = format!("None None Some({joined:?}) None");
    check_text(&mut connection, &request, &expected);
}

#[test]
fn a_principal_that_is_none_is_counted_and_reaches_no_handler() {
    let server = start(2);
    let mut connection = connect(&server);
    for _ in 0..3 {
        let call = Request::modern_call("who", json!({})).field("X-Auth-Request-User", "a b");
        let response = connection.exchange(&call);
        assert_eq!(response.status(), 400, "{response:?}");
    }
    let meter = server.drain().expect("the server drains");
    assert_eq!(meter.value(Counter::RefusedPrincipal), 3);
    assert_eq!(meter.value(Counter::CallsOk), 0);
}

#[test]
fn a_server_that_exposes_an_invalid_header_does_not_start() {
    let start = |name: &str| {
        let mut profile = Profile::default();
        profile.server.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
        profile.server.shards = Some(1);
        Server::new("headers", "1")
            .with_exposed_header(name)
            .start(profile)
    };
    for name in ["", "x tenant", "x-tenant:", "x-\u{fc}"] {
        let error = start(name).expect_err(name);
        assert!(matches!(error, Error::ExposedHeader(_)), "{error:?}");
        let expected = format!("exposed header {name:?} is not a header name");
        assert_eq!(error.to_string(), expected);
    }
    assert!(start("x-tenant").is_ok());
}

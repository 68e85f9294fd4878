//! Tasks over the wire: any connection reaches a task on any shard.

use corelane_tests::request::{CAPABILITIES_KEY, LEGACY};
use corelane_tests::{Connection, EventStream, Request, Session, Setup, wait_until};
use serde_json::{Value, json};

/// A modern request of a client that knows tasks and can elicit.
fn modern(method: &str, name: &str, params: Value) -> Request {
    let capabilities = json!({
        "elicitation": {},
        "extensions": { "io.modelcontextprotocol/tasks": {} },
    });
    Request::modern(1, method, params)
        .meta(CAPABILITIES_KEY, capabilities)
        .field("Mcp-Name", name)
}

fn about(method: &str, id: &str) -> Request {
    modern(method, id, json!({ "taskId": id }))
}

/// Calls a tool as a modern task; returns the task's id.
fn begin(connection: &mut Connection, tool: &str, arguments: Value) -> String {
    let params = json!({ "name": tool, "arguments": arguments });
    let created = connection.exchange(&modern("tools/call", tool, params));
    let result = created.json()["result"].clone();
    assert_eq!(result["resultType"], "task", "{created:?}");
    result["taskId"].as_str().expect("an id").to_owned()
}

/// The next message of a stream that is not a status of a task.
fn next_but_status(stream: &mut EventStream) -> Value {
    loop {
        let message = stream.next_message();
        if message["method"] != "notifications/tasks/status" {
            return message;
        }
    }
}

#[test]
fn every_connection_finds_every_modern_task() {
    const CONNECTIONS: usize = 16;
    for shards in [1, 4] {
        let server = Setup::shards(shards).start();
        let mut connections: Vec<Connection> = (0..CONNECTIONS).map(|_| server.connect()).collect();
        let computation = json!({ "seconds": 0.05, "label": "it" });
        let computes = |connection| begin(connection, "slow_compute", computation.clone());
        let ids: Vec<String> = connections.iter_mut().map(computes).collect();
        for (at, id) in ids.iter().enumerate() {
            let other = &mut connections[(at + 1) % CONNECTIONS];
            wait_until("a task is completed", || {
                let found = other.exchange(&about("tasks/get", id)).json();
                assert_eq!(found["result"]["taskId"], *id, "{found}");
                let text = &found["result"]["result"]["content"][0]["text"];
                (text == "Computed it in 0.05 s").then_some(())
            });
        }
        let endless = begin(
            &mut connections[0],
            "slow_compute",
            json!({ "seconds": 3600 }),
        );
        for connection in &mut connections {
            let cancelled = connection.exchange(&about("tasks/cancel", &endless)).json();
            assert_eq!(cancelled["result"]["resultType"], "complete", "{cancelled}");
            let found = connection.exchange(&about("tasks/get", &endless)).json();
            assert_eq!(found["result"]["status"], "cancelled", "{found}");
        }
    }
}

#[test]
fn a_modern_task_lives_when_the_connection_that_made_it_is_closed() {
    let server = Setup::shards(2).start();
    let mut connection = server.connect();
    let arguments = json!({ "filename": "f" });
    let id = begin(&mut connection, "confirm_delete", arguments);
    drop(connection);
    let mut connection = server.connect();
    wait_until("the task asks", || {
        let found = connection.exchange(&about("tasks/get", &id)).json();
        let requested = &found["result"]["inputRequests"]["confirmation"];
        (requested["method"] == "elicitation/create").then_some(())
    });
    let confirmed = json!({ "action": "accept", "content": { "confirm": true } });
    let params = json!({ "taskId": id, "inputResponses": { "confirmation": confirmed } });
    let updated = connection.exchange(&modern("tasks/update", &id, params));
    assert_eq!(updated.status(), 200, "{updated:?}");
    wait_until("the task is completed", || {
        let found = connection.exchange(&about("tasks/get", &id)).json();
        let text = &found["result"]["result"]["content"][0]["text"];
        (text == "f deleted").then_some(())
    });
}

#[test]
fn a_session_waits_for_its_task_and_answers_it_on_any_connection() {
    for shards in [1, 4] {
        let server = Setup::shards(shards).start();
        let mut connection = server.connect();
        let handshake = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {
                "protocolVersion": LEGACY,
                "capabilities": { "elicitation": {} },
                "clientInfo": { "name": "corelane-tests", "version": "1" },
            },
        });
        let opened = connection.exchange(&Request::legacy(&handshake));
        let id = opened.head.field("MCP-Session-Id").expect("a session id");
        let session = Session { id: id.to_owned() };
        for _ in 0..8 {
            let params = json!({
                "name": "confirm_delete", "arguments": { "filename": "f" }, "task": {},
            });
            let created = connection.exchange(&session.request(1, "tools/call", params));
            let task = created.json()["result"]["task"].clone();
            assert_eq!(task["status"], "working", "{created:?}");
            let about = json!({ "taskId": task["taskId"] });
            let mut waiting = server.connect();
            waiting.send(&session.request(2, "tasks/result", about.clone()));
            let mut stream = EventStream::begin(waiting);
            let question = next_but_status(&mut stream);
            assert_eq!(question["method"], "elicitation/create", "{question}");
            let found = connection.exchange(&session.request(3, "tasks/get", about));
            assert_eq!(found.json()["result"]["status"], "input_required");
            let confirmed = json!({ "action": "accept", "content": { "confirm": true } });
            let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": confirmed });
            let mut third = server.connect();
            assert_eq!(third.exchange(&session.message(&answer)).status(), 202);
            let answer = next_but_status(&mut stream);
            assert_eq!(
                answer["result"]["content"][0]["text"], "f deleted",
                "{answer}"
            );
            let _ = stream.expect_end();
        }
    }
}

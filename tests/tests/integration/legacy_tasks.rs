//! Tasks of sessions over the wire, on their home shard and from another.
//!
//! MCP 2025-11-25 basic/utilities/tasks.

use corelane_tests::{Connection, Server, Session, Setup, wait_until};
use serde_json::{Value, json};

use crate::shards::one_on_each_shard;

const RELATED: &str = "io.modelcontextprotocol/related-task";

/// A server of two shards, a connection on each, and a session that lives on the first.
fn start() -> (Server, Vec<Connection>, Session) {
    let server = Setup::shards(2).start();
    let all = one_on_each_shard(|| server.connect(), 2);
    let session = all[0].1.clone();
    let connections = all.into_iter().map(|(connection, _)| connection);
    let connections = connections.collect();
    (server, connections, session)
}

fn query(connection: &mut Connection, session: &Session, method: &str, params: Value) -> Value {
    let response = connection.exchange(&session.request(1, method, params));
    assert_eq!(response.status(), 200, "{method}: {response:?}");
    response.answer()
}

fn about(connection: &mut Connection, session: &Session, method: &str, id: &Value) -> Value {
    query(connection, session, method, json!({ "taskId": id }))
}

fn call(connection: &mut Connection, session: &Session, tool: &str, arguments: Value) -> Value {
    let params = json!({ "name": tool, "arguments": arguments, "task": { "ttl": 60_000 } });
    query(connection, session, "tools/call", params)
}

/// Makes a task, checks the properties of a new one, and returns its id.
fn begin(connection: &mut Connection, session: &Session, tool: &str, arguments: Value) -> Value {
    let created = call(connection, session, tool, arguments);
    let task = &created["result"]["task"];
    assert_eq!(task["status"], "working", "{created}");
    assert_eq!(task["createdAt"], task["lastUpdatedAt"], "{created}");
    assert!(task["ttl"].is_u64(), "{created}");
    assert!(created["result"].get("content").is_none(), "{created}");
    assert!(task["taskId"].is_string(), "{created}");
    task["taskId"].clone()
}

/// A connection on which the result of a task is waited for.
fn wait(server: &Server, session: &Session, id: &Value) -> Connection {
    let mut connection = server.connect();
    connection.send(&session.request("w", "tasks/result", json!({ "taskId": id })));
    connection
}

fn wait_for_status(connection: &mut Connection, session: &Session, id: &Value, status: &str) {
    wait_until(&format!("status {status}"), || {
        let found = about(connection, session, "tasks/get", id);
        // Not in the result itself: the task is named once.
        assert_eq!(found["result"].get("_meta"), None, "{found}");
        assert_eq!(found["result"]["taskId"], *id, "{found}");
        (found["result"]["status"] == status).then_some(())
    });
}

/// The result can be awaited, names its task, and can be fetched again, from either shard.
#[test]
fn a_result_is_waited_for_and_can_be_had_again() {
    let (server, mut connections, session) = start();
    for at in 0..2 {
        let arguments = json!({ "seconds": 0.05, "label": "it" });
        let id = begin(&mut connections[at], &session, "slow_compute", arguments);
        let answer = wait(&server, &session, &id).read_response().answer();
        assert_eq!(answer["id"], "w", "{answer}");
        let again = about(&mut connections[1 - at], &session, "tasks/result", &id);
        for answer in [answer, again] {
            let result = &answer["result"];
            assert_eq!(result["content"][0]["text"], "Computed it in 0.05 s");
            assert_eq!(result["_meta"][RELATED]["taskId"], id, "{answer}");
        }
        wait_for_status(&mut connections[at], &session, &id, "completed");
        let late = about(&mut connections[at], &session, "tasks/cancel", &id);
        assert_eq!(late["error"]["code"], -32602, "a completed task: {late}");
        wait_for_status(&mut connections[at], &session, &id, "completed");
    }
}

/// A cancelled task is cancelled when the client gets the answer, stays cancelled, and cannot be
/// cancelled again. A client that waits for its result gets an answer.
#[test]
fn a_task_is_cancelled_once_and_for_good() {
    let (server, mut connections, session) = start();
    for at in 0..2 {
        let arguments = json!({ "seconds": 3600 });
        let id = begin(&mut connections[at], &session, "slow_compute", arguments);
        let mut waiting = wait(&server, &session, &id);
        // Cancelling the request that made the task does not cancel the task.
        let by_request = connections[at].exchange(&session.cancelled(1));
        assert_eq!(by_request.status(), 202);
        wait_for_status(&mut connections[1 - at], &session, &id, "working");
        let cancelled = about(&mut connections[1 - at], &session, "tasks/cancel", &id);
        assert_eq!(cancelled["result"]["status"], "cancelled", "{cancelled}");
        assert_eq!(cancelled["result"]["taskId"], id, "{cancelled}");
        let answer = waiting.read_response().answer();
        assert_eq!(answer["id"], "w", "{answer}");
        assert!(answer["error"]["code"].is_i64(), "{answer}");
        let again = about(&mut connections[at], &session, "tasks/cancel", &id);
        assert_eq!(again["error"]["code"], -32602, "{again}");
        wait_for_status(&mut connections[at], &session, &id, "cancelled");
    }
}

/// "Result Retrieval": a result with `isError` and a JSON-RPC error both fail the task, and
/// `tasks/result` equals the answer that the call would have had.
#[test]
fn a_failed_task_has_the_answer_of_its_call() {
    let (server, mut connections, session) = start();
    let connection = &mut connections[1];
    let plain = json!({ "name": "protocol_error_job", "arguments": {} });
    let plain = query(connection, &session, "tools/call", plain);
    let id = begin(connection, &session, "protocol_error_job", json!({}));
    let answer = wait(&server, &session, &id).read_response().answer();
    assert_eq!(answer["error"], plain["error"], "{answer}");
    wait_for_status(connection, &session, &id, "failed");

    let id = begin(connection, &session, "failing_job", json!({}));
    let answer = wait(&server, &session, &id).read_response().answer();
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert_eq!(answer["result"]["_meta"][RELATED]["taskId"], id, "{answer}");
    wait_for_status(connection, &session, &id, "failed");
    let late = about(connection, &session, "tasks/cancel", &id);
    assert_eq!(late["error"]["code"], -32602, "{late}");
}

/// "Tool-Level Negotiation": a tool without task support refuses tasks, and a tool that requires
/// them refuses plain calls.
#[test]
fn a_tool_says_whether_it_makes_tasks() {
    let (_server, mut connections, session) = start();
    for connection in &mut connections {
        let forbidden = call(connection, &session, "greet", json!({ "name": "you" }));
        assert_eq!(forbidden["error"]["code"], -32601, "{forbidden}");
        let plain = json!({ "name": "failing_job", "arguments": {} });
        let required = query(connection, &session, "tools/call", plain);
        assert_eq!(required["error"]["code"], -32601, "{required}");
        let list = query(connection, &session, "tools/list", json!({}));
        let tools = list["result"]["tools"].as_array().expect("tools");
        for (name, support) in [
            ("greet", Value::Null),
            ("slow_compute", json!("optional")),
            ("failing_job", json!("required")),
        ] {
            let tool = tools.iter().find(|tool| tool["name"] == name);
            let tool = tool.unwrap_or_else(|| panic!("no {name}"));
            assert_eq!(tool["execution"]["taskSupport"], support, "{tool}");
        }
    }
}

/// "Task Listing": every task is listed exactly once over all pages; an invalid cursor and an
/// unknown task are -32602.
#[test]
fn every_task_is_listed_once() {
    /// More than fit on one page.
    const TASKS: usize = 60;
    let (_server, mut connections, session) = start();
    let arguments = json!({ "seconds": 0, "label": "l" });
    let made: Vec<Value> = (0..TASKS)
        .map(|at| {
            begin(
                &mut connections[at % 2],
                &session,
                "slow_compute",
                arguments.clone(),
            )
        })
        .collect();
    let (mut listed, mut params) = (Vec::new(), json!({}));
    loop {
        let connection = &mut connections[listed.len() % 2];
        let page = query(connection, &session, "tasks/list", params)["result"].clone();
        let tasks = page["tasks"].as_array().expect("tasks");
        listed.extend(tasks.iter().map(|task| task["taskId"].clone()));
        match page.get("nextCursor") {
            Some(cursor) => params = json!({ "cursor": cursor }),
            None => break,
        }
        assert!(listed.len() <= TASKS, "{listed:?}");
    }
    assert_eq!(listed, made);
    for connection in &mut connections {
        for cursor in [json!("x"), json!(7), json!("")] {
            let params = json!({ "cursor": cursor });
            let refused = query(connection, &session, "tasks/list", params);
            assert_eq!(refused["error"]["code"], -32602, "{cursor}: {refused}");
        }
        for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
            for id in [json!("unknown"), json!(""), json!(7)] {
                let unknown = about(connection, &session, method, &id);
                assert_eq!(unknown["error"]["code"], -32602, "{method} {id}: {unknown}");
            }
        }
    }
}

/// The end of a session ends its tasks: a waiting client gets an answer or sees its stream end, and
/// another session never finds the tasks.
#[test]
fn tasks_end_with_their_session() {
    let (server, mut connections, session) = start();
    let arguments = json!({ "seconds": 3600 });
    let id = begin(&mut connections[0], &session, "slow_compute", arguments);
    let mut waiting = wait(&server, &session, &id);
    wait_for_status(&mut connections[1], &session, &id, "working");
    assert_eq!(connections[1].exchange(&session.delete()).status(), 204);
    // A waiting client gets an answer, or sees the end of its stream.
    let answer = waiting.read_response();
    if let Some(answer) = answer.messages().pop() {
        assert_eq!(answer["id"], "w", "{answer}");
        assert!(answer["error"]["code"].is_i64(), "{answer}");
    }
    let successor = Session::open(&mut connections[0]);
    let unknown = about(&mut connections[0], &successor, "tasks/get", &id);
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    let request = session.request(1, "tasks/get", json!({ "taskId": id }));
    assert_eq!(connections[1].exchange(&request).status(), 404);
}

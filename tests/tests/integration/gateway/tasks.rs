//! Tasks of upstreams: their owners, their sessions, their shards, and those of other libraries.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use corelane_guard::api_key;
use corelane_tests::conformance::{home, node, python};
use corelane_tests::mock_upstream::{Act, MockUpstream, Received, json_answer};
use corelane_tests::request::CAPABILITIES_KEY;
use corelane_tests::{Connection, Request, Server, Setup, wait_until};
use serde_json::{Value, json};

use super::Gateway;
use super::task_client::Client;
use super::task_upstream::{Course, EXTENSION, Era, Upstream};
use crate::access_file::AccessFile;

/// A request of a modern client with tasks.
fn modern(method: &str, params: Value) -> Request {
    let name = params["taskId"].as_str().map(str::to_owned);
    let capabilities = json!({ "extensions": { EXTENSION: {} } });
    let request = Request::modern(1, method, params).meta(CAPABILITIES_KEY, capabilities);
    match name {
        Some(name) => request.field("Mcp-Name", &name),
        None => request,
    }
}

fn call(course: Course) -> Request {
    let arguments = json!({ "case": format!("{course:?}") });
    modern(
        "tools/call",
        json!({ "name": "up_call", "arguments": arguments }),
    )
}

fn about(method: &str, task: &str) -> Request {
    modern(method, json!({ "taskId": task }))
}

fn exchange(connection: &mut Connection, request: &Request) -> Value {
    connection.exchange(request).answer()
}

/// The name of the task that a call has become.
fn name(answer: &Value) -> String {
    let name = answer["result"]["taskId"].as_str();
    name.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn mock(era: Era) -> (Arc<Upstream>, MockUpstream) {
    let upstream = Arc::new(Upstream::new(era));
    let own = Arc::clone(&upstream);
    let mock = MockUpstream::start(move |received| own.answer(received));
    (upstream, mock)
}

/// Each of two principals has a task, and names that of the other.
fn check_principals(era: Era) {
    let (_, mock) = mock(era);
    let (other, sha256) = api_key::create("other", &[8; 32]).expect("an id");
    let digits: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let file = AccessFile::new(&format!(
        "[[auth.api_key]]\nid = \"other\"\nsha256 = \"{digits}\"\nroles = [\"ci\"]\n{}\
         [[role]]\nname = \"ci\"\nclaim_roles = [\"ci\"]\n\
         [[grant]]\nrole = \"ci\"\ntools = [\"up_*\"]\n",
        mock.section("up")
    ));
    let server = file.setup(1).start();
    let mut connection = server.connect();
    let of = |key: &str, request: Request| request.field("Authorization", &format!("Bearer {key}"));
    let first = wait_until("the tool is listed", || {
        let answer = exchange(&mut connection, &of(&file.key, call(Course::Forever)));
        answer["result"]["taskId"].is_string().then_some(answer)
    });
    let first = name(&first);
    let second = name(&exchange(
        &mut connection,
        &of(&other, call(Course::Forever)),
    ));
    let sent = mock.received().len();
    for (key, task) in [(&file.key, &second), (&other, &first)] {
        for method in ["tasks/get", "tasks/cancel"] {
            let refused = exchange(&mut connection, &of(key, about(method, task)));
            assert_eq!(refused["error"]["code"], -32602, "{refused}");
        }
        let mut cut = task.clone();
        cut.pop();
        let refused = exchange(&mut connection, &of(key, about("tasks/get", &cut)));
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
    }
    assert_eq!(mock.received().len(), sent, "the upstream sees none of it");
    for (key, task) in [(&file.key, &first), (&other, &second)] {
        let state = exchange(&mut connection, &of(key, about("tasks/get", task)));
        assert_eq!(state["result"]["status"], "working", "{state}");
    }
}

#[test]
fn a_task_of_another_principal_is_unknown_in_front_of_a_modern_upstream() {
    check_principals(Era::Modern);
}

#[test]
fn a_task_of_another_principal_is_unknown_in_front_of_a_legacy_upstream() {
    check_principals(Era::Legacy);
}

#[test]
fn a_session_that_the_upstream_has_forgotten_takes_its_tasks_along() {
    let upstream = Arc::new(Upstream::new(Era::Legacy));
    let is_lost = Arc::new(AtomicBool::new(false));
    let (own, lost) = (Arc::clone(&upstream), Arc::clone(&is_lost));
    let mock = MockUpstream::start(move |received: &Received| {
        let is_of_session = received.field("Mcp-Session-Id").is_some();
        // Once: the next session is known.
        if is_of_session && received.is("tasks/get") && lost.swap(false, Ordering::Relaxed) {
            let error = json!({ "code": -32001, "message": "Session not found" });
            let body = json!({ "jsonrpc": "2.0", "id": null, "error": error }).to_string();
            let answer = String::from_utf8(json_answer(&body)).expect("text");
            return Act::Send(answer.replacen("200 OK", "404 Not Found", 1).into_bytes());
        }
        own.answer(received)
    });
    let gateway = Gateway::before(&mock);
    let mut client = Client::new(&gateway, Era::Legacy, true);
    let task = client.call(Course::Forever).expect("a task");
    is_lost.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        let answer = client.about("tasks/get", &task);
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        let text = answer["error"]["message"].as_str().expect("a text");
        assert!(text.contains("session"), "{text}");
    }
    let sent = mock.received_of("tasks/get").len();
    assert_eq!(sent, 1, "another session has other tasks");
    assert!(client.call(Course::Completes).is_ok(), "in another session");
}

#[test]
fn requests_about_a_task_come_to_the_shard_with_its_session() {
    let (_, mock) = mock(Era::Legacy);
    let gateway = Gateway::start_with(&mock.section("up"), Setup::shards(2));
    gateway.wait_for("up_call");
    // The kernel chooses the shard of each connection.
    let mut connections: Vec<Connection> = (0..16).map(|_| gateway.connect()).collect();
    let task = name(&exchange(&mut connections[0], &call(Course::Forever)));
    for connection in &mut connections {
        let state = exchange(connection, &about("tasks/get", &task));
        assert_eq!(state["result"]["status"], "working", "{state}");
    }
    let cancelled = exchange(&mut connections[15], &about("tasks/cancel", &task));
    assert_eq!(cancelled["result"]["resultType"], "complete", "{cancelled}");
    assert_eq!(
        mock.received_of("initialize").len(),
        2,
        "of the lists, and of the clients"
    );
}

#[test]
fn an_upstream_without_tasks_is_called_without_and_its_tools_become_none() {
    for era in [Era::Legacy, Era::Modern] {
        let upstream = Arc::new(Upstream::without_tasks(era));
        let own = Arc::clone(&upstream);
        let mock = MockUpstream::start(move |received| own.answer(received));
        let gateway = Gateway::before(&mock);
        let mut client = Client::new(&gateway, Era::Modern, true);
        let called = client.call(Course::Completes);
        assert_eq!(called, Err("the result".to_owned()), "{era:?}");
        let mut client = Client::new(&gateway, Era::Legacy, false);
        let called = client.call(Course::Completes);
        assert_eq!(called, Err("the result".to_owned()), "{era:?}");
        // This server has tools of its own with tasks.
        let called = Client::new(&gateway, Era::Legacy, true).call(Course::Completes);
        assert_eq!(called, Err("error -32601".to_owned()), "{era:?}");
        let listed = client.exchange("tools/list", json!({}));
        let tools = listed["result"]["tools"].as_array().expect("a list");
        let tool = tools.iter().find(|tool| tool["name"] == "up_call");
        assert!(
            tool.is_some_and(|tool| tool.get("execution").is_none()),
            "{tool:?}"
        );
    }
}

/// A process that is killed with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The tool of a server of another library elicits input in a task, for clients of both eras.
fn check_real(gateway: &Gateway) {
    gateway.wait_for("up_call");
    for era in [Era::Legacy, Era::Modern] {
        let mut client = Client::new(gateway, era, true);
        let task = client.call(Course::NeedsInput).expect("a task");
        assert_eq!(client.end(&task), "completed: the result", "{era:?}");
        let task = client.call(Course::NeedsInput).expect("a task");
        let cancelled = client.about("tasks/cancel", &task);
        assert!(cancelled.get("error").is_none(), "{era:?}: {cancelled}");
        let state = client.about("tasks/get", &task);
        assert_eq!(state["result"]["status"], "cancelled", "{era:?}: {state}");
    }
}

#[test]
fn a_server_of_the_typescript_sdk_has_tasks_for_both_eras() {
    let mut process = Command::new(node())
        .arg(home().join("typescript-tasks.mjs"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let output = process.stdout.take().expect("it is piped");
    let _running = Running(process);
    let mut url = String::new();
    let read = BufReader::new(output).read_line(&mut url);
    read.expect("it says where it listens");
    let section = format!("[[upstream]]\nname = \"up\"\nurl = \"{}\"\n", url.trim());
    check_real(&Gateway::start(&section));
}

#[test]
fn a_program_of_the_python_sdk_has_tasks_for_both_eras() {
    let (program, directory) = (python("python"), home());
    let command = [program.to_str().expect("a path of text"), "python-tasks.py"];
    let section =
        format!("[[upstream]]\nname = \"up\"\ncommand = {command:?}\ncwd = {directory:?}\n");
    check_real(&Gateway::start(&section));
}

/// A server of this project, whose tool takes its time as a task.
fn check_own(upstream: &Server, era: &str) {
    let section = format!(
        "[[upstream]]\nname = \"up\"\nurl = \"http://{}/mcp\"\nera = \"{era}\"\n",
        upstream.address()
    );
    let gateway = Gateway::start_with(&section, Setup::shards(1).demo("basic"));
    gateway.wait_for("up_slow_compute");
    let mut client = Client::new(&gateway, Era::Legacy, true);
    let params = json!({ "name": "up_slow_compute", "arguments": { "seconds": 0.2 } });
    let created = client.exchange("tools/call", params);
    let task = created["result"]["task"]["taskId"]
        .as_str()
        .expect("a task");
    let answer = client.about("tasks/result", task);
    assert_eq!(
        answer["result"]["content"][0]["type"], "text",
        "{era}: {answer}"
    );
    let state = client.about("tasks/get", task);
    assert_eq!(state["result"]["status"], "completed", "{era}: {state}");
}

#[test]
fn another_server_of_this_kind_has_tasks_for_legacy_clients() {
    let upstream = Setup::shards(1).start();
    check_own(&upstream, "modern");
    check_own(&upstream, "legacy");
}

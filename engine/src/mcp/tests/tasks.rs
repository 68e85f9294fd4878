//! Tasks of the modern extension: calls that become tasks, and what clients ask of them.

use std::sync::Arc;

use corelane_protocol::mcp::tasks::TaskSupport;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rig::{Answer, MODERN, Rig, claim, error, on_executor, request, stamped, text};
use super::tools::Gate;
use crate::catalog::Plan;
use crate::catalog::tool::Tool;
use crate::handler::{Call, CallError, Elicitation};
use crate::io::executor::yield_now;
use crate::mcp::{Disposition, EndpointSettings};
use crate::meter::Counter;

#[derive(Deserialize)]
pub(super) struct NoArguments {}

#[derive(Deserialize, schemars::JsonSchema)]
struct Name {
    name: String,
}

pub(super) async fn greets(call: &Call) -> Result<String, CallError> {
    let question = Elicitation::form::<Name>("Who are you?")?;
    let Name { name } = call.elicit("who", question).await?.into_form()?;
    Ok(format!("hello {name}"))
}

fn tools(gate: &Gate) -> Vec<Tool> {
    const ANY: &str = r#"{"type":"object"}"#;
    const DIGIT: &str = r#"{"type":"object","properties":{"digit":{"type":"integer"}}}"#;
    let [waits, fails, first, moves] = [(); 4].map(|()| gate.clone());
    let optional = |tool: Tool| tool.task_support(TaskSupport::Optional);
    vec![
        Tool::with_schema("plain", "d", ANY, async |_: &Call, _: NoArguments| {
            Ok("plain")
        }),
        optional(Tool::with_schema(
            "waits",
            "d",
            DIGIT,
            async move |_: &Call, _: NoArguments| {
                waits.pass().await;
                Ok("passed")
            },
        )),
        Tool::with_schema("must", "d", ANY, async move |_: &Call, _: NoArguments| {
            fails.pass().await;
            Err::<(), _>(CallError::new("broke"))
        })
        .task_support(TaskSupport::Required),
        optional(Tool::with_schema(
            "breaks",
            "d",
            ANY,
            async |_: &Call, _: NoArguments| {
                yield_now().await;
                Err::<(), _>(CallError::protocol(7, "broken"))
            },
        )),
        optional(Tool::with_schema(
            "at_once",
            "d",
            ANY,
            async |_: &Call, _: NoArguments| Ok("done"),
        )),
        optional(Tool::with_schema(
            "asks",
            "d",
            ANY,
            async |call: &Call, _: NoArguments| {
                call.start_task().await;
                greets(call).await
            },
        )),
        optional(Tool::with_schema(
            "asks_first",
            "d",
            ANY,
            async move |call: &Call, _: NoArguments| {
                let greeting = greets(call).await?;
                first.pass().await;
                Ok(greeting)
            },
        )),
        optional(Tool::with_schema(
            "moves",
            "d",
            ANY,
            async move |call: &Call, _: NoArguments| {
                yield_now().await;
                call.progress(1.0, None, None).await;
                moves.pass().await;
                Ok("moved")
            },
        )),
    ]
}

/// A server with the tools of these tests.
pub(super) fn rig() -> Rig {
    rig_with(|_| ())
}

pub(super) fn rig_with(change: impl FnOnce(&mut EndpointSettings)) -> Rig {
    let gate = Gate::default();
    let mut tools = tools(&gate);
    tools.extend(super::task_status::tools(&gate));
    let plan = Plan::new(tools.into(), 50).expect("the tools of the tests are usable");
    let mut rig = Rig::with(|settings| {
        settings.parts.plan = Arc::new(plan);
        change(settings);
    });
    rig.gate = gate;
    rig
}

/// A request of a client that knows tasks and can elicit.
pub(super) fn ask(rig: &mut Rig, method: &str, name: &str, mut params: Value) -> Answer {
    params["_meta"] = claim();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({
        "elicitation": {},
        "extensions": {"io.modelcontextprotocol/tasks": {}},
    });
    params["_meta"]["progressToken"] = json!("p");
    let headers = format!("{MODERN}Mcp-Method: {method}\r\nMcp-Name: {name}\r\n");
    rig.post(&headers, &request(1, method, params))
}

pub(super) fn call(rig: &mut Rig, tool: &str) -> Answer {
    ask(
        rig,
        "tools/call",
        tool,
        json!({"name": tool, "arguments": {}}),
    )
}

/// Calls a tool whose call becomes a task; returns the task's id.
pub(super) fn task(rig: &mut Rig, tool: &str) -> String {
    let answer = call(rig, tool);
    answer.check("200", &created());
    answer.body["result"]["taskId"].as_str().unwrap().to_owned()
}

pub(super) fn about(rig: &mut Rig, method: &str, id: &str) -> Answer {
    ask(rig, method, id, json!({"taskId": id}))
}

pub(super) fn get(rig: &mut Rig, id: &str) -> Answer {
    about(rig, "tasks/get", id)
}

fn state(status: &str) -> Value {
    json!({
        "taskId": "*", "status": status, "createdAt": "*", "lastUpdatedAt": "*",
        "ttlMs": 5000, "pollIntervalMs": 100,
    })
}

fn created() -> Value {
    let mut created = stamped(1, state("working"));
    created["result"]["resultType"] = json!("task");
    created
}

/// The answer to `tasks/get` of a task with more members.
fn stands(status: &str, member: &str, value: Value) -> Value {
    let mut members = state(status);
    members[member] = value;
    stamped(1, members)
}

#[test]
fn a_call_is_answered_with_a_task_whose_result_is_fetched_later() {
    on_executor(async {
        let mut rig = rig();
        let id = task(&mut rig, "waits");
        get(&mut rig, &id).check("200", &stamped(1, state("working")));
        rig.gate.open();
        assert!(rig.settle().await.is_empty());
        let inner = stamped(0, text("passed"))["result"].clone();
        let expected = stands("completed", "result", inner);
        get(&mut rig, &id).check("200", &expected);
        assert_eq!(rig.count(Counter::TasksCreated), 1);
        assert_eq!(rig.count(Counter::CallsInFlight), 0);
    });
}

#[test]
fn a_client_without_the_extension_waits_or_is_refused() {
    on_executor(async {
        let mut rig = rig();
        rig.call_modern("waits", json!({}), json!({})).pending();
        let mut refused = error(1, -32021);
        let needed = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
        refused["error"]["data"] = json!({ "requiredCapabilities": needed });
        rig.call_modern("must", json!({}), json!({}))
            .check("400", &refused);
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let params = json!({"taskId": "unknown", "_meta": claim()});
            let headers = format!("{MODERN}Mcp-Method: {method}\r\nMcp-Name: unknown\r\n");
            rig.post(&headers, &request(1, method, params))
                .check("400", &refused);
        }
    });
}

#[test]
fn a_server_without_such_tools_has_no_tasks() {
    let mut rig = Rig::new();
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        about(&mut rig, method, "x").check("404", &error(1, -32601));
    }
}

#[test]
fn a_task_that_is_not_there_is_told_apart_from_no_task_id() {
    let mut rig = rig();
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        for id in [
            "unknown",
            &format!("{:036x}", 1),
            &format!("ffff{:032x}", 1),
        ] {
            about(&mut rig, method, id).check("200", &error(1, -32602));
        }
        ask(&mut rig, method, "x", json!({})).check("200", &error(1, -32602));
    }
    for method in ["tasks/result", "tasks/list"] {
        about(&mut rig, method, "x").check("404", &error(1, -32601));
    }
}

#[test]
fn the_name_header_repeats_the_id() {
    let mut rig = rig();
    ask(&mut rig, "tasks/get", "x", json!({"taskId": "y"})).check("400", &error(1, -32020));
}

#[test]
fn a_tool_that_fails_completes_its_task_and_a_protocol_error_fails_it() {
    on_executor(async {
        let mut rig = rig();
        let (failing, breaking) = (task(&mut rig, "must"), task(&mut rig, "breaks"));
        rig.gate.open();
        rig.settle().await;
        let answer = get(&mut rig, &failing);
        assert_eq!(answer.body["result"]["status"], "completed");
        assert_eq!(answer.body["result"]["result"]["isError"], true);
        let broken = json!({"code": 7, "message": "broken"});
        get(&mut rig, &breaking).check("200", &stands("failed", "error", broken));
    });
}

#[test]
fn a_task_asks_and_is_answered_by_update() {
    on_executor(async {
        let mut rig = rig();
        let id = task(&mut rig, "asks");
        rig.settle().await;
        let answer = get(&mut rig, &id);
        assert_eq!(answer.body["result"]["status"], "input_required");
        let asked = &answer.body["result"]["inputRequests"]["who"];
        assert_eq!(asked["method"], "elicitation/create");
        let update = |rig: &mut Rig, responses: Value| {
            let params = json!({"taskId": id, "inputResponses": responses});
            ask(rig, "tasks/update", &id, params)
        };
        update(&mut rig, json!({"who": 1})).check("200", &error(1, -32602));
        let named = json!({"action": "accept", "content": {"name": "Ann"}});
        update(&mut rig, json!({ "other": named })).check("200", &stamped(1, json!({})));
        rig.settle().await;
        assert_eq!(
            get(&mut rig, &id).body["result"]["status"],
            "input_required"
        );
        update(&mut rig, json!({ "who": named })).check("200", &stamped(1, json!({})));
        get(&mut rig, &id).check("200", &stamped(1, state("working")));
        rig.settle().await;
        let inner = stamped(0, text("hello Ann"))["result"].clone();
        get(&mut rig, &id).check("200", &stands("completed", "result", inner));
        update(&mut rig, json!({ "who": named })).check("200", &stamped(1, json!({})));
    });
}

#[test]
fn what_is_asked_before_there_is_a_task_is_asked_in_rounds() {
    on_executor(async {
        let mut rig = rig();
        let asked = call(&mut rig, "asks_first").body["result"].clone();
        assert_eq!(asked["resultType"], "input_required");
        assert!(asked.get("taskId").is_none());
        let params = json!({
            "name": "asks_first",
            "arguments": {},
            "inputResponses": {"who": {"action": "accept", "content": {"name": "Ann"}}},
            "requestState": asked["requestState"],
        });
        let answer = ask(&mut rig, "tools/call", "asks_first", params);
        answer.check("200", &created());
        let id = answer.body["result"]["taskId"].as_str().unwrap().to_owned();
        rig.gate.open();
        rig.settle().await;
        let result = &get(&mut rig, &id).body["result"]["result"];
        assert_eq!(result["content"][0]["text"], "hello Ann");
    });
}

#[test]
fn a_call_that_is_done_at_once_and_one_of_another_tool_become_no_tasks() {
    let mut rig = rig();
    call(&mut rig, "at_once").check("200", &stamped(1, text("done")));
    let params = json!({"name": "plain", "arguments": {}, "task": {"ttl": 1}});
    ask(&mut rig, "tools/call", "plain", params).check("200", &stamped(1, text("plain")));
    assert_eq!(rig.count(Counter::TasksCreated), 0);
}

#[test]
fn cancelling_stops_the_handler_and_may_be_repeated() {
    on_executor(async {
        let mut rig = rig();
        let id = task(&mut rig, "waits");
        rig.settle().await;
        assert_eq!(rig.gate.inside(), 1);
        let acknowledged = stamped(1, json!({}));
        about(&mut rig, "tasks/cancel", &id).check("200", &acknowledged);
        rig.settle().await;
        assert_eq!(rig.gate.inside(), 0);
        get(&mut rig, &id).check("200", &stamped(1, state("cancelled")));
        about(&mut rig, "tasks/cancel", &id).check("200", &acknowledged);
        assert_eq!(rig.count(Counter::TasksCancelled), 1);
    });
}

#[test]
fn a_task_outlives_the_deadline_of_calls_and_ends_with_its_time() {
    on_executor(async {
        let mut rig = rig();
        let id = task(&mut rig, "waits");
        rig.expire_at(4999);
        rig.settle().await;
        get(&mut rig, &id).check("200", &stamped(1, state("working")));
        assert_eq!(rig.endpoint.core().next_deadline_ms(), Some(5000));
        rig.expire_at(5000);
        rig.settle().await;
        get(&mut rig, &id).check("200", &error(1, -32602));
        assert_eq!(rig.gate.inside(), 0);
        assert_eq!(rig.count(Counter::TasksExpired), 1);
        assert_eq!(rig.count(Counter::TasksKept), 0);
    });
}

#[test]
fn a_call_without_room_for_its_task_is_refused_before_it_runs() {
    on_executor(async {
        let mut rig = rig();
        let ids: Vec<String> = (0..4).map(|_| task(&mut rig, "waits")).collect();
        call(&mut rig, "waits").check("503", &error(1, -32603));
        assert_eq!((rig.gate.inside(), rig.gate.entered()), (4, 4));
        about(&mut rig, "tasks/cancel", &ids[0]);
        task(&mut rig, "waits");
        assert_eq!(rig.count(Counter::TasksEvicted), 1);
        assert_eq!(rig.count(Counter::TasksKept), 4);
    });
}

#[test]
fn a_result_without_room_fails_its_task() {
    on_executor(async {
        let mut rig = rig_with(|settings| settings.tasks.result_bytes_max = 10);
        let id = task(&mut rig, "waits");
        rig.gate.open();
        rig.settle().await;
        let lost = json!({"code": -32603, "message": "*"});
        get(&mut rig, &id).check("200", &stands("failed", "error", lost));
    });
}

#[test]
fn a_task_reports_no_progress() {
    on_executor(async {
        let mut rig = rig();
        let id = task(&mut rig, "moves");
        rig.gate.open();
        assert!(rig.settle().await.is_empty());
        assert_eq!(get(&mut rig, &id).body["result"]["status"], "completed");
    });
}

#[test]
fn a_request_for_a_task_of_another_shard_goes_to_its_home() {
    on_executor(async {
        let shard = |number| {
            rig_with(|settings| {
                settings.shard = number;
                settings.shards = 2;
            })
        };
        let (mut front, mut home) = (shard(0), shard(1));
        let id = task(&mut home, "waits");
        let answer = get(&mut front, &id);
        let Disposition::Forward { home: 1, request } = answer.disposition else {
            panic!("forwarded to its home: {:?}", answer.disposition);
        };
        assert_eq!(request.exchange, answer.exchange);
        let mut out = Vec::new();
        home.endpoint.forwarded(*request, &mut out);
        let body: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(body["result"]["taskId"], id);
        assert_eq!(body["result"]["status"], "working");
    });
}

#[test]
fn the_server_says_that_it_has_tasks_in_the_words_of_each_era() {
    let mut rig = rig();
    let headers = format!("{MODERN}Mcp-Method: server/discover\r\n");
    let discover = request(1, "server/discover", json!({"_meta": claim()}));
    let modern = rig.post(&headers, &discover).body["result"]["capabilities"].clone();
    assert_eq!(
        modern["extensions"],
        json!({"io.modelcontextprotocol/tasks": {}})
    );
    assert!(modern.get("tasks").is_none());
    for (version, has_tasks) in [("2025-11-25", true), ("2025-06-18", false)] {
        let answer = rig.post("", &super::rig::initialize(version));
        let legacy = &answer.body["result"]["capabilities"];
        assert_eq!(legacy.get("tasks").is_some(), has_tasks, "{version}");
        assert!(legacy.get("extensions").is_none());
    }
}

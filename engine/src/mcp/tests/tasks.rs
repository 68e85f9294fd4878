//! Tasks of the modern extension: calls that become tasks, and requests about them.

use std::sync::Arc;

use corelane_protocol::mcp::tasks::TaskSupport;
use serde::Deserialize;
use serde_json::{Value, json};

use super::test_endpoint::{
    Answer, MODERN, TestEndpoint, claim, error, on_executor, request, text, with_trailer,
};
use super::tools::Gate;
use crate::catalog::Plan;
use crate::catalog::tool::Tool;
use crate::handler::{Call, CallError, Elicitation};
use crate::mcp::{Disposition, EndpointSettings};
use crate::meter::Counter;
use corelane_io::executor::yield_now;

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
    let optional = |tool: Tool| tool.with_task_support(TaskSupport::Optional);
    vec![
        Tool::from_schema("plain", "d", ANY, async |_: &Call, _: NoArguments| {
            Ok("plain")
        }),
        optional(Tool::from_schema(
            "waits",
            "d",
            DIGIT,
            async move |_: &Call, _: NoArguments| {
                waits.pass().await;
                Ok("passed")
            },
        )),
        Tool::from_schema("must", "d", ANY, async move |_: &Call, _: NoArguments| {
            fails.pass().await;
            Err::<(), _>(CallError::new("broke"))
        })
        .with_task_support(TaskSupport::Required),
        optional(Tool::from_schema(
            "breaks",
            "d",
            ANY,
            async |_: &Call, _: NoArguments| {
                yield_now().await;
                Err::<(), _>(CallError::protocol(7, "broken"))
            },
        )),
        optional(Tool::from_schema(
            "at_once",
            "d",
            ANY,
            async |_: &Call, _: NoArguments| Ok("done"),
        )),
        optional(Tool::from_schema(
            "asks",
            "d",
            ANY,
            async |call: &Call, _: NoArguments| {
                call.start_task().await;
                greets(call).await
            },
        )),
        optional(Tool::from_schema(
            "asks_first",
            "d",
            ANY,
            async move |call: &Call, _: NoArguments| {
                let greeting = greets(call).await?;
                first.pass().await;
                Ok(greeting)
            },
        )),
        optional(Tool::from_schema(
            "moves",
            "d",
            ANY,
            async move |call: &Call, _: NoArguments| {
                yield_now().await;
                call.progress(1.0).await;
                moves.pass().await;
                Ok("moved")
            },
        )),
    ]
}

/// A server with the tools of these tests.
pub(super) fn harness() -> TestEndpoint {
    endpoint_with(|_| ())
}

pub(super) fn endpoint_with(change: impl FnOnce(&mut EndpointSettings)) -> TestEndpoint {
    let gate = Gate::default();
    let mut tools = tools(&gate);
    tools.extend(super::task_status::tools(&gate));
    let plan = Plan::new(tools.into(), 50).expect("the tools of the tests are usable");
    let mut harness = TestEndpoint::with(|settings| {
        settings.parts.plan = Arc::new(plan);
        change(settings);
    });
    harness.gate = gate;
    harness
}

/// A request of a client that knows tasks and can elicit.
pub(super) fn query(
    harness: &mut TestEndpoint,
    method: &str,
    name: &str,
    mut params: Value,
) -> Answer {
    params["_meta"] = claim();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({
        "elicitation": {},
        "extensions": {"io.modelcontextprotocol/tasks": {}},
    });
    params["_meta"]["progressToken"] = json!("p");
    let headers = format!("{MODERN}Mcp-Method: {method}\r\nMcp-Name: {name}\r\n");
    harness.post(&headers, &request(1, method, params))
}

pub(super) fn call(harness: &mut TestEndpoint, tool: &str) -> Answer {
    query(
        harness,
        "tools/call",
        tool,
        json!({"name": tool, "arguments": {}}),
    )
}

/// Calls a tool whose call becomes a task; returns the task's id.
pub(super) fn task(harness: &mut TestEndpoint, tool: &str) -> String {
    let answer = call(harness, tool);
    answer.check("200", &created());
    answer.body["result"]["taskId"].as_str().unwrap().to_owned()
}

pub(super) fn about(harness: &mut TestEndpoint, method: &str, id: &str) -> Answer {
    query(harness, method, id, json!({"taskId": id}))
}

pub(super) fn get(harness: &mut TestEndpoint, id: &str) -> Answer {
    about(harness, "tasks/get", id)
}

fn state(status: &str) -> Value {
    json!({
        "taskId": "*", "status": status, "createdAt": "*", "lastUpdatedAt": "*",
        "ttlMs": 5000, "pollIntervalMs": 100,
    })
}

fn created() -> Value {
    let mut created = with_trailer(1, state("working"));
    created["result"]["resultType"] = json!("task");
    created
}

/// The answer to `tasks/get` of a task with more members.
fn stands(status: &str, member: &str, value: Value) -> Value {
    let mut members = state(status);
    members[member] = value;
    with_trailer(1, members)
}

#[test]
fn a_call_is_answered_with_a_task_whose_result_is_fetched_later() {
    on_executor(async {
        let mut harness = harness();
        let id = task(&mut harness, "waits");
        get(&mut harness, &id).check("200", &with_trailer(1, state("working")));
        harness.gate.open();
        assert!(harness.settle().await.is_empty());
        let inner = with_trailer(0, text("passed"))["result"].clone();
        let expected = stands("completed", "result", inner);
        get(&mut harness, &id).check("200", &expected);
        assert_eq!(harness.count(Counter::TasksCreated), 1);
        assert_eq!(harness.count(Counter::CallsInFlight), 0);
    });
}

#[test]
fn a_client_without_the_extension_waits_or_is_refused() {
    on_executor(async {
        let mut harness = harness();
        harness.call_modern("waits", json!({}), json!({})).pending();
        let mut refused = error(1, -32021);
        let needed = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
        refused["error"]["data"] = json!({ "requiredCapabilities": needed });
        harness
            .call_modern("must", json!({}), json!({}))
            .check("400", &refused);
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let params = json!({"taskId": "unknown", "_meta": claim()});
            let headers = format!("{MODERN}Mcp-Method: {method}\r\nMcp-Name: unknown\r\n");
            harness
                .post(&headers, &request(1, method, params))
                .check("400", &refused);
        }
    });
}

#[test]
fn a_server_without_such_tools_has_no_tasks() {
    let mut harness = TestEndpoint::new();
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        about(&mut harness, method, "x").check("404", &error(1, -32601));
    }
}

#[test]
fn an_unknown_task_differs_from_an_invalid_task_id() {
    let mut harness = harness();
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        for id in [
            "unknown",
            &format!("{:036x}", 1),
            &format!("ffff{:032x}", 1),
        ] {
            about(&mut harness, method, id).check("200", &error(1, -32602));
        }
        query(&mut harness, method, "x", json!({})).check("200", &error(1, -32602));
    }
    for method in ["tasks/result", "tasks/list"] {
        about(&mut harness, method, "x").check("404", &error(1, -32601));
    }
}

#[test]
fn the_name_header_repeats_the_id() {
    let mut harness = harness();
    query(&mut harness, "tasks/get", "x", json!({"taskId": "y"})).check("400", &error(1, -32020));
}

#[test]
fn a_tool_that_fails_completes_its_task_and_a_protocol_error_fails_it() {
    on_executor(async {
        let mut harness = harness();
        let (failing, breaking) = (task(&mut harness, "must"), task(&mut harness, "breaks"));
        harness.gate.open();
        harness.settle().await;
        let answer = get(&mut harness, &failing);
        assert_eq!(answer.body["result"]["status"], "completed");
        assert_eq!(answer.body["result"]["result"]["isError"], true);
        let broken = json!({"code": 7, "message": "broken"});
        let mut expected = stands("failed", "error", broken);
        expected["result"]["statusMessage"] = json!("broken (7)");
        get(&mut harness, &breaking).check("200", &expected);
    });
}

#[test]
fn an_input_request_of_a_task_is_answered_by_update() {
    on_executor(async {
        let mut harness = harness();
        let id = task(&mut harness, "asks");
        harness.settle().await;
        let answer = get(&mut harness, &id);
        assert_eq!(answer.body["result"]["status"], "input_required");
        let requested = &answer.body["result"]["inputRequests"]["who"];
        assert_eq!(requested["method"], "elicitation/create");
        let update = |harness: &mut TestEndpoint, responses: Value| {
            let params = json!({"taskId": id, "inputResponses": responses});
            query(harness, "tasks/update", &id, params)
        };
        update(&mut harness, json!({"who": 1})).check("200", &error(1, -32602));
        let named = json!({"action": "accept", "content": {"name": "Ann"}});
        update(&mut harness, json!({ "other": named })).check("200", &with_trailer(1, json!({})));
        harness.settle().await;
        assert_eq!(
            get(&mut harness, &id).body["result"]["status"],
            "input_required"
        );
        update(&mut harness, json!({ "who": named })).check("200", &with_trailer(1, json!({})));
        get(&mut harness, &id).check("200", &with_trailer(1, state("working")));
        harness.settle().await;
        let inner = with_trailer(0, text("hello Ann"))["result"].clone();
        get(&mut harness, &id).check("200", &stands("completed", "result", inner));
        update(&mut harness, json!({ "who": named })).check("200", &with_trailer(1, json!({})));
    });
}

#[test]
fn elicitations_before_a_task_exists_are_made_in_rounds() {
    on_executor(async {
        let mut harness = harness();
        let requested = call(&mut harness, "asks_first").body["result"].clone();
        assert_eq!(requested["resultType"], "input_required");
        assert!(requested.get("taskId").is_none());
        let params = json!({
            "name": "asks_first",
            "arguments": {},
            "inputResponses": {"who": {"action": "accept", "content": {"name": "Ann"}}},
            "requestState": requested["requestState"],
        });
        let answer = query(&mut harness, "tools/call", "asks_first", params);
        answer.check("200", &created());
        let id = answer.body["result"]["taskId"].as_str().unwrap().to_owned();
        harness.gate.open();
        harness.settle().await;
        let result = &get(&mut harness, &id).body["result"]["result"];
        assert_eq!(result["content"][0]["text"], "hello Ann");
    });
}

#[test]
fn a_call_that_is_done_at_once_and_one_of_another_tool_become_no_tasks() {
    let mut harness = harness();
    call(&mut harness, "at_once").check("200", &with_trailer(1, text("done")));
    let params = json!({"name": "plain", "arguments": {}, "task": {"ttl": 1}});
    query(&mut harness, "tools/call", "plain", params)
        .check("200", &with_trailer(1, text("plain")));
    assert_eq!(harness.count(Counter::TasksCreated), 0);
}

#[test]
fn cancelling_stops_the_handler_and_may_be_repeated() {
    on_executor(async {
        let mut harness = harness();
        let id = task(&mut harness, "waits");
        harness.settle().await;
        assert_eq!(harness.gate.inside(), 1);
        let acknowledged = with_trailer(1, json!({}));
        about(&mut harness, "tasks/cancel", &id).check("200", &acknowledged);
        harness.settle().await;
        assert_eq!(harness.gate.inside(), 0);
        get(&mut harness, &id).check("200", &with_trailer(1, state("cancelled")));
        about(&mut harness, "tasks/cancel", &id).check("200", &acknowledged);
        assert_eq!(harness.count(Counter::TasksCancelled), 1);
    });
}

#[test]
fn a_task_outlives_the_deadline_of_calls_and_ends_with_its_time() {
    on_executor(async {
        let mut harness = harness();
        let id = task(&mut harness, "waits");
        harness.expire_at(4999);
        harness.settle().await;
        get(&mut harness, &id).check("200", &with_trailer(1, state("working")));
        assert_eq!(harness.endpoint.next_deadline_ms(), Some(5000));
        harness.expire_at(5000);
        harness.settle().await;
        get(&mut harness, &id).check("200", &error(1, -32602));
        assert_eq!(harness.gate.inside(), 0);
        assert_eq!(harness.count(Counter::TasksExpired), 1);
        assert_eq!(harness.count(Counter::TasksKept), 0);
    });
}

#[test]
fn a_call_without_room_for_its_task_is_refused_before_it_runs() {
    on_executor(async {
        let mut harness = harness();
        let ids: Vec<String> = (0..4).map(|_| task(&mut harness, "waits")).collect();
        call(&mut harness, "waits").check("503", &error(1, -32603));
        assert_eq!((harness.gate.inside(), harness.gate.entered()), (4, 4));
        about(&mut harness, "tasks/cancel", &ids[0]);
        task(&mut harness, "waits");
        assert_eq!(harness.count(Counter::TasksEvicted), 1);
        assert_eq!(harness.count(Counter::TasksKept), 4);
    });
}

#[test]
fn a_result_without_room_fails_its_task() {
    on_executor(async {
        let mut harness = endpoint_with(|settings| settings.tasks.result_bytes_max = 10);
        let id = task(&mut harness, "waits");
        harness.gate.open();
        harness.settle().await;
        let lost = json!({"code": -32603, "message": "*"});
        get(&mut harness, &id).check("200", &stands("failed", "error", lost));
    });
}

#[test]
fn a_task_reports_no_progress() {
    on_executor(async {
        let mut harness = harness();
        let id = task(&mut harness, "moves");
        harness.gate.open();
        assert!(harness.settle().await.is_empty());
        assert_eq!(get(&mut harness, &id).body["result"]["status"], "completed");
    });
}

#[test]
fn a_request_for_a_task_of_another_shard_goes_to_its_home() {
    on_executor(async {
        let shard = |number| {
            endpoint_with(|settings| {
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
        home.endpoint.handle_forwarded(*request, &mut out);
        let body: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(body["result"]["taskId"], id);
        assert_eq!(body["result"]["status"], "working");
    });
}

#[test]
fn the_server_says_that_it_has_tasks_in_the_words_of_each_era() {
    let mut harness = harness();
    let headers = format!("{MODERN}Mcp-Method: server/discover\r\n");
    let discover = request(1, "server/discover", json!({"_meta": claim()}));
    let modern = harness.post(&headers, &discover).body["result"]["capabilities"].clone();
    assert_eq!(
        modern["extensions"],
        json!({"io.modelcontextprotocol/tasks": {}})
    );
    assert!(modern.get("tasks").is_none());
    for (version, has_tasks) in [("2025-11-25", true), ("2025-06-18", false)] {
        let answer = harness.post("", &super::test_endpoint::initialize(version));
        let legacy = &answer.body["result"]["capabilities"];
        assert_eq!(legacy.get("tasks").is_some(), has_tasks, "{version}");
        assert!(legacy.get("extensions").is_none());
    }
}

//! Calls that become tasks, over a pipe in memory. Time is virtual.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use corelane_client::{Client, Clock, Elicit, Era, Error, TaskStatus, json};
use serde_json::Value;

use crate::lines::{Seen, greeting, methods, result, serve};

/// The interval at which the servers of these tests want to be queried.
const INTERVAL_MS: u64 = 400;

/// The members of a task.
fn task(status: &str) -> Value {
    json!({"taskId": "t1", "status": status, "ttlMs": null, "pollIntervalMs": INTERVAL_MS,
        "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z"})
}

fn created() -> Value {
    let mut created = task("working");
    created["resultType"] = json!("task");
    created
}

fn with(status: &str, member: &str, value: Value) -> Value {
    let mut members = task(status);
    members[member] = value;
    members
}

fn text(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

/// A modern server whose calls become a task of these states, one for each query. The last one
/// stays. Everything else gets an empty result.
async fn connect(states: Vec<Value>) -> (Client, Seen) {
    let next = AtomicUsize::new(0);
    let (pipe, seen) = serve(move |message| match message["method"].as_str() {
        Some("tools/call") => result(message, created()),
        Some("tasks/get") => {
            let at = next.fetch_add(1, Ordering::Relaxed);
            result(message, states[at.min(states.len() - 1)].clone())
        }
        Some("notifications/cancelled") => Vec::new(),
        _ => greeting(message).unwrap_or_else(|| result(message, json!({}))),
    });
    let builder = Client::builder().on_elicit(|form: Elicit| async move {
        let name = form.message.clone();
        form.accept(json!({"name": name}))
    });
    (builder.connect(pipe).await.expect("a server"), seen)
}

/// The params of all messages of a method.
fn params_of(seen: &Seen, method: &str) -> Vec<Value> {
    let seen = seen.lock().expect("no panic");
    let all = seen.iter().filter(|message| message["method"] == method);
    all.map(|message| message["params"].clone()).collect()
}

fn question(name: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let params = json!({"message": name, "requestedSchema": schema});
    json!({"method": "elicitation/create", "params": params})
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_its_task_and_gives_each_input_once() {
    let (one, other) = (question("one"), question("other"));
    let (client, seen) = connect(vec![
        task("working"),
        with("input_required", "inputRequests", json!({"k1": one})),
        with("input_required", "inputRequests", json!({"k1": one})),
        with(
            "input_required",
            "inputRequests",
            json!({"k1": one, "k2": other}),
        ),
        with("completed", "result", text("done")),
    ])
    .await;
    let start = tokio::time::Instant::now();
    let done = client.call("build", json!({})).await.expect("a result");
    assert_eq!(done.text(), "done");
    // Five queries, each after the interval that the server wants.
    let waited = start.elapsed().as_millis();
    assert!((2000..2050).contains(&waited), "{waited}");
    assert_eq!(params_of(&seen, "tasks/get").len(), 5);
    for params in params_of(&seen, "tasks/get") {
        assert_eq!(params["taskId"], "t1");
    }
    let updates = params_of(&seen, "tasks/update");
    let given =
        |key: &str, name: &str| json!({ key: {"action": "accept", "content": {"name": name}} });
    let responses: Vec<&Value> = updates.iter().map(|it| &it["inputResponses"]).collect();
    assert_eq!(responses, [&given("k1", "one"), &given("k2", "other")]);
    let declared = &params_of(&seen, "tools/call")[0]["_meta"];
    let declared = &declared["io.modelcontextprotocol/clientCapabilities"]["extensions"];
    assert_eq!(*declared, json!({"io.modelcontextprotocol/tasks": {}}));
    assert_eq!(params_of(&seen, "tasks/cancel"), [Value::Null; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_handle_has_the_state_and_the_result_and_may_be_picked_up_by_its_id() {
    let mut building = task("working");
    building["statusMessage"] = json!("half of it");
    let (client, seen) = connect(vec![
        building,
        task("working"),
        with("completed", "result", text("built")),
    ])
    .await;
    let task = client
        .call("build", json!({}))
        .as_task()
        .await
        .expect("a task");
    assert_eq!(task.id(), Some("t1"));
    let state = task.progress().await.expect("a state");
    assert_eq!(state.status, TaskStatus::Working);
    assert_eq!(state.message.as_deref(), Some("half of it"));
    // The wait for the result may be given up, and begun again.
    let waiting = tokio::time::timeout(Duration::from_millis(10), task.result()).await;
    assert!(waiting.is_err());
    drop(task);
    let again = client.task("t1");
    assert_eq!(again.result().await.expect("a result").text(), "built");
    assert_eq!(params_of(&seen, "tasks/cancel"), [Value::Null; 0]);
    again.cancel().await.expect("an answer");
    assert_eq!(params_of(&seen, "tasks/cancel")[0]["taskId"], "t1");
}

#[tokio::test(start_paused = true)]
async fn each_end_of_a_task_is_a_result_or_an_error() {
    let refused = json!({"code": -32000, "message": "no"});
    for (end, expected) in [
        (with("completed", "result", text("x")), "Ok"),
        (
            with("failed", "error", refused),
            "Err(Refused(JsonRpcError { code: -32000",
        ),
        (task("cancelled"), "Err(Tool(\"the task was cancelled\"))"),
        (
            with("cancelled", "statusMessage", json!("by ann")),
            "Err(Tool(\"the task was cancelled: by ann\"))",
        ),
        (task("completed"), "Err(Protocol"),
        (task("failed"), "Err(Protocol"),
        (task("dreaming"), "Err(Protocol"),
        (json!({"status": "completed"}), "Err(Protocol"),
    ] {
        let (client, _) = connect(vec![end.clone()]).await;
        let found = format!("{:?}", client.call("x", json!({})).await);
        assert!(found.starts_with(expected), "{end}: {found}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_or_late_cancels_its_task_and_a_handle_does_not() {
    let (client, seen) = connect(vec![task("working")]).await;
    let late = client
        .call("x", json!({}))
        .max_timeout(Duration::from_secs(7))
        .await;
    assert!(
        matches!(late, Err(Error::Timeout(Clock::Total))),
        "{late:?}"
    );
    let call = client.call("x", json!({}));
    let dropped = tokio::time::timeout(
        Duration::from_secs(3),
        std::future::IntoFuture::into_future(call),
    );
    assert!(dropped.await.is_err());
    // The pipe is in memory: when time moves, every task is idle.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(params_of(&seen, "tasks/cancel").len(), 2);

    let task = client.task("t1").max_timeout(Duration::from_secs(7));
    let late = task.result().await;
    assert!(
        matches!(late, Err(Error::Timeout(Clock::Total))),
        "{late:?}"
    );
    drop(task);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(params_of(&seen, "tasks/cancel").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_cannot_make_the_client_query_it_all_the_time_or_give_input_for_ever() {
    let (client, seen) = connect(vec![with("working", "pollIntervalMs", json!(0))]).await;
    let task = client.task("t1").max_timeout(Duration::from_secs(10));
    assert!(matches!(task.result().await, Err(Error::Timeout(_))));
    let queries = params_of(&seen, "tasks/get").len();
    assert!((100..=201).contains(&queries), "{queries}");

    let number = Mutex::new(0);
    let (pipe, _) = serve(move |message| match message["method"].as_str() {
        Some("tools/call") => result(message, created()),
        Some("tasks/get") => {
            let mut number = number.lock().expect("no panic");
            *number += 1;
            let requests = json!({ number.to_string(): question("again") });
            result(message, with("input_required", "inputRequests", requests))
        }
        _ => greeting(message).unwrap_or_else(|| result(message, json!({}))),
    });
    let builder = Client::builder().on_elicit(|form: Elicit| async move { form.decline() });
    let client = builder.connect(pipe).await.expect("a server");
    let error = client
        .call("x", json!({}))
        .await
        .expect_err("no end")
        .to_string();
    assert!(error.contains("more than 256 times"), "{error}");
}

/// A legacy server: it makes tasks on request, and elicits input before it sends the result.
fn legacy(message: &Value, makes_tasks: bool) -> Vec<Value> {
    let elicited = || {
        let mut request = question("Ada");
        (request["jsonrpc"], request["id"]) = (json!("2.0"), json!("q1"));
        request
    };
    match message["method"].as_str() {
        Some("initialize") => {
            let calls = json!({"requests": {"tools": {"call": {}}}});
            let capabilities = match makes_tasks {
                true => json!({"tools": {}, "tasks": calls}),
                false => json!({"tools": {}}),
            };
            let version = json!({"protocolVersion": "2025-11-25", "capabilities": capabilities});
            result(message, version)
        }
        Some("tools/call") if message["params"].get("task").is_some() => {
            let mut members = task("working");
            members["pollInterval"] = members["pollIntervalMs"].take();
            members
                .as_object_mut()
                .expect("members")
                .remove("pollIntervalMs");
            result(message, json!({ "task": members }))
        }
        Some("tools/call") => result(message, text("at once")),
        Some("tasks/get") => result(message, task("input_required")),
        Some("tasks/result") => [vec![elicited()], result(message, text("later"))].concat(),
        _ => Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_legacy_server_makes_a_task_on_request_if_it_can() {
    for (makes_tasks, id, expected) in [(true, Some("t1"), "later"), (false, None, "at once")] {
        let (pipe, seen) = serve(move |message| legacy(message, makes_tasks));
        let builder = Client::builder().era(Era::Legacy);
        let builder = builder.on_elicit(|form: Elicit| async move { form.accept_defaults() });
        let client = builder.connect(pipe).await.expect("a server");
        let plain = client.call("x", json!({})).await.expect("a result");
        assert_eq!(plain.text(), "at once");
        let task = client.call("x", json!({})).as_task().await.expect("a task");
        assert_eq!(task.id(), id);
        assert_eq!(task.result().await.expect("a result").text(), expected);
        let requested = &params_of(&seen, "tools/call")[1];
        assert_eq!(requested.get("task").is_some(), makes_tasks, "{requested}");
        tokio::time::sleep(Duration::from_millis(1)).await;
        let answers = methods(&seen);
        let answers = answers.iter().filter(|method| *method == "response");
        assert_eq!(answers.count(), usize::from(makes_tasks));
        if !makes_tasks {
            assert_eq!(
                task.progress().await.expect("a state").status,
                TaskStatus::Completed
            );
        }
    }
}

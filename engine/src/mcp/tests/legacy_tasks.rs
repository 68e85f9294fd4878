//! Tasks of MCP 2025-11-25: the requests of sessions for tasks and about them.

use serde_json::{Value, json};

use super::tasks::harness;
use super::test_endpoint::{
    Answer, TestEndpoint, check_parts, error, failure, notification, on_executor, part_of, request,
    result, session_header, text,
};
use crate::mcp::questions::{INPUT_OVER, UNREACHABLE};
use crate::mcp::{Disposition, Exchange, Part};

/// A session of a client that can elicit, of the revision `version`; returns its header line.
fn session_of(harness: &mut TestEndpoint, version: &str) -> String {
    let params = json!({
        "protocolVersion": version,
        "capabilities": {"elicitation": {}},
        "clientInfo": {"name": "n", "version": "1"},
    });
    match harness
        .post("", &request(1, "initialize", params))
        .disposition
    {
        Disposition::Answer {
            session: Some(session),
            ..
        } => session_header(session.id),
        other => panic!("initialize makes a session: {other:?}"),
    }
}

pub(super) fn session(harness: &mut TestEndpoint) -> String {
    session_of(harness, "2025-11-25")
}

/// Calls a tool as a task if there is a wish.
pub(super) fn call(
    harness: &mut TestEndpoint,
    session: &str,
    tool: &str,
    wish: Option<Value>,
) -> Answer {
    call_with(harness, session, tool, (json!({}), wish))
}

fn call_with(
    harness: &mut TestEndpoint,
    session: &str,
    tool: &str,
    (arguments, wish): (Value, Option<Value>),
) -> Answer {
    let meta = json!({"progressToken": "p"});
    let mut params = json!({"name": tool, "arguments": arguments, "_meta": meta});
    if let Some(wish) = wish {
        params["task"] = wish;
    }
    harness.post(session, &request(1, "tools/call", params))
}

/// Calls a tool as a task; returns the task's id.
pub(super) fn task(harness: &mut TestEndpoint, session: &str, tool: &str) -> String {
    let answer = call(harness, session, tool, Some(json!({})));
    answer.check("200", &result(1, json!({"task": state("working")})));
    let id = &answer.body["result"]["task"]["taskId"];
    id.as_str().unwrap().to_owned()
}

pub(super) fn about(harness: &mut TestEndpoint, session: &str, method: &str, id: &str) -> Answer {
    harness.post(session, &request(2, method, json!({"taskId": id})))
}

fn state(status: &str) -> Value {
    json!({
        "taskId": "*", "status": status, "createdAt": "*", "lastUpdatedAt": "*",
        "ttl": 5000, "pollInterval": 100,
    })
}

#[track_caller]
fn check_state(harness: &mut TestEndpoint, session: &str, id: &str, status: &str) {
    about(harness, session, "tasks/get", id).check("200", &result(2, state(status)));
}

#[track_caller]
fn check_failed(harness: &mut TestEndpoint, session: &str, id: &str, why: &str) {
    let mut expected = state("failed");
    expected["statusMessage"] = json!(why);
    about(harness, session, "tasks/get", id).check("200", &result(2, expected));
}

/// A result, or the params of a message, that names the task `id`.
fn related(mut object: Value, id: &str) -> Value {
    object["_meta"]["io.modelcontextprotocol/related-task"] = json!({ "taskId": id });
    object
}

/// The deliveries besides the statuses of tasks.
fn without_statuses(mut delivered: Vec<(Exchange, Part)>) -> Vec<(Exchange, Part)> {
    delivered.retain(|(_, part)| part_of(part).1["method"] != "notifications/tasks/status");
    delivered
}

#[test]
fn the_result_of_a_task_is_waited_for_and_names_it() {
    on_executor(async {
        let mut harness = harness();
        let session = session(&mut harness);
        let id = task(&mut harness, &session, "waits");
        check_state(&mut harness, &session, &id, "working");
        let waiting = about(&mut harness, &session, "tasks/result", &id);
        assert!(matches!(waiting.disposition, Disposition::Pending(None)));
        harness.gate.open();
        let expected = result(2, related(text("passed"), &id));
        let delivered = harness.settle().await;
        check_parts(&delivered, waiting.exchange, &[("200", expected.clone())]);
        check_state(&mut harness, &session, &id, "completed");
        about(&mut harness, &session, "tasks/result", &id).check("200", &expected);
    });
}

#[test]
fn the_tool_says_whether_its_calls_are_tasks() {
    on_executor(async {
        let mut harness = harness();
        let session = session(&mut harness);
        let wish = Some(json!({}));
        call(&mut harness, &session, "plain", wish.clone()).check("200", &error(1, -32601));
        call(&mut harness, &session, "must", None).check("200", &error(1, -32601));
        call(&mut harness, &session, "waits", None).pending();
        let wrong = Some(json!({"ttl": "long"}));
        call(&mut harness, &session, "waits", wrong).check("200", &error(1, -32602));
        // A task is a task, however soon it is over.
        let id = task(&mut harness, &session, "at_once");
        harness.settle().await;
        check_state(&mut harness, &session, &id, "completed");
        for (ttl, kept) in [(json!(7000), 7000), (json!(1e300), 60_000), (json!(1), 100)] {
            let wish = Some(json!({ "ttl": ttl }));
            let answer = call(&mut harness, &session, "at_once", wish);
            assert_eq!(answer.body["result"]["task"]["ttl"], kept);
            harness.settle().await;
        }
    });
}

#[test]
fn a_tool_that_fails_and_an_error_both_fail_the_task() {
    on_executor(async {
        let mut harness = harness();
        let session = session(&mut harness);
        let failing = task(&mut harness, &session, "must");
        let breaking = task(&mut harness, &session, "breaks");
        harness.gate.open();
        harness.settle().await;
        check_failed(&mut harness, &session, &failing, "broke");
        let expected = result(2, related(failure("broke"), &failing));
        about(&mut harness, &session, "tasks/result", &failing).check("200", &expected);
        check_failed(&mut harness, &session, &breaking, "broken (7)");
        about(&mut harness, &session, "tasks/result", &breaking).check("200", &error(2, 7));
        let arguments = json!({"digit": "one"});
        call_with(
            &mut harness,
            &session,
            "waits",
            (arguments, Some(json!({}))),
        )
        .check("200", &result(1, json!({"task": state("working")})));
        harness.settle().await;
        let listed = harness.post(&session, &request(2, "tasks/list", json!({})));
        assert_eq!(listed.body["result"]["tasks"][2]["status"], "failed");
    });
}

#[test]
fn a_session_lists_its_own_tasks_and_no_other_knows_them() {
    on_executor(async {
        let mut harness = harness();
        let (session, other) = (session(&mut harness), session(&mut harness));
        let ids = [
            task(&mut harness, &session, "waits"),
            task(&mut harness, &session, "waits"),
        ];
        let list = |harness: &mut TestEndpoint, session: &str, params: Value| {
            harness.post(session, &request(2, "tasks/list", params))
        };
        let tasks = json!({"tasks": [state("working"), state("working")]});
        let answer = list(&mut harness, &session, json!({}));
        answer.check("200", &result(2, tasks));
        for (at, id) in ids.iter().enumerate() {
            assert_eq!(answer.body["result"]["tasks"][at]["taskId"], *id);
        }
        list(&mut harness, &other, json!({})).check("200", &result(2, json!({"tasks": []})));
        for cursor in [json!("x"), json!(1), json!("ffffffffffffffff")] {
            let params = json!({ "cursor": cursor });
            list(&mut harness, &session, params).check("200", &error(2, -32602));
        }
        for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
            about(&mut harness, &other, method, &ids[0]).check("200", &error(2, -32602));
            about(&mut harness, &session, method, "unknown").check("200", &error(2, -32602));
            harness
                .post(&session, &request(2, method, json!({})))
                .check("200", &error(2, -32602));
        }
        about(&mut harness, &session, "tasks/update", &ids[0]).check("200", &error(2, -32601));
        check_state(&mut harness, &session, &ids[0], "working");
    });
}

#[test]
fn cancelling_ends_a_task_once_and_returns_its_waiters() {
    on_executor(async {
        let mut harness = harness();
        let session = session(&mut harness);
        let id = task(&mut harness, &session, "waits");
        let waiting = about(&mut harness, &session, "tasks/result", &id);
        harness.settle().await;
        let by_request = notification("notifications/cancelled", json!({"requestId": 1}));
        harness.post(&session, &by_request);
        assert!(harness.settle().await.is_empty());
        assert_eq!(harness.gate.inside(), 1);
        check_state(&mut harness, &session, &id, "working");
        let expected = result(2, state("cancelled"));
        about(&mut harness, &session, "tasks/cancel", &id).check("200", &expected);
        let delivered = harness.settle().await;
        check_parts(&delivered, waiting.exchange, &[("200", error(2, -32602))]);
        assert_eq!(harness.gate.inside(), 0);
        about(&mut harness, &session, "tasks/cancel", &id).check("200", &error(2, -32602));
        check_state(&mut harness, &session, &id, "cancelled");
    });
}

#[test]
fn a_task_has_no_stream_of_its_own() {
    on_executor(async {
        let mut harness = harness();
        harness.takes_events = true;
        let session = session(&mut harness);
        let id = task(&mut harness, &session, "waits");
        assert!(harness.settle().await.is_empty(), "its client was answered");
        assert_eq!(harness.kept_event_bytes(), 0);
        harness.gate.open();
        harness.settle().await;
        check_state(&mut harness, &session, &id, "completed");
        assert_eq!(harness.kept_event_bytes(), 0);
    });
}

#[test]
fn an_input_request_of_a_task_goes_to_the_last_waiter_for_its_result() {
    on_executor(async {
        let mut harness = harness();
        harness.takes_events = true;
        let session = session(&mut harness);
        let id = task(&mut harness, &session, "asks");
        // The connection of the first may be gone, which has no report.
        about(&mut harness, &session, "tasks/result", &id);
        let last = about(&mut harness, &session, "tasks/result", &id);
        let delivered = without_statuses(harness.settle().await);
        let [(exchange, part)] = &delivered[..] else {
            panic!("one question: {delivered:?}");
        };
        assert_eq!(*exchange, last.exchange);
        assert_eq!(part_of(part).1["method"], "elicitation/create");
    });
}

#[test]
fn an_input_request_of_a_task_fails_when_its_client_has_ended_its_input() {
    on_executor(async {
        for is_open in [true, false] {
            let mut harness = harness();
            harness.takes_events = true;
            let session = session(&mut harness);
            let id = task(&mut harness, &session, "asks");
            let waiting = about(&mut harness, &session, "tasks/result", &id);
            if is_open {
                assert_eq!(without_statuses(harness.settle().await).len(), 1);
            }
            harness.endpoint.handle_end_of_answers();
            let expected = [("200", result(2, related(failure(INPUT_OVER), &id)))];
            let delivered = without_statuses(harness.settle().await);
            check_parts(&delivered, waiting.exchange, &expected);
        }
    });
}

#[test]
fn a_task_says_nothing_to_a_client_that_has_no_room() {
    on_executor(async {
        let mut harness = harness();
        let session = session(&mut harness);
        let id = task(&mut harness, &session, "moves");
        let waiting = about(&mut harness, &session, "tasks/result", &id);
        let mut stalled = Default::default();
        assert!(
            harness
                .settle_while(|_| false, &mut stalled)
                .await
                .is_empty()
        );
        harness.endpoint.pump(stalled[0], |_| true);
        let delivered = harness.deliveries();
        let [(exchange, part)] = &delivered[..] else {
            panic!("one message: {delivered:?}");
        };
        assert_eq!(*exchange, waiting.exchange);
        assert_eq!(part_of(part).1["method"], "notifications/progress");
    });
}

#[test]
fn an_input_request_of_a_task_goes_to_the_waiter_for_its_result() {
    on_executor(async {
        for waits_first in [true, false] {
            let mut harness = harness();
            harness.takes_events = true;
            let session = session(&mut harness);
            let id = task(&mut harness, &session, "asks");
            let mut delivered = Vec::new();
            if !waits_first {
                assert!(harness.settle().await.is_empty());
                check_state(&mut harness, &session, &id, "input_required");
            }
            let waiting = about(&mut harness, &session, "tasks/result", &id);
            delivered.extend(without_statuses(harness.settle().await));
            check_state(&mut harness, &session, &id, "input_required");
            let [(exchange, part)] = &delivered[..] else {
                panic!("one question: {delivered:?}");
            };
            assert_eq!(*exchange, waiting.exchange);
            let (kind, question) = part_of(part);
            assert_eq!(
                (&*kind, &question["method"]),
                ("event", &json!("elicitation/create"))
            );
            let meta = &question["params"]["_meta"]["io.modelcontextprotocol/related-task"];
            assert_eq!(meta["taskId"], id);
            let accepted = json!({"action": "accept", "content": {"name": "Ann"}});
            let answer = result(question["id"].clone(), accepted);
            harness.post(&session, &answer.to_string());
            check_state(&mut harness, &session, &id, "working");
            let expected = result(2, related(text("hello Ann"), &id));
            check_parts(
                &without_statuses(harness.settle().await),
                waiting.exchange,
                &[("200", expected)],
            );
        }
    });
}

#[test]
fn a_task_elicits_from_a_client_that_takes_json_only_on_a_stream_of_its_session_or_fails() {
    on_executor(async {
        for waits_first in [true, false] {
            for has_stream in [true, false] {
                let mut harness = harness();
                let session = session(&mut harness);
                let opened = has_stream.then(|| harness.send("GET", &session));
                let id = task(&mut harness, &session, "asks");
                if !waits_first {
                    // The client may come for the result, and take a stream then.
                    harness.settle().await;
                    check_state(&mut harness, &session, &id, "input_required");
                }
                let waiting = about(&mut harness, &session, "tasks/result", &id);
                let delivered = harness.settle().await;
                let Some(opened) = opened else {
                    let failed = related(failure(UNREACHABLE), &id);
                    let expected = [("200", result(2, failed))];
                    check_parts(&delivered, waiting.exchange, &expected);
                    continue;
                };
                let mut requests = delivered.iter().filter(|(exchange, part)| {
                    *exchange == opened.exchange
                        && part_of(part).1["method"] == "elicitation/create"
                });
                assert!(requests.next().is_some(), "{delivered:?}");
                check_state(&mut harness, &session, &id, "input_required");
            }
        }
    });
}

#[test]
fn a_request_for_a_result_is_cancelled_and_its_task_goes_on() {
    on_executor(async {
        let mut harness = harness();
        let (session, other) = (session(&mut harness), session(&mut harness));
        let id = task(&mut harness, &session, "waits");
        let waiting = about(&mut harness, &session, "tasks/result", &id);
        let cancelled = notification("notifications/cancelled", json!({"requestId": 2}));
        harness.post(&other, &cancelled);
        assert!(harness.settle().await.is_empty(), "of another session");
        harness.post(&session, &cancelled);
        let delivered = harness.settle().await;
        check_parts(&delivered, waiting.exchange, &[("unanswered", Value::Null)]);
        check_state(&mut harness, &session, &id, "working");
        harness.gate.open();
        assert!(harness.settle().await.is_empty(), "nobody waits");
        check_state(&mut harness, &session, &id, "completed");
    });
}

#[test]
fn progress_of_a_task_goes_to_a_waiter_or_is_lost() {
    on_executor(async {
        for waits in [true, false] {
            let mut harness = harness();
            let session = session(&mut harness);
            let id = task(&mut harness, &session, "moves");
            let waiting = waits.then(|| about(&mut harness, &session, "tasks/result", &id));
            let delivered = harness.settle().await;
            if let Some(waiting) = waiting {
                let mut progress = super::test_endpoint::progress(1.0);
                progress["params"] = related(progress["params"].clone(), &id);
                check_parts(&delivered, waiting.exchange, &[("event", progress)]);
            } else {
                assert!(delivered.is_empty(), "{delivered:?}");
            }
            assert_eq!(harness.gate.inside(), 1);
        }
    });
}

#[test]
fn of_many_waiting_requests_the_last_ones_are_answered() {
    on_executor(async {
        let mut harness = harness();
        let session = session(&mut harness);
        let id = task(&mut harness, &session, "waits");
        let requested: Vec<Answer> = (0..9)
            .map(|_| about(&mut harness, &session, "tasks/result", &id))
            .collect();
        let delivered = harness.settle().await;
        check_parts(
            &delivered,
            requested[0].exchange,
            &[("200", error(2, -32603))],
        );
        harness.gate.open();
        let delivered = harness.settle().await;
        let reached: Vec<_> = delivered.iter().map(|(exchange, _)| *exchange).collect();
        let expected: Vec<_> = requested[1..].iter().map(|it| it.exchange).collect();
        assert_eq!(reached, expected);
    });
}

#[test]
fn the_time_of_a_task_and_the_end_of_its_session_end_it() {
    on_executor(async {
        for ends_session in [true, false] {
            let mut harness = harness();
            let session = session(&mut harness);
            let id = task(&mut harness, &session, "waits");
            let waiting = about(&mut harness, &session, "tasks/result", &id);
            harness.settle().await;
            assert_eq!(harness.gate.inside(), 1);
            if ends_session {
                harness.send("DELETE", &session);
            } else {
                harness.expire_at(5000);
            }
            let delivered = harness.settle().await;
            check_parts(&delivered, waiting.exchange, &[("200", error(2, -32602))]);
            assert_eq!(harness.gate.inside(), 0);
            assert_eq!(harness.count(crate::meter::Counter::TasksKept), 0);
        }
    });
}

#[test]
fn an_older_revision_knows_no_tasks() {
    on_executor(async {
        let mut harness = harness();
        let session = session_of(&mut harness, "2025-06-18");
        call(&mut harness, &session, "at_once", Some(json!({})))
            .check("200", &result(1, text("done")));
        call(&mut harness, &session, "must", None).check("200", &error(1, -32601));
        for method in ["tasks/get", "tasks/result", "tasks/cancel", "tasks/list"] {
            about(&mut harness, &session, method, "x").check("200", &error(2, -32601));
        }
    });
}

#[test]
fn a_list_of_tools_says_which_support_tasks() {
    let mut harness = harness();
    let session = session(&mut harness);
    let answer = harness.post(&session, &request(1, "tools/list", json!({})));
    let tools = answer.body["result"]["tools"].as_array().unwrap();
    let said = |at: usize| tools[at].get("execution");
    assert_eq!(said(0), None);
    assert_eq!(said(1), Some(&json!({"taskSupport": "optional"})));
    assert_eq!(said(2), Some(&json!({"taskSupport": "required"})));
}

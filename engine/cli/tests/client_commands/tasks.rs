//! `corelane call` with tasks, which outlive a command.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::process::run;
use crate::scripted::{Seen, greeting, lines, result};

/// A server whose calls become a task that has ended at its third query.
fn start() -> (String, Seen) {
    let queries = AtomicUsize::new(0);
    lines(move |message| {
        let state = |status: &str| json!({"taskId": "t1", "status": status, "pollIntervalMs": 50});
        match message["method"].as_str() {
            Some("tools/call") => {
                let mut created = state("working");
                created["resultType"] = json!("task");
                result(message, created)
            }
            Some("tasks/get") => {
                let mut members = state("working");
                if queries.fetch_add(1, Ordering::Relaxed) >= 2 {
                    members = state("completed");
                    members["result"] = json!({"content": [{"type": "text", "text": "built"}]});
                }
                result(message, members)
            }
            _ => greeting(message, &json!([])).unwrap_or_default(),
        }
    })
}

#[test]
fn a_task_is_made_by_one_command_and_its_result_is_had_by_another() {
    for (json, id, text) in [(false, "t1", "built"), (true, r#"{"taskId":"t1"}"#, "")] {
        let (target, seen) = start();
        let end = if json { &["--json"][..] } else { &[] };
        let begin = ["call", &target, "build", "--no-schema", "--task"];
        assert_eq!(run(&[&begin[..], end].concat()).done(), format!("{id}\n"));
        let queried = |method: &str| {
            let seen = seen.lock().expect("no panic");
            seen.iter().filter(|it| it["method"] == method).count()
        };
        assert_eq!((queried("tasks/get"), queried("tasks/cancel")), (0, 0));
        let wait = ["call", &target, "--task-id", "t1"];
        let found = run(&[&wait[..], end].concat()).done();
        match json {
            false => assert_eq!(found, format!("{text}\n")),
            true => {
                let result: Value = serde_json::from_str(&found).expect("JSON");
                assert_eq!(result["content"][0]["text"], "built");
            }
        }
        assert_eq!((queried("tasks/get"), queried("tools/call")), (3, 1));
    }
}

#[test]
fn wrong_arguments_of_tasks_are_2() {
    let (target, seen) = start();
    for arguments in [
        &["build", "--task", "--task-id", "t1"][..],
        &["build", "--task-id", "t1"],
        &["--method", "x", "--task"],
        &["--task"],
    ] {
        let found = run(&[&["call", &target][..], arguments].concat());
        assert_eq!(found.code, Some(2), "{arguments:?}: {found:?}");
    }
    assert_eq!(seen.lock().expect("no panic").len(), 0);
    let (legacy, _) = lines(|message| match message["method"].as_str() {
        Some("initialize") => {
            let version = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
            result(message, version)
        }
        _ => Vec::new(),
    });
    let call = [
        "call",
        &legacy,
        "x",
        "--no-schema",
        "--task",
        "--era",
        "legacy",
    ];
    let found = run(&call);
    assert_eq!(found.code, Some(2), "{found:?}");
    assert!(found.errors.contains("leave --task out"), "{found:?}");
}

//! What the commands print with `--json` fits its published schema.

use serde_json::{Value, json};

use crate::process::{CORELANE, Run, run};
use crate::scripted::{greeting, lines, result};

/// The schema of one kind of object.
fn schema(kind: &str) -> jsonschema::Validator {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/client-output.schema.json"
    );
    let text = std::fs::read_to_string(path).expect("a file");
    let mut schemas: Value = serde_json::from_str(&text).expect("JSON");
    schemas["$ref"] = json!(format!("#/$defs/{kind}"));
    jsonschema::validator_for(&schemas).expect("a schema")
}

/// Checks that a text is an object of this kind, and that the schema takes no other members.
#[track_caller]
pub(crate) fn validate(kind: &str, text: &str) {
    let object: Value = serde_json::from_str(text).expect("JSON");
    if let Err(error) = schema(kind).validate(&object) {
        panic!("{kind}: {error}: {text}");
    }
    let mut more = object;
    more["other"] = json!(1);
    assert!(!schema(kind).is_valid(&more), "{kind} takes anything");
}

fn run_with_demo(line: &[&str]) -> Run {
    run(&[line, &["--", CORELANE, "serve", "--stdio"]].concat())
}

#[test]
fn failures_of_each_kind_fit() {
    let missing = tempfile::tempdir().expect("a folder");
    let missing = missing.path().join("none").display().to_string();
    for (line, kind) in [
        (&["list", "unix:/does/not/exist", "--json"][..], "connect"),
        (&["list", "nowhere", "--json"], "usage"),
        (
            &["list", "@x", "--config", &missing, "--json"],
            "configuration",
        ),
    ] {
        let failure = run(line).failure();
        assert_eq!(failure["kind"], kind);
        validate("failure", &failure.to_string());
    }
    for (line, kind) in [
        (&["read", "x:none", "--json"][..], "refused"),
        (&["call", "ech", "--json"], "usage"),
        (&["call", "greet", "--json"], "tool"),
        (
            &["call", "echo", "message=@/does/not/exist", "--json"],
            "io",
        ),
        (
            &[
                "call",
                "sleep",
                "ms=3000",
                "--max-timeout",
                "50ms",
                "--json",
            ],
            "deadline",
        ),
    ] {
        let failure = run_with_demo(line).failure();
        assert_eq!(failure["kind"], kind);
        validate("failure", &failure.to_string());
    }
}

#[test]
fn reports_changes_and_tasks_fit() {
    let report = run_with_demo(&["inspect", "--json"]).done();
    validate("report", &report);
    let legacy = run_with_demo(&["inspect", "--json", "--era", "legacy"]).done();
    validate("report", &legacy);

    let (target, _) = lines(|message| match message["method"].as_str() {
        Some("subscriptions/listen") => {
            let meta = json!({"io.modelcontextprotocol/subscriptionId": message["id"]});
            let filter = &message["params"]["notifications"];
            let notification = |method: &str, mut params: Value| {
                params["_meta"] = meta.clone();
                json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()
            };
            vec![
                notification(
                    "notifications/subscriptions/acknowledged",
                    json!({ "notifications": filter }),
                ),
                notification("notifications/prompts/list_changed", json!({})),
                notification("notifications/resources/updated", json!({"uri": "x:y"})),
            ]
        }
        Some("tools/call") => {
            let task = json!({"resultType": "task", "taskId": "t1", "status": "working"});
            result(message, task)
        }
        _ => greeting(message, &json!([])).unwrap_or_default(),
    });
    let listen = [
        "listen",
        &target,
        "--resource",
        "x:y",
        "--count",
        "2",
        "--json",
    ];
    for line in run(&listen).done().lines() {
        validate("change", line);
    }
    let call = ["call", &target, "x", "--no-schema", "--task", "--json"];
    validate("task", &run(&call).done());
}

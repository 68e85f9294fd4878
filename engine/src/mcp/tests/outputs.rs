//! Output schemas: their form for clients, and that only fitting content is sent.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::test_endpoint::{
    TestEndpoint, check_parts, error, on_executor, request, result, with_trailer,
};
use super::tools::Gate;
use crate::catalog::Plan;
use crate::catalog::tool::Tool;
use crate::handler::{Call, Structured};
use crate::{CallError, ToolResult};

#[derive(Serialize, JsonSchema)]
struct Weather {
    celsius: i32,
}

const ANY: &str = r#"{"type":"object"}"#;
const NUMBERED: &str = r#"{ "type":"object", "required":["n"] }"#;
const EITHER: &str = r#"{"anyOf":[{"type":"object"},{"type":"string"}]}"#;

async fn gives(_: &Call, value: Value) -> Result<ToolResult, CallError> {
    let structured = value.get("gives").map(serde_json::value::to_raw_value);
    Ok(ToolResult {
        structured: structured.transpose()?,
        is_error: value.get("fails").is_some(),
        ..ToolResult::default()
    })
}

fn harness(gate: &Gate) -> TestEndpoint {
    let gate = gate.clone();
    let later = async move |call: &Call, value: Value| {
        gate.pass().await;
        gives(call, value).await
    };
    let weather = async |_: &Call, _: Value| Ok(Structured(Weather { celsius: 21 }));
    let tools = vec![
        Tool::from_schema("weather", "d", ANY, weather),
        Tool::from_schema("gives", "d", ANY, gives).with_output_schema(NUMBERED),
        Tool::from_schema("later", "d", ANY, later).with_output_schema(NUMBERED),
        Tool::from_schema("either", "d", ANY, gives).with_output_schema(EITHER),
        Tool::from_schema("free", "d", ANY, gives),
    ];
    let plan = Plan::new(tools.into(), 100).expect("the tools are usable");
    TestEndpoint::with(|settings| settings.parts.plan = Arc::new(plan))
}

fn content(structured: &Value) -> Value {
    json!({
        "content": [{"type": "text", "text": structured.to_string()}],
        "structuredContent": structured,
    })
}

/// Checks the answer for a legacy client.
#[track_caller]
fn check(tool: &str, arguments: Value, expected: &Value) {
    let mut harness = harness(&Gate::default());
    let session = harness.session();
    harness
        .call_legacy(&session, tool, arguments)
        .check("200", expected);
}

#[test]
fn the_type_of_a_result_is_its_schema() {
    let mut harness = harness(&Gate::default());
    let session = harness.session();
    let listed = harness.post(&session, &request(1, "tools/list", json!({})));
    let schemas: Vec<&Value> = listed.body["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| &tool["outputSchema"])
        .collect();
    assert_eq!(schemas[0]["properties"]["celsius"]["type"], "integer");
    assert_eq!(schemas[1]["required"], json!(["n"]));
    let either: Value = serde_json::from_str(EITHER).unwrap();
    assert_eq!(schemas[3]["properties"]["result"], either);
    assert_eq!(schemas[4], &Value::Null);
    let weather = content(&json!({"celsius": 21}));
    check("weather", json!({}), &result(1, weather));
}

#[test]
fn only_content_that_fits_its_schema_is_sent() {
    let fault = error(1, -32603);
    let fits = result(1, content(&json!({"n": 1})));
    check("gives", json!({"gives": {"n": 1}}), &fits);
    check("gives", json!({"gives": {"m": 1}}), &fault);
    check("gives", json!({"gives": "n"}), &fault);
    check("gives", json!({}), &fault);
    let failed = result(1, json!({"content": [], "isError": true}));
    check("gives", json!({"fails": true}), &failed);
    let free = result(1, json!({"content": []}));
    check("free", json!({}), &free);
}

#[test]
fn a_fault_does_not_show_the_content() {
    let mut harness = harness(&Gate::default());
    let session = harness.session();
    let secret = json!({"gives": {"secret": "hidden"}});
    let answer = harness
        .call_legacy(&session, "gives", secret)
        .body
        .to_string();
    assert!(
        !answer.contains("secret") && !answer.contains("hidden"),
        "{answer}"
    );
}

#[test]
fn a_result_that_comes_later_is_checked_as_well() {
    on_executor(async {
        for (given, expected) in [
            (json!({"n": 1}), result(1, content(&json!({"n": 1})))),
            (json!([]), error(1, -32603)),
        ] {
            let gate = Gate::default();
            let mut harness = harness(&gate);
            let session = harness.session();
            let call = harness.call_legacy(&session, "later", json!({ "gives": given }));
            call.pending();
            gate.open();
            check_parts(&harness.settle().await, call.exchange, &[("200", expected)]);
        }
    });
}

#[test]
fn content_with_a_wrapped_schema_is_wrapped_for_legacy_clients_only() {
    for given in [json!("text"), json!({"a": 1})] {
        let mut wrapped = content(&given);
        wrapped["structuredContent"] = json!({ "result": given });
        check("either", json!({ "gives": given }), &result(1, wrapped));
        let mut harness = harness(&Gate::default());
        let modern = harness.call_modern("either", json!({ "gives": given }), json!({}));
        modern.check("200", &with_trailer(1, content(&given)));
    }
}

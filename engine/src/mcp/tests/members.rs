//! Members of messages that occur twice, and that are null.

use serde_json::json;

use super::test_endpoint::{MODERN, TestEndpoint, claim, error, initialize, session_header};
use crate::mcp::Disposition;
use crate::meter::Counter;

/// Parameters of a call in which two readers see two calls.
const DOUBLED: &[&str] = &[
    r#""name":"echo","name":"hold","arguments":{"message":"m"}"#,
    r#""name":"echo","arguments":{"message":"m"},"arguments":{"message":"n"}"#,
    r#""name":"echo","arguments":{"message":"m","message":"n"}"#,
    r#""name":"echo","arguments":{"message":"m","m\u0065ssage":"n"}"#,
    r#""name":"echo","arguments":{"message":"m","x":[{"y":{"z":1,"z":2}}]}"#,
];

#[test]
fn a_call_with_a_member_twice_is_refused_in_every_era_and_nothing_runs() {
    let mut harness = TestEndpoint::new();
    let session = harness.session();
    let headers = format!("{MODERN}Mcp-Method: tools/call\r\nMcp-Name: echo\r\n");
    for doubled in DOUBLED {
        let call = |params: &str| {
            format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{{params}}}}}"#)
        };
        let refused = error(7, -32600);
        harness
            .post(&session, &call(doubled))
            .check("400", &refused);
        let modern = format!("{doubled},\"_meta\":{}", claim());
        harness
            .post(&headers, &call(&modern))
            .check("400", &refused);
    }
    assert_eq!(harness.count(Counter::CallsOk), 0);
}

#[test]
fn a_call_without_arguments_may_say_null() {
    let mut harness = TestEndpoint::new();
    let session = harness.session();
    let call = |arguments: &str| {
        let params = format!(r#"{{"name":"list"{arguments}}}"#);
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{params}}}"#)
    };
    let plain = harness.post(&session, &call(""));
    assert_eq!(
        plain.body["result"]["structuredContent"],
        json!({"result": [1, 2]})
    );
    harness
        .post(&session, &call(r#","arguments":null"#))
        .check("200", &plain.body);
}

#[test]
fn a_member_twice_is_a_fault_of_every_message_of_its_batch() {
    let mut harness = TestEndpoint::new();
    let made = harness.post("", &initialize("2025-03-26")).disposition;
    let Disposition::Answer { session, .. } = made else {
        panic!("initialize is answered at once: {made:?}");
    };
    let session = session_header(session.expect("a session").id);
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":"#;
    let batch = format!(
        "[{call}{}}},{call}{{{}}}}}]",
        json!({"name": "echo", "arguments": {"message": "m"}}),
        DOUBLED[2]
    );
    harness
        .post(&session, &batch)
        .check("200", &json!([error(1, -32600), error(1, -32600)]));
    assert_eq!(harness.count(Counter::CallsOk), 0);
}

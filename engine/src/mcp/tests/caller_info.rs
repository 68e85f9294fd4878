//! The principal and headers that handlers see.

use serde_json::json;

use super::principals::{
    at_home, harness, modern, modern_call, outcome, pair, session, stamped_text,
};
use super::test_endpoint::{TestEndpoint, on_executor, request, result, text};

const LINES: &str = "x-tenant: t\r\nAuthorization: secret\r\nX-Trace: 1\r\nx-TRACE: 2\r\n";
const SEEN: &str = r#"Some("ann") Some("t") Some("1, 2")"#;

#[test]
fn handlers_see_the_principal_and_exposed_headers_in_both_eras() {
    on_executor(async {
        let mut harness = harness();
        harness.gate.open();
        let session = session(&mut harness, "2025-11-25");
        let headers = format!("{session}{LINES}");
        for tool in ["who", "later"] {
            let answer = modern_call(&mut harness, tool, LINES);
            assert_eq!(outcome(&mut harness, answer).await, stamped_text(SEEN));
            let params = json!({"name": tool, "arguments": {}});
            let answer = harness.post(&headers, &request(1, "tools/call", params));
            assert_eq!(outcome(&mut harness, answer).await, result(1, text(SEEN)));
        }
        let params = json!({"uri": "who://me"});
        let read = modern(&mut harness, "resources/read", "who://me", (params, LINES));
        assert_eq!(read.body["result"]["contents"][0]["text"], SEEN);
    });
}

#[test]
fn a_call_does_not_see_the_headers_of_an_earlier_one() {
    let mut harness = harness();
    let seen = |harness: &mut TestEndpoint, lines: &str| modern_call(harness, "who", lines).body;
    assert_eq!(seen(&mut harness, LINES), stamped_text(SEEN));
    harness.principal = None;
    assert_eq!(seen(&mut harness, ""), stamped_text("None None None"));
    let only = r#"None Some("") None"#;
    assert_eq!(seen(&mut harness, "X-Tenant:\r\n"), stamped_text(only));
}

#[test]
fn handlers_on_the_home_shard_see_the_caller_of_another_shard() {
    on_executor(async {
        let (mut front, mut home) = pair();
        home.gate.open();
        let session = session(&mut home, "2025-03-26");
        let headers = format!("{session}{LINES}");
        let call =
            |id: u64, tool: &str| request(id, "tools/call", json!({"name": tool, "arguments": {}}));
        for tool in ["who", "later"] {
            let answer = front.post(&headers, &call(1, tool));
            let answer = at_home(&mut home, answer);
            assert_eq!(outcome(&mut home, answer).await, result(1, text(SEEN)));
        }
        let both = format!("[{},{}]", call(1, "who"), call(2, "who"));
        let answer = front.post(&headers, &both);
        let expected = json!([result(1, text(SEEN)), result(2, text(SEEN))]);
        at_home(&mut home, answer).check("200", &expected);
    });
}

//! Answers of clients that are JSON of the wrong form.

use serde_json::{Value, json};

use super::{able_session, call, harness, question, response, result};
use crate::mcp::tests::test_endpoint::{check_parts, error, failure, on_executor, with_trailer};

fn malformed() -> Value {
    failure("the client's answer to \"it\" is malformed")
}

/// The answers of a modern client are objects, or its request is refused.
#[test]
fn a_malformed_response_of_a_modern_client_is_refused() {
    let mut harness = harness();
    for (tool, answer) in [
        ("elicits", json!({})),
        ("elicits", json!({"action": "accept", "content": 5})),
        ("samples", json!({})),
        ("roots", json!({})),
        ("roots", json!({"roots": 5})),
    ] {
        let more = json!({"inputResponses": {"it": answer}});
        let said = call(&mut harness, tool, more).body;
        assert_eq!(said, with_trailer(1, malformed()), "{tool}: {answer}");
    }
}

#[test]
fn a_malformed_response_of_a_session_is_refused() {
    on_executor(async {
        let mut harness = harness();
        let session = able_session(&mut harness);
        for tool in ["elicits", "samples", "roots"] {
            for answer in [json!(5), json!("s"), json!([])] {
                let called = harness.call_legacy(&session, tool, json!({}));
                called.pending();
                let requested = question(&harness.settle().await);
                harness.post(&session, &response(&requested["id"], "result", answer));
                let delivered = harness.settle().await;
                let expected = super::result(1, malformed());
                check_parts(&delivered, called.exchange, &[("200", expected)]);
            }
        }
    });
}

#[test]
fn a_response_that_is_no_message_fails_its_request_at_once_and_is_refused_without_the_id() {
    on_executor(async {
        let mut harness = harness();
        let session = able_session(&mut harness);
        let other = able_session(&mut harness);
        for (members, fault) in [
            (
                json!({"error": 5}),
                "error must be an object, not an integer",
            ),
            (
                json!({"error": {}, "result": {}}),
                "response has a result and an error",
            ),
            (json!({}), "message has no method, result or error"),
        ] {
            let called = harness.call_legacy(&session, "elicits", json!({}));
            called.pending();
            let requested = question(&harness.settle().await);
            let mut answer = json!({"jsonrpc": "2.0", "id": requested["id"]});
            let members = members.as_object().cloned().expect("an object");
            answer
                .as_object_mut()
                .expect("an object")
                .extend(members.clone());
            let answer = answer.to_string();
            // A session is heard only on its own requests.
            harness
                .post(&other, &answer)
                .check("400", &error((), -32600));
            assert!(harness.settle().await.is_empty(), "{members:?}");
            harness
                .post(&session, &answer)
                .check("400", &error((), -32600));
            let text = format!("the client's answer is malformed: {fault}");
            let expected = [("200", result(1, failure(&text)))];
            check_parts(&harness.settle().await, called.exchange, &expected);
        }
    });
}

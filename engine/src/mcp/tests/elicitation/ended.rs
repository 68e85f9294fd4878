//! Clients that have ended their input, and so answer no request any more.

use serde_json::json;

use super::{able_session, call, harness, question, requested};
use crate::mcp::NamedSession;
use crate::mcp::questions::INPUT_OVER;
use crate::mcp::tests::test_endpoint::{check_parts, failure, on_executor, part_of, result};

#[test]
fn an_open_request_fails_when_the_client_ends_its_input_and_a_later_one_is_not_sent() {
    on_executor(async {
        for is_open in [true, false] {
            let mut harness = harness();
            let session = able_session(&mut harness);
            if !is_open {
                harness.endpoint.handle_end_of_answers();
            }
            let called = harness.call_legacy(&session, "elicits", json!({}));
            called.pending();
            if is_open {
                question(&harness.settle().await);
                harness.endpoint.handle_end_of_answers();
            }
            let expected = [("200", result(1, failure(INPUT_OVER)))];
            check_parts(&harness.settle().await, called.exchange, &expected);
        }
    });
}

#[test]
fn a_modern_call_is_still_answered_with_its_requests() {
    on_executor(async {
        let mut harness = harness();
        let called = call(&mut harness, "waits", json!({}));
        called.pending();
        harness.endpoint.handle_end_of_answers();
        let delivered = harness.settle().await;
        let (_, body) = part_of(&delivered[0].1);
        assert_eq!(requested(&body).1, ["who"]);
    });
}

#[test]
fn the_end_of_one_client_fails_its_requests_and_no_others() {
    on_executor(async {
        let mut harness = harness();
        let (session, other) = (able_session(&mut harness), able_session(&mut harness));
        let called = harness.call_legacy(&session, "elicits", json!({}));
        called.pending();
        question(&harness.settle().await);
        let text = session.split_once(": ").expect("a header").1.trim();
        let id = NamedSession::parse(text.as_bytes())
            .expect("the id of a session")
            .id;
        harness.endpoint.handle_channel_input_over(id);
        let failed = [("200", result(1, failure(INPUT_OVER)))];
        check_parts(&harness.settle().await, called.exchange, &failed);
        // A later one of it is not sent, and one of another session is.
        let called = harness.call_legacy(&session, "elicits", json!({}));
        called.pending();
        check_parts(&harness.settle().await, called.exchange, &failed);
        harness.call_legacy(&other, "elicits", json!({})).pending();
        question(&harness.settle().await);
    });
}

//! Waiting calls: their ends, and the release of their resources.

use std::cell::RefCell;
use std::sync::Arc;

use serde_json::{Value, json};

use super::test_endpoint::{
    Answer, TestEndpoint, check_parts, error, failure, notification, on_executor, result, text,
    with_trailer,
};
use super::tools::{self, Gate};
use crate::Call;
use crate::catalog::Plan;
use crate::catalog::tool::Tool;
use crate::mcp::Exchange;
use crate::meter::Counter;

/// The two ways to call a tool.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Session,
    Modern,
}

const WAYS: [Way; 2] = [Way::Session, Way::Modern];

impl Way {
    fn call(self, harness: &mut TestEndpoint, session: &str, tool: &str) -> Answer {
        match self {
            Way::Session => harness.call_legacy(session, tool, json!({})),
            Way::Modern => harness.call_modern(tool, json!({}), json!({})),
        }
    }

    fn result(self, members: Value) -> Value {
        match self {
            Way::Session => result(1, members),
            Way::Modern => with_trailer(1, members),
        }
    }
}

/// Lets every way of calling `wait` run into `test`.
fn with_waiting_call(test: impl AsyncFn(Way, &mut TestEndpoint, &str, Answer)) {
    on_executor(async {
        for way in WAYS {
            let mut harness = TestEndpoint::new();
            let session = harness.session();
            let answer = way.call(&mut harness, &session, "wait");
            answer.check("pending", &Value::Null);
            assert!(harness.settle().await.is_empty());
            assert_eq!(harness.gate.inside(), 1);
            test(way, &mut harness, &session, answer).await;
        }
    });
}

/// Nothing of the call is left.
async fn check_gone(harness: &mut TestEndpoint) {
    assert!(harness.settle().await.is_empty());
    assert_eq!(harness.gate.inside(), 0);
    assert!(!harness.endpoint.has_calls());
    assert!(harness.endpoint.is_quiet());
}

#[test]
fn a_call_that_waits_is_answered_when_it_goes_on() {
    with_waiting_call(async |way, harness, _, answer| {
        harness.gate.open();
        let expected = [("200", way.result(text("passed")))];
        check_parts(&harness.settle().await, answer.exchange, &expected);
        assert_eq!(harness.count(Counter::CallsOk), 1);
        check_gone(harness).await;
    });
}

#[test]
fn a_panic_after_waiting_ends_its_own_call_and_nothing_else() {
    on_executor(async {
        for way in WAYS {
            let mut harness = TestEndpoint::new();
            let session = harness.session();
            let failing = way.call(&mut harness, &session, "panics_later");
            let other = way.call(&mut harness, &session, "wait");
            harness.gate.open();
            let delivered = harness.settle().await;
            let of = |exchange: Exchange| -> Vec<_> {
                let found = delivered.iter().find(|(it, _)| *it == exchange);
                found
                    .iter()
                    .map(|(_, part)| super::test_endpoint::part_of(part))
                    .collect()
            };
            let [(kind, message)] = &of(failing.exchange)[..] else {
                panic!("one answer: {delivered:?}");
            };
            assert_eq!(kind, "200");
            assert!(
                super::test_endpoint::agrees(message, &error(1, -32603)),
                "{message}"
            );
            let expected = ("200".to_owned(), way.result(text("passed")));
            assert_eq!(of(other.exchange), [expected]);
            check_gone(&mut harness).await;
        }
    });
}

#[test]
fn a_cancelled_call_is_not_answered() {
    on_executor(async {
        let mut harness = TestEndpoint::new();
        let session = harness.session();
        let answer = harness.call_legacy(&session, "wait", json!({}));
        harness.settle().await;
        // The id keeps its JSON type: "1" names another call, and so does another session.
        let other_session = harness.session();
        let cancelled =
            |id: Value| notification("notifications/cancelled", json!({"requestId": id}));
        for (header, id) in [
            (&session, json!("1")),
            (&session, json!(2)),
            (&other_session, json!(1)),
        ] {
            harness
                .post(header, &cancelled(id))
                .check("accepted", &Value::Null);
            assert!(harness.settle().await.is_empty());
            assert_eq!(harness.gate.inside(), 1);
        }
        harness
            .post(&session, &cancelled(json!(1)))
            .check("accepted", &Value::Null);
        check_parts(
            &harness.deliveries(),
            answer.exchange,
            &[("unanswered", Value::Null)],
        );
        assert_eq!(harness.count(Counter::CallsCancelled), 1);
        check_gone(&mut harness).await;
        harness
            .post(&session, &cancelled(json!(1)))
            .check("accepted", &Value::Null);
        check_gone(&mut harness).await;
    });
}

#[test]
fn closing_is_cancelling_for_a_modern_client_only() {
    with_waiting_call(async |way, harness, session, answer| {
        let key = answer.pending();
        let exchange = answer.exchange;
        let is_modern = way == Way::Modern;
        assert_eq!(harness.endpoint.handle_hang_up(key), is_modern);
        harness.endpoint.handle_client_gone(key, exchange);
        assert_eq!(
            harness.endpoint.services().call_events().exchange_of(key),
            None
        );
        assert!(harness.settle().await.is_empty());
        assert_eq!(harness.gate.inside(), usize::from(!is_modern));
        assert_eq!(harness.count(Counter::CallsCancelled), u64::from(is_modern));
        // A legacy call runs to its end, and its answer goes nowhere.
        harness.gate.open();
        check_gone(harness).await;
        assert_eq!(harness.count(Counter::CallsOk), u64::from(!is_modern));
        harness
            .call_legacy(session, "echo", json!({"message": "m"}))
            .check("200", &result(1, text("m")));
    });
}

#[test]
fn a_call_ends_at_its_deadline_and_not_before() {
    with_waiting_call(async |_, harness, _, answer| {
        harness.expire_at(999);
        assert!(harness.settle().await.is_empty());
        assert_eq!(harness.gate.inside(), 1);
        harness.expire_at(1000);
        check_parts(
            &harness.deliveries(),
            answer.exchange,
            &[("200", error(1, -32603))],
        );
        assert_eq!(harness.count(Counter::TimeoutsCall), 1);
        check_gone(harness).await;
    });
}

#[test]
fn a_call_beyond_the_limit_is_refused_before_its_handler_runs() {
    on_executor(async {
        for way in WAYS {
            let mut harness = TestEndpoint::with(|settings| settings.calls.calls_max = 2);
            let session = harness.session();
            way.call(&mut harness, &session, "wait").pending();
            way.call(&mut harness, &session, "wait").pending();
            let refused = way.call(&mut harness, &session, "wait");
            refused.check("503", &error(1, -32603));
            assert_eq!(harness.gate.inside(), 2);
            // Not even a handler that would be done at once: that is known only after it ran, and
            // a refused call must not have run.
            harness
                .call_modern("echo", json!({"message": "m"}), json!({}))
                .check("503", &error(1, -32603));
            harness.gate.open();
            assert_eq!(harness.settle().await.len(), 2);
            way.call(&mut harness, &session, "wait")
                .check("200", &way.result(text("passed")));
        }
    });
}

#[test]
fn an_ended_session_cancels_its_calls() {
    on_executor(async {
        let mut harness = TestEndpoint::new();
        let (session, other) = (harness.session(), harness.session());
        let answer = harness.call_legacy(&session, "wait", json!({}));
        harness.call_legacy(&other, "wait", json!({})).pending();
        harness.settle().await;
        harness.send("DELETE", &session).check("done", &Value::Null);
        check_parts(
            &harness.settle().await,
            answer.exchange,
            &[("unanswered", Value::Null)],
        );
        assert_eq!(harness.gate.inside(), 1);
    });
}

#[test]
fn calls_are_reused_unless_another_reference_exists() {
    on_executor(async {
        let mut harness = TestEndpoint::new();
        let spare = |harness: &mut TestEndpoint| harness.endpoint.services().calls.spare_count();
        for (tool, arguments, expected) in [
            ("echo", json!({"message": "m"}), text("m")),
            ("digit", json!({"digit": 300}), failure("*")),
            ("fails", json!({}), failure("*")),
        ] {
            harness
                .call_modern(tool, arguments, json!({}))
                .check("200", &with_trailer(1, expected));
            assert_eq!(spare(&mut harness), 1, "{tool}");
        }
        let waiting = harness.call_modern("wait", json!({}), json!({}));
        assert_eq!(spare(&mut harness), 0);
        harness.gate.open();
        assert_eq!(harness.settle().await.len(), 1);
        assert_eq!(spare(&mut harness), 1);
        assert_eq!(
            harness
                .endpoint
                .services()
                .call_events()
                .exchange_of(waiting.pending()),
            None
        );
    });
}

#[test]
fn a_call_used_again_remembers_nothing_of_its_last_request() {
    let mut harness = TestEndpoint::new();
    harness
        .call_modern(
            "echo",
            json!({"message": "m"}),
            json!({"progressToken": "p"}),
        )
        .check("200", &with_trailer(1, text("m")));
    assert_eq!(harness.endpoint.services().calls.spare_count(), 1);
    // Without a token there is nothing to report, so the handler is done at once.
    harness
        .call_modern("steps", json!({"steps": [1.0]}), json!({}))
        .check("200", &with_trailer(1, text("walked")));
    assert_eq!(harness.endpoint.services().calls.spare_count(), 1);
}

thread_local! {
    /// The call that the tool `keeps` was given and did not give back.
    static KEPT: RefCell<Option<Call>> = const { RefCell::new(None) };
}

#[test]
fn a_call_that_its_handler_kept_reaches_no_other_client() {
    let any = r#"{"type":"object"}"#;
    let keeps = Tool::from_schema("keeps", "d", any, async |call: &Call, _: Value| {
        KEPT.set(Some(call.clone()));
        Ok("kept")
    });
    on_executor(async {
        let gate = Gate::default();
        let mut harness = TestEndpoint::with(|settings| {
            let tools = vec![keeps, tools::waiting(&gate)];
            let plan = Plan::new(tools.into(), 10).expect("the tools are usable");
            settings.parts.plan = Arc::new(plan);
        });
        let session = harness.session();
        let answer = harness.call_legacy(&session, "keeps", json!({}));
        answer.check("200", &result(1, text("kept")));
        let waiting = harness.call_legacy(&session, "wait", json!({}));
        waiting.pending();
        let kept = KEPT.take().expect("the handler ran");
        kept.progress(1.0).await;
        assert!(
            harness.settle().await.is_empty(),
            "nobody waits for that call"
        );
        gate.open();
        let expected = [("200", result(1, text("passed")))];
        check_parts(&harness.settle().await, waiting.exchange, &expected);
    });
}

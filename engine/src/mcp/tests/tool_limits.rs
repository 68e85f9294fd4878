//! Limits of one tool: its calls in flight, its time, and the refusal of one that keeps failing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corelane_protocol::binding::refusal::Category;
use serde_json::{Value, json};

use super::principals::{ANN, BOB};
use super::test_endpoint::{
    Answer, TestEndpoint, error, notification, on_executor, part_of, text, with_trailer,
};
use super::tools::waiting;
use crate::catalog::Plan;
use crate::catalog::pending_updates::Changes;
use crate::catalog::tool::Tool;
use crate::handler::{Call, CallError};
use crate::mcp::disposition::Disposition;
use crate::meter::Counter;
use corelane_io::executor;

const ANY: &str = r#"{"type":"object"}"#;

fn call(harness: &mut TestEndpoint, tool: &str) -> Answer {
    harness.call_modern(tool, json!({}), json!({}))
}

#[track_caller]
fn check_refused(answer: &Answer, expected: &str) {
    answer.check("503", &error(1, -32603));
    let message = answer.body["error"]["message"].as_str().expect("a message");
    assert!(message.contains(expected), "{message}");
}

fn plan(tools: Vec<Tool>) -> Arc<Plan> {
    Arc::new(Plan::new(tools.into(), 10).expect("the tools of the tests are usable"))
}

#[test]
fn a_tool_that_hangs_leaves_places_to_the_others() {
    on_executor(async {
        let mut harness = TestEndpoint::with(|settings| settings.tools.in_flight_max = 2);
        call(&mut harness, "wait").pending();
        call(&mut harness, "wait").pending();
        let full = "all 2 calls in flight of the tool \"wait\" are taken on this shard";
        check_refused(&call(&mut harness, "wait"), full);
        assert_eq!(harness.gate.entered(), 2);
        assert_eq!(harness.count(Counter::CallsRefusedTool), 1);
        assert_eq!(harness.count(Counter::RefusedOverload), 1);
        call(&mut harness, "pauses").pending();
        harness.gate.open();
        harness.settle().await;
        call(&mut harness, "wait").check("200", &with_trailer(1, text("passed")));
    });
}

#[test]
fn one_client_leaves_places_of_a_tool_to_others() {
    const PLACES: usize = 90;
    on_executor(async {
        let mut harness = TestEndpoint::with(|settings| settings.tools.in_flight_max = PLACES);
        harness.principal = ANN;
        let session = harness.session();
        let mut served = 0;
        let refused = loop {
            let answer = match served % 2 {
                0 => call(&mut harness, "wait"),
                _ => harness.call_legacy(&session, "wait", json!({})),
            };
            if answer.body != Value::Null {
                break answer;
            }
            served += 1;
        };
        // Those that began while half of all places were free count for no one.
        let rest = PLACES - PLACES / 2;
        assert!(
            (PLACES / 2 + rest / 2..PLACES).contains(&served),
            "{served}"
        );
        check_refused(&refused, "its share while");
        check_refused(
            &refused,
            "(tools.in_flight_max or Tool::with_in_flight_max)",
        );
        assert_eq!(harness.gate.entered(), served);
        harness.principal = BOB;
        for _ in served..PLACES {
            call(&mut harness, "wait").pending();
        }
        check_refused(&call(&mut harness, "wait"), "all 90 calls in flight");
        harness.gate.open();
        harness.settle().await;
        call(&mut harness, "wait").check("200", &with_trailer(1, text("passed")));
    });
}

#[test]
fn a_tool_has_a_limit_of_its_own_that_a_change_of_the_catalog_does_not_reset() {
    on_executor(async {
        let mut harness = TestEndpoint::with(|_| ());
        let tools = vec![waiting(&harness.gate).with_in_flight_max(1)];
        let plan = plan(tools);
        for _ in 0..2 {
            harness.endpoint.handle_changes(Changes {
                plan: Some(Arc::clone(&plan)),
                ..Changes::default()
            });
            if harness.gate.entered() == 0 {
                call(&mut harness, "wait").pending();
            }
        }
        check_refused(&call(&mut harness, "wait"), "all 1 calls in flight");
    });
}

#[test]
fn a_tool_that_keeps_failing_is_refused_and_no_other() {
    let mut harness = TestEndpoint::with(|settings| {
        settings.tools.breaker.failures_max = 3;
        settings.tools.breaker.open_ms = 1_000_000;
    });
    for _ in 0..3 {
        call(&mut harness, "panics").check("200", &error(1, -32603));
    }
    let refused = call(&mut harness, "panics");
    check_refused(&refused, "the tool \"panics\" failed 3 times in a row");
    // As long as the breaker is open.
    let Disposition::Answer { refused, .. } = refused.disposition else {
        panic!("not an answer: {:?}", refused.disposition);
    };
    let after_1000_s = Category::Unavailable {
        retry_after_s: 1000,
    };
    assert_eq!(refused, Some(after_1000_s));
    // An error that a handler means for its client is no failure of the tool.
    for _ in 0..10 {
        call(&mut harness, "refuses").check("200", &error(1, 7));
        let failed = call(&mut harness, "fails");
        assert_eq!(failed.body["result"]["isError"], true, "{:?}", failed.body);
    }
    assert_eq!(harness.count(Counter::BreakersOpened), 1);
    assert_eq!(harness.count(Counter::CallsRefusedBreaker), 1);
    assert_eq!(harness.count(Counter::CallsPanicked), 3);
}

#[test]
fn a_tool_that_works_again_is_called_again() {
    let works = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&works);
    let flaky = Tool::from_schema(
        "flaky",
        "d",
        ANY,
        async move |_: &Call, _: Value| match flag.load(Ordering::Relaxed) {
            true => Ok("well"),
            false => Err(CallError::from(std::io::Error::other("connection refused"))),
        },
    );
    let mut harness = TestEndpoint::with(|settings| {
        settings.parts.plan = plan(vec![flaky]);
        settings.tools.breaker.failures_max = 1;
        settings.tools.breaker.open_ms = 1;
    });
    let failed = call(&mut harness, "flaky");
    assert_eq!(failed.body["result"]["isError"], true, "{:?}", failed.body);
    works.store(true, Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(5));
    for _ in 0..2 {
        call(&mut harness, "flaky").check("200", &with_trailer(1, text("well")));
    }
}

#[test]
fn calls_that_reach_their_deadline_are_failures_and_cancelled_ones_are_not() {
    on_executor(async {
        let mut harness = TestEndpoint::with(|settings| {
            settings.tools.breaker.failures_max = 1;
            settings.tools.breaker.open_ms = 1_000_000;
        });
        let session = harness.session();
        harness.call_legacy(&session, "wait", json!({})).pending();
        let cancelled = notification("notifications/cancelled", json!({"requestId": 1}));
        harness.post(&session, &cancelled);
        harness.settle().await;
        assert_eq!(harness.count(Counter::CallsCancelled), 1);
        call(&mut harness, "wait").pending();
        harness.expire_at(1000);
        harness.settle().await;
        check_refused(&call(&mut harness, "wait"), "failed 1 times in a row");
    });
}

#[test]
fn a_tool_has_a_time_of_its_own() {
    on_executor(async {
        let mut harness = TestEndpoint::with(|_| ());
        let tool = waiting(&harness.gate).with_timeout(Duration::from_millis(5));
        harness.endpoint.handle_changes(Changes {
            plan: Some(plan(vec![tool])),
            ..Changes::default()
        });
        call(&mut harness, "wait").pending();
        let mut delivered = harness.settle().await;
        while delivered.is_empty() {
            executor::sleep(Duration::from_millis(1)).await;
            delivered = harness.settle().await;
        }
        let (kind, body) = part_of(&delivered[0].1);
        assert_eq!(kind, "200");
        assert_eq!(body["error"]["code"], -32603);
        let text = "the tool took longer than 5 ms (Tool::with_timeout)";
        assert_eq!(body["error"]["message"], text);
        assert_eq!(harness.count(Counter::TimeoutsCall), 1);
    });
}

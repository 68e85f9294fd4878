//! Messages of running handlers to their clients.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::test_endpoint::{
    TestEndpoint, check_parts, on_executor, part_of, progress, request, result, text, with_trailer,
};
use crate::LogLevel;

/// Reports `steps` as progress and checks which of them reach the client.
fn check_progress(steps: &[f64], reported: &[f64]) {
    on_executor(async {
        let mut harness = TestEndpoint::new();
        let token = json!({"progressToken": "p"});
        let answer = harness.call_modern("steps", json!({"steps": steps}), token);
        let delivered = harness.settle().await;
        let expected = with_trailer(1, text("walked"));
        if reported.is_empty() {
            answer.check("200", &expected);
            assert!(delivered.is_empty());
            return;
        }
        let events = reported.iter().map(|step| ("event", progress(*step)));
        let parts: Vec<_> = events.chain([("200", expected)]).collect();
        check_parts(&delivered, answer.exchange, &parts);
    });
}

#[test]
fn progress_strictly_increases() {
    check_progress(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]);
    check_progress(&[1.0, 1.0, 0.5, 2.0, 1.5], &[1.0, 2.0]);
    check_progress(&[-2.0, -1.0, 0.0], &[-2.0, -1.0, 0.0]);
    check_progress(&[], &[]);
}

#[test]
fn only_a_client_with_a_token_gets_progress() {
    let mut harness = TestEndpoint::new();
    let steps = json!({"steps": [1.0, 2.0]});
    harness
        .call_modern("steps", steps, json!({}))
        .check("200", &with_trailer(1, text("walked")));
}

#[test]
fn tokens_keep_their_json_type() {
    on_executor(async {
        for token in [json!(7), json!("7"), json!(u64::MAX), json!(-1)] {
            let mut harness = TestEndpoint::new();
            harness
                .call_modern(
                    "steps",
                    json!({"steps": [1.0]}),
                    json!({"progressToken": token}),
                )
                .pending();
            let (kind, event) = part_of(&harness.settle().await[0].1);
            assert_eq!(kind, "event");
            assert_eq!(event["params"]["progressToken"], token);
        }
    });
}

/// The levels of the log messages that were delivered.
async fn levels(harness: &mut TestEndpoint) -> Vec<String> {
    let delivered = harness.settle().await;
    let parts = delivered.iter().map(|(_, part)| part_of(part));
    parts
        .filter(|(kind, _)| kind == "event")
        .map(|(_, event)| {
            assert_eq!(event["method"], "notifications/message");
            event["params"]["level"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn log_messages_below_the_wanted_level_are_not_sent() {
    on_executor(async {
        for (at, level) in LogLevel::ALL.iter().enumerate() {
            let expected: Vec<&str> = LogLevel::ALL[at..].iter().map(|it| it.as_str()).collect();
            let mut harness = TestEndpoint::new();
            let wanted = json!({"io.modelcontextprotocol/logLevel": level.as_str()});
            harness.call_modern("logs", json!({}), wanted).pending();
            assert_eq!(levels(&mut harness).await, expected);

            let session = harness.session();
            let params = json!({"level": level.as_str()});
            harness
                .post(&session, &request(1, "logging/setLevel", params))
                .check("200", &result(1, json!({})));
            harness.call_legacy(&session, "logs", json!({})).pending();
            assert_eq!(levels(&mut harness).await, expected);
        }
    });
}

#[test]
fn a_session_starts_at_info_and_a_modern_request_at_no_messages() {
    on_executor(async {
        let mut harness = TestEndpoint::new();
        let session = harness.session();
        harness.call_legacy(&session, "logs", json!({})).pending();
        assert_eq!(levels(&mut harness).await[0], "info");
        harness
            .call_modern("logs", json!({}), json!({}))
            .check("200", &with_trailer(1, text("logged")));
    });
}

#[test]
fn a_handler_faster_than_its_client_waits() {
    on_executor(async {
        const EVENTS_MAX: usize = 3;
        let mut harness = TestEndpoint::with(|settings| settings.calls.events_max = EVENTS_MAX);
        let session = harness.session();
        let steps: Vec<f64> = (1..=10).map(f64::from).collect();
        let answer = harness.call_legacy(&session, "steps", json!({"steps": steps}));
        let key = answer.pending();
        let mut stalled = VecDeque::new();
        let delivered = harness.settle_while(|_| false, &mut stalled).await;
        assert!(delivered.is_empty());
        // One announcement, for any time without capacity.
        assert_eq!(stalled, [key]);
        harness.endpoint.pump(key, |_| true);
        let pumped = harness.deliveries();
        let parts: Vec<_> = steps[..EVENTS_MAX]
            .iter()
            .map(|it| ("event", progress(*it)))
            .collect();
        check_parts(&pumped, answer.exchange, &parts);
        let rest = harness.settle().await;
        let events = steps[EVENTS_MAX..]
            .iter()
            .map(|it| ("event", progress(*it)));
        let parts: Vec<_> = events.chain([("200", result(1, text("walked")))]).collect();
        check_parts(&rest, answer.exchange, &parts);
    });
}

#[test]
fn a_waiting_handler_whose_client_left_is_not_held_up_by_its_messages() {
    on_executor(async {
        let mut harness = TestEndpoint::with(|settings| settings.calls.events_max = 1);
        let session = harness.session();
        let arguments = json!({"steps": [1.0, 2.0, 3.0], "waits": true});
        let answer = harness.call_legacy(&session, "steps", arguments);
        let (key, exchange) = (answer.pending(), answer.exchange);
        harness.endpoint.handle_client_gone(key, exchange);
        assert!(harness.settle().await.is_empty());
        assert_eq!(harness.gate.inside(), 1);
        harness.gate.open();
        assert!(harness.settle().await.is_empty());
        assert!(!harness.endpoint.has_calls());
    });
}

#[test]
fn nothing_is_said_after_a_call_was_cancelled() {
    on_executor(async {
        let mut harness = TestEndpoint::new();
        let session = harness.session();
        let arguments = json!({"steps": [1.0, 2.0], "waits": true});
        let answer = harness.call_legacy(&session, "steps", arguments);
        harness
            .endpoint
            .services()
            .endings()
            .cancel(answer.pending());
        let expected = [("unanswered", Value::Null)];
        check_parts(&harness.settle().await, answer.exchange, &expected);
    });
}

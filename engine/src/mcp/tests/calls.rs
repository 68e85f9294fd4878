//! Calls that wait: how they end, and what becomes of what they held.

use serde_json::{Value, json};

use super::rig::{
    Answer, Rig, check_parts, error, failure, notification, on_executor, result, stamped, text,
};
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
    fn call(self, rig: &mut Rig, session: &str, tool: &str) -> Answer {
        match self {
            Way::Session => rig.call_legacy(session, tool, json!({})),
            Way::Modern => rig.call_modern(tool, json!({}), json!({})),
        }
    }

    fn result(self, members: Value) -> Value {
        match self {
            Way::Session => result(1, members),
            Way::Modern => stamped(1, members),
        }
    }
}

/// Lets every way of calling `wait` run into `test`.
fn with_waiting_call(test: impl AsyncFn(Way, &mut Rig, &str, Answer)) {
    on_executor(async {
        for way in WAYS {
            let mut rig = Rig::new();
            let session = rig.session();
            let answer = way.call(&mut rig, &session, "wait");
            answer.check("pending", &Value::Null);
            assert!(rig.settle().await.is_empty());
            assert_eq!(rig.gate.inside(), 1);
            test(way, &mut rig, &session, answer).await;
        }
    });
}

/// Nothing of the call is left.
async fn check_gone(rig: &mut Rig) {
    assert!(rig.settle().await.is_empty());
    assert_eq!(rig.gate.inside(), 0);
    assert!(!rig.endpoint.core().has_calls());
    assert!(rig.endpoint.core().is_quiet());
}

#[test]
fn a_call_that_waits_is_answered_when_it_goes_on() {
    with_waiting_call(async |way, rig, _, answer| {
        rig.gate.open();
        let expected = [("200", way.result(text("passed")))];
        check_parts(&rig.settle().await, answer.exchange, &expected);
        assert_eq!(rig.count(Counter::CallsOk), 1);
        check_gone(rig).await;
    });
}

#[test]
fn a_panic_after_waiting_ends_its_own_call_and_nothing_else() {
    on_executor(async {
        for way in WAYS {
            let mut rig = Rig::new();
            let session = rig.session();
            let failing = way.call(&mut rig, &session, "panics_later");
            let other = way.call(&mut rig, &session, "wait");
            rig.gate.open();
            let delivered = rig.settle().await;
            let of = |exchange: Exchange| -> Vec<_> {
                let found = delivered.iter().find(|(it, _)| *it == exchange);
                found
                    .iter()
                    .map(|(_, part)| super::rig::part_of(part))
                    .collect()
            };
            let [(kind, message)] = &of(failing.exchange)[..] else {
                panic!("one answer: {delivered:?}");
            };
            assert_eq!(kind, "200");
            assert!(super::rig::agrees(message, &error(1, -32603)), "{message}");
            let expected = ("200".to_owned(), way.result(text("passed")));
            assert_eq!(of(other.exchange), [expected]);
            check_gone(&mut rig).await;
        }
    });
}

#[test]
fn a_cancelled_call_is_not_answered() {
    on_executor(async {
        let mut rig = Rig::new();
        let session = rig.session();
        let answer = rig.call_legacy(&session, "wait", json!({}));
        rig.settle().await;
        // The id keeps its JSON type: "1" names another call, and so does another session.
        let other_session = rig.session();
        let cancelled =
            |id: Value| notification("notifications/cancelled", json!({"requestId": id}));
        for (header, id) in [
            (&session, json!("1")),
            (&session, json!(2)),
            (&other_session, json!(1)),
        ] {
            rig.post(header, &cancelled(id))
                .check("accepted", &Value::Null);
            assert!(rig.settle().await.is_empty());
            assert_eq!(rig.gate.inside(), 1);
        }
        rig.post(&session, &cancelled(json!(1)))
            .check("accepted", &Value::Null);
        check_parts(
            &rig.deliveries(),
            answer.exchange,
            &[("unanswered", Value::Null)],
        );
        assert_eq!(rig.count(Counter::CallsCancelled), 1);
        check_gone(&mut rig).await;
        rig.post(&session, &cancelled(json!(1)))
            .check("accepted", &Value::Null);
        check_gone(&mut rig).await;
    });
}

#[test]
fn closing_is_cancelling_for_a_modern_client_only() {
    with_waiting_call(async |way, rig, session, answer| {
        let key = answer.pending();
        let exchange = answer.exchange;
        let is_modern = way == Way::Modern;
        assert_eq!(rig.endpoint.core().hangup_ends(key), is_modern);
        rig.endpoint.core().client_gone(key, exchange);
        assert_eq!(rig.endpoint.core().exchange_of(key), None);
        assert!(rig.settle().await.is_empty());
        assert_eq!(rig.gate.inside(), usize::from(!is_modern));
        assert_eq!(rig.count(Counter::CallsCancelled), u64::from(is_modern));
        // A legacy call runs to its end, and its answer goes nowhere.
        rig.gate.open();
        check_gone(rig).await;
        assert_eq!(rig.count(Counter::CallsOk), u64::from(!is_modern));
        rig.call_legacy(session, "echo", json!({"message": "m"}))
            .check("200", &result(1, text("m")));
    });
}

#[test]
fn a_call_ends_at_its_deadline_and_not_before() {
    with_waiting_call(async |_, rig, _, answer| {
        rig.expire_at(999);
        assert!(rig.settle().await.is_empty());
        assert_eq!(rig.gate.inside(), 1);
        rig.expire_at(1000);
        check_parts(
            &rig.deliveries(),
            answer.exchange,
            &[("200", error(1, -32603))],
        );
        assert_eq!(rig.count(Counter::TimeoutsCall), 1);
        check_gone(rig).await;
    });
}

#[test]
fn a_call_beyond_the_limit_is_refused_before_its_handler_runs() {
    on_executor(async {
        for way in WAYS {
            let mut rig = Rig::with(|settings| settings.calls_max = 2);
            let session = rig.session();
            way.call(&mut rig, &session, "wait").pending();
            way.call(&mut rig, &session, "wait").pending();
            let refused = way.call(&mut rig, &session, "wait");
            refused.check("503", &error(1, -32603));
            assert_eq!(rig.gate.inside(), 2);
            // Not even a handler that would be done at once: whether it would is known only
            // after it ran, and what is refused must not have run.
            rig.call_modern("echo", json!({"message": "m"}), json!({}))
                .check("503", &error(1, -32603));
            rig.gate.open();
            assert_eq!(rig.settle().await.len(), 2);
            way.call(&mut rig, &session, "wait")
                .check("200", &way.result(text("passed")));
        }
    });
}

#[test]
fn an_ended_session_cancels_its_calls() {
    on_executor(async {
        let mut rig = Rig::new();
        let (session, other) = (rig.session(), rig.session());
        let answer = rig.call_legacy(&session, "wait", json!({}));
        rig.call_legacy(&other, "wait", json!({})).pending();
        rig.settle().await;
        rig.send("DELETE", &session).check("done", &Value::Null);
        check_parts(
            &rig.settle().await,
            answer.exchange,
            &[("unanswered", Value::Null)],
        );
        assert_eq!(rig.gate.inside(), 1);
    });
}

#[test]
fn calls_are_used_again_unless_somebody_else_holds_them() {
    on_executor(async {
        let mut rig = Rig::new();
        let spare = |rig: &mut Rig| rig.endpoint.core().spare_calls.len();
        for (tool, arguments, expected) in [
            ("echo", json!({"message": "m"}), text("m")),
            ("digit", json!({"digit": 300}), failure("*")),
            ("fails", json!({}), failure("*")),
        ] {
            rig.call_modern(tool, arguments, json!({}))
                .check("200", &stamped(1, expected));
            assert_eq!(spare(&mut rig), 1, "{tool}");
        }
        let waiting = rig.call_modern("wait", json!({}), json!({}));
        assert_eq!(spare(&mut rig), 0);
        rig.gate.open();
        assert_eq!(rig.settle().await.len(), 1);
        assert_eq!(spare(&mut rig), 1);
        assert_eq!(rig.endpoint.core().exchange_of(waiting.pending()), None);
    });
}

#[test]
fn a_call_used_again_remembers_nothing_of_its_last_request() {
    let mut rig = Rig::new();
    rig.call_modern(
        "echo",
        json!({"message": "m"}),
        json!({"progressToken": "p"}),
    )
    .check("200", &stamped(1, text("m")));
    assert_eq!(rig.endpoint.core().spare_calls.len(), 1);
    // Without a token there is nothing to report, so the handler is done at once.
    rig.call_modern("steps", json!({"steps": [1.0]}), json!({}))
        .check("200", &stamped(1, text("walked")));
    assert_eq!(rig.endpoint.core().spare_calls.len(), 1);
}

//! Upstreams that keep failing: their calls are refused for a while, and few requests are repeated.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use corelane_tests::mock_upstream::{Act, MockUpstream, Received, json_answer, result_of};
use corelane_tests::{Connection, Request, Setup, wait_until};
use serde_json::{Value, json};

use super::{EMPTY, Gateway, empty};
use crate::shards::one_on_each_shard;

/// A mock with a tool and a prompt, whose lists do not expire: no read of them comes between calls.
/// The answers to calls are those of `script`.
fn mock(script: impl Fn(&Received) -> Act + Send + Sync + 'static) -> MockUpstream {
    MockUpstream::start(move |received| {
        let message = received.message();
        let mut result = match message["method"].as_str() {
            Some("server/discover") => json!({
                "supportedVersions": ["2026-07-28"],
                "capabilities": { "tools": {}, "prompts": {} },
            }),
            Some("tools/list") => {
                let tool = |name: &str, annotations: Value| {
                    let schema = json!({ "type": "object" });
                    json!({ "name": name, "inputSchema": schema, "annotations": annotations })
                };
                json!({ "tools": [
                    tool("call", json!({})),
                    tool("read", json!({ "readOnlyHint": true })),
                    tool("set", json!({ "idempotentHint": true })),
                    tool("add", json!({ "readOnlyHint": false, "idempotentHint": false })),
                ] })
            }
            Some("prompts/list") => json!({ "prompts": [{ "name": "greet" }] }),
            _ => return script(received),
        };
        result["resultType"] = "complete".into();
        Act::Send(result_of(received, &result.to_string()))
    })
}

/// An answer without a message.
fn status(status: &str, fields: &str) -> Act {
    Act::Send(format!("HTTP/1.1 {status}\r\n{fields}Content-Length: 0\r\n\r\n").into_bytes())
}

fn call(connection: &mut Connection) -> Value {
    let call = Request::modern_call("up_call", json!({}));
    connection.exchange(&call).answer()
}

fn before(mock: &MockUpstream, knobs: &str) -> Gateway {
    let profile = format!("[gateway]\n{knobs}\n");
    let gateway = Gateway::start_with(&mock.section("up"), Setup::shards(1).profile(&profile));
    gateway.wait_for("up_call");
    gateway
}

#[test]
fn calls_of_an_upstream_that_keeps_failing_are_refused_and_not_sent() {
    let failing = mock(|_| status("500 Internal", ""));
    let steady = mock(|received| Act::Send(result_of(received, EMPTY)));
    let sections = failing.section("up") + &steady.section("steady");
    let profile = "[gateway]\nfailures_max = 3\nopen_ms = 3600000\nopen_ms_max = 3600000\n";
    let gateway = Gateway::start_with(&sections, Setup::shards(1).profile(profile));
    gateway.wait_for("up_call");
    gateway.wait_for("steady_call");
    let mut connection = gateway.connect();
    for _ in 0..3 {
        let answer = call(&mut connection);
        assert_eq!(answer["error"]["data"]["executed"], "unknown", "{answer}");
    }
    for _ in 0..3 {
        let mut error = call(&mut connection)["error"].take();
        let retry_after_ms = error["data"]["retryAfterMs"].take().as_u64();
        assert!(retry_after_ms > Some(0), "{error}");
        let expected = json!({
            "upstream": "up", "reason": "unavailable", "executed": "no", "retryAfterMs": null,
        });
        assert_eq!(error["data"], expected, "{error}");
    }
    assert_eq!(failing.received_of("tools/call").len(), 3);
    let others = Request::modern_call("steady_call", json!({}));
    assert_eq!(connection.exchange(&others).answer()["result"], empty());
    wait_until("the log says so", || {
        let log = gateway.server.log();
        log.contains("an upstream keeps failing").then_some(())
    });
}

#[test]
fn a_shard_refuses_calls_of_an_upstream_that_fails_on_another_one() {
    let mock = mock(|_| status("500 Internal", ""));
    let profile = "[gateway]\nfailures_max = 3\nopen_ms = 3600000\nopen_ms_max = 3600000\n";
    let setup = Setup::shards(2).profile(profile);
    let gateway = Gateway::start_with(&mock.section("up"), setup);
    gateway.wait_for("up_call");
    // Shard 0 reads the lists of the first upstream. Shard 1 has not used it yet.
    let mut all = one_on_each_shard(|| gateway.connect(), 2);
    let (first, second) = all.split_at_mut(1);
    let (first, second) = (&mut first[0].0, &mut second[0].0);
    for _ in 0..3 {
        let answer = call(first);
        assert_eq!(answer["error"]["data"]["executed"], "unknown", "{answer}");
    }
    wait_until("the other shard knows", || {
        let calls = mock.received_of("tools/call").len();
        assert!(calls <= 5, "it has found out by itself");
        let answer = call(second);
        let is_refused = answer["error"]["data"]["reason"] == "unavailable";
        (is_refused && mock.received_of("tools/call").len() == calls).then_some(())
    });
    let error = call(first)["error"].take();
    assert_eq!(error["data"]["reason"], "unavailable", "{error}");
}

#[test]
fn an_upstream_that_works_again_gets_its_calls_again() {
    let is_well = Arc::new(AtomicBool::new(false));
    let of_mock = Arc::clone(&is_well);
    let mock = mock(move |received| match of_mock.load(Ordering::Relaxed) {
        true => Act::Send(result_of(received, EMPTY)),
        false => Act::Reset,
    });
    let gateway = before(&mock, "failures_max = 2\nopen_ms = 10\nopen_ms_max = 20");
    let mut connection = gateway.connect();
    wait_until("calls are refused", || {
        let answer = call(&mut connection);
        (answer["error"]["data"]["reason"] == "unavailable").then_some(())
    });
    is_well.store(true, Ordering::Relaxed);
    // Two calls try it, one after the other; after them all run.
    for name in ["the first trial runs", "the second trial runs"] {
        wait_until(name, || {
            (call(&mut connection)["result"] == empty()).then_some(())
        });
    }
    let sent = mock.received_of("tools/call").len();
    for _ in 0..20 {
        assert_eq!(call(&mut connection)["result"], empty());
    }
    assert_eq!(mock.received_of("tools/call").len(), sent + 20);
}

#[test]
fn refusals_and_errors_of_an_upstream_are_no_failures() {
    let mock = mock(|received| {
        let id = &received.message()["id"];
        let kind = &received.message()["params"]["arguments"]["kind"];
        let body = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -1, "message": "m" } });
        match kind.as_str() {
            Some("error") => Act::Send(json_answer(&body.to_string())),
            Some(line) => status(line, ""),
            None => Act::Send(result_of(
                received,
                r#"{"content":[],"isError":true,"resultType":"complete"}"#,
            )),
        }
    });
    let gateway = before(
        &mock,
        "failures_max = 1\nopen_ms = 3600000\nopen_ms_max = 3600000",
    );
    let mut connection = gateway.connect();
    let kinds = ["error", "401 Unauthorized", "404 Not Found", "429 Too Many"];
    for kind in kinds.into_iter().cycle().take(40) {
        let request = Request::modern_call("up_call", json!({ "kind": kind }));
        let answer = connection.exchange(&request).answer();
        assert_ne!(answer["error"]["data"]["reason"], "busy", "{answer}");
    }
    assert_eq!(call(&mut connection)["result"]["isError"], true);
    assert_eq!(mock.received_of("tools/call").len(), 41);
}

/// A mock whose first answer is `first`, and whose next ones are results.
fn first_refuses(first: fn() -> Act) -> MockUpstream {
    let calls = AtomicUsize::new(0);
    mock(
        move |received| match calls.fetch_add(1, Ordering::Relaxed) {
            0 => first(),
            _ => Act::Send(result_of(received, EMPTY)),
        },
    )
}

#[test]
fn a_call_that_was_refused_with_a_short_time_to_wait_is_made_once_more() {
    for (first, sent) in [
        (
            (|| status("503 Busy", "Retry-After: 0\r\n")) as fn() -> Act,
            2,
        ),
        (|| status("429 Busy", "Retry-After: 1\r\n"), 2),
        (|| status("429 Busy", "Retry-After: 3\r\n"), 1),
        (|| status("503 Busy", "Retry-After: soon\r\n"), 1),
        (|| status("500 Internal", "Retry-After: 0\r\n"), 1),
    ] {
        let mock = first_refuses(first);
        let gateway = before(&mock, "failures_max = 0");
        let answer = call(&mut gateway.connect());
        assert_eq!(mock.received_of("tools/call").len(), sent, "{answer}");
        match sent {
            2 => assert_eq!(answer["result"], empty(), "{answer}"),
            _ => assert_eq!(answer["error"]["data"]["reason"], "unavailable"),
        }
    }
}

#[test]
fn a_read_whose_fate_is_unknown_is_made_twice_at_most() {
    let mock = mock(|_| Act::SendAndClose(Vec::new()));
    let gateway = before(&mock, "failures_max = 0");
    let mut connection = gateway.connect();
    let request = Request::modern("get", "prompts/get", json!({ "name": "up_greet" }));
    let answer = wait_until("the prompt is listed", || {
        let answer = connection.exchange(&request).answer();
        (answer["error"]["code"] != -32602).then_some(answer)
    });
    let expected = json!({ "upstream": "up", "reason": "closed", "executed": "unknown" });
    assert_eq!(answer["error"]["data"], expected, "{answer}");
    assert_eq!(mock.received_of("prompts/get").len(), 2);
}

#[test]
fn calls_of_tools_are_made_twice_only_if_annotations_say_so_and_are_trusted() {
    for (line, made) in [("", [1, 1, 1]), ("trust_annotations = true\n", [2, 2, 1])] {
        let mock = mock(|_| Act::SendAndClose(Vec::new()));
        let profile = "[gateway]\nfailures_max = 0\n";
        let sections = mock.section("up") + line;
        let gateway = Gateway::start_with(&sections, Setup::shards(1).profile(profile));
        gateway.wait_for("up_call");
        let mut connection = gateway.connect();
        for (name, made) in ["read", "set", "add"].into_iter().zip(made) {
            let request = Request::modern_call(&format!("up_{name}"), json!({}));
            let answer = connection.exchange(&request).answer();
            assert_eq!(answer["error"]["data"]["executed"], "unknown", "{answer}");
            let calls = mock.received_of("tools/call");
            let of_tool = calls
                .iter()
                .filter(|it| it.message()["params"]["name"] == name);
            assert_eq!(of_tool.count(), made, "{name} {line}");
        }
    }
}

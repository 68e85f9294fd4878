//! Limits on clients, on connections of HTTP and on channels.

use std::sync::Arc;

use serde_json::{Value, json};

use super::access::{guarded, open_session, peer_of, send};
use super::response::Response;
use super::test_connection::{KEY, TestConnection, call, post};
use crate::connection::http::Connection;
use crate::connection::source::Source;
use crate::guard::limit::file::Limits;
use crate::mcp::tests::test_endpoint::{MODERN, claim, initialize, request};

/// A connection with these limits, whose clients need no credential, and a key.
fn limited(text: &str) -> (TestConnection, String) {
    let limits = Arc::new(Limits::parse(text).expect("valid"));
    guarded(|access| {
        access.limits = limits;
        access.requires_credential = false;
    })
}

/// A call of the tool that everybody of the role "reader" may use.
fn echo(headers: &str) -> String {
    call(headers, "echo", json!({"message": "x"}))
}

/// The body of the answer to a request past a limit.
fn refusal(limit: &str, retry_after_ms: u64, id: &Value) -> Value {
    json!({
        "jsonrpc": "2.0",
        "error": {
            "code": -32603,
            "message": format!("rate limit exceeded: {limit}"),
            "data": {"error": "rate_limited", "limit": limit, "retryAfterMs": retry_after_ms},
        },
        "id": id,
    })
}

#[track_caller]
fn check_refused(answer: &Response, limit: &str, retry_after_ms: u64) {
    assert_eq!(answer.status, 429, "{answer:?}");
    let expected = retry_after_ms.div_ceil(1000).to_string();
    assert_eq!(answer.field("retry-after"), Some(expected.as_str()));
    let body = answer.message();
    assert_eq!(*body, refusal(limit, retry_after_ms, &body["id"]));
}

#[test]
fn a_request_past_a_rate_is_answered_with_429_and_served_later() {
    let (mut line, key) = limited("[limits]\nprincipal = { rate = \"1/s\", burst = 2 }");
    for _ in 0..2 {
        assert_eq!(send(&mut line, &echo(&key)).status, 200);
    }
    check_refused(&send(&mut line, &echo(&key)), "principal", 1000);
    // Anonymous clients have no rate here: this one only may not use the tool.
    assert_ne!(send(&mut line, &echo("")).status, 429);
    line.harness.endpoint.update_limits(400_000);
    check_refused(&send(&mut line, &echo(&key)), "principal", 600);
    line.harness.endpoint.update_limits(1_000_000);
    assert_eq!(send(&mut line, &echo(&key)).status, 200);
}

#[test]
fn a_session_has_the_rate_of_its_client_and_pings_are_free() {
    let (mut line, key) = limited(
        "[limits]\nprincipal = { rate = \"1/h\", burst = 2 }\n\
         sessions = { rate = \"1/min\", burst = 1 }",
    );
    let session = open_session(&mut line, &key);
    let second = send(&mut line, &post(&key, &initialize("2025-11-25")));
    check_refused(&second, "sessions", 60_000);
    let headers = format!("{key}MCP-Session-Id: {session}\r\n");
    let list = request(2, "tools/list", json!({}));
    assert_eq!(send(&mut line, &post(&headers, &list)).status, 200);
    let refused = send(&mut line, &post(&headers, &list));
    check_refused(&refused, "principal", 3_600_000);
    for _ in 0..10 {
        let ping = post(&headers, &request(3, "ping", json!({})));
        assert_eq!(send(&mut line, &ping).status, 200);
        let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": {"requestId": 7}});
        assert_eq!(
            send(&mut line, &post(&headers, &cancel.to_string())).status,
            202
        );
    }
}

#[test]
fn anonymous_clients_have_rates_by_source_which_is_looked_up() {
    let (mut line, _) = limited("[limits]\nsource = { rate = \"1/min\", burst = 1 }");
    let list = |line: &mut TestConnection| {
        line.receive(call("", "echo", json!({})).as_bytes());
    };
    line.peers.clear();
    list(&mut line);
    assert!(line.take_sent().is_empty());
    assert_eq!(line.effects.postponed.len(), 1, "its source is looked up");
    line.connection = Connection::from(Source::default());
    for (source, is_limited) in [("a", false), ("a", true), ("b", false), ("b", true)] {
        line.peers.insert(KEY.index, peer_of(source));
        list(&mut line);
        let answer = line.response();
        assert_eq!(answer.status == 429, is_limited, "{answer:?}");
    }
}

#[test]
fn tools_and_quotas_limit_calls_and_nothing_else() {
    let (mut line, key) = limited(
        "[limits]\nquota = { calls_per_day = 3 }\n\
         [[limits.tool]]\ntools = [\"ec*\"]\nrate = \"1/min\"\nburst = 2",
    );
    line.harness.endpoint.update_limits(0);
    for _ in 0..2 {
        assert_eq!(send(&mut line, &echo(&key)).status, 200);
    }
    check_refused(&send(&mut line, &echo(&key)), "tool", 60_000);
    // A refused call took nothing from the quota.
    let other = call(&key, "list", json!({}));
    assert_eq!(send(&mut line, &other).status, 200);
    let past = send(&mut line, &other);
    assert_eq!(past.status, 429);
    assert_eq!(past.message()["error"]["data"]["limit"], "quota");
    let headers = format!("{key}{MODERN}Mcp-Method: tools/list\r\n");
    let list = request(1, "tools/list", json!({"_meta": claim()}));
    assert_eq!(send(&mut line, &post(&headers, &list)).status, 200);
}

#[test]
fn a_source_of_bad_credentials_is_blocked_but_not_for_good_ones() {
    let text = "[limits]\nfailed_credentials = { tries = 3, window_s = 60, block_s = 9 }";
    let (mut line, key) = limited(text);
    line.peers.insert(KEY.index, peer_of("source"));
    assert_eq!(send(&mut line, &echo(&key)).status, 200);
    let bad = |number: u32| format!("Authorization: Bearer a.b.{number}\r\n");
    // A client that was configured wrongly fails again and again, and counts once.
    for (number, times) in [(0, 3), (1, 5), (2, 1)] {
        for _ in 0..times {
            line.access.begin_turn(0, || 1);
            assert_eq!(send(&mut line, &echo(&bad(number))).status, 401);
        }
    }
    let blocked = send(&mut line, &echo(&bad(3)));
    assert_eq!(blocked.status, 429);
    assert_eq!(blocked.field("retry-after"), Some("9"));
    assert_eq!(blocked.field("www-authenticate"), None);
    assert_eq!(
        send(&mut line, &echo(&key)).status,
        200,
        "a right key passes"
    );
    line.peers.insert(KEY.index, peer_of("other"));
    assert_eq!(send(&mut line, &echo(&bad(4))).status, 401);
    // The other shards hear of each failure once.
    let mut reported = 0;
    while line.access.poll_failure().is_some() {
        reported += 1;
    }
    assert_eq!(reported, 4);
    line.peers.insert(KEY.index, peer_of("source"));
    // A second later another credential is checked, and only one.
    line.access.begin_turn(1_000, || 1);
    for (number, status) in [(2, 429), (5, 401), (6, 429)] {
        assert_eq!(send(&mut line, &echo(&bad(number))).status, status);
    }
    line.access.begin_turn(9_000, || 1);
    assert_eq!(
        send(&mut line, &echo(&bad(3))).status,
        401,
        "the block is over"
    );
}

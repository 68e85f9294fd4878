//! Sessions as their clients see them: their lifetime and their bindings.

use serde_json::{Value, json};

use super::test_endpoint::{
    TestEndpoint, error, initialize, on_executor, request, result, session_header,
};
use crate::meter::Counter;

fn ping() -> String {
    request(2, "ping", json!({}))
}

/// Checks whether a session lives, which counts as using it.
#[track_caller]
fn check(harness: &mut TestEndpoint, session: &str, lives: bool) {
    let (kind, message) = match lives {
        true => ("200", result(2, json!({}))),
        false => ("404", error(2, -32001)),
    };
    harness.post(session, &ping()).check(kind, &message);
}

#[test]
fn sessions_have_different_ids_and_a_level_of_their_own() {
    let mut harness = TestEndpoint::new();
    let (one, other) = (harness.session_id(), harness.session_id());
    assert_ne!(one, other);
    let set = request(1, "logging/setLevel", json!({"level": "alert"}));
    harness
        .post(&session_header(one), &set)
        .check("200", &result(1, json!({})));
    let core = harness.endpoint.services();
    let level = core.sessions.find(one).unwrap().log_level;
    assert_ne!(level, core.sessions.find(other).unwrap().log_level);
}

#[test]
fn an_unused_session_expires_and_a_used_one_does_not() {
    let mut harness = TestEndpoint::new();
    let (unused, used) = (harness.session(), harness.session());
    harness.expire_at(9_999);
    check(&mut harness, &used, true);
    harness.expire_at(10_000);
    assert_eq!(harness.count(Counter::SessionsExpired), 1);
    check(&mut harness, &unused, false);
    check(&mut harness, &used, true);
    harness.expire_at(20_000);
    check(&mut harness, &used, false);
    assert_eq!(harness.count(Counter::SessionsOpen), 0);
}

#[test]
fn a_session_with_a_call_does_not_expire() {
    on_executor(async {
        let mut harness = TestEndpoint::with(|settings| settings.calls.timeout_ms = 1_000_000);
        let session = harness.session();
        harness.call_legacy(&session, "wait", json!({})).pending();
        harness.expire_at(10_000);
        harness.gate.open();
        assert_eq!(harness.settle().await.len(), 1);
        check(&mut harness, &session, true);
    });
}

#[test]
fn at_the_cap_the_session_that_was_unused_longest_makes_room() {
    let mut harness = TestEndpoint::with(|settings| settings.sessions_max = 2);
    let (first, second) = (harness.session(), harness.session());
    check(&mut harness, &first, true);
    let third = harness.session();
    check(&mut harness, &second, false);
    check(&mut harness, &first, true);
    check(&mut harness, &third, true);
    assert_eq!(harness.count(Counter::SessionsEvicted), 1);
    assert_eq!(harness.count(Counter::SessionsOpen), 2);
}

#[test]
fn a_handshake_is_refused_when_every_session_is_in_use() {
    on_executor(async {
        let mut harness = TestEndpoint::with(|settings| settings.sessions_max = 1);
        let session = harness.session();
        harness.call_legacy(&session, "wait", json!({})).pending();
        harness
            .post("", &initialize("2025-11-25"))
            .check("503", &error(1, -32603));
        harness.gate.open();
        harness.settle().await;
        harness.session();
        check(&mut harness, &session, false);
    });
}

#[test]
fn an_ended_session_is_unknown() {
    let mut harness = TestEndpoint::new();
    let session = harness.session();
    harness.send("DELETE", &session).check("done", &Value::Null);
    check(&mut harness, &session, false);
    harness
        .send("DELETE", &session)
        .check("404", &error((), -32001));
    harness
        .send("GET", &session)
        .check("404", &error((), -32001));
    harness.send("DELETE", "").check("400", &error((), -32600));
    assert_eq!(harness.count(Counter::SessionsDeleted), 1);
    assert_eq!(harness.count(Counter::SessionsOpen), 0);
}

#[test]
fn the_version_header_names_a_served_legacy_revision() {
    let mut harness = TestEndpoint::new();
    let session = harness.session();
    for (version, kind) in [
        ("2025-11-25", "200"),
        ("2025-06-18", "200"),
        ("1900-01-01", "400"),
        ("", "400"),
    ] {
        let headers = format!("{session}MCP-Protocol-Version: {version}\r\n");
        let message = match kind {
            "200" => result(2, json!({})),
            _ => error(2, -32600),
        };
        harness.post(&headers, &ping()).check(kind, &message);
    }
}

//! Sessions as their clients see them: how long they live and what they are bound to.

use serde_json::{Value, json};

use super::rig::{Rig, error, initialize, on_executor, request, result, session_header};
use crate::meter::Counter;

fn ping() -> String {
    request(2, "ping", json!({}))
}

/// Checks whether a session lives, which counts as using it.
#[track_caller]
fn check(rig: &mut Rig, session: &str, lives: bool) {
    let (kind, message) = match lives {
        true => ("200", result(2, json!({}))),
        false => ("404", error(2, -32001)),
    };
    rig.post(session, &ping()).check(kind, &message);
}

#[test]
fn sessions_have_different_ids_and_a_level_of_their_own() {
    let mut rig = Rig::new();
    let (one, other) = (rig.session_id(), rig.session_id());
    assert_ne!(one, other);
    let set = request(1, "logging/setLevel", json!({"level": "alert"}));
    rig.post(&session_header(one), &set)
        .check("200", &result(1, json!({})));
    let core = rig.endpoint.core();
    let level = core.sessions.find(one).unwrap().log_level;
    assert_ne!(level, core.sessions.find(other).unwrap().log_level);
}

#[test]
fn an_unused_session_expires_and_a_used_one_does_not() {
    let mut rig = Rig::new();
    let (unused, used) = (rig.session(), rig.session());
    rig.expire_at(9_999);
    check(&mut rig, &used, true);
    rig.expire_at(10_000);
    assert_eq!(rig.count(Counter::SessionsExpired), 1);
    check(&mut rig, &unused, false);
    check(&mut rig, &used, true);
    rig.expire_at(20_000);
    check(&mut rig, &used, false);
    assert_eq!(rig.count(Counter::SessionsOpen), 0);
}

#[test]
fn a_session_with_a_call_does_not_expire() {
    on_executor(async {
        let mut rig = Rig::with(|settings| settings.call_timeout_ms = 1_000_000);
        let session = rig.session();
        rig.call_legacy(&session, "wait", json!({})).pending();
        rig.expire_at(10_000);
        rig.gate.open();
        assert_eq!(rig.settle().await.len(), 1);
        check(&mut rig, &session, true);
    });
}

#[test]
fn at_the_cap_the_session_that_was_unused_longest_makes_room() {
    let mut rig = Rig::with(|settings| settings.sessions_max = 2);
    let (first, second) = (rig.session(), rig.session());
    check(&mut rig, &first, true);
    let third = rig.session();
    check(&mut rig, &second, false);
    check(&mut rig, &first, true);
    check(&mut rig, &third, true);
    assert_eq!(rig.count(Counter::SessionsEvicted), 1);
    assert_eq!(rig.count(Counter::SessionsOpen), 2);
}

#[test]
fn a_handshake_is_refused_when_every_session_is_in_use() {
    on_executor(async {
        let mut rig = Rig::with(|settings| settings.sessions_max = 1);
        let session = rig.session();
        rig.call_legacy(&session, "wait", json!({})).pending();
        rig.post("", &initialize("2025-11-25"))
            .check("503", &error(1, -32603));
        rig.gate.open();
        rig.settle().await;
        rig.session();
        check(&mut rig, &session, false);
    });
}

#[test]
fn an_ended_session_is_unknown() {
    let mut rig = Rig::new();
    let session = rig.session();
    rig.send("DELETE", &session).check("done", &Value::Null);
    check(&mut rig, &session, false);
    rig.send("DELETE", &session)
        .check("404", &error((), -32001));
    rig.send("GET", &session).check("404", &error((), -32001));
    rig.send("DELETE", "").check("400", &error((), -32600));
    assert_eq!(rig.count(Counter::SessionsDeleted), 1);
    assert_eq!(rig.count(Counter::SessionsOpen), 0);
}

#[test]
fn the_version_header_names_a_served_legacy_revision() {
    let mut rig = Rig::new();
    let session = rig.session();
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
        rig.post(&headers, &ping()).check(kind, &message);
    }
}

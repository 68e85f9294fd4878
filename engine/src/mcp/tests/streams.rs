//! Streams for the messages of a session.

use serde_json::Value;

use super::test_endpoint::{MODERN, TestEndpoint, check_parts, error, kind_of};
use crate::mcp::{Disposition, StreamOwner};

#[test]
fn a_session_has_streams_up_to_a_limit_and_a_closed_one_makes_room() {
    let mut harness = TestEndpoint::new();
    let id = harness.session_id();
    let session = super::test_endpoint::session_header(id);
    let first = harness.send("GET", &session);
    let Disposition::Stream(StreamOwner::Session(of)) = first.disposition else {
        panic!("no stream of a session: {:?}", first.disposition);
    };
    assert_eq!(of.session, id);
    harness.send("GET", &session).check("stream", &Value::Null);
    harness
        .send("GET", &session)
        .check("503", &error((), -32603));
    harness.endpoint.handle_stream_gone(id, first.exchange);
    harness.endpoint.handle_stream_gone(id, first.exchange);
    assert_eq!(
        kind_of(&harness.send("GET", &session).disposition),
        "stream"
    );
    harness
        .send("GET", &session)
        .check("503", &error((), -32603));
}

#[test]
fn an_ended_session_ends_its_streams() {
    let mut harness = TestEndpoint::new();
    let session = harness.session();
    let stream = harness.send("GET", &session);
    harness.send("DELETE", &session).check("done", &Value::Null);
    check_parts(
        &harness.deliveries(),
        stream.exchange,
        &[("end", Value::Null)],
    );
}

#[test]
fn a_session_with_a_stream_neither_expires_nor_makes_room() {
    let mut harness = TestEndpoint::with(|settings| settings.sessions_max = 1);
    let id = harness.session_id();
    let stream = harness.send("GET", &super::test_endpoint::session_header(id));
    harness.expire_at(10_000);
    let refused = harness.post("", &super::test_endpoint::initialize("2025-11-25"));
    refused.check("503", &error(1, -32603));
    harness.endpoint.handle_stream_gone(id, stream.exchange);
    harness.expire_at(30_000);
    assert!(harness.endpoint.services().sessions.find(id).is_none());
    assert!(harness.deliveries().is_empty());
}

#[test]
fn a_stream_needs_a_session_and_the_legacy_era() {
    let mut harness = TestEndpoint::new();
    let session = harness.session();
    harness.send("GET", "").check("400", &error((), -32600));
    harness
        .send("GET", "MCP-Session-Id: x\r\n")
        .check("404", &error((), -32001));
    for verb in ["GET", "DELETE"] {
        let answer = harness.send(verb, &format!("{session}{MODERN}"));
        answer.check("405", &error((), -32600));
    }
}

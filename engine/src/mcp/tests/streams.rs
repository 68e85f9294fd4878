//! Streams for the messages of a session.

use serde_json::Value;

use super::rig::{MODERN, Rig, check_parts, error, kind_of};
use crate::mcp::{Disposition, StreamOwner};

#[test]
fn a_session_has_streams_up_to_a_limit_and_a_closed_one_makes_room() {
    let mut rig = Rig::new();
    let id = rig.session_id();
    let session = super::rig::session_header(id);
    let first = rig.send("GET", &session);
    let Disposition::Stream(StreamOwner::Session(of)) = first.disposition else {
        panic!("no stream of a session: {:?}", first.disposition);
    };
    assert_eq!(of.session, id);
    rig.send("GET", &session).check("stream", &Value::Null);
    rig.send("GET", &session).check("503", &error((), -32603));
    rig.endpoint.core().stream_gone(id, first.exchange);
    rig.endpoint.core().stream_gone(id, first.exchange);
    assert_eq!(kind_of(&rig.send("GET", &session).disposition), "stream");
    rig.send("GET", &session).check("503", &error((), -32603));
}

#[test]
fn an_ended_session_ends_its_streams() {
    let mut rig = Rig::new();
    let session = rig.session();
    let stream = rig.send("GET", &session);
    rig.send("DELETE", &session).check("done", &Value::Null);
    check_parts(&rig.deliveries(), stream.exchange, &[("end", Value::Null)]);
}

#[test]
fn a_session_with_a_stream_neither_expires_nor_makes_room() {
    let mut rig = Rig::with(|settings| settings.sessions_max = 1);
    let id = rig.session_id();
    let stream = rig.send("GET", &super::rig::session_header(id));
    rig.expire_at(10_000);
    let refused = rig.post("", &super::rig::initialize("2025-11-25"));
    refused.check("503", &error(1, -32603));
    rig.endpoint.core().stream_gone(id, stream.exchange);
    rig.expire_at(30_000);
    assert!(rig.endpoint.core().sessions.find(id).is_none());
    assert!(rig.deliveries().is_empty());
}

#[test]
fn a_stream_needs_a_session_and_the_legacy_era() {
    let mut rig = Rig::new();
    let session = rig.session();
    rig.send("GET", "").check("400", &error((), -32600));
    rig.send("GET", "MCP-Session-Id: x\r\n")
        .check("404", &error((), -32001));
    for verb in ["GET", "DELETE"] {
        let answer = rig.send(verb, &format!("{session}{MODERN}"));
        answer.check("405", &error((), -32600));
        assert!(matches!(
            answer.disposition,
            Disposition::Answer {
                allow: Some("POST"),
                ..
            }
        ));
    }
}

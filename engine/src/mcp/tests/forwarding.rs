//! Requests for a session of another shard.

use serde_json::{Value, json};

use super::test_endpoint::{
    Answer, TestEndpoint, check_parts, error, kind_of, notification, on_executor, request, result,
    session_header, text,
};
use crate::mcp::{Disposition, Forwarded, ForwardedKind, SessionId};

/// The shard of the connection and the home shard of the session.
fn pair() -> (TestEndpoint, TestEndpoint) {
    let shard = |number| {
        TestEndpoint::with(|settings| {
            settings.shard = number;
            settings.shards = 2;
        })
    };
    (shard(0), shard(1))
}

/// The outcome of a request at `home`, to which it was forwarded.
#[track_caller]
fn at_home(home: &mut TestEndpoint, answer: Answer) -> (String, Value) {
    let Disposition::Forward { home: 1, request } = answer.disposition else {
        panic!("forwarded to its home: {:?}", answer.disposition);
    };
    assert_eq!(request.exchange, answer.exchange);
    let mut out = Vec::new();
    let disposition = home.endpoint.handle_forwarded(*request, &mut out);
    let body = match out.as_slice() {
        b"" => Value::Null,
        out => serde_json::from_slice(out).unwrap(),
    };
    (kind_of(&disposition), body)
}

#[test]
fn a_forwarded_message_is_handled_as_at_home() {
    let call = |tool: &str, arguments: Value| {
        request(
            3,
            "tools/call",
            json!({"name": tool, "arguments": arguments}),
        )
    };
    for body in [
        request("x", "ping", json!({})),
        request(u64::MAX, "tools/list", json!({})),
        request(3, "tools/list", json!({"cursor": "x"})),
        request(3, "logging/setLevel", json!({"level": "alert"})),
        request(3, "logging/setLevel", json!({"level": "loud"})),
        request(3, "server/unknown", json!({})),
        call("echo", json!({"message": "\u{1f600}\u{0}"})),
        call("echo", json!({})),
        call("digit", json!({"digit": 256})),
        call("fails", json!({})),
        call("refuses", json!({})),
        call("panics", json!({})),
        call("samples", json!({})),
        call("absent", json!({})),
        notification("notifications/initialized", json!({})),
        notification("notifications/cancelled", json!({"requestId": 9})),
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":"0-0-0","error":5}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":"0-0-0"}"#.to_owned(),
    ] {
        for is_large in [false, true] {
            let (mut front, mut home) = pair();
            let session = home.session();
            home.are_large = Some(false);
            front.are_large = Some(is_large);
            let local = home.post(&session, &body);
            let local = (kind_of(&local.disposition), local.body);
            let answer = front.post(&session, &body);
            assert_eq!(at_home(&mut home, answer), local, "{body}, {is_large}");
        }
    }
}

#[test]
fn an_unknown_session_is_found_out_at_home() {
    let (mut front, mut home) = pair();
    let mut id = home.session_id();
    id.random ^= 1;
    let session = session_header(id);
    let ping = request(3, "ping", json!({}));
    let expected = |kind: &str, (found, body): (String, Value), message: Value| {
        assert_eq!(found, kind);
        assert!(super::test_endpoint::agrees(&body, &message), "{body}");
    };
    let answer = front.post(&session, &ping);
    expected("404", at_home(&mut home, answer), error(3, -32001));
    for verb in ["GET", "DELETE"] {
        let answer = front.send(verb, &session);
        expected("404", at_home(&mut home, answer), error((), -32001));
    }
}

#[test]
fn a_shard_that_does_not_exist_is_no_home() {
    let (mut front, _) = pair();
    for home in [2, 3, u16::MAX] {
        // Another one would have it, as after a start with fewer shards.
        let id = crate::mcp::SessionId { home, random: 1 };
        let session = session_header(id);
        let ping = request(3, "ping", json!({}));
        let sent = front.post(&session, &ping);
        assert_eq!(
            super::test_endpoint::kind_of(&sent.disposition),
            "forward to 1"
        );
        let id = crate::mcp::SessionId { home, random: 2 };
        let session = session_header(id);
        let ping = request(3, "ping", json!({}));
        front.post(&session, &ping).check("404", &error(3, -32001));
        front.send("GET", &session).check("404", &error((), -32001));
        front
            .send("DELETE", &session)
            .check("404", &error((), -32001));
    }
}

#[test]
fn a_message_is_checked_before_it_is_forwarded() {
    let (mut front, mut home) = pair();
    let session = home.session();
    front.post(&session, "{").check("400", &error((), -32700));
    front.post(&session, "[]").check("400", &error((), -32600));
    let headers = format!("{session}MCP-Protocol-Version: 1900-01-01\r\n");
    let ping = request(3, "ping", json!({}));
    front.post(&headers, &ping).check("400", &error(3, -32600));
}

#[test]
fn a_forwarded_call_is_answered_to_the_exchange_of_the_other_shard() {
    on_executor(async {
        let (mut front, mut home) = pair();
        let session = home.session();
        let answer = front.call_legacy(&session, "steps", json!({"steps": [1.0], "waits": true}));
        let exchange = answer.exchange;
        assert_eq!(exchange.shard, 0);
        assert_eq!(at_home(&mut home, answer).0, "pending");
        let progress = super::test_endpoint::progress(1.0);
        check_parts(&home.settle().await, exchange, &[("event", progress)]);
        home.gate.open();
        let expected = [("200", result(1, text("walked")))];
        check_parts(&home.settle().await, exchange, &expected);
    });
}

#[test]
fn a_forwarded_stream_counts_for_its_session_until_it_is_gone() {
    let (mut front, mut home) = pair();
    let id = home.session_id();
    let session = session_header(id);
    let answer = front.send("GET", &session);
    let first = answer.exchange;
    assert_eq!(at_home(&mut home, answer).0, "stream");
    let answer = front.send("GET", &session);
    let second = answer.exchange;
    assert_eq!(at_home(&mut home, answer).0, "stream");
    let answer = front.send("GET", &session);
    let third = answer.exchange;
    assert_eq!(at_home(&mut home, answer).0, "stream");
    check_parts(&home.deliveries(), first, &[("end", Value::Null)]);
    let gone = Forwarded {
        exchange: first,
        session: id,
        seal: None,
        revision: None,
        id: None,
        caller_info: None,
        trace: None,
        kind: ForwardedKind::StreamGone,
    };
    let mut out = Vec::new();
    assert_eq!(
        kind_of(&home.endpoint.handle_forwarded(gone, &mut out)),
        "done"
    );
    let answer = front.send("DELETE", &session);
    assert_eq!(at_home(&mut home, answer).0, "done");
    let ended: Vec<_> = home.deliveries().iter().map(|(it, _)| *it).collect();
    assert_eq!(ended, [second, third]);
}

#[test]
fn requests_on_their_way_have_so_many_bytes_together() {
    let post = |harness: &mut TestEndpoint, bytes: usize| {
        let session = session_header(SessionId { home: 1, random: 1 });
        let arguments = json!({"filler": "x".repeat(bytes)});
        harness.call_legacy(&session, "wait", arguments)
    };
    let mut harness = TestEndpoint::with(|settings| {
        settings.shards = 2;
        settings.calls.bytes_max = 100_000;
    });
    let first = post(&mut harness, 45_000);
    assert_eq!(kind_of(&first.disposition), "forward to 1");
    let refused = post(&mut harness, 45_000);
    refused.check("503", &error(1, -32603));
    let message = refused.body["error"]["message"].as_str().expect("a text");
    assert!(message.contains("calls.bytes_max"), "{message}");
    assert_eq!(
        kind_of(&post(&mut harness, 100).disposition),
        "forward to 1"
    );
    drop(first);
    let second = post(&mut harness, 45_000);
    assert_eq!(kind_of(&second.disposition), "forward to 1");
}

//! Pipelined requests, and requests in pieces: each is answered once, in order, whole.

use std::io::ErrorKind;
use std::time::Duration;

use corelane_tests::{Connection, LivenessProbe, PATIENCE, Request, Session, Setup};
use serde_json::{Value, json};

#[test]
fn pipelined_requests_are_answered_in_order() {
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        // More connections than shards, so that some have the session on another shard.
        let session = Session::open(&mut server.connect());
        for _ in 0..2 * shards {
            let mut connection = server.connect();
            let mut bytes = Vec::new();
            for id in 0..100 {
                bytes.extend(request(&session, id).to_bytes(server.address()));
            }
            connection.send_bytes(&bytes);
            for id in 0..100 {
                let response = connection.read_response();
                assert_eq!(response.status(), 200, "{id}: {response:?}");
                assert_eq!(response.answer()["id"], id, "{response:?}");
            }
            assert!(
                !connection.has_call_events(),
                "one answer a request: {connection:?}"
            );
        }
    }
}

/// A request of a kind that depends on `id`: some are answered at once, some later, some as
/// streams.
fn request(session: &Session, id: u32) -> Request {
    let params = |tool: &str, arguments: Value| json!({ "name": tool, "arguments": arguments });
    match id % 10 {
        0 => session.request(id, "tools/call", params("sleep", json!({ "ms": 5 }))),
        1 => session
            .request(
                id,
                "tools/call",
                params("test_tool_with_progress", json!({})),
            )
            .meta("progressToken", id),
        2 => Request::modern(id, "tools/call", params("sleep", json!({ "ms": 1 }))),
        3 => Request::modern(id, "tools/list", json!({})),
        4 => session.request(id, "no/such", Value::Null),
        5 => session.request(id, "tools/call", params("fibonacci", json!({ "n": 5 }))),
        _ => session.request(id, "tools/call", params("echo", json!({ "message": "x" }))),
    }
}

#[test]
fn a_good_request_is_answered_before_the_garbage_behind_it() {
    for shards in [1, 2] {
        let server = Setup::shards(shards).start();
        let mut probe = LivenessProbe::of(&server);
        let session = Session::open(&mut server.connect());
        for (tool, arguments) in [
            ("echo", json!({ "message": "x" })),
            ("sleep", json!({ "ms": 20 })),
        ] {
            for garbage in [
                "\0\0\0\0garbage\r\n\r\n",
                "GET / HTTP/9\r\n\r\n",
                "\r\n\r\n\r\n",
            ] {
                let mut connection = server.connect();
                let good = session
                    .call(tool, arguments.clone())
                    .to_bytes(server.address());
                connection.send_bytes(&[&good, garbage.as_bytes()].concat());
                let first = connection.read_response();
                assert_eq!(first.status(), 200, "{tool} {garbage:?}: {first:?}");
                let second = connection.read_response();
                assert!(second.status() >= 400, "{tool} {garbage:?}: {second:?}");
                assert!(second.head.says_close(), "{tool} {garbage:?}: {second:?}");
                connection.expect_close();
                probe.check(garbage);
            }
        }
    }
}

#[test]
fn a_request_may_come_in_any_pieces() {
    let server = Setup::shards(1).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let call = session.call("echo", json!({ "message": "\u{e4}\u{1f600}" }));
    let plain = call.to_bytes(server.address());
    let chunked = call.to_chunked_bytes(server.address(), 7);
    let check = |connection: &mut Connection| {
        let answer = connection.read_response().answer();
        assert_eq!(
            answer["result"]["content"][0]["text"], "\u{e4}\u{1f600}",
            "{answer}"
        );
    };
    for bytes in [&plain, &chunked] {
        for byte in bytes {
            connection.send_bytes(&[*byte]);
        }
        check(&mut connection);
        for cut in 1..bytes.len() {
            connection.send_bytes(&bytes[..cut]);
            connection.send_bytes(&bytes[cut..]);
            check(&mut connection);
        }
    }
    // The end of one request and the start of the next in one piece.
    let two = [plain.clone(), chunked].concat();
    connection.send_bytes(&two[..plain.len() + 10]);
    check(&mut connection);
    connection.send_bytes(&two[plain.len() + 10..]);
    check(&mut connection);
}

#[test]
fn a_connection_that_rests_between_bursts_loses_nothing() {
    let profile = "[connection]\nquiet_after_ms = 40\npipelined_bytes_max = 16384";
    for shards in [1, 2] {
        let server = Setup::shards(shards).profile(profile).start();
        let mut clock = server.connect();
        let session = Session::open(&mut server.connect());
        let mut connection = server.connect();
        let mut id = 0;
        // Polled, then received by multishot, then polled again; a burst is larger than the kept
        // input.
        for (burst, rest_ms) in [
            (1, 0),
            (1, 0),
            (60, 90),
            (1, 0),
            (60, 0),
            (60, 90),
            (60, 90),
        ] {
            let first = id;
            for _ in 0..burst {
                connection.send(&request(&session, id));
                id += 1;
            }
            for id in first..id {
                assert_eq!(connection.read_response().answer()["id"], id);
            }
            clock.exchange(&Request::modern(
                0,
                "tools/call",
                json!({ "name": "sleep", "arguments": { "ms": rest_ms } }),
            ));
        }
        assert!(!connection.has_call_events(), "one answer a request");
    }
}

#[test]
fn a_slow_reader_gets_every_byte() {
    const CALLS: u32 = 128;
    const MESSAGE_BYTES: usize = 64 * 1024;
    for shards in [1, 2] {
        let server = Setup::shards(shards).start();
        let mut probe = LivenessProbe::of(&server);
        let session = Session::open(&mut server.connect());
        let message = |id: u32| format!("{id:03} ").repeat(MESSAGE_BYTES / 4);
        let mut connection = server.connect();
        let mut bytes = Vec::new();
        for id in 0..CALLS {
            let params = json!({ "name": "echo", "arguments": { "message": message(id) } });
            let request = session.request(id, "tools/call", params);
            bytes.extend(request.to_bytes(server.address()));
        }
        // Reads only when the server takes no more, which it may do at any time.
        connection
            .stream()
            .set_write_timeout(Some(Duration::from_millis(50)))
            .expect("not zero");
        let (mut sent, mut answered) = (0, 0);
        let mut check = |connection: &mut Connection| {
            let response = connection.read_response();
            let answer = response.answer();
            assert_eq!(answer["id"], answered, "{}", response.status());
            let text = answer["result"]["content"][0]["text"]
                .as_str()
                .expect("a text");
            assert!(text == message(answered), "the text of {answered} differs");
            answered += 1;
            answered
        };
        while sent < bytes.len() {
            match connection.try_send_some(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    probe.check("a reader that stopped");
                    check(&mut connection);
                }
                Err(error) => panic!("after {sent} of {} bytes: {error}", bytes.len()),
            }
        }
        while check(&mut connection) < CALLS {}
        assert!(!connection.has_call_events(), "one answer a request");
    }
}

#[test]
fn a_client_that_finished_sending_gets_its_answers() {
    for shards in [1, 4] {
        let server = Setup::shards(shards).start();
        let session = Session::open(&mut server.connect());
        for _ in 0..2 * shards {
            let mut connection = server.connect();
            connection.send(&session.request(1, "ping", Value::Null));
            connection.send(&session.call("sleep", json!({ "ms": 20 })));
            connection.finish_sending();
            for at in 0..2 {
                let response = connection.try_read_response(PATIENCE);
                assert_eq!(
                    response.map(|it| it.status()),
                    Ok(200),
                    "answer {at} of {shards}"
                );
            }
            connection.expect_close();

            // More requests than one turn handles.
            let mut connection = server.connect();
            let list = Request::modern(1, "tools/list", json!({})).to_bytes(server.address());
            connection.send_bytes(&list.repeat(100));
            connection.finish_sending();
            for at in 0..100 {
                let response = connection.try_read_response(PATIENCE);
                assert_eq!(
                    response.map(|it| it.status()),
                    Ok(200),
                    "answer {at} of {shards}"
                );
            }
            connection.expect_close();
        }
    }
}

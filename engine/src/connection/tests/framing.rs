//! Requests in pieces, in a row, and invalid ones.

use serde_json::json;

use super::response::Body;
use super::test_connection::{TestConnection, call, call_as, echo, post, post_as, text_of, texts};
use crate::connection::http::{Connection, Phase};
use crate::mcp::tests::test_endpoint::initialize;
use crate::meter::Counter;

/// Lets `bytes` arrive in pieces of `piece_bytes`; returns the texts of the answers.
#[track_caller]
fn check(bytes: &str, piece_bytes: usize, expected: &[&str]) {
    let mut line = TestConnection::new();
    for piece in bytes.as_bytes().chunks(piece_bytes) {
        line.receive(piece);
    }
    let responses = line.responses();
    assert_eq!(
        texts(&responses),
        expected,
        "in pieces of {piece_bytes} bytes"
    );
    assert_eq!(line.connection.phase, Phase::Idle);
    assert!(line.owns_nothing());
    assert_eq!(line.connection.sequence as usize, expected.len());
}

#[test]
fn requests_are_answered_in_order_wherever_their_bytes_are_split() {
    let chunked = echo("chunked").replace(
        "Content-Length",
        "Transfer-Encoding: chunked\r\nX-Was-Length",
    );
    let (head, body) = chunked.split_once("\r\n\r\n").unwrap();
    let (first, second) = body.split_at(9);
    let chunked = format!(
        "{head}\r\n\r\n9\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
        second.len()
    );
    let long = "x".repeat(10_000);
    let row = [echo("a"), chunked.clone(), echo(""), echo(&long), echo("b")].concat();
    for piece_bytes in [1, 2, 3, 7, 64, 1000, 4096, usize::MAX] {
        check(&echo("alone"), piece_bytes, &["alone"]);
        check(&chunked, piece_bytes, &["chunked"]);
        check(&row, piece_bytes, &["a", "chunked", "", &long, "b"]);
    }
}

#[test]
fn bytes_behind_a_request_begin_the_next() {
    let mut line = TestConnection::new();
    let (first, second) = (echo("first"), echo("second"));
    for cut in 0..second.len() {
        let (begun, rest) = second.split_at(cut);
        line.receive([&first, begun].concat().as_bytes());
        assert_eq!(text_of(&line.response()), "first");
        assert_eq!(line.owns_nothing(), cut == 0);
        line.receive(rest.as_bytes());
        assert_eq!(text_of(&line.response()), "second");
        assert!(line.owns_nothing());
    }
}

#[test]
fn the_received_part_decides_the_deadline() {
    let request = echo("m");
    let head_bytes = request.find("\r\n\r\n").unwrap() + 4;
    let mut line = TestConnection::new();
    for (at, byte) in request.bytes().enumerate() {
        let expected = match at {
            0 => Phase::Idle,
            at if at < head_bytes => Phase::ReadingHead,
            _ => Phase::ReadingBody,
        };
        assert_eq!(line.connection.phase, expected, "after {at} bytes");
        line.receive(&[byte]);
    }
    assert_eq!(line.connection.phase, Phase::Idle);
}

#[test]
fn bytes_that_are_no_request_are_refused_and_end_the_connection() {
    for (bytes, status) in [
        ("GET / HTTP/1.1\n\n", 400),
        ("GET /mcp HTTP/1.1\r\n\r\n", 400),
        ("POST /mcp HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
        (
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
            400,
        ),
        (
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
            413,
        ),
    ] {
        for before in ["", &echo("before")] {
            let mut line = TestConnection::new();
            line.receive([before, bytes, &echo("after")].concat().as_bytes());
            let mut responses = line.responses();
            let refusal = responses.pop().unwrap();
            assert_eq!(refusal.status, status, "{bytes}");
            assert_eq!(refusal.field("connection"), Some("close"));
            assert_eq!(refusal.message()["error"]["code"], -32600);
            assert_eq!(responses.len(), usize::from(!before.is_empty()));
            assert_eq!(line.connection.phase, Phase::Flushing { lingers: true });
            assert_eq!(line.harness.count(Counter::RefusedFraming), 1);
            line.receive(echo("later").as_bytes());
            assert!(line.take_sent().is_empty());
        }
    }
}

#[test]
fn a_refused_head_is_refused_byte_by_byte_too() {
    let mut line = TestConnection::new();
    for byte in b"GET / HTTP/1.1\n" {
        line.receive(&[*byte]);
    }
    assert_eq!(line.response().status, 400);
    assert_eq!(line.connection.phase, Phase::Flushing { lingers: true });
}

#[test]
fn a_lingering_connection_throws_away_a_bounded_number_of_bytes() {
    let mut line = TestConnection::new();
    line.rules.connection.linger_bytes_max = 100;
    line.connection.phase = Phase::Lingering;
    line.receive(&[b'x'; 60]);
    line.receive(&[b'x'; 40]);
    assert_eq!(line.connection.phase, Phase::Lingering);
    line.receive(b"x");
    assert_eq!(line.connection.phase, Phase::Flushing { lingers: false });
    assert!(line.take_sent().is_empty());
}

#[test]
fn a_slow_request_gets_408() {
    for (is_head, bytes) in [(true, 10), (false, echo("m").len() - 1)] {
        let mut line = TestConnection::new();
        line.receive(&echo("m").as_bytes()[..bytes]);
        let sequence = line.connection.sequence;
        line.step(|connection, context| connection.time_out(is_head, context));
        let response = line.response();
        assert_eq!(response.status, 408);
        assert_eq!(response.field("connection"), Some("close"));
        assert_eq!(line.connection.phase, Phase::Flushing { lingers: true });
        assert_ne!(line.connection.sequence, sequence);
    }
}

#[test]
fn the_connection_lives_as_long_as_both_sides_want() {
    const KEEP: &str = "Connection: keep-alive\r\n";
    const CLOSE: &str = "Connection: close\r\n";
    for (version, headers, is_draining, lives, field) in [
        ("HTTP/1.1", "", false, true, None),
        ("HTTP/1.1", KEEP, false, true, None),
        ("HTTP/1.1", CLOSE, false, false, Some("close")),
        ("HTTP/1.0", "", false, false, Some("close")),
        ("HTTP/1.0", KEEP, false, true, Some("keep-alive")),
        ("HTTP/1.1", "", true, false, Some("close")),
        ("HTTP/1.0", KEEP, true, false, Some("close")),
    ] {
        let mut line = TestConnection::new();
        line.is_draining = is_draining;
        let request = call_as(version, headers, "echo", json!({"message": "m"}));
        line.receive([request.as_str(), request.as_str()].concat().as_bytes());
        let responses = line.responses();
        assert_eq!(
            responses.len(),
            1 + usize::from(lives),
            "{version} {headers}"
        );
        assert_eq!(text_of(&responses[0]), "m");
        assert_eq!(
            responses[0].field("connection"),
            field,
            "{version} {headers}"
        );
        let after = match lives {
            true => Phase::Idle,
            false => Phase::Flushing {
                lingers: is_draining,
            },
        };
        assert_eq!(line.connection.phase, after);
    }
}

#[test]
fn a_client_that_expects_continue_gets_it_once() {
    let request = call("Expect: 100-continue\r\n", "echo", json!({"message": "m"}));
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut line = TestConnection::new();
    for byte in format!("{head}\r\n\r\n").bytes() {
        assert!(line.take_sent().is_empty());
        line.receive(&[byte]);
    }
    assert_eq!(line.take_sent(), b"HTTP/1.1 100 Continue\r\n\r\n");
    for byte in body.bytes() {
        assert!(line.take_sent().is_empty());
        line.receive(&[byte]);
    }
    assert_eq!(text_of(&line.response()), "m");
    // A client that did not wait for `100 Continue` gets none.
    line.receive(request.as_bytes());
    assert_eq!(text_of(&line.response()), "m");
}

#[test]
fn a_turn_has_a_budget_and_the_rest_waits_for_another() {
    let names: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    let row: String = names.iter().map(|name| echo(name)).collect();
    for (requests_per_turn, turns) in [(1, 9), (3, 3), (9, 1), (10, 0), (16, 0)] {
        let mut line = TestConnection::new();
        line.requests_per_turn = requests_per_turn;
        line.receive(row.as_bytes());
        let first = line.responses();
        assert_eq!(first.len(), names.len().min(requests_per_turn as usize));
        assert_eq!(line.connection.has_requests_left_over(), turns > 0);
        assert_eq!(line.finish_leftover(), turns);
        let rest = line.responses();
        assert_eq!([texts(&first), texts(&rest)].concat(), names);
        assert!(line.owns_nothing());
    }
}

#[test]
fn later_requests_stay_behind_leftover_ones() {
    let mut line = TestConnection::new();
    line.requests_per_turn = 1;
    let third = echo("3");
    let (begun, rest) = third.split_at(40);
    line.receive([&echo("1"), &echo("2"), begun].concat().as_bytes());
    assert_eq!(text_of(&line.response()), "1");
    line.receive(rest.as_bytes());
    assert_eq!(text_of(&line.response()), "2");
    line.finish_leftover();
    assert_eq!(text_of(&line.response()), "3");
    assert!(line.owns_nothing());
}

#[test]
fn requests_are_refused_before_their_body_is_looked_at() {
    let with = |name: &str, value: &str| {
        let line = format!("{name}: {value}\r\n");
        post(&line, "{}")
    };
    let body = initialize("2025-11-25");
    for (request, status) in [
        (with("Origin", "http://evil.example"), 403),
        (with("Origin", "null"), 403),
        (post("", "{}").replace("localhost", "evil.example"), 403),
        (post("", &body).replace("/mcp", "/other"), 404),
        (post("", &body).replace("POST", "PUT"), 405),
        (
            post("", &body).replace("application/json", "text/plain"),
            415,
        ),
        (post("Accept: text/html\r\n", &body), 406),
        (post_as("HTTP/1.1", "", "{"), 400),
        (post("", &body), 200),
        (post("Origin: http://localhost\r\n", &body), 200),
    ] {
        let mut line = TestConnection::new();
        line.receive(request.as_bytes());
        let response = line.response();
        assert_eq!(response.status, status, "{request}");
        let is_refused = status != 200;
        assert_eq!(response.message().get("error").is_some(), is_refused);
        assert_eq!(response.field("allow").is_some(), status == 405);
        assert_eq!(response.field("mcp-session-id").is_some(), !is_refused);
        assert_eq!(
            line.harness.count(Counter::RefusedOrigin),
            u64::from(status == 403)
        );
        // The framing was sound, so the connection goes on.
        assert_eq!(line.connection.phase, Phase::Idle);
        line.receive(echo("m").as_bytes());
        assert_eq!(text_of(&line.response()), "m");
    }
}

#[test]
fn a_compressed_body_is_refused_with_the_accepted_encoding() {
    let body = initialize("2025-11-25");
    for (coding, status) in [
        ("gzip", 415),
        ("br", 415),
        ("identity, gzip", 415),
        ("gzip\r\nContent-Encoding: br", 415),
        ("identity", 200),
        ("Identity", 200),
    ] {
        let mut line = TestConnection::new();
        line.receive(post(&format!("Content-Encoding: {coding}\r\n"), &body).as_bytes());
        let response = line.response();
        assert_eq!(response.status, status, "{coding}");
        let is_refused = status == 415;
        let taken = is_refused.then_some("identity");
        assert_eq!(response.field("accept-encoding"), taken, "{coding}");
        if is_refused {
            let text = &response.message()["error"]["message"];
            assert_eq!(
                text,
                "Content-Encoding is not supported: send the body as it is"
            );
        }
        line.receive(echo("m").as_bytes());
        assert_eq!(text_of(&line.response()), "m");
    }
}

#[test]
fn a_notification_is_accepted_without_a_body() {
    let mut line = TestConnection::new();
    let session = line.harness.session();
    let body =
        crate::mcp::tests::test_endpoint::notification("notifications/initialized", json!({}));
    line.receive(post(&session, &body).as_bytes());
    let response = line.response();
    assert_eq!((response.status, &response.body), (202, &Body::None));
    assert_eq!(response.field("content-length"), Some("0"));
    let delete = format!("DELETE /mcp HTTP/1.1\r\nHost: localhost\r\n{session}\r\n");
    line.receive(delete.as_bytes());
    let response = line.response();
    assert_eq!(
        (response.status, response.field("content-length")),
        (204, None)
    );
    assert!(line.owns_nothing());
}

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Connection>() <= 24);
    assert!(TestConnection::new().owns_nothing());
}

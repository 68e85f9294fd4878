//! Requests that are refused, why, and with which status.

use super::super::chunked::CHUNK_FRAMING_BYTES_SPARE;
use super::super::{CHUNK_LINE_BYTES_MAX, METHOD_BYTES_MAX, Refusal, TRAILER_BYTES_MAX};
use super::{Outcome, drive_byte_by_byte, drive_whole};
use crate::limits::{HEADERS_CAPACITY, HttpLimits};

/// The refusal has to be the same whole and byte by byte, and behind a good request.
pub(super) fn check(input: &[u8], limits: &HttpLimits, refusal: Refusal, status: u16) {
    let name = String::from_utf8_lossy(&input[..input.len().min(200)]);
    assert_eq!(refusal.status().code(), status, "{name}");
    let expected = [Outcome::Refused(refusal)];
    assert_eq!(drive_whole(input, limits), expected, "whole: {name}");
    assert_eq!(
        drive_byte_by_byte(input, limits),
        expected,
        "byte by byte: {name}"
    );
    let good = b"GET / HTTP/1.0\r\n\r\n";
    let outcomes = drive_whole(&[good, input].concat(), limits);
    assert_eq!(outcomes[1..], expected, "pipelined: {name}");
}

fn check_accepted(input: &[u8], limits: &HttpLimits) {
    for outcomes in [
        drive_whole(input, limits),
        drive_byte_by_byte(input, limits),
    ] {
        assert!(
            matches!(outcomes[..], [Outcome::Request(_)]),
            "{outcomes:?}"
        );
    }
}

/// Heads that are no heads, by refusal and status.
const MALFORMED_HEADS: &[(Refusal, u16, &[&[u8]])] = &[
    (
        Refusal::MalformedRequestLine,
        400,
        &[
            b"\x16\x03\x01\x02\x00\x01\x00",
            b" GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
            b"GET / \r\nHost: h\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET / HTTP/1.1\rHost: h\r\n\r\n",
            b"GET / http/1.1\r\nHost: h\r\n\r\n",
            b"GET / HTTP/1.10\r\nHost: h\r\n\r\n",
            b"GET / HTTP/2\r\nHost: h\r\n\r\n",
            b"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
            b"G(T / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"GET /\xe4 HTTP/1.1\r\nHost: h\r\n\r\n",
        ],
    ),
    (
        Refusal::LeadingEmptyLines,
        400,
        &[b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"],
    ),
    (
        Refusal::BareLineFeed,
        400,
        &[
            b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"GET / HTTP/1.1\nHost: h\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\n\n",
            b"GET / HTTP/1.1\n\n",
        ],
    ),
    (
        Refusal::UnsupportedVersion,
        505,
        &[
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.2\r\nHost: h\r\n\r\n",
            b"GET / HTTP/0.9\r\nHost: h\r\n\r\n",
        ],
    ),
    (
        Refusal::UnsupportedTarget,
        400,
        &[
            b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
            b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n",
            b"GET mcp HTTP/1.1\r\nHost: h\r\n\r\n",
            b"GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n",
        ],
    ),
    (
        Refusal::MalformedHeader,
        400,
        &[
            b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\tc\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
            b"GET / HTTP/1.1\r\n Host: h\r\n\r\n",
            b"GET / HTTP/1.1\r\n \r\nHost: h\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nA\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nA b: c\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nA\xe4: c\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nA: b\x00c\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nA: b\x0bc\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nA: b\x7f\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\n\rA: b\r\n\r\n",
        ],
    ),
    (
        Refusal::MissingHost,
        400,
        &[b"GET / HTTP/1.1\r\n\r\n", b"GET http://h/ HTTP/1.1\r\n\r\n"],
    ),
    (
        Refusal::RepeatedHost,
        400,
        &[
            b"GET / HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n",
            b"GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n",
        ],
    ),
    (
        Refusal::InvalidHost,
        400,
        &[
            b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: u@h\r\n\r\n",
            b"GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n",
        ],
    ),
    (
        Refusal::UnknownExpectation,
        417,
        &[
            b"POST / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nExpect: x\r\n\r\n",
        ],
    ),
];

#[test]
fn refuses_malformed_heads() {
    for &(refusal, status, inputs) in MALFORMED_HEADS {
        for input in inputs {
            check(input, &HttpLimits::DEFAULT, refusal, status);
        }
    }
}

/// First lines of other protocols, after which their clients wait for an answer.
const FOREIGN_FIRST_LINES: &[(Refusal, u16, &[&[u8]])] = &[
    (
        Refusal::MalformedRequestLine,
        400,
        &[
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"PING\r\n",
            b"EHLO example.org\r\n",
            b"GET /mcp\r\n",
            b"GET /mcp HTTP/1.1 \r\n",
            b"HTTP/1.1\r\n",
            b"\r\nGET /mcp\r\n",
        ],
    ),
    (
        Refusal::UnsupportedVersion,
        505,
        &[b"PRI * HTTP/2.0\r\n", b"GET /mcp HTTP/0.9\r\n"],
    ),
];

#[test]
fn refuses_the_first_line_of_another_protocol_without_waiting_for_more() {
    for &(refusal, status, inputs) in FOREIGN_FIRST_LINES {
        for input in inputs {
            check(input, &HttpLimits::DEFAULT, refusal, status);
        }
    }
}

fn chunked(body: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes()
}

#[test]
fn refuses_malformed_chunks() {
    let size = Refusal::InvalidChunkSize;
    let data = Refusal::UnterminatedChunk;
    let trailer = Refusal::MalformedTrailer;
    let bare = Refusal::BareLineFeed;
    for (body, refusal) in [
        ("\r\n", size),
        ("+5\r\n", size),
        ("-5\r\n", size),
        (" 5\r\n", size),
        ("5 \r\n", size),
        ("5 5\r\n", size),
        ("0x5\r\n", size),
        ("5h\r\n", size),
        (";a\r\n", size),
        ("00000000000000005\r\n", size),
        ("5;\r\nhello", size),
        ("5; \r\nhello", size),
        ("5;=b\r\nhello", size),
        ("5;a=\r\nhello", size),
        ("5;a=;b\r\nhello", size),
        ("5;a;\r\nhello", size),
        ("5;a b\r\nhello", size),
        ("5;a \r\nhello", size),
        ("5;a=\"b\r\nhello", size),
        ("5;a=\"b\"c\r\nhello", size),
        ("5;a=\"b\\\r\nhello", size),
        ("5;\x0ca\r\nhello", size),
        ("5;a\rb\r\nhello", size),
        ("5;a\0b\r\nhello", size),
        ("5\nhello", bare),
        ("5;a\nhello", bare),
        ("0\n\r\n", bare),
        ("5\r\nhello!", data),
        ("5\r\nhello\n", data),
        ("5\r\nhello\r!", data),
        ("4\r\nhello\r\n", data),
        ("0\r\n\n", bare),
        ("0\r\nA: b\n\r\n", bare),
        ("0\r\nA b: c\r\n\r\n", trailer),
        ("0\r\nA\r\n\r\n", trailer),
        ("0\r\n: c\r\n\r\n", trailer),
        ("0\r\nA: b\r\n c\r\n\r\n", trailer),
        ("0\r\nA: b\rc\r\n\r\n", trailer),
    ] {
        check(&chunked(body), &HttpLimits::DEFAULT, refusal, 400);
    }
}

/// Small enough to be passed in a test.
const SMALL: HttpLimits = HttpLimits {
    head_bytes_max: 600,
    headers_max: 5,
    target_bytes_max: 100,
    body_bytes_max: 20,
};

#[test]
fn the_limits_of_target_and_head_hold_at_their_boundary() {
    let limits = SMALL;
    let target = |bytes: usize| {
        format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(bytes - 1)).into_bytes()
    };
    let limit_bytes = limits.target_bytes_max;
    check_accepted(&target(100), &limits);
    check(
        &target(101),
        &limits,
        Refusal::TargetTooLong { limit_bytes },
        414,
    );
    check(
        &target(5000),
        &limits,
        Refusal::TargetTooLong { limit_bytes },
        414,
    );

    let head = |bytes: usize, leading: &str| {
        let rest = "GET / HTTP/1.1\r\nHost: h\r\nA: \r\n\r\n";
        let value = "a".repeat(bytes - rest.len());
        format!("{leading}GET / HTTP/1.1\r\nHost: h\r\nA: {value}\r\n\r\n").into_bytes()
    };
    let limit_bytes = limits.head_bytes_max;
    for leading in ["", "\r\n"] {
        check_accepted(&head(600, leading), &limits);
        check(
            &head(601, leading),
            &limits,
            Refusal::HeadTooLong { limit_bytes },
            431,
        );
        check(
            &head(5000, leading),
            &limits,
            Refusal::HeadTooLong { limit_bytes },
            431,
        );
    }
}

#[test]
fn the_limits_of_fields_and_method_hold_at_their_boundary() {
    let limits = SMALL;
    let fields = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
            "A: b\r\n".repeat(count - 1)
        )
        .into_bytes()
    };
    let limit = limits.headers_max;
    check_accepted(&fields(5), &limits);
    check(&fields(6), &limits, Refusal::TooManyHeaders { limit }, 431);
    check(&fields(70), &limits, Refusal::TooManyHeaders { limit }, 431);
    let generous = HttpLimits {
        headers_max: usize::MAX,
        ..HttpLimits::DEFAULT
    };
    check_accepted(&fields(HEADERS_CAPACITY), &generous);
    let refusal = Refusal::TooManyHeaders {
        limit: HEADERS_CAPACITY,
    };
    check(&fields(HEADERS_CAPACITY + 1), &generous, refusal, 431);

    let method =
        |bytes: usize| format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", "M".repeat(bytes)).into_bytes();
    check_accepted(&method(METHOD_BYTES_MAX), &limits);
    check(
        &method(METHOD_BYTES_MAX + 1),
        &limits,
        Refusal::MethodTooLong,
        501,
    );
    check(&method(500), &limits, Refusal::MethodTooLong, 501);
}

#[test]
fn the_limit_of_the_body_holds_at_its_boundary() {
    let limits = HttpLimits {
        body_bytes_max: 20,
        ..HttpLimits::DEFAULT
    };
    let limit_bytes = limits.body_bytes_max;
    let sized = |method: &str, length: u64| {
        let body = "x".repeat(20);
        format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}")
            .into_bytes()
    };
    for method in ["POST", "GET", "DELETE"] {
        check_accepted(&sized(method, 20), &limits);
        for body_bytes in [21, u64::MAX] {
            let refusal = Refusal::BodyTooLong {
                body_bytes,
                limit_bytes,
            };
            check(&sized(method, body_bytes), &limits, refusal, 413);
        }
    }
    check_accepted(
        &chunked("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"),
        &limits,
    );
    let refusal = Refusal::BodyTooLong {
        body_bytes: 21,
        limit_bytes,
    };
    check(&chunked("A\r\n0123456789\r\nb\r\n"), &limits, refusal, 413);
    let refusal = Refusal::BodyTooLong {
        body_bytes: u64::MAX,
        limit_bytes,
    };
    check(
        &chunked("1\r\nx\r\nffffffffffffffff\r\n"),
        &limits,
        refusal,
        413,
    );
}

#[test]
fn chunk_framing_is_bounded() {
    let limits = HttpLimits::default();
    let extended =
        |bytes: usize| chunked(&format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(bytes - 2)));
    check_accepted(&extended(CHUNK_LINE_BYTES_MAX), &limits);
    check(
        &extended(CHUNK_LINE_BYTES_MAX + 1),
        &limits,
        Refusal::ChunkLineTooLong,
        400,
    );
    check(
        &extended(CHUNK_LINE_BYTES_MAX * 9),
        &limits,
        Refusal::ChunkLineTooLong,
        400,
    );

    // One field of "A: " and line end, the empty line not counted.
    let trailer = |bytes: usize| {
        let half = "B: x\r\n".repeat(100);
        let value = "a".repeat(bytes - half.len() - "A: \r\n".len());
        chunked(&format!("0\r\n{half}A: {value}\r\n\r\n"))
    };
    check_accepted(&trailer(TRAILER_BYTES_MAX), &limits);
    check(
        &trailer(TRAILER_BYTES_MAX + 1),
        &limits,
        Refusal::TrailerTooLong,
        431,
    );
    check(
        &trailer(TRAILER_BYTES_MAX * 3),
        &limits,
        Refusal::TrailerTooLong,
        431,
    );

    // One byte of data in six: five of framing, of which the data outweighs one.
    let chunks = CHUNK_FRAMING_BYTES_SPARE / 4;
    let tiny = |count: usize| chunked(&format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(count)));
    check_accepted(&tiny(chunks - 1), &limits);
    let outcomes = drive_whole(&tiny(chunks + 2), &limits);
    assert!(
        matches!(
            outcomes[..],
            [Outcome::Refused(Refusal::ChunkFramingTooLong { .. })]
        ),
        "{outcomes:?}"
    );
    assert_eq!(drive_byte_by_byte(&tiny(chunks + 2), &limits), outcomes);
    // Chunks of eight bytes may go on for ever.
    check_accepted(
        &chunked(&format!("{}0\r\n\r\n", "8\r\n12345678\r\n".repeat(9000))),
        &limits,
    );
}

#[test]
fn messages_name_the_fact_and_the_limit() {
    let limit_bytes = 16384;
    let message = Refusal::HeadTooLong { limit_bytes }.to_string();
    assert_eq!(
        message,
        "request head has more than 16384 bytes (http.head_bytes_max)"
    );
    let message = Refusal::BodyTooLong {
        body_bytes: 17000,
        limit_bytes,
    }
    .to_string();
    assert_eq!(
        message,
        "request body of 17000 bytes exceeds limit of 16384 (http.body_bytes_max)"
    );
    let message = Refusal::ChunkLineTooLong.to_string();
    assert_eq!(
        message,
        "chunk size line of more than 256 bytes exceeds limit of 256"
    );
}

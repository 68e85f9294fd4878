//! Requests that are accepted, and the contents of their heads.

use super::super::{Field, Framer, Method, RequestHead, Step};
use super::{Outcome, drive_byte_by_byte, drive_whole};
use crate::limits::HttpLimits;

/// A typical call of a modern client.
pub(super) const TYPICAL: &[u8] = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\
    Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
    MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: add\r\n\
    User-Agent: x\r\nAuthorization: Bearer abc\r\nContent-Length: 15\r\n\r\n{\"jsonrpc\":\"2\"}";

/// Good requests with the path and body they carry.
pub(super) const GOOD: &[(&[u8], &str, &[u8])] = &[
    (TYPICAL, "/mcp", b"{\"jsonrpc\":\"2\"}"),
    (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", "/", b""),
    (b"GET / HTTP/1.0\r\n\r\n", "/", b""),
    (b"\r\nGET /a?b HTTP/1.1\r\nHost: h\r\n\r\n", "/a", b""),
    (
        b"DELETE /mcp HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok",
        "/mcp",
        b"ok",
    ),
    (
        b"GET /mcp HTTP/1.1\r\nHost: h\r\nContent-Length: 0003\r\n\r\nabc",
        "/mcp",
        b"abc",
    ),
    (
        b"POST http://h:1/p?q HTTP/1.1\r\nHost: x\r\n\r\n",
        "/p",
        b"",
    ),
    (b"M-SEARCH / HTTP/1.1\r\nHost: h\r\n\r\n", "/", b""),
    (
        b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
        "/",
        b"x",
    ),
    (
        b"POST / HTTP/1.0\r\nExpect: magic\r\nContent-Length: 1\r\n\r\nx",
        "/",
        b"x",
    ),
    (
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "/",
        b"",
    ),
    (
        b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \tChUnKeD \r\n\r\n\
          5\r\nhello\r\n00006;a=\"b;c\"\r\n, worl\r\n1 \t;x\r\nd\r\nA\r\n0123\r\n\r\n89\r\n\
          0;last\r\nX-Sum: 1\r\nY:\r\n\r\n",
        "/c",
        b"hello, world0123\r\n\r\n89",
    ),
    (
        b"\r\nPOST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\
          \r\n3\r\n\r\n\n\r\n0\r\n\r\n",
        "/",
        b"\r\n\n",
    ),
    (
        b"GET / HTTP/1.1\r\nHost: h\r\nX: \xe4\t\xff\r\nY: :\r\nZ:\t \r\n\r\n",
        "/",
        b"",
    ),
];

/// Hands the head of the one request in `input` to `look`.
fn with_head(input: &[u8], look: impl FnOnce(&RequestHead<'_>)) {
    let mut buffer = input.to_vec();
    match Framer::default().step(&mut buffer, &HttpLimits::DEFAULT) {
        Ok(Step::Request { head, .. }) => look(&head),
        other => panic!("{other:?} from {}", String::from_utf8_lossy(input)),
    }
}

#[test]
fn good_requests_carry_their_path_and_body_however_they_arrive() {
    let limits = HttpLimits::default();
    for (input, path, body) in GOOD {
        let mut buffer = input.to_vec();
        match Framer::default().step(&mut buffer, &limits) {
            Ok(Step::Request {
                head,
                body: seen,
                body_at,
                consumed,
            }) => {
                assert_eq!((head.path, seen, consumed), (*path, *body, input.len()));
                let (path, seen_bytes) = (path.to_string(), seen.len());
                assert_eq!(&buffer[body_at..body_at + seen_bytes], *body, "{path}");
            }
            other => panic!("{other:?}"),
        }
        let whole = drive_whole(input, &limits);
        assert!(matches!(whole[..], [Outcome::Request(_)]));
        assert_eq!(drive_byte_by_byte(input, &limits), whole);
    }
}

#[test]
fn bytes_after_a_request_belong_to_the_next() {
    let limits = HttpLimits::default();
    for (first, ..) in GOOD {
        for (second, ..) in GOOD {
            let mut expected = drive_whole(first, &limits);
            expected.extend(drive_whole(second, &limits));
            let both = [*first, *second].concat();
            assert_eq!(drive_whole(&both, &limits), expected);
            assert_eq!(drive_byte_by_byte(&both, &limits), expected);
            expected[1] = Outcome::Partial;
            let cut = &both[..both.len() - 1];
            assert_eq!(drive_whole(cut, &limits), expected);
            assert_eq!(drive_byte_by_byte(cut, &limits), expected);
        }
    }
}

#[test]
fn known_fields_are_named_and_all_fields_are_found_again() {
    with_head(TYPICAL, |head| {
        assert_eq!(head.method, Method::Post);
        assert_eq!(
            (head.query, head.authority, head.version_minor),
            (None, None, 1)
        );
        assert_eq!(head.host, Field::Once(b"127.0.0.1:8080"));
        assert_eq!(head.content_type, Field::Once(b"application/json"));
        assert_eq!(
            head.accept,
            Field::Once(b"application/json, text/event-stream")
        );
        assert_eq!(head.authorization, Field::Once(b"Bearer abc"));
        assert_eq!(head.mcp_protocol_version, Field::Once(b"2026-07-28"));
        assert_eq!(head.mcp_method, Field::Once(b"tools/call"));
        assert_eq!(head.mcp_name, Field::Once(b"add"));
        assert_eq!(head.origin, Field::Absent);
        assert!(head.keep_alive && !head.expect_continue && !head.has_mcp_param);
        let names: Vec<_> = head.headers().map(|(name, _)| name).collect();
        assert_eq!(names.len(), 9);
        assert_eq!((names[0], names[8]), ("Host", "Content-Length"));
    });
    let input = b"GET /?q HTTP/1.1\r\nHOST: h\r\norigin:  http://o \t\r\nMCP-SESSION-ID: s\r\n\
        last-event-id:\r\nAccept: a\r\naccept: b\r\nmcp-param-Region:  \xc3\xa4 b \r\n\r\n";
    with_head(input, |head| {
        assert_eq!((head.method, head.query), (Method::Get, Some("q")));
        assert_eq!(head.origin, Field::Once(b"http://o"));
        assert_eq!(head.mcp_session_id, Field::Once(b"s"));
        assert_eq!(head.last_event_id, Field::Once(b""));
        assert_eq!(head.accept, Field::Repeated);
        assert!(head.has_mcp_param);
        let accepted: Vec<_> = head
            .headers()
            .filter(|(name, _)| name.eq_ignore_ascii_case("accept"))
            .map(|(_, value)| value)
            .collect();
        assert_eq!(accepted, [b"a", b"b"]);
        let last = head.headers().last();
        assert_eq!(last, Some(("mcp-param-Region", "\u{e4} b".as_bytes())));
    });
}

#[test]
fn equal_lines_of_a_field_are_one_and_different_ones_are_several() {
    let (one, several): (Field<'_>, _) = (Field::Once(b"a"), Field::Repeated);
    for (values, expected, in_a_list) in [
        (["a", "a"], one, one),
        (["a", "b"], several, several),
        (["a", "A"], several, several),
        (["", "a"], several, several),
        (["a, a", "a"], several, one),
        (["a, b", "a"], several, several),
        (["a,a", "a,a"], Field::Once(b"a,a"), one),
    ] {
        let [first, second] = values;
        let lines = |name: &str| format!("{name}: {first}\r\n{name}: {second}\r\n");
        let names = ["Mcp-Name", "Accept", "Authorization", "Traceparent"];
        let single = ["Origin", "Last-Event-ID", "MCP-Session-Id"];
        let all: String = names
            .iter()
            .chain(&single)
            .map(|name| lines(name))
            .collect();
        let input = format!("GET / HTTP/1.1\r\nHost: h\r\n{all}\r\n");
        with_head(input.as_bytes(), |head| {
            for field in [head.authorization, head.trace_parent] {
                assert_eq!(field, several, "{values:?}");
            }
            for field in [head.mcp_name, head.accept] {
                assert_eq!(field, expected, "{values:?}");
            }
            for field in [head.origin, head.last_event_id, head.mcp_session_id] {
                assert_eq!(field, in_a_list, "{values:?}");
            }
        });
    }
}

#[test]
fn a_parameter_field_needs_a_name_after_its_prefix() {
    for (name, expected) in [
        ("Mcp-Param-A", true),
        ("MCP-PARAM-", false),
        ("Mcp_Param_A", false),
        ("X", false),
    ] {
        let input = format!("GET / HTTP/1.1\r\nHost: h\r\n{name}: 1\r\n\r\n");
        with_head(input.as_bytes(), |head| {
            assert_eq!(head.has_mcp_param, expected, "{name}")
        });
    }
}

#[test]
fn the_authority_of_the_target_overrides_host() {
    for (target, authority, effective) in [
        ("/p", None, "host.example"),
        (
            "http://target.example:80/p",
            Some("target.example:80"),
            "target.example:80",
        ),
    ] {
        let input = format!("GET {target} HTTP/1.1\r\nHost: host.example\r\n\r\n");
        with_head(input.as_bytes(), |head| {
            assert_eq!((head.path, head.authority), ("/p", authority));
            assert_eq!(head.effective_host(), Some(effective.as_bytes()));
        });
    }
    with_head(b"GET / HTTP/1.0\r\n\r\n", |head| {
        assert_eq!(head.effective_host(), None)
    });
}

#[test]
fn the_connection_lives_on_as_version_and_options_say() {
    for (version_minor, options, expected) in [
        (1, "", true),
        (1, "Connection: close\r\n", false),
        (1, "Connection: keep-alive, CLOSE\r\n", false),
        (1, "Connection: Upgrade\r\nConnection: close\r\n", false),
        (1, "Connection: keep-alive\r\n", true),
        (1, "Connection: closed, , x\r\n", true),
        (0, "", false),
        (0, "Connection: Keep-Alive\r\n", true),
        (0, "Connection: keep-alive\r\nConnection: close\r\n", false),
    ] {
        let input = format!("GET / HTTP/1.{version_minor}\r\nHost: h\r\n{options}\r\n");
        with_head(input.as_bytes(), |head| {
            assert_eq!(
                (head.keep_alive, head.version_minor),
                (expected, version_minor),
                "{input}"
            );
        });
    }
}

#[test]
fn continue_is_due_once_and_only_while_the_body_is_outstanding() {
    let limits = HttpLimits::default();
    let sized = "Content-Length: 3\r\n\r\nabc";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for (version_minor, rest, expected) in [(1, sized, 1), (1, chunked, 1), (0, sized, 0)] {
        let input =
            format!("POST / HTTP/1.{version_minor}\r\nHost: h\r\nExpect: 100-continue\r\n{rest}");
        let mut buffer = Vec::new();
        let mut framer = Framer::default();
        let mut due_at = Vec::new();
        for byte in input.bytes() {
            buffer.push(byte);
            let input_bytes = buffer.len();
            if let Ok(Step::NeedMore {
                continue_due: true, ..
            }) = framer.step(&mut buffer, &limits)
            {
                due_at.push(input_bytes);
            }
        }
        let head_bytes = input.find("\r\n\r\n").expect("the head ends") + 4;
        assert_eq!(due_at, vec![head_bytes; expected]);
        // Whole at once, there is nothing to wait for.
        with_head(input.as_bytes(), |head| {
            assert_eq!(head.expect_continue, expected == 1)
        });
    }
}

#[test]
fn the_bytes_needed_are_exact_once_a_length_is_known() {
    let mut framer = Framer::default();
    let mut input = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nab".to_vec();
    let expected = input.len() + 998;
    let step = framer.step(&mut input, &HttpLimits::DEFAULT);
    let need = Step::NeedMore {
        bytes_needed: expected,
        continue_due: false,
        head_complete: true,
    };
    assert_eq!(step, Ok(need));
    let step = Framer::default().step(&mut [], &HttpLimits::DEFAULT);
    let need = Step::NeedMore {
        bytes_needed: 1,
        continue_due: false,
        head_complete: false,
    };
    assert_eq!(step, Ok(need));
}

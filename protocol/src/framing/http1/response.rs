//! Response heads and chunks, appended to a buffer of the caller: RFC 9112 sections 4 to 7.
//!
//! The head decides how the body is delimited; the caller writes the body. Nothing here reads a
//! clock: the caller passes `Date` as text.

use super::grammar::{is_text_byte, is_token_byte};
use super::status::Status;

/// The interim response to `Expect: 100-continue` (RFC 9110 10.1.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The chunk that ends a chunked body, without trailer fields.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Length of an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 5.6.7).
pub const DATE_BYTES: usize = 29;

/// The contents of a response head. The status line always has HTTP/1.1, for any version of the
/// request (RFC 9110 2.5).
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'a> {
    /// The status.
    pub status: Status,
    /// The body that follows.
    pub content: Content,
    /// The time of the response as IMF-fixdate, if there is a clock.
    pub date: Option<&'a [u8; DATE_BYTES]>,
    /// Whether the connection stays open. A body delimited by the close overrides it.
    pub keep_alive: bool,
    /// Minor version of the request: a response to HTTP/1.0 must state that the connection stays
    /// open.
    pub version_minor: u8,
    /// Further fields, name and value, written in order.
    pub fields: &'a [(&'a str, &'a [u8])],
    /// Whole field lines that many responses share, each with its CRLF. The caller made them of
    /// valid fields once.
    pub lines: &'a [u8],
}

/// The body after a response head. Lengths are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Nothing.
    None,
    /// Nothing, because the request was HEAD. The answer to GET is not described: its length would
    /// have to be right (RFC 9110 8.6).
    Omitted,
    /// `application/json`.
    Json(usize),
    /// `text/plain` in UTF-8.
    Text(usize),
    /// `application/json`, of unknown length.
    JsonStream {
        /// As of [`Content::EventStream`].
        chunked: bool,
    },
    /// `text/event-stream`, of unknown length.
    EventStream {
        /// In chunks, after which the connection may be used again; otherwise it ends with the
        /// connection. HTTP/1.0 knows no chunks.
        chunked: bool,
    },
}

/// Appends a response head, up to and including the empty line.
///
/// # Panics
/// If a field's name is not a token or its value has control bytes; if a field states the length of
/// the body, which only [`Content`] does; if chunks are announced to HTTP/1.0; if a status without
/// content announces content.
pub fn write_response_head(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    out.reserve(HEAD_BYTES_TYPICAL);
    out.extend_from_slice(head.status.line().as_bytes());
    write_content_fields(out, head);
    if let Some(date) = head.date {
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(date);
        out.extend_from_slice(b"\r\n");
    }
    let ends_with_connection = matches!(
        head.content,
        Content::EventStream { chunked: false } | Content::JsonStream { chunked: false }
    );
    if !head.keep_alive || ends_with_connection {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if head.version_minor == 0 {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    for (name, value) in head.fields {
        assert_field(name, value);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    debug_assert!(head.lines.is_empty() || head.lines.ends_with(b"\r\n"));
    out.extend_from_slice(head.lines);
    out.extend_from_slice(b"\r\n");
}

/// Room for a head without further fields: the longest is 225 bytes.
const HEAD_BYTES_TYPICAL: usize = 256;

fn write_content_fields(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    assert!(
        matches!(head.content, Content::None | Content::Omitted) || !head.status.has_no_content(),
        "status {} has no content",
        head.status.code()
    );
    match head.content {
        Content::Omitted => {}
        Content::None if head.status.has_no_content() => {}
        Content::None => out.extend_from_slice(b"Content-Length: 0\r\n"),
        Content::Json(bytes) => {
            out.extend_from_slice(b"Content-Type: application/json\r\nContent-Length: ");
            write_length(out, bytes);
        }
        Content::Text(bytes) => {
            out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: ");
            write_length(out, bytes);
        }
        Content::JsonStream { chunked } => {
            out.extend_from_slice(b"Content-Type: application/json\r\nX-Accel-Buffering: no\r\n");
            write_chunked(out, head, chunked);
        }
        Content::EventStream { chunked } => {
            // A cache or a buffering proxy on the way would hold events back.
            out.extend_from_slice(
                b"Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n\
                  X-Accel-Buffering: no\r\n",
            );
            write_chunked(out, head, chunked);
        }
    }
}

fn write_chunked(out: &mut Vec<u8>, head: &ResponseHead<'_>, chunked: bool) {
    if chunked {
        assert!(head.version_minor >= 1, "http/1.0 knows no chunks");
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
}

fn write_length(out: &mut Vec<u8>, bytes: usize) {
    out.extend_from_slice(itoa::Buffer::new().format(bytes).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Fields come from our own code; a field that could split the response is a bug of ours.
fn assert_field(name: &str, value: &[u8]) {
    assert!(
        !name.is_empty() && name.bytes().all(is_token_byte),
        "field name is not a token"
    );
    assert!(
        value.iter().all(|&byte| is_text_byte(byte)),
        "value of field {name} has control bytes"
    );
    let is_ours = ["content-length", "transfer-encoding"];
    assert!(
        !is_ours.iter().any(|ours| name.eq_ignore_ascii_case(ours)),
        "field {name} is ours"
    );
}

/// Appends one chunk. Empty bytes append nothing: an empty chunk would end the body.
pub fn write_chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    out.reserve(SIZE_LINE_BYTES_MAX + bytes.len() + "\r\n".len());
    let digits = (usize::BITS - bytes.len().leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(bytes.len() >> (digit * 4)) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Sixteen digits and CRLF.
const SIZE_LINE_BYTES_MAX: usize = 18;

#[cfg(test)]
mod tests {
    use super::{Content, ResponseHead, write_chunk, write_response_head};
    use crate::framing::http1::Status;

    const PLAIN: ResponseHead<'_> = ResponseHead {
        status: Status::Ok,
        content: Content::None,
        date: None,
        keep_alive: true,
        version_minor: 1,
        fields: &[],
        lines: &[],
    };

    fn check(head: ResponseHead<'_>, expected: &[&str]) {
        let mut out = b"before".to_vec();
        write_response_head(&mut out, &head);
        let expected = format!("before{}\r\n\r\n", expected.join("\r\n"));
        assert_eq!(String::from_utf8_lossy(&out), expected, "{head:?}");
    }

    #[test]
    fn writes_heads() {
        let json = ResponseHead {
            content: Content::Json(1234),
            ..PLAIN
        };
        let typed = [
            "HTTP/1.1 200 OK",
            "Content-Type: application/json",
            "Content-Length: 1234",
        ];
        check(json, &typed);
        let date = Some(b"Sun, 06 Nov 1994 08:49:37 GMT");
        let fields: &[(&str, &[u8])] = &[("Mcp-Session-Id", b"s-1"), ("X", b"")];
        check(
            ResponseHead {
                date,
                fields,
                lines: b"Vary: Origin\r\nY: 1\r\n",
                keep_alive: false,
                ..json
            },
            &[
                typed[0],
                typed[1],
                typed[2],
                "Date: Sun, 06 Nov 1994 08:49:37 GMT",
                "Connection: close",
                "Mcp-Session-Id: s-1",
                "X: ",
                "Vary: Origin",
                "Y: 1",
            ],
        );
        check(
            ResponseHead {
                version_minor: 0,
                ..json
            },
            &[typed[0], typed[1], typed[2], "Connection: keep-alive"],
        );
        check(
            ResponseHead {
                status: Status::NotFound,
                content: Content::Text(9),
                ..PLAIN
            },
            &[
                "HTTP/1.1 404 Not Found",
                "Content-Type: text/plain; charset=utf-8",
                "Content-Length: 9",
            ],
        );
    }

    #[test]
    fn a_length_is_given_unless_the_status_has_no_content() {
        let accepted = ResponseHead {
            status: Status::Accepted,
            ..PLAIN
        };
        check(accepted, &["HTTP/1.1 202 Accepted", "Content-Length: 0"]);
        let no_content = ResponseHead {
            status: Status::NoContent,
            ..PLAIN
        };
        check(no_content, &["HTTP/1.1 204 No Content"]);
        let upgrade: &[(&str, &[u8])] = &[("Connection", b"Upgrade"), ("Upgrade", b"websocket")];
        check(
            ResponseHead {
                status: Status::SwitchingProtocols,
                fields: upgrade,
                ..PLAIN
            },
            &[
                "HTTP/1.1 101 Switching Protocols",
                "Connection: Upgrade",
                "Upgrade: websocket",
            ],
        );
    }

    #[test]
    fn the_answer_to_head_describes_no_content() {
        let fields: &[(&str, &[u8])] = &[("Allow", b"POST")];
        let head = ResponseHead {
            status: Status::MethodNotAllowed,
            content: Content::Omitted,
            fields,
            ..PLAIN
        };
        check(head, &["HTTP/1.1 405 Method Not Allowed", "Allow: POST"]);
    }

    #[test]
    fn a_body_of_unknown_length_without_chunks_ends_with_its_connection() {
        let stream = [
            "HTTP/1.1 200 OK",
            "Content-Type: text/event-stream",
            "Cache-Control: no-cache",
            "X-Accel-Buffering: no",
        ];
        let json = [
            "HTTP/1.1 200 OK",
            "Content-Type: application/json",
            "X-Accel-Buffering: no",
        ];
        for (chunked, last) in [
            (true, "Transfer-Encoding: chunked"),
            (false, "Connection: close"),
        ] {
            let events = Content::EventStream { chunked };
            for (content, fields) in [
                (events, &stream[..]),
                (Content::JsonStream { chunked }, &json),
            ] {
                check(
                    ResponseHead { content, ..PLAIN },
                    &[fields, &[last]].concat(),
                );
            }
        }
    }

    #[test]
    #[should_panic(expected = "value of field X has control bytes")]
    fn a_value_that_splits_the_response_is_our_own_bug() {
        check(
            ResponseHead {
                fields: &[("X", b"a\r\nSet-Cookie: b")],
                ..PLAIN
            },
            &[],
        );
    }

    #[test]
    #[should_panic(expected = "status 204 has no content")]
    fn content_after_a_status_without_any_is_our_own_bug() {
        let status = Status::NoContent;
        check(
            ResponseHead {
                status,
                content: Content::Json(2),
                ..PLAIN
            },
            &[],
        );
    }

    #[test]
    fn writes_chunks_but_no_empty_one() {
        for (bytes, size) in [(1, "1"), (15, "f"), (16, "10"), (255, "ff"), (4096, "1000")] {
            let mut out = Vec::new();
            let data = "x".repeat(bytes);
            write_chunk(&mut out, data.as_bytes());
            assert_eq!(
                String::from_utf8_lossy(&out),
                format!("{size}\r\n{data}\r\n")
            );
        }
        let mut out = Vec::new();
        write_chunk(&mut out, b"");
        assert!(out.is_empty());
    }
}

//! Server-sent events, encoding only: WHATWG HTML section 9.2. [`sse_reader`](super::sse_reader)
//! reads them.
//!
//! Each call writes a whole event or a whole comment: a stream may be cut between any two calls.
//! Nothing here numbers events or keeps them for resumption.

use memchr::memchr2;

/// One event. An event without fields and data is the event with empty data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Event<'a> {
    /// Becomes the client's last event id, sent back as `Last-Event-ID`.
    pub id: Option<&'a str>,
    /// Event type; absent means `message`.
    pub event: Option<&'a str>,
    /// How long the client waits before it reconnects.
    pub retry_ms: Option<u64>,
    /// The data, UTF-8. Its line ends (CRLF, LF or CR) reach the client as LF.
    pub data: &'a [u8],
}

/// Appends one event with the empty line that dispatches it.
///
/// # Panics
/// If `id` or `event` has a line end, or `id` has NUL (clients ignore such ids).
pub fn write_event(out: &mut Vec<u8>, event: &Event<'_>) {
    let names_bytes = event.id.map_or(0, str::len) + event.event.map_or(0, str::len);
    out.reserve(FRAMING_BYTES_TYPICAL + names_bytes + event.data.len());
    if let Some(name) = event.event {
        assert!(is_one_line(name), "event type has a line end");
        write_field(out, b"event:", name.as_bytes());
    }
    if let Some(id) = event.id {
        assert!(
            is_one_line(id) && !id.contains('\0'),
            "event id has a line end or nul"
        );
        write_field(out, b"id:", id.as_bytes());
    }
    if let Some(retry_ms) = event.retry_ms {
        let mut digits = itoa::Buffer::new();
        write_field(out, b"retry:", digits.format(retry_ms).as_bytes());
    }
    let mut rest = event.data;
    while let Some(at) = memchr2(b'\r', b'\n', rest) {
        write_field(out, b"data:", &rest[..at]);
        let line_end_bytes = if rest[at..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = &rest[at + line_end_bytes..];
    }
    write_field(out, b"data:", rest);
    out.push(b'\n');
}

/// Appends the time that a client waits before it reconnects. Without data, no event is dispatched.
pub fn write_retry(out: &mut Vec<u8>, retry_ms: u64) {
    let mut digits = itoa::Buffer::new();
    write_field(out, b"retry:", digits.format(retry_ms).as_bytes());
    out.push(b'\n');
}

/// Appends a comment, which clients ignore: it keeps intermediaries from closing an idle stream.
///
/// # Panics
/// If the text has a line end.
pub fn write_comment(out: &mut Vec<u8>, text: &str) {
    assert!(is_one_line(text), "comment has a line end");
    write_field(out, b":", text.as_bytes());
    out.push(b'\n');
}

/// Room for the field names, line ends and a retry time of an event with one line of data.
const FRAMING_BYTES_TYPICAL: usize = 64;

/// The client drops one space after the colon, so a value that starts with one stays whole.
fn write_field(out: &mut Vec<u8>, name_and_colon: &[u8], value: &[u8]) {
    out.extend_from_slice(name_and_colon);
    if !value.is_empty() {
        out.push(b' ');
        out.extend_from_slice(value);
    }
    out.push(b'\n');
}

fn is_one_line(text: &str) -> bool {
    memchr2(b'\r', b'\n', text.as_bytes()).is_none()
}

#[cfg(test)]
mod tests {
    use super::{Event, write_comment, write_event, write_retry};

    fn check(event: Event<'_>, expected: &str) {
        let mut out = Vec::new();
        write_event(&mut out, &event);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{event:?}");
    }

    fn data(data: &[u8]) -> Event<'_> {
        Event {
            data,
            ..Event::default()
        }
    }

    #[test]
    fn writes_fields_in_order_and_a_dispatching_empty_line() {
        let id = Some("3-17");
        let event = Some("message");
        let retry_ms = Some(1500);
        check(data(b"{}"), "data: {}\n\n");
        check(
            Event {
                id,
                event,
                retry_ms,
                data: b"{}",
            },
            "event: message\nid: 3-17\nretry: 1500\ndata: {}\n\n",
        );
        check(Event { id, ..data(b"") }, "id: 3-17\ndata:\n\n");
        check(
            Event {
                id: Some(""),
                ..data(b"x")
            },
            "id:\ndata: x\n\n",
        );
    }

    #[test]
    fn each_line_end_of_the_data_begins_a_data_line() {
        check(data(b""), "data:\n\n");
        check(data(b"a\nb"), "data: a\ndata: b\n\n");
        check(data(b"a\r\nb\rc"), "data: a\ndata: b\ndata: c\n\n");
        check(data(b"a\n\nb\n"), "data: a\ndata:\ndata: b\ndata:\n\n");
        check(data(b"\n\r"), "data:\ndata:\ndata:\n\n");
        check(data(b" a"), "data:  a\n\n");
        check(
            data(b"id: 9\n\ndata: forged"),
            "data: id: 9\ndata:\ndata: data: forged\n\n",
        );
    }

    #[test]
    fn writes_a_time_to_reconnect_that_dispatches_nothing() {
        let mut out = Vec::new();
        write_retry(&mut out, 0);
        write_retry(&mut out, u64::MAX);
        assert_eq!(out, b"retry: 0\n\nretry: 18446744073709551615\n\n");
    }

    #[test]
    fn writes_a_comment() {
        let mut out = Vec::new();
        write_comment(&mut out, "keep-alive");
        assert_eq!(out, b": keep-alive\n\n");
    }

    #[test]
    #[should_panic(expected = "event id has a line end or nul")]
    fn an_id_with_a_line_end_is_our_own_bug() {
        check(
            Event {
                id: Some("a\ndata: b"),
                ..Event::default()
            },
            "",
        );
    }
}

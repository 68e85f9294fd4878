//! Server-sent events, reading: WHATWG HTML section 9.2.6.
//!
//! Bytes in any pieces in, events out. Lines end with CR, LF or CRLF; one byte order mark at the
//! start is dropped. An event without data is not dispatched, but its id counts: a server sends
//! such an event first, so that the client can resume (MCP 2025-11-25 basic/transports).
//!
//! Invariant: the events never depend on how the bytes were split, and nothing longer than the
//! limit is kept. It lacks the clock that waits for [`SseReader::retry_ms`].

use memchr::memchr2;

/// The most bytes of the id of an event; a longer one is ignored, as one with NUL is.
pub const EVENT_ID_BYTES_MAX: usize = 1024;
/// The most bytes of the name of an event's type; the rest of a longer one is dropped.
const EVENT_NAME_BYTES_MAX: usize = 256;

/// One event that was dispatched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedEvent<'a> {
    /// Its type; empty means `message`.
    pub event: &'a str,
    /// Its data, lines joined with LF; never empty.
    pub data: &'a [u8],
}

/// An event, or one line of it, has more bytes than it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("event exceeds limit of {limit_bytes} bytes")]
pub struct EventTooLong {
    /// The limit.
    pub limit_bytes: usize,
}

/// Reads one stream of events from its start.
#[derive(Debug, Default)]
pub struct SseReader {
    /// The start of a line that is not whole.
    partial: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    event: String,
    /// The id of the event being read; it counts when the event is whole.
    id: String,
    last_event_id: String,
    retry_ms: Option<u64>,
    has_begun: bool,
    /// The last byte was CR: an LF that follows belongs to it.
    ends_with_cr: bool,
}

impl SseReader {
    /// Reads a piece and hands each event that it completes to `sink`.
    ///
    /// # Errors
    /// [`EventTooLong`] if the data of an event, or a line, exceed `event_bytes_max`. The stream
    /// cannot be read on.
    ///
    /// ```
    /// use corelane_protocol::framing::sse_reader::SseReader;
    /// let mut reader = SseReader::default();
    /// let mut found = Vec::new();
    /// reader.read(b"id: 7\ndata: {}\n\n", 1024, &mut |event| found.push(event.data.to_vec()))?;
    /// assert_eq!((found, reader.last_event_id()), (vec![b"{}".to_vec()], "7"));
    /// # Ok::<(), corelane_protocol::framing::sse_reader::EventTooLong>(())
    /// ```
    pub fn read(
        &mut self,
        mut piece: &[u8],
        event_bytes_max: usize,
        sink: &mut impl FnMut(ReceivedEvent<'_>),
    ) -> Result<(), EventTooLong> {
        if std::mem::take(&mut self.ends_with_cr) {
            self.ends_with_cr = piece.is_empty();
            piece = piece.strip_prefix(b"\n").unwrap_or(piece);
        }
        while let Some(end) = memchr2(b'\r', b'\n', piece) {
            let line = &piece[..end];
            let ends_with_cr = piece[end] == b'\r';
            let end_bytes = 1 + usize::from(ends_with_cr && piece.get(end + 1) == Some(&b'\n'));
            self.ends_with_cr = ends_with_cr && end + 1 == piece.len();
            piece = &piece[end + end_bytes..];
            if self.partial.is_empty() {
                self.take_line(line, event_bytes_max, sink)?;
            } else {
                append(&mut self.partial, line, event_bytes_max)?;
                let line = std::mem::take(&mut self.partial);
                self.take_line(&line, event_bytes_max, sink)?;
            }
        }
        append(&mut self.partial, piece, event_bytes_max)
    }

    /// Begins a stream that resumes the last one: an event that was not whole is dropped, the id
    /// and the time stay.
    pub fn resume(&mut self) {
        *self = SseReader {
            id: self.last_event_id.clone(),
            last_event_id: std::mem::take(&mut self.last_event_id),
            retry_ms: self.retry_ms,
            ..SseReader::default()
        };
    }

    /// The id of the last whole event that had one, with or without data; empty if there is none.
    /// It is the value of `Last-Event-ID` of a resumption.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The time to wait before a reconnection, in milliseconds, if the server sent one.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    fn take_line(
        &mut self,
        line: &[u8],
        event_bytes_max: usize,
        sink: &mut impl FnMut(ReceivedEvent<'_>),
    ) -> Result<(), EventTooLong> {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let line = match line.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if is_first => rest,
            _ => line,
        };
        if line.is_empty() {
            self.dispatch(sink);
            return Ok(());
        }
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    append(&mut self.data, b"\n", event_bytes_max)?;
                }
                append(&mut self.data, value, event_bytes_max)?;
            }
            b"id" if value.len() <= EVENT_ID_BYTES_MAX && !value.contains(&0) => {
                self.id = String::from_utf8_lossy(value).into_owned();
            }
            b"event" => {
                let name = &value[..value.len().min(EVENT_NAME_BYTES_MAX)];
                self.event = String::from_utf8_lossy(name).into_owned();
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let digits = str::from_utf8(value).unwrap_or_default();
                self.retry_ms = digits.parse().ok().or(self.retry_ms);
            }
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, sink: &mut impl FnMut(ReceivedEvent<'_>)) {
        self.last_event_id.clone_from(&self.id);
        if !self.data.is_empty() {
            sink(ReceivedEvent {
                event: &self.event,
                data: &self.data,
            });
            self.data.clear();
        }
        self.has_data = false;
        self.event.clear();
    }
}

fn append(into: &mut Vec<u8>, piece: &[u8], limit_bytes: usize) -> Result<(), EventTooLong> {
    if piece.len() > limit_bytes.saturating_sub(into.len()) {
        return Err(EventTooLong { limit_bytes });
    }
    into.extend_from_slice(piece);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{EventTooLong, ReceivedEvent, SseReader};
    use crate::framing::sse::{Event, write_event};

    /// The most bytes of an event in these tests.
    const EVENT_BYTES_MAX: usize = 64;

    /// The events of a stream that arrives in pieces, its last id and its time to reconnect.
    fn read(stream: &[u8], step: usize) -> (Vec<String>, String, Option<u64>) {
        let (mut reader, mut found) = (SseReader::default(), Vec::new());
        for piece in stream.chunks(step) {
            let mut sink = |ReceivedEvent { event, data }: ReceivedEvent<'_>| {
                found.push(format!("{event}|{}", String::from_utf8_lossy(data)));
            };
            reader.read(piece, EVENT_BYTES_MAX, &mut sink).unwrap();
        }
        let id = reader.last_event_id().to_owned();
        (found, id, reader.retry_ms())
    }

    #[test]
    fn events_are_found_however_their_bytes_were_split() {
        for (stream, events, id, retry) in [
            ("data: {}\n\n", &["|{}"][..], "", None),
            (
                "data: a\r\n\r\ndata: b\r\rdata:c\n\n",
                &["|a", "|b", "|c"],
                "",
                None,
            ),
            ("\u{feff}data: a\n\n\u{feff}data: b\n\n", &["|a"], "", None),
            (
                "data: a\ndata:\ndata\ndata:  b\n\n",
                &["|a\n\n\n b"],
                "",
                None,
            ),
            // An event without data keeps its id and is not dispatched.
            ("id: 1\ndata:\n\n", &[], "1", None),
            ("id: 1\nretry: 500\n\n", &[], "1", Some(500)),
            ("id: 1\ndata: a\n\ndata: b\n\n", &["|a", "|b"], "1", None),
            ("id: 1\n\nid\n\n", &[], "", None),
            ("id: 1\n\nid: a\0b\n\n", &[], "1", None),
            ("event: x\ndata: a\n\ndata: b\n\n", &["x|a", "|b"], "", None),
            ("event: x\n\ndata: b\n\n", &["|b"], "", None),
            (": comment\n\nother: 1\n\nDATA: a\n\n", &[], "", None),
            ("retry: 5x\n\nretry:\n\nretry: -1\n\n", &[], "", None),
            (
                "retry: 7\n\nretry: 99999999999999999999\n\n",
                &[],
                "",
                Some(7),
            ),
            // The last event is not complete, nor does its id count.
            ("id: 1\ndata: a\n\nid: 2\ndata: b\n", &["|a"], "1", None),
            ("data: a\n\ndata: b\n", &["|a"], "", None),
        ] {
            let events: Vec<String> = events.iter().map(|event| (*event).to_owned()).collect();
            let expected = (events, id.to_owned(), retry);
            for step in [stream.len(), 1, 2, 3] {
                assert_eq!(
                    read(stream.as_bytes(), step),
                    expected,
                    "{stream:?} by {step}"
                );
            }
        }
    }

    #[test]
    fn reads_the_events_that_the_writer_wrote() {
        let mut stream = Vec::new();
        for data in [&b"{}"[..], b" a\r\nb\rc", b"data: x"] {
            let event = Some("message");
            let id = Some("3-17");
            let retry_ms = Some(1500);
            write_event(
                &mut stream,
                &Event {
                    id,
                    event,
                    retry_ms,
                    data,
                },
            );
        }
        let (events, id, retry) = read(&stream, 1);
        assert_eq!(
            events,
            ["message|{}", "message| a\nb\nc", "message|data: x"]
        );
        assert_eq!((&*id, retry), ("3-17", Some(1500)));
    }

    #[test]
    fn a_resumed_stream_drops_the_event_that_was_not_whole() {
        let (mut reader, mut found) = (SseReader::default(), Vec::new());
        let mut sink = |event: ReceivedEvent<'_>| found.push(event.data.to_vec());
        let cut = b"id: 4\nretry: 9\n\nevent: x\ndata: lost\nda";
        reader.read(cut, EVENT_BYTES_MAX, &mut sink).unwrap();
        reader.resume();
        reader
            .read(b"data: a\n\n", EVENT_BYTES_MAX, &mut sink)
            .unwrap();
        assert_eq!(found, [b"a"]);
        assert_eq!((reader.last_event_id(), reader.retry_ms()), ("4", Some(9)));
    }

    #[test]
    fn an_event_or_a_line_beyond_the_limit_is_an_error_and_is_not_kept() {
        let error = EventTooLong {
            limit_bytes: EVENT_BYTES_MAX,
        };
        let line = [b'x'; EVENT_BYTES_MAX + 1];
        let lines = b"data: 0123456789012345678\n".repeat(4);
        for stream in [&line[..], &lines] {
            for step in [1, stream.len()] {
                let mut reader = SseReader::default();
                let mut pieces = stream.chunks(step);
                let found =
                    pieces.find_map(|piece| reader.read(piece, EVENT_BYTES_MAX, &mut |_| ()).err());
                assert_eq!(found, Some(error));
                assert!(reader.data.len() + reader.partial.len() <= 2 * EVENT_BYTES_MAX);
            }
        }
        let mut reader = SseReader::default();
        let long = "x".repeat(2000);
        let stream = format!("id: {long}\nevent: {long}\n\n");
        reader.read(stream.as_bytes(), 4096, &mut |_| ()).unwrap();
        assert_eq!(reader.last_event_id(), "");
    }
}

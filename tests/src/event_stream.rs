//! A stream of server-sent events as it arrives, one item at a time.

use std::time::Duration;

use serde_json::Value;

use crate::connection::{Connection, ReadError};
use crate::http::{Framing, Head, event_data, parse};
use crate::timeouts::PATIENCE;

/// An item of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A message.
    Message(Value),
    /// A comment, which shows that the stream is alive.
    Comment(String),
    /// The orderly end.
    End,
}

/// An open stream and its connection.
#[derive(Debug)]
pub struct EventStream {
    connection: Connection,
    head: Head,
    text: String,
    last_id: Option<String>,
    retry_ms: Option<u64>,
    has_ended: bool,
}

impl EventStream {
    /// Reads the head of a stream that was requested on `connection`.
    ///
    /// # Panics
    /// If the answer is not a stream in chunks.
    #[must_use]
    pub fn begin(mut connection: Connection) -> EventStream {
        let head = connection
            .read_head()
            .unwrap_or_else(|error| panic!("no head: {error:?}"));
        EventStream::after_head(connection, head)
    }

    /// The stream that follows a head that was read.
    ///
    /// # Panics
    /// If the head is not that of a stream in chunks.
    #[must_use]
    pub fn after_head(connection: Connection, head: Head) -> EventStream {
        assert_eq!(head.status, 200, "{head:?} {connection:?}");
        assert!(head.is_event_stream(), "{head:?}");
        assert_eq!(head.framing(), Ok(Framing::Chunked), "{head:?}");
        EventStream {
            connection,
            head,
            text: String::new(),
            last_id: None,
            retry_ms: None,
            has_ended: false,
        }
    }

    /// Its connection, in the middle of the stream.
    #[must_use]
    pub fn into_connection(self) -> Connection {
        self.connection
    }

    /// The head of the stream.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The id of the last event, with or without a message.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The milliseconds after which the client should reconnect, if the server sent them.
    #[must_use]
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// The next item.
    ///
    /// # Panics
    /// If the stream breaks or nothing comes in time.
    pub fn next_item(&mut self) -> Item {
        self.try_next_item(PATIENCE)
            .unwrap_or_else(|error| panic!("{error:?} on {self:?}"))
    }

    /// Records the fields of an event besides its message.
    fn note_fields(&mut self, event: &str) {
        for line in event.lines() {
            match line.split_once(": ") {
                Some(("id", id)) => self.last_id = Some(id.to_owned()),
                Some(("retry", ms)) => {
                    self.retry_ms = Some(ms.parse().expect("a time in milliseconds"));
                }
                _ => {}
            }
        }
    }

    /// The next item within `timeouts`; an event without a message is passed over.
    ///
    /// # Errors
    /// [`ReadError`] says why there is none.
    pub fn try_next_item(&mut self, timeouts: Duration) -> Result<Item, ReadError> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                if event.starts_with(':') {
                    return Ok(Item::Comment(event.trim_end().to_owned()));
                }
                self.note_fields(&event);
                match event_data(&event).filter(|data| !data.is_empty()) {
                    Some(data) => return Ok(Item::Message(parse(&data))),
                    None => continue,
                }
            }
            if self.has_ended {
                return Ok(Item::End);
            }
            let chunk = self.connection.read_chunk(timeouts)?;
            self.has_ended = chunk.is_empty();
            let text = String::from_utf8(chunk).map_err(|_| {
                ReadError::Malformed("a chunk of an event stream is not UTF-8".to_owned())
            })?;
            self.text.push_str(&text);
        }
    }

    /// The next message; comments are passed over.
    ///
    /// # Panics
    /// If the stream ends or breaks before one.
    pub fn next_message(&mut self) -> Value {
        loop {
            match self.next_item() {
                Item::Message(message) => return message,
                Item::Comment(_) => {}
                Item::End => panic!("the stream ended before a message"),
            }
        }
    }

    /// The stream ends, after comments at most; its connection can be used again.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn expect_end(mut self) -> Connection {
        loop {
            match self.next_item() {
                Item::End => return self.connection,
                Item::Comment(_) => {}
                Item::Message(message) => panic!("expected the end, found {message}"),
            }
        }
    }
}

//! The answers, read from the bytes that a server sends.

use crate::http::{Framing, Head, event_data, next_chunk};

/// The responses of a connection.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    unread: Vec<u8>,
    state: State,
    /// The part of the response's content that was not yet returned.
    content: Vec<u8>,
    /// This many bytes of the content do not end an event.
    scanned_bytes: usize,
    is_event_stream: bool,
    is_json: bool,
}

/// The expected next part.
#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Body(Framing),
    /// The content is there; the messages in it are given one by one.
    Whole,
    /// The received bytes are not a response; other code reports it.
    GivenUp,
}

/// A part of a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The head of the next response.
    Head(Head),
    /// A message in the response of the last head.
    Message(String),
}

impl Incoming {
    /// Bytes arrived.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::GivenUp) {
            self.unread.extend_from_slice(bytes);
        }
    }

    /// The next part of the received bytes; none until more arrive. `is_closed` means that no more
    /// will.
    pub(super) fn next_part(&mut self, is_closed: bool) -> Option<Part> {
        loop {
            if let Some(message) = self.next_message() {
                return Some(Part::Message(message));
            }
            match self.state {
                State::Head => return self.next_head().map(Part::Head),
                State::Body(framing) => self.read_body(framing, is_closed)?,
                State::Whole => {
                    self.content.clear();
                    self.scanned_bytes = 0;
                    self.state = State::Head;
                }
                State::GivenUp => return None,
            }
        }
    }

    fn next_head(&mut self) -> Option<Head> {
        let parsed = Head::parse(&self.unread).and_then(|parsed| match parsed {
            None => Ok(None),
            Some((head, consumed)) => Ok(Some((head.framing()?, head, consumed))),
        });
        let Ok(parsed) = parsed else {
            self.give_up();
            return None;
        };
        let (framing, head, consumed) = parsed?;
        self.unread.drain(..consumed);
        self.is_event_stream = head.is_event_stream();
        self.is_json = head.field("Content-Type") == Some("application/json");
        self.state = State::Body(framing);
        Some(head)
    }

    /// Takes the available part of the body; none if more must arrive first.
    fn read_body(&mut self, framing: Framing, is_closed: bool) -> Option<()> {
        match framing {
            Framing::Length(length) => {
                let body = self.unread.get(..length)?;
                self.content.extend_from_slice(body);
                self.unread.drain(..length);
                self.state = State::Whole;
            }
            Framing::UntilClose if is_closed => {
                self.content.append(&mut self.unread);
                self.state = State::Whole;
            }
            Framing::UntilClose if self.unread.is_empty() => return None,
            Framing::UntilClose => self.content.append(&mut self.unread),
            Framing::Chunked => match next_chunk(&self.unread) {
                Err(_) => self.give_up(),
                Ok(chunk) => {
                    let (data, consumed) = chunk?;
                    self.content.extend_from_slice(data);
                    if data.is_empty() {
                        self.state = State::Whole;
                    }
                    self.unread.drain(..consumed);
                }
            },
        }
        Some(())
    }

    /// The next message in the content: of a stream as soon as its event is whole.
    fn next_message(&mut self) -> Option<String> {
        if self.is_event_stream {
            return self.next_event();
        }
        let is_there = matches!(self.state, State::Whole) && !self.content.is_empty();
        if !is_there || !self.is_json {
            return None;
        }
        Some(text_of(&std::mem::take(&mut self.content)))
    }

    fn next_event(&mut self) -> Option<String> {
        loop {
            let unscanned = &self.content[self.scanned_bytes..];
            let Some(end) = unscanned.windows(2).position(|window| window == b"\n\n") else {
                self.scanned_bytes = self.content.len().saturating_sub(1);
                return None;
            };
            let event_bytes = self.scanned_bytes + end + 2;
            let event: Vec<u8> = self.content.drain(..event_bytes).collect();
            self.scanned_bytes = 0;
            // An event without data only carries its id.
            let data = event_data(&text_of(&event)).filter(|data| !data.is_empty());
            if data.is_some() {
                return data;
            }
        }
    }

    fn give_up(&mut self) {
        self.state = State::GivenUp;
        self.unread = Vec::new();
        self.content = Vec::new();
    }
}

/// JSON and events are UTF-8; other bytes do not parse as JSON and are reported.
fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

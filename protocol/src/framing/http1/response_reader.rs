//! The client's side of HTTP/1.1 framing: bytes of a server in, heads and messages out.
//!
//! A message is a whole JSON body, or the data of one event of a stream (RFC 9112, and the WHATWG
//! HTML standard 9.2 for events). The caller's contract: give [`ResponseReader::read`] the received
//! bytes, keep those it did not consume and give them again in front of the next ones; at the end
//! of the stream call [`ResponseReader::finish`]. A head without a request in flight is a fault of
//! the server, and the caller's to find.
//!
//! Answers are hostile input. Where two readers may disagree on the end of an answer (both
//! `Content-Length` and `Transfer-Encoding`, lengths that differ, a folded line, a coding that was
//! not requested) it is a fault, and the connection is of no use any more.
//!
//! It lacks features that a client without `HEAD`, `Expect` and `Accept-Encoding` never needs:
//! answers without the body their head announces, and compressed ones.

use super::response_fault::{INTERIM_ANSWERS_MAX, ResponseFault};
use super::response_head::{AnswerHead, BodyLength, MediaType, parse_head};
use crate::framing::sse_reader::{ReceivedEvent, SseReader};

#[cfg(test)]
mod tests;

/// The most bytes of a message, unless [`ResponseReader::with_message_limit`] sets another limit.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// The most bytes of a chunk-size line or a trailer line (RFC 9112 7.1).
const LINE_BYTES_MAX: usize = 4 << 10;
/// The most lines of trailers.
const TRAILERS_MAX: u8 = 64;

/// One thing that was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// The head of an answer; its messages follow, then [`Item::End`].
    Head(&'a AnswerHead),
    /// A whole message.
    Message(&'a [u8]),
    /// The data of an event `endpoint`: the URL for the messages of the client (MCP 2024-11-05
    /// basic/transports, "HTTP with SSE").
    Endpoint(&'a [u8]),
    /// The answer is over.
    End,
}

/// Reads the answers of one connection, one after another.
#[derive(Debug)]
pub struct ResponseReader {
    state: State,
    interim_answers: u8,
    trailers: u8,
    content: ContentReader,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Bytes(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    UntilClose,
}

impl Default for ResponseReader {
    fn default() -> ResponseReader {
        ResponseReader::with_message_limit(MESSAGE_BYTES_MAX)
    }
}

impl ResponseReader {
    /// A reader whose messages have at most `message_bytes_max` bytes.
    pub fn with_message_limit(message_bytes_max: usize) -> ResponseReader {
        ResponseReader {
            state: State::Head,
            interim_answers: 0,
            trailers: 0,
            content: ContentReader {
                media_type: MediaType::Other,
                message_bytes_max,
                partial: Vec::new(),
                events: SseReader::default(),
            },
        }
    }

    /// Reads all whole items of `input`, hands them to `sink`, and returns how many bytes it
    /// consumed. The rest is an incomplete head or line.
    ///
    /// # Errors
    /// [`ResponseFault`]; nothing more can be read from this connection.
    pub fn read(
        &mut self,
        heads: &mut HeadCache,
        input: &[u8],
        sink: &mut impl FnMut(Item<'_>),
    ) -> Result<usize, ResponseFault> {
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            let consumed = match self.state {
                State::Head => self.read_head(heads, rest, sink)?,
                State::Bytes(left) => {
                    let bytes = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - bytes as u64;
                    self.content.read(&rest[..bytes], left == 0, sink)?;
                    self.state = State::Bytes(left);
                    if left == 0 {
                        self.end(sink);
                    }
                    bytes
                }
                State::Chunk(left) => {
                    let bytes = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - bytes as u64;
                    self.content.read(&rest[..bytes], false, sink)?;
                    self.state = match left {
                        0 => State::ChunkEnd,
                        left => State::Chunk(left),
                    };
                    bytes
                }
                State::ChunkSize | State::ChunkEnd | State::Trailer => {
                    self.read_line(rest, sink)?
                }
                State::UntilClose => {
                    self.content.read(rest, false, sink)?;
                    rest.len()
                }
            };
            if consumed == 0 {
                break;
            }
            at += consumed;
        }
        Ok(at)
    }

    /// Handles the end of the stream; `unread` are the bytes that were never consumed.
    ///
    /// # Errors
    /// [`ResponseFault::Truncated`] if an answer is not whole.
    pub fn finish(
        &mut self,
        unread: &[u8],
        sink: &mut impl FnMut(Item<'_>),
    ) -> Result<(), ResponseFault> {
        match self.state {
            State::Head if unread.is_empty() => Ok(()),
            State::UntilClose => {
                self.end(sink);
                Ok(())
            }
            _ => Err(ResponseFault::Truncated),
        }
    }

    /// The ids and times of the event stream that is being read, or was read last.
    pub fn events(&self) -> &SseReader {
        &self.content.events
    }

    /// Whether no answer has begun.
    pub fn is_idle(&self) -> bool {
        self.state == State::Head
    }

    fn read_head(
        &mut self,
        heads: &mut HeadCache,
        input: &[u8],
        sink: &mut impl FnMut(Item<'_>),
    ) -> Result<usize, ResponseFault> {
        let Some((head, bytes)) = heads.parse(input)? else {
            return Ok(0);
        };
        // An interim answer, like 103: the real one follows.
        if (100..200).contains(&head.status) {
            self.interim_answers += 1;
            let is_allowed = head.status != 101 && self.interim_answers <= INTERIM_ANSWERS_MAX;
            return is_allowed.then_some(bytes).ok_or(ResponseFault::Interim);
        }
        self.interim_answers = 0;
        self.trailers = 0;
        self.content.begin(head.media_type);
        let has_no_body = matches!(head.status, 204 | 304) || head.length == BodyLength::Bytes(0);
        self.state = match head.length {
            _ if has_no_body => State::Bytes(0),
            BodyLength::Bytes(bytes) => State::Bytes(bytes),
            BodyLength::Chunked => State::ChunkSize,
            BodyLength::UntilClose => State::UntilClose,
        };
        sink(Item::Head(head));
        if has_no_body {
            self.end(sink);
        }
        Ok(bytes)
    }

    /// Reads a line of the chunked encoding, RFC 9112 7.1.
    fn read_line(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(Item<'_>),
    ) -> Result<usize, ResponseFault> {
        let Some(end) = memchr::memchr(b'\n', input) else {
            let is_bounded = input.len() <= LINE_BYTES_MAX;
            return is_bounded.then_some(0).ok_or(ResponseFault::Chunk);
        };
        let line = input[..end].strip_suffix(b"\r");
        let line = line.filter(|line| line.len() <= LINE_BYTES_MAX);
        let line = line.ok_or(ResponseFault::Chunk)?;
        match self.state {
            State::ChunkSize => {
                self.state = match chunk_size(line).ok_or(ResponseFault::Chunk)? {
                    0 => State::Trailer,
                    size => State::Chunk(size),
                };
            }
            State::ChunkEnd if line.is_empty() => self.state = State::ChunkSize,
            State::ChunkEnd => return Err(ResponseFault::Chunk),
            _ if line.is_empty() => self.end(sink),
            _ if self.trailers == TRAILERS_MAX => return Err(ResponseFault::Chunk),
            _ => self.trailers += 1,
        }
        Ok(end + 1)
    }

    fn end(&mut self, sink: &mut impl FnMut(Item<'_>)) {
        self.content.finish(sink);
        self.state = State::Head;
        sink(Item::End);
    }
}

/// `1*16HEXDIG`, then nothing or extensions, which are ignored.
fn chunk_size(line: &[u8]) -> Option<u64> {
    const DIGITS_MAX: usize = 16;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit());
    let (digits, rest) = line.split_at(digits.count());
    let is_usable = (1..=DIGITS_MAX).contains(&digits.len())
        && matches!(rest.trim_ascii_start().first(), None | Some(b';'));
    let digits = str::from_utf8(digits).ok().filter(|_| is_usable)?;
    u64::from_str_radix(digits, 16).ok()
}

/// Bytes of a body to messages.
#[derive(Debug)]
struct ContentReader {
    media_type: MediaType,
    message_bytes_max: usize,
    /// A part of a JSON body.
    partial: Vec<u8>,
    events: SseReader,
}

impl ContentReader {
    fn begin(&mut self, media_type: MediaType) {
        self.media_type = media_type;
        self.partial.clear();
        if media_type == MediaType::Events {
            self.events = SseReader::default();
        }
    }

    fn read(
        &mut self,
        piece: &[u8],
        is_last: bool,
        sink: &mut impl FnMut(Item<'_>),
    ) -> Result<(), ResponseFault> {
        let limit_bytes = self.message_bytes_max;
        let fault = ResponseFault::MessageBytes(limit_bytes);
        match self.media_type {
            MediaType::Other => {}
            MediaType::Events => {
                let mut sink = |event: ReceivedEvent<'_>| {
                    sink(match event.event {
                        "endpoint" => Item::Endpoint(event.data),
                        _ => Item::Message(event.data),
                    });
                };
                let read = self.events.read(piece, limit_bytes, &mut sink);
                read.map_err(|_| fault)?;
            }
            MediaType::Json if piece.len() > limit_bytes - self.partial.len() => return Err(fault),
            MediaType::Json if is_last && self.partial.is_empty() => sink(Item::Message(piece)),
            MediaType::Json => self.partial.extend_from_slice(piece),
        }
        Ok(())
    }

    fn finish(&mut self, sink: &mut impl FnMut(Item<'_>)) {
        if self.media_type == MediaType::Json && !self.partial.is_empty() {
            sink(Item::Message(&self.partial));
        }
        self.partial = Vec::new();
        self.media_type = MediaType::Other;
    }
}

/// The head read last, by its bytes: servers repeat theirs, but for the date once a second.
#[derive(Debug, Default)]
pub struct HeadCache {
    bytes: Vec<u8>,
    head: Option<AnswerHead>,
}

impl HeadCache {
    /// The head at the start of `input` and its length, or nothing if it is not whole.
    fn parse(&mut self, input: &[u8]) -> Result<Option<(&AnswerHead, usize)>, ResponseFault> {
        if self.bytes.is_empty() || !input.starts_with(&self.bytes) {
            let Some((head, bytes)) = parse_head(input)? else {
                return Ok(None);
            };
            self.bytes.clear();
            self.bytes.extend_from_slice(&input[..bytes]);
            self.head = Some(head);
        }
        let bytes = self.bytes.len();
        Ok(self.head.as_ref().map(|head| (head, bytes)))
    }
}

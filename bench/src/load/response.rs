//! The client's side of HTTP/1.1 framing: bytes of a server in, heads and messages out.
//!
//! A message is a whole JSON body, or the data of one event of a stream (RFC 9112, and the WHATWG
//! HTML standard 9.2 for events). No socket, no clock. The caller's contract: give
//! [`ResponseReader::read`] the received bytes, keep those it did not consume and give them again
//! in front of the next ones; at the end of the stream call [`ResponseReader::finish`].
//!
//! It lacks features that a client without `HEAD`, `Expect` and `Accept-Encoding` never needs:
//! answers without the body their head announces, and compressed ones.

use corelane_protocol::framing::websocket::Fault;
use std::mem::take;

#[cfg(test)]
mod tests;

/// The most bytes of a response head.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// The most bytes of a message.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// The most fields of a response head.
const FIELDS_MAX: usize = 100;
/// The most bytes of a chunk-size line or a trailer line (RFC 9112 7.1).
const CHUNK_LINE_BYTES_MAX: usize = 4 << 10;

/// The parsed head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// The kind of body.
    pub content: Content,
    /// `Mcp-Session-Id`, if it is there.
    pub session: Option<String>,
    /// Whether the connection ends with this answer.
    pub closes: bool,
    length: Length,
}

/// The kind of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// One message of JSON.
    Json,
    /// Events, each with a message.
    Events,
    /// Something else; it is passed over.
    Other,
}

/// How long a body is (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Bytes(u64),
    Chunked,
    UntilClose,
}

/// One thing that was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// The head of an answer; its messages follow, then [`Item::End`].
    Head(&'a Head),
    /// A whole message.
    Message(&'a [u8]),
    /// The answer is over.
    End,
}

/// Why bytes are no HTTP answer; the connection is of no use any more.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ResponseFault {
    /// Not a head of HTTP/1.1.
    #[error("the server does not answer in HTTP/1.1")]
    Head,
    /// A head of too many bytes.
    #[error("response head exceeds limit of {HEAD_BYTES_MAX} bytes")]
    HeadBytes,
    /// Chunks that are none.
    #[error("the chunked encoding of the answer is broken")]
    Chunk,
    /// A message of too many bytes.
    #[error("message exceeds limit of {MESSAGE_BYTES_MAX} bytes")]
    MessageBytes,
    /// The server does not complete the handshake of WebSocket.
    #[error("the server does not upgrade to WebSocket")]
    NotUpgraded,
    /// Frames that break the protocol.
    #[error("the server breaks WebSocket: {0}")]
    WebSocket(Fault),
    /// A close frame.
    #[error("the server closed the connection")]
    Closed,
    /// A handshake that failed, or records that break TLS.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The connection ended within an answer.
    #[error("the connection ended within an answer")]
    Truncated,
}

/// Reads the answers of one connection, one after another.
#[derive(Debug, Default)]
pub struct ResponseReader {
    state: State,
    closes: bool,
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

impl ResponseReader {
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
                        self.end(sink)?;
                    }
                    bytes
                }
                State::Chunk(left) => {
                    let bytes = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - bytes as u64;
                    self.content.read(&rest[..bytes], false, sink)?;
                    self.state = if left == 0 {
                        State::ChunkEnd
                    } else {
                        State::Chunk(left)
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
            State::UntilClose => self.end(sink),
            _ => Err(ResponseFault::Truncated),
        }
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
            return Ok(bytes);
        }
        self.closes = head.closes;
        self.content.begin(head.content);
        let has_no_body = matches!(head.status, 204 | 304) || head.length == Length::Bytes(0);
        self.state = match head.length {
            _ if has_no_body => State::Bytes(0),
            Length::Bytes(bytes) => State::Bytes(bytes),
            Length::Chunked => State::ChunkSize,
            Length::UntilClose => State::UntilClose,
        };
        sink(Item::Head(head));
        if has_no_body {
            self.end(sink)?;
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
            let is_bounded = input.len() <= CHUNK_LINE_BYTES_MAX;
            return is_bounded.then_some(0).ok_or(ResponseFault::Chunk);
        };
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        match self.state {
            State::ChunkSize => {
                let digits = line.split(|byte| *byte == b';').next().unwrap_or(line);
                let size = std::str::from_utf8(digits.trim_ascii()).ok();
                let size = size.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                self.state = match size.ok_or(ResponseFault::Chunk)? {
                    0 => State::Trailer,
                    size => State::Chunk(size),
                };
            }
            State::ChunkEnd if line.is_empty() => self.state = State::ChunkSize,
            State::ChunkEnd => return Err(ResponseFault::Chunk),
            _ if line.is_empty() => self.end(sink)?,
            _ => {}
        }
        Ok(end + 1)
    }

    fn end(&mut self, sink: &mut impl FnMut(Item<'_>)) -> Result<(), ResponseFault> {
        self.content.finish(sink);
        self.state = State::Head;
        sink(Item::End);
        Ok(())
    }
}

/// Bytes of a body to messages.
#[derive(Debug)]
struct ContentReader {
    content: Content,
    /// A part of a JSON body, or of a line of an event stream.
    partial: Vec<u8>,
    /// The data of the event being read.
    data: Vec<u8>,
}

impl Default for ContentReader {
    fn default() -> ContentReader {
        ContentReader {
            content: Content::Other,
            partial: Vec::new(),
            data: Vec::new(),
        }
    }
}

impl ContentReader {
    fn begin(&mut self, content: Content) {
        self.content = content;
        self.partial.clear();
        self.data.clear();
    }

    fn read(
        &mut self,
        piece: &[u8],
        is_last: bool,
        sink: &mut impl FnMut(Item<'_>),
    ) -> Result<(), ResponseFault> {
        match self.content {
            Content::Other => Ok(()),
            Content::Json if is_last && self.partial.is_empty() => {
                sink(Item::Message(piece));
                Ok(())
            }
            Content::Json => keep(&mut self.partial, piece),
            Content::Events => self.read_events(piece, sink),
        }
    }

    fn read_events(
        &mut self,
        mut piece: &[u8],
        sink: &mut impl FnMut(Item<'_>),
    ) -> Result<(), ResponseFault> {
        while let Some(end) = memchr::memchr(b'\n', piece) {
            let (line, rest) = (&piece[..end], &piece[end + 1..]);
            piece = rest;
            if self.partial.is_empty() {
                take_line(&mut self.data, line, sink)?;
            } else {
                keep(&mut self.partial, line)?;
                let line = take(&mut self.partial);
                take_line(&mut self.data, &line, sink)?;
            }
        }
        keep(&mut self.partial, piece)
    }

    fn finish(&mut self, sink: &mut impl FnMut(Item<'_>)) {
        if self.content == Content::Json && !self.partial.is_empty() {
            sink(Item::Message(&self.partial));
        }
        // An event without the empty line behind it is incomplete and does not count.
        self.partial = Vec::new();
        self.data = Vec::new();
        self.content = Content::Other;
    }
}

/// Handles one line of an event stream; the empty one ends an event.
fn take_line(
    data: &mut Vec<u8>,
    line: &[u8],
    sink: &mut impl FnMut(Item<'_>),
) -> Result<(), ResponseFault> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        if !data.is_empty() {
            sink(Item::Message(data));
            data.clear();
        }
        return Ok(());
    }
    let Some(value) = line.strip_prefix(b"data:") else {
        return Ok(());
    };
    if !data.is_empty() {
        data.push(b'\n');
    }
    keep(data, value.strip_prefix(b" ").unwrap_or(value))
}

fn keep(into: &mut Vec<u8>, piece: &[u8]) -> Result<(), ResponseFault> {
    if into.len() + piece.len() > MESSAGE_BYTES_MAX {
        return Err(ResponseFault::MessageBytes);
    }
    into.extend_from_slice(piece);
    Ok(())
}

/// The head read last, by its bytes: servers repeat theirs, but for the date once a second.
#[derive(Debug, Default)]
pub struct HeadCache {
    bytes: Vec<u8>,
    head: Option<Head>,
}

impl HeadCache {
    /// The head at the start of `input` and its length, or nothing if it is not whole.
    fn parse(&mut self, input: &[u8]) -> Result<Option<(&Head, usize)>, ResponseFault> {
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

fn parse_head(input: &[u8]) -> Result<Option<(Head, usize)>, ResponseFault> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let bytes = match response.parse(input) {
        Ok(httparse::Status::Complete(bytes)) if bytes <= HEAD_BYTES_MAX => bytes,
        Ok(httparse::Status::Partial) if input.len() <= HEAD_BYTES_MAX => return Ok(None),
        Ok(_) => return Err(ResponseFault::HeadBytes),
        Err(_) => return Err(ResponseFault::Head),
    };
    let field = |name: &str| {
        let mut fields = response.headers.iter();
        let field = fields.find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(field.value).ok().map(str::trim)
    };
    let is = |name: &str, token: &str| {
        field(name).is_some_and(|value| {
            let mut tokens = value.split(',');
            tokens.any(|word| word.trim().eq_ignore_ascii_case(token))
        })
    };
    let length = if is("transfer-encoding", "chunked") {
        Length::Chunked
    } else {
        match field("content-length") {
            Some(digits) => Length::Bytes(digits.parse().map_err(|_| ResponseFault::Head)?),
            None => Length::UntilClose,
        }
    };
    let media_type = field("content-type").and_then(|value| value.split(';').next());
    let content = match media_type.map(|media_type| media_type.trim().to_ascii_lowercase()) {
        Some(name) if name == "application/json" => Content::Json,
        Some(name) if name == "text/event-stream" => Content::Events,
        _ => Content::Other,
    };
    let head = Head {
        status: response.code.ok_or(ResponseFault::Head)?,
        content,
        session: field("mcp-session-id").map(str::to_owned),
        closes: length == Length::UntilClose || is("connection", "close"),
        length,
    };
    Ok(Some((head, bytes)))
}

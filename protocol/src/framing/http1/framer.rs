//! Finds one whole request in the unconsumed bytes of a connection.
//!
//! The simple version would parse the bytes from their start each time more arrive. A peer that
//! sends byte by byte would then cost the server time in the square of the head. So a partial
//! request remembers one of three things: how far the search for the end of the head came; the
//! lengths of head and body; or how far a chunked body is decoded. A head is parsed once when it is
//! whole and once more when its body is. The body itself is read only if it is chunked.
//!
//! The search runs line by line and refuses a bare line feed, an overlong head, an overlong request
//! line or a first line without an HTTP version at the offending byte: a peer that waits for an
//! answer to `GET / HTTP/1.1\n\n` or to `GET /\r\n` gets one. The decisions depend on the bytes
//! alone, not on where they were split.
//!
//! Invariant: while the head is searched for, `start <= line_at <= searched`.

use memchr::memchr_iter;

use super::chunked::{ChunkDecoder, Decoded};
use super::control::BodyLength;
use super::grammar::is_token_byte;
use super::refusal::{METHOD_BYTES_MAX, Refusal};
use super::request::RequestHead;
use crate::limits::HttpLimits;

/// The state of a partial request. [`Framer::default`] is "nothing begun": a connection without
/// partial input needs no framer.
#[derive(Debug, Default)]
pub struct Framer {
    phase: Phase,
    /// Where the request line starts: 0, or 2 after an empty line (RFC 9112 2.2).
    start: u8,
}

#[derive(Debug)]
enum Phase {
    /// No line feed lies in `line_at..searched`; the line being received starts at `line_at`.
    Head { searched: usize, line_at: usize },
    /// The head is whole and ends at `head_end`; `body_bytes` follow it.
    Sized { head_end: usize, body_bytes: usize },
    /// The head is whole; the decoder counts from `head_end`.
    Chunked {
        head_end: usize,
        decoder: ChunkDecoder,
    },
}

impl Default for Phase {
    fn default() -> Self {
        Self::Head {
            searched: 0,
            line_at: 0,
        }
    }
}

// A framer is kept for every connection with partial input.
const _: () = assert!(size_of::<Framer>() <= 64);

/// The result of a step.
#[derive(Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "lives on the stack for one request only"
)]
pub enum Step<'a> {
    /// The request is not whole. Read more, append it, and call again.
    NeedMore {
        /// The least length of the input that can hold the whole request: exact for a body with
        /// `Content-Length`, a lower bound otherwise. It exceeds the present length.
        bytes_needed: usize,
        /// True once for each request: when the head is complete, the body is not, and the client
        /// waits for [`CONTINUE`](super::CONTINUE).
        continue_due: bool,
        /// Whether the head is whole, which decides the deadline.
        head_complete: bool,
    },
    /// One whole request. The framer is back in its default state.
    Request {
        /// The head.
        head: RequestHead<'a>,
        /// The body, with chunk framing removed; empty if there is none.
        body: &'a [u8],
        /// Where in the input the body starts.
        body_at: usize,
        /// Bytes of the input this request took; the next request starts there.
        consumed: usize,
    },
}

impl Framer {
    /// Looks for one whole request at the start of `input`.
    ///
    /// `input` starts at the first unconsumed byte of the connection. After [`Step::NeedMore`] the
    /// caller calls again with the same bytes, as this call left them (a chunked body is moved
    /// together in place), and more appended. After [`Step::Request`] it drops `consumed` bytes.
    ///
    /// # Errors
    /// The [`Refusal`] that ends the connection.
    ///
    /// # Panics
    /// If `input` is shorter than in an earlier call for the same request.
    pub fn step<'a>(
        &mut self,
        input: &'a mut [u8],
        limits: &HttpLimits,
    ) -> Result<Step<'a>, Refusal> {
        match &mut self.phase {
            Phase::Head { .. } => match self.find_head_end(input, limits)? {
                Some(head_end) => self.begin_body(input, head_end, limits),
                None => Ok(Step::NeedMore {
                    bytes_needed: input.len() + 1,
                    continue_due: false,
                    head_complete: false,
                }),
            },
            &mut Phase::Sized {
                head_end,
                body_bytes,
            } => {
                let bytes_needed = head_end.saturating_add(body_bytes);
                if input.len() < bytes_needed {
                    return Ok(need_body(bytes_needed, false));
                }
                let input: &[u8] = input;
                let (head, rest) = input.split_at(head_end);
                let head = RequestHead::parse(&head[self.start.into()..], limits)?;
                *self = Self::default();
                Ok(Step::Request {
                    head,
                    body: &rest[..body_bytes],
                    body_at: head_end,
                    consumed: bytes_needed,
                })
            }
            Phase::Chunked { head_end, decoder } => {
                let head_end = *head_end;
                let (head, rest) = input.split_at_mut(head_end);
                match decoder.decode(rest, limits)? {
                    Decoded::NeedMore { bytes_needed } => {
                        Ok(need_body(head_end + bytes_needed, false))
                    }
                    Decoded::Whole {
                        body_bytes,
                        consumed,
                    } => {
                        let head = RequestHead::parse(&head[self.start.into()..], limits)?;
                        *self = Self::default();
                        let body = &rest[..body_bytes];
                        Ok(Step::Request {
                            head,
                            body,
                            body_at: head_end,
                            consumed: head_end + consumed,
                        })
                    }
                }
            }
        }
    }

    /// Parses the head that has just become whole, and takes the body if it is there already.
    fn begin_body<'a>(
        &mut self,
        input: &'a mut [u8],
        head_end: usize,
        limits: &HttpLimits,
    ) -> Result<Step<'a>, Refusal> {
        let (head, rest) = input.split_at_mut(head_end);
        let head = RequestHead::parse(&head[self.start.into()..], limits)?;
        match head.body_length {
            BodyLength::Bytes(body_bytes) => {
                let bytes_needed = head_end.saturating_add(body_bytes);
                if rest.len() < body_bytes {
                    self.phase = Phase::Sized {
                        head_end,
                        body_bytes,
                    };
                    return Ok(need_body(bytes_needed, head.expect_continue));
                }
                *self = Self::default();
                Ok(Step::Request {
                    head,
                    body: &rest[..body_bytes],
                    body_at: head_end,
                    consumed: bytes_needed,
                })
            }
            BodyLength::Chunked => {
                let mut decoder = ChunkDecoder::default();
                match decoder.decode(rest, limits)? {
                    Decoded::NeedMore { bytes_needed } => {
                        self.phase = Phase::Chunked { head_end, decoder };
                        Ok(need_body(head_end + bytes_needed, head.expect_continue))
                    }
                    Decoded::Whole {
                        body_bytes,
                        consumed,
                    } => {
                        *self = Self::default();
                        let body = &rest[..body_bytes];
                        Ok(Step::Request {
                            head,
                            body,
                            body_at: head_end,
                            consumed: head_end + consumed,
                        })
                    }
                }
            }
        }
    }

    /// Searches on for the empty line that ends the head; the answer is the position after it.
    fn find_head_end(
        &mut self,
        input: &[u8],
        limits: &HttpLimits,
    ) -> Result<Option<usize>, Refusal> {
        let Phase::Head { searched, line_at } = &mut self.phase else {
            unreachable!("step calls this in the head phase only");
        };
        assert!(
            *searched <= input.len(),
            "unconsumed bytes were taken away from the input"
        );
        let mut start = usize::from(self.start);
        check_first_bytes(input, start)?;
        // A line end beyond this cannot belong to a head within its limit.
        let window_end = input
            .len()
            .min(LEADING_LINE_BYTES.saturating_add(limits.head_bytes_max));
        let from = *searched;
        for at in memchr_iter(b'\n', &input[from..window_end]) {
            let lf = from + at;
            if lf - start >= limits.head_bytes_max {
                break;
            }
            if *line_at == start {
                check_request_line(&input[start..lf], limits)?;
            }
            if lf == *line_at || input[lf - 1] != b'\r' {
                return Err(Refusal::BareLineFeed);
            }
            if *line_at == start && lf - 1 > start {
                check_version(&input[start..lf - 1])?;
            }
            if lf - 1 == *line_at {
                if *line_at > start {
                    #[cfg(test)]
                    super::work::searched(lf + 1 - from);
                    return Ok(Some(lf + 1));
                }
                if start > 0 {
                    return Err(Refusal::LeadingEmptyLines);
                }
                start = LEADING_LINE_BYTES;
                self.start = LEADING_LINE_BYTES as u8;
                check_first_bytes(input, start)?;
            }
            *line_at = lf + 1;
        }
        *searched = window_end;
        #[cfg(test)]
        super::work::searched(window_end - from);
        let head_so_far = &input[start.min(input.len())..];
        let head_bytes = head_so_far.len().min(limits.head_bytes_max);
        if *line_at == start {
            check_request_line(&head_so_far[..head_bytes], limits)?;
        }
        // These bytes do not end the head, and it has reached its limit.
        if head_bytes == limits.head_bytes_max {
            return Err(Refusal::HeadTooLong {
                limit_bytes: limits.head_bytes_max,
            });
        }
        Ok(None)
    }
}

/// The one empty line that may precede a request line.
const LEADING_LINE_BYTES: usize = 2;

/// Bytes of a request line besides method and target: two spaces, the version and CR.
const REQUEST_LINE_FRAMING_BYTES: usize = " ".len() + " HTTP/1.1\r".len();

fn need_body<'a>(bytes_needed: usize, continue_due: bool) -> Step<'a> {
    Step::NeedMore {
        bytes_needed,
        continue_due,
        head_complete: true,
    }
}

/// Refuses bytes that cannot start a request, such as a TLS handshake, at the first byte rather
/// than at the limit of the head.
fn check_first_bytes(input: &[u8], start: usize) -> Result<(), Refusal> {
    match &input[start.min(input.len())..] {
        [] | [b'\r'] | [b'\r', b'\n', ..] => Ok(()),
        [b'\n', ..] => Err(Refusal::BareLineFeed),
        [first, ..] if is_token_byte(*first) => Ok(()),
        _ => Err(Refusal::MalformedRequestLine),
    }
}

/// Refuses the first line of another protocol as soon as it is whole: an SSH or Redis client waits
/// for an answer to it and sends no empty line. Method and target are checked with the rest of
/// the head.
fn check_version(line: &[u8]) -> Result<(), Refusal> {
    match line.split_last_chunk::<{ " HTTP/1.1".len() }>() {
        Some((_, b" HTTP/1.1" | b" HTTP/1.0")) => Ok(()),
        Some((_, [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]))
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Refusal::UnsupportedVersion)
        }
        _ => Err(Refusal::MalformedRequestLine),
    }
}

/// Refuses a request line, whole or still growing, in which method or target must be too long.
/// `line` has no line feed.
fn check_request_line(line: &[u8], limits: &HttpLimits) -> Result<(), Refusal> {
    let line_bytes_max = METHOD_BYTES_MAX + REQUEST_LINE_FRAMING_BYTES + limits.target_bytes_max;
    if line.len() <= line_bytes_max {
        return Ok(());
    }
    if line[..=METHOD_BYTES_MAX].contains(&b' ') {
        Err(Refusal::TargetTooLong {
            limit_bytes: limits.target_bytes_max,
        })
    } else {
        Err(Refusal::MethodTooLong)
    }
}

//! Chunked bodies, decoded in place: RFC 9112 section 7.1.
//!
//! The data of each chunk is moved to the end of the data before it, so that the body is one slice
//! at the start of the bytes it came in. Each byte of data is moved once and each byte of framing
//! searched once, however the body is split.
//!
//! Invariant: `written <= read`. Bytes before `written` are body, bytes from there to `read` are
//! spent, bytes from `read` on are as received.
//!
//! Extensions are bounded and ignored; trailer fields are checked for their form, bounded and
//! discarded: nothing in MCP has use for them, and merging them into the head is how a header
//! check is bypassed (RFC 9110 6.5.1).

use memchr::memchr;

use super::grammar::{is_text_byte, is_token_byte};
use super::refusal::{CHUNK_LINE_BYTES_MAX, Refusal, TRAILER_BYTES_MAX};
use crate::limits::HttpLimits;

/// How many bytes of chunk framing may exceed the bytes of data so far. Without it a body within
/// its limit could take two hundred times the memory, with one byte and one extension in each
/// chunk.
pub const CHUNK_FRAMING_BYTES_SPARE: usize = 16 * 1024;

/// Most digits of a chunk size: 64 bits.
const SIZE_DIGITS_MAX: usize = 16;

/// How far the body is decoded. Positions count from the first byte after the head.
#[derive(Debug, Default)]
pub(super) struct ChunkDecoder {
    /// Bytes of body moved together so far.
    written: usize,
    /// First byte as received that is not digested.
    read: usize,
    /// No line feed lies in `read..searched`.
    searched: usize,
    stage: Stage,
}

#[derive(Debug, Default, Clone, Copy)]
enum Stage {
    /// A chunk size is next.
    #[default]
    Size,
    /// So many bytes of data are next, at least one.
    Data { remaining: usize },
    /// The CRLF after the data is next.
    DataEnd,
    /// Trailer fields, which began here, or the empty line is next.
    Trailer { began: usize },
}

/// The progress of the decoder.
pub(super) enum Decoded {
    /// The body is not whole without so many bytes after the head.
    NeedMore { bytes_needed: usize },
    /// The first `body_bytes` bytes after the head are the body, which took `consumed` bytes.
    Whole { body_bytes: usize, consumed: usize },
}

impl ChunkDecoder {
    /// Decodes the available bytes. `bytes` starts after the head, as the last call left it.
    pub(super) fn decode(
        &mut self,
        bytes: &mut [u8],
        limits: &HttpLimits,
    ) -> Result<Decoded, Refusal> {
        assert!(
            self.read <= bytes.len(),
            "unconsumed bytes were taken away from the input"
        );
        loop {
            match self.stage {
                Stage::Size => {
                    let Some(line) = self.take_line(bytes, CHUNK_LINE_BYTES_MAX) else {
                        return Ok(self.need_line(bytes));
                    };
                    let size = chunk_size(line.map_err(|fault| match fault {
                        LineFault::TooLong => Refusal::ChunkLineTooLong,
                        LineFault::BareLineFeed => Refusal::BareLineFeed,
                    })?)?;
                    self.stage = self.stage_after_size(size, limits)?;
                }
                Stage::Data { remaining } => {
                    let there = remaining.min(bytes.len() - self.read);
                    bytes.copy_within(self.read..self.read + there, self.written);
                    self.read += there;
                    self.written += there;
                    if there < remaining {
                        let remaining = remaining - there;
                        self.stage = Stage::Data { remaining };
                        let bytes_needed = self.read + remaining + "\r\n0\r\n\r\n".len();
                        return Ok(Decoded::NeedMore { bytes_needed });
                    }
                    self.stage = Stage::DataEnd;
                }
                Stage::DataEnd => match bytes[self.read..] {
                    [b'\r', b'\n', ..] => {
                        self.read += "\r\n".len();
                        self.stage = Stage::Size;
                    }
                    [] | [b'\r'] => {
                        let bytes_needed = self.read + "\r\n0\r\n\r\n".len();
                        return Ok(Decoded::NeedMore { bytes_needed });
                    }
                    _ => return Err(Refusal::UnterminatedChunk),
                },
                Stage::Trailer { began } => {
                    let spent = self.read - began;
                    let line_bytes_max = TRAILER_BYTES_MAX.saturating_sub(spent + "\r\n".len());
                    let Some(line) = self.take_line(bytes, line_bytes_max) else {
                        return Ok(self.need_line(bytes));
                    };
                    let line = line.map_err(|fault| match fault {
                        LineFault::TooLong => Refusal::TrailerTooLong,
                        LineFault::BareLineFeed => Refusal::BareLineFeed,
                    })?;
                    if line.is_empty() {
                        return Ok(Decoded::Whole {
                            body_bytes: self.written,
                            consumed: self.read,
                        });
                    }
                    if !is_field(line) {
                        return Err(Refusal::MalformedTrailer);
                    }
                }
            }
        }
    }

    /// Checks a chunk size once its line is complete: the limits apply before any data arrives.
    fn stage_after_size(&self, size: u64, limits: &HttpLimits) -> Result<Stage, Refusal> {
        let framing_bytes = self.read - self.written;
        let limit_bytes = self.written.saturating_add(CHUNK_FRAMING_BYTES_SPARE);
        if framing_bytes > limit_bytes {
            return Err(Refusal::ChunkFramingTooLong {
                framing_bytes,
                limit_bytes,
            });
        }
        let limit_bytes = limits.body_bytes_max;
        let body_bytes = (self.written as u64).saturating_add(size);
        match usize::try_from(size) {
            Ok(0) => Ok(Stage::Trailer { began: self.read }),
            Ok(remaining) if body_bytes <= limit_bytes as u64 => Ok(Stage::Data { remaining }),
            _ => Err(Refusal::BodyTooLong {
                body_bytes,
                limit_bytes,
            }),
        }
    }

    /// Takes one line without its CRLF, or nothing if it has no end yet.
    fn take_line<'b>(
        &mut self,
        bytes: &'b [u8],
        line_bytes_max: usize,
    ) -> Option<Result<&'b [u8], LineFault>> {
        let from = self.searched.max(self.read);
        // The longest line there may be, and its end. Beyond that there is nothing to look for.
        let window_end = bytes.len().min(self.read + line_bytes_max + "\r\n".len());
        let window = &bytes[from..window_end];
        let Some(at) = memchr(b'\n', window) else {
            #[cfg(test)]
            super::work::searched(window.len());
            self.searched = window_end;
            // A line of the full length and its CR may still be unfinished; one byte more may not.
            let is_too_long = window_end - self.read > line_bytes_max + "\r".len();
            return is_too_long.then_some(Err(LineFault::TooLong));
        };
        #[cfg(test)]
        super::work::searched(at + 1);
        let line = &bytes[self.read..from + at];
        self.read = from + at + 1;
        Some(line.strip_suffix(b"\r").ok_or(LineFault::BareLineFeed))
    }

    /// The least number of bytes that a body needs when its next line has no end yet.
    fn need_line(&self, bytes: &[u8]) -> Decoded {
        Decoded::NeedMore {
            bytes_needed: bytes.len() + 1,
        }
    }
}

/// Why a line cannot be taken.
enum LineFault {
    TooLong,
    BareLineFeed,
}

/// `1*16HEXDIG`, then nothing or extensions.
fn chunk_size(line: &[u8]) -> Result<u64, Refusal> {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    if digits == 0 || digits > SIZE_DIGITS_MAX || !are_extensions(&line[digits..]) {
        return Err(Refusal::InvalidChunkSize);
    }
    // Sixteen digits of four bits fill 64 bits and never exceed them.
    Ok(line[..digits]
        .iter()
        .fold(0, |size, &digit| (size << 4) | hex_value(digit)))
}

/// Whether `text` is `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )`
/// (RFC 9112 7.1.1). A lenient reader and a strict one, such as llhttp, that see the same malformed
/// extension may disagree on where the chunk starts.
fn are_extensions(mut text: &[u8]) -> bool {
    while !text.is_empty() {
        let Some(rest) = after_space(text).strip_prefix(b";") else {
            return false;
        };
        let Some(rest) = after_token(after_space(rest)) else {
            return false;
        };
        text = match after_space(rest).strip_prefix(b"=") {
            None => rest,
            Some(value) => {
                let value = after_space(value);
                match after_token(value).or_else(|| after_quoted(value)) {
                    Some(rest) => rest,
                    None => return false,
                }
            }
        };
    }
    true
}

/// The rest of `text` after spaces and tabs.
fn after_space(text: &[u8]) -> &[u8] {
    let bytes = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
    &text[bytes.count()..]
}

/// The rest of `text` after the token at its start.
fn after_token(text: &[u8]) -> Option<&[u8]> {
    let bytes = text.iter().take_while(|&&byte| is_token_byte(byte)).count();
    (bytes > 0).then(|| &text[bytes..])
}

/// The rest of `text` after the quoted string at its start (RFC 9110 5.6.4).
fn after_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', byte, rest @ ..] if is_text_byte(*byte) => rest,
            [byte, rest @ ..] if *byte != b'\\' && is_text_byte(*byte) => rest,
            _ => return None,
        };
    }
}

fn hex_value(digit: u8) -> u64 {
    u64::from(match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    })
}

/// Whether a trailer line is `field-name ":" field-value` (RFC 9112 5).
fn is_field(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|&byte| byte == b':') else {
        return false;
    };
    colon > 0
        && line[..colon].iter().all(|&b| is_token_byte(b))
        && line[colon..].iter().all(|&b| is_text_byte(b))
}

//! Bytes to a document, in buffers that are used again.
//!
//! The parser unescapes strings where they stand, and the caller's bytes must stay as they came
//! (the next message may follow in the same buffer), so the decoder parses its own padded copy.
//! A [`Decoded`] borrows that copy and holds the tape; dropping it hands the tape back.
//!
//! Invariant: after a message of up to [`INPUT_BYTES_KEPT`] bytes, decoding another of that size
//! allocates nothing; after a longer one the extra memory is given back, the parser's at once, the
//! tape's with the document, the copy's with the next message or [`Decoder::trim`]. It lacks
//! streaming: framing delivers whole messages.

mod document;
mod owned;

use super::error::{DecodeError, ShapeError};
use super::limits::JsonLimits;
use super::message::Message;
use super::node_count;
use super::value::{Value, duplicate};
use simd_json::{Buffers, ErrorType, INPUT_PADDING, Tape};
use std::mem;

pub use document::{Batch, Document};
pub use owned::OwnedDocument;

/// Longer copies of a message are not kept, in bytes.
const INPUT_BYTES_KEPT: usize = 64 * 1024;
/// Longer tapes are not kept, in nodes of 24 bytes: a node for each byte of a copy that is kept,
/// and as much again because vectors grow by doubling.
const TAPE_NODES_KEPT: usize = 2 * INPUT_BYTES_KEPT;
/// The size of message that the buffers are made for at first, in bytes.
const INPUT_BYTES_EXPECTED: usize = 4 * 1024;
/// The parser indexes characters with 32 bits; half of that leaves its sums far from overflow.
const MESSAGE_BYTES_MAX: usize = 1 << 31;

/// Decodes JSON texts, one at a time; a shard has one.
pub struct Decoder {
    limits: JsonLimits,
    input: Vec<u8>,
    buffers: Buffers,
    spare_tape: Tape<'static>,
}

impl Decoder {
    /// A decoder with small buffers that grow with the messages.
    ///
    /// # Panics
    /// If `limits.depth_max` is not within 1 to 256 or `limits.nodes_max` is 0.
    pub fn new(limits: JsonLimits) -> Decoder {
        limits.assert_usable();
        Decoder {
            limits,
            input: Vec::with_capacity(INPUT_BYTES_EXPECTED),
            buffers: small_buffers(&limits),
            spare_tape: Tape(Vec::new()),
        }
    }

    /// Decodes one whole JSON text; `bytes` are copied and stay as they are.
    ///
    /// # Errors
    /// If `bytes` are not exactly one JSON text, or it exceeds a limit.
    pub fn decode<'d>(&'d mut self, bytes: &[u8]) -> Result<Decoded<'d>, DecodeError> {
        check_size(bytes, &self.limits)?;
        if self.input.capacity() > INPUT_BYTES_KEPT + INPUT_PADDING {
            self.input = Vec::new();
        }
        copy_padded(bytes, &mut self.input);
        let mut tape: Tape<'d> = mem::replace(&mut self.spare_tape, Tape(Vec::new())).reset();
        let parsed = fill(
            &mut tape,
            (bytes, &mut self.input),
            &mut self.buffers,
            &self.limits,
        );
        if bytes.len() > INPUT_BYTES_KEPT {
            self.buffers = small_buffers(&self.limits);
        }
        // From here on, dropping the document returns the tape on every path.
        let mut decoded = Decoded {
            tape,
            home: &mut self.spare_tape,
            limits: &self.limits,
            duplicate_at: None,
        };
        decoded.duplicate_at = parsed?;
        Ok(decoded)
    }

    /// Frees the copy of a long message, which otherwise lives until the next one. A shard calls
    /// this before it sleeps.
    pub fn trim(&mut self) {
        if self.input.capacity() > INPUT_BYTES_KEPT + INPUT_PADDING {
            self.input = Vec::with_capacity(INPUT_BYTES_EXPECTED);
        }
    }
}

/// Checks the limits that need no copy.
fn check_size(bytes: &[u8], limits: &JsonLimits) -> Result<(), DecodeError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(DecodeError::TooLong {
            message_bytes: bytes.len(),
            message_bytes_max: MESSAGE_BYTES_MAX,
        });
    }
    node_count::check(bytes, limits.nodes_max)
}

/// Makes `input` a copy of `bytes` with the padding that the parser reads beyond its end.
fn copy_padded(bytes: &[u8], input: &mut Vec<u8>) {
    input.clear();
    input.reserve_exact(bytes.len() + INPUT_PADDING);
    input.extend_from_slice(bytes);
    input.extend_from_slice(&[b' '; INPUT_PADDING]);
}

/// Parses `input`, the padded copy of `bytes`, which is unescaped in place. Returns the place of
/// the first name that occurs twice in its object.
fn fill<'d>(
    tape: &mut Tape<'d>,
    (bytes, input): (&[u8], &'d mut [u8]),
    buffers: &mut Buffers,
    limits: &JsonLimits,
) -> Result<Option<usize>, DecodeError> {
    simd_json::fill_tape_padded(input, bytes.len(), buffers, tape)
        .map_err(|error| classify(&error, bytes, limits))?;
    match tape.0.len() > limits.nodes_max {
        true => Err(DecodeError::TooManyNodes {
            nodes_max: limits.nodes_max,
        }),
        false => Ok(duplicate::find(&tape.0)),
    }
}

fn small_buffers(limits: &JsonLimits) -> Buffers {
    Buffers::with_max_depth(INPUT_BYTES_EXPECTED, limits.depth_max)
}

/// Maps an error of the parser to [`DecodeError`].
#[cold]
fn classify(error: &simd_json::Error, bytes: &[u8], limits: &JsonLimits) -> DecodeError {
    match error.error() {
        ErrorType::DepthLimitExceeded => DecodeError::TooDeep {
            depth_max: limits.depth_max,
        },
        // The parser reports half a surrogate pair as UTF-8 too, and a broken sequence under other
        // names, depending on the byte that it reads first.
        _ if str::from_utf8(bytes).is_err() => DecodeError::InvalidUtf8,
        ErrorType::InvalidNumber => match number_around(bytes, error.index()) {
            Some(offset) => DecodeError::NumberOutOfRange { offset },
            None => DecodeError::Syntax,
        },
        _ if bytes.trim_ascii().is_empty() => DecodeError::Empty,
        _ => DecodeError::Syntax,
    }
}

/// Finds the start of the number around `index`, if it follows the grammar of RFC 8259 section 6:
/// then the parser refused its size, not its form.
fn number_around(bytes: &[u8], index: usize) -> Option<usize> {
    let of_number = |byte: &u8| {
        !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':')
            && !matches!(byte, b'[' | b']' | b'{' | b'}' | b'"')
    };
    let before = bytes
        .get(..index)?
        .iter()
        .rev()
        .take_while(|byte| of_number(byte))
        .count();
    let after = bytes[index..]
        .iter()
        .take_while(|byte| of_number(byte))
        .count();
    let offset = index - before;
    let text = &bytes[offset..index + after];

    let (negative, text) = (text.first() == Some(&b'-'), text);
    let text = &text[usize::from(negative)..];
    let (integer, text) = text.split_at(digits(text));
    if integer.is_empty() || (integer.len() > 1 && integer[0] == b'0') {
        return None;
    }
    let text = match text.split_first() {
        Some((b'.', text)) if digits(text) > 0 => &text[digits(text)..],
        _ => text,
    };
    let text = match text {
        [b'e' | b'E', b'+' | b'-', text @ ..] | [b'e' | b'E', text @ ..] if digits(text) > 0 => {
            &text[digits(text)..]
        }
        _ => text,
    };
    text.is_empty().then_some(offset)
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// One decoded JSON text; borrows the decoder until it is dropped.
pub struct Decoded<'d> {
    tape: Tape<'d>,
    home: &'d mut Tape<'static>,
    limits: &'d JsonLimits,
    /// The place on the tape of a name that occurs twice in its object.
    duplicate_at: Option<usize>,
}

impl Decoded<'_> {
    /// The text itself, to be passed on by value.
    pub fn document(&self) -> Document<'_> {
        Document::new(&self.tape.0, self.duplicate_at, self.limits)
    }

    /// See [`Document::duplicate_member`].
    pub fn duplicate_member(&self) -> Option<&str> {
        self.document().duplicate_member()
    }

    /// See [`Document::root`].
    pub fn root(&self) -> Value<'_> {
        self.document().root()
    }

    /// See [`Document::message`].
    ///
    /// # Errors
    /// As [`Document::message`].
    pub fn message(&self) -> Result<Message<'_>, ShapeError<'_>> {
        self.document().message()
    }

    /// See [`Document::is_batch`].
    pub fn is_batch(&self) -> bool {
        self.document().is_batch()
    }

    /// See [`Document::batch`].
    pub fn batch(&self) -> Batch<'_> {
        self.document().batch()
    }
}

impl Drop for Decoded<'_> {
    fn drop(&mut self) {
        let mut tape = mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        if tape.0.capacity() > TAPE_NODES_KEPT {
            tape = Tape(Vec::new());
        }
        *self.home = tape;
    }
}

#[cfg(test)]
mod tests;

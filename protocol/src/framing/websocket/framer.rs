//! Finds messages and control frames in the unconsumed bytes of a connection.
//!
//! The simple version waits for whole messages. Then a message of many fragments, with control
//! frames between them, must be put together in the caller's input, and each piece that arrives
//! leads to another look at all of them. So only heads and control frames, 139 bytes at most, have
//! to arrive whole; a payload is handed out as it comes.

use super::close::Close;
use super::fault::Fault;
use super::head::{FrameHead, Opcode, Role};
use super::mask::apply_mask;
use super::utf8::Utf8Checker;

/// The kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// How much of the stream was understood.
#[derive(Debug)]
pub struct Framer {
    role: Role,
    /// The kind of the message that is arriving.
    message: Option<Kind>,
    /// Whether a frame of that message has not ended, and whether it is the last one.
    frame: Option<Frame>,
    /// Bytes of that message in all frames so far, the present one included.
    message_bytes: u32,
    utf8: Utf8Checker,
}

/// The rest of a frame.
#[derive(Debug, Clone, Copy)]
struct Frame {
    is_final: bool,
    /// The key of the next byte and those after it.
    mask: [u8; 4],
    left_bytes: u32,
}

/// The result of a step. `consumed` is the number of bytes at the start of the input that it took;
/// the caller drops them.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// No whole head of a frame is there. Append the next bytes, and call again.
    NeedMore,
    /// One whole message.
    Message {
        /// Its kind.
        kind: Kind,
        /// Its bytes; may be empty.
        payload: &'a mut [u8],
        /// As above.
        consumed: usize,
    },
    /// The next part of a message that does not stand in the input as a whole.
    Part {
        /// The kind of the message.
        kind: Kind,
        /// The part; may be empty.
        payload: &'a mut [u8],
        /// Whether the message ends with it.
        is_last: bool,
        /// As above.
        consumed: usize,
    },
    /// A ping: a pong with the same payload is due.
    Ping {
        /// Its payload, at most 125 bytes.
        payload: &'a [u8],
        /// As above.
        consumed: usize,
    },
    /// A pong.
    Pong {
        /// Its payload, at most 125 bytes.
        payload: &'a [u8],
        /// As above.
        consumed: usize,
    },
    /// The last frame of the peer: a close frame is due unless one was sent. No byte after it has a
    /// meaning.
    Close(Close<'a>),
}

impl Framer {
    /// Nothing was read.
    pub fn new(role: Role) -> Framer {
        Framer {
            role,
            message: None,
            frame: None,
            message_bytes: 0,
            utf8: Utf8Checker::default(),
        }
    }

    /// Looks for the next message of at most `message_bytes_max` bytes (or 4 GiB, if that is less),
    /// the next part of one, or
    /// the next control frame at the start of `input`.
    ///
    /// `input` starts at the first unconsumed byte of the stream.
    ///
    /// # Errors
    /// The fault of the peer that ends the connection.
    pub fn step<'a>(
        &mut self,
        input: &'a mut [u8],
        message_bytes_max: usize,
    ) -> Result<Step<'a>, Fault> {
        if let Some(frame) = self.frame {
            return self.payload(frame, input, 0);
        }
        let Some(head) = FrameHead::read(input, self.role)? else {
            return Ok(Step::NeedMore);
        };
        if head.opcode.is_control() {
            return control(head, input);
        }
        let is_start = self.begin(&head, message_bytes_max)?;
        let at = head.head_bytes;
        let frame = Frame {
            is_final: head.is_final,
            mask: head.mask,
            // Within the limit of a message.
            left_bytes: head.payload_bytes as u32,
        };
        let payload_bytes = frame.left_bytes as usize;
        let is_whole = input.len() - at >= payload_bytes;
        if !(is_start && frame.is_final && is_whole) {
            return self.payload(frame, input, at);
        }
        let consumed = at + payload_bytes;
        let payload = &mut input[at..consumed];
        apply_mask(payload, frame.mask);
        let kind = self.check(payload)?;
        self.end(kind)?;
        Ok(Step::Message {
            kind,
            payload,
            consumed,
        })
    }

    /// Whether the stream is within a message.
    pub fn is_in_message(&self) -> bool {
        self.message.is_some()
    }

    /// Begins a data frame. Returns whether it starts a message.
    fn begin(&mut self, head: &FrameHead, message_bytes_max: usize) -> Result<bool, Fault> {
        let is_start = match (head.opcode, self.message) {
            (Opcode::Continuation, None) => return Err(Fault::NothingToContinue),
            (Opcode::Continuation, Some(_)) => false,
            (_, Some(_)) => return Err(Fault::WithinMessage),
            (opcode, None) => {
                self.message_bytes = 0;
                self.message = Some(match opcode {
                    Opcode::Text => Kind::Text,
                    _ => Kind::Binary,
                });
                true
            }
        };
        let bytes_max = u32::try_from(message_bytes_max).unwrap_or(u32::MAX);
        let left_bytes = bytes_max.saturating_sub(self.message_bytes);
        if head.payload_bytes > u64::from(left_bytes) {
            return Err(Fault::TooLong {
                limit_bytes: message_bytes_max,
            });
        }
        self.message_bytes += head.payload_bytes as u32;
        Ok(is_start)
    }

    /// Hands out the payload of `frame` that starts at `at`, as much of it as there is.
    fn payload<'a>(
        &mut self,
        mut frame: Frame,
        input: &'a mut [u8],
        at: usize,
    ) -> Result<Step<'a>, Fault> {
        let bytes = (frame.left_bytes as usize).min(input.len() - at);
        if at == 0 && bytes == 0 && frame.left_bytes > 0 {
            return Ok(Step::NeedMore);
        }
        let payload = &mut input[at..at + bytes];
        frame.mask = apply_mask(payload, frame.mask);
        frame.left_bytes -= bytes as u32;
        let kind = self.check(payload)?;
        let is_last = frame.is_final && frame.left_bytes == 0;
        self.frame = (frame.left_bytes > 0).then_some(frame);
        if is_last {
            self.end(kind)?;
        }
        Ok(Step::Part {
            kind,
            payload,
            is_last,
            consumed: at + bytes,
        })
    }

    /// Checks the next bytes of the message.
    fn check(&mut self, payload: &[u8]) -> Result<Kind, Fault> {
        let kind = self.message.unwrap_or(Kind::Binary);
        if kind == Kind::Text {
            self.utf8.check(payload).map_err(|_| Fault::NotUtf8)?;
        }
        Ok(kind)
    }

    /// Ends the message.
    fn end(&mut self, kind: Kind) -> Result<(), Fault> {
        self.message = None;
        match kind == Kind::Binary || self.utf8.is_whole() {
            true => Ok(()),
            false => Err(Fault::NotUtf8),
        }
    }
}

/// Reads a control frame, once it is whole.
fn control(head: FrameHead, input: &mut [u8]) -> Result<Step<'_>, Fault> {
    let consumed = head.head_bytes + head.payload_bytes as usize;
    let Some(payload) = input.get_mut(head.head_bytes..consumed) else {
        return Ok(Step::NeedMore);
    };
    apply_mask(payload, head.mask);
    let payload = &*payload;
    Ok(match head.opcode {
        Opcode::Close => Step::Close(Close::read(payload)?),
        Opcode::Ping => Step::Ping { payload, consumed },
        _ => Step::Pong { payload, consumed },
    })
}

//! The head of a frame: RFC 6455 section 5.2.

use super::fault::Fault;

/// Bytes of a control frame's payload (RFC 6455 5.5).
pub(super) const CONTROL_BYTES_MAX: usize = 125;

/// The side that reads the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Frames of a client arrive, which are masked.
    Server,
    /// Frames of a server arrive, which are not.
    Client,
}

/// The contents of a frame (RFC 6455 11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// The next part of a message.
    Continuation = 0,
    /// A text, or the start of one.
    Text = 1,
    /// Bytes, or the start of them.
    Binary = 2,
    /// The last frame of its sender.
    Close = 8,
    /// A request for a pong.
    Ping = 9,
    /// The answer to a ping, or a sign of life.
    Pong = 10,
}

impl Opcode {
    fn read(nibble: u8) -> Result<Opcode, Fault> {
        Ok(match nibble {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return Err(Fault::UnknownOpcode(nibble)),
        })
    }

    /// Whether it may come between the fragments of a message.
    pub(super) fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) is_final: bool,
    pub(super) opcode: Opcode,
    /// The key of the payload; zeros for one that is not masked.
    pub(super) mask: [u8; 4],
    pub(super) payload_bytes: u64,
    /// Bytes of the head itself, 2 to 14.
    pub(super) head_bytes: usize,
}

impl FrameHead {
    /// Reads the head at the start of `input`, sent to `role`. There is none before its last byte.
    ///
    /// # Errors
    /// The fault, as soon as the byte that shows it has arrived.
    pub(super) fn read(input: &[u8], role: Role) -> Result<Option<FrameHead>, Fault> {
        let Some(&first) = input.first() else {
            return Ok(None);
        };
        if first & 0b0111_0000 != 0 {
            return Err(Fault::ReservedBit);
        }
        let opcode = Opcode::read(first & 0b1111)?;
        let is_final = first & 0b1000_0000 != 0;
        if opcode.is_control() && !is_final {
            return Err(Fault::ControlFragment);
        }
        let Some(&second) = input.get(1) else {
            return Ok(None);
        };
        let is_masked = second & 0b1000_0000 != 0;
        match (role, is_masked) {
            (Role::Server, false) => return Err(Fault::Unmasked),
            (Role::Client, true) => return Err(Fault::Masked),
            _ => {}
        }
        let short = second & 0b0111_1111;
        if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
            return Err(Fault::ControlTooLong);
        }
        let Some((payload_bytes, length_end)) = length(short, input)? else {
            return Ok(None);
        };
        let mut head = FrameHead {
            is_final,
            opcode,
            mask: [0; 4],
            payload_bytes,
            head_bytes: length_end,
        };
        if is_masked {
            let Some(mask) = input[length_end..].first_chunk() else {
                return Ok(None);
            };
            head.mask = *mask;
            head.head_bytes += mask.len();
        }
        Ok(Some(head))
    }
}

/// The length of the payload, and where its bytes end.
fn length(short: u8, input: &[u8]) -> Result<Option<(u64, usize)>, Fault> {
    let (bytes, end, least) = match short {
        126 => match input[2..].first_chunk() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 4, 126),
            None => return Ok(None),
        },
        127 => match input[2..].first_chunk() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 10, 1 << 16),
            None => return Ok(None),
        },
        short => (u64::from(short), 2, 0),
    };
    if bytes < least || bytes >> 63 != 0 {
        return Err(Fault::Length);
    }
    Ok(Some((bytes, end)))
}

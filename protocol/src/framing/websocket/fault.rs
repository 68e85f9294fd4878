//! Faults of a peer for which a WebSocket connection ends.

use thiserror::Error;

use super::close_code::CloseCode;

/// Bytes that break the protocol, always by a fault of the peer. Nothing after them can be trusted:
/// the caller sends a close frame with [`Fault::code`] and ends the connection. The framer cannot
/// be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// A bit of an extension is set, and none was negotiated (RFC 6455 5.2).
    #[error("a reserved bit of a frame is set, and no extension was negotiated")]
    ReservedBit,
    /// There is no such opcode (RFC 6455 5.2).
    #[error("frame has the unknown opcode {0}")]
    UnknownOpcode(u8),
    /// A client must mask its frames (RFC 6455 5.1).
    #[error("frame of a client is not masked")]
    Unmasked,
    /// A server must not mask its frames (RFC 6455 5.1).
    #[error("frame of a server is masked")]
    Masked,
    /// The length has a shorter form, or the highest of its 64 bits is set (RFC 6455 5.2).
    #[error("length of a frame is not in its shortest form, or has more than 63 bits")]
    Length,
    /// A control frame is not whole (RFC 6455 5.5).
    #[error("control frame is a fragment")]
    ControlFragment,
    /// A control frame has more than 125 bytes (RFC 6455 5.5).
    #[error("control frame exceeds limit of 125 bytes")]
    ControlTooLong,
    /// A continuation without a start (RFC 6455 5.4).
    #[error("continuation of no message")]
    NothingToContinue,
    /// A message starts before the one before it has ended (RFC 6455 5.4).
    #[error("message starts within another one")]
    WithinMessage,
    /// A close frame of one byte (RFC 6455 5.5.1).
    #[error("close frame of 1 byte")]
    CloseMalformed,
    /// A close frame with a number that must not be sent (RFC 6455 7.4).
    #[error("close frame has the code {0}, which must not be sent")]
    CloseCode(u16),
    /// Text that is not UTF-8 (RFC 6455 8.1).
    #[error("text is not UTF-8")]
    NotUtf8,
    /// The message is longer than allowed.
    #[error("message of more than {limit_bytes} bytes exceeds limit of {limit_bytes}")]
    TooLong {
        /// The limit that the caller gave.
        limit_bytes: usize,
    },
}

impl Fault {
    /// The number for the close frame.
    pub fn code(self) -> CloseCode {
        match self {
            Fault::NotUtf8 => CloseCode::InvalidData,
            Fault::TooLong { .. } => CloseCode::TooBig,
            _ => CloseCode::ProtocolError,
        }
    }
}

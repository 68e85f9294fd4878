//! WebSocket frames in, messages out, and back: RFC 6455, both roles.
//!
//! Input: a [`Framer`] reads the unconsumed bytes of a connection and returns one message, one part
//! of a message or one control frame at a time, borrowed from those bytes and unmasked in place. A
//! message that arrives whole and in one frame is never copied. Output: [`write_frame`] and
//! [`write_close`] append to a buffer of the caller. [`accept_key`] is the server's answer to the
//! opening handshake.
//!
//! Invariants: the messages never depend on how the bytes were split on the way; a byte is looked
//! at once; nothing of a message past the limit is handed out. It keeps no byte of a message, so
//! that its caller decides where memory goes. It lacks deadlines and extensions: a reserved bit is
//! a fault.

mod close;
mod close_code;
mod fault;
mod framer;
mod handshake;
mod head;
mod mask;
mod utf8;
mod write;

#[cfg(test)]
mod tests;

pub use close::Close;
pub use close_code::CloseCode;
pub use fault::Fault;
pub use framer::{Framer, Kind, Step};
pub use handshake::{ACCEPT_BYTES, VERSION, accept_key};
pub use head::{Opcode, Role};
pub use write::{write_close, write_frame};

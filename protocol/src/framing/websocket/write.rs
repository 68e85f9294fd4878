//! Frames as bytes, appended to a buffer of the caller: RFC 6455 section 5.2.

use super::close_code::CloseCode;
use super::head::{CONTROL_BYTES_MAX, Opcode};
use super::mask::apply_mask;

/// The longest head of a frame, in bytes.
const HEAD_BYTES_MAX: usize = 14;

/// Bytes of the number of a close frame.
const CODE_BYTES: usize = 2;

/// Appends one whole frame. A client gives a `mask` of random bits, new ones for each frame (RFC
/// 6455 5.3); a server gives none.
///
/// ```
/// use corelane_protocol::framing::websocket::{Opcode, write_frame};
/// let mut out = Vec::new();
/// write_frame(&mut out, Opcode::Text, b"Hello", None);
/// assert_eq!(out, b"\x81\x05Hello");
/// ```
///
/// # Panics
/// If a control frame has more than 125 bytes of payload.
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    assert!(
        !opcode.is_control() || payload.len() <= CONTROL_BYTES_MAX,
        "a control frame has 125 bytes at most"
    );
    out.reserve(HEAD_BYTES_MAX + payload.len());
    out.push(0b1000_0000 | opcode as u8);
    let masked = u8::from(mask.is_some()) << 7;
    match payload.len() {
        bytes @ 0..126 => out.push(masked | bytes as u8),
        bytes @ 126..0x1_0000 => {
            out.push(masked | 126);
            out.extend_from_slice(&(bytes as u16).to_be_bytes());
        }
        bytes => {
            out.push(masked | 127);
            out.extend_from_slice(&(bytes as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask.unwrap_or_default()[..4 * usize::from(mask.is_some())]);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        apply_mask(&mut out[start..], mask);
    }
}

/// Appends a close frame, as [`write_frame`] does; the reason is cut off after 123 bytes.
pub fn write_close(out: &mut Vec<u8>, code: CloseCode, reason: &str, mask: Option<[u8; 4]>) {
    let reason_bytes = reason.floor_char_boundary(CONTROL_BYTES_MAX - CODE_BYTES);
    let mut payload = Vec::with_capacity(CONTROL_BYTES_MAX);
    payload.extend_from_slice(&code.code().to_be_bytes());
    payload.extend_from_slice(&reason.as_bytes()[..reason_bytes]);
    write_frame(out, Opcode::Close, &payload, mask);
}

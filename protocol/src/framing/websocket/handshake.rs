//! The keys of the opening handshake: RFC 6455 section 4.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// The version of the protocol, as in `Sec-WebSocket-Version`.
pub const VERSION: &str = "13";

/// Bytes of the value of `Sec-WebSocket-Accept`.
pub const ACCEPT_BYTES: usize = 28;

/// Bytes that a key encodes.
const NONCE_BYTES: usize = 16;

/// The text that every accepted key is hashed with (RFC 6455 1.3).
const SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The value of `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`; none for a value that is not 16
/// bytes in Base64.
///
/// ```
/// use corelane_protocol::framing::websocket::accept_key;
/// let accept = accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
/// assert_eq!(accept.as_ref(), Some(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
/// ```
pub fn accept_key(key: &[u8]) -> Option<[u8; ACCEPT_BYTES]> {
    // Decoding takes a little more than the nonce at hand.
    let mut nonce = [0; NONCE_BYTES + 2];
    if STANDARD.decode_slice(key, &mut nonce) != Ok(NONCE_BYTES) {
        return None;
    }
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update(SUFFIX)
        .finalize();
    let mut accept = [0; ACCEPT_BYTES];
    let written = STANDARD.encode_slice(digest, &mut accept);
    debug_assert_eq!(written, Ok(ACCEPT_BYTES));
    Some(accept)
}

#[cfg(test)]
mod tests {
    use super::accept_key;

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        for (key, is_key) in [
            ("AAAAAAAAAAAAAAAAAAAAAA==", true),
            ("", false),
            ("AAAAAAAAAAAAAAAAAAAA", false),
            ("AAAAAAAAAAAAAAAAAAAAAAA=", false),
            ("AAAAAAAAAAAAAAAAAAAAAAAA", false),
            ("AAAAAAAAAAAAAAAAAAAAAA", false),
            ("AAAAAAAAAAAAAAAAAAAAAA==AAAA", false),
            ("!AAAAAAAAAAAAAAAAAAAAA==", false),
        ] {
            assert_eq!(accept_key(key.as_bytes()).is_some(), is_key, "{key}");
        }
    }
}

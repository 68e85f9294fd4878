//! The byte classes of RFC 9110 that several modules here need.

/// Whether a byte may occur in a token, such as a method or a field name (RFC 9110 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a text can be the name of a header field: a token (RFC 9110 5.1).
pub fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_token_byte)
}

/// Whether a byte may occur in a field value or a chunk extension: no control byte but the tab
/// (RFC 9110 5.5).
pub(super) fn is_text_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

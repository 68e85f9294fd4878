//! Characters of URIs and their percent-encoding (RFC 3986 section 2).
//!
//! Invariant: positions are always between whole characters. A percent-encoded character is all of
//! its triplets, so a split never cuts one.

use std::borrow::Cow;

/// Whether a byte stands for itself everywhere (RFC 3986 2.3).
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Whether a byte may be a delimiter (RFC 3986 2.2).
pub(super) fn is_reserved(byte: u8) -> bool {
    b":/?#[]@!$&'()*+,;=".contains(&byte)
}

/// The byte that the triplet at `at` encodes, if one is there.
pub(super) fn triplet(bytes: &[u8], at: usize) -> Option<u8> {
    match bytes.get(at..at + 3)? {
        [b'%', high, low] => Some(hex_value(*high)? << 4 | hex_value(*low)?),
        _ => None,
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    // A digit of base 16 is below 16.
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Whether `text` is `literal`, an expanded one, in any of its forms.
pub(super) fn is_literal(literal: &str, text: &str) -> bool {
    let (literal, text) = (literal.as_bytes(), text.as_bytes());
    let (mut wanted, mut end) = (0, 0);
    while let Some(byte) = literal.get(wanted) {
        match triplet(literal, wanted) {
            Some(byte) if triplet(text, end) == Some(byte) => (wanted, end) = (wanted + 3, end + 3),
            Some(byte) if !byte.is_ascii() && text.get(end) == Some(&byte) => {
                (wanted, end) = (wanted + 3, end + 1);
            }
            None if text.get(end) == Some(byte) => (wanted, end) = (wanted + 1, end + 1),
            _ => return false,
        }
    }
    end == text.len()
}

/// Appends `text` with everything encoded that is not unreserved; `keeps_reserved` leaves reserved
/// characters and triplets as they are.
pub(super) fn push_encoded(out: &mut String, text: &str, keeps_reserved: bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let bytes = text.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        let is_kept = is_reserved(byte) || triplet(bytes, at).is_some();
        if is_unreserved(byte) || (keeps_reserved && is_kept) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// The decoded text, if it is UTF-8.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let encoded = triplet(bytes, at);
        decoded.push(encoded.unwrap_or(byte));
        at += if encoded.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

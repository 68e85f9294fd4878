//! Numbers and strings to bytes.

/// Appends an integer.
#[inline]
pub fn write_integer(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends an unsigned integer.
#[inline]
pub fn write_unsigned(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends the shortest decimal that reads back as the same `f64`, always with a fraction or an
/// exponent; `null` for infinities and NaN, which JSON cannot express.
pub fn write_float(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Appends a string in quotes with the escapes that RFC 8259 section 7 requires, and no others.
#[inline]
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    // Most strings need no escape: one reservation covers them, and runs are copied whole.
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    while let Some(found) = first_to_escape(rest) {
        out.extend_from_slice(&rest[..found]);
        write_escape(out, rest[found]);
        rest = &rest[found + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]];
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&digits);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Finds the first byte that must be escaped: a control character, `"` or `\`.
///
/// The simple version looks at one byte at a time, and does so for the tail. The loop before it
/// tests eight bytes in one word: subtracting a constant from each byte borrows into the high bit
/// of a byte exactly when it is smaller, unless a lower byte borrowed too. So the lowest marked
/// byte is always correct, and the first byte of the text is the lowest. Bytes from 0x80 are masked
/// out: they belong to UTF-8 sequences and are copied.
fn first_to_escape(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let mut words = bytes.chunks_exact(8);
    let mut at = 0;
    for word in words.by_ref() {
        let word = u64::from_le_bytes(word.try_into().expect("chunks have 8 bytes"));
        let control = word.wrapping_sub(ONES * 0x20);
        let quote = (word ^ (ONES * 0x22)).wrapping_sub(ONES);
        let backslash = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
        let marked = (control | quote | backslash) & !word & HIGH_BITS;
        if marked != 0 {
            return Some(at + marked.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    words
        .remainder()
        .iter()
        .position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\'))
        .map(|found| at + found)
}

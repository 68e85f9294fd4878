//! Masking of payloads: RFC 6455 section 5.3.

/// Masks `bytes`, or takes their mask off; returns the key for the bytes that follow them.
pub(super) fn apply_mask(bytes: &mut [u8], key: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    // Eight bytes at a time, which the compiler turns into wider operations still.
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    let mut next = key;
    next.rotate_left(rest.len() % key.len());
    next
}

#[cfg(test)]
mod tests {
    use super::apply_mask;

    #[test]
    fn masks_byte_by_byte_whatever_the_pieces() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let plain: Vec<u8> = (0..100).collect();
        let expected: Vec<u8> = (0..100).map(|at| plain[at] ^ key[at % 4]).collect();
        for split in 0..plain.len() {
            let mut bytes = plain.clone();
            let (first, second) = bytes.split_at_mut(split);
            let next = apply_mask(first, key);
            apply_mask(second, next);
            assert_eq!(bytes, expected, "{split}");
        }
    }
}

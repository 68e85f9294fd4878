//! The parts of session and task ids: a home shard and 128 random bits, and their text.
//!
//! The text is four hex digits of the home shard, then 32 of the random bits, in lower case. Each
//! kind of id is a type of its own, so that they cannot be confused; none of them is made here.

/// Bytes of an id on the wire.
pub(super) const HOME_ID_BYTES: usize = HOME_DIGITS + RANDOM_DIGITS;

/// Digits of a home shard.
pub(super) const HOME_DIGITS: usize = 4;
const RANDOM_DIGITS: usize = 32;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The home shard and the random bits of an id; `None` for anything this server never made.
pub(super) fn parse(text: &[u8]) -> Option<(u16, u128)> {
    let (home, random) = text.split_first_chunk::<HOME_DIGITS>()?;
    let random: &[u8; RANDOM_DIGITS] = random.try_into().ok()?;
    Some((
        u16::from_be_bytes(read_hex(home)?),
        u128::from_be_bytes(read_hex(random)?),
    ))
}

/// The number of a node in front of an id, and the rest; `None` if it is none.
pub(super) fn parse_node(text: &[u8]) -> Option<(u16, &[u8])> {
    let (node, rest) = text.split_first_chunk::<HOME_DIGITS>()?;
    Some((u16::from_be_bytes(read_hex(node)?), rest))
}

/// An id as it is on the wire.
pub(super) fn to_text(home: u16, random: u128) -> [u8; HOME_ID_BYTES] {
    let mut text = [0; HOME_ID_BYTES];
    for (at, byte) in text.iter_mut().enumerate() {
        let (bits, place) = if at < HOME_DIGITS {
            (u128::from(home), HOME_DIGITS - 1 - at)
        } else {
            (random, HOME_ID_BYTES - 1 - at)
        };
        *byte = DIGITS[((bits >> (place * 4)) & 15) as usize];
    }
    text
}

/// The bytes of `digits`, two lower-case digits each; `None` if one is not a digit.
///
/// Every request of a session comes through here. All digits are read before any is checked:
/// without a branch or a value carried from one to the next, the compiler takes 16 at a time.
pub(super) fn read_hex<const DIGITS: usize, const BYTES: usize>(
    digits: &[u8; DIGITS],
) -> Option<[u8; BYTES]> {
    const { assert!(DIGITS == 2 * BYTES) }
    let mut values = [0; DIGITS];
    let mut are_digits = true;
    for (value, digit) in values.iter_mut().zip(digits) {
        let (number, letter) = (digit.wrapping_sub(b'0'), digit.wrapping_sub(b'a'));
        are_digits &= (number < 10) | (letter < 6);
        *value = if number < 10 {
            number
        } else {
            letter.wrapping_add(10)
        };
    }
    let mut bytes = [0; BYTES];
    for (byte, [upper, lower]) in bytes.iter_mut().zip(values.as_chunks().0) {
        *byte = upper << 4 | lower;
    }
    are_digits.then_some(bytes)
}

/// Random bits from the operating system, drawn in batches so that an id costs no system call of
/// its own.
#[derive(Debug, Default)]
pub(super) struct RandomBits {
    drawn: Vec<u8>,
}

/// Bytes of random bits drawn at once: 64 ids.
const RANDOM_BATCH_BYTES: usize = 1024;

impl RandomBits {
    /// Sixteen random bytes.
    ///
    /// # Panics
    /// When the operating system has no random bits: there is no safe way to continue.
    pub(super) fn draw(&mut self) -> u128 {
        const BYTES: usize = size_of::<u128>();
        if self.drawn.len() < BYTES {
            self.drawn.resize(RANDOM_BATCH_BYTES, 0);
            getrandom::fill(&mut self.drawn).expect("getrandom(2) fails only where it is absent");
        }
        let rest = self.drawn.len() - BYTES;
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(&self.drawn[rest..]);
        // Bits that were given out do not stay in memory.
        self.drawn[rest..].fill(0);
        self.drawn.truncate(rest);
        u128::from_ne_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{HOME_ID_BYTES, RandomBits, parse, to_text};

    #[test]
    fn ids_are_read_back_from_their_text() {
        for (home, random) in [(0, 0), (1, 1), (0xbeef, u128::MAX), (56, 0x0123_4567 << 90)] {
            assert_eq!(parse(&to_text(home, random)), Some((home, random)));
        }
    }

    #[test]
    fn text_this_server_never_made_is_no_id() {
        let good = to_text(1, 2);
        let mut upper = good;
        upper[35] = b'A';
        for text in [
            &b""[..],
            b"x",
            &good[..35],
            &upper,
            &[&good[..], b"0"].concat(),
        ] {
            assert_eq!(parse(text), None);
        }
    }

    #[test]
    fn each_digit_is_lower_case_hex_and_counts() {
        let good = to_text(0x89ab, 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210);
        for at in 0..HOME_ID_BYTES {
            for byte in 0..=u8::MAX {
                let mut text = good;
                text[at] = byte;
                let is_digit = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                let read = parse(&text).map(|(home, random)| to_text(home, random));
                assert_eq!(read, is_digit.then_some(text), "{byte:#04x} at {at}");
            }
        }
    }

    #[test]
    fn random_bits_do_not_repeat_and_are_even() {
        const DRAWN: u32 = 1_000_000;
        let mut bits = RandomBits::default();
        let mut set = std::collections::HashSet::with_capacity(DRAWN as usize);
        let mut ones = [0_u32; 128];
        let mut agreeing = [0_u32; 128];
        let mut last = 0;
        for _ in 0..DRAWN {
            let drawn = bits.draw();
            set.insert(drawn);
            let same = !(drawn ^ drawn.rotate_left(1));
            for (place, (ones, agreeing)) in ones.iter_mut().zip(&mut agreeing).enumerate() {
                *ones += (drawn >> place & 1) as u32;
                *agreeing += ((same ^ last) >> place & 1) as u32;
            }
            last = drawn;
        }
        assert_eq!(set.len(), DRAWN as usize);
        // Ten standard deviations: an even source is outside once in 10^20 runs.
        for count in ones.into_iter().chain(agreeing) {
            assert!(count.abs_diff(DRAWN / 2) < 5_000, "{count} of {DRAWN}");
        }
    }
}

//! The hash that proves the work was done.
//!
//! Every operation folds its result into its batch's [`Checksum`], so no optimiser can drop it,
//! and every batch of a bench ends with the same checksum. The multiplication of a word does not
//! wait for the word before it: an operation waits for a rotation and an addition, two
//! cycles, so that benches of a few nanoseconds do not measure their own hash. The bench
//! `harness/fold` shows the remaining cost, and figures near it are upper bounds. It is no
//! hash against an adversary.

const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The results of a batch, folded into 64 bits; the order of folding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum(u64);

/// Nothing found yet. Not zero, so that words of zero count.
impl Default for Checksum {
    fn default() -> Checksum {
        Checksum(SPREAD)
    }
}

impl Checksum {
    /// Folds one word.
    #[inline]
    pub fn word(&mut self, word: u64) {
        let spread = (word ^ SPREAD).wrapping_mul(SPREAD);
        self.0 = self.0.rotate_left(5).wrapping_add(spread);
    }

    /// Folds bytes and how many they are; eight at a time, so it is cheap enough for the end of a
    /// batch and too dear for each operation.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(size_of::<u64>()) {
            let mut word = [0; size_of::<u64>()];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
        self.word(bytes.len() as u64);
    }

    /// The checksum of a batch in which each of `operations` found the same word.
    pub fn repeated(word: u64, operations: u32) -> Checksum {
        Checksum::of((0..operations).map(|_| word))
    }

    /// The checksum of a batch that found these words in this order.
    pub fn of(words: impl Iterator<Item = u64>) -> Checksum {
        let mut checksum = Checksum::default();
        words.for_each(|word| checksum.word(word));
        checksum
    }

    /// The hash itself.
    pub fn hash(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Checksum;

    fn of_bytes(bytes: &[u8]) -> Checksum {
        let mut checksum = Checksum::default();
        checksum.bytes(bytes);
        checksum
    }

    #[test]
    fn order_number_and_length_all_count() {
        let check = |one: Checksum, other: Checksum| assert_ne!(one, other);
        check(
            Checksum::of([1, 2].into_iter()),
            Checksum::of([2, 1].into_iter()),
        );
        check(Checksum::repeated(7, 3), Checksum::repeated(7, 4));
        check(Checksum::repeated(0, 1), Checksum::default());
        check(of_bytes(b"12345678"), of_bytes(b"12345678\0"));
        check(of_bytes(b"123456789"), of_bytes(b"123456780"));
        assert_eq!(Checksum::repeated(7, 2), Checksum::of([7, 7].into_iter()));
    }
}

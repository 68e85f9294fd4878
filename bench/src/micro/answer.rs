//! The hash that proves the work was done.
//!
//! Every operation folds what it found into its batch's [`Answer`], so no optimiser can drop it,
//! and every batch of a bench ends with the same answer. The multiplication of a word does not
//! wait for the word before it: what an operation waits for is a rotation and an addition, two
//! cycles, so that benches of a few nanoseconds do not measure their own hash. The bench
//! `harness/fold` shows what is left, and no figure near it says more than "not above". It is no
//! hash against an adversary.

const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a batch found, folded into 64 bits; the order of folding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer(u64);

/// Nothing found yet. Not zero, so that words of zero count.
impl Default for Answer {
    fn default() -> Answer {
        Answer(SPREAD)
    }
}

impl Answer {
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

    /// The answer of a batch in which each of `operations` found the same word.
    pub fn repeated(word: u64, operations: u32) -> Answer {
        Answer::of((0..operations).map(|_| word))
    }

    /// The answer of a batch that found these words in this order.
    pub fn of(words: impl Iterator<Item = u64>) -> Answer {
        let mut answer = Answer::default();
        words.for_each(|word| answer.word(word));
        answer
    }

    /// The hash itself.
    pub fn hash(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;

    fn of_bytes(bytes: &[u8]) -> Answer {
        let mut answer = Answer::default();
        answer.bytes(bytes);
        answer
    }

    #[test]
    fn order_number_and_length_all_count() {
        let check = |one: Answer, other: Answer| assert_ne!(one, other);
        check(
            Answer::of([1, 2].into_iter()),
            Answer::of([2, 1].into_iter()),
        );
        check(Answer::repeated(7, 3), Answer::repeated(7, 4));
        check(Answer::repeated(0, 1), Answer::default());
        check(of_bytes(b"12345678"), of_bytes(b"12345678\0"));
        check(of_bytes(b"123456789"), of_bytes(b"123456780"));
        assert_eq!(Answer::repeated(7, 2), Answer::of([7, 7].into_iter()));
    }
}

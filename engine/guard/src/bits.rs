//! Small sets of numbers, as bits.

/// A set of numbers below 64 times `WORDS`.
///
/// ```
/// use corelane_guard::bits::Bits256;
///
/// let mut held = Bits256::default();
/// held.insert(3);
/// assert!(held.contains(3) && !held.contains(4));
/// assert!(Bits256::default().is_subset_of(&held));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bits<const WORDS: usize>([u64; WORDS]);

/// A set of numbers below 256.
pub type Bits256 = Bits<4>;

impl<const WORDS: usize> Default for Bits<WORDS> {
    fn default() -> Self {
        Bits([0; WORDS])
    }
}

impl<const WORDS: usize> FromIterator<usize> for Bits<WORDS> {
    /// # Panics
    /// A number is not below [`Bits::END`].
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Self {
        let mut bits = Bits::default();
        numbers.into_iter().for_each(|number| bits.insert(number));
        bits
    }
}

impl<const WORDS: usize> Bits<WORDS> {
    /// Every number of a set is below this.
    pub const END: usize = WORDS * 64;

    /// Adds a number.
    ///
    /// # Panics
    /// The number is not below [`Bits::END`].
    pub fn insert(&mut self, number: usize) {
        self.0[number / 64] |= 1 << (number % 64);
    }

    /// Whether a number is in the set. One at or past [`Bits::END`] is not.
    pub fn contains(&self, number: usize) -> bool {
        let word = self.0.get(number / 64);
        word.is_some_and(|word| word & 1 << (number % 64) != 0)
    }

    /// Whether the other set has every number of this one.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        let mut words = self.0.iter().zip(&other.0);
        words.all(|(own, other)| own & !other == 0)
    }

    /// The numbers of either set.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own |= other;
        }
        self
    }

    /// The numbers that the other set lacks.
    #[must_use]
    pub fn without(mut self, other: &Self) -> Self {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own &= !other;
        }
        self
    }

    /// The numbers that both sets have.
    #[must_use]
    pub fn intersection(mut self, other: &Self) -> Self {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own &= other;
        }
        self
    }

    /// Whether no number is in both sets.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        let mut words = self.0.iter().zip(&other.0);
        words.all(|(own, other)| own & other == 0)
    }

    /// How many numbers there are.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// The numbers, rising.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        let words = self.0.iter().enumerate();
        words.flat_map(|(place, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(place * 64 + bit as usize)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: &[usize]) -> Bits256 {
        numbers.iter().copied().collect()
    }

    #[test]
    fn a_set_has_the_numbers_that_were_added() {
        let edges = [0, 1, 63, 64, 127, 128, 255];
        let edge_set = set(&edges);
        assert_eq!(edge_set.iter().collect::<Vec<_>>(), edges);
        assert_eq!(edge_set.count(), 7);
        for absent in [2, 62, 65, 254, 256, 320, usize::MAX] {
            assert!(!edge_set.contains(absent), "{absent}");
        }
    }

    #[test]
    fn sets_are_compared_and_joined_word_by_word() {
        let (few, many, other) = (set(&[1, 200]), set(&[1, 64, 200]), set(&[64]));
        assert!(few.is_subset_of(&many) && few.is_subset_of(&few));
        assert!(!many.is_subset_of(&few) && !other.is_subset_of(&few));
        assert_eq!(few.union(&other), many);
        assert_eq!(many.without(&few), other);
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn a_number_past_the_end_is_refused() {
        set(&[256]);
    }
}

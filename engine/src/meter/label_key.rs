//! The labels of a histogram as one word.

/// The labels of a set, packed into a word that is neither 0 nor [`OVERFLOW`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LabelKey(pub(super) u64);

/// The key of the set that stands for all others.
pub(super) const OVERFLOW: u64 = u64::MAX;

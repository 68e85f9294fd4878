//! The bounds of histograms, and the bucket of a duration.
//!
//! A histogram is a row of words: one count for each bound, one for longer durations, and the sum
//! in microseconds. It deliberately lacks a total: that is the sum of its buckets.

/// Bounds of the durations of operations, in microseconds: those of the OpenTelemetry conventions
/// for MCP (0.01 s to 300 s), and shorter ones.
pub(crate) const OPERATION_BOUNDS_US: [u64; 22] = [
    25,
    50,
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
];
/// Bounds of the durations of HTTP requests, in microseconds: those of the conventions of
/// OpenTelemetry for HTTP (0.005 s to 10 s), and shorter ones.
pub(crate) const HTTP_BOUNDS_US: [u64; 22] = [
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000,
    500_000, 750_000, 1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000, 30_000_000,
];
/// Bounds of the lives of sessions and streams, in microseconds: those of the OpenTelemetry
/// conventions for MCP, and longer ones, up to a day.
pub(crate) const LIFE_BOUNDS_US: [u64; 19] = [
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    600_000_000,
    1_800_000_000,
    3_600_000_000,
    14_400_000_000,
    86_400_000_000,
];
/// Bounds of the work of a turn, in microseconds.
pub(crate) const TURN_BOUNDS_US: [u64; 12] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000,
];

/// Words of a histogram with so many bounds.
pub(crate) const fn words(bounds: usize) -> usize {
    bounds + 2
}

/// The bounds of a histogram, with an entry for each length of a number in bits.
#[derive(Debug)]
pub(crate) struct Buckets<const N: usize> {
    bounds_us: [u64; N],
    /// By the bits of a duration: the first bucket that may take one of this length.
    first: [u8; u64::BITS as usize + 1],
}

/// The buckets of operations.
pub(crate) static OPERATION: Buckets<22> = Buckets::new(OPERATION_BOUNDS_US);
/// The buckets of HTTP requests.
pub(crate) static HTTP: Buckets<22> = Buckets::new(HTTP_BOUNDS_US);
/// The buckets of sessions and streams.
pub(crate) static LIFE: Buckets<19> = Buckets::new(LIFE_BOUNDS_US);
/// The buckets of turns.
pub(crate) static TURN: Buckets<12> = Buckets::new(TURN_BOUNDS_US);

impl<const N: usize> Buckets<N> {
    const fn new(bounds_us: [u64; N]) -> Buckets<N> {
        let mut first = [0; u64::BITS as usize + 1];
        let mut bits = 1;
        while bits < first.len() {
            let least = 1 << (bits - 1);
            let mut bucket = first[bits - 1] as usize;
            while bucket < N && bounds_us[bucket] < least {
                bucket += 1;
            }
            first[bits] = bucket as u8;
            bits += 1;
        }
        Buckets { bounds_us, first }
    }

    /// The bucket of a duration: that of the least bound which is not below it.
    #[inline]
    pub(crate) fn of(&self, duration_us: u64) -> usize {
        let bits = u64::BITS - duration_us.leading_zeros();
        let mut bucket = usize::from(self.first[bits as usize]);
        while bucket < N && self.bounds_us[bucket] < duration_us {
            bucket += 1;
        }
        bucket
    }
}

#[cfg(test)]
mod tests {
    use super::{Buckets, HTTP, LIFE, OPERATION, TURN};

    fn check<const N: usize>(buckets: &Buckets<N>) {
        let mut cases = vec![0, 1, u64::MAX, u64::MAX / 2];
        for bound in buckets.bounds_us {
            cases.extend([bound - 1, bound, bound + 1]);
        }
        cases.extend((0..64).map(|bits| 1_u64 << bits));
        for duration_us in cases {
            let expected = buckets.bounds_us.iter().filter(|it| **it < duration_us);
            assert_eq!(buckets.of(duration_us), expected.count(), "{duration_us}");
        }
    }

    #[test]
    fn each_duration_is_in_the_bucket_of_the_least_bound_that_holds_it() {
        check(&OPERATION);
        check(&HTTP);
        check(&LIFE);
        check(&TURN);
    }

    #[test]
    fn a_search_compares_with_two_bounds_at_most() {
        for bits in 1..=u64::BITS as usize {
            let first = usize::from(OPERATION.first[bits]);
            let next = OPERATION.of(u64::MAX >> (u64::BITS as usize - bits));
            assert!(next <= first + 2, "{bits} bits");
        }
    }
}

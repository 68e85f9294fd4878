//! Limits: how often, how much a day, and for how long a source is blocked.
//!
//! Each shard counts in plain cells. A bucket of a rate lives on one shard, its home, and the other
//! shards spend leases of it: see [`lease`]. Failed credentials are counted on every shard alike:
//! see [`failures`]. A quota is summed on its home: see [`quota`].
//!
//! Nothing here reads a clock, sends a message or answers a request. Times are nanoseconds since
//! the shard was started; times in messages are durations, as each shard has its own clock.

pub mod board;
pub mod bucket;
pub mod failures;
pub mod file;
pub mod lease;
pub mod quota;
pub mod shard;
mod table;

use std::hash::{BuildHasher, Hash};

use crate::holder::HolderKey;

/// Nanoseconds of a millisecond.
pub(crate) const MS: u64 = 1_000_000;
/// Nanoseconds of a second.
pub(crate) const SECOND: u64 = 1000 * MS;

/// The key of one bucket, the same on every shard.
///
/// It is made from the key of a holder, which is a keyed hash: no peer finds two holders whose
/// buckets have one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitKey(u64);

impl LimitKey {
    /// The bucket of a holder for one of the limits. The parts of a limit distinguish it from all
    /// others: a limit with another rate has other buckets.
    pub fn new(limit: impl Hash, holder: HolderKey) -> LimitKey {
        // The seed is the same on every shard and in every life of a shard.
        let hasher = foldhash::quality::FixedState::with_seed(0x5eed);
        LimitKey(hasher.hash_one((limit, holder)))
    }

    /// The shard that has the bucket.
    pub fn home(self, shards: u16) -> u16 {
        // The high bits of the product are below the number of shards.
        ((u128::from(self.0) * u128::from(shards)) >> 64) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::LimitKey;
    use crate::holder::{HolderKey, Holders};

    #[test]
    fn keys_are_spread_evenly_over_all_shards() {
        let holders = Holders::default();
        let mut counts = [0_u32; 5];
        for number in 0..5000 {
            let holder = holders.of_principal(&number.to_string());
            let key = LimitKey::new("principal", holder);
            assert_ne!(key, LimitKey::new("source", holder));
            assert_eq!(key.home(1), 0);
            counts[usize::from(key.home(5))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)));
        let anonymous = LimitKey::new("global", HolderKey::ANONYMOUS);
        assert_eq!(anonymous, LimitKey::new("global", HolderKey::ANONYMOUS));
    }
}

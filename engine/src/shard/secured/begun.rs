//! The handshakes of a shard that have begun and are not over, by the holders of their clients.
//!
//! Each of them holds some 30 KiB, so their number is limited. Past the limit one ends: the oldest
//! of the holder that has the most. So a client that begins many and finishes none ends its own.

use std::collections::BTreeMap;

use crate::guard::holder::HolderKey;
use crate::guard::shares::Shares;
use corelane_io::slots::SlotKey;

/// See the module's text.
pub(super) struct Begun {
    shares: Shares,
    /// The connections of each holder, the oldest handshake first.
    by_age: BTreeMap<(HolderKey, Age), SlotKey>,
    next: Age,
}

/// The position of a handshake in the order in which they began.
pub(super) type Age = u64;

impl Begun {
    /// No handshakes; more than `max` are too many.
    pub(super) fn new(max: usize) -> Begun {
        Begun {
            shares: Shares::new(max),
            by_age: BTreeMap::new(),
            next: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shares.used()
    }

    /// Adds the newest one.
    pub(super) fn insert(&mut self, holder: HolderKey, key: SlotKey) -> Age {
        let age = self.next;
        self.next += 1;
        self.shares.take(holder, 1);
        self.by_age.insert((holder, age), key);
        age
    }

    /// Removes one that is over.
    pub(super) fn remove(&mut self, holder: HolderKey, age: Age) {
        if self.by_age.remove(&(holder, age)).is_some() {
            self.shares.give_back(holder, 1);
        }
    }

    /// The one to end, if there are too many: of the holder with the most, or the oldest of all if
    /// none has more than a small share.
    pub(super) fn excess(&self) -> Option<SlotKey> {
        if self.len() <= self.shares.max() {
            return None;
        }
        let oldest = match self.shares.largest_past_share(0, |_| true) {
            Some(holder) => self.by_age.range((holder, 0)..).next(),
            None => self.by_age.iter().min_by_key(|((_, age), _)| *age),
        };
        oldest.map(|(_, key)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::Begun;
    use crate::guard::holder::{HolderKey, Holders};
    use corelane_io::slots::SlotKey;

    fn key(index: u32) -> SlotKey {
        SlotKey {
            index,
            generation: 1,
        }
    }

    fn holder(name: &str) -> HolderKey {
        Holders::default().of_principal(name)
    }

    #[test]
    fn the_oldest_of_the_holder_with_the_most_ends() {
        const MAX: usize = 64;
        let mut begun = Begun::new(MAX);
        let [victim, flood, second] = ["victim", "flood", "second"].map(holder);
        let first = begun.insert(victim, key(0));
        let ages: Vec<_> = (1..40).map(|it| begun.insert(flood, key(it))).collect();
        for index in 40..64 {
            begun.insert(second, key(index));
        }
        assert_eq!((begun.len(), begun.excess()), (MAX, None));
        begun.insert(victim, key(64));
        assert_eq!(begun.excess(), Some(key(1)));
        begun.remove(flood, ages[0]);
        begun.remove(flood, ages[0]);
        assert_eq!((begun.len(), begun.excess()), (MAX, None));
        begun.insert(victim, key(65));
        assert_eq!(begun.excess(), Some(key(2)));
        begun.remove(victim, first);
        assert_eq!(begun.excess(), None);
    }

    #[test]
    fn the_oldest_of_all_ends_if_no_holder_has_many() {
        const MAX: usize = 8;
        let mut begun = Begun::new(MAX);
        for index in 0..=MAX as u32 {
            begun.insert(holder(&index.to_string()), key(index));
        }
        assert_eq!(begun.excess(), Some(key(0)));
    }

    #[test]
    fn clients_without_a_known_address_end_the_oldest_one() {
        let mut begun = Begun::new(1);
        begun.insert(HolderKey::ANONYMOUS, key(0));
        begun.insert(HolderKey::ANONYMOUS, key(1));
        assert_eq!(begun.excess(), Some(key(0)));
    }
}

//! Who has how much of a shard: a principal, or the address of a peer without one.
//!
//! A holder is counted and never asked for anything, so its name is not kept: a keyed hash of it
//! stands wherever something is held. The key is random and never leaves the shard, so that no
//! peer finds two names with one hash.

use std::hash::{BuildHasher, RandomState};

/// Names a holder on one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HolderKey(u64);

impl HolderKey {
    /// All anonymous peers of whom no address is known, together.
    pub(crate) const ANONYMOUS: HolderKey = HolderKey(0);
}

/// Makes the keys of a shard.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    hasher: RandomState,
}

/// What a key is made of, so that no principal is named like an address.
#[derive(Hash)]
enum Name<'a> {
    Principal(&'a str),
}

impl Holders {
    /// The key of a principal; of nobody in particular, that of all who are anonymous.
    pub(crate) fn key_of(&self, principal: Option<&str>) -> HolderKey {
        match principal {
            None => HolderKey::ANONYMOUS,
            Some(name) => HolderKey(self.hasher.hash_one(Name::Principal(name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HolderKey, Holders};

    #[test]
    fn a_name_has_one_key_and_no_other_name_has_it() {
        let holders = Holders::default();
        let names = [None, Some(""), Some("ann"), Some("bob"), Some("Ann")];
        for (at, name) in names.into_iter().enumerate() {
            for (other_at, other) in names.into_iter().enumerate() {
                let are_same = holders.key_of(name) == holders.key_of(other);
                assert_eq!(are_same, at == other_at, "{name:?} {other:?}");
            }
        }
        assert_eq!(holders.key_of(None), HolderKey::ANONYMOUS);
    }
}

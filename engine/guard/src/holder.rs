//! The holders of resources: principals, and the addresses of peers without one.
//!
//! A holder is only counted, so its name is not kept: a keyed hash of it is stored beside every
//! held resource. The key is random and never leaves the process, so that no peer finds two names
//! with one hash. All shards have the same key: they share the pool for offloaded work.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use crate::network::Network;

/// The key of a holder, the same on every shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HolderKey(u64);

impl HolderKey {
    /// All anonymous peers without a known address, together.
    pub const ANONYMOUS: HolderKey = HolderKey(0);

    /// The key as a number, for a process that takes over from this one. There it is the key of
    /// nobody else.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The key with this number, of a process before this one.
    #[must_use]
    pub const fn from_bits(bits: u64) -> HolderKey {
        HolderKey(bits)
    }

    /// A second key of the same holder, for work that continues what it has begun: in a queue that
    /// is fair to holders, that work does not wait behind the new work of its own holder.
    #[must_use]
    pub const fn continued(self) -> HolderKey {
        HolderKey(!self.0)
    }
}

/// Makes the keys of holders.
#[derive(Debug)]
pub struct Holders {
    hasher: RandomState,
}

impl Default for Holders {
    fn default() -> Holders {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Holders {
            hasher: HASHER.clone(),
        }
    }
}

/// The input of a key, so that no principal has the key of an address.
#[derive(Hash)]
enum Name<'a> {
    Principal(&'a str),
    Network(Network),
}

impl Holders {
    /// The key of a principal.
    pub fn of_principal(&self, name: &str) -> HolderKey {
        self.key(Name::Principal(name))
    }

    /// The key of the anonymous peers in a network.
    pub fn of_network(&self, network: Network) -> HolderKey {
        self.key(Name::Network(network))
    }

    fn key(&self, name: Name<'_>) -> HolderKey {
        HolderKey(self.hasher.hash_one(name))
    }
}

#[cfg(test)]
mod tests {
    use super::{HolderKey, Holders};
    use std::net::IpAddr;

    #[test]
    fn a_name_has_one_key_and_no_other_name_has_it() {
        let holders = Holders::default();
        let network = |text: &str| {
            let address: IpAddr = text.parse().expect("an address");
            holders.of_network(address.into())
        };
        let keys = [
            HolderKey::ANONYMOUS,
            holders.of_principal(""),
            holders.of_principal("ann"),
            holders.of_principal("Ann"),
            holders.of_principal("192.0.2.1"),
            network("192.0.2.1"),
            network("192.0.2.2"),
            network("2001:db8::1"),
            HolderKey::ANONYMOUS.continued(),
            holders.of_principal("ann").continued(),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "{at}");
        }
        let of_another_shard = Holders::default();
        assert_eq!(of_another_shard.of_principal("ann"), keys[2]);
        assert_eq!(network("192.0.2.1"), keys[5]);
    }
}

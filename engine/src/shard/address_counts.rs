//! How many connections of a shard each address has.

use std::collections::HashMap;

use crate::guard::holder::HolderKey;

/// The addresses of open connections, if they are counted.
#[derive(Debug, Default)]
pub(super) struct AddressCounts {
    /// The address of each connection, by the index of its slot, as the key of a holder: at most as
    /// many as there are connections.
    addresses: HashMap<u32, HolderKey, foldhash::fast::RandomState>,
    /// Connections of each address. The hash needs no protection against attacks: a key is a keyed
    /// hash.
    counts: HashMap<HolderKey, u32, foldhash::fast::RandomState>,
}

impl AddressCounts {
    /// Counts a connection, unless its address has `max`; returns whether it was counted.
    pub(super) fn add(&mut self, index: u32, address: HolderKey, max: u32) -> bool {
        let count = self.counts.entry(address).or_default();
        if *count >= max {
            return false;
        }
        *count += 1;
        self.addresses.insert(index, address);
        true
    }

    /// Subtracts a connection, if it was counted.
    pub(super) fn remove(&mut self, index: u32) {
        let Some(address) = self.addresses.remove(&index) else {
            return;
        };
        if let Some(count) = self.counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&address);
            }
        }
    }

    /// Whether the connection in the slot `index` is counted.
    pub(super) fn has(&self, index: u32) -> bool {
        self.addresses.contains_key(&index)
    }

    /// Whether no connection is counted.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.counts.is_empty()
    }
}

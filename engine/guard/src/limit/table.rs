//! Entries by key, with a bound. A full table evicts: a new key is never refused.

use std::collections::HashMap;

use super::LimitKey;

/// Entries among which a full table evicts the one that loses least.
const CANDIDATES: usize = 16;

/// An entry of a table.
pub(super) trait Entry {
    fn key(&self) -> LimitKey;

    /// How much the owner of the key would gain if the entry were forgotten; 0 if it is as one that
    /// was never used.
    fn loss(&self, now_ns: u64) -> u64;
}

#[derive(Debug)]
pub(super) struct Table<E> {
    max: usize,
    /// The hash needs no protection against attacks: a key is made from a keyed hash.
    places: HashMap<LimitKey, usize, foldhash::fast::RandomState>,
    /// Without holes: the last entry takes the place of one that is removed.
    entries: Vec<E>,
    /// The place that is looked at next.
    hand: usize,
}

impl<E: Entry> Table<E> {
    /// An empty table of at most `max` entries, and at least one.
    pub(super) fn new(max: usize) -> Table<E> {
        Table {
            max: max.max(1),
            places: HashMap::default(),
            entries: Vec::new(),
            hand: 0,
        }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn find(&self, key: LimitKey) -> Option<usize> {
        self.places.get(&key).copied()
    }

    pub(super) fn at(&mut self, place: usize) -> &mut E {
        &mut self.entries[place]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &E> {
        self.entries.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut E> {
        self.entries.iter_mut()
    }

    /// The place to look at next: every entry gets its turn.
    pub(super) fn next_place(&mut self) -> Option<usize> {
        let place = match self.hand < self.entries.len() {
            true => self.hand,
            false => 0,
        };
        self.hand = place + 1;
        (place < self.entries.len()).then_some(place)
    }

    /// Adds an entry. Gives its place, and the entry that was evicted for it.
    pub(super) fn insert(&mut self, entry: E, now_ns: u64) -> (usize, Option<E>) {
        if self.entries.len() < self.max {
            let place = self.entries.len();
            self.places.insert(entry.key(), place);
            self.entries.push(entry);
            return (place, None);
        }
        let mut best = (u64::MAX, 0);
        for _ in 0..CANDIDATES {
            let Some(place) = self.next_place() else {
                break;
            };
            best = best.min((self.entries[place].loss(now_ns), place));
            if best.0 == 0 {
                break;
            }
        }
        let place = best.1;
        self.places.insert(entry.key(), place);
        let evicted = std::mem::replace(&mut self.entries[place], entry);
        self.places.remove(&evicted.key());
        (place, Some(evicted))
    }

    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.entries.clear();
    }

    pub(super) fn remove(&mut self, place: usize) {
        let removed = self.entries.swap_remove(place);
        self.places.remove(&removed.key());
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(moved.key(), place);
            // It has not had its turn.
            self.hand = self.hand.min(place);
        }
    }
}

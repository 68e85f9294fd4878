//! The slots of connections, indexed by the direct descriptor that the kernel chose.
//!
//! A slot's index is the index of its socket in the ring's descriptor table, so a completion leads
//! to its connection without a lookup. The kernel hands an index out again as soon as it is free,
//! so an index alone may mean an earlier connection: a [`SlotKey`] adds the generation, which
//! changes whenever a slot is emptied. Invariant: a key finds its own value or nothing.
//!
//! Memory for the whole table is reserved at once and touched only as far as indexes were used: the
//! table never moves, and an unused slot costs address space alone. There is no free list, because
//! the kernel keeps it.

/// How many slots are made ready at a time when an index beyond the touched part is used.
const GROWTH_SLOTS: usize = 64;

/// The key of one connection for its whole life: another generation is another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotKey {
    /// Index of its direct descriptor among those of all rings of its thread, below 2^27.
    pub index: u32,
    /// The first generation of the table, 0 unless it was set, and the number of times that the
    /// slot had been emptied before this connection, modulo 2^32.
    pub generation: u32,
}

/// A table of connections; see the module's text.
#[derive(Debug)]
pub struct Slots<T> {
    entries: Vec<Entry<T>>,
    capacity: usize,
    occupied: usize,
    first_generation: u32,
}

/// The tag and the generation share eight bytes in front of the value.
#[derive(Debug)]
enum Entry<T> {
    Vacant { generation: u32 },
    Occupied { generation: u32, value: T },
}

impl<T> Slots<T> {
    /// Reserves slots for indexes below `capacity`; no memory is touched yet.
    pub fn new(capacity: u32) -> Slots<T> {
        let capacity = capacity as usize;
        Slots {
            entries: Vec::with_capacity(capacity),
            capacity,
            occupied: 0,
            first_generation: 0,
        }
    }

    /// The same table with keys that begin at `generation`: keys of an earlier table for the same
    /// indexes find nothing in this one, if its generations were far from these.
    #[must_use]
    pub fn starting_at(self, generation: u32) -> Slots<T> {
        Slots {
            first_generation: generation,
            ..self
        }
    }

    /// Moves `value` into the slot `index` and returns the key that finds it from here on.
    ///
    /// # Panics
    /// If `index` is not below the capacity or the slot is occupied: the kernel gives out an
    /// index only after its descriptor was closed, and the value leaves no later than that.
    pub fn insert_at(&mut self, index: u32, value: T) -> SlotKey {
        self.touch(index);
        let entry = &mut self.entries[index as usize];
        let generation = match *entry {
            Entry::Vacant { generation } => generation,
            Entry::Occupied { .. } => panic!("slot {index} is occupied"),
        };
        *entry = Entry::Occupied { generation, value };
        self.occupied += 1;
        SlotKey { index, generation }
    }

    /// The value of `key`, or nothing if its slot was emptied since.
    pub fn get(&self, key: SlotKey) -> Option<&T> {
        match self.entries.get(key.index as usize)? {
            Entry::Occupied { generation, value } if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// The value of `key` for changing, or nothing if its slot was emptied since.
    pub fn get_mut(&mut self, key: SlotKey) -> Option<&mut T> {
        match self.entries.get_mut(key.index as usize)? {
            Entry::Occupied { generation, value } if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// Empties the slot of `key`; the key and its copies find nothing from here on.
    pub fn remove(&mut self, key: SlotKey) -> Option<T> {
        self.get(key)?;
        let generation = key.generation.wrapping_add(1);
        let entry = &mut self.entries[key.index as usize];
        match std::mem::replace(entry, Entry::Vacant { generation }) {
            Entry::Occupied { value, .. } => {
                self.occupied -= 1;
                Some(value)
            }
            Entry::Vacant { .. } => None,
        }
    }

    /// Puts the value of `key` back that was removed: the key finds it again.
    ///
    /// # Panics
    /// If the slot was used since.
    pub fn put_back(&mut self, key: SlotKey, value: T) {
        let entry = &mut self.entries[key.index as usize];
        let generation = key.generation;
        let removed = generation.wrapping_add(1);
        assert!(
            matches!(entry, Entry::Vacant { generation } if *generation == removed),
            "slot {} was used since",
            key.index
        );
        *entry = Entry::Occupied { generation, value };
        self.occupied += 1;
    }

    /// The key of the connection that occupies `index` at present.
    pub fn key_of(&self, index: u32) -> Option<SlotKey> {
        match *self.entries.get(index as usize)? {
            Entry::Occupied { generation, .. } => Some(SlotKey { index, generation }),
            Entry::Vacant { .. } => None,
        }
    }

    /// The key of the first connection at `index` or behind it.
    pub fn first_from(&self, index: u32) -> Option<SlotKey> {
        (index..self.entries.len() as u32).find_map(|index| self.key_of(index))
    }

    /// How many slots are occupied.
    pub fn len(&self) -> usize {
        self.occupied
    }

    /// Whether no slot is occupied.
    pub fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// How many slots there are, occupied or not.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Every occupied slot in order of its index; it walks the touched part of the table.
    pub fn iter(&self) -> impl Iterator<Item = (SlotKey, &T)> {
        (0..).zip(&self.entries).filter_map(|(index, entry)| {
            let Entry::Occupied { generation, value } = entry else {
                return None;
            };
            let generation = *generation;
            Some((SlotKey { index, generation }, value))
        })
    }

    /// The key of every occupied slot in order of its index.
    pub fn keys(&self) -> impl Iterator<Item = SlotKey> {
        self.iter().map(|(key, _)| key)
    }

    /// Makes the slots up to `index` ready, within the reserved memory.
    fn touch(&mut self, index: u32) {
        let index = index as usize;
        assert!(
            index < self.capacity,
            "slot {index} exceeds capacity of {}",
            self.capacity
        );
        if index >= self.entries.len() {
            let ready = (index + 1)
                .next_multiple_of(GROWTH_SLOTS)
                .min(self.capacity);
            let generation = self.first_generation;
            self.entries
                .resize_with(ready, || Entry::Vacant { generation });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, SlotKey, Slots};
    use crate::rng::Rng;
    use std::collections::HashMap;

    #[test]
    fn a_key_of_an_earlier_table_finds_nothing() {
        let key = Slots::new(4).insert_at(2, ());
        let mut later = Slots::new(4).starting_at(1000);
        later.insert_at(2, ());
        assert_eq!(later.get(key), None);
    }

    #[test]
    fn a_value_that_is_put_back_has_its_key() {
        let mut slots = Slots::new(4);
        let key = slots.insert_at(2, "first");
        let value = slots.remove(key).expect("it is there");
        assert_eq!((slots.get(key), slots.key_of(2)), (None, None));
        slots.put_back(key, value);
        assert_eq!(
            (slots.get(key), slots.key_of(2)),
            (Some(&"first"), Some(key))
        );
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn a_key_finds_its_own_value_or_nothing() {
        let mut slots = Slots::new(4);
        let first = slots.insert_at(2, "first");
        assert_eq!(slots.get(first), Some(&"first"));
        assert_eq!(slots.remove(first), Some("first"));
        assert_eq!(slots.remove(first), None);
        let second = slots.insert_at(2, "second");
        assert_eq!(second.index, first.index);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.get(second), Some(&"second"));
        assert_eq!(slots.key_of(2), Some(second));
        assert_eq!(slots.key_of(3), None);
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn agrees_with_a_map_under_random_use() {
        let mut rng = Rng::printed();
        let mut slots = Slots::new(100);
        let mut model: HashMap<u32, (SlotKey, u64)> = HashMap::new();
        let mut gone: Vec<SlotKey> = Vec::new();
        for step in 0..20_000 {
            let index = rng.below(100) as u32;
            match model.remove(&index) {
                Some((key, value)) => {
                    assert_eq!(slots.remove(key), Some(value));
                    gone.push(key);
                }
                None => {
                    let key = slots.insert_at(index, step);
                    model.insert(index, (key, step));
                }
            }
            if let Some(key) = gone.get(rng.below(gone.len() as u64 + 1) as usize) {
                assert_eq!(slots.get(*key), None);
            }
            assert_eq!(slots.len(), model.len());
        }
        assert_eq!(slots.keys().count(), model.len());
        for (key, value) in slots.iter() {
            assert_eq!(model[&key.index], (key, *value));
        }
    }

    #[test]
    fn an_entry_adds_eight_bytes_at_most() {
        assert!(size_of::<Entry<[u64; 4]>>() <= size_of::<[u64; 4]>() + 8);
        assert!(size_of::<Entry<[u32; 4]>>() <= size_of::<[u32; 4]>() + 8);
        assert!(size_of::<Entry<Vec<u8>>>() <= size_of::<Vec<u8>>() + 8);
    }

    #[test]
    fn memory_is_reserved_once_and_touched_in_steps() {
        let mut slots = Slots::new(1_000);
        slots.insert_at(0, 0_u64);
        let base = slots.entries.as_ptr();
        assert_eq!(slots.entries.len(), super::GROWTH_SLOTS);
        slots.insert_at(999, 0);
        assert_eq!(slots.entries.len(), 1_000);
        assert_eq!(slots.entries.as_ptr(), base);
    }

    #[test]
    #[should_panic(expected = "exceeds capacity of 4")]
    fn an_index_beyond_the_capacity_is_a_bug() {
        Slots::new(4).insert_at(4, ());
    }
}

//! Entries of one kind, in the order of registration, through every change.

use std::collections::HashMap;
use std::sync::Arc;

/// Entries of one kind in the order of registration. Each has a number; numbers rise and are never
/// used again. A replacement keeps the number of the replaced entry.
#[derive(Debug)]
pub(crate) struct OrderedRegistry<P> {
    entries: Vec<(u64, Arc<P>)>,
    numbers_end: u64,
}

impl<P> OrderedRegistry<P> {
    /// The entries.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<P>> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    /// The entries with their numbers.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u64, &P)> {
        self.entries
            .iter()
            .map(|(number, entry)| (*number, &**entry))
    }

    /// Above every number that was given.
    pub(super) fn numbers_end(&self) -> u64 {
        self.numbers_end
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry at `place` in the order of registration.
    ///
    /// # Panics
    /// If there is none.
    pub(super) fn at(&self, place: usize) -> &P {
        &self.entries[place].1
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Replaces the entry that `is_it` with `entry`, or adds it at the end.
    pub(super) fn put(&mut self, is_it: impl Fn(&P) -> bool, entry: Arc<P>) {
        match self.entries.iter_mut().find(|(_, it)| is_it(it)) {
            Some((_, place)) => *place = entry,
            None => self.push(entry),
        }
    }

    /// Removes the entry that `is_it`; returns whether there was one.
    pub(super) fn remove(&mut self, is_it: impl Fn(&P) -> bool) -> bool {
        let before = self.entries.len();
        self.entries.retain(|(_, it)| !is_it(it));
        self.entries.len() < before
    }

    /// Replaces all entries that `is_one` with `fresh`: an entry of the same name keeps its place,
    /// the others go to the end.
    pub(super) fn replace(
        &mut self,
        is_one: impl Fn(&P) -> bool,
        name_of: impl Fn(&P) -> &str,
        fresh: &[Arc<P>],
    ) {
        let mut by_name: HashMap<&str, &Arc<P>> =
            fresh.iter().map(|entry| (name_of(entry), entry)).collect();
        self.entries.retain_mut(|(_, entry)| {
            if !is_one(entry) {
                return true;
            }
            let fresh = by_name.remove(name_of(entry));
            if let Some(fresh) = fresh {
                *entry = Arc::clone(fresh);
            }
            fresh.is_some()
        });
        let others = fresh
            .iter()
            .filter(|entry| by_name.contains_key(name_of(entry)));
        for entry in others {
            self.push(Arc::clone(entry));
        }
    }

    /// The same in the order of `fresh`. In another order than before all of them get new numbers,
    /// so that a client in the midst of the list may see some twice and misses none.
    pub(super) fn replace_in_order(
        &mut self,
        is_one: impl Fn(&P) -> bool,
        name_of: impl Fn(&P) -> &str,
        fresh: &[Arc<P>],
    ) {
        self.replace(&is_one, &name_of, fresh);
        let ones = self.iter().filter(|it| is_one(it));
        if ones
            .map(|it| name_of(it))
            .ne(fresh.iter().map(|it| name_of(it)))
        {
            self.entries.retain(|(_, it)| !is_one(it));
            fresh.iter().for_each(|it| self.push(Arc::clone(it)));
        }
    }

    fn push(&mut self, entry: Arc<P>) {
        self.entries.push((self.numbers_end, entry));
        self.numbers_end += 1;
    }
}

impl<P> Clone for OrderedRegistry<P> {
    fn clone(&self) -> Self {
        OrderedRegistry {
            entries: self.entries.clone(),
            numbers_end: self.numbers_end,
        }
    }
}

impl<P> FromIterator<Arc<P>> for OrderedRegistry<P> {
    fn from_iter<I: IntoIterator<Item = Arc<P>>>(entries: I) -> Self {
        let entries: Vec<_> = (0..).zip(entries).collect();
        OrderedRegistry {
            numbers_end: entries.len() as u64,
            entries,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_in_another_order_get_new_numbers() {
        let arcs = |names: &[&str]| -> Vec<Arc<String>> {
            names
                .iter()
                .map(|name| Arc::new((*name).to_owned()))
                .collect()
        };
        let mut list: OrderedRegistry<String> = arcs(&["b", "a:2"]).into_iter().collect();
        let mut put = |names: &[&str]| {
            list.replace_in_order(|it| it.starts_with("a:"), |it| it, &arcs(names));
            let found = list.numbered().map(|(number, it)| (number, it.clone()));
            found.collect::<Vec<_>>()
        };
        let named = |found: &[(u64, &str)]| -> Vec<(u64, String)> {
            found
                .iter()
                .map(|(number, it)| (*number, (*it).to_owned()))
                .collect()
        };
        assert_eq!(
            put(&["a:2", "a:3"]),
            named(&[(0, "b"), (1, "a:2"), (2, "a:3")])
        );
        let first = named(&[(0, "b"), (4, "a:1"), (5, "a:2"), (6, "a:3")]);
        assert_eq!(put(&["a:1", "a:2", "a:3"]), first);
        assert_eq!(
            put(&["a:1", "a:3"]),
            named(&[(0, "b"), (4, "a:1"), (6, "a:3")])
        );
    }

    #[test]
    fn a_replaced_entry_keeps_its_place_and_its_number() {
        let arcs = |names: &[&str]| -> Vec<Arc<String>> {
            names
                .iter()
                .map(|name| Arc::new((*name).to_owned()))
                .collect()
        };
        let mut list: OrderedRegistry<String> =
            arcs(&["a:1", "b", "a:2", "a:3"]).into_iter().collect();
        list.replace(
            |name| name.starts_with("a:"),
            |name| name,
            &arcs(&["a:4", "a:3", "a:1"]),
        );
        let found: Vec<(u64, &str)> = list
            .numbered()
            .map(|(number, name)| (number, name.as_str()))
            .collect();
        assert_eq!(found, [(0, "a:1"), (1, "b"), (3, "a:3"), (4, "a:4")]);
        assert_eq!(list.numbers_end(), 5);
    }
}

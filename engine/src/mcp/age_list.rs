//! A list of the entries of a slab in insertion order, oldest first.
//!
//! The links are in the entries, so an entry leaves from anywhere in the list at once and the list
//! owns no memory. An entry can be in as many lists as it has [`Links`]; each call names them by
//! the function that finds them in an entry.
//!
//! Invariant, kept by the caller: an entry is in a list through given links at most once, and
//! leaves the list before it leaves the slab.

use slab::Slab;

/// An entry's neighbours in a list.
#[derive(Debug)]
pub(super) struct Links {
    older: u32,
    newer: u32,
}

impl Links {
    /// The links of an entry that is in no list.
    pub(super) const LOOSE: Links = Links {
        older: NONE,
        newer: NONE,
    };
}

/// Finds the links of one list in an entry.
pub(super) type LinksOf<T> = fn(&mut T) -> &mut Links;

/// A list; see the module's text.
#[derive(Debug)]
pub(super) struct AgeList {
    oldest: u32,
    newest: u32,
}

/// End of a list.
const NONE: u32 = u32::MAX;

impl AgeList {
    /// An empty list.
    pub(super) const fn new() -> AgeList {
        AgeList {
            oldest: NONE,
            newest: NONE,
        }
    }

    /// The entry that has been in the list longest.
    pub(super) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// Puts the entry `index` at the newest end.
    pub(super) fn push<T>(&mut self, entries: &mut Slab<T>, index: u32, links: LinksOf<T>) {
        let newest = self.newest;
        *links(&mut entries[index as usize]) = Links {
            older: newest,
            newer: NONE,
        };
        match newest {
            NONE => self.oldest = index,
            _ => links(&mut entries[newest as usize]).newer = index,
        }
        self.newest = index;
    }

    /// Takes the entry `index` out.
    pub(super) fn remove<T>(&mut self, entries: &mut Slab<T>, index: u32, links: LinksOf<T>) {
        let Links { older, newer } =
            std::mem::replace(links(&mut entries[index as usize]), Links::LOOSE);
        match older {
            NONE => self.oldest = newer,
            _ => links(&mut entries[older as usize]).newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            _ => links(&mut entries[newer as usize]).older = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AgeList, Links, LinksOf};
    use corelane_io::rng::Rng;
    use slab::Slab;

    const LINKS: LinksOf<Links> = |links| links;

    /// Takes everything out, oldest first.
    fn drained(mut list: AgeList, entries: &mut Slab<Links>) -> Vec<u32> {
        let mut order = Vec::new();
        while let Some(index) = list.oldest() {
            list.remove(entries, index, LINKS);
            order.push(index);
        }
        assert_eq!(list.newest, super::NONE);
        order
    }

    #[test]
    fn agrees_with_a_vector_under_random_use() {
        let mut rng = Rng::printed();
        for _ in 0..50 {
            let mut entries: Slab<Links> = Slab::new();
            let mut list = AgeList::new();
            let mut model: Vec<u32> = Vec::new();
            for _ in 0..200 {
                let at = rng.below(model.len() as u64 + 1) as usize;
                match (rng.below(3), model.get(at).copied()) {
                    (0, Some(index)) => {
                        list.remove(&mut entries, index, LINKS);
                        entries.remove(index as usize);
                        model.remove(at);
                    }
                    (1, Some(index)) => {
                        list.remove(&mut entries, index, LINKS);
                        list.push(&mut entries, index, LINKS);
                        model.remove(at);
                        model.push(index);
                    }
                    _ => {
                        let index = entries.insert(Links::LOOSE) as u32;
                        list.push(&mut entries, index, LINKS);
                        model.push(index);
                    }
                }
                assert_eq!(list.oldest(), model.first().copied());
            }
            assert_eq!(drained(list, &mut entries), model);
        }
    }
}

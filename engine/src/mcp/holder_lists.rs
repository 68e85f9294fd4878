//! Lists of the entries of a slab, one for each holder that has any, oldest first.
//!
//! They own no memory beside their table; see [`AgeList`] for the caller's duties.

use std::collections::HashMap;

use slab::Slab;

use super::age_list::{AgeList, LinksOf};
use crate::guard::holder::HolderKey;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct HolderLists {
    /// None is empty. The hash needs no protection against attacks: a key is a keyed hash.
    lists: HashMap<HolderKey, AgeList, foldhash::fast::RandomState>,
}

impl HolderLists {
    /// The entry that has been in the list of `holder` longest.
    pub(super) fn oldest(&self, holder: HolderKey) -> Option<u32> {
        self.lists.get(&holder)?.oldest()
    }

    /// Puts the entry `index` at the newest end of the list of `holder`.
    pub(super) fn push<T>(
        &mut self,
        holder: HolderKey,
        (entries, index): (&mut Slab<T>, u32),
        links: LinksOf<T>,
    ) {
        let list = self.lists.entry(holder).or_insert(AgeList::new());
        list.push(entries, index, links);
    }

    /// Removes the entry `index` from the list of `holder`, which has it.
    pub(super) fn remove<T>(
        &mut self,
        holder: HolderKey,
        (entries, index): (&mut Slab<T>, u32),
        links: LinksOf<T>,
    ) {
        let Some(list) = self.lists.get_mut(&holder) else {
            return;
        };
        list.remove(entries, index, links);
        if list.oldest().is_none() {
            self.lists.remove(&holder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HolderLists;
    use crate::guard::holder::Holders;
    use crate::mcp::age_list::{Links, LinksOf};
    use slab::Slab;

    const LINKS: LinksOf<Links> = |links| links;

    #[test]
    fn each_holder_has_a_list_for_as_long_as_something_is_in_it() {
        let holders = Holders::default();
        let [ann, bob] = ["ann", "bob"].map(|name| holders.of_principal(name));
        let mut entries: Slab<Links> = Slab::new();
        let mut lists = HolderLists::default();
        let indexes: Vec<u32> = (0..4)
            .map(|_| entries.insert(Links::LOOSE) as u32)
            .collect();
        for (holder, index) in [ann, bob, ann, ann].into_iter().zip(&indexes) {
            lists.push(holder, (&mut entries, *index), LINKS);
        }
        assert_eq!(lists.oldest(ann), Some(indexes[0]));
        assert_eq!(lists.oldest(bob), Some(indexes[1]));
        for index in [0, 3] {
            lists.remove(ann, (&mut entries, indexes[index]), LINKS);
        }
        assert_eq!(lists.oldest(ann), Some(indexes[2]));
        lists.remove(ann, (&mut entries, indexes[2]), LINKS);
        lists.remove(bob, (&mut entries, indexes[1]), LINKS);
        assert_eq!((lists.oldest(ann), lists.oldest(bob)), (None, None));
        assert!(lists.lists.is_empty());
    }
}

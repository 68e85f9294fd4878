//! Principals with sessions on this shard: the number of each, and the idle ones among them.
//!
//! A session refers to its part in here by four bytes, and an anonymous one has none; the name of a
//! principal is kept once. A principal without sessions is removed, so there are never more of them
//! than sessions.
//!
//! Invariant, kept by the table of sessions: the list of a principal has exactly its sessions
//! without waiting clients, the least recently used one first. So the one to evict is found at
//! once, for any number of busy ones.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use slab::Slab;

use crate::mcp::age_list::{AgeList, Links, LinksOf};

/// The key of a principal, valid while it has sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PrincipalKey(u32);

/// The key of a session's entry here, valid while the session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnedKey(u32);

impl OwnedKey {
    /// Of every session that is anonymous.
    pub(super) const NOBODY: OwnedKey = OwnedKey(u32::MAX);
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Principals {
    /// Places in `entries`. Peers choose the names of principals, so the hash must withstand chosen
    /// names.
    by_name: HashTable<u32>,
    hasher: RandomState,
    entries: Slab<Principal>,
    owned: Slab<Owned>,
}

#[derive(Debug)]
struct Principal {
    name: Box<str>,
    sessions: usize,
    /// Places in `owned`.
    idle: AgeList,
}

/// A session of a principal.
#[derive(Debug)]
struct Owned {
    /// Its index in the table of sessions.
    session: u32,
    principal: u32,
    /// Its place among the idle ones.
    links: Links,
}

const LINKS: LinksOf<Owned> = |owned| &mut owned.links;

impl Principals {
    /// The principal of this name, if it has sessions.
    pub(super) fn find(&self, name: &str) -> Option<PrincipalKey> {
        let is_it = |place: &u32| *self.entries[*place as usize].name == *name;
        let found = self.by_name.find(self.hasher.hash_one(name), is_it);
        found.map(|place| PrincipalKey(*place))
    }

    /// Whether a session is of the principal called `name`.
    pub(super) fn is_of(&self, key: OwnedKey, name: &str) -> bool {
        let owned = self.owned.get(key.0 as usize);
        owned.is_some_and(|owned| *self.entries[owned.principal as usize].name == *name)
    }

    /// The name of the principal of a session, if it has one.
    pub(super) fn name_of(&self, key: OwnedKey) -> Option<&str> {
        let owned = self.owned.get(key.0 as usize)?;
        Some(&self.entries[owned.principal as usize].name)
    }

    /// How many sessions a principal has.
    pub(super) fn sessions_of(&self, key: PrincipalKey) -> usize {
        self.entries[key.0 as usize].sessions
    }

    /// The index of the least recently used session of a principal without a waiting client.
    pub(super) fn oldest_idle(&self, key: PrincipalKey) -> Option<u32> {
        let oldest = self.entries[key.0 as usize].idle.oldest()?;
        Some(self.owned[oldest as usize].session)
    }

    /// Counts an idle session of the principal called `name`, which will be at `session` in its
    /// table.
    pub(super) fn join(&mut self, name: Option<&str>, session: u32) -> OwnedKey {
        let Some(name) = name else {
            return OwnedKey::NOBODY;
        };
        let PrincipalKey(principal) = self.find(name).unwrap_or_else(|| self.insert(name));
        self.entries[principal as usize].sessions += 1;
        let key = OwnedKey(self.owned.insert(Owned {
            session,
            principal,
            links: Links::LOOSE,
        }) as u32);
        self.push_idle(key);
        key
    }

    /// Removes a session that is in no list; its principal may be removed with it.
    pub(super) fn leave(&mut self, key: OwnedKey) {
        let Some(owned) = self.owned.try_remove(key.0 as usize) else {
            return;
        };
        let entry = &mut self.entries[owned.principal as usize];
        entry.sessions -= 1;
        if entry.sessions > 0 {
            return;
        }
        let entry = self.entries.remove(owned.principal as usize);
        let hash = self.hasher.hash_one(&*entry.name);
        let found = self.by_name.find_entry(hash, |it| *it == owned.principal);
        if let Ok(found) = found {
            found.remove();
        }
    }

    /// Puts an idle session behind the others of its principal.
    pub(super) fn push_idle(&mut self, key: OwnedKey) {
        if let Some(owned) = self.owned.get(key.0 as usize) {
            let idle = &mut self.entries[owned.principal as usize].idle;
            idle.push(&mut self.owned, key.0, LINKS);
        }
    }

    /// Removes a session that was idle from the list of its principal.
    pub(super) fn remove_idle(&mut self, key: OwnedKey) {
        if let Some(owned) = self.owned.get(key.0 as usize) {
            let idle = &mut self.entries[owned.principal as usize].idle;
            idle.remove(&mut self.owned, key.0, LINKS);
        }
    }

    fn insert(&mut self, name: &str) -> PrincipalKey {
        let place = self.entries.insert(Principal {
            name: name.into(),
            sessions: 0,
            idle: AgeList::new(),
        }) as u32;
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.by_name
            .insert_unique(hasher.hash_one(name), place, |place| {
                hasher.hash_one(&*entries[*place as usize].name)
            });
        PrincipalKey(place)
    }

    /// How many principals there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.by_name.len(), self.entries.len());
        self.entries.len()
    }

    /// How many places for principals there are.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity() + self.owned.capacity()
    }
}

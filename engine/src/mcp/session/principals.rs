//! Principals with sessions on this shard: how many each has, and which of them are idle.
//!
//! A session names its principal by four bytes; the name itself is kept once. A principal without
//! sessions is forgotten, so there are never more of them than sessions.
//!
//! Invariant, kept by the table of sessions: the list of a principal has all of its sessions that
//! nobody waits for and no others, the least recently used one first. So the one that makes room
//! is found at once, however many are busy.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use slab::Slab;

use super::Session;
use crate::mcp::age_list::{AgeList, LinksOf};

/// Names a principal for as long as it has sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PrincipalKey(u32);

impl PrincipalKey {
    /// Of everybody who is anonymous.
    pub(super) const NOBODY: PrincipalKey = PrincipalKey(u32::MAX);

    fn place(self) -> usize {
        self.0 as usize
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Principals {
    /// Places in `entries`. Principals are named by others, so the hash is one that withstands
    /// chosen names.
    by_name: HashTable<u32>,
    hasher: RandomState,
    entries: Slab<Principal>,
}

#[derive(Debug)]
struct Principal {
    name: Box<str>,
    sessions: usize,
    idle: AgeList,
}

/// A session's place among the idle ones of its principal.
const IN_PRINCIPAL: LinksOf<Session> = |session| &mut session.in_principal;

impl Principals {
    /// Whether every session is anonymous.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The principal of this name, if it has sessions.
    pub(super) fn find(&self, name: &str) -> Option<PrincipalKey> {
        let is_it = |place: &u32| *self.entries[*place as usize].name == *name;
        let found = self.by_name.find(self.hasher.hash_one(name), is_it);
        found.map(|place| PrincipalKey(*place))
    }

    /// Whether `key` is of `name`, or of nobody if that is nobody's.
    pub(super) fn is_called(&self, key: PrincipalKey, name: Option<&str>) -> bool {
        match name {
            None => key == PrincipalKey::NOBODY,
            Some(name) => {
                let entry = self.entries.get(key.place());
                entry.is_some_and(|entry| *entry.name == *name)
            }
        }
    }

    /// How many sessions a principal has.
    pub(super) fn sessions_of(&self, key: PrincipalKey) -> usize {
        self.entries[key.place()].sessions
    }

    /// The least recently used session of a principal that nobody waits for.
    pub(super) fn oldest_idle(&self, key: PrincipalKey) -> Option<u32> {
        self.entries[key.place()].idle.oldest()
    }

    /// Counts a session of the principal called `name`, which is not in a list yet.
    pub(super) fn join(&mut self, name: Option<&str>) -> PrincipalKey {
        let Some(name) = name else {
            return PrincipalKey::NOBODY;
        };
        let key = self.find(name).unwrap_or_else(|| self.insert(name));
        self.entries[key.place()].sessions += 1;
        key
    }

    /// Counts a session no more, which is in no list; its principal may be forgotten with it.
    pub(super) fn leave(&mut self, key: PrincipalKey) {
        if key == PrincipalKey::NOBODY {
            return;
        }
        let entry = &mut self.entries[key.place()];
        entry.sessions -= 1;
        if entry.sessions > 0 {
            return;
        }
        let entry = self.entries.remove(key.place());
        let hash = self.hasher.hash_one(&*entry.name);
        let found = self.by_name.find_entry(hash, |place| *place == key.0);
        if let Ok(found) = found {
            found.remove();
        }
    }

    /// Puts a session that is idle behind the others of its principal.
    pub(super) fn push_idle(&mut self, sessions: &mut Slab<Session>, index: u32) {
        let key = sessions[index as usize].principal;
        if key != PrincipalKey::NOBODY {
            let idle = &mut self.entries[key.place()].idle;
            idle.push(sessions, index, IN_PRINCIPAL);
        }
    }

    /// Takes a session that was idle out of the list of its principal.
    pub(super) fn remove_idle(&mut self, sessions: &mut Slab<Session>, index: u32) {
        let key = sessions[index as usize].principal;
        if key != PrincipalKey::NOBODY {
            let idle = &mut self.entries[key.place()].idle;
            idle.remove(sessions, index, IN_PRINCIPAL);
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
        self.entries.capacity()
    }
}

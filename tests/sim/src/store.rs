//! The modelled store: linearizable for each key, with one revision for all of them.

use std::collections::BTreeMap;

use corelane_cluster::vocabulary::{Expect, Key, PutResult, ReadFrom, ReadResult};

use crate::rng::Rng;

/// Microseconds by which an answer of any replica may be old.
const STALE_US: u64 = 10_000_000;
/// Versions of a key that stale reads may return.
const VERSIONS_MAX: usize = 4;
/// Microseconds of the longest way of an answer to a read.
const READ_US: u64 = 1_000_000;

/// One write of a key.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// When it was written.
    pub at_us: u64,
    /// Its revision.
    pub revision: u64,
    /// Nothing for a delete marker.
    pub value: Option<Vec<u8>>,
    expires_us: u64,
}

/// The store. Delays and losses are the world's.
#[derive(Default)]
pub(crate) struct Store {
    keys: BTreeMap<Key, Vec<Version>>,
    revision: u64,
    /// It has no leader: it takes no writes and answers stale reads only.
    pub is_leaderless: bool,
}

impl Store {
    /// The last version of a key now.
    pub(crate) fn last(&mut self, key: &Key, now_us: u64) -> Option<&Version> {
        let versions = self.keys.get_mut(key)?;
        let last = versions.last()?;
        if last.value.is_some() && last.expires_us != 0 && last.expires_us <= now_us {
            self.revision += 1;
            let marker = Version {
                at_us: last.expires_us,
                revision: self.revision,
                value: None,
                expires_us: 0,
            };
            versions.push(marker);
        }
        versions.last()
    }

    /// When a key expired, if it has a delete marker, or had one that was written over just now: a
    /// node may have read it before.
    pub(crate) fn expired_us(&mut self, key: &Key, now_us: u64) -> Option<u64> {
        self.last(key, now_us)?;
        let mut versions = self.keys.get(key)?.iter().rev();
        let is_new = |it: &&Version| it.value.is_some() && it.at_us + READ_US > now_us;
        let seen = versions.find(|it| !is_new(it));
        seen.filter(|it| it.value.is_none()).map(|it| it.at_us)
    }

    /// Writes a key if its condition holds.
    pub(crate) fn put(
        &mut self,
        now_us: u64,
        key: Key,
        (expect, ttl_s): (Expect, u64),
        value: Vec<u8>,
    ) -> PutResult {
        let revision = self.last(&key, now_us).map(|version| version.revision);
        let holds = match expect {
            Expect::Anything => true,
            Expect::Absent => revision.is_none(),
            Expect::Revision(expected) => revision == Some(expected),
        };
        if !holds {
            return PutResult::Conflict;
        }
        self.revision += 1;
        let versions = self.keys.entry(key).or_default();
        versions.push(Version {
            at_us: now_us,
            revision: self.revision,
            value: Some(value),
            expires_us: if ttl_s == 0 {
                0
            } else {
                now_us + ttl_s * 1_000_000
            },
        });
        if versions.len() > VERSIONS_MAX {
            versions.remove(0);
        }
        PutResult::Written(self.revision)
    }

    /// Reads a key. Without a leader only `Any` has an answer.
    pub(crate) fn read(
        &mut self,
        now_us: u64,
        key: &Key,
        from: ReadFrom,
        rng: &mut Rng,
    ) -> ReadResult {
        let current = self.last(key, now_us).cloned();
        let version = match from {
            ReadFrom::Leader if self.is_leaderless => return ReadResult::Failed,
            ReadFrom::Leader => current,
            ReadFrom::Any if rng.chance(500) => current,
            ReadFrom::Any => {
                let as_of_us = now_us.saturating_sub(rng.below(STALE_US));
                let versions = self.keys.get(key).map_or(&[][..], Vec::as_slice);
                let old = versions.iter().rev().find(|it| it.at_us <= as_of_us);
                old.cloned()
            }
        };
        match version {
            None => ReadResult::Absent,
            Some(Version {
                revision, value, ..
            }) => match value {
                Some(value) => ReadResult::Found(revision, value),
                None => ReadResult::Marker(revision),
            },
        }
    }

    /// Forgets sessions and their life, as a bucket in memory does. Its revisions start again.
    pub(crate) fn wipe(&mut self) {
        self.purge();
        self.revision = 0;
    }

    /// Deletes sessions and their life. Revisions go on.
    pub(crate) fn purge(&mut self) {
        let is_kept = |key: &Key| matches!(key, Key::Node(_) | Key::Level);
        self.keys.retain(|key, _| is_kept(key));
    }
}

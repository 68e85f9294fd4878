//! Sessions of other processes: where they were last found, and how often they are used here.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::Process;
use crate::vocabulary::SessionKey;

/// Known owners of sessions, bounded. The oldest entry goes first.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    known: BTreeMap<SessionKey, Known>,
    by_age: BTreeSet<(u64, SessionKey)>,
}

#[derive(Debug)]
struct Known {
    owner: Process,
    since_us: u64,
    uses: u8,
    uses_since_us: u64,
}

impl Owners {
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The owner of a session, if it was learned within `age_us`.
    pub(crate) fn of(&self, key: SessionKey, now_us: u64, age_us: u64) -> Option<Process> {
        let known = self.known.get(&key)?;
        (now_us - known.since_us < age_us).then_some(known.owner)
    }

    pub(crate) fn insert(&mut self, key: SessionKey, owner: Process, now_us: u64, max: usize) {
        let uses = self
            .known
            .get(&key)
            .map(|old| (old.uses, old.uses_since_us));
        self.remove(key);
        if self.known.len() >= max
            && let Some((_, oldest)) = self.by_age.first().copied()
        {
            self.remove(oldest);
        }
        let (uses, uses_since_us) = uses.unwrap_or((0, now_us));
        let known = Known {
            owner,
            since_us: now_us,
            uses,
            uses_since_us,
        };
        self.known.insert(key, known);
        self.by_age.insert((now_us, key));
    }

    pub(crate) fn remove(&mut self, key: SessionKey) {
        if let Some(old) = self.known.remove(&key) {
            self.by_age.remove(&(old.since_us, key));
        }
    }

    /// Counts a use; the uses within the window so far, this one included.
    pub(crate) fn count_use(&mut self, key: SessionKey, now_us: u64, window_us: u64) -> u8 {
        let Some(known) = self.known.get_mut(&key) else {
            return 0;
        };
        if now_us - known.uses_since_us >= window_us {
            (known.uses, known.uses_since_us) = (0, now_us);
        }
        known.uses = known.uses.saturating_add(1);
        known.uses
    }

    /// Starts the count of uses anew.
    pub(crate) fn forget_uses(&mut self, key: SessionKey) {
        if let Some(known) = self.known.get_mut(&key) {
            known.uses = 0;
        }
    }
}

//! The entries that a policy is compared with.

use std::sync::Arc;

use super::plan::Plan;
use crate::guard::policy::{ArgumentSchema, Entries, EntryKind};

/// The entries of a plan and those that pins refused: the rules of a policy may name both.
pub(crate) struct RegisteredEntries(pub(crate) Arc<Plan>);

impl RegisteredEntries {
    fn refused(&self, kind: EntryKind) -> impl Iterator<Item = &str> {
        let refused = self.0.refused().iter().filter(move |(it, _)| *it == kind);
        refused.map(|(_, name)| &**name)
    }
}

impl Entries for RegisteredEntries {
    fn count(&self, kind: EntryKind) -> usize {
        self.0.count(kind) + self.refused(kind).count()
    }

    fn name(&self, kind: EntryKind, place: usize) -> &str {
        match place.checked_sub(self.0.count(kind)) {
            None => self.0.name(kind, place),
            Some(place) => self
                .refused(kind)
                .nth(place)
                .expect("it is below the count"),
        }
    }

    fn arguments(&self, place: usize) -> Option<Vec<ArgumentSchema>> {
        let is_served = place < self.0.count(EntryKind::Tool);
        is_served.then(|| self.0.arguments(place)).flatten()
    }
}

//! The snapshot of the moment, where the control thread leaves it and all shards take it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::guard::access::{Access, Issuers};

/// The place of the snapshot. A shard looks at one number each turn.
#[derive(Debug)]
pub(crate) struct AccessBoard {
    generation: AtomicU64,
    access: Mutex<Arc<Access>>,
    issuers: Arc<dyn Issuers>,
}

impl AccessBoard {
    /// A board with the first snapshot, and the recipient of requests to issuers.
    pub(crate) fn new(access: Arc<Access>, issuers: Arc<dyn Issuers>) -> AccessBoard {
        AccessBoard {
            generation: AtomicU64::new(access.generation),
            access: Mutex::new(access),
            issuers,
        }
    }

    /// Leaves another snapshot. The caller wakes the shards.
    pub(crate) fn publish(&self, access: Arc<Access>) {
        let generation = access.generation;
        *self.access.lock().unwrap_or_else(PoisonError::into_inner) = access;
        self.generation.store(generation, Ordering::Release);
    }

    /// The snapshot, unless it is the one with this generation.
    pub(super) fn after(&self, generation: u64) -> Option<Arc<Access>> {
        if self.generation.load(Ordering::Acquire) == generation {
            return None;
        }
        let access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&access))
    }

    /// The present snapshot.
    pub(super) fn present(&self) -> Arc<Access> {
        let access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&access)
    }

    /// Takes requests to issuers.
    pub(super) fn issuers(&self) -> &dyn Issuers {
        &*self.issuers
    }
}

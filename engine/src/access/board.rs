//! The snapshot of the moment, where the control thread leaves it and all shards take it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::guard::access::{Access, IssuerRequest, Issuers, RequestState};

/// The place of the snapshot. A shard looks at one number each turn.
#[derive(Debug, Default)]
pub(crate) struct AccessBoard {
    generation: AtomicU64,
    /// There before any shard starts.
    access: Mutex<Option<Arc<Access>>>,
    issuers: OnceLock<Arc<dyn Issuers>>,
}

impl AccessBoard {
    /// Sets the recipient of requests to issuers.
    pub(crate) fn set_issuers(&self, issuers: Arc<dyn Issuers>) {
        let is_first = self.issuers.set(issuers).is_ok();
        debug_assert!(is_first, "a server has one control thread");
    }

    /// Leaves another snapshot. The caller wakes the shards.
    pub(crate) fn publish(&self, access: Arc<Access>) {
        let generation = access.generation;
        *self.lock() = Some(access);
        self.generation.store(generation, Ordering::Release);
    }

    /// The snapshot, unless it is the one with this generation.
    pub(super) fn after(&self, generation: u64) -> Option<Arc<Access>> {
        if self.generation.load(Ordering::Acquire) == generation {
            return None;
        }
        self.lock().clone()
    }

    /// The present snapshot.
    ///
    /// # Panics
    /// If there was none yet: a server that cannot make one does not start.
    pub(crate) fn present(&self) -> Arc<Access> {
        let access = self.lock().clone();
        access.expect("the first snapshot comes before the shards")
    }

    /// Makes a request to an issuer.
    pub(super) fn request(&self, request: IssuerRequest) -> RequestState {
        let issuers = self.issuers.get();
        issuers.map_or(RequestState::Refused, |issuers| issuers.request(request))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Access>>> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

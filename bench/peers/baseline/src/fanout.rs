//! A broadcast to many streams, for comparison with that of a real server.
//!
//! The first requests, as many as streams are wanted, each open a stream on their connection,
//! whatever they say. Each request after that is answered, and every stream gets an event of 200
//! bytes. Several rings take part, each on its own thread, because the limit of open files bounds
//! the table of each.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The state that the rings share.
#[derive(Debug)]
pub(crate) struct Fanout {
    streams_wanted: AtomicU32,
    rings: Mutex<Vec<RawFd>>,
}

impl Fanout {
    pub(crate) fn new(streams: u32) -> Self {
        Self {
            streams_wanted: AtomicU32::new(streams),
            rings: Mutex::default(),
        }
    }

    /// Adds a ring, which lives as long as the process.
    pub(crate) fn join(&self, ring: RawFd) {
        self.lock().push(ring);
    }

    pub(crate) fn rings(&self) -> Vec<RawFd> {
        self.lock().clone()
    }

    /// Whether one more stream is wanted; it counts as open then.
    pub(crate) fn is_stream_wanted(&self) -> bool {
        let left = |wanted: u32| wanted.checked_sub(1);
        let (order, count) = (Ordering::Relaxed, &self.streams_wanted);
        count.fetch_update(order, order, left).is_ok()
    }

    /// A stream was closed: another one is wanted.
    pub(crate) fn closed(&self) {
        self.streams_wanted.fetch_add(1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RawFd>> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

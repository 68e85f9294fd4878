//! The lives of the shards of a server: each shard learns here that another one died.
//!
//! Invariant: a shard is marked as down before its ring is closed, and its death is recorded after
//! it has given back everything. So whatever was on its way to the dead shard when others see the
//! death is lost or is handled by the next life.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

/// The lives of all shards of a server.
#[derive(Debug)]
pub(crate) struct Lives {
    /// Deaths of all shards; one load a turn finds out that there was none.
    deaths: AtomicU32,
    shards: Box<[Life]>,
}

#[derive(Debug, Default)]
struct Life {
    deaths: AtomicU32,
    is_down: AtomicBool,
}

impl Lives {
    /// `shards` shards that have not died.
    pub(crate) fn new(shards: usize) -> Lives {
        Lives {
            deaths: AtomicU32::new(0),
            shards: (0..shards).map(|_| Life::default()).collect(),
        }
    }

    /// Records the death of a shard; the others see it once they are woken.
    pub(crate) fn record_death(&self, shard: u16) {
        let life = &self.shards[usize::from(shard)];
        life.deaths.fetch_add(1, Ordering::Relaxed);
        self.deaths.fetch_add(1, Ordering::Release);
    }

    /// The number of deaths of all shards.
    pub(super) fn deaths(&self) -> u32 {
        self.deaths.load(Ordering::Acquire)
    }

    /// How often a shard has died.
    pub(super) fn deaths_of(&self, shard: u16) -> u32 {
        let life = &self.shards[usize::from(shard)];
        life.deaths.load(Ordering::Relaxed)
    }

    /// How often each shard has died.
    pub(super) fn deaths_of_each(&self) -> impl Iterator<Item = u32> {
        let shards = self.shards.iter();
        shards.map(|life| life.deaths.load(Ordering::Relaxed))
    }

    /// Whether a shard has ended, and no life of it handles messages at present.
    pub(super) fn is_down(&self, shard: u16) -> bool {
        let life = &self.shards[usize::from(shard)];
        life.is_down.load(Ordering::Relaxed)
    }

    fn set_down(&self, shard: u16, is_down: bool) {
        let life = &self.shards[usize::from(shard)];
        life.is_down.store(is_down, Ordering::Relaxed);
    }
}

/// The announcement that a shard runs, and of the ring through which others wake it. Dropping it
/// takes it back: the number of the ring's descriptor may soon be that of another file.
#[derive(Debug)]
pub(super) struct Announcement {
    lives: Arc<Lives>,
    ring_fds: Arc<[AtomicI32]>,
    shard: u16,
}

impl Announcement {
    /// Announces that `shard` runs on the ring `ring_fd`.
    pub(super) fn new(
        (lives, ring_fds): (&Arc<Lives>, &Arc<[AtomicI32]>),
        shard: u16,
        ring_fd: RawFd,
    ) -> Announcement {
        ring_fds[usize::from(shard)].store(ring_fd, Ordering::Release);
        lives.set_down(shard, false);
        Announcement {
            lives: Arc::clone(lives),
            ring_fds: Arc::clone(ring_fds),
            shard,
        }
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        self.lives.set_down(self.shard, true);
        self.ring_fds[usize::from(self.shard)].store(-1, Ordering::Release);
    }
}

//! The lives of the shards of a server: each shard learns here that another one died.
//!
//! Invariant: a shard is marked as down before its ring is closed, and its death is recorded after
//! it has given back everything. So a message that was on its way to the dead shard when others see
//! the death is lost, or is handled by the next life.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use crate::connection::readiness::Readiness;

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
        self.life(shard).deaths.fetch_add(1, Ordering::Relaxed);
        self.deaths.fetch_add(1, Ordering::Release);
    }

    /// The number of deaths of all shards.
    pub(super) fn deaths(&self) -> u32 {
        self.deaths.load(Ordering::Acquire)
    }

    /// How often a shard has died.
    pub(super) fn deaths_of(&self, shard: u16) -> u32 {
        self.life(shard).deaths.load(Ordering::Relaxed)
    }

    /// How often each shard has died.
    pub(super) fn deaths_of_each(&self) -> impl Iterator<Item = u32> {
        let shards = self.shards.iter();
        shards.map(|life| life.deaths.load(Ordering::Relaxed))
    }

    /// Whether a shard has ended, and no life of it handles messages at present.
    pub(super) fn is_down(&self, shard: u16) -> bool {
        self.life(shard).is_down.load(Ordering::Relaxed)
    }

    fn set_down(&self, shard: u16, is_down: bool) {
        self.life(shard).is_down.store(is_down, Ordering::Relaxed);
    }

    fn life(&self, shard: u16) -> &Life {
        &self.shards[usize::from(shard)]
    }
}

/// The distance of the first generations of two lives of a shard. Keys of slots differ as long as
/// no slot of the earlier life was used so often: its last messages find no connection of the next.
const GENERATIONS_PER_LIFE: u32 = 0x9e37_79b9;

/// The lives of all shards, as far as one of them has seen them.
#[derive(Debug)]
pub(super) struct Deaths {
    lives: Arc<Lives>,
    shard: u16,
    /// Of all shards together.
    seen: u32,
    /// Of each shard.
    seen_of: Vec<u32>,
}

impl Deaths {
    /// Of the shard `shard`, which starts now.
    pub(super) fn new(lives: &Arc<Lives>, shard: u16) -> Deaths {
        Deaths {
            lives: Arc::clone(lives),
            shard,
            seen: lives.deaths(),
            seen_of: lives.deaths_of_each().collect(),
        }
    }

    /// The generation that the slots of this life of the shard begin with.
    pub(super) fn first_generation(&self) -> u32 {
        let deaths = self.lives.deaths_of(self.shard);
        deaths.wrapping_mul(GENERATIONS_PER_LIFE)
    }

    /// Whether the shard has died before.
    pub(super) fn is_reborn(&self) -> bool {
        self.lives.deaths_of(self.shard) > 0
    }

    /// The lives of all shards.
    #[cfg(test)]
    pub(super) fn lives(&self) -> &Arc<Lives> {
        &self.lives
    }

    /// Whether a shard takes no requests.
    pub(super) fn is_down(&self, shard: u16) -> bool {
        self.lives.is_down(shard)
    }

    /// Whether a shard died since the last look at them. One load.
    pub(super) fn has_unseen(&self) -> bool {
        self.lives.deaths() != self.seen
    }

    /// The other shards that have died since the last call.
    pub(super) fn take(&mut self) -> Vec<u16> {
        self.seen = self.lives.deaths();
        let seen_of = self.seen_of.iter_mut().zip(self.lives.deaths_of_each());
        let changed = (0..).zip(seen_of).filter_map(|(shard, (seen, now))| {
            let before = std::mem::replace(seen, now);
            (before != now && shard != self.shard).then_some(shard)
        });
        changed.collect()
    }
}

/// The announcement that a shard runs, and of the ring through which others wake it. Dropping it
/// takes it back: the number of the ring's descriptor may soon be that of another file.
#[derive(Debug)]
pub(super) struct Announcement {
    lives: Arc<Lives>,
    ring_fds: Arc<[AtomicI32]>,
    readiness: Arc<Readiness>,
    shard: u16,
}

impl Announcement {
    /// Announces that `shard` runs on the ring `ring_fd`.
    pub(super) fn new(
        (lives, ring_fds, readiness): (&Arc<Lives>, &Arc<[AtomicI32]>, &Arc<Readiness>),
        shard: u16,
        ring_fd: RawFd,
    ) -> Announcement {
        ring_fds[usize::from(shard)].store(ring_fd, Ordering::Release);
        lives.set_down(shard, false);
        readiness.shards_down.fetch_sub(1, Ordering::Relaxed);
        Announcement {
            lives: Arc::clone(lives),
            ring_fds: Arc::clone(ring_fds),
            readiness: Arc::clone(readiness),
            shard,
        }
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        self.readiness.shards_down.fetch_add(1, Ordering::Relaxed);
        self.lives.set_down(self.shard, true);
        self.ring_fds[usize::from(self.shard)].store(-1, Ordering::Release);
    }
}

//! The answers to shards that request the keys of an issuer, without a message: nothing blocks.
//!
//! A gate is open when the control thread would begin a fetch, or has begun one. Behind it stands
//! the table of ids that a fresh set lacked, as hashes in plain cells. A cell is overwritten by a
//! later id that falls on it, which costs a fetch at most.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use corelane_guard::access::RequestState;

/// How many ids are remembered for one issuer.
pub const ABSENT_MAX: usize = 1024;
/// How long an id is remembered, in seconds.
const ABSENT_S: u64 = 300;
/// The bits of a cell that have the second in which it ends; the others have the hash.
const SECOND_BITS: u32 = 32;
const SECOND_MASK: u64 = (1 << SECOND_BITS) - 1;

/// The gate of one issuer. All shards and the control thread use it.
#[derive(Debug)]
pub struct Gate {
    is_fetching: AtomicBool,
    opens_ms: AtomicU64,
    absent: Box<[AtomicU64]>,
    /// With a random key, so that no client can make ids that fall on one cell.
    hasher: std::hash::RandomState,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate {
            is_fetching: AtomicBool::new(false),
            opens_ms: AtomicU64::new(0),
            absent: (0..ABSENT_MAX).map(|_| AtomicU64::new(0)).collect(),
            hasher: std::hash::RandomState::new(),
        }
    }
}

impl Gate {
    /// Whether a request for a key leads to a fetch or joins one, is refused because a fresh set
    /// lacked the id, or comes too early. Without an id it could be any key.
    pub fn state_of(&self, kid: Option<&str>, now_ms: u64) -> RequestState {
        let may_fetch = self.is_fetching.load(Ordering::Relaxed)
            || self.opens_ms.load(Ordering::Relaxed) <= now_ms;
        match kid {
            Some(kid) if self.is_absent(kid, now_ms) => RequestState::Refused,
            _ if may_fetch => RequestState::Pending,
            _ => RequestState::Busy,
        }
    }

    /// Follows the schedule of the issuer.
    pub fn update(&self, is_fetching: bool, opens_ms: u64) {
        self.is_fetching.store(is_fetching, Ordering::Relaxed);
        self.opens_ms.store(opens_ms, Ordering::Relaxed);
    }

    /// Remembers that a fresh set lacks an id.
    pub fn remember_absent(&self, kid: &str, now_ms: u64) {
        let (cell, hash) = self.cell(kid);
        let until_s = (now_ms / 1000 + ABSENT_S) & SECOND_MASK;
        cell.store(hash | until_s, Ordering::Relaxed);
    }

    fn is_absent(&self, kid: &str, now_ms: u64) -> bool {
        let (cell, hash) = self.cell(kid);
        let value = cell.load(Ordering::Relaxed);
        value & !SECOND_MASK == hash && now_ms / 1000 < value & SECOND_MASK
    }

    /// The cell of an id, and the bits of its hash that the cell has.
    fn cell(&self, kid: &str) -> (&AtomicU64, u64) {
        let hash = self.hasher.hash_one(kid);
        let place = (hash & SECOND_MASK) as usize % self.absent.len();
        (&self.absent[place], hash & !SECOND_MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::{ABSENT_MAX, Gate};
    use corelane_guard::access::RequestState::{Busy, Pending, Refused};

    #[test]
    fn a_gate_is_open_while_a_fetch_runs_and_after_its_interval() {
        let gate = Gate::default();
        assert_eq!(gate.state_of(Some("a"), 0), Pending);
        gate.update(true, 30_000);
        assert_eq!(gate.state_of(Some("a"), 5), Pending);
        gate.update(false, 30_000);
        assert_eq!(gate.state_of(Some("a"), 29_999), Busy);
        assert_eq!(gate.state_of(Some("a"), 30_000), Pending);
    }

    #[test]
    fn absent_ids_are_refused_for_their_time() {
        let gate = Gate::default();
        gate.remember_absent("a", 1_500);
        for (kid, now_ms, state) in [
            (Some("a"), 1_500, Refused),
            (None, 1_500, Pending),
            (Some("b"), 1_500, Pending),
            (Some(""), 1_500, Pending),
            (Some("a"), 300_999, Refused),
            (Some("a"), 301_000, Pending),
        ] {
            assert_eq!(gate.state_of(kid, now_ms), state, "{kid:?} {now_ms}");
        }
    }

    #[test]
    fn many_ids_take_no_more_memory() {
        let gate = Gate::default();
        for number in 0..100_000 {
            gate.remember_absent(&number.to_string(), 0);
        }
        assert_eq!(gate.absent.len(), ABSENT_MAX);
        let refused = |number: &i32| gate.state_of(Some(&number.to_string()), 0) == Refused;
        let last = (99_000..100_000).filter(refused).count();
        assert!(last > ABSENT_MAX / 3, "{last}");
        // No id that was not remembered is refused: hashes have 32 bits besides their place.
        assert_eq!((100_000..200_000).filter(refused).count(), 0);
    }
}

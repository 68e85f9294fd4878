//! Calls that stay open at upstreams of the legacy era while their modern clients answer.
//!
//! The name of such a call goes out sealed with the requests of the upstream, and comes back with
//! the answers. It serves once. Invariants: no more than [`ParkedLimits::calls_max`] calls, of one
//! holder no more than [`ParkedLimits::per_holder_max`], and none for longer than its time.

use std::collections::{HashMap, VecDeque};

use corelane_gateway::relay::ParkedCall;

use crate::guard::holder::HolderKey;

/// The bounds of parked calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ParkedLimits {
    /// Most calls.
    pub(crate) calls_max: usize,
    /// Most calls of one holder.
    pub(crate) per_holder_max: usize,
}

/// Why a name leads to no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParkedFault {
    /// It was used before, or its time is over.
    Used,
    /// It is of another life of the shard, or of another server: the call is lost.
    Lost,
}

/// The parked calls of a shard. `T` is what is kept of one.
#[derive(Debug)]
pub(super) struct Parked<T> {
    life: u64,
    shard: u16,
    last_number: u64,
    calls: HashMap<u64, (HolderKey, T), foldhash::fast::RandomState>,
    /// How many calls each holder has.
    counts: HashMap<HolderKey, usize, foldhash::fast::RandomState>,
    /// In the order in which their times end, unless the time was longer before.
    due: VecDeque<(u64, u64)>,
}

impl<T> Parked<T> {
    /// No calls of this shard. `life` is random, and another one in each life of the shard.
    pub(super) fn new(shard: u16, life: u64) -> Parked<T> {
        Parked {
            life,
            shard,
            last_number: 0,
            calls: HashMap::default(),
            counts: HashMap::default(),
            due: VecDeque::new(),
        }
    }

    /// Whether another call of `holder` may be parked.
    pub(super) fn has_room(&self, holder: HolderKey, limits: ParkedLimits) -> bool {
        let count = self.counts.get(&holder).copied().unwrap_or_default();
        self.calls.len() < limits.calls_max && count < limits.per_holder_max
    }

    /// Parks a call until `due_ms`. That it may be parked was checked before.
    pub(super) fn insert(&mut self, holder: HolderKey, call: T, due_ms: u64) -> ParkedCall {
        while let Some((_, oldest)) = self.due.front()
            && !self.calls.contains_key(oldest)
        {
            self.due.pop_front();
        }
        self.last_number += 1;
        let number = self.last_number;
        self.calls.insert(number, (holder, call));
        *self.counts.entry(holder).or_default() += 1;
        self.due.push_back((due_ms, number));
        ParkedCall {
            life: self.life,
            shard: self.shard,
            number,
        }
    }

    /// Takes a call out, whose client has answered.
    ///
    /// # Errors
    /// There is none, for this reason.
    pub(super) fn take(&mut self, named: ParkedCall) -> Result<T, ParkedFault> {
        if named.life != self.life {
            return Err(ParkedFault::Lost);
        }
        self.remove(named.number).ok_or(ParkedFault::Used)
    }

    /// A call that is parked.
    pub(super) fn get(&self, named: ParkedCall) -> Option<&T> {
        let is_of_this_life = named.life == self.life;
        let found = self.calls.get(&named.number).filter(|_| is_of_this_life);
        found.map(|(_, call)| call)
    }

    /// Takes out the next call whose time is over.
    pub(super) fn next_expired(&mut self, now_ms: u64) -> Option<T> {
        loop {
            self.due.front().filter(|(due_ms, _)| *due_ms <= now_ms)?;
            let (_, number) = self.due.pop_front()?;
            if let Some(call) = self.remove(number) {
                return Some(call);
            }
        }
    }

    /// No time is over before this, in milliseconds since the shard started.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        self.due.front().map(|(due_ms, _)| *due_ms)
    }

    fn remove(&mut self, number: u64) -> Option<T> {
        let (holder, call) = self.calls.remove(&number)?;
        if let Some(count) = self.counts.get_mut(&holder) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&holder);
            }
        }
        Some(call)
    }
}

#[cfg(test)]
mod tests {
    use corelane_gateway::relay::ParkedCall;

    use super::{Parked, ParkedFault, ParkedLimits};
    use crate::guard::holder::{HolderKey, Holders};

    const LIMITS: ParkedLimits = ParkedLimits {
        calls_max: 3,
        per_holder_max: 2,
    };

    #[test]
    fn a_name_serves_once_and_in_its_own_life() {
        let mut parked = Parked::new(2, 7);
        let named = parked.insert(HolderKey::ANONYMOUS, "a", 10);
        assert_eq!((named.life, named.shard), (7, 2));
        let of_another = ParkedCall { life: 8, ..named };
        assert_eq!(parked.take(of_another), Err(ParkedFault::Lost));
        assert_eq!(parked.take(named), Ok("a"));
        assert_eq!(parked.take(named), Err(ParkedFault::Used));
        let again = parked.insert(HolderKey::ANONYMOUS, "a", 10);
        assert_ne!(again.number, named.number);
        assert_eq!(parked.take(named), Err(ParkedFault::Used));
    }

    #[test]
    fn no_holder_and_no_shard_has_more_than_its_share() {
        let holders = Holders::default();
        let [ann, ben] = ["ann", "ben"].map(|name| holders.of_principal(name));
        let mut parked = Parked::new(0, 1);
        let first = parked.insert(ann, 1, 10);
        assert!(parked.has_room(ann, LIMITS));
        parked.insert(ann, 2, 10);
        assert!(!parked.has_room(ann, LIMITS) && parked.has_room(ben, LIMITS));
        parked.insert(ben, 3, 10);
        assert!(!parked.has_room(ben, LIMITS), "the shard is full");
        assert_eq!(parked.take(first), Ok(1));
        assert!(parked.has_room(ann, LIMITS) && parked.has_room(ben, LIMITS));
    }

    #[test]
    fn calls_end_with_their_times() {
        let mut parked = Parked::new(0, 1);
        let first = parked.insert(HolderKey::ANONYMOUS, 1, 10);
        let second = parked.insert(HolderKey::ANONYMOUS, 2, 20);
        parked.insert(HolderKey::ANONYMOUS, 3, 30);
        assert_eq!(parked.next_deadline_ms(), Some(10));
        assert_eq!(parked.next_expired(9), None);
        assert_eq!(parked.next_expired(10), Some(1));
        assert_eq!(parked.take(first), Err(ParkedFault::Used));
        assert_eq!(parked.take(second), Ok(2));
        assert_eq!(parked.next_expired(40), Some(3));
        assert_eq!(parked.next_expired(40), None);
        assert!(parked.due.is_empty() && parked.counts.is_empty());
    }
}

//! Rates that all shards keep together.
//!
//! Each bucket has a home shard. The home takes from it directly; any other shard spends a lease,
//! which is a part of the credit, and requests the next one when little is left. While the bucket
//! is empty, the home books leases of 50 ms of the rate ahead, one after the other, for itself too:
//! each shard gets its turn, however many requests reach the home.
//!
//! No request waits for a lease. Until the home reports that the bucket is empty, a shard without a
//! lease spends its share of the burst ahead, reports that as a debt with its next message, and
//! again until the home confirms it.
//!
//! Invariant: for each key, the requests admitted in any time are at most the burst, the rate for
//! that time, and for each shard a share as a lease and a share as a debt. A share is 50 ms of the
//! rate, or the burst divided by the number of shards if that is more. It holds too when messages
//! are late or lost and when shards stall: a lease leaves the bucket before it is sent. A shard
//! that dies takes its buckets with it, and those of its next life begin empty, less a share for
//! each other shard; so a death adds at most one more share for each.

mod entry;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use self::entry::Entry;
use super::bucket::{Bucket, Rate};
use super::table::Table;
use super::{LimitKey, MS, SECOND};
use crate::holder::HolderKey;

/// The time of the rate that one lease has the requests of.
const LEASE_NS: u64 = 50 * MS;
/// After this time another try may find the lease that a refused one had none of.
const RETRY_NS: u64 = 20 * MS;
/// After this time without a request, a lease goes back.
const IDLE_NS: u64 = SECOND;
/// A lease that did not come for so long is requested again.
const LOST_NS: u64 = SECOND;

/// The result of spending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spend {
    /// The request is within its limit.
    Admitted,
    /// It is not.
    Refused {
        /// When another try may pass, in milliseconds: at least 1.
        retry_after_ms: u64,
    },
}

/// A message between the shards of a server about one bucket. The rate goes with it: the receiver
/// may have another configuration for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseMessage {
    /// The bucket.
    pub key: LimitKey,
    /// Its rate.
    pub rate: Rate,
    /// The contents.
    pub kind: LeaseKind,
}

/// The contents of a message. Numbers are requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseKind {
    /// To the home of the bucket.
    Request {
        /// Distinguishes the requests of a shard.
        number: u32,
        /// The size of the lease that is wanted.
        wanted: u32,
        /// Spent without a lease.
        owed: u32,
        /// Leased and not needed.
        returned: u32,
        /// When these were granted, by the clock of the home.
        granted_ns: u64,
    },
    /// From the home.
    Grant {
        /// That of the request. A lease of a request that was given up goes back: a shard has no
        /// two leases of one key.
        number: u32,
        /// The size of the lease.
        granted: u32,
        /// After how many nanoseconds it may be spent.
        wait_ns: u64,
        /// When it was granted, by the clock of the home.
        granted_ns: u64,
        /// The debt that is settled.
        settled: u32,
    },
}

/// The buckets and leases of one shard.
#[derive(Debug)]
pub struct Limiter {
    shard: u16,
    shards: u16,
    /// When this life of the shard began, if there was one before.
    reborn_ns: Option<u64>,
    table: Table<Entry>,
    messages: VecDeque<(u16, LeaseMessage)>,
    requests: u32,
    swept_ns: u64,
}

impl Limiter {
    /// The limiter of one of `shards` shards, with at most `buckets_max` buckets and leases.
    pub fn new((shard, shards): (u16, u16), buckets_max: usize) -> Limiter {
        Limiter {
            shard,
            shards,
            reborn_ns: None,
            table: Table::new(buckets_max),
            messages: VecDeque::new(),
            requests: 0,
            swept_ns: 0,
        }
    }

    /// The shard takes the place of one that died at `now_ns` or before: its buckets begin empty.
    pub fn follow_death(&mut self, now_ns: u64) {
        self.reborn_ns = Some(now_ns);
        // Other numbers than those of the life before.
        self.requests = LimitKey::new(now_ns, HolderKey::ANONYMOUS).0 as u32;
    }

    /// Spends one request.
    pub fn spend(&mut self, key: LimitKey, rate: Rate, now_ns: u64) -> Spend {
        let home = key.home(self.shards);
        let place = self.place_of(key, rate, now_ns);
        let entry = self.table.at(place);
        entry.used_ns = now_ns;
        if entry.has_lease(now_ns) {
            entry.leased -= 1;
            if entry.is_low() && home != self.shard {
                self.request_lease(place, now_ns);
            }
            return Spend::Admitted;
        }
        match home == self.shard {
            true => spend_at_home(entry, now_ns),
            false => self.spend_away(place, now_ns),
        }
    }

    /// Takes back a request that was admitted and is not made, because another limit refuses it.
    pub fn give_back(&mut self, key: LimitKey, rate: Rate, now_ns: u64) {
        let place = self.place_of(key, rate, now_ns);
        let is_home = key.home(self.shards) == self.shard;
        let entry = self.table.at(place);
        match is_home {
            true => entry.bucket.give_back(rate, 1),
            false if entry.owed > 0 => entry.owed -= 1,
            false => entry.leased += 1,
        }
    }

    /// Handles a message of another shard.
    pub fn handle_message(&mut self, from: u16, message: LeaseMessage, now_ns: u64) {
        match message.kind {
            LeaseKind::Request { .. } => self.handle_request(from, message, now_ns),
            LeaseKind::Grant { .. } => self.handle_grant(from, message, now_ns),
        }
    }

    /// The next message to another shard.
    pub fn poll_message(&mut self) -> Option<(u16, LeaseMessage)> {
        self.messages.pop_front()
    }

    /// Returns leases that were not used for a second, and forgets full buckets. Each call looks at
    /// as many as are due since the one before; all of them are looked at in a second.
    pub fn handle_time(&mut self, now_ns: u64) {
        let since_ns = now_ns.saturating_sub(self.swept_ns).min(SECOND);
        let looks = self.table.len() as u64 * since_ns / SECOND;
        if looks == 0 && !self.table.is_empty() {
            return;
        }
        self.swept_ns = now_ns;
        for _ in 0..looks {
            let Some(place) = self.table.next_place() else {
                return;
            };
            if now_ns.saturating_sub(self.table.at(place).used_ns) > IDLE_NS {
                self.end_idle(place, now_ns);
            }
        }
    }

    /// Another shard has died: the answers of that life do not come any more.
    pub fn handle_shard_gone(&mut self, dead: u16) {
        let shards = self.shards;
        for entry in self.table.iter_mut() {
            if entry.key.home(shards) == dead {
                entry.requested = None;
            }
        }
    }

    /// How many buckets and leases there are.
    pub fn count(&self) -> usize {
        self.table.len()
    }

    fn spend_away(&mut self, place: usize, now_ns: u64) -> Spend {
        let entry = self.table.at(place);
        if entry.leased > 0 {
            return Spend::refused(entry.valid_ns - now_ns);
        }
        let may_owe = entry.may_owe && entry.owed < share_of(entry.rate, self.shards);
        entry.owed += u32::from(may_owe);
        self.request_lease(place, now_ns);
        match may_owe {
            true => Spend::Admitted,
            false => Spend::refused(RETRY_NS),
        }
    }

    /// Requests a lease, unless one is on its way.
    fn request_lease(&mut self, place: usize, now_ns: u64) {
        let entry = self.table.at(place);
        if !entry.is_pending(now_ns) {
            let share = share_of(entry.rate, self.shards);
            self.requests = self.requests.wrapping_add(1);
            entry.requested = Some((now_ns, self.requests));
            let kind = LeaseKind::Request {
                number: self.requests,
                wanted: share.saturating_sub(entry.leased),
                owed: entry.owed,
                returned: 0,
                granted_ns: 0,
            };
            let (home, message) = (entry.key.home(self.shards), entry.message(kind));
            self.messages.push_back((home, message));
        }
    }

    fn handle_request(&mut self, from: u16, message: LeaseMessage, now_ns: u64) {
        let LeaseMessage { key, rate, kind } = message;
        let LeaseKind::Request {
            number,
            wanted,
            owed,
            returned,
            granted_ns,
        } = kind
        else {
            return;
        };
        let share = share_of(rate, self.shards);
        let place = self.place_of(key, rate, now_ns);
        let entry = self.table.at(place);
        entry.used_ns = now_ns;
        entry.end_lease(returned, granted_ns);
        if returned > 0 && entry.valid_ns > now_ns {
            // The home need not wait for the lease that it booked while there was no credit.
            let booked = std::mem::take(&mut entry.leased);
            entry.end_lease(booked, entry.granted_ns);
        }
        if owed > 0 {
            entry.begin_use(now_ns);
            entry.bucket.book(rate, owed, now_ns);
        }
        if wanted > 0 {
            entry.shared_until_ns = now_ns + IDLE_NS;
        }
        if wanted + owed > 0 {
            let (granted, wait_ns) = entry.lease(wanted.min(share), now_ns);
            let kind = LeaseKind::Grant {
                number,
                granted,
                wait_ns,
                granted_ns: now_ns,
                settled: owed,
            };
            let message = entry.message(kind);
            self.messages.push_back((from, message));
        }
    }

    fn handle_grant(&mut self, from: u16, message: LeaseMessage, now_ns: u64) {
        let LeaseMessage { key, rate, kind } = message;
        let LeaseKind::Grant {
            number,
            granted,
            wait_ns,
            granted_ns,
            settled,
        } = kind
        else {
            return;
        };
        let Some(place) = self.table.find(key) else {
            return self.return_lease(from, message, granted);
        };
        let share = share_of(rate, self.shards);
        let entry = self.table.at(place);
        entry.may_owe = wait_ns == 0;
        entry.owed = entry.owed.saturating_sub(settled);
        if entry
            .requested
            .is_none_or(|(_, requested)| requested != number)
        {
            return self.return_lease(from, message, granted);
        }
        entry.requested = None;
        // A lease that waits would keep the requests waiting that may be spent now.
        let mut taken = 0;
        if wait_ns == 0 || entry.is_low() {
            taken = granted.min(share.saturating_sub(entry.leased));
            if entry.leased == 0 {
                (entry.valid_ns, entry.granted_ns) = (0, granted_ns);
            }
            entry.valid_ns = entry.valid_ns.max(now_ns + wait_ns);
            entry.leased += taken;
        }
        if entry.owed > 0 {
            // Spent while the message was on its way: the other shards must not count on it.
            self.request_lease(place, now_ns);
        }
        self.return_lease(from, message, granted - taken);
    }

    /// Gives back a part of the lease that came with a message.
    fn return_lease(&mut self, home: u16, message: LeaseMessage, returned: u32) {
        if let LeaseKind::Grant { granted_ns, .. } = message.kind
            && returned > 0
        {
            let kind = LeaseKind::Request {
                number: 0,
                wanted: 0,
                owed: 0,
                returned,
                granted_ns,
            };
            let message = LeaseMessage { kind, ..message };
            self.messages.push_back((home, message));
        }
    }

    /// Gives up the lease of an entry, and the entry once it is as one that was never used.
    fn end_idle(&mut self, place: usize, now_ns: u64) {
        let entry = self.table.at(place);
        let home = entry.key.home(self.shards);
        if entry.is_pending(now_ns) {
            return;
        }
        entry.requested = None;
        let returned = std::mem::take(&mut entry.leased);
        if home == self.shard {
            entry.end_lease(returned, entry.granted_ns);
            if entry.bucket.full_after_ns(now_ns) == 0 {
                self.table.remove(place);
            }
            return;
        }
        let (owed, message) = (entry.owed, entry.settlement(returned));
        if owed > 0 {
            // The entry stays until the home has settled the debt.
            entry.requested = Some((now_ns, 0));
        } else if entry.valid_ns <= now_ns {
            self.table.remove(place);
        }
        self.messages.extend(message.map(|message| (home, message)));
    }

    /// The place of an entry, which is made if there is none.
    fn place_of(&mut self, key: LimitKey, rate: Rate, now_ns: u64) -> usize {
        if let Some(place) = self.table.find(key) {
            return place;
        }
        let mut entry = Entry::new(key, rate, now_ns);
        if let Some(reborn_ns) = self.reborn_ns {
            // Leases of the life before are still to be spent.
            let others = u32::from(self.shards - 1);
            entry.bucket = Bucket::empty(rate, reborn_ns);
            entry
                .bucket
                .book(rate, others * share_of(rate, self.shards), reborn_ns);
            entry.may_owe = false;
        }
        let (place, evicted) = self.table.insert(entry, now_ns);
        let evicted = evicted.filter(|evicted| evicted.key.home(self.shards) != self.shard);
        if let Some(message) = evicted.and_then(|evicted| evicted.settlement(evicted.leased)) {
            self.messages
                .push_back((message.key.home(self.shards), message));
        }
        place
    }
}

/// Takes from the bucket itself. While other shards have leases of it, the home takes turns with
/// them, with leases of its own.
fn spend_at_home(entry: &mut Entry, now_ns: u64) -> Spend {
    if entry.leased > 0 {
        return Spend::refused(entry.valid_ns - now_ns);
    }
    entry.begin_use(now_ns);
    if entry.bucket.take(entry.rate, now_ns) {
        return Spend::Admitted;
    }
    if now_ns >= entry.shared_until_ns {
        return Spend::refused(entry.bucket.wait_ns(entry.rate, now_ns));
    }
    let (leased, wait_ns) = entry.lease(lease_of(entry.rate), now_ns);
    entry.leased = leased;
    (entry.valid_ns, entry.granted_ns) = (now_ns + wait_ns, now_ns);
    Spend::refused(wait_ns)
}

/// The most requests of a lease, and of a debt.
fn share_of(rate: Rate, shards: u16) -> u32 {
    lease_of(rate).max(rate.burst().div_ceil(u32::from(shards)))
}

/// The requests of a lease that is booked ahead.
fn lease_of(rate: Rate) -> u32 {
    rate.requests_in(LEASE_NS).max(1)
}

impl Spend {
    fn refused(wait_ns: u64) -> Spend {
        Spend::Refused {
            retry_after_ms: wait_ns.div_ceil(MS).max(1),
        }
    }
}

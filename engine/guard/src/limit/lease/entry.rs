//! One key of a shard: the bucket if the shard is its home, and the lease.

use super::{LOST_NS, LeaseKind, LeaseMessage, lease_of};
use crate::limit::LimitKey;
use crate::limit::bucket::{Bucket, Rate};
use crate::limit::table;

/// The state of one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) key: LimitKey,
    pub(super) rate: Rate,
    /// At the home only.
    pub(super) bucket: Bucket,
    /// Requests that may be spent, from `valid_ns` on.
    pub(super) leased: u32,
    pub(super) valid_ns: u64,
    /// When these were granted, by the clock of the home.
    pub(super) granted_ns: u64,
    /// Requests that were spent before there was a lease.
    pub(super) owed: u32,
    /// Whether requests may be spent before there is a lease: the bucket had credit when the home
    /// last reported, or it has not been used.
    pub(super) may_owe: bool,
    /// When a lease was requested that has not come, and the number of the request.
    pub(super) requested: Option<(u64, u32)>,
    /// At the home: other shards take part until then.
    pub(super) shared_until_ns: u64,
    /// At the home: when the bucket was full for the last time.
    pub(super) in_use_since_ns: u64,
    pub(super) used_ns: u64,
}

impl Entry {
    pub(super) fn new(key: LimitKey, rate: Rate, now_ns: u64) -> Entry {
        Entry {
            key,
            rate,
            bucket: Bucket::default(),
            leased: 0,
            valid_ns: 0,
            granted_ns: 0,
            owed: 0,
            may_owe: true,
            requested: None,
            shared_until_ns: 0,
            in_use_since_ns: now_ns,
            used_ns: now_ns,
        }
    }

    /// Whether there is a lease that may be spent.
    pub(super) fn has_lease(&self, now_ns: u64) -> bool {
        self.leased > 0 && self.valid_ns <= now_ns
    }

    /// Whether the lease is nearly spent, so that the next one is due.
    pub(super) fn is_low(&self) -> bool {
        self.leased <= lease_of(self.rate) / 4
    }

    /// Whether a lease is on its way.
    pub(super) fn is_pending(&self, now_ns: u64) -> bool {
        let is_recent = |(since_ns, _): (u64, u32)| now_ns.saturating_sub(since_ns) < LOST_NS;
        self.requested.is_some_and(is_recent)
    }

    /// Notes whether the bucket is full, before something is taken from it.
    pub(super) fn begin_use(&mut self, now_ns: u64) {
        if self.bucket.full_after_ns(now_ns) == 0 {
            self.in_use_since_ns = now_ns;
        }
    }

    /// Takes a lease back. One from before the bucket was full again would give credit twice: the
    /// bucket would be full without it too.
    pub(super) fn end_lease(&mut self, returned: u32, granted_ns: u64) {
        if granted_ns >= self.in_use_since_ns {
            self.bucket.give_back(self.rate, returned);
        }
    }

    /// Takes a lease out of the bucket: a part of the credit, or else 50 ms of the rate ahead.
    /// Gives its size, and after how many nanoseconds it is valid. After a lease of nothing, that
    /// is when the bucket has credit.
    pub(super) fn lease(&mut self, wanted: u32, now_ns: u64) -> (u32, u64) {
        self.begin_use(now_ns);
        let granted = match self.bucket.credit(self.rate, now_ns) {
            0 => wanted.min(lease_of(self.rate)),
            credit => wanted.min(credit),
        };
        let wait_ns = match granted {
            0 => self.bucket.wait_ns(self.rate, now_ns),
            _ => self.bucket.book(self.rate, granted, now_ns),
        };
        (granted, wait_ns)
    }

    pub(super) fn message(&self, kind: LeaseKind) -> LeaseMessage {
        LeaseMessage {
            key: self.key,
            rate: self.rate,
            kind,
        }
    }

    /// The message that gives a lease back and reports the debt, if there is any of them.
    pub(super) fn settlement(&self, returned: u32) -> Option<LeaseMessage> {
        let owed = self.owed;
        let kind = LeaseKind::Request {
            number: 0,
            wanted: 0,
            owed,
            returned,
            granted_ns: self.granted_ns,
        };
        (owed + returned > 0).then(|| self.message(kind))
    }
}

impl table::Entry for Entry {
    fn key(&self) -> LimitKey {
        self.key
    }

    /// In nanoseconds of the rate.
    fn loss(&self, now_ns: u64) -> u64 {
        let blocked_ns = self.valid_ns.saturating_sub(now_ns);
        let taken_ns = self.bucket.full_after_ns(now_ns);
        let owed_ns = self.rate.time_of(self.owed);
        blocked_ns.max(taken_ns).saturating_add(owed_ns)
    }
}

//! The rates and quotas of one shard, in the order in which a request meets them.
//!
//! A server calls [`ShardLimits::admit_request`] once the client is known, and
//! [`ShardLimits::admit_call`] when the policy permits a call. It sends the messages of
//! [`ShardLimits::poll_message`] after each of these and after [`ShardLimits::handle_time`].
//!
//! A request that a limit refuses takes nothing from the limits before it.

mod limited;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use limited::{LimitName, Limited};

use super::bucket::Rate;
use super::file::Limits;
use super::lease::{LeaseMessage, Limiter, Spend};
use super::quota::{Quota, QuotaMessage, QuotaOwner, Quotas, Snapshot, Use};
use super::{LimitKey, SECOND};
use crate::holder::{HolderKey, Holders};

/// The start of the name of a tenant among the owners of quotas. No method of authentication has
/// this name, so no principal is a tenant.
const TENANT: &str = "tenant:";

/// The client that a request is from.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The key of its principal, such as `jwt:corp:alice`; an anonymous client has none.
    pub principal: Option<&'a str>,
    /// The issuer of its identity, and the tenant: two issuers may have tenants of one name.
    pub tenant: Option<(&'a str, &'a str)>,
    /// Its holder: that of the principal, or else that of its source.
    pub holder: HolderKey,
}

/// A message between the limits of two shards of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitMessage {
    /// About a rate.
    Lease(LeaseMessage),
    /// About a quota.
    Quota(QuotaMessage),
}

/// The limits of one shard.
#[derive(Debug)]
pub struct ShardLimits {
    limits: Arc<Limits>,
    holders: Holders,
    limiter: Limiter,
    quotas: Quotas,
    /// The rates that a request takes from, while it meets them.
    taken: Vec<(LimitName, LimitKey, Rate)>,
    second: u64,
}

impl ShardLimits {
    /// The limits on one of `shards` shards. Each of its tables has at most `buckets_max` entries.
    pub fn new(
        (shard, shards): (u16, u16),
        limits: Arc<Limits>,
        buckets_max: usize,
    ) -> ShardLimits {
        ShardLimits {
            holders: Holders::default(),
            limiter: Limiter::new((shard, shards), buckets_max),
            quotas: Quotas::new((shard, shards), buckets_max),
            taken: Vec::new(),
            second: 0,
            limits,
        }
    }

    /// The shard takes the place of one that died.
    pub fn follow_death(&mut self, now_ns: u64) {
        self.limiter.follow_death(now_ns);
    }

    /// Sets the limits of another configuration. Buckets of limits that are the same stay as they
    /// are.
    pub fn configure(&mut self, limits: Arc<Limits>) {
        self.limits = limits;
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Admits a request by the rate of its client and of the server. Pings, cancellations and
    /// answers are not requests in this sense.
    ///
    /// # Errors
    /// The limit that refuses it.
    pub fn admit_request(&mut self, client: Client<'_>, now_ns: u64) -> Result<(), Limited> {
        self.take_request(client);
        self.spend(now_ns)
    }

    /// Admits a request for a new session of a client.
    ///
    /// # Errors
    /// The limit that refuses it.
    pub fn admit_session(&mut self, client: Client<'_>, now_ns: u64) -> Result<(), Limited> {
        self.take_request(client);
        self.take(LimitName::Sessions, self.limits.sessions, client.holder);
        self.spend(now_ns)
    }

    /// Admits a call by the limits of its tool, if it is one of a tool, and by the quota of its
    /// client: `bytes` are those of its request.
    ///
    /// # Errors
    /// The limit that refuses it.
    pub fn admit_call(
        &mut self,
        client: Client<'_>,
        tool: Option<&str>,
        bytes: usize,
        now_ns: u64,
    ) -> Result<(), Limited> {
        self.taken.clear();
        let limits = Arc::clone(&self.limits);
        for limit in tool.into_iter().flat_map(|tool| limits.tools.of(tool)) {
            let holder = match limit.is_per_principal {
                true => client.holder,
                false => HolderKey::ANONYMOUS,
            };
            let key = LimitKey::new(limit, holder);
            self.taken.push((LimitName::Tool, key, limit.rate));
        }
        self.spend(now_ns)?;
        let Some(quota) = limits.quota.as_ref() else {
            return Ok(());
        };
        let spent = self.spend_quota(client, (quota.is_per_tenant, quota.quota), bytes, now_ns);
        spent.map_err(|retry_after_ms| {
            self.give_back(self.taken.len(), now_ns);
            Limited {
                limit: LimitName::Quota,
                retry_after_ms,
            }
        })
    }

    /// Handles a message of another shard.
    pub fn handle_message(&mut self, from: u16, message: LimitMessage, now_ns: u64) {
        match message {
            LimitMessage::Lease(message) => self.limiter.handle_message(from, message, now_ns),
            LimitMessage::Quota(message) => self.quotas.handle_message(from, message, now_ns),
        }
    }

    /// The next message to another shard.
    pub fn poll_message(&mut self) -> Option<(u16, LimitMessage)> {
        if let Some((to, message)) = self.limiter.poll_message() {
            return Some((to, LimitMessage::Lease(message)));
        }
        let (to, message) = self.quotas.poll_message()?;
        Some((to, LimitMessage::Quota(message)))
    }

    /// To be called in each turn, with the time since 1970 in seconds.
    pub fn handle_time(&mut self, now_ns: u64, unix_s: u64) {
        self.limiter.handle_time(now_ns);
        let second = now_ns / SECOND;
        if second != self.second || self.quotas.day() == 0 {
            self.second = second;
            self.quotas.handle_time(now_ns, unix_s);
        }
    }

    /// Another shard has died.
    pub fn handle_shard_gone(&mut self, dead: u16) {
        self.limiter.handle_shard_gone(dead);
    }

    /// The sums of quotas of which this shard is the home, with their day: see
    /// [`Quotas::snapshot`].
    pub fn snapshot(&self) -> (u64, String) {
        (self.quotas.day(), self.quotas.snapshot())
    }

    /// Takes over those sums of a snapshot of which this shard is the home. A snapshot of another
    /// day has none. To be called after [`ShardLimits::handle_time`].
    pub fn restore(&mut self, snapshot: &Snapshot<'_>) {
        if snapshot.day == self.quotas.day() {
            for (sum, name) in &snapshot.owners {
                let key = self.owner_key(name);
                self.quotas.restore(*sum, QuotaOwner { name, key });
            }
        }
    }

    fn take_request(&mut self, client: Client<'_>) {
        let Limits {
            principal,
            source,
            global,
            ..
        } = *self.limits;
        let (name, rate) = match client.principal {
            Some(_) => (LimitName::Principal, principal),
            None => (LimitName::Source, source),
        };
        self.taken.clear();
        self.take(name, rate, client.holder);
        self.take(LimitName::Global, global, HolderKey::ANONYMOUS);
    }

    fn take(&mut self, name: LimitName, rate: Option<Rate>, holder: HolderKey) {
        let taken = rate.map(|rate| (name, LimitKey::new((name, rate), holder), rate));
        self.taken.extend(taken);
    }

    /// Spends one request of each rate of `taken`, or nothing.
    fn spend(&mut self, now_ns: u64) -> Result<(), Limited> {
        for place in 0..self.taken.len() {
            let (limit, key, rate) = self.taken[place];
            if let Spend::Refused { retry_after_ms } = self.limiter.spend(key, rate, now_ns) {
                self.give_back(place, now_ns);
                return Err(Limited {
                    limit,
                    retry_after_ms,
                });
            }
        }
        Ok(())
    }

    /// Gives the first of `taken` back.
    fn give_back(&mut self, count: usize, now_ns: u64) {
        for (_, key, rate) in &self.taken[..count] {
            self.limiter.give_back(*key, *rate, now_ns);
        }
    }

    fn spend_quota(
        &mut self,
        client: Client<'_>,
        (is_per_tenant, quota): (bool, Quota),
        bytes: usize,
        now_ns: u64,
    ) -> Result<(), u64> {
        let used = Use {
            calls: 1,
            bytes: bytes as u64,
        };
        let tenant = client.tenant.filter(|_| is_per_tenant);
        let tenant = tenant.map(|(issuer, tenant)| format!("{TENANT}{issuer}:{tenant}"));
        // Anonymous clients have rates only: sources are too many, and cost nothing to have.
        let Some(name) = tenant.as_deref().or(client.principal) else {
            return Ok(());
        };
        let key = self.owner_key(name);
        self.quotas
            .spend(QuotaOwner { name, key }, quota, used, now_ns)
    }

    fn owner_key(&self, name: &str) -> LimitKey {
        QuotaOwner::key_of(self.holders.of_principal(name))
    }
}

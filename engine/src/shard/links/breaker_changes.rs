//! Changes of breakers, from and for the other shards.
//!
//! A shard that finds that an upstream fails, or works again, notifies the others: they refuse its
//! calls without failures of their own, or let one try. What a shard has taken over is not sent on.

use super::Links;
use crate::shard::breaker_change::BreakerChange;
use crate::upstream::endpoint::Carrier;

impl Links {
    /// Keeps a change of this shard until it is sent; there is one of each replica at most. A
    /// process belongs to its shard, so its health says nothing about those of others.
    pub(super) fn keep_breaker_change(&mut self, upstream: u16, refuses_ms: u64) {
        if self.carrier(upstream) == Carrier::Program {
            return;
        }
        let change = BreakerChange {
            upstream,
            instance: self.endpoint(upstream).instance,
            refuses_ms,
        };
        self.breaker_changes.retain(|it| it.upstream != upstream);
        self.breaker_changes.push(change);
    }

    /// The next change for the other shards.
    pub(in crate::shard) fn poll_breaker_change(&mut self) -> Option<BreakerChange> {
        self.breaker_changes.pop()
    }

    /// Takes a change of another shard.
    pub(in crate::shard) fn handle_breaker_change(&mut self, change: &BreakerChange, now_ms: u64) {
        let links = self.endpoints.get_mut(usize::from(change.upstream));
        let links = links.filter(|links| links.instance == change.instance);
        let Some(links) = links else {
            return;
        };
        match change.refuses_ms {
            0 => links.breaker.heed_success(now_ms),
            refuses_ms => links.breaker.heed_failure(refuses_ms, now_ms),
        }
    }
}

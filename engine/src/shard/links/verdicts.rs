//! Verdicts of breakers, from and for the other shards.
//!
//! A shard that finds that an upstream fails, or works again, notifies the others: they refuse its
//! calls without failures of their own, or let one try. What a shard has taken over is not sent on.

use super::Links;
use crate::shard::verdict::UpstreamVerdict;
use crate::upstream::endpoint::Carrier;

impl Links {
    /// Keeps a verdict of this shard until it is sent; there is one of each replica at most. A
    /// process belongs to its shard, so its health says nothing about those of others.
    pub(super) fn keep_verdict(&mut self, upstream: u16, refuses_ms: u64) {
        if self.carrier(upstream) == Carrier::Program {
            return;
        }
        let verdict = UpstreamVerdict {
            upstream,
            instance: self.endpoint(upstream).instance,
            refuses_ms,
        };
        self.verdicts.retain(|it| it.upstream != upstream);
        self.verdicts.push(verdict);
    }

    /// The next verdict for the other shards.
    pub(in crate::shard) fn poll_verdict(&mut self) -> Option<UpstreamVerdict> {
        self.verdicts.pop()
    }

    /// Takes a verdict of another shard.
    pub(in crate::shard) fn handle_verdict(&mut self, verdict: &UpstreamVerdict, now_ms: u64) {
        let links = self.endpoints.get_mut(usize::from(verdict.upstream));
        let links = links.filter(|links| links.instance == verdict.instance);
        let Some(links) = links else {
            return;
        };
        match verdict.refuses_ms {
            0 => links.breaker.heed_success(now_ms),
            refuses_ms => links.breaker.heed_failure(refuses_ms, now_ms),
        }
    }
}

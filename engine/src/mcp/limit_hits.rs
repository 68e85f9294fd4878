//! Requests that limits have refused, for the audit log: one record for each client, limit and
//! second, so that a flood costs the log no more than that.

use crate::audit::now_us;
use crate::guard::limit::shard::LimitName;

/// Clients that are counted apart from each other in one second. Others are counted together.
const CLIENTS_MAX: usize = 64;

/// The requests of one second that limits have refused.
#[derive(Debug, Default)]
pub(super) struct LimitHits {
    hits: Vec<LimitHit>,
    second: u64,
}

/// Requests of one client that one limit has refused.
#[derive(Debug)]
pub(super) struct LimitHit {
    pub(super) limit: LimitName,
    /// The key of the principal; none of anonymous clients, and of those past the bound.
    pub(super) principal: Option<Box<str>>,
    pub(super) count: u64,
    /// The first and the last time, in microseconds since 1970.
    pub(super) from_us: u64,
    pub(super) to_us: u64,
}

impl LimitHits {
    /// Counts a request.
    #[cold]
    pub(super) fn count(&mut self, limit: LimitName, principal: Option<&str>) {
        let is_full = self.hits.len() >= CLIENTS_MAX;
        let is_of =
            |hit: &LimitHit, of: Option<&str>| hit.limit == limit && hit.principal.as_deref() == of;
        let mut place = self.hits.iter().position(|hit| is_of(hit, principal));
        let principal = principal.filter(|_| !is_full);
        if place.is_none() && is_full {
            place = self.hits.iter().position(|hit| is_of(hit, None));
        }
        let now_us = now_us();
        let place = place.unwrap_or_else(|| {
            self.hits.push(LimitHit {
                limit,
                principal: principal.map(Box::from),
                count: 0,
                from_us: now_us,
                to_us: now_us,
            });
            self.hits.len() - 1
        });
        let hit = &mut self.hits[place];
        hit.count += 1;
        hit.to_us = now_us;
    }

    /// Takes the hits of seconds before this one, since 1970.
    pub(super) fn take_before(&mut self, unix_s: u64) -> Vec<LimitHit> {
        match unix_s == self.second {
            true => Vec::new(),
            false => {
                self.second = unix_s;
                self.take()
            }
        }
    }

    /// Takes all hits.
    pub(super) fn take(&mut self) -> Vec<LimitHit> {
        std::mem::take(&mut self.hits)
    }
}

#[cfg(test)]
mod tests {
    use super::{CLIENTS_MAX, LimitHits};
    use crate::guard::limit::shard::LimitName;

    #[test]
    fn each_client_and_limit_has_one_record_in_a_second() {
        let mut hits = LimitHits::default();
        for _ in 0..3 {
            hits.count(LimitName::Principal, Some("ann"));
            hits.count(LimitName::Tool, Some("ann"));
            hits.count(LimitName::Source, None);
        }
        let taken = hits.take_before(7);
        assert_eq!(
            taken.iter().map(|hit| hit.count).collect::<Vec<_>>(),
            [3, 3, 3]
        );
        hits.count(LimitName::Principal, Some("ann"));
        assert!(hits.take_before(7).is_empty(), "the second goes on");
        assert_eq!(hits.take_before(8).len(), 1);
    }

    #[test]
    fn a_flood_of_clients_is_bounded_and_counted() {
        let mut hits = LimitHits::default();
        for client in 0..1000 {
            hits.count(LimitName::Principal, Some(&client.to_string()));
        }
        let taken = hits.take();
        assert_eq!(taken.len(), CLIENTS_MAX + 1);
        assert_eq!(taken.iter().map(|hit| hit.count).sum::<u64>(), 1000);
        assert_eq!(
            taken.last().map(|hit| hit.count),
            Some(1000 - CLIENTS_MAX as u64)
        );
    }
}

//! The links to upstreams for an administrator.

use super::Links;
use crate::shard::inspection::{InspectionAnswer, InspectionRequest, Row};

impl Links {
    /// A row for each upstream that is there.
    pub(in crate::shard) fn inspected(&self, request: &InspectionRequest) -> InspectionAnswer {
        let calls = self.port.calls_by_upstream(self.endpoints.len());
        let all = (0..).zip(&self.endpoints).zip(calls);
        let rows = all.filter(|((number, _), _)| self.is_there(*number));
        let rows = rows.map(|((number, links), calls)| Row::Upstream {
            number,
            links: links.pool.links(),
            links_idle: links.pool.idle(),
            waiting: links.pool.waiting(),
            calls,
            sessions: links.sessions.len(),
            processes: links.peers.by_owner.len(),
            breaker: links.breaker.word(),
        });
        InspectionAnswer {
            rows: rows.take(request.rows_max).collect(),
            next: None,
        }
    }

    fn is_there(&self, upstream: u16) -> bool {
        let table = self.port.borrow_table();
        !table.endpoints[usize::from(upstream)].name.is_empty()
    }
}

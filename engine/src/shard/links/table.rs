//! The table of upstreams: how a shard takes a newer one over, and lets go of upstreams that a
//! reload has removed or replaced.
//!
//! Calls that are on their way to such an upstream go on to their ends, or until the control side
//! ends their time. Invariant: an upstream is reported as drained when nothing of it is left on the
//! shard and no call for it can come any more, so that its place in the table can be used again.

use corelane_gateway::relay::{Executed, Failure, Reason};
use corelane_io::rings::Rings;
use corelane_io::slots::SlotKey;

use super::Links;
use super::endpoint_links::{EndpointLinks, Leaving};
use super::peer::Peer;
use super::signs::ended;
use crate::upstream::board::ControlEvent;
use crate::upstream::endpoint::Standing;
use crate::upstream::relay::RelayKey;

impl Links {
    /// Takes a newer table. Returns whether there is one. The shard has it before it has a catalog
    /// with entries of other upstreams.
    pub(in crate::shard) fn take_table(&mut self, rings: &mut Rings) -> bool {
        let Some((generation, table)) = self.board.after(self.generation) else {
            return false;
        };
        self.generation = generation;
        let before = self.port.table();
        for (upstream, endpoint) in table.endpoints.iter().enumerate() {
            let Some(links) = self.endpoints.get_mut(upstream) else {
                let links = EndpointLinks::new(endpoint, &self.settings);
                self.endpoints.push(links);
                continue;
            };
            if links.instance != endpoint.instance {
                *links = EndpointLinks::new(endpoint, &self.settings);
            } else if endpoint.address != before.endpoints[upstream].address {
                // Idle links lead to the address of before.
                for key in links.pool.take_idle() {
                    self.close(rings, key);
                }
            }
            let links = &mut self.endpoints[upstream];
            if links.leaving == Leaving::No {
                links.leaving = Leaving::of(endpoint.standing);
            }
        }
        self.has_leaving = self.endpoints.iter().any(EndpointLinks::is_leaving);
        self.port.set_table(table);
        true
    }

    /// Lets go of upstreams that are not to stay. It is called in each turn at most once.
    pub(super) fn drain_leaving(&mut self, rings: &mut Rings) {
        for upstream in 0..self.endpoints.len() as u16 {
            let links = self.endpoint(upstream);
            match links.leaving {
                Leaving::No | Leaving::Over => {}
                Leaving::Noticed => links.leaving = Leaving::Drains,
                Leaving::Drains => self.drain(rings, upstream),
            }
        }
        self.has_leaving = self.endpoints.iter().any(EndpointLinks::is_leaving);
    }

    fn drain(&mut self, rings: &mut Rings, upstream: u16) {
        let is_over = {
            let table = self.port.borrow_table();
            table.endpoints[usize::from(upstream)].standing == Standing::Ends
        };
        let mut has_calls = false;
        for key in self.port.of_upstream(upstream) {
            let Some(relay) = self.port.find(key) else {
                continue;
            };
            let (is_call, is_of_control) = (relay.is_for_client(), relay.is_for_control());
            drop(relay);
            if is_over || is_of_control {
                self.end_for_reload(rings, key);
            } else {
                has_calls |= is_call;
            }
        }
        if has_calls {
            return;
        }
        for ended in self.endpoint(upstream).sessions.end_all() {
            self.send_delete(upstream, &ended);
        }
        let peers = self.endpoint(upstream).peers.by_owner.values();
        let lines = peers.filter_map(|peer| match peer {
            Peer::Open(link) => Some(*link),
            Peer::Opening { .. } => None,
        });
        let idle = lines.collect::<Vec<SlotKey>>();
        for link in idle {
            self.end_line(rings, link, &ended());
        }
        for link in self.endpoint(upstream).pool.take_idle() {
            self.close(rings, link);
        }
        if self.port.of_upstream(upstream).is_empty() && self.endpoint(upstream).is_empty() {
            let links = self.endpoint(upstream);
            links.leaving = Leaving::Over;
            let instance = links.instance;
            self.board.send(ControlEvent::Drained {
                upstream,
                instance,
                shard: self.shard,
            });
        }
    }

    /// Ends a call whose upstream is not to stay.
    fn end_for_reload(&mut self, rings: &mut Rings, key: RelayKey) {
        let was_sent = self
            .port
            .find(key)
            .is_some_and(|relay| relay.link.is_some());
        let executed = match was_sent {
            true => Executed::Unknown,
            false => Executed::No,
        };
        let failure = Failure::new(Reason::Unavailable, executed);
        let detail = "a reload has removed or replaced it, and gateway.drain_ms is over";
        self.give_failure(key, &failure.with_detail(detail));
        self.cancel(rings, key);
    }
}

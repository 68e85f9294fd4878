//! Which of the processes that all clients share gets a call, and when a process is stopped because
//! nothing uses it.

use corelane_io::rings::Rings;
use corelane_io::slots::SlotKey;
use corelane_protocol::mcp::era::Era;

use super::Links;
use super::line_link::LineLink;
use super::peer::Peer;
use super::signs::ended;
use crate::upstream::endpoint::Processes;
use crate::upstream::owner::SessionOwner;
use crate::upstream::relay::RelayKey;

impl Links {
    /// Chooses one of the processes that all clients share for a call with a session.
    pub(super) fn choose_process(&mut self, key: RelayKey) {
        let Some(mut relay) = self.port.find(key) else {
            return;
        };
        let upstream = relay.upstream;
        let is_shared = relay.is_of_client()
            && self.processes(upstream).shared_max > 1
            && relay.legacy.as_ref().is_some_and(|it| !it.is_admitted);
        if is_shared && let Some(legacy) = &mut relay.legacy {
            legacy.owner = self.least_used(upstream, legacy.owner.clone());
        }
    }

    /// The owner of the process with the fewest calls, of those that share the calls for `shared`.
    /// Another process is started only if each one has a call.
    pub(super) fn least_used(&self, upstream: u16, shared: SessionOwner) -> SessionOwner {
        let others = (1..self.processes(upstream).shared_max).map(SessionOwner::Everyone);
        let load = |owner: &SessionOwner| {
            let endpoint = &self.endpoints[usize::from(upstream)];
            let waiting = endpoint.sessions.waiting(owner);
            match endpoint.peers.by_owner.get(owner) {
                Some(Peer::Open(link)) => {
                    let calls = self.line(*link).map_or(0, |line| line.calls.len());
                    (waiting + calls, false)
                }
                Some(Peer::Opening { waiting: calls, .. }) => (waiting + calls.len(), false),
                None => (waiting, true),
            }
        };
        let all = std::iter::once(shared.clone()).chain(others);
        all.min_by_key(load).unwrap_or(shared)
    }

    /// Ends the peers whose sessions have ended, and those that nothing has used for long.
    pub(super) fn end_unused_lines(&mut self, rings: &mut Rings) {
        for upstream in 0..self.endpoints.len() {
            if self.endpoints[upstream].peers.by_owner.is_empty() {
                continue;
            }
            let of_upstream = self.endpoints[upstream].peers.by_owner.iter();
            let unused = of_upstream.filter_map(|(owner, peer)| match peer {
                Peer::Open(link) => self.is_unused(upstream, owner, *link).then_some(*link),
                Peer::Opening { .. } => None,
            });
            for link in unused.collect::<Vec<_>>() {
                self.end_line(rings, link, &ended());
            }
        }
    }

    fn is_unused(&self, upstream: usize, owner: &SessionOwner, link: SlotKey) -> bool {
        let Some(line) = self.line(link).filter(|line| line.is_idle()) else {
            return false;
        };
        let era = self.port.borrow_table().endpoints[upstream].era;
        let sessions = &self.endpoints[upstream].sessions;
        let has_ended = era == Era::Legacy && sessions.head(owner).is_none();
        let idle_stop_ms = self.processes(upstream as u16).idle_stop_ms;
        let is_over = idle_stop_ms > 0 && self.now_ms >= line.used_ms + idle_stop_ms;
        has_ended || is_over
    }

    fn processes(&self, upstream: u16) -> Processes {
        self.port.borrow_table().endpoints[usize::from(upstream)].processes
    }

    fn line(&self, link: SlotKey) -> Option<&LineLink> {
        self.slots.get(self.local(link))?.line.as_deref()
    }
}

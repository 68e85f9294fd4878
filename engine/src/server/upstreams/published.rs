//! What shards, clients and probes learn of the upstreams: the table, the catalog and the states.

use std::time::SystemTime;

use corelane_gateway::catalog::ListKind;

use super::Control;
use crate::upstream::endpoint::UpstreamTable;

impl Control {
    /// Lets probes know the states of the lists, if they are other ones; clients learn them with
    /// the next table. Returns whether they are.
    pub(super) fn note_states(&mut self) -> bool {
        let states = self.instances.list_states();
        let has_changed = self.outcomes.follow(states, SystemTime::now());
        if has_changed && let Some(shard) = self.shards.first() {
            shard.set_upstreams_down(self.outcomes.required_down());
        }
        has_changed
    }

    /// Lets metrics know whether the program of an upstream keeps ending.
    pub(super) fn note_crash_loops(&self) {
        if let Some(shard) = self.shards.first() {
            shard.set_crash_loop(self.instances.has_crash_loop());
        }
    }

    /// Gives the shards another table, if something of it has changed.
    pub(super) fn publish_table(&self) {
        let present = self.board.present();
        let endpoints = self.instances.endpoints();
        let mut both = endpoints.iter().zip(&present.endpoints);
        let notice = self.outcomes.notice();
        let is_same = endpoints.len() == present.endpoints.len() && notice == present.notice;
        if is_same && both.all(|(now, before)| now.is_as(before)) {
            return;
        }
        self.board.publish(UpstreamTable {
            client_info: present.client_info.clone(),
            endpoints,
            notice,
        });
        for shard in &self.shards {
            shard.wake();
        }
    }

    /// Puts the entries of these kinds of all upstreams into the catalog, with the schemes of those
    /// that shards know. Returns whether they know all.
    pub(super) fn publish(&mut self, kinds: &[ListKind]) -> bool {
        let lists = kinds
            .iter()
            .map(|kind| (*kind, self.instances.entries(*kind)));
        let (lists, mut schemes) = (lists.collect(), self.instances.schemes());
        let (all, present) = (schemes.len(), self.board.present());
        schemes.retain(|(number, _)| {
            let endpoint = present.endpoints.get(usize::from(*number));
            endpoint.is_some_and(|it| !it.name.is_empty())
        });
        let are_known = schemes.len() == all;
        let mut faults = Vec::new();
        let changed = self.handle.updates().exchange(|plan| {
            let (plan, left_out) = plan.with_upstreams(schemes, lists);
            faults = left_out;
            Ok(plan)
        });
        for (.., fault) in &faults {
            tracing::warn!(%fault, "an entry of an upstream is hidden");
        }
        // Of the other kinds, nothing has changed.
        self.hidden.retain(|(kind, ..)| !kinds.contains(kind));
        let hidden = faults.into_iter();
        let hidden = hidden.map(|(kind, upstream, fault)| (kind, upstream, fault.to_string()));
        self.hidden.extend(hidden);
        if let Err(error) = changed {
            tracing::error!(%error, ?kinds, "entries of upstreams are not in the catalog");
        }
        are_known
    }
}

//! The last check of a run: some seconds after the last fault the cluster is whole.

use corelane_cluster::frame::Stage;
use corelane_cluster::session::Standing;

use crate::event::Response;
use crate::world::World;

impl World {
    /// I6: one confirmed owner of each used session, nothing dirty, no exchange past its deadline,
    /// levels and lists equal.
    pub(crate) fn last_check(&mut self) {
        for node in 0..self.options.nodes {
            let core = self.nodes[node].core.as_ref();
            if core.is_none_or(|core| core.stage() != Stage::Alive || core.is_isolated()) {
                let text = format!("node {node} does not serve at the end");
                return self.checks.fail("I6", self.now_us, text);
            }
        }
        let since_us = self.heal_us + 10_000_000;
        for key in self.checks.served_since(since_us) {
            self.check_owner(key);
        }
        self.check_stored();
        self.check_nodes();
        self.check_notified();
        self.check_clients();
    }

    fn check_owner(&mut self, key: u128) {
        let mut confirmed = Vec::new();
        let mut others = Vec::new();
        for (node, own) in self.nodes.iter().enumerate() {
            let Some(core) = own.core.as_ref() else {
                continue;
            };
            match core.standing(key) {
                Some(Standing::Confirmed) => confirmed.push(node),
                Some(Standing::Provisional) => others.push(node),
                Some(Standing::Doubted) | None => {}
            }
            if core.is_dirty(key) {
                let text = format!("{key:x} is dirty on node {node}");
                self.checks.fail("I6", self.now_us, text);
            }
        }
        // Without forwards a session that has no changes has no place in a core.
        let is_plain = !self.options.forwards && self.stored(key).is_none();
        let is_owned = confirmed.len() == 1 || confirmed.is_empty() && is_plain;
        if !is_owned || !others.is_empty() {
            let text = format!("{key:x}: confirmed {confirmed:?}, provisional {others:?}");
            self.checks.fail("I6", self.now_us, text);
        }
    }

    /// A confirmed owner that has nothing to write has all of its state in the store.
    fn check_stored(&mut self) {
        for node in 0..self.options.nodes {
            let keys = self.nodes[node]
                .core
                .iter()
                .flat_map(|core| core.sessions());
            for key in keys.collect::<Vec<_>>() {
                let stored = self.stored(key);
                let Some(core) = self.nodes[node].core.as_ref() else {
                    continue;
                };
                let is_owner = stored
                    .as_ref()
                    .is_some_and(|it| it.owner == Some(core.process()));
                let is_sure = core.standing(key) == Some(Standing::Confirmed);
                let stored = stored.map(|record| record.state);
                if is_sure && is_owner && core.state(key) != stored.as_ref() {
                    let text = format!("{key:x}: node {node} has changes that are not stored");
                    self.checks.fail("I6", self.now_us, text);
                }
            }
        }
    }

    fn check_nodes(&mut self) {
        let cores: Vec<_> = self
            .nodes
            .iter()
            .filter_map(|own| own.core.as_ref())
            .collect();
        let mut failures = Vec::new();
        for core in &cores {
            if core.oldest_exchange_us().is_some_and(|at| at < self.now_us) {
                failures.push(format!("{}: an exchange has no end", core.process()));
            }
            for other in &cores {
                if core.level() != other.level() {
                    failures.push(format!("levels {} and {}", core.level(), other.level()));
                }
                let node = usize::from(other.process().node) - 1;
                let lists = self.nodes[node].lists;
                if core.lists_of(other.process()) != Some(lists) {
                    failures.push(format!("{} has old lists of {node}", core.process()));
                }
            }
        }
        for text in failures {
            self.checks.fail("I6", self.now_us, text);
        }
    }

    /// Clients were served in the end.
    fn check_clients(&mut self) {
        let now_us = self.now_us;
        for (index, client) in self.clients.iter().enumerate() {
            let Some(known) = client
                .session
                .and_then(|key| self.checks.sessions.get(&key))
            else {
                continue;
            };
            let was_lately = known.used_us + 8_000_000 > now_us;
            let is_bad = matches!(client.last, Some(Response::Busy | Response::Failed));
            if was_lately && is_bad {
                let text = format!("client {index} ends with {:?}", client.last);
                self.checks.fail("I6", now_us, text);
            }
        }
    }
}

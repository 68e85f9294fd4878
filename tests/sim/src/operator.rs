//! An operator who rotates keys and raises the level, and resources that change.

use corelane_cluster::frame::Stage;
use corelane_cluster::partition_of;

use crate::event::Event;
use crate::world::{RESOURCES, World};

fn uri_of(resource: usize) -> String {
    format!("file:///resource/{resource}")
}

impl World {
    fn numbers(&self) -> Vec<u16> {
        let numbers = 1..=self.options.nodes;
        numbers
            .filter_map(|number| u16::try_from(number).ok())
            .collect()
    }

    /// Gives one node the new key, or lets one seal with it; and tries to raise the level.
    pub(crate) fn on_operator(&mut self) {
        let wait_us = 200_000 + self.people.below(3_000_000);
        self.after(wait_us, Event::Operator);
        let node = self.people.below(self.options.nodes as u64) as usize;
        let key = *self.new_key.get_or_insert_with(|| self.people.next());
        let numbers = self.numbers();
        let own = &mut self.nodes[node];
        let now = own.now(self.now_us);
        let has_key = own.keys.0.borrow().contains(&key);
        if !has_key {
            own.keys.0.borrow_mut().push(key);
        }
        let is_running = !own.is_stopped();
        if let Some(core) = own.core.as_mut().filter(|_| is_running) {
            if !has_key {
                core.add_key(now, key);
            } else if core.promote_key(now, key, &numbers).is_ok() {
                own.sealing = key;
            }
            // A key that sealed an id is needed as long as ids are valid.
            if core.drop_key(now, 1, &numbers).is_ok() {
                let text = format!("node {node} dropped a key in use");
                self.checks.fail("I5", self.now_us, text);
            }
        }
        let own = &mut self.nodes[node];
        if let Some(core) = own.core.as_mut().filter(|_| is_running) {
            let _ = core.finalize(now, 2, &numbers);
        }
        self.drain_outputs(node);
        let mut nodes = self.nodes.iter().take(self.options.nodes);
        let is_rotated = nodes.all(|own| own.sealing == key);
        if is_rotated && self.people.chance(300) {
            self.new_key = None;
        }
        // An old version is replaced before the end.
        if self.is_healed {
            self.upgrade();
        }
    }

    fn upgrade(&mut self) {
        if let Some(node) = self.nodes.iter().position(|own| own.is_old) {
            self.nodes[node].is_old = false;
            let level = 2;
            if let Some(core) = self.nodes[node].core.as_mut() {
                core.set_level_max(level);
            }
        }
    }

    /// A resource changes at a node, or clients of a node subscribe to one, or a list changes.
    pub(crate) fn update_something(&mut self) {
        let wait_us = 1_000 + self.people.below(400_000);
        self.after(wait_us, Event::Update);
        let node = self.people.below(self.options.nodes as u64) as usize;
        let resource = self.people.below(RESOURCES as u64) as usize;
        let now_us = self.now_us;
        let dice = self.people.below(10);
        let next = self.people.next();
        // The last changes are those that get lost: nothing hides that later.
        let is_quiet = self.is_healed;
        let own = &mut self.nodes[node];
        let now = own.now(now_us);
        let is_running = !own.is_stopped();
        let core = own.core.as_mut().filter(|_| is_running);
        let Some(core) = core.filter(|core| core.stage() == Stage::Alive && !is_quiet) else {
            return;
        };
        let uri = uri_of(resource);
        match dice {
            0 | 1 => {
                own.interest_us.entry(resource).or_insert(now_us);
                core.set_interest(now, partition_of(&uri), true);
            }
            2 => {
                own.interest_us.remove(&resource);
                core.set_interest(now, partition_of(&uri), false);
            }
            3 => {
                let list = resource % 3;
                own.lists[list] = next;
                core.set_lists(now, own.lists);
                self.updated_us.insert(RESOURCES + list, (now_us, node));
            }
            _ => {
                core.resource_updated(now, &uri);
                self.updated_us.insert(resource, (now_us, node));
            }
        }
        self.drain_outputs(node);
    }

    pub(crate) fn on_updated(&mut self, node: usize, uri: &str) {
        let now_us = self.now_us;
        let resource = (0..RESOURCES).find(|resource| uri_of(*resource) == uri);
        if let Some(resource) = resource {
            self.nodes[node].notified_us.insert(resource, now_us);
        }
    }

    pub(crate) fn on_list_changed(&mut self, node: usize, list: usize) {
        let now_us = self.now_us;
        self.nodes[node]
            .notified_us
            .insert(RESOURCES + list, now_us);
    }

    pub(crate) fn on_all_updated(&mut self, node: usize, partition: u16) {
        for resource in 0..RESOURCES {
            let uri = uri_of(resource);
            if partition_of(&uri) == partition {
                self.on_updated(node, &uri);
            }
        }
    }

    /// I6, of updates: each change since the clients of a node subscribed was notified to them.
    pub(crate) fn check_notified(&mut self) {
        for (resource, (at_us, origin)) in self.updated_us.clone() {
            for node in 0..self.options.nodes {
                let own = &self.nodes[node];
                let since_us = own.interest_us.get(&resource).copied();
                let is_due = since_us.is_some_and(|since| since < at_us) && node != origin;
                let notified_us = own.notified_us.get(&resource).copied().unwrap_or(0);
                if is_due && notified_us < at_us {
                    let text = format!(
                        "node {node} missed resource {resource} of node {origin} at {at_us}, \
                         last notified at {notified_us}"
                    );
                    self.checks.fail("I6", self.now_us, text);
                }
            }
        }
    }
}

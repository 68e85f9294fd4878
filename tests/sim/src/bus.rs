//! The modelled bus, the way to the store, and the outputs of the cores.

use corelane_cluster::frame::{Envelope, Frame};
use corelane_cluster::id::Process;
use corelane_cluster::vocabulary::{Expect, Key, Note, Op, Output, PutResult, ReadFrom};

use crate::event::{AtNode, Event, Response};
use crate::world::World;

impl World {
    /// Does all outputs of a node.
    pub(crate) fn drain_outputs(&mut self, node: usize) {
        while let Some(output) = self.nodes[node]
            .core
            .as_mut()
            .and_then(|it| it.poll_output())
        {
            if self.options.is_traced {
                println!("{:>10}   node {node}: {output:?}", self.now_us);
            }
            self.output(node, output);
        }
    }

    fn output(&mut self, node: usize, output: Output) {
        let life = self.nodes[node].life;
        match output {
            Output::Publish(envelope) => {
                self.mix([1, node as u64, envelope.sequence]);
                for to in 0..self.nodes.len() {
                    self.deliver(node, to, None, &envelope);
                }
            }
            Output::Send(to, envelope) => {
                self.mix([2, u64::from(to.node), envelope.sequence]);
                let index = self.slot_of(to);
                self.deliver(node, index, Some(to), &envelope);
            }
            Output::Put(op, key, expect, ttl_s, value) => {
                self.put(node, life, op, (key, expect, ttl_s, value));
            }
            Output::Read(op, key, from) => {
                if self.can_send(node) {
                    let wait_us = self.store_delay();
                    self.after(wait_us, Event::Read(node, life, op, key, from));
                }
            }
            Output::Serve(origin, request) => {
                self.check_doubt(node, request.session.random);
                self.check_served(node, request.session.random);
                let wait_us = match self.people.below(100) {
                    0..=1 => self.people.below(2_000_000),
                    2..=5 => self.people.below(100_000),
                    _ => 100 + self.people.below(2_000),
                };
                let run = AtNode::Run(origin, request);
                self.after(wait_us, Event::Node(node, life, run));
            }
            Output::Part(call, true, body) => {
                self.check_events(call, &body);
                self.answer_client(call, Response::Ok);
            }
            Output::NotFound(call, _) => {
                let has_expired = self.has_expired_in_trouble(call);
                self.checks.on_missing(self.now_us, call, has_expired);
                self.answer_client(call, Response::Missing);
            }
            Output::Refuse(call, _) => {
                self.checks.on_refused(self.now_us, call);
                self.answer_client(call, Response::Busy);
            }
            Output::Fail(call, _) => self.answer_client(call, Response::Failed),
            Output::Ended(origin, key) => self.on_ended(node, origin, key),
            Output::Updated(uri) => self.on_updated(node, &uri),
            Output::AllUpdated(partition) => self.on_all_updated(node, partition),
            Output::ListChanged(list) => self.on_list_changed(node, list),
            Output::Drained => self.on_drained(node),
            Output::Note(Note::NodeTaken(_)) => {
                self.crash(node, false);
                if node < self.options.nodes {
                    self.after(1_000_000, Event::Start(node));
                }
            }
            Output::Note(Note::TakenOver(key, former)) => self.check_taken(node, key, former),
            Output::Part(_, false, _) | Output::Note(_) | Output::Leave(_) | Output::Arrive(_) => {}
        }
    }

    /// The slot of a process, or of the node that had it.
    fn slot_of(&self, process: Process) -> usize {
        let slot = self
            .nodes
            .iter()
            .position(|own| own.process() == Some(process));
        slot.unwrap_or(usize::from(process.node) - 1)
    }

    pub(crate) fn can_send(&self, node: usize) -> bool {
        let own = &self.nodes[node];
        self.bus_downs == 0 && own.cuts_out == 0 && own.is_subscribed
    }

    fn can_receive(&self, node: usize) -> bool {
        let own = &self.nodes[node];
        self.bus_downs == 0 && own.cuts_in == 0 && own.is_subscribed && own.core.is_some()
    }

    fn bus_delay(&mut self) -> u64 {
        let slow_us = if self.slow_bus > 0 {
            180_000 + self.net.below(40_000)
        } else {
            0
        };
        slow_us
            + 40
            + self.net.below(if self.net.clone().chance(20) {
                20_000
            } else {
                200
            })
    }

    /// Delivers a message to one node, if its subscription is there.
    fn deliver(&mut self, from: usize, to: usize, process: Option<Process>, envelope: &Envelope) {
        if !self.can_send(from) {
            return;
        }
        let is_request = match envelope.frame {
            Frame::Forward(xid, ..) => Some(xid),
            _ => None,
        };
        let now_us = self.now_us;
        let target = &self.nodes[to];
        let is_ghost = target
            .ghost
            .is_some_and(|(ghost, until_us)| Some(ghost) == process && now_us < until_us);
        let has_subscription = target.is_subscribed
            && target.core.is_some()
            && (process.is_none() || target.process() == process);
        if !has_subscription {
            if let (Some(xid), Some(process), false) = (is_request, process, is_ghost) {
                let wait_us = 2 * self.bus_delay();
                let life = self.nodes[from].life;
                let event = AtNode::NoResponders(process, xid);
                self.after(wait_us, Event::Node(from, life, event));
            }
            return;
        }
        let is_lost = self.nodes[to].overflows > 0 && self.net.chance(500);
        if !self.can_receive(to) || is_lost {
            return;
        }
        let delay_us = self.bus_delay();
        let last_us = self.nodes[to]
            .last_delivery_us
            .get(&from)
            .copied()
            .unwrap_or(0);
        let at_us = (now_us + delay_us).max(last_us + 1);
        self.nodes[to].last_delivery_us.insert(from, at_us);
        let life = self.nodes[to].life;
        let frame = AtNode::Frame(Box::new(envelope.clone()));
        self.after(at_us - now_us, Event::Node(to, life, frame.clone()));
        if !self.is_healed && self.net.chance(10) {
            let again_us = at_us - now_us + self.net.below(400_000);
            self.after(again_us, Event::Node(to, life, frame));
        }
    }

    fn store_delay(&mut self) -> u64 {
        let slow_us = if self.slow_bus > 0 { 90_000 } else { 0 };
        slow_us + 150 + self.net.below(600)
    }

    fn put(&mut self, node: usize, life: u32, op: Op, put: (Key, Expect, u64, Vec<u8>)) {
        if !self.can_send(node) {
            return;
        }
        let mut wait_us = self.store_delay();
        let mut is_lost = false;
        if self.flaky > 0 {
            is_lost = self.net.chance(200);
            if self.net.chance(100) {
                wait_us += self.net.below(4_000_000);
            }
        }
        self.after(wait_us, Event::Put(node, life, op, Box::new(put), is_lost));
    }

    /// A write reaches the store. It may come after its process has died.
    pub(crate) fn at_store_put(
        &mut self,
        (node, life): (usize, u32),
        op: Op,
        (key, expect, ttl_s, value): (Key, Expect, u64, Vec<u8>),
        is_lost: bool,
    ) {
        if self.bus_downs > 0 {
            return;
        }
        let result = if self.store.is_leaderless {
            // Some servers still know that there is no leader; the others are silent.
            if self.net.chance(500) {
                return;
            }
            PutResult::Refused
        } else {
            let before = self.store.last(&key, self.now_us).cloned();
            let result = self
                .store
                .put(self.now_us, key, (expect, ttl_s), value.clone());
            if let PutResult::Written(revision) = result {
                self.mix([3, op, revision]);
                if key == Key::Generation {
                    // The nodes learn of the new life of the store one after the other.
                    self.checks.on_wiped();
                    self.touch_all();
                }
                let before = before.as_ref();
                let before = before.map(|old| (old.revision, old.value.as_deref()));
                self.checks
                    .on_write(self.now_us, key, before, (revision, &value));
            }
            result
        };
        if !is_lost && self.can_receive(node) {
            let wait_us = self.store_delay();
            let event = AtNode::Put(op, key, result);
            self.after(wait_us, Event::Node(node, life, event));
        }
    }

    pub(crate) fn at_store_read(
        &mut self,
        (node, life): (usize, u32),
        op: Op,
        key: Key,
        from: ReadFrom,
    ) {
        let is_silent = self.store.is_leaderless && from == ReadFrom::Leader;
        if self.bus_downs > 0 || is_silent || !self.can_receive(node) {
            return;
        }
        let result = self.store.read(self.now_us, &key, from, &mut self.net);
        let wait_us = self.store_delay();
        let event = AtNode::Read(op, key, result);
        self.after(wait_us, Event::Node(node, life, event));
    }

    /// Whether a node that has no connection to the bus can have one.
    pub(crate) fn can_connect(&self, node: usize) -> bool {
        let own = &self.nodes[node];
        !own.is_subscribed && self.bus_downs == 0 && own.cuts_in + own.cuts_out == 0
    }

    /// The client of a node connects to the bus, with jitter.
    pub(crate) fn connect_later(&mut self, node: usize) {
        let wait_us = self.net.between(50_000, 2_000_000);
        let wait_us = if self.now_us < 1_000_000 {
            wait_us / 20
        } else {
            wait_us
        };
        let life = self.nodes[node].life;
        if self.can_connect(node) {
            self.after(wait_us, Event::Node(node, life, AtNode::Connected));
        }
    }
}

//! Faults take effect, and end.

use corelane_cluster::frame::Stage;
use corelane_cluster::sim;

use crate::event::{AtNode, Event, Response};
use crate::faults::Kind;
use crate::world::World;

/// Microseconds after which the bus or its client notices a silent peer.
const NOTICE_US: u64 = 1_800_000;
/// Microseconds for which a node may feel a fault that has ended: reconnect, and a gone owner.
const AFTERMATH_US: u64 = 4_500_000;
/// Microseconds of each half of a slow node.
const SLOW_US: u64 = 200_000;
/// Microseconds of a stop that surely raise doubt.
const DOUBT_US: u64 = 1_050_000;

impl World {
    pub(crate) fn on_fault(&mut self, index: usize, begins: bool) {
        let kind = self.faults[index].kind;
        self.mix([6, index as u64, u64::from(begins)]);
        self.touch(kind, begins);
        match kind {
            Kind::Crash(node) if begins => self.crash(node, false),
            Kind::HostLost(node) if begins => self.crash(node, true),
            Kind::Crash(node) | Kind::HostLost(node) => self.start_node(node),
            Kind::Pause(node) => self.stop(node, begins),
            Kind::Twin(node) => {
                self.stop(node, begins);
                let wait_us = if begins { 1_700_000 } else { 1_500_000 };
                self.after(wait_us, Event::Spare(node, begins));
            }
            Kind::Slow(node) => {
                count(&mut self.nodes[node].slowness, begins);
                if begins {
                    self.on_slow(node);
                }
            }
            Kind::Clock(node, jump) => self.nodes[node].wall_s = if begins { jump } else { 0 },
            Kind::Cut(node) => {
                count(&mut self.nodes[node].cuts_out, begins);
                count(&mut self.nodes[node].cuts_in, begins);
                self.lose_or_reconnect(node, begins);
            }
            Kind::CutOut(node) => {
                count(&mut self.nodes[node].cuts_out, begins);
                self.connect_later(node);
            }
            Kind::CutIn(node) => {
                count(&mut self.nodes[node].cuts_in, begins);
                self.connect_later(node);
            }
            Kind::Overflow(node) => count(&mut self.nodes[node].overflows, begins),
            Kind::SlowBus => count(&mut self.slow_bus, begins),
            Kind::BusDown | Kind::Wipe => {
                count(&mut self.bus_downs, begins);
                if kind == Kind::Wipe && begins {
                    self.store.wipe();
                    self.checks.on_wiped();
                }
                for node in 0..self.nodes.len() {
                    self.lose_or_reconnect(node, begins);
                }
            }
            Kind::Leaderless => {
                count(&mut self.leaderless, begins);
                self.store.is_leaderless = self.leaderless > 0;
            }
            Kind::Flaky => count(&mut self.flaky, begins),
            Kind::Purge if begins => {
                self.store.purge();
                self.checks.on_wiped();
            }
            Kind::Purge => {}
            Kind::WrongBalancer(node) => count(&mut self.wrong_balancer[node], begins),
            Kind::Drain(node) if begins => self.drain_node(node),
            Kind::Drain(node) => self.start_node(node),
        }
    }

    /// Notes which nodes feel a fault.
    fn touch(&mut self, kind: Kind, begins: bool) {
        let only = match kind {
            Kind::Crash(node)
            | Kind::HostLost(node)
            | Kind::Pause(node)
            | Kind::Twin(node)
            | Kind::Slow(node)
            | Kind::Clock(node, _)
            | Kind::Drain(node) => Some(node),
            // The others see a node that is cut, and may take its sessions.
            _ => None,
        };
        let now_us = self.now_us;
        for (node, own) in self.nodes.iter_mut().enumerate() {
            if only.is_none_or(|only| only == node) {
                count(&mut own.trouble, begins);
                own.touched_us = now_us + AFTERMATH_US;
            }
        }
    }

    /// Something happened that all nodes feel for a while.
    pub(crate) fn touch_all(&mut self) {
        let now_us = self.now_us;
        for own in &mut self.nodes {
            own.touched_us = now_us + AFTERMATH_US;
        }
    }

    /// The process of a node ends. A lost host leaves its connections open.
    pub(crate) fn crash(&mut self, node: usize, is_host: bool) {
        let now_us = self.now_us;
        let own = &mut self.nodes[node];
        let Some(core) = own.core.take() else {
            return;
        };
        own.touched_us = own.touched_us.max(now_us);
        own.inbox.clear();
        own.ghost = is_host.then(|| (core.process(), now_us + NOTICE_US));
        own.is_subscribed = false;
        if is_host {
            return;
        }
        let open = self.checks.attempts.iter();
        let open: Vec<u64> = open
            .filter(|(_, it)| it.node == node && !it.is_over)
            .map(|(attempt, _)| *attempt)
            .collect();
        for attempt in open {
            self.answer_client(attempt, Response::Closed);
        }
    }

    fn stop(&mut self, node: usize, begins: bool) {
        let was_stopped = self.nodes[node].is_stopped();
        count(&mut self.nodes[node].stops, begins);
        self.measure_stop(node, was_stopped);
        self.empty_inbox(node);
    }

    /// Notes when a node stopped, and whether it must doubt its sessions as it goes on.
    fn measure_stop(&mut self, node: usize, was_stopped: bool) {
        let now_us = self.now_us;
        let own = &mut self.nodes[node];
        match (was_stopped, own.is_stopped()) {
            (false, true) => own.stopped_us = now_us,
            (true, false) if now_us - own.stopped_us > DOUBT_US => own.doubt_us = now_us,
            _ => {}
        }
    }

    pub(crate) fn on_slow(&mut self, node: usize) {
        let own = &mut self.nodes[node];
        let was_stopped = own.is_stopped();
        if own.slowness == 0 {
            own.is_in_gap = false;
        } else {
            own.is_in_gap = !own.is_in_gap;
            self.after(SLOW_US, Event::Slow(node));
        }
        self.measure_stop(node, was_stopped);
        self.empty_inbox(node);
    }

    fn lose_or_reconnect(&mut self, node: usize, begins: bool) {
        let life = self.nodes[node].life;
        if !begins {
            return self.connect_later(node);
        }
        self.nodes[node].is_subscribed = false;
        let wait_us = if self.bus_downs > 0 { 1_000 } else { NOTICE_US };
        self.after(wait_us, Event::Node(node, life, AtNode::Disconnected));
    }

    fn drain_node(&mut self, node: usize) {
        let own = &mut self.nodes[node];
        let now = own.now(self.now_us);
        let is_running = !own.is_stopped();
        if let Some(core) = own.core.as_mut().filter(|_| is_running)
            && core.stage() == Stage::Alive
        {
            core.handle_drain(now);
            self.drain_outputs(node);
        }
    }

    /// The process of a drained node exits, and starts again after a while.
    pub(crate) fn on_drained(&mut self, node: usize) {
        let now_us = self.now_us;
        self.nodes[node].touched_us = now_us + AFTERMATH_US;
        self.nodes[node].is_old = false;
        self.crash(node, false);
        let wait_us = 500_000 + self.people.below(1_000_000);
        self.after(wait_us, Event::Start(node));
    }

    /// Another host starts a node whose process is stopped, and gives it back later.
    pub(crate) fn on_spare(&mut self, node: usize, begins: bool) {
        let spare = self.options.nodes;
        if begins && self.nodes[spare].core.is_none() && self.nodes[node].stops > 0 {
            self.nodes[spare].number = self.nodes[node].number;
            self.nodes[spare].keys = self.nodes[node].keys.clone();
            self.nodes[spare].sealing = self.nodes[node].sealing;
            self.nodes[spare].lists = self.nodes[node].lists;
            self.start_node(spare);
        } else if !begins && self.nodes[spare].number == self.nodes[node].number {
            self.crash(spare, false);
            self.nodes[spare].number = 0;
            self.after(100_000, Event::Start(node));
        }
    }

    /// All faults have ended: from now on the cluster must become whole.
    pub(crate) fn heal(&mut self) {
        self.is_healed = true;
        sim::take(|switches| switches.is_injecting = false);
    }
}

fn count(reasons: &mut u32, begins: bool) {
    *reasons = if begins {
        *reasons + 1
    } else {
        reasons.saturating_sub(1)
    };
}

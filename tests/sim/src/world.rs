//! The world of a run: nodes, bus, store, balancer and clients on one virtual clock.

use std::collections::{BTreeMap, BinaryHeap};

use corelane_cluster::cluster::Cluster;
use corelane_cluster::frame::Frame;
use corelane_cluster::settings::Settings;
use corelane_cluster::sim::{self, Switches};
use corelane_cluster::vocabulary::{Key, PutResult, ReadResult};

use crate::checks::{Checks, Finding};
use crate::client::Client;
use crate::event::{AtNode, Event, Scheduled};
use crate::faults::{Fault, plan};
use crate::node::Node;
use crate::options::{IDLE_S, Options, QUIET_S, RECORD_MARGIN_S, SETTLE_S};
use crate::rng::Rng;
use crate::store::Store;

/// Resources that change. The lists have the numbers after them.
pub(crate) const RESOURCES: usize = 5;
/// Microseconds between the ticks of a core.
const TICK_US: u64 = 10_000;
/// The result of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The hash of all events.
    pub hash: u64,
    /// Events.
    pub events: u64,
    /// Virtual microseconds.
    pub virtual_us: u64,
    /// Faults of the plan.
    pub faults: Vec<Fault>,
    /// Operations of clients.
    pub operations: usize,
    /// Changes that were found in the store in time.
    pub pins: u64,
    /// The first violation.
    pub finding: Option<Finding>,
    /// How often each point of the core was reached, and how often a fault was injected there.
    pub points: BTreeMap<&'static str, (u64, u64)>,
    /// Answers to clients, by kind.
    pub answers: BTreeMap<&'static str, u64>,
}

/// The world of a run.
pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) now_us: u64,
    pub(crate) heal_us: u64,
    pub(crate) end_us: u64,
    order: u64,
    hash: u64,
    events: u64,
    queue: BinaryHeap<Scheduled>,
    pub(crate) net: Rng,
    pub(crate) people: Rng,
    pub(crate) random: Rng,
    pub(crate) nodes: Vec<Node>,
    pub(crate) store: Store,
    pub(crate) clients: Vec<Client>,
    pub(crate) checks: Checks,
    pub(crate) faults: Vec<Fault>,
    pub(crate) bus_downs: u32,
    pub(crate) slow_bus: u32,
    pub(crate) leaderless: u32,
    pub(crate) flaky: u32,
    pub(crate) wrong_balancer: Vec<u32>,
    pub(crate) is_healed: bool,
    pub(crate) is_quiet: bool,
    pub(crate) next_attempt: u64,
    pub(crate) next_op: u64,
    pub(crate) new_key: Option<u64>,
    pub(crate) updated_us: BTreeMap<usize, (u64, usize)>,
    pub(crate) answers: BTreeMap<&'static str, u64>,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, options: &Options) -> Report {
    sim::install(Switches {
        mutation: options.mutation,
        random: seed | 1,
        is_injecting: true,
        ..Switches::default()
    });
    let mut world = World::new(seed, options.clone());
    world.start();
    while world.step() {}
    Report {
        seed,
        hash: world.hash,
        events: world.events,
        virtual_us: world.now_us,
        faults: world.faults,
        operations: world.checks.operations(),
        pins: world.checks.pins,
        finding: world.checks.finding,
        points: sim::take(|switches| std::mem::take(&mut switches.counts)),
        answers: world.answers,
    }
}

impl World {
    fn new(seed: u64, options: Options) -> World {
        let mut rng = Rng::seeded(seed);
        let heal_us = options.faulty_s * 1_000_000;
        let faults = plan(&mut rng.fork(), options.nodes, heal_us);
        World {
            now_us: 0,
            heal_us,
            end_us: heal_us + (SETTLE_S + QUIET_S) * 1_000_000,
            order: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            events: 0,
            queue: BinaryHeap::new(),
            net: rng.fork(),
            people: rng.fork(),
            random: rng.fork(),
            // One more slot, for a second process with the number of a node that is stopped.
            nodes: (0..=options.nodes).map(|_| Node::new()).collect(),
            store: Store::default(),
            clients: (0..options.clients).map(|_| Client::default()).collect(),
            checks: Checks::default(),
            faults,
            bus_downs: 0,
            slow_bus: 0,
            leaderless: 0,
            flaky: 0,
            wrong_balancer: vec![0; options.nodes],
            is_healed: false,
            is_quiet: false,
            next_attempt: 1,
            next_op: 1,
            new_key: None,
            updated_us: BTreeMap::new(),
            answers: BTreeMap::new(),
            options,
        }
    }

    fn start(&mut self) {
        for node in 0..self.options.nodes {
            self.nodes[node].number = u16::try_from(node + 1).unwrap_or(u16::MAX);
            self.nodes[node].keys.0.borrow_mut().push(1);
            self.nodes[node].sealing = 1;
            self.nodes[node].is_old = node == 0 && self.random.chance(500);
            let at_us = self.random.below(200_000);
            self.after(at_us, Event::Start(node));
        }
        for client in 0..self.clients.len() {
            let at_us = 2_000_000 + self.people.below(2_000_000);
            self.after(at_us, Event::Client(client));
        }
        for (index, fault) in self.faults.clone().into_iter().enumerate() {
            if !self.options.without.contains(&index) {
                self.after(fault.at_us, Event::Fault(index, true));
                self.after(fault.until_us, Event::Fault(index, false));
            }
        }
        self.after(500_000, Event::Health);
        self.after(5_000_000, Event::Operator);
        self.after(3_000_000, Event::Update);
        self.after(self.heal_us + 1, Event::Heal);
        self.after(self.end_us - QUIET_S * 1_000_000, Event::Quiet);
    }

    /// Schedules an event.
    pub(crate) fn after(&mut self, wait_us: u64, event: Event) {
        self.order += 1;
        self.queue.push(Scheduled {
            at_us: self.now_us + wait_us,
            order: self.order,
            event,
        });
    }

    /// Does the next event; false at the end or at the first violation.
    fn step(&mut self) -> bool {
        let Some(Scheduled { at_us, event, .. }) = self.queue.pop() else {
            return false;
        };
        if at_us > self.end_us {
            self.last_check();
            return false;
        }
        self.now_us = at_us;
        self.events += 1;
        if self.options.is_traced && !matches!(event, Event::Node(_, _, AtNode::Tick)) {
            println!("{at_us:>10} {event:?}");
        }
        match event {
            Event::Node(node, life, event) => self.at_node(node, life, event),
            Event::Put(node, life, op, put, is_lost) => {
                self.at_store_put((node, life), op, *put, is_lost)
            }
            Event::Read(node, life, op, key, from) => {
                self.at_store_read((node, life), op, key, from);
            }
            Event::Answer(attempt, response) => self.on_answer(attempt, response),
            Event::Client(client) => self.on_client(client),
            Event::GiveUp(attempt) => self.on_give_up(attempt),
            Event::Fault(index, begins) => self.on_fault(index, begins),
            Event::Slow(node) => self.on_slow(node),
            Event::Start(node) => self.start_node(node),
            Event::Spare(node, begins) => self.on_spare(node, begins),
            Event::Health => self.check_health(),
            Event::Operator => self.on_operator(),
            Event::Update => self.update_something(),
            Event::Pin(node, life, key, change, at_us) => {
                self.on_pin((node, life), key, *change, at_us)
            }
            Event::Buried(node, life, key, at_us) => self.on_buried((node, life), key, at_us),
            Event::Heal => self.heal(),
            Event::Quiet => self.is_quiet = true,
        }
        self.checks.finding.is_none()
    }

    /// Mixes facts into the hash of the run.
    pub(crate) fn mix(&mut self, facts: [u64; 3]) {
        for fact in facts {
            self.hash = (self.hash ^ fact)
                .wrapping_mul(0x100_0000_01b3)
                .rotate_left(17);
        }
    }

    /// Starts the process of a node.
    pub(crate) fn start_node(&mut self, node: usize) {
        if self.nodes[node].core.is_some() {
            return;
        }
        let mut random = self.random.fork();
        let settings = Settings {
            forwards: self.options.forwards,
            idle_s: IDLE_S,
            lane_max: 64,
            record_margin_s: RECORD_MARGIN_S,
            updates_kept: 8,
            ..Settings::default()
        };
        let own = &mut self.nodes[node];
        own.life += 1;
        own.doubt_us = 0;
        own.was_isolated = false;
        own.inbox.clear();
        own.ghost = None;
        own.is_subscribed = false;
        own.interest_us.clear();
        own.notified_us.clear();
        let lists = RESOURCES..RESOURCES + own.lists.len();
        own.interest_us
            .extend(lists.map(|list| (list, self.now_us)));
        let now = own.now(self.now_us);
        let number = own.number;
        let keys = Box::new(own.keys.clone());
        let next = Box::new(move || random.next());
        let mut core = Cluster::new(number, settings, keys, next, now);
        let known: Vec<u64> = own.keys.0.borrow().clone();
        for key in known {
            core.add_key(now, key);
        }
        core.set_level_max(if own.is_old { 1 } else { 2 });
        core.set_lists(now, own.lists);
        own.core = Some(core);
        let life = own.life;
        self.after(TICK_US, Event::Node(node, life, AtNode::Tick));
        self.connect_later(node);
    }

    fn at_node(&mut self, node: usize, life: u32, event: AtNode) {
        let own = &mut self.nodes[node];
        if own.life != life || own.core.is_none() {
            return;
        }
        let is_tick = matches!(event, AtNode::Tick);
        if is_tick {
            // Ticks of one node do not stay in step with those of another.
            let wait_us = TICK_US + self.net.below(500);
            self.after(wait_us, Event::Node(node, life, AtNode::Tick));
        }
        let own = &mut self.nodes[node];
        if own.is_stopped() {
            if !is_tick {
                own.inbox.push_back(event);
            }
            return;
        }
        self.give(node, event);
    }

    /// Gives a node that goes on the events that waited for it.
    pub(crate) fn empty_inbox(&mut self, node: usize) {
        while !self.nodes[node].is_stopped()
            && let Some(event) = self.nodes[node].inbox.pop_front()
        {
            self.give(node, event);
        }
    }

    fn give(&mut self, node: usize, event: AtNode) {
        let can_connect = self.can_connect(node);
        let own = &mut self.nodes[node];
        let now = own.now(self.now_us);
        let Some(core) = own.core.as_mut() else {
            return;
        };
        match event {
            AtNode::Connected if !can_connect => {}
            AtNode::Tick => {
                core.handle_tick(now);
                self.check_tables(node);
            }
            AtNode::Frame(envelope) => {
                if let Frame::Released(generation, revision, record) = &envelope.frame {
                    let key = Key::Session(*generation, record.id.random);
                    self.checks.on_seen(core.process(), key, *revision);
                }
                core.handle_frame(now, *envelope);
            }
            AtNode::NoResponders(to, xid) => core.handle_no_responders(now, to, xid),
            AtNode::Put(op, key, result) => {
                if let PutResult::Written(revision) = result {
                    self.checks.on_seen(core.process(), key, revision);
                }
                core.handle_put(now, op, result);
            }
            AtNode::Read(op, key, result) => {
                if let ReadResult::Found(revision, _) | ReadResult::Marker(revision) = &result {
                    self.checks.on_seen(core.process(), key, *revision);
                }
                core.handle_read(now, op, result);
            }
            AtNode::Connected => {
                own.is_subscribed = true;
                core.handle_connected(now);
            }
            // The adapter reports a loss that is over only as the connection that follows it.
            AtNode::Disconnected if own.is_subscribed => {}
            AtNode::Disconnected => core.handle_disconnected(now),
            AtNode::Request(attempt, request) => core.handle_request(now, attempt, request),
            AtNode::Run(origin, request) => self.execute(node, origin, &request),
        }
        self.drain_outputs(node);
        self.watch_isolation(node);
    }

    /// Notes the time at which a node must doubt its sessions.
    fn watch_isolation(&mut self, node: usize) {
        let own = &mut self.nodes[node];
        let is_isolated = own.core.as_ref().is_some_and(|core| core.is_isolated());
        if own.was_isolated && !is_isolated {
            own.doubt_us = self.now_us;
        }
        own.was_isolated = is_isolated;
    }

    /// I7: every table is within its limit.
    fn check_tables(&mut self, node: usize) {
        let Some(core) = self.nodes[node].core.as_ref() else {
            return;
        };
        for (name, entries, max) in core.tables() {
            if entries > max {
                let text = format!("node {node}: {name} has {entries} of {max} entries");
                self.checks.fail("I7", self.now_us, text);
            }
        }
    }
}

//! The state of a shard, in two parts that are borrowed apart: one moves bytes, the other handles
//! them.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::time::{Duration, SystemTime};

use corelane_protocol::framing::http1::DATE_BYTES;

use super::accepting::Accepts;
use super::address_counts::AddressCounts;
use super::arrivals::Arrivals;
use super::control::ShardControl;
use super::handed::HandOver;
use super::kept::Kept;
use super::links::Links;
use super::lives::{Announcement, Deaths};
use super::loop_delay::LoopDelay;
use super::overflow::Overflow;
use super::proxied::ProxiedClients;
use super::rechecks::{Rechecks, unix_s};
use super::{Secured, ShardMessage};
use crate::access::AccessControl;
use crate::catalog::pending_updates::ShardUpdates;
use crate::connection::body::PostponedRequest;
use crate::connection::context::{BufferPool, Context, Rules, StepEffects};
use crate::connection::http::Connection;
use crate::connection::readiness::Readiness;
use crate::connection::response::Date;
use crate::guard::peer::KnownPeers;
use crate::handler::event_queue::{CallKey, EventQueue};
use crate::mcp::{Endpoint, Exchange};
use crate::meter::throttle::{Episode, Throttle};
use crate::meter::{Counter, ShardMeter};
use crate::profile::ShardProfile;
use corelane_io::chunk::Chunk;
use corelane_io::lanes::{LaneReceiver, LaneSender, TIERS};
use corelane_io::ring::Completion;
use corelane_io::rings::Rings;
use corelane_io::slots::{SlotKey, Slots};
use corelane_io::wheel::Wheel;

/// One shard.
pub(crate) struct Shard {
    /// Until the shard has drained; dropped before the rings are closed.
    pub(super) announcement: Option<Announcement>,
    pub(super) rings: Rings,
    pub(super) slots: Slots<Connection>,
    pub(super) wheel: Wheel,
    pub(super) secured: Secured,
    /// By their numbers.
    pub(super) listeners: Vec<Accepts>,
    /// The only connection, of a shard that ends with it.
    pub(super) channel: Option<SlotKey>,
    /// Requests of connections whose peers are being looked up: at most one of each, received since
    /// the ring was entered last.
    pub(super) lookups: HashMap<SlotKey, PostponedRequest>,
    /// Clients that proxies name.
    pub(super) clients: ProxiedClients,
    /// Connections by address, if that is limited.
    pub(super) addresses: AddressCounts,
    /// How long the shard takes for its work.
    pub(super) loop_delay: LoopDelay,
    /// The memory that the shard may hold.
    pub(super) memory: MemoryState,
    pub(super) warnings: OverloadWarnings,
    /// No descriptor is free for another connection.
    pub(super) is_table_full: bool,
    /// When a full table is next worth a warning.
    pub(super) table_warning_due_ms: u64,
    /// Connections that each listener lets wait.
    pub(super) backlog: usize,
    pub(super) sender: Kept<LaneSender<ShardMessage>>,
    pub(super) receiver: Kept<LaneReceiver<ShardMessage>>,
    pub(super) ring_fds: Arc<[AtomicI32]>,
    pub(super) control: Arc<ShardControl>,
    /// The lives of all shards, as far as this one has seen them.
    pub(super) deaths: Deaths,
    /// Exchanges of this shard that waited for one that died: at most one for each
    /// connection.
    pub(super) lost: Vec<Exchange>,
    pub(super) profile: ShardProfile,
    pub(super) handling: Handling,
    /// Changes of the catalog and of resources.
    pub(super) updates: Arc<ShardUpdates>,
    /// More is held than limits allow that were lowered.
    pub(super) shrinks: bool,
    /// What another process takes over, or has left.
    pub(super) hand_over: HandOver,
    /// The links to upstreams, if there are any.
    pub(super) links: Option<Box<Links>>,
    /// Input that waits for its turn.
    pub(super) arrivals: Arrivals,
    /// The send that was begun last, with its connection.
    pub(super) held_send: Option<(SlotKey, Chunk)>,
    /// Requests that wait for access control.
    pub(super) rechecks: Rechecks,
    /// Connections with leftover requests from a turn whose budget was spent.
    pub(super) leftover: VecDeque<SlotKey>,
    /// Calls with messages for a connection without capacity.
    pub(super) stalled: VecDeque<CallKey>,
    /// Messages that must arrive and whose lane was full.
    pub(super) overflow: Overflow<ShardMessage>,
    /// Calls in `stalled` to look at, because of new capacity.
    pub(super) stalled_looks: usize,
    /// Statuses of tasks to look at for the same reason.
    pub(super) status_looks: usize,
    /// The tick that ends a wait came in this turn.
    pub(super) has_ticked: bool,
    pub(super) completions: Vec<Completion>,
    /// With their senders.
    pub(super) inbox: Vec<(u16, ShardMessage)>,
    pub(super) expired: Vec<u32>,
    /// Reads the time since the shard was started.
    pub(super) clock: Box<dyn Fn() -> Duration>,
    /// When the time for requests at this step of the turn is over.
    pub(super) requests_until_us: u64,
    /// Time since the shard was started, as of this turn.
    pub(super) now_us: u64,
    pub(super) now_ms: u64,
    /// The number of turns, this one included.
    pub(super) turns: u64,
    /// When the shard last did something.
    pub(super) worked_us: u64,
    /// When the executor last ran other tasks.
    pub(super) yielded_us: u64,
    pub(super) date_second: u64,
    pub(super) drain: Drain,
    /// Connections below this index are ending, because the shard drains.
    pub(super) ending_below: u32,
    /// When connections were last closed for the memory of their output, and of their input.
    pub(super) shedding_output: Shedding,
    pub(super) shedding_input: Shedding,
}

/// How far the end of a shard has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drain {
    /// It was not requested.
    No,
    /// Calls get to end until then, in milliseconds since the shard started.
    Calls { deadline_ms: u64 },
    /// No call is left; clients get to take the output until then.
    Output { deadline_ms: u64 },
}

impl Drain {
    /// When the shard has to act on it, if it drains.
    pub(super) fn deadline_ms(self) -> Option<u64> {
        match self {
            Drain::No => None,
            Drain::Calls { deadline_ms } | Drain::Output { deadline_ms } => Some(deadline_ms),
        }
    }
}

/// Limits on the lines about overload, one for each kind.
pub(super) struct OverloadWarnings {
    pub(super) limit: Throttle,
    pub(super) memory: Episode,
    pub(super) address: Throttle,
    pub(super) unknown_address: Throttle,
    pub(super) delay: Episode,
    pub(super) output: Throttle,
    pub(super) accept: Throttle,
}

impl OverloadWarnings {
    pub(super) fn new() -> OverloadWarnings {
        const INTERVAL_MS: u64 = 10_000;
        let throttle = || Throttle::new(INTERVAL_MS);
        OverloadWarnings {
            limit: throttle(),
            memory: Episode::new(INTERVAL_MS),
            address: throttle(),
            unknown_address: throttle(),
            delay: Episode::new(INTERVAL_MS),
            output: throttle(),
            accept: throttle(),
        }
    }

    /// Logs the ends of overload. Called once a second.
    fn log_ends(&mut self, shard: u16, now_ms: u64) {
        if let Some(times) = self.delay.end(now_ms) {
            tracing::info!(shard, times, "the shard refuses no calls any more");
        }
        if let Some(times) = self.memory.end(now_ms) {
            tracing::info!(shard, times, "the shard has memory for work again");
        }
    }
}

/// The memory that a shard may hold for its clients, and whether it holds so much.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemoryState {
    pub(super) bytes_max: u64,
    pub(super) next_look_ms: u64,
    pub(super) is_out: bool,
}

impl MemoryState {
    /// Nothing is held.
    pub(super) fn new(bytes_max: u64) -> MemoryState {
        MemoryState {
            bytes_max,
            next_look_ms: 0,
            is_out: false,
        }
    }
}

/// When the connections of a shard may be looked at again, and when that may be logged.
#[derive(Debug, Default)]
pub(super) struct Shedding {
    pub(super) next_look_ms: u64,
    pub(super) next_warning_ms: u64,
}

/// Everything a connection works with.
pub(crate) struct Handling {
    pub(super) endpoint: Endpoint,
    pub(super) event_queue: Rc<EventQueue>,
    pub(super) meter: Rc<ShardMeter>,
    pub(super) pool: BufferPool,
    /// Of the present step.
    pub(super) effects: StepEffects,
    pub(super) access: AccessControl,
    pub(super) peers: KnownPeers,
    pub(super) rules: Rules,
    pub(super) date: Date,
    pub(super) shard: u16,
    /// Requests that one connection may make at this step of the turn.
    pub(super) requests_per_connection: u32,
    /// Requests that were handled since the last look at the clock.
    pub(super) requests_since_look: u32,
    pub(super) is_draining: bool,
    /// Connections that are served probes only, no more than `overload.probe_connections`.
    pub(super) for_probes: Vec<SlotKey>,
    pub(super) readiness: Arc<Readiness>,
}

impl Handling {
    /// The parts that the connection `key` uses in one step.
    pub(super) fn context(&mut self, key: SlotKey) -> Context<'_> {
        Context {
            endpoint: &mut self.endpoint,
            pool: &mut self.pool,
            effects: &mut self.effects,
            access: &mut self.access,
            peer: None,
            recheck_due_ms: None,
            peers: &mut self.peers,
            meter: &self.meter,
            rules: &self.rules,
            date: &self.date,
            shard: self.shard,
            key,
            is_draining: self.is_draining,
            readiness: &self.readiness,
            is_for_probes: !self.for_probes.is_empty() && self.for_probes.contains(&key),
            requests_left: self.requests_per_connection,
            out: None,
        }
    }

    /// Counts handled requests.
    pub(super) fn note_requests(&mut self, made: u32) {
        self.requests_since_look = self.requests_since_look.saturating_add(made);
    }

    /// Frees the memory of unusually large messages. Called once a second, so that a message among
    /// many of its size finds the memory of the one before.
    fn trim(&mut self) {
        const SCRATCH_KEPT_BYTES_MAX: usize = 64 * 1024;
        self.endpoint.trim();
        self.pool.chunks.trim();
        if self.pool.scratch.capacity() > SCRATCH_KEPT_BYTES_MAX {
            self.pool.scratch = Vec::new();
        }
    }

    /// Whether broadcasts are under way.
    pub(super) fn has_broadcasts(&mut self) -> bool {
        self.endpoint.has_broadcasts()
    }

    /// Whether calls have events.
    pub(super) fn has_call_events(&mut self) -> bool {
        self.endpoint.has_call_events()
    }
}

impl Shard {
    /// Notes how long ago the shard was started, and whether a lane is full, once per turn.
    pub(super) fn update_clock(&mut self, elapsed: Duration) {
        self.now_us = elapsed.as_micros() as u64;
        self.now_ms = self.now_us / 1000;
        let has_full_lane = !self.overflow.is_empty();
        self.handling.meter.begin_turn(self.now_us);
        self.handling
            .endpoint
            .begin_turn(self.now_ms, has_full_lane);
        self.handling.endpoint.update_limits(self.now_us);
        self.take_access();
        let second = self.now_ms / 1000;
        if second != self.date_second {
            self.date_second = second;
            self.handling.date = date_now();
            self.handling.trim();
            self.warnings.log_ends(self.handling.shard, self.now_ms);
            self.count_loop();
        }
    }

    /// Takes the snapshot of access control over, if there is another one.
    #[inline]
    pub(super) fn take_access(&mut self) {
        if self.handling.access.begin_turn(self.now_ms, unix_s) {
            self.on_access_changed();
        }
    }

    /// Takes over what the rings and the loop have counted.
    pub(super) fn count_loop(&self) {
        let meter = &self.handling.meter;
        let overflows = self.rings.completion_overflows();
        meter.set(Counter::RingCompletionsOverflowed, overflows);
        meter.set(Counter::RingEnters, self.rings.enters());
        meter.set(Counter::Turns, self.turns);
        if meter.is_timed() {
            self.count_levels();
        }
    }

    /// Reads the levels of the lanes and of accepting, which only metrics show.
    fn count_levels(&self) {
        let meter = &self.handling.meter;
        let sent = self.sender.counts();
        let (waiting, capacity) = (self.receiver.waiting(), self.receiver.capacity());
        for (at, [of_sent, of_waiting, of_capacity]) in LANE_COUNTERS.into_iter().enumerate() {
            meter.set(of_sent, sent.sent[at]);
            meter.set(of_waiting, waiting[at] as u64);
            meter.set(of_capacity, capacity[at] as u64);
        }
        meter.set(Counter::LaneWakes, sent.wakes);
        meter.set(Counter::ConnectionsCapacity, self.slots.capacity() as u64);
        let paused = self.listeners.iter().filter(|it| it.is_paused());
        meter.set(Counter::ListenersPaused, paused.count() as u64);
    }
}

impl Shard {
    /// A shard that has drained holds nothing and can hold nothing more.
    pub(super) fn end_levels(&self) {
        let meter = &self.handling.meter;
        for [_, waiting, capacity] in LANE_COUNTERS {
            meter.set(waiting, 0);
            meter.set(capacity, 0);
        }
        meter.set(Counter::ConnectionsCapacity, 0);
        meter.set(Counter::ListenersPaused, 0);
    }
}

/// The counters of each tier of lanes: what was sent, what waits, and how much may.
const LANE_COUNTERS: [[Counter; 3]; TIERS] = [
    [
        Counter::LaneControlSent,
        Counter::LaneControlWaiting,
        Counter::LaneControlCapacity,
    ],
    [
        Counter::LaneReplySent,
        Counter::LaneReplyWaiting,
        Counter::LaneReplyCapacity,
    ],
    [
        Counter::LaneRequestSent,
        Counter::LaneRequestWaiting,
        Counter::LaneRequestCapacity,
    ],
    [
        Counter::LaneBulkSent,
        Counter::LaneBulkWaiting,
        Counter::LaneBulkCapacity,
    ],
];

/// The time as an HTTP date (RFC 9110 5.6.7).
pub(super) fn date_now() -> Date {
    let text = httpdate::fmt_http_date(SystemTime::now());
    let mut date = [b' '; DATE_BYTES];
    date.copy_from_slice(text.as_bytes());
    date
}

//! The links of a shard to upstreams: sockets that it opens, and the calls on them.
//!
//! The shard gives completions of these sockets to [`Links`], and lets it take calls from the port
//! once in each turn. A receive is armed for as long as a link is open, so the end of an idle link
//! and any byte on it close it at once.
//!
//! Invariants: a link carries one call; a call whose request may have reached the upstream is never
//! sent again, unless it changes nothing; the answer of a call goes to its client and to no other,
//! because a link is closed when its call ends before its answer.

mod breaker_changes;
mod challenged_call;
mod completed;
mod credentials;
mod endpoint_links;
mod ends;
mod events;
mod exchanged_tokens;
mod exchanges;
mod health;
mod inspected;
mod line_link;
mod lines;
mod peer;
mod peers;
mod processes;
mod replicas;
mod responses;
mod secured;
mod secured_link;
mod session_streams;
mod sessions;
mod signs;
mod table;
mod taken;

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use corelane_gateway::link::{Assigned, Released};
use corelane_gateway::relay::{Executed, Failure, Reason};
use corelane_io::ring::{Completion, Route};
use corelane_io::rings::Rings;
use corelane_io::slots::{SlotKey, Slots};

use self::challenged_call::ChallengedCall;
use self::endpoint_links::EndpointLinks;
use self::exchanged_tokens::ExchangingCall;
use self::line_link::LineLink;
use self::secured_link::SecuredLink;
use self::signs::ended;
use crate::meter::ShardMeter;
use crate::profile::Gateway;
use crate::shard::breaker_change::BreakerChange;
use crate::upstream::board::UpstreamBoard;
use crate::upstream::endpoint::Carrier;
use crate::upstream::port::{Command, UpstreamPort};
use crate::upstream::relay::RelayKey;

/// Milliseconds between two looks at times that are over.
const SWEEP_MS: u64 = 50;
/// The same while there are only sessions that nothing uses.
const IDLE_SWEEP_MS: u64 = 1000;

/// A call had no answer in its time.
const TIMEOUT: Failure = Failure::new(Reason::Timeout, Executed::Unknown);

/// The links of a shard.
pub(super) struct Links {
    port: Rc<UpstreamPort>,
    board: Arc<UpstreamBoard>,
    shard: u16,
    settings: Gateway,
    meter: Rc<ShardMeter>,
    generation: u64,
    /// The descriptors of links.
    indexes: Range<u32>,
    /// Those of them that are free.
    free: Vec<u32>,
    /// By place among the descriptors of links.
    slots: Slots<Link>,
    /// By number of the upstream.
    endpoints: Vec<EndpointLinks>,
    /// Links that open, with the ends of their times.
    opening: VecDeque<(u64, SlotKey)>,
    /// Subscriptions of the control side: their upstreams and numbers.
    subscriptions: Vec<(u16, u32, RelayKey)>,
    /// Calls with a time of their own.
    timed: Vec<RelayKey>,
    /// Calls that are begun again, and when.
    delayed: Vec<(u64, RelayKey)>,
    /// Links with streams of HTTP+SSE that their upstreams do not know.
    lost_streams: Vec<SlotKey>,
    /// Calls that wait for another credential.
    challenged: Vec<ChallengedCall>,
    /// Calls that wait for the tokens of their clients to be exchanged.
    exchanging: Vec<ExchangingCall>,
    /// Links that do not receive, because the clients of their calls are slow.
    paused: Vec<SlotKey>,
    /// Changes of breakers that the other shards do not know yet.
    breaker_changes: Vec<BreakerChange>,
    /// Whether an upstream drains.
    has_leaving: bool,
    next_sweep_ms: u64,
    /// Milliseconds since the shard started.
    pub(super) now_ms: u64,
}

/// One link.
#[derive(Debug)]
struct Link {
    upstream: u16,
    state: LinkState,
    is_sending: bool,
    /// Whether a receive is armed.
    is_armed: bool,
    /// Whether the client of its call takes no more at present.
    is_paused: bool,
    /// Whether its call waits for its client, so that the pool does not count it.
    is_lent: bool,
    secured: Option<Box<SecuredLink>>,
    /// Of a link with lines, or with the stream of HTTP+SSE.
    line: Option<Box<LineLink>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkState {
    /// It connects, or its handshake goes on.
    Opening,
    Idle,
    Carrying(RelayKey),
    /// It carries many calls, on lines.
    Line,
}

impl Links {
    /// The links of a shard to the upstreams of `board`, with sockets at `indexes`.
    pub(super) fn new(
        port: Rc<UpstreamPort>,
        board: Arc<UpstreamBoard>,
        (shard, settings): (u16, Gateway),
        meter: Rc<ShardMeter>,
        indexes: Range<u32>,
    ) -> Links {
        let table = port.table();
        let of = |endpoint| EndpointLinks::new(endpoint, &settings);
        let endpoints = table.endpoints.iter().map(of);
        Links {
            endpoints: endpoints.collect(),
            slots: Slots::new(indexes.len() as u32),
            // The lowest one is used first.
            free: indexes.clone().rev().collect(),
            indexes,
            port,
            board,
            shard,
            settings,
            meter,
            generation: 0,
            opening: VecDeque::new(),
            subscriptions: Vec::new(),
            timed: Vec::new(),
            delayed: Vec::new(),
            lost_streams: Vec::new(),
            challenged: Vec::new(),
            exchanging: Vec::new(),
            paused: Vec::new(),
            breaker_changes: Vec::new(),
            // Another life of the shard may have died before it let go of one.
            has_leaving: true,
            next_sweep_ms: 0,
            now_ms: 0,
        }
    }

    /// Whether a completion is about a link.
    pub(super) fn owns(&self, completion: &Completion) -> bool {
        let key = match completion {
            Completion::Streamed { key, .. }
            | Completion::Sent { key, .. }
            | Completion::Received { key, .. }
            | Completion::Connected { key, .. }
            | Completion::Closed { key } => key,
            _ => return false,
        };
        self.indexes.contains(&key.index)
    }

    /// Handles a completion of a link.
    pub(super) fn handle(&mut self, rings: &mut Rings, completion: Completion) {
        match completion {
            Completion::Streamed {
                key,
                outcome,
                armed,
            } => {
                self.received(rings, key, outcome);
                if !armed {
                    self.arm_again(rings, key);
                }
            }
            Completion::Received { key, outcome } => self.received(rings, key, outcome),
            Completion::Sent {
                key,
                chunk,
                from,
                outcome,
            } => self.sent(rings, key, (chunk, from), outcome),
            Completion::Connected { key, outcome } => self.connected(rings, key, outcome),
            Completion::Closed { key } => self.free.push(key.index),
            _ => {}
        }
    }

    /// Takes calls from the port and the control side, and looks at times that are over. Returns
    /// whether there was anything.
    pub(super) fn turn(&mut self, rings: &mut Rings, now_ms: u64) -> bool {
        self.now_ms = now_ms;
        let mut did = self.take_news(rings);
        while let Some(key) = self.lost_streams.pop() {
            self.end_line(rings, key, &ended());
        }
        while let Some(command) = self.port.next_command() {
            did = true;
            match command {
                Command::Begin(key) => self.begin(rings, key),
                Command::Cancel(key) => self.cancel(rings, key),
                Command::Respond(key) => self.respond(rings, key),
                Command::EndSession(random, declared) => self.end_sessions(random, declared),
            }
        }
        if !self.paused.is_empty() {
            self.resume_paused(rings);
        }
        if now_ms >= self.next_sweep_ms {
            self.next_sweep_ms = now_ms + SWEEP_MS;
            self.sweep(rings);
        }
        did
    }

    /// Whether the shard has something to do for its links at once.
    pub(super) fn has_work(&self) -> bool {
        self.port.has_commands() || self.board.has_news(self.shard, self.generation)
    }

    /// When the shard has to look at its links at the latest; none without links.
    pub(super) fn due_ms(&self) -> Option<u64> {
        let has_calls = !self.timed.is_empty()
            || !self.delayed.is_empty()
            || !self.challenged.is_empty()
            || !self.exchanging.is_empty();
        let is_idle = self.slots.is_empty() && !has_calls && !self.has_leaving;
        let has_sessions = self.endpoints.iter().any(|it| !it.sessions.is_empty());
        match (is_idle, has_sessions) {
            (false, _) => Some(self.next_sweep_ms),
            (true, true) => Some(self.next_sweep_ms + IDLE_SWEEP_MS),
            (true, false) => None,
        }
    }

    /// Closes every idle link, because the shard ends.
    pub(super) fn close_idle(&mut self, rings: &mut Rings) {
        for upstream in 0..self.endpoints.len() {
            for key in self.endpoints[upstream].pool.take_idle() {
                self.close(rings, key);
            }
        }
        // Requests of the control side need no answer any more. Those of HTTP+SSE carry calls.
        let timed = std::mem::take(&mut self.timed).into_iter();
        let is_kept = |key: &RelayKey| self.port.find(*key).is_some_and(|it| it.is_of_events());
        let (kept, ended): (Vec<RelayKey>, Vec<RelayKey>) = timed.partition(is_kept);
        self.timed = kept;
        for key in ended {
            self.cancel(rings, key);
        }
    }

    /// Finds a link for a call.
    fn begin(&mut self, rings: &mut Rings, key: RelayKey) {
        if self.lacks_credential(key) {
            return;
        }
        let is_needed = self.place(key);
        if !self.check_health(key, is_needed) || !self.admit(key) {
            return;
        }
        let relay = self.port.find(key);
        let Some((upstream, is_of_events)) = relay.map(|it| (it.upstream, it.is_of_events()))
        else {
            return;
        };
        if self.carrier(upstream) != Carrier::Http && !is_of_events {
            return self.begin_on_line(rings, key);
        }
        match self.endpoint(upstream).pool.assign(key) {
            Assigned::Link(link) => self.start(rings, link, key),
            Assigned::Opens => {
                self.open(rings, upstream);
            }
            Assigned::Waits => {}
            Assigned::Full => self.fail(key, &Failure::unsent(Reason::Busy)),
        }
    }

    /// Sends the request of a call on an open link.
    fn start(&mut self, rings: &mut Rings, link: SlotKey, key: RelayKey) {
        let request = self.port.find(key).and_then(|mut relay| {
            relay.link = Some(link);
            relay.tries += 1;
            relay.request.take()
        });
        let Some(request) = request else {
            // It was cancelled meanwhile.
            return self.release(rings, link, None);
        };
        let Some(entry) = self.slots.get_mut(self.local(link)) else {
            return;
        };
        entry.state = LinkState::Carrying(key);
        if entry.secured.is_some() {
            return self.start_secured(rings, link, (key, request));
        }
        entry.is_sending = true;
        rings.of(link).send(link, request, 0);
    }

    /// Opens a link that the pool has counted. Returns whether it does.
    fn open(&mut self, rings: &mut Rings, upstream: u16) -> bool {
        let address = self.port.table().endpoints[usize::from(upstream)]
            .address
            .clone();
        let Some(to) = address else {
            self.open_failed(upstream, &Failure::unsent(Reason::Unavailable));
            return false;
        };
        let Some(index) = self.free.pop() else {
            self.close_another(rings, upstream);
            self.open_failed(upstream, &Failure::unsent(Reason::Busy));
            return false;
        };
        let local = self.slots.insert_at(
            index - self.indexes.start,
            Link {
                upstream,
                state: LinkState::Opening,
                is_sending: false,
                is_armed: false,
                is_paused: false,
                is_lent: false,
                secured: None,
                line: None,
            },
        );
        let key = SlotKey {
            index,
            generation: local.generation,
        };
        let due_ms = self.now_ms + self.settings.connect_ms;
        self.opening.push_back((due_ms, key));
        let route = Route {
            from: None,
            to,
            resets_on_close: false,
        };
        rings.of(key).connect(key, &route);
        true
    }

    /// A link did not open: calls without prospect fail. The others get links that become free; no
    /// other one opens before the next call, so that an endpoint that refuses is not dialled in
    /// circles.
    pub(super) fn open_failed(&mut self, upstream: u16, failure: &Failure) {
        for key in self.endpoint(upstream).pool.open_failed() {
            self.fail_or_move(key, failure);
        }
    }

    /// Opens links for calls that wait, as many as may open.
    fn open_more(&mut self, rings: &mut Rings, upstream: u16) {
        while self.endpoint(upstream).pool.begin_opening() {
            if !self.open(rings, upstream) {
                return;
            }
        }
    }

    /// Closes an idle link of another upstream, so that its socket is free soon.
    fn close_another(&mut self, rings: &mut Rings, upstream: u16) {
        let mut others = (0..self.endpoints.len()).filter(|it| *it != usize::from(upstream));
        let idle = others.find_map(|other| self.endpoints[other].pool.next_expired(u64::MAX));
        if let Some(key) = idle {
            self.close(rings, key);
        }
    }

    /// A link can carry another call.
    fn release(&mut self, rings: &mut Rings, key: SlotKey, keep_alive_s: Option<u16>) {
        self.take_back(key);
        let Some(link) = self.slots.get_mut(self.local(key)) else {
            return;
        };
        let upstream = link.upstream;
        link.state = LinkState::Idle;
        let now_ms = self.now_ms;
        let pool = &mut self.endpoint(upstream).pool;
        match pool.release(key, keep_alive_s, now_ms) {
            Released::Carries(call) => self.start(rings, key, call),
            Released::Idle => {}
            Released::Closes => self.close(rings, key),
        }
    }

    /// Closes a link that the pool has, and opens others for calls that wait.
    fn drop_link(&mut self, rings: &mut Rings, key: SlotKey) {
        self.take_back(key);
        let Some(link) = self.slots.get(self.local(key)) else {
            return;
        };
        let upstream = link.upstream;
        self.endpoint(upstream).pool.closed(key);
        self.close(rings, key);
        self.open_more(rings, upstream);
    }

    /// Closes a link that the pool has forgotten.
    fn close(&mut self, rings: &mut Rings, key: SlotKey) {
        if let Some(link) = self.slots.remove(self.local(key)) {
            rings.of(key).close(key);
            if let Some(line) = link.line {
                self.line_ended(link.upstream, *line, &ended());
            }
        }
    }

    fn endpoint(&mut self, upstream: u16) -> &mut EndpointLinks {
        &mut self.endpoints[usize::from(upstream)]
    }

    /// The key in the table of links.
    fn local(&self, key: SlotKey) -> SlotKey {
        SlotKey {
            index: key.index - self.indexes.start,
            ..key
        }
    }
}

//! The cluster core of one process.
//!
//! Methods have three kinds: `handle_*` take an event with its time; commands such as
//! [`Cluster::change`] come from the host; the rest are getters. After any method that is not a
//! getter, the caller calls [`Cluster::poll_output`] until it returns nothing. The same calls in the
//! same order give the same outputs. It deliberately lacks a clock, threads, encodings of frames,
//! and names of any store or bus.

mod delete;
mod exchange;
mod fanout;
mod generation;
mod join;
mod leave;
mod operate;
mod ownership;
mod route;
mod tick;
mod writes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::frame::{Envelope, Frame, Generation, Heartbeat, Request, Stage, Xid};
use crate::id::{Birth, Now, OpenTail, Process, SessionId};
use crate::lookup::{Lookup, Pending};
use crate::membership::Members;
use crate::operators::Operators;
use crate::owners::Owners;
use crate::record::{Change, State};
use crate::refusal::Busy;
use crate::remote::{Exchange, Remote};
use crate::session::{Session, Standing, Tombstone};
use crate::settings::Settings;
use crate::sim::{mutated, sim_point};
use crate::timers::{Timer, Timers};
use crate::updates::Updates;
use crate::vocabulary::{Call, Key, Note, Op, Output, PutResult, ReadFrom, ReadResult, SessionKey};

/// The use of an operation of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Claim,
    Generation,
    Level,
    Lookup(SessionKey),
    Session(SessionKey),
    Tombstone(SessionKey),
}

/// An operation of the store that has no result yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doing {
    purpose: Purpose,
    /// The doubt at which it began: a later doubt makes its result worthless as a proof.
    epoch: u64,
    is_put: bool,
}

/// A notice to a former owner that has not been acknowledged.
#[derive(Debug)]
pub(crate) struct Notice {
    id: SessionId,
    /// The revision with which the session was taken: an acknowledgement of an earlier one is old.
    since: u64,
    tries: u8,
}

/// The claim of a node number.
#[derive(Debug, Default)]
struct Claim {
    /// The write number of the claim, by which it is recognised.
    nonce: u64,
    incarnation: u16,
}

/// The cluster core of one process. See the [module](self).
pub struct Cluster {
    settings: Settings,
    tails: Box<dyn OpenTail>,
    random: Box<dyn FnMut() -> u64>,
    /// This process; incarnation 0 until it has joined.
    me: Process,
    stage: Stage,
    last_us: u64,
    is_connected: bool,
    /// When the own heartbeat last came back, and how long it took.
    echo_us: u64,
    echo_took_us: u64,
    /// Own heartbeats on their way: sequence and time.
    echoes: VecDeque<(u64, u64)>,
    is_isolated: bool,
    /// Counts doubts. Sessions of an earlier doubt are read from the store before they are served.
    epoch: u64,
    generation: Generation,
    /// The life that this process gives to an empty store.
    proposed: Generation,
    generation_due_us: u64,
    is_reading_generation: bool,
    /// The life of the store was read since the store was last out of reach.
    is_generation_sure: bool,
    next: u64,
    next_write: u64,
    sequence: u64,
    heartbeat_us: u64,
    members: Members,
    owners: Owners,
    sessions: BTreeMap<SessionKey, Session>,
    dirty: VecDeque<SessionKey>,
    lane: VecDeque<SessionKey>,
    reseeding: VecDeque<SessionKey>,
    writes_in_flight: usize,
    tombstones: BTreeMap<SessionKey, Tombstone>,
    /// Sessions that ended here, the oldest first: stale reads of the store must not revive them.
    graves: (VecDeque<SessionKey>, BTreeSet<SessionKey>),
    /// Sessions whose record is read as soon as the life of the store is known.
    unread: BTreeSet<SessionKey>,
    lookups: BTreeMap<SessionKey, Lookup>,
    exchanges: BTreeMap<Xid, Exchange>,
    remotes: BTreeMap<(Process, Xid), Remote>,
    /// Requests that found no process, until they are tried once more.
    again: BTreeMap<Call, Pending>,
    /// Local calls that another process may have executed: they are never answered 503.
    doubtful: BTreeSet<Call>,
    notices: BTreeMap<(SessionKey, Process), Notice>,
    ops: BTreeMap<Op, Doing>,
    homing: (u64, u64),
    drain_until_us: Option<u64>,
    claim: Claim,
    updates: Updates,
    operators: Operators,
    timers: Timers,
    outputs: VecDeque<Output>,
}

impl Cluster {
    /// The core of a process of this node number. `random` gives the life of a store that is empty.
    ///
    /// It serves after it has joined: the host connects the bus and calls
    /// [`Cluster::handle_connected`].
    #[must_use]
    pub fn new(
        node: u16,
        settings: Settings,
        tails: Box<dyn OpenTail>,
        random: Box<dyn FnMut() -> u64>,
        now: Now,
    ) -> Cluster {
        Cluster {
            settings,
            tails,
            random,
            me: Process {
                node,
                incarnation: 0,
            },
            stage: Stage::Joining,
            last_us: now.us,
            is_connected: false,
            echo_us: now.us,
            echo_took_us: 0,
            echoes: VecDeque::new(),
            is_isolated: false,
            epoch: 1,
            generation: 0,
            proposed: 0,
            generation_due_us: now.us,
            is_reading_generation: false,
            is_generation_sure: false,
            next: 1,
            next_write: 1,
            sequence: 0,
            heartbeat_us: now.us,
            members: Members::default(),
            owners: Owners::default(),
            sessions: BTreeMap::new(),
            dirty: VecDeque::new(),
            lane: VecDeque::new(),
            reseeding: VecDeque::new(),
            writes_in_flight: 0,
            tombstones: BTreeMap::new(),
            graves: Default::default(),
            unread: BTreeSet::new(),
            lookups: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            remotes: BTreeMap::new(),
            again: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            notices: BTreeMap::new(),
            ops: BTreeMap::new(),
            homing: (0, 0),
            drain_until_us: None,
            claim: Claim::default(),
            updates: Updates::default(),
            operators: Operators::default(),
            timers: Timers::default(),
            outputs: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// This process; its incarnation is 0 until it has joined.
    #[must_use]
    pub fn process(&self) -> Process {
        self.me
    }

    /// Whether it joined, and whether it drains.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether its own heartbeats do not come back.
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        self.is_isolated
    }

    /// How a session of this process stands; nothing if it is not here.
    #[must_use]
    pub fn standing(&self, key: SessionKey) -> Option<Standing> {
        Some(self.sessions.get(&key)?.standing(self.epoch))
    }

    /// The changed part of a session of this process.
    #[must_use]
    pub fn state(&self, key: SessionKey) -> Option<&State> {
        Some(&self.sessions.get(&key)?.state)
    }

    /// The sessions of this process.
    pub fn sessions(&self) -> impl Iterator<Item = SessionKey> {
        self.sessions.keys().copied()
    }

    /// Whether the store lacks changes of a session.
    #[must_use]
    pub fn is_dirty(&self, key: SessionKey) -> bool {
        let session = self.sessions.get(&key);
        session.is_some_and(|it| !it.unwritten().is_empty() || !it.stale.is_empty())
    }

    /// Microseconds for which the oldest unwritten change of the queue has waited.
    #[must_use]
    pub fn replication_lag_us(&self, now: Now) -> u64 {
        let since = self.dirty.iter().chain(&self.lane).filter_map(|key| {
            let session = self.sessions.get(key)?;
            Some(session.dirty_since_us)
        });
        since.min().map_or(0, |since| now.us - since)
    }

    /// Each table with a bound: its name, entries and limit.
    #[must_use]
    pub fn tables(&self) -> [(&'static str, usize, usize); 14] {
        let limits = &self.settings;
        [
            ("sessions", self.sessions.len(), limits.sessions_max),
            ("dirty", self.dirty.len(), limits.sessions_max),
            ("lane", self.lane.len(), limits.lane_max),
            ("writes", self.writes_in_flight, limits.writes_in_flight_max),
            ("tombstones", self.tombstones.len(), limits.tombstones_max),
            ("graves", self.graves.0.len(), limits.graves_max),
            ("unread", self.unread.len(), limits.sessions_max),
            ("lookups", self.lookups.len(), limits.lookups_max),
            ("exchanges", self.exchanges.len(), limits.exchanges_max),
            ("remotes", self.remotes.len(), limits.exchanges_max),
            ("notices", self.notices.len(), limits.notices_max),
            ("owners", self.owners.len(), limits.owners_max),
            ("members", self.members.len(), limits.members_max),
            ("followed", self.updates.followed(), limits.followed_max),
        ]
    }

    /// The oldest deadline of an exchange with another process, in microseconds.
    #[must_use]
    pub fn oldest_exchange_us(&self) -> Option<u64> {
        let sent = self.exchanges.values().map(|it| it.deadline_us);
        sent.chain(self.remotes.values().map(|it| it.deadline_us))
            .min()
    }

    /// A session that `initialize` made here; false if the process has no room.
    pub fn create(&mut self, now: Now, id: SessionId, principal: &str, birth: Birth) -> bool {
        self.begin(now);
        let has_room = self.sessions.len() < self.settings.sessions_max;
        if self.stage != Stage::Alive || !has_room {
            return false;
        }
        let session = Session::new(id, principal.into(), birth, self.epoch);
        self.sessions.insert(id.random, session);
        true
    }

    /// A change of a session by a call that is served; false if a table of the session is full or it
    /// is not here any more: the call must fail.
    pub fn change(&mut self, now: Now, key: SessionKey, change: Change) -> bool {
        self.begin(now);
        let Some(session) = self.sessions.get_mut(&key) else {
            return false;
        };
        if !session.change(change) {
            self.note(Note::ChangesDropped(key));
            return false;
        }
        session.is_recorded = true;
        self.mark(now, key);
        true
    }

    /// Whether operations on sessions may go to the store: its life is known since it was reached.
    fn can_use_store(&self) -> bool {
        self.is_connected && self.generation != 0 && self.is_generation_sure
    }

    /// Takes the time of an event. A gap means that the process was stopped: every session is in
    /// doubt before anything else happens.
    fn begin(&mut self, now: Now) {
        if now.us - self.last_us > self.settings.doubt_us {
            sim_point!("doubt_after_pause");
            if !mutated!("no_doubt_after_pause") {
                self.epoch += 1;
            }
            // The heartbeats that were missed say nothing about the bus and the others.
            self.echo_us = now.us;
            self.is_isolated = false;
            self.is_generation_sure = false;
            self.is_reading_generation = false;
            self.check_generation(now);
            self.claim_later(now);
            self.members.excuse_silence(now.us);
        }
        self.last_us = now.us;
    }

    fn note(&mut self, note: Note) {
        self.outputs.push_back(Output::Note(note));
    }

    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn send(&mut self, to: Process, frame: Frame) {
        let envelope = self.envelope(frame);
        self.outputs.push_back(Output::Send(to, envelope));
    }

    fn publish(&mut self, frame: Frame) {
        let envelope = self.envelope(frame);
        self.outputs.push_back(Output::Publish(envelope));
    }

    fn envelope(&mut self, frame: Frame) -> Envelope {
        self.sequence += u64::from(!mutated!("reuse_sequence") || self.sequence % 50 != 0);
        Envelope {
            from: self.me,
            sequence: self.sequence,
            frame,
        }
    }

    /// Takes a message of the bus.
    pub fn handle_frame(&mut self, now: Now, envelope: Envelope) {
        self.begin(now);
        let Envelope {
            from,
            sequence,
            frame,
        } = envelope;
        let max = self.settings.members_max;
        let later = self.members.of_node(from.node).map(|it| it.process);
        let known = later.map_or(0, |later| later.incarnation);
        if from.incarnation < known {
            return self.on_old_process(from, later, frame);
        }
        if !self.members.accept(from, sequence, now.us, max) {
            sim_point!("frame_refused");
            return self.note(Note::FrameRefused(from));
        }
        if from.incarnation > known + 1 {
            // Processes of that node lived unheard, and may have published.
            sim_point!("unheard_process");
            self.doubt_updates();
        }
        match frame {
            Frame::Heartbeat(heartbeat) => {
                self.on_heartbeat(now, (from, sequence), *heartbeat);
            }
            _ if self.stage == Stage::Joining => {}
            Frame::Forward(xid, rest_us, request) => {
                self.on_forward(now, (from, xid), rest_us, request);
            }
            Frame::Superseded(by) if by.node == self.me.node && by > self.me => {
                self.superseded(by);
            }
            Frame::Superseded(_) => {}
            Frame::Accepted(xid) => self.on_accepted(now, from, xid),
            Frame::NotHere(xid) => self.on_not_here(now, from, xid, None),
            Frame::Moved(xid, to) => self.on_not_here(now, from, xid, Some(to)),
            Frame::Unknown(xid, missing) => self.on_unknown(from, xid, missing),
            Frame::Busy(xid, busy) => self.on_busy(from, xid, busy),
            Frame::Part(xid, number, is_last, body) => {
                self.on_part(from, xid, (number, is_last, body));
            }
            Frame::Credit(xid, until) => self.on_credit((from, xid), until),
            Frame::Release(id) => self.on_release(now, from, id),
            Frame::Released(generation, revision, record) => {
                self.on_released(now, from, (generation, revision), *record);
            }
            Frame::Took(id, generation, revision) => {
                self.on_took(now, from, id, (generation, revision));
            }
            Frame::TookHeard(id, revision) => self.on_took_heard(from, id, revision),
            Frame::Merge(id, changes) => self.on_merge(now, id, changes),
            Frame::Update(partition, number, uris) => {
                self.on_update(now, from, (partition, number), uris);
            }
            Frame::Gap(partition, number) => self.on_gap(from, partition, number),
            Frame::GapLost(partition, number) => self.on_gap_lost(from, partition, number),
        }
    }

    /// A process that has a successor sends, because it does not know.
    fn on_old_process(&mut self, from: Process, later: Option<Process>, frame: Frame) {
        sim_point!("old_process");
        self.note(Note::FrameRefused(from));
        match frame {
            // To read a resource once too often does no harm.
            Frame::Update(_, _, uris) if from != self.me => {
                self.outputs.extend(uris.into_iter().map(Output::Updated));
            }
            Frame::Heartbeat(_) | Frame::Forward(..) if self.stage != Stage::Joining => {
                if let Some(later) = later {
                    self.send(from, Frame::Superseded(later));
                }
            }
            _ => {}
        }
    }

    /// Takes a request of a client of this process.
    pub fn handle_request(&mut self, now: Now, call: u64, request: Box<Request>) {
        self.begin(now);
        if self.stage == Stage::Joining {
            return self.outputs.push_back(Output::Refuse(call, Busy::Joining));
        }
        self.route(now, Pending::new(call, request));
    }

    /// Sets the timer that is due at `at_us`.
    fn arm(&mut self, at_us: u64, timer: Timer) {
        self.timers.arm(at_us, timer);
    }

    fn set_heartbeat(&mut self, change: impl FnOnce(&mut Heartbeat)) {
        change(&mut self.operators.own);
    }

    /// Reads a key, with a deadline.
    fn read(&mut self, now: Now, purpose: Purpose, key: Key, from: ReadFrom) -> Op {
        let wait_us = match from {
            ReadFrom::Leader => self.settings.leader_read_us,
            ReadFrom::Any => self.settings.any_read_us,
        };
        let op = self.op(now, purpose, wait_us, false);
        self.outputs.push_back(Output::Read(op, key, from));
        op
    }

    /// Names an operation of the store, with a deadline.
    fn op(&mut self, now: Now, purpose: Purpose, wait_us: u64, is_put: bool) -> Op {
        let op = self.next();
        let epoch = self.epoch;
        let doing = Doing {
            purpose,
            epoch,
            is_put,
        };
        self.ops.insert(op, doing);
        self.arm(now.us + wait_us, Timer::Op(op));
        op
    }

    /// Takes the result of a read.
    pub fn handle_read(&mut self, now: Now, op: Op, result: ReadResult) {
        self.begin(now);
        let Some(doing) = self.ops.remove(&op) else {
            return;
        };
        match doing.purpose {
            Purpose::Claim => self.on_claim_read(now, result),
            Purpose::Generation => self.on_generation_read(now, result),
            Purpose::Level => self.on_level_read(now, result),
            Purpose::Lookup(key) => self.on_lookup_read(now, key, op, result),
            Purpose::Session(key) => self.on_session_read(now, key, (op, doing.epoch), result),
            Purpose::Tombstone(key) => self.on_tombstone_read(now, key, op, result),
        }
    }

    /// Takes the result of a write.
    pub fn handle_put(&mut self, now: Now, op: Op, result: PutResult) {
        self.begin(now);
        let Some(doing) = self.ops.remove(&op) else {
            return;
        };
        match doing.purpose {
            Purpose::Claim => self.on_claim_put(now, result),
            Purpose::Generation => self.on_generation_put(now, result),
            Purpose::Level => self.on_level_put(now, result),
            Purpose::Session(key) => self.on_session_put(now, key, (op, doing.epoch), result),
            Purpose::Tombstone(key) => self.on_tombstone_put(now, key, op, result),
            Purpose::Lookup(_) => {}
        }
    }

    /// Sessions without a duplicate: for tables that are walked while they change.
    fn session_keys(&self) -> BTreeSet<SessionKey> {
        self.sessions.keys().copied().collect()
    }
}
